#pragma once
// What makes sessions resumable, and must survive a reload for that: the ticket keys and the cache of sessions. One for
// a listener's name; each TlsContext hands it to the next. It belongs to the loop, but for self_signed(), which whoever
// prepares a context may call on another thread.

#include <array>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/net/tls_ptr.h"
#include "core/net/tls_self_signed.h"

namespace sluice {

// Two at most: the one that new tickets get, and the one before it, which is good for as long as its tickets are.
class TicketKeys {
public:
    struct Key {
        std::array<unsigned char, 16> name;
        std::array<unsigned char, 32> cipher;  // AES-256
        std::array<unsigned char, 32> mac;     // HMAC-SHA256
        std::uint64_t born_us;                 // EventLoop::now_us(); 0 = there is none
    };
    TicketKeys() = default;
    TicketKeys(const TicketKeys&) = delete;
    TicketKeys& operator=(const TicketKeys&) = delete;
    ~TicketKeys();

    // For a new ticket. A key older than `lifetime` is replaced first. Null if there is no randomness.
    const Key* current(std::uint64_t now_us, std::uint64_t lifetime_us);
    // The key of a ticket that came; null if it is not known, or no longer.
    const Key* find(const unsigned char* name, std::uint64_t now_us, std::uint64_t lifetime_us);

    std::uint64_t newest() const { return keys_[0].born_us; }  // changes with each new key; 0 = there is none yet
    // For the process that follows this one on the same machine. Secret: to be wiped by whoever has it.
    std::string export_keys() const;
    bool import_keys(std::string_view text);  // false, and nothing changes, if it is not what export_keys() returned

private:
    bool rotate(std::uint64_t now_us, std::uint64_t lifetime_us);
    std::array<Key, 2> keys_{};  // current, previous
};

// Sessions of clients that use no tickets, by their id, serialised. The least recently used goes first.
class SessionCache {
public:
    SessionCache() = default;
    SessionCache(const SessionCache&) = delete;
    SessionCache& operator=(const SessionCache&) = delete;
    ~SessionCache();

    void put(ssl_session_st& session, std::size_t limit);
    TlsPtr<ssl_session_st> get(std::string_view id);  // null if there is none
    void remove(std::string_view id);
    std::size_t size() const { return index_.size(); }

private:
    struct Entry {
        std::string id, der;
    };
    using Entries = std::list<Entry>;
    void drop(Entries::iterator entry);
    Entries entries_;                                                // the most recently used first
    std::unordered_map<std::string_view, Entries::iterator> index_;  // the keys are the entries' ids
};

class TlsMemory {
public:
    TicketKeys tickets;
    SessionCache sessions;

    // The same one until it is about to expire. Both null if OpenSSL fails.
    TlsKeyPair self_signed();

private:
    std::mutex mutex_;  // of own_
    TlsKeyPair own_;
};

}  // namespace sluice
