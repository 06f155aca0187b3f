#pragma once
// An upgrade as the predecessor sees it: starts the program file anew, hands it the sockets, and waits until it serves.
// Owned by the daemon; used in the loop; one upgrade at a time. Afterwards the line to the successor stays, for its
// `hurry`.
// What it does not do: drain. That is the daemon's, once the successor serves.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "daemon/handover_link.h"
#include "daemon/inheritance.h"
#include "daemon/loop_timer.h"

namespace sluice {

class Upgrade {
public:
    class Events {
    public:
        // It is prepared: whoever watches over this process is to be told that the other is the service.
        virtual void on_successor_ready(pid_t successor) = 0;
        virtual void on_successor_serves(pid_t successor) = 0;
        virtual void on_upgrade_failed(const std::string& why) = 0;  // also after on_successor_ready
        virtual void on_hurry() = 0;  // the successor is being stopped and waits for this process

    protected:
        ~Events() = default;
    };
    Upgrade(EventLoop& loop, Events& events);

    // The error: why the program could not be started. `arguments` without the program itself.
    Status start(const std::string& program, const std::vector<std::string>& arguments, std::vector<Inherited> fds);
    // The daemon is stopping: the successor, if it does not serve yet, is ended.
    void call_off();

private:
    Status spawn(const std::string& program, std::vector<std::string> arguments, const std::vector<Inherited>& fds,
                 int link);
    void on_message(std::string_view message);
    void give_up(const std::string& why);
    void fail(const std::string& why);

    EventLoop& loop_;
    Events& events_;
    LoopTimer patience_;
    std::unique_ptr<HandoverLink> link_;
    UvPtr<uv_process_t> child_;  // until it has left us behind, or has ended
    pid_t successor_ = 0;        // once it has told
    enum class Stage { none, loading, told, over } stage_ = Stage::none;
};

}  // namespace sluice
