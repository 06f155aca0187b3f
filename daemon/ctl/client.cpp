#include "daemon/ctl/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace sluice::ctl {
namespace {

constexpr std::size_t kMaxHead = 64 * 1024;
constexpr int kLookPatience = 10;  // s; a daemon that is not hung answers at once, but the machine may be busy
constexpr int kDeedPatience = 60;  // s; a reload waits for the file's text to be read and checked

class Socket {
public:
    explicit Socket(int fd) : fd_(fd) {}
    Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Socket& operator=(Socket&&) = delete;
    ~Socket() {
        if (fd_ >= 0) ::close(fd_);
    }
    int fd() const { return fd_; }

private:
    int fd_;
};

std::string hint_for(int error) {
    switch (error) {
        case ENOENT: return "is sluiced running? --socket or SLUICE_ADMIN_SOCKET names another socket";
        case ECONNREFUSED: return "nobody listens there: sluiced has ended, look into its log";
        case EACCES:
        case EPERM: return "only root and the socket's group may use it: try sudo, or set admin.group";
        case EAGAIN: return "sluiced does not answer: is it stopped or hung?";
        case EPIPE:
        case ECONNRESET: return "sluiced ended during the command, look into its log";
        default: return "";
    }
}

tl::unexpected<Unreachable> unreachable(const std::string& path, int error) {
    const char* what = error == EAGAIN ? "no answer in time" : std::strerror(error);
    return tl::unexpected(Unreachable{fmt::format("cannot reach sluiced at {}: {}", path, what), hint_for(error)});
}

tl::unexpected<Unreachable> not_http(const std::string& path) {
    return tl::unexpected(Unreachable{fmt::format("cannot reach sluiced at {}: the answer there is not HTTP", path),
                                      "is this the admin socket?"});
}

void set_patience(int fd, const Request& request) {
    const int usual = request.method == "GET" ? kLookPatience : kDeedPatience;
    const timeval patience{request.patience_seconds.value_or(usual), 0};
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (!request.follows) ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

// 0, or why it failed.
int connect_to(int fd, const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
    std::memcpy(address.sun_path, path.data(), path.size());
    return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

tl::expected<Socket, Unreachable> open_socket(const std::string& path, const Request& request) {
    Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd() < 0) return unreachable(path, errno);
    set_patience(socket.fd(), request);
    if (const int failed = connect_to(socket.fd(), path); failed != 0) return unreachable(path, failed);
    return socket;
}

int send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return 0;
}

std::string encode(const Request& request) {
    return fmt::format("{} {} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}", request.method,
                       request.target, request.body.size(), request.body);
}

// The next piece of the answer; empty at its end.
tl::expected<std::string, Unreachable> receive(int fd, const std::string& path) {
    std::array<char, 16384> buffer;
    for (;;) {
        const auto got = ::recv(fd, buffer.data(), buffer.size(), 0);
        if (got >= 0) return std::string(buffer.data(), static_cast<std::size_t>(got));
        if (errno != EINTR) return unreachable(path, errno);
    }
}

struct Head {
    int status = 0;
    std::string rest;  // what of the body came with it
};

tl::expected<Head, Unreachable> receive_head(int fd, const std::string& path) {
    std::string bytes;
    for (;;) {
        auto piece = receive(fd, path);
        if (!piece) return tl::unexpected(piece.error());
        bytes += *piece;
        const auto end = bytes.find("\r\n\r\n");
        if (end != std::string::npos) {
            const int status = parse_status(bytes);
            if (status == 0) return not_http(path);
            return Head{status, bytes.substr(end + 4)};
        }
        if (piece->empty() && bytes.empty()) return unreachable(path, ECONNRESET);
        if (piece->empty() || bytes.size() > kMaxHead) return not_http(path);
    }
}

// What is left after the whole lines of `pending` went to the sink.
std::string pass_lines(std::string pending, const LineSink& sink) {
    std::size_t start = 0;
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n', start)) {
        if (end > start) sink(std::string_view(pending).substr(start, end - start));
        start = end + 1;
    }
    return pending.substr(start);
}

struct Begun {
    Socket socket;
    Head head;
};

tl::expected<Begun, Unreachable> begin(const std::string& path, const Request& request) {
    auto socket = open_socket(path, request);
    if (!socket) return tl::unexpected(socket.error());
    const int failed = send_all(socket->fd(), encode(request));
    // An early refusal closes while we still write: its answer is waiting and says more than EPIPE.
    if (failed != 0 && failed != EPIPE && failed != ECONNRESET) return unreachable(path, failed);
    auto head = receive_head(socket->fd(), path);
    if (!head) return tl::unexpected(head.error());
    return Begun{std::move(*socket), std::move(*head)};
}

tl::expected<Reply, Unreachable> finish(Begun& begun, const std::string& path, const LineSink& sink) {
    Reply reply{begun.head.status, std::move(begun.head.rest)};
    const bool lines = sink && reply.ok();
    for (;;) {
        if (lines) reply.body = pass_lines(std::move(reply.body), sink);
        auto piece = receive(begun.socket.fd(), path);
        if (!piece) return tl::unexpected(piece.error());
        if (piece->empty()) return reply;
        reply.body += *piece;
    }
}

}  // namespace

int parse_status(std::string_view head) {
    if (!head.starts_with("HTTP/1.") || head.size() < 12 || head[8] != ' ') return 0;
    int status = 0;
    const auto [end, error] = std::from_chars(head.data() + 9, head.data() + 12, status);
    return error == std::errc{} && end == head.data() + 12 ? status : 0;
}

std::string percent_encode(std::string_view text) {
    std::string encoded;
    for (const unsigned char c : text) {
        const bool plain = std::isalnum(c) != 0 || std::strchr("-._~", c) != nullptr;
        if (plain && c != 0) {
            encoded += static_cast<char>(c);
        } else {
            encoded += fmt::format("%{:02X}", c);
        }
    }
    return encoded;
}

bool is_abandoned(const std::string& socket_path) {
    const Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int failed = connect_to(socket.fd(), socket_path);
    return failed == ECONNREFUSED || failed == ENOENT;
}

tl::expected<Reply, Unreachable> exchange(const std::string& socket_path, const Request& request) {
    return exchange_lines(socket_path, request, nullptr);
}

tl::expected<Reply, Unreachable> exchange_lines(const std::string& socket_path, const Request& request,
                                                const LineSink& sink) {
    auto begun = begin(socket_path, request);
    if (!begun) return tl::unexpected(begun.error());
    return finish(*begun, socket_path, sink);
}

}  // namespace sluice::ctl
