#include "protocols/http2/request_reader.h"

#include <charconv>

#include "core/base/text.h"
#include "core/http/target.h"

namespace sluice::http2 {

void RequestReader::reset() {
    head_.headers.clear();
    head_.version = HttpVersion::http2;
    head_.method = head_.path = head_.query = head_.host = head_.authority = head_.upgrade = {};
    head_.has_body = false;
    head_.content_length.reset();
    trailers_.clear();
    method_.clear();
    target_.clear();
    authority_.clear();
    protocol_.clear();
    cookie_.clear();
    list_size_ = fields_ = 0;
    expects_continue_ = is_http_ = false;
}

bool RequestReader::keeps(Bytes name, Bytes value, std::size_t max_list) {
    list_size_ += name.size() + value.size() + kFieldOverhead;
    const bool crumb = name == "cookie";  // however many, they become one field
    return list_size_ <= max_list && (crumb || ++fields_ <= kMaxFields);
}

void RequestReader::add(Bytes name, Bytes value, std::size_t max_list) {
    if (!keeps(name, value, max_list)) return;
    if (name.starts_with(':')) return add_pseudo(name, value);
    // RFC 9113, 8.2.3: cookies may come in crumbs, and go on as one field.
    if (name == "cookie") cookie_.append(cookie_.empty() ? "" : "; ").append(value);
    else head_.headers.add(name, value);
}

void RequestReader::add_pseudo(Bytes name, Bytes value) {
    if (name == ":method") method_ = value;
    else if (name == ":path") target_ = value;
    else if (name == ":authority") authority_ = value;
    else if (name == ":protocol") protocol_ = value;
    else if (name == ":scheme") is_http_ = value == "http" || value == "https";
}

void RequestReader::add_trailer(Bytes name, Bytes value, std::size_t max_list) {
    // RFC 9110, 6.5.1: what frames or routes a message is no trailer.
    if (keeps(name, value, max_list) && name != "content-length" && name != "host") trailers_.add(name, value);
}

Reason RequestReader::finish(std::size_t max_list, bool has_body) {
    head_.method = method_;
    head_.upgrade = protocol_;
    head_.has_body = has_body && protocol_.empty();
    if (!fits(max_list)) return Reason::header_too_large;
    if (!cookie_.empty()) head_.headers.add("cookie", cookie_);
    if (method_ == "CONNECT" && protocol_.empty()) return Reason::not_implemented;
    const std::string_view length = head_.headers.get("content-length");
    // RFC 8441, 4 and 5: its DATA is no content, and goes on as long as the tunnel does.
    const bool is_tunnel = method_ == "CONNECT" && has_body && length.empty();
    if (!protocol_.empty() && !is_tunnel) return Reason::bad_request;
    if (std::uint64_t bytes = 0; !length.empty()) {
        std::from_chars(length.data(), length.data() + length.size(), bytes);
        head_.content_length = bytes;
    }
    const std::string_view expectation = head_.headers.get("expect");
    if (!expectation.empty() && !iequals(expectation, "100-continue")) return Reason::expectation_failed;
    expects_continue_ = !expectation.empty() && has_body;
    // RFC 9113, 8.3.1: a path begins with '/', but for that of OPTIONS *.
    const bool has_path = target_.starts_with('/') || target_ == "*";
    if (!is_http_ || !has_path || !set_target(head_, target_)) return Reason::bad_request;
    return read_host();
}

// RFC 9113, 8.3.1: a Host that says something else than :authority makes the request malformed.
Reason RequestReader::read_host() {
    const std::string_view field = head_.headers.get("host");
    if (head_.headers.count("host") > 1) return Reason::bad_request;
    if (authority_.empty() && field.empty()) return Reason::bad_request;
    if (!authority_.empty() && !field.empty() && !iequals(authority_, field)) return Reason::bad_request;
    if (authority_.empty()) authority_ = field;
    const auto host = normalise_host(authority_.data(), authority_.size());
    if (!host) return Reason::bad_request;
    head_.host = *host;
    head_.authority = authority_;
    return Reason::none;
}

}  // namespace sluice::http2
