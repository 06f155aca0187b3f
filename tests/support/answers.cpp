#include "tests/support/answers.h"

#include <algorithm>
#include <charconv>

#include "core/http/message.h"

namespace sluice::test {

namespace {

constexpr auto npos = std::string_view::npos;

std::string_view take(std::string_view& text, std::size_t count) {
    const auto piece = text.substr(0, count);
    text.remove_prefix(piece.size());
    return piece;
}

// With its CRLF; all that is left where there is none.
std::string_view take_line(std::string_view& text) {
    const std::size_t end = text.find("\r\n");
    return take(text, end == npos ? npos : end + 2);
}

std::size_t number_in(std::string_view text, int base) {
    std::size_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number, base);
    return number;
}

std::string take_chunks(std::string_view& text) {
    std::string body;
    while (!text.empty() && std::string_view("0123456789abcdef").find(text[0]) != npos) {
        const std::size_t size = number_in(take_line(text), 16);
        if (size > 0) {
            body += take(text, size);
            take(text, 2);
            continue;
        }
        for (std::string_view line; (line = take_line(text)) != "\r\n" && !line.empty();) body += line;
        break;
    }
    return body;
}

}  // namespace

std::string plain_answers(std::string_view text) {
    std::string plain;
    while (!text.empty()) {
        std::size_t length = 0;
        bool chunked = false;
        for (std::string_view line; !text.empty() && line != "\r\n";) {
            line = take_line(text);
            if (line.starts_with("date: ")) continue;
            plain += line;
            if (line.starts_with("content-length: ")) length = number_in(line.substr(16), 10);
            chunked = chunked || line == "transfer-encoding: chunked\r\n";
        }
        const bool no_body = text.starts_with("HTTP/1.1 ");  // of a HEAD: the next answer follows at once
        if (chunked) plain += take_chunks(text);
        else if (!no_body) plain += take(text, length);
    }
    return plain;
}

std::string refusal_text(int status) {
    const std::string words = std::to_string(status) + " " + std::string(reason_phrase(status));
    return "HTTP/1.1 " + words + "\r\n" + (status == 503 ? "retry-after: 1\r\n" : "") +
           "content-type: text/plain\r\ncontent-length: " + std::to_string(words.size() + 1) +
           "\r\nconnection: close\r\n\r\n" + words + "\n";
}

}  // namespace sluice::test
