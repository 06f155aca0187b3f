#include "core/net/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <string_view>

#include "core/base/log.h"
#include "core/net/worker.h"

namespace sluice {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

// The inode of a unix socket's file; 0 for other addresses, and when there is none.
std::uint64_t file_id(const std::string& address) {
    struct stat info;
    if (address.rfind(kUnixPrefix, 0) != 0 || lstat(address.c_str() + kUnixPrefix.size(), &info) != 0) return 0;
    return info.st_ino;
}

}  // namespace

const char* to_string(ListenerState state) {
    static constexpr const char* kNames[] = {"listening", "paused", "draining", "stopped"};
    return kNames[static_cast<int>(state)];
}

Listener::Listener(Worker& worker, Ref<const ListenerContext> context, Fd socket, Role role, Owner& owner)
    : worker_(worker), owner_(owner), role_(role), manager_(worker, std::move(context), *this) {
    rebind(std::move(socket));
}

Listener::~Listener() {
    if (socket_) remove_socket_file();
}

ListenerState Listener::state() const {
    if (!stopped_) return paused_ ? ListenerState::paused : ListenerState::listening;
    return manager_.active() > 0 ? ListenerState::draining : ListenerState::stopped;
}

void Listener::rebind(Fd socket) {
    if (socket_) accept_some(std::numeric_limits<int>::max());
    unwatch();
    if (socket_ && address_ != Address::of_socket(socket.get())->text()) remove_socket_file();
    handed_over_ = false;
    socket_ = std::move(socket);
    address_ = Address::of_socket(socket_.get())->text();
    file_id_ = file_id(address_);
    watch();
    if (stopped_ || !manager_.listening()) manager_.set_listening(true);
    stopped_ = false;
}

void Listener::watch() {
    auto* poll = new uv_poll_t;
    uv_poll_init(worker_.loop.raw(), poll, socket_.get());
    poll->data = this;
    poll_.reset(poll);
    resume();
}

void Listener::resume() {
    paused_ = false;
    uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
        auto* listener = static_cast<Listener*>(handle->data);
        listener->worker_.loop.note_work();
        listener->accept_some(kAcceptsPerTurn);
    });
}

void Listener::unwatch() { poll_.reset(); }

void Listener::stop(std::int64_t timeout_ms) {
    if (!stopped_) {
        accept_some(std::numeric_limits<int>::max());
        unwatch();
        remove_socket_file();
        socket_ = Fd();
        stopped_ = true;
        manager_.set_listening(false);
    }
    manager_.drain(timeout_ms);
}

// Only the path of a unix socket is left behind by closing it. Another process may have put its own there.
void Listener::remove_socket_file() {
    if (!handed_over_ && file_id_ != 0 && file_id_ == file_id(address_))
        ::unlink(address_.c_str() + kUnixPrefix.size());
}

int Listener::accept_some(int most) {
    int count = 0;
    while (count < most && !paused_ && accept_one()) ++count;
    return count;
}

bool Listener::accept_one() {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto& address = reinterpret_cast<sockaddr&>(storage);
    const int fd = accept4(socket_.get(), &address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return make_room(errno);
    manager_.add(fd, address.sa_family == AF_UNIX ? PeerAddress::of_unix_socket(fd) : PeerAddress::from(address));
    return true;
}

// After a failed accept: true if another try is worth it.
bool Listener::make_room(int error) {
    if (error == EAGAIN || error == EWOULDBLOCK) return false;
    // Linux passes on what befell the connection in the queue (accept(2)): the next one may be well.
    const bool short_of_means = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
    if (!short_of_means) return error != EBADF && error != EINVAL;
    if (role_ == Role::admin && worker_.reserve.give_one()) {
        worker_.loop.timers().arm(*this, worker_.loop.now_ms() + kPause);  // to fill the reserve again
        return true;
    }
    if (worker_.shed_idle(16) > 0) worker_.loop.schedule(*this);  // their descriptors are free now
    pause();
    return false;
}

void Listener::pause() {
    if (std::exchange(paused_, true)) return;
    uv_poll_stop(poll_.get());
    const std::int64_t now = worker_.loop.now_ms();
    worker_.loop.timers().arm(*this, now + kPause);
    if (now < next_warning_ms_) return;
    next_warning_ms_ = now + kWarningInterval;
    log::write(log::Level::warning, "no file descriptors left: accepting is paused", {{"LISTENER", name()}});
}

void Listener::run() { on_timer(worker_.loop.now_ms()); }

void Listener::on_timer(std::int64_t) {
    worker_.reserve.refill();
    if (stopped_ || !paused_) return;
    resume();
    accept_some(kAcceptsPerTurn);
}

void Listener::on_slot_freed() {
    if (paused_) worker_.loop.schedule(*this);
}

void Listener::on_drained() {
    if (stopped_) owner_.on_listener_drained(*this);
}

}  // namespace sluice
