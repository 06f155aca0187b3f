#include "core/upstream/grpc_check.h"

#include <cstdint>
#include <optional>

namespace sluice::grpc_check {

namespace {

constexpr std::size_t kPrefix = 5;  // gRPC over HTTP/2, "Length-Prefixed-Message": compressed flag, length
constexpr std::uint64_t kServing = 1;

// Protocol Buffers, "Encoding".
enum WireType : std::uint64_t { kVarint = 0, kFixed64 = 1, kText = 2, kFixed32 = 5 };
constexpr std::uint64_t tag(std::uint64_t field, WireType type) { return field << 3 | type; }

std::string varint(std::uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    return bytes += static_cast<char>(value);
}

std::string prefixed(const std::string& message) {
    std::string bytes(1, '\0');
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(message.size() >> shift);
    return bytes + message;
}

std::uint64_t length_in(std::string_view prefix) {
    std::uint64_t length = 0;
    for (const char byte : prefix.substr(1)) length = length << 8 | static_cast<unsigned char>(byte);
    return length;
}

// Takes fields from the front of a message.
class Fields {
public:
    explicit Fields(std::string_view message) : rest_(message) {}
    bool at_end() const { return rest_.empty(); }

    std::optional<std::uint64_t> take_varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
            const auto byte = static_cast<unsigned char>(rest_.front());
            rest_.remove_prefix(1);
            value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80) return value;
        }
        return {};
    }

    // What a later version of the service may add. false: it is no field.
    bool skip(std::uint64_t type) {
        if (type == kVarint) return take_varint().has_value();
        const auto size = size_of(type);
        if (!size || *size > rest_.size()) return false;
        rest_.remove_prefix(static_cast<std::size_t>(*size));
        return true;
    }

private:
    std::optional<std::uint64_t> size_of(std::uint64_t type) {
        if (type == kText) return take_varint();
        if (type == kFixed64) return 8;
        if (type == kFixed32) return 4;
        return {};
    }

    std::string_view rest_;
};

// Of HealthCheckResponse; 0 (UNKNOWN) if it is not given, nothing if this is none. The last one counts.
std::optional<std::uint64_t> status_in(std::string_view message) {
    std::uint64_t status = 0;
    Fields fields(message);
    while (!fields.at_end()) {
        const auto key = fields.take_varint();
        if (!key) return {};
        if (*key == tag(1, kVarint)) {
            const auto value = fields.take_varint();
            if (!value) return {};
            status = *value;
        } else if (!fields.skip(*key & 7)) {
            return {};
        }
    }
    return status;
}

}  // namespace

std::string request(std::string_view service) {
    if (service.empty()) return prefixed({});  // proto3 leaves out what has its default
    return prefixed(varint(tag(1, kText)) + varint(service.size()) + std::string(service));
}

void Answer::add(Bytes bytes) {
    too_long_ = too_long_ || bytes.size() > kMost - bytes_.size();
    if (!too_long_) bytes_ += bytes;
}

bool Answer::serving() const {
    if (too_long_ || bytes_.size() < kPrefix || bytes_[0] != 0) return false;
    const std::string_view all = bytes_;
    const std::string_view message = all.substr(kPrefix);
    return length_in(all.substr(0, kPrefix)) == message.size() && status_in(message) == kServing;
}

}  // namespace sluice::grpc_check
