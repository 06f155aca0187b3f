#pragma once
// What the daemon keeps in systemd's fd store for the process that follows it: the listening sockets of its listeners and
// the ticket keys of those with TLS. Owned by the daemon; used in the loop.
// It tells systemd differences only, and does not know whether systemd has room for them (FileDescriptorStoreMax=).

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/net/tls_memory.h"
#include "core/net/worker.h"
#include "daemon/inheritance.h"
#include "daemon/reload_plan.h"
#include "daemon/service_manager.h"

namespace sluice {

class FdStore {
public:
    FdStore(const ServiceManager& service, std::string instance) : service_(service), instance_(std::move(instance)) {}

    // What systemd has stored, because it gave it to this process or to the one before.
    void adopt(const std::vector<Inherited>& fds, const InheritedTls& tls);
    // To be called when listeners, their sockets or their ticket keys may have changed, and now and then: ticket keys
    // change with time.
    void update(Worker& worker, const config::Config& config);

    // The sockets whose port others of this machine go on listening on are not kept for the next process: they would get
    // connections that nobody takes. True if there are any.
    bool forget_shared(Worker& worker, const config::Config& config);

    // All that a successor needs but the admin sockets, as duplicates.
    std::vector<Inherited> copies(Worker& worker, const config::Config& config) const;

private:
    // Something to be kept. `id` tells it from what was kept under its name before.
    struct Item {
        std::string name;
        std::uint64_t id;
        int socket;                 // -1: it is
        const TicketKeys* tickets;  // these
        bool passed;                // by a .socket unit, each time
    };
    void keep(const Item& item) const;
    std::vector<Item> items(Worker& worker, const config::Config& config) const;

    const ServiceManager& service_;
    const std::string instance_;
    std::map<std::string, std::uint64_t> stored_;  // by name: the id
    std::vector<Fd> rights_;                       // to leave what was forgotten
};

// Out of what was given: the ticket keys, by the name of their listener.
InheritedTls inherited_tls(const std::vector<Inherited>& fds, const std::string& instance);

}  // namespace sluice
