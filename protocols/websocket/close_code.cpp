#include "protocols/websocket/close_code.h"

#include <algorithm>

#include "core/base/text.h"

namespace sluice::websocket {

namespace {

struct Range {
    std::uint16_t first, last;
};

constexpr Range kSendable[] = {{1000, 1003}, {1007, 1014}, {3000, 4999}};

constexpr std::size_t kMaxReason = 123;  // RFC 6455, 5.5: 125 with the code

}  // namespace

bool may_be_sent(std::uint16_t code) {
    return std::ranges::any_of(kSendable, [code](Range range) { return code >= range.first && code <= range.last; });
}

ParsedClose parse_close(Bytes payload) {
    if (payload.empty()) return {Close{}};
    if (payload.size() == 1) return {};
    const auto high = static_cast<unsigned char>(payload[0]), low = static_cast<unsigned char>(payload[1]);
    const Close close{static_cast<std::uint16_t>(high << 8 | low), payload.substr(2)};
    if (!may_be_sent(close.code)) return {};
    if (first_invalid_utf8(close.reason)) return {std::nullopt, CloseCode::bad_data};
    return {close};
}

ClosePayload::ClosePayload(std::uint16_t code, std::string_view reason) {
    if (!may_be_sent(code)) return;
    text_[0] = static_cast<char>(code >> 8);
    text_[1] = static_cast<char>(code & 0xff);
    reason = reason.substr(0, kMaxReason);
    reason = reason.substr(0, first_invalid_utf8(reason).value_or(reason.size()));  // of a character that was cut, too
    size_ = 2 + reason.copy(text_.data() + 2, reason.size());
}

}  // namespace sluice::websocket
