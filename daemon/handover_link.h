#pragma once
// The line between a process and its successor in an upgrade: whole messages both ways, and each side sees the end of the
// other. Owned by the daemon; used in the loop, and destroyed through defer_delete: its receiver may be the one to end it.
//
//   successor                        predecessor
//   pid PID                    -->                       it has begun to load
//   ready, or failed TEXT      -->                       all is prepared, its loop does not run yet; or why it is not
//                              <--   go                  systemd was told that the successor is the service
//   serving                    -->                       its loop runs: the predecessor drains
//                              <--   (end)               it has drained; before `go`: the upgrade is off
//   hurry                      -->                       it is to be over with the drain now

#include <functional>
#include <string>
#include <string_view>

#include "core/net/event_loop.h"
#include "core/net/socket_source.h"

namespace sluice {

class HandoverLink final : public Deferred {
public:
    // on_message: "" for the end of the other side, after which nothing comes.
    using Receiver = std::function<void(std::string_view message)>;
    HandoverLink(EventLoop& loop, Fd fd, Receiver on_message);

    void send(std::string_view message) { send(fd_.get(), message); }
    void close() { poll_.reset(); }  // nothing comes any more, though it may already be waiting
    pid_t peer() const;              // the process that made the line; for its successor

    static std::pair<Fd, Fd> make_pair();
    // While no loop runs. receive: "" for the end of the other side, or of the time (ms).
    static void send(int fd, std::string_view message);
    static std::string receive(int fd, int at_most_ms);

private:
    void on_readable();

    Fd fd_;
    UvPtr<uv_poll_t> poll_;
    Receiver on_message_;
};

}  // namespace sluice
