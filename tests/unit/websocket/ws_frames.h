#pragma once
// Frames of WebSocket as text, for tests and the fuzz target: built with any of their fields wrong, and read back. Written
// from RFC 6455 alone, so that it shares no mistake with the code. Pure functions on values; no Catch2 in here.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::test::ws {

enum Code : int { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

// One frame. What stands here is what is written, right or wrong.
struct Frame {
    int opcode = kText;
    std::string payload;
    bool fin = true;
    int rsv = 0;  // three bits: 4 is RSV1
    bool masked = true;
    std::string key = "\x37\xfa\x21\x3d";  // that of RFC 6455, 5.7
    int length_bytes = -1;                 // 0, 2 or 8; -1: the fewest that hold it
    std::uint64_t extra_length = 0;        // that it claims to have beyond its payload
};

inline std::string number(std::uint64_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
    return out;
}

inline std::string masked(std::string_view bytes, std::string_view key) {
    std::string out(bytes);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(out[i] ^ key[i % 4]);
    return out;
}

inline std::string raw(const Frame& frame) {
    const std::uint64_t length = frame.payload.size() + frame.extra_length;
    const int bytes = frame.length_bytes >= 0 ? frame.length_bytes : length < 126 ? 0 : length < 65536 ? 2 : 8;
    const std::uint64_t field = bytes == 0 ? length : bytes == 2 ? 126 : 127;
    std::string out(1, static_cast<char>((frame.fin ? 0x80 : 0) | frame.rsv << 4 | frame.opcode));
    out += static_cast<char>((frame.masked ? 0x80 : 0) | static_cast<int>(field));
    out += number(length, bytes);
    if (!frame.masked) return out + frame.payload;
    return out + frame.key + masked(frame.payload, frame.key);
}

// As a client sends it, and as a server does.
inline std::string from_client(int opcode, std::string_view payload = {}, bool fin = true) {
    return raw({.opcode = opcode, .payload = std::string(payload), .fin = fin});
}
inline std::string from_server(int opcode, std::string_view payload = {}, bool fin = true) {
    return raw({.opcode = opcode, .payload = std::string(payload), .fin = fin, .masked = false});
}
inline std::string close_payload(int code, std::string_view reason = {}) {
    return number(static_cast<std::uint64_t>(code), 2).append(reason);
}
inline std::string client_close(int code = 1000, std::string_view reason = {}) {
    return from_client(kClose, close_payload(code, reason));
}
inline std::string server_close(int code = 1000, std::string_view reason = {}) {
    return from_server(kClose, close_payload(code, reason));
}

// --- reading back ---

inline std::string name_of(int opcode) {
    switch (opcode) {
        case kText: return "text";
        case kBinary: return "binary";
        case kClose: return "close";
        case kPing: return "ping";
        case kPong: return "pong";
        default: return "opcode" + std::to_string(opcode);
    }
}

inline std::string said_by(std::string_view payload) {
    if (payload.size() < 2) return std::string(payload);
    const int code = static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]);
    return std::to_string(code) + (payload.size() > 2 ? " " + std::string(payload.substr(2)) : "");
}

// What somebody has sent. A message in fragments is joined in the end, behind the control frames inside it.
class Wire {
public:
    // A control frame, or a whole message.
    struct Part {
        int opcode;
        bool compressed;
        std::string payload;
        bool operator==(const Part&) const = default;
    };

    explicit Wire(std::string_view bytes) : rest_(bytes) {
        while (take_frame()) continue;
    }
    const std::vector<Part>& parts() const { return parts_; }
    bool whole() const { return rest_.empty(); }  // all of its frames
    const std::string& incomplete() const { return message_.payload; }
    bool compressed() const { return message_.compressed; }  // the message that is incomplete
    std::size_t frames() const { return frames_; }
    std::size_t masked() const { return masked_; }  // how many of them
    const std::string& misuse() const { return misuse_; }

    // "text(Hello) binary*(abcd) ping(x) close(1000 bye)"; "*" is RSV1, "..." what is not complete.
    std::string words() const {
        std::string out;
        for (const Part& part : parts_) out += word_of(part, "") + " ";
        if (in_message_) out += word_of(message_, "...") + " ";
        if (!whole()) out += "... ";
        if (!out.empty()) out.pop_back();
        return out;
    }

private:
    static std::string word_of(const Part& part, const char* end) {
        const std::string said = part.opcode == kClose ? said_by(part.payload) : part.payload;
        return name_of(part.opcode) + (part.compressed ? "*(" : "(") + said + end + ")";
    }

    bool take_frame() {
        if (rest_.size() < 2) return false;
        const auto at = [&](std::size_t i) { return static_cast<unsigned char>(rest_[i]); };
        const int field = at(1) & 0x7f, bytes = field < 126 ? 0 : field == 126 ? 2 : 8;
        const bool has_mask = (at(1) & 0x80) != 0;
        const std::size_t head = 2 + static_cast<std::size_t>(bytes) + (has_mask ? 4 : 0);
        if (rest_.size() < head) return false;
        std::uint64_t length = bytes == 0 ? static_cast<std::uint64_t>(field) : 0;
        for (std::size_t i = 0; i < static_cast<std::size_t>(bytes); ++i) length = length << 8 | at(2 + i);
        if (rest_.size() - head < length) return false;
        if (length < (bytes == 2 ? 126u : bytes == 8 ? 65536u : 0u)) misuse_ += "a long length; ";
        std::string payload(rest_.substr(head, length));
        if (has_mask) payload = ws::masked(payload, rest_.substr(head - 4, 4));
        note(at(0), payload);
        masked_ += has_mask;
        rest_.remove_prefix(head + length);
        return true;
    }

    void note(int first, const std::string& payload) {
        const int opcode = first & 0x0f;
        const bool fin = (first & 0x80) != 0, rsv1 = (first & 0x40) != 0;
        ++frames_;
        if (!parts_.empty() && parts_.back().opcode == kClose) misuse_ += "a frame after its Close; ";
        if ((first & 0x30) != 0) misuse_ += "a reserved bit; ";
        if (opcode >= kClose) {
            if (!fin || payload.size() > 125 || rsv1) misuse_ += "a bad control frame; ";
            return parts_.push_back({opcode, false, payload});
        }
        if ((opcode == kContinuation) != in_message_) misuse_ += "fragments in disorder; ";
        if (opcode == kContinuation && rsv1) misuse_ += "RSV1 of a fragment; ";
        if (opcode != kContinuation) message_ = {opcode, rsv1, ""};
        message_.payload += payload;
        in_message_ = !fin;
        if (fin) parts_.push_back(std::exchange(message_, {}));
    }

    std::string_view rest_;
    std::vector<Part> parts_;
    Part message_{};
    std::string misuse_;
    std::size_t frames_ = 0, masked_ = 0;
    bool in_message_ = false;
};

inline std::string words_of(std::string_view bytes) {
    const Wire wire(bytes);
    return wire.misuse().empty() ? wire.words() : wire.words() + " MISUSE: " + wire.misuse();
}

// "x" so many times, with something in between that shows where it was cut.
inline std::string long_text(std::size_t size) {
    std::string out;
    for (std::size_t i = 0; out.size() < size; ++i) out += std::to_string(i) + ",";
    out.resize(size);
    return out;
}

}  // namespace sluice::test::ws
