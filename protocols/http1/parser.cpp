#include "protocols/http1/parser.h"

#include "core/base/text.h"
#include "core/http/target.h"
#include "protocols/http1/head_scanner.h"

namespace sluice::http1 {

namespace {

bool is_version(std::string_view text) {
    return text.size() == 8 && text.substr(0, 5) == "HTTP/" && text[6] == '.' && text[5] >= '0' && text[5] <= '9' &&
           text[7] >= '0' && text[7] <= '9';
}

}  // namespace

struct RequestParser::FieldCallbacks {
    static RequestParser& of(llhttp_t* llhttp) {
        return static_cast<RequestParser&>(*static_cast<MessageParser*>(llhttp->data));
    }

    static int on_value_complete(llhttp_t* llhttp) {
        RequestParser& parser = of(llhttp);
        if (parser.in_body_) parser.add_trailer();
        else parser.head_.headers.add_stored(parser.name_, parser.value_);
        parser.name_ = parser.value_ = {};
        if (parser.head_.headers.size() + parser.trailers_.size() <= kMaxFields) return 0;
        parser.refusal_ = Reason::header_too_large;
        return HPE_USER;
    }

    static int on_headers_complete(llhttp_t* llhttp) {
        RequestParser& parser = of(llhttp);
        parser.keep_alive_ = llhttp_should_keep_alive(llhttp) != 0;
        const bool chunked = (llhttp->flags & F_CHUNKED) != 0;
        if ((llhttp->flags & F_CONTENT_LENGTH) != 0) parser.head_.content_length = llhttp->content_length;
        parser.head_.has_body = chunked || llhttp->content_length > 0;
        parser.in_body_ = true;
        return 0;
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

void RequestParser::reset() {
    restart(HTTP_REQUEST, FieldCallbacks::settings());
    head_.headers.clear();
    // Views of the text before.
    head_.method = head_.path = head_.query = head_.host = head_.authority = head_.upgrade = {};
    head_.version = HttpVersion::http11;
    head_.content_length.reset();
    head_.has_body = false;
    expects_continue_ = false;
}

Reason RequestParser::parse_head(Bytes head) {
    reset();
    const std::string_view text = head_.headers.store(head);
    const Reason reason = read_lines(text);
    if (llhttp_.upgrade && !head_.has_body) complete_ = true;  // an upgrade that nobody takes is an ordinary request
    if (reason == Reason::none) head_.upgrade = wanted_upgrade();
    return reason;
}

// RFC 9110, 7.8: what the client likes best stands first. Without Connection: upgrade it was meant for somebody before us
// (llhttp looks for that), and HTTP/1.0 has none.
std::string_view RequestParser::wanted_upgrade() const {
    const bool may_be = llhttp_.upgrade && head_.version == HttpVersion::http11 && head_.method == "GET";
    if (!may_be || head_.has_body) return {};
    const std::string_view wanted = head_.headers.get("upgrade");
    return trim(wanted.substr(0, wanted.find(',')));
}

Reason RequestParser::read_lines(Bytes text) {
    const RequestLine line = split_request_line(text);
    head_.method = line.method;
    if (!is_token(line.method) || !is_version(line.version)) return Reason::bad_request;
    if (line.version != "HTTP/1.1" && line.version != "HTTP/1.0") return Reason::version_not_supported;
    head_.version = line.version.back() == '1' ? HttpVersion::http11 : HttpVersion::http10;

    const llhttp_errno_t error = llhttp_execute(&llhttp_, text.data(), text.size());
    if (error != HPE_OK && error != HPE_PAUSED && error != HPE_PAUSED_UPGRADE) return refusal_of(error);
    // RTSP and ICE methods, which llhttp knows too, and tunnels.
    if (llhttp_.method >= HTTP_SOURCE || llhttp_.method == HTTP_CONNECT) return Reason::not_implemented;
    if (const Reason reason = check_fields(); reason != Reason::none) return reason;
    return read_target(line.target);
}

Reason RequestParser::refusal_of(llhttp_errno_t error) const {
    if (refusal_ != Reason::none) return refusal_;
    // The second is how llhttp says that a method is not HTTP's.
    if (error == HPE_INVALID_METHOD || (error == HPE_INVALID_CONSTANT && llhttp_.method >= HTTP_SOURCE))
        return Reason::not_implemented;
    return error == HPE_INVALID_VERSION ? Reason::version_not_supported : Reason::bad_request;
}

// RFC 9112, 3.2: exactly one Host from HTTP/1.1 on, never two.
Reason RequestParser::check_fields() {
    const std::size_t hosts = head_.headers.count("host");
    const std::string_view host = head_.headers.get("host");
    if (hosts > 1 || (hosts == 0 && head_.version == HttpVersion::http11)) return Reason::bad_request;
    if (!normalise_host(const_cast<char*>(host.data()), host.size())) return Reason::bad_request;
    const std::string_view expectation = head_.headers.get("expect");
    if (!expectation.empty() && head_.version == HttpVersion::http11) {
        if (!iequals(expectation, "100-continue")) return Reason::expectation_failed;
        expects_continue_ = head_.has_body;
    }
    return check_transfer_encoding();
}

// RFC 9112, 6.1: a coding that we do not know is 501; none at all may be given twice or to HTTP/1.0.
Reason RequestParser::check_transfer_encoding() const {
    const std::size_t count = head_.headers.count("transfer-encoding");
    if (count == 0) return Reason::none;
    if (count > 1 || head_.version == HttpVersion::http10 || head_.headers.has("content-length"))
        return Reason::bad_request;
    return iequals(head_.headers.get("transfer-encoding"), "chunked") ? Reason::none : Reason::not_implemented;
}

// RFC 9112, 3.2: origin-form, absolute-form (whose authority stands above the Host field), or *.
Reason RequestParser::read_target(std::string_view target) {
    std::string_view authority = head_.headers.get("host");
    if (target[0] != '/' && !(target == "*" && head_.method == "OPTIONS")) {
        const std::size_t scheme = target.find("://");
        if (scheme == target.npos ||
            !(iequals(target.substr(0, scheme), "http") || iequals(target.substr(0, scheme), "https")))
            return Reason::bad_request;
        target.remove_prefix(scheme + 3);
        authority = target.substr(0, target.find_first_of("/?"));
        target.remove_prefix(authority.size());
        if (authority.empty()) return Reason::bad_request;
    }
    if (!set_target(head_, target)) return Reason::bad_request;
    const auto host =
        normalise_host(const_cast<char*>(authority.data()), authority.size());  // in our own copy of the head
    if (!host) return Reason::bad_request;
    head_.host = *host;
    head_.authority = authority;
    return Reason::none;
}

}  // namespace sluice::http1
