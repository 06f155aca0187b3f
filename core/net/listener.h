#pragma once
// One listener of the configuration: its socket and its pool. Accepts at most 64 connections a turn, pauses when
// file descriptors run out, and never spins. Owned by the Worker; destroyed after its drain through defer_delete.

#include <memory>
#include <string>

#include "core/net/connection_manager.h"
#include "core/net/socket_source.h"
#include "core/net/uv_ptr.h"

namespace sluice {

enum class ListenerState { listening, paused, draining, stopped };
const char* to_string(ListenerState state);

class Listener final : public Deferred, private ConnectionManager::Events, private Timer, private Task {
public:
    class Owner {
    public:
        virtual void on_listener_drained(Listener& listener) = 0;

    protected:
        ~Owner() = default;
    };
    enum class Role { service, admin };  // admin may use the fd reserve

    Listener(Worker& worker, Ref<const ListenerContext> context, Fd socket, Role role, Owner& owner);
    ~Listener() override;

    const std::string& name() const { return manager_.context()->name; }
    const std::string& address() const { return address_; }  // where it really listens, or did until stop()
    int socket() const { return socket_.get(); }             // -1 after stop()
    void share(Sharing sharing) { set_sharing(socket(), sharing); }
    // Another listener goes on with the socket: its file in the file system must stay.
    void hand_over() { handed_over_ = true; }
    ListenerState state() const;
    ConnectionManager& pool() { return manager_; }

    void update(Ref<const ListenerContext> context) { manager_.apply(std::move(context)); }
    // Accepts what waits on the old socket, then listens on the new one. Also ends a stop().
    void rebind(Fd socket);
    void restart(Ref<const ListenerContext> context) { manager_.restart(std::move(context)); }
    // Empties the accept queue, stops accepting and drains. timeout in ms. A second call only shortens the time.
    void stop(std::int64_t timeout_ms);

private:
    static constexpr int kAcceptsPerTurn = 64;
    static constexpr std::int64_t kPause = 100;               // ms without accepting when descriptors ran out
    static constexpr std::int64_t kWarningInterval = 10'000;  // ms

    void on_slot_freed() override;
    void on_drained() override;
    void on_timer(std::int64_t now_ms) override;
    void run() override;

    void watch();
    void unwatch();
    void pause();
    void resume();
    int accept_some(int most);
    bool accept_one();
    bool make_room(int error);
    void remove_socket_file();

    Worker& worker_;
    Owner& owner_;
    Role role_;
    ConnectionManager manager_;
    Fd socket_;
    std::string address_;
    std::uint64_t file_id_ = 0;  // of a unix socket's file: whose it is when we come to remove it
    UvPtr<uv_poll_t> poll_;
    std::int64_t next_warning_ms_ = 0;
    bool paused_ = false;
    bool stopped_ = false;
    bool handed_over_ = false;
};

}  // namespace sluice
