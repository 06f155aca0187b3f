#pragma once
// The fields of one frame as nghttp2 takes them. Their text stands in one buffer of a stream's, which must not move while
// they are collected, nor change until the frame was sent. Made on the stack for one frame.

#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/header_map.h"
#include "protocols/http2/nghttp2_session.h"

namespace sluice::http2 {

// A decimal number's text, for a field.
class Digits {
public:
    explicit Digits(std::uint64_t number)
        : size_(static_cast<std::size_t>(std::to_chars(text_.data(), text_.data() + text_.size(), number).ptr -
                                         text_.data())) {}
    std::string_view text() const { return {text_.data(), size_}; }

private:
    std::array<char, 20> text_;
    std::size_t size_;
};

class FieldBlock {
public:
    // `size`: bytes of all text that will be added.
    FieldBlock(std::string& text, std::vector<nghttp2_nv>& fields, std::size_t size) : text_(text), fields_(fields) {
        text_.clear();
        text_.reserve(size);
        fields_.clear();
    }
    // The name is a constant.
    void add(std::string_view name, std::string_view value) { fields_.push_back(borrowed_field(name, stored(value))); }
    void add(const HeaderMap& fields) {
        for (const auto field : fields) fields_.push_back(borrowed_field(stored(field.name), stored(field.value)));
    }

private:
    std::string_view stored(std::string_view piece) {
        text_.append(piece);
        return std::string_view(text_).substr(text_.size() - piece.size());
    }
    std::string& text_;
    std::vector<nghttp2_nv>& fields_;
};

}  // namespace sluice::http2
