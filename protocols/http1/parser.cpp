#include "protocols/http1/parser.h"

#include "core/base/text.h"
#include "core/http/target.h"
#include "protocols/http1/head_scanner.h"

namespace sluice::http1 {

namespace {

std::string_view extended(std::string_view piece, const char* at, std::size_t length) {
    return piece.empty() ? std::string_view(at, length) : std::string_view(piece.data(), piece.size() + length);
}

bool is_version(std::string_view text) {
    return text.size() == 8 && text.substr(0, 5) == "HTTP/" && text[6] == '.' && text[5] >= '0' && text[5] <= '9' &&
           text[7] >= '0' && text[7] <= '9';
}

}  // namespace

struct RequestParser::Callbacks {
    static RequestParser& of(llhttp_t* llhttp) { return *static_cast<RequestParser*>(llhttp->data); }

    static int refuse(RequestParser& parser, Reason reason) {
        parser.refusal_ = reason;
        return HPE_USER;
    }

    static int on_field(llhttp_t* llhttp, const char* at, std::size_t length) {
        of(llhttp).name_ = extended(of(llhttp).name_, at, length);
        return 0;
    }

    static int on_value(llhttp_t* llhttp, const char* at, std::size_t length) {
        of(llhttp).value_ = extended(of(llhttp).value_, at, length);
        return 0;
    }

    static int on_value_complete(llhttp_t* llhttp) {
        RequestParser& parser = of(llhttp);
        parser.add_field();
        const std::size_t fields = parser.head_.headers.size() + parser.trailers_.size();
        return fields > kMaxFields ? refuse(parser, Reason::header_too_large) : 0;
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

    static int on_extension(llhttp_t* llhttp, const char*, std::size_t length) {
        RequestParser& parser = of(llhttp);
        parser.extension_bytes_ += length;
        return parser.extension_bytes_ > kMaxExtensions ? refuse(parser, Reason::bad_request) : 0;
    }

    // The trailer section is read as a whole, like the head.
    static int on_chunk_header(llhttp_t* llhttp) {
        if (llhttp->content_length > 0) return 0;
        of(llhttp).in_trailers_ = true;
        return HPE_PAUSED;
    }

    static int on_body(llhttp_t* llhttp, const char* at, std::size_t length) {
        of(llhttp).sink_.on_body_piece(Bytes(at, length));
        return 0;
    }

    // What follows belongs to the next request: it must not be read by this one.
    static int on_message_complete(llhttp_t* llhttp) {
        of(llhttp).complete_ = true;
        return HPE_PAUSED;
    }

    static const llhttp_settings_t& settings() {
        static const llhttp_settings_t kSettings = [] {
            llhttp_settings_t settings;
            llhttp_settings_init(&settings);
            settings.on_header_field = on_field;
            settings.on_header_value = on_value;
            settings.on_header_value_complete = on_value_complete;
            settings.on_headers_complete = on_headers_complete;
            settings.on_chunk_extension_name = on_extension;
            settings.on_chunk_extension_value = on_extension;
            settings.on_chunk_header = on_chunk_header;
            settings.on_body = on_body;
            settings.on_message_complete = on_message_complete;
            return settings;
        }();
        return kSettings;
    }
};

void RequestParser::reset() {
    llhttp_init(&llhttp_, HTTP_REQUEST, &Callbacks::settings());
    llhttp_.data = this;
    head_.headers.clear();
    head_.method = head_.path = head_.query = head_.host = {};  // views of the text before
    head_.version = HttpVersion::http11;
    head_.content_length.reset();
    head_.has_body = false;
    trailers_.clear();
    trailer_text_.clear();
    trailer_scanner_.reset();
    name_ = value_ = {};
    extension_bytes_ = 0;
    refusal_ = Reason::none;
    in_body_ = in_trailers_ = complete_ = keep_alive_ = expects_continue_ = false;
}

Reason RequestParser::parse_head(Bytes head) {
    reset();
    const std::string_view text = head_.headers.store(head);
    const Reason reason = read_lines(text);
    if (llhttp_.upgrade && !head_.has_body) complete_ = true;  // an upgrade that nobody takes is an ordinary request
    return reason;
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

void RequestParser::add_field() {
    // RFC 9110, 6.5.1: what frames or routes a message is no trailer.
    const bool frames =
        iequals(name_, "content-length") || iequals(name_, "transfer-encoding") || iequals(name_, "host");
    if (in_body_ && !frames) trailers_.add(name_, value_);
    if (!in_body_) head_.headers.add_stored(name_, value_);
    name_ = value_ = {};
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
    return Reason::none;
}

RequestParser::Fed RequestParser::feed_body(Bytes bytes, std::size_t max_trailers) {
    if (in_trailers_) return feed_trailers(bytes, max_trailers);
    const llhttp_errno_t error = llhttp_execute(&llhttp_, bytes.data(), bytes.size());
    if (error != HPE_OK && !in_trailers_ && !complete_) return {0, refusal_of(error)};
    if (complete_) sink_.on_body_end(trailers_);
    if (error == HPE_OK) return {bytes.size(), Reason::none};
    const auto consumed = static_cast<std::size_t>(llhttp_get_error_pos(&llhttp_) - bytes.data());
    if (in_trailers_) llhttp_resume(&llhttp_);
    return {consumed, Reason::none};
}

RequestParser::Fed RequestParser::feed_trailers(Bytes bytes, std::size_t max_trailers) {
    const std::size_t before = trailer_text_.size();
    trailer_text_.append(bytes.substr(0, max_trailers + 1 - std::min(before, max_trailers)));
    const auto verdict = trailer_scanner_.scan(trailer_text_);
    if (verdict == HeadScanner::Verdict::bad) return {0, Reason::bad_request};
    if (verdict == HeadScanner::Verdict::incomplete)
        return trailer_text_.size() > max_trailers ? Fed{0, Reason::header_too_large} : Fed{bytes.size(), Reason::none};
    const std::size_t size = trailer_scanner_.head_size();
    const llhttp_errno_t error = llhttp_execute(&llhttp_, trailer_text_.data(), size);
    if (!complete_) return {0, refusal_of(error)};
    sink_.on_body_end(trailers_);
    return {size - before, Reason::none};
}

}  // namespace sluice::http1
