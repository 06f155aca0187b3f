#include "protocols/http1/response_parser.h"

#include <algorithm>

#include "core/base/text.h"

namespace sluice::http1 {

namespace {

// Most names have another length: those are not worth a call.
bool is(std::string_view name, std::string_view other) { return name.size() == other.size() && iequals(name, other); }

}  // namespace

struct ResponseParser::FieldCallbacks {
    static ResponseParser& of(llhttp_t* llhttp) {
        return static_cast<ResponseParser&>(*static_cast<MessageParser*>(llhttp->data));
    }

    static int on_value_complete(llhttp_t* llhttp) {
        ResponseParser& parser = of(llhttp);
        if (parser.in_body_) parser.add_trailer();
        else parser.add_field();
        parser.name_ = parser.value_ = {};
        if (++parser.fields_ <= kMaxFields) return 0;
        parser.refusal_ = Reason::header_too_large;
        return HPE_USER;
    }

    // llhttp alone would wait for the body that a length in a 204 speaks of.
    static int on_headers_complete(llhttp_t* llhttp) {
        ResponseParser& parser = of(llhttp);
        const int status = parser.head_.status;
        const bool bodiless = parser.to_ == To::head || has_no_body(status);
        if (bodiless) llhttp->flags |= F_SKIPBODY;
        const bool told = (llhttp->flags & F_CONTENT_LENGTH) != 0 && status >= 200 && status != 204;
        if (told) parser.head_.content_length = llhttp->content_length;
        parser.keep_alive_ = llhttp_should_keep_alive(llhttp) != 0;
        parser.until_close_ = llhttp_message_needs_eof(llhttp) != 0;
        parser.in_body_ = true;
        return bodiless ? 1 : 0;
    }

    static const llhttp_settings_t& settings() {
        static const llhttp_settings_t kSettings = [] {
            llhttp_settings_t settings = shared_settings();
            settings.on_header_value_complete = on_value_complete;
            settings.on_headers_complete = on_headers_complete;
            return settings;
        }();
        return kSettings;
    }
};

void ResponseParser::begin(BodySink& sink, To request) {
    sink_ = &sink;
    to_ = request;
    restart_head();
}

void ResponseParser::expect_next_head() { restart_head(); }

void ResponseParser::restart_head() {
    restart(HTTP_RESPONSE, FieldCallbacks::settings());
    head_.headers.clear();
    head_.content_length.reset();
    head_.dated = false;
    fields_ = codings_ = 0;
    chunked_ = until_close_ = false;
}

// A head that comes in one piece, as most do, is parsed where it is.
ResponseParser::Fed ResponseParser::feed_head(Bytes bytes, std::size_t max_size) {
    const std::size_t before = section_.size();
    Bytes text = bytes;
    if (before > 0) text = section_.append(bytes.substr(0, max_size + 1 - before));
    const auto verdict = scanner_.scan(text);
    if (verdict == HeadScanner::Verdict::bad) return {0, Reason::bad_request};
    const bool whole = verdict == HeadScanner::Verdict::complete;
    const std::size_t size = whole ? scanner_.head_size() : text.size();
    if (size > max_size) return {0, Reason::header_too_large};
    if (whole) {
        const Reason reason = parse_head(text.substr(0, size));
        section_.clear();
        scanner_.reset();  // for the trailers
        return {size - before, reason};
    }
    if (before == 0) section_.assign(bytes);
    return {bytes.size(), Reason::none};
}

Reason ResponseParser::parse_head(Bytes head) {
    const std::string_view text = head_.headers.store(head);
    if (!read_status_line(text)) return Reason::bad_request;
    const llhttp_errno_t error = llhttp_execute(&llhttp_, text.data(), text.size());
    const bool read = error == HPE_OK || error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE;
    if (!read || !in_body_) return refusal_or(Reason::bad_request);
    return is_framed_well() ? Reason::none : Reason::bad_request;
}

// RFC 9112, 4; a line without the space after the status is common enough. 101 must have been asked for (RFC 9110, 7.8).
bool ResponseParser::read_status_line(std::string_view head) {
    const std::string_view line = head.substr(0, head.find('\r'));
    const bool known = line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ");
    if (!known || line.size() < 12 || (line.size() > 12 && line[12] != ' ')) return false;
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!std::all_of(line.begin() + 9, line.begin() + 12, is_digit)) return false;
    version_ = line[7] == '1' ? HttpVersion::http11 : HttpVersion::http10;
    head_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    if (head_.status == 101) return to_ == To::upgrade && version_ == HttpVersion::http11;
    return head_.status >= 100;
}

// What frames the answer is for us alone: it goes on framed anew.
void ResponseParser::add_field() {
    if (is(name_, "content-length")) return;  // llhttp has read it, and refuses a second one
    if (is(name_, "transfer-encoding")) {
        ++codings_;
        chunked_ = iequals(trim(value_), "chunked");
        return;
    }
    head_.dated = head_.dated || is(name_, "date");
    head_.headers.add_stored(name_, value_);
}

// RFC 9112, 6.1 and 6.3: one coding at most, which we know, never together with a length nor from HTTP/1.0.
bool ResponseParser::is_framed_well() const {
    if (codings_ == 0) return true;
    return codings_ == 1 && chunked_ && version_ == HttpVersion::http11 && (llhttp_.flags & F_CONTENT_LENGTH) == 0;
}

}  // namespace sluice::http1
