#include "daemon/admin/call.h"

#include <charconv>

namespace sluice::admin {

namespace {

std::string decoded(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned code = 0;
        const bool escape =
            text[i] == '%' && i + 2 < text.size() &&
            std::from_chars(text.data() + i + 1, text.data() + i + 3, code, 16).ptr == text.data() + i + 3;
        result += escape ? static_cast<char>(code) : text[i] == '+' ? ' ' : text[i];
        if (escape) i += 2;
    }
    return result;
}

}  // namespace

void Reply::operator()(int status, const Json& json) const {
    if (*call_) (*call_)->answer(status, json);
}

void Call::answer(int status, std::string_view type, const std::string& text) {
    ResponseHead answer;
    answer.status = status;
    answer.content_length = text.size();
    answer.headers.add("content-type", type);
    answer.headers.add("cache-control", "no-store");
    if (status == 405) answer.headers.add("allow", "GET, HEAD, POST, DELETE");
    stream.send_head(answer, text.empty() ? End::yes : End::no);
    if (!text.empty()) stream.send_body(text, End::yes);
}

std::string Call::parameter(std::string_view name) const {
    std::string_view rest = head.query.substr(head.query.empty() ? 0 : 1);
    while (!rest.empty()) {
        const std::string_view pair = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
        const std::size_t equals = std::min(pair.find('='), pair.size());
        if (decoded(pair.substr(0, equals)) == name) return decoded(pair.substr(std::min(pair.size(), equals + 1)));
    }
    return {};
}

}  // namespace sluice::admin
