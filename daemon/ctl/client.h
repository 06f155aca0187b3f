#pragma once
// The one way sluicectl talks to a daemon: a blocking HTTP/1.0 exchange over the admin socket, one connection each.
// HTTP/1.0 so that the answer ends with the connection and needs no decoding.
// It knows nothing of commands or JSON, and prints nothing.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sluice::ctl {

struct Request {
    std::string method;
    std::string target;  // path and query, already encoded
    std::string body;
    bool follows = false;                 // the answer may stay silent for any time
    std::optional<int> patience_seconds;  // what is usual for the method
};

struct Reply {
    int status = 0;
    std::string body;
    bool ok() const { return status >= 200 && status < 300; }
};

// Why no answer came: one line for a person, and what to try.
struct Unreachable {
    std::string reason;
    std::string hint;
};

using LineSink = std::function<void(std::string_view)>;

tl::expected<Reply, Unreachable> exchange(const std::string& socket_path, const Request& request);

// Hands each whole line of a good answer to `sink` as it comes; then `body` of the reply is empty.
// The body of any other answer is kept in the reply.
tl::expected<Reply, Unreachable> exchange_lines(const std::string& socket_path, const Request& request,
                                                const LineSink& sink);

// Nobody listens there: the file is a leftover, or gone. A daemon that hangs is not taken for one that has ended.
bool is_abandoned(const std::string& socket_path);

// The status of an answer's head, 0 when it is not HTTP.
int parse_status(std::string_view head);

std::string percent_encode(std::string_view text);

}  // namespace sluice::ctl
