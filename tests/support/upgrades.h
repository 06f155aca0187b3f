#pragma once
// An upgrade to a protocol of the test's own, "raw": what comes is echoed, byte by byte, until "quit", and what happens is
// noted.
// A RawLog is owned by the test and outlives the sessions that write it. The targets belong to their contexts.

#include <memory>
#include <string>
#include <vector>

#include "core/http/stream.h"
#include "core/net/listener_context.h"
#include "core/net/session.h"

namespace sluice::test {

struct RawLog {
    std::string got;
    std::vector<std::string> events;  // handler gone, made, start, read (once), quit, end, close, kill, gone
    bool says_farewell = true;        // kill() is answered with "killed", and an end of its own
    bool refuses = false;             // ends in start()
    bool is_idle = false;
    Stream* stream = nullptr;  // of a request that waits for its 101; null when its handler is gone
    int waiting_successors = 0;

    void note(const char* event) { events.emplace_back(event); }
    std::string text() const;  // the events, with a space after each
    // What the handler of a request that waits would do.
    void hand_over();
};

// A 101 to "raw".
ResponseHead raw_head();
std::unique_ptr<Successor> raw_successor(RawLog& log);

// "/now" is handed over at once, "/later" when the test says so; requests without an upgrade to raw get "hello".
Ref<const ListenerContext> raw_context(RawLog& log, ProtocolModule& module, const config::PoolSettings& pool = {});

// As plain_answers shows it.
inline const std::string kSwitched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n";
inline const std::string kToRaw = "Connection: Upgrade\r\nUpgrade: raw\r\n";

}  // namespace sluice::test
