#pragma once
// HTTP/2 frames as bytes (RFC 9113, 4.1), for what no well-behaved client sends, and for looking at what came.
// Pure functions on values, owned by nobody. They check nothing: a frame may break any rule.

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::test {

using Fields = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr std::size_t kFrameHead = 9;

struct Frame {
    std::uint8_t type, flags;
    std::int32_t id;
    std::string payload;
};

inline std::string big_endian(std::uint32_t number, int bytes) {
    std::string text;
    while (bytes-- > 0) text += static_cast<char>(number >> (8 * bytes));
    return text;
}

inline std::uint32_t number_at(std::string_view text, std::size_t at, std::size_t bytes) {
    std::uint32_t number = 0;
    for (const char c : text.substr(at, bytes)) number = number << 8 | static_cast<std::uint8_t>(c);
    return number;
}

inline std::string frame(int type, int flags, std::int32_t id, std::string_view payload = {}) {
    return big_endian(static_cast<std::uint32_t>(payload.size()), 3) + static_cast<char>(type) +
           static_cast<char>(flags) + big_endian(static_cast<std::uint32_t>(id), 4) + std::string(payload);
}

inline std::string settings(const std::vector<std::pair<int, std::uint32_t>>& entries = {}) {
    std::string payload;
    for (const auto& [id, value] : entries)
        payload += big_endian(static_cast<std::uint32_t>(id), 2) + big_endian(value, 4);
    return frame(NGHTTP2_SETTINGS, 0, 0, payload);
}

// What every client sends first.
inline std::string hello() { return std::string(kPreface) + settings(); }

inline std::string window_update(std::int32_t id, std::uint32_t increment) {
    return frame(NGHTTP2_WINDOW_UPDATE, 0, id, big_endian(increment, 4));
}

inline std::string rst_stream(std::int32_t id, std::uint32_t code = NGHTTP2_CANCEL) {
    return frame(NGHTTP2_RST_STREAM, 0, id, big_endian(code, 4));
}

// A text's length as HPACK writes it, with a prefix of seven bits (RFC 7541, 5.1).
inline std::string hpack_length(std::size_t size) {
    if (size < 127) return {static_cast<char>(size)};
    std::string text(1, 127);
    for (size -= 127; size >= 128; size >>= 7) text += static_cast<char>(size % 128 + 128);
    return text + static_cast<char>(size);
}

// A header block that leaves the peer's table alone (RFC 7541, 6.2.2), and takes any text for a name.
inline std::string literals(const Fields& fields) {
    std::string block;
    for (const auto& [name, value] : fields)
        block += '\0' + hpack_length(name.size()) + name + hpack_length(value.size()) + value;
    return block;
}

inline Fields request_fields(const std::string& path, const std::string& method = "GET", const Fields& more = {}) {
    Fields fields = {{":method", method}, {":scheme", "http"}, {":path", path}, {":authority", "a"}};
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
}

inline std::string raw_get(std::int32_t id, const std::string& path = "/") {
    return frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id,
                 literals(request_fields(path)));
}

// All whole frames of a text; what is left over comes as one of type 255.
inline std::vector<Frame> frames_in(std::string_view text) {
    std::vector<Frame> frames;
    while (text.size() >= kFrameHead && text.size() >= kFrameHead + number_at(text, 0, 3)) {
        const std::size_t size = number_at(text, 0, 3);
        const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
        frames.push_back({byte(3), byte(4), static_cast<std::int32_t>(number_at(text, 5, 4)),
                          std::string(text.substr(kFrameHead, size))});
        text.remove_prefix(kFrameHead + size);
    }
    if (!text.empty()) frames.push_back({255, 0, 0, std::string(text)});
    return frames;
}

inline std::vector<Frame> frames_of_type(std::string_view text, int type) {
    std::vector<Frame> frames = frames_in(text);
    std::erase_if(frames, [type](const Frame& one) { return one.type != type; });
    return frames;
}

}  // namespace sluice::test
