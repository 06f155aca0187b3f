#include "daemon/handover_link.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>

namespace sluice {

namespace {
constexpr std::size_t kMaxMessage = 16 * 1024;  // longer reasons of a failure are cut
}

HandoverLink::HandoverLink(EventLoop& loop, Fd fd, Receiver on_message)
    : fd_(std::move(fd)), poll_(new uv_poll_t), on_message_(std::move(on_message)) {
    uv_poll_init(loop.raw(), poll_.get(), fd_.get());
    poll_->data = this;
    uv_poll_start(poll_.get(), UV_READABLE | UV_DISCONNECT,
                  [](uv_poll_t* handle, int, int) { static_cast<HandoverLink*>(handle->data)->on_readable(); });
}

std::pair<Fd, Fd> HandoverLink::make_pair() {
    int ends[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return {};
    return {Fd(ends[0]), Fd(ends[1])};
}

pid_t HandoverLink::peer() const {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length);
    return credentials.pid;
}

std::string HandoverLink::receive(int fd, int at_most_ms) {
    pollfd entry{fd, POLLIN, 0};
    std::array<char, kMaxMessage> buffer;
    if (poll(&entry, 1, at_most_ms) <= 0) return "";
    const auto got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    return got <= 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(got));
}

void HandoverLink::send(int fd, std::string_view message) {
    (void)!::send(fd, message.data(), std::min(message.size(), kMaxMessage), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void HandoverLink::on_readable() {
    std::array<char, kMaxMessage> buffer;
    const auto got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) poll_.reset();
    on_message_(got <= 0 ? std::string_view() : std::string_view(buffer.data(), static_cast<std::size_t>(got)));
}

}  // namespace sluice
