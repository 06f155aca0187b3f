#pragma once
// The heads of requests and responses, the same for every HTTP version. A RequestHead is owned by its stream; its views
// point into its own buffers. It is movable by nobody: handlers get a reference that lives as long as their stream.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/http/header_map.h"

namespace sluice {

enum class HttpVersion : std::uint8_t { http10, http11, http2 };

struct RequestHead {
    RequestHead() = default;
    RequestHead(const RequestHead&) = delete;
    RequestHead& operator=(const RequestHead&) = delete;

    std::string_view method;
    std::string_view path;       // normalised; "*" for OPTIONS *
    std::string_view query;      // with its '?'; empty if there is none
    std::string_view host;       // lower case, without port and final dot; of the target or the Host field
    std::string_view authority;  // what `host` was made of: lower case, with the port as it came
    // The protocol that the client wants to go over to: of an Upgrade field that Connection names (GET, HTTP/1.1), or of
    // an extended CONNECT (:protocol). As it came; empty: none.
    std::string_view upgrade;
    HttpVersion version = HttpVersion::http11;
    bool has_body = false;
    std::optional<std::uint64_t> content_length;  // bytes, if it was told
    HeaderMap headers;
    std::string path_buffer;  // what `path` refers to when normalising changed it
};

struct ResponseHead {
    int status = 200;
    std::optional<std::uint64_t> content_length;  // bytes; not given: framed by the protocol
    HeaderMap headers;                            // without framing fields
    bool dated = false;                           // they have a Date of its own
};

// "Not Found"; "" for a code that RFC 9110 does not name.
std::string_view reason_phrase(int status);
// RFC 9110, 6.4.1: these never have content.
constexpr bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

}  // namespace sluice
