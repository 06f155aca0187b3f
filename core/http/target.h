#pragma once
// The request target in the one form that routes match and that is forwarded (RFC 9110, 4.2.3; RFC 3986, 6.2.2).

#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/http/message.h"

namespace sluice {

// Removes dot segments and decodes percent-encoded unreserved characters; everything else stays encoded, so that an
// encoded slash never matches as one. Returns `path` itself if nothing changes, else what it made of `buffer`.
// Errc::protocol: not absolute, a bad escape, or an encoded NUL.
Result<std::string_view> normalise_path(std::string_view path, std::string& buffer);

// The host of an authority or Host value in place: letters lowered, port and final dot removed.
// Errc::protocol: characters that no host has, a bad port, or user information.
Result<std::string_view> normalise_host(char* authority, std::size_t size);

// Fills path and query of a head whose method is known, from a target in origin-form, or "*" for OPTIONS. `target` and
// the head's path_buffer are what they point into. Errc::protocol as above, and for a fragment.
Status set_target(RequestHead& head, std::string_view target);

}  // namespace sluice
