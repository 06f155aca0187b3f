#include "daemon/fd_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <string_view>

namespace sluice {

namespace {

constexpr std::string_view kTickets = "tickets.";  // no listener's name has a dot

bool holds_tickets(std::string_view name) { return name.starts_with(kTickets); }

// Readable by whoever has it, and never to be changed again. None if the kernel has no room.
Fd sealed_file(const std::string& text) {
    Fd fd(memfd_create("sluice-tickets", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const bool written = fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (!written) return {};
    fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return fd;
}

Fd tickets_file(const TicketKeys& keys) {
    std::string text = keys.export_keys();
    Fd fd = sealed_file(text);
    explicit_bzero(text.data(), text.size());
    return fd;
}

std::shared_ptr<TlsMemory> read_tickets(int fd) {
    std::array<char, 1024> text{};
    const auto size = ::pread(fd, text.data(), text.size(), 0);
    auto memory = std::make_shared<TlsMemory>();
    const bool good =
        size > 0 && memory->tickets.import_keys(std::string_view(text.data(), static_cast<std::size_t>(size)));
    explicit_bzero(text.data(), text.size());
    return good ? memory : nullptr;
}

}  // namespace

InheritedTls inherited_tls(const std::vector<Inherited>& fds, const std::string& instance) {
    InheritedTls all;
    for (const Inherited& item : fds) {
        const std::string name = unmarked(item.name, instance);
        if (!holds_tickets(name)) continue;
        if (auto memory = read_tickets(item.fd.get())) all.emplace(name.substr(kTickets.size()), std::move(memory));
    }
    return all;
}

void FdStore::adopt(const std::vector<Inherited>& fds, const InheritedTls& tls) {
    for (const Inherited& item : fds) {
        const std::string name = unmarked(item.name, instance_);
        const bool tickets = holds_tickets(name);
        const auto keys = tickets ? tls.find(name.substr(kTickets.size())) : tls.end();
        const std::uint64_t keys_id = keys == tls.end() ? 0 : keys->second->tickets.newest();
        const auto [known, is_new] = stored_.emplace(item.name, tickets ? keys_id : socket_id(item.fd.get()));
        if (!is_new) known->second = 0;  // two under one name: only both can be forgotten
    }
}

std::vector<FdStore::Item> FdStore::items(Worker& worker, const config::Config& config) const {
    std::vector<Item> all;
    for (const auto& wanted : config.listeners) {
        Listener* listener = worker.find(wanted.name);
        if (!listener || listener->socket() < 0) continue;
        const bool passed = wanted.bind.kind == config::BindAddress::Kind::systemd;
        all.push_back({passed ? wanted.bind.path : marked(wanted.name, instance_), socket_id(listener->socket()),
                       listener->socket(), nullptr, passed});
        const auto& tls = listener->pool().context()->tls;
        if (!tls || !wanted.tls || !wanted.tls->session_tickets) continue;
        TicketKeys& keys = tls->memory()->tickets;
        if (keys.current(worker.loop.now_us(), tls->ticket_lifetime_us()))
            all.push_back({marked(std::string(kTickets) + wanted.name, instance_), keys.newest(), -1, &keys, false});
    }
    return all;
}

void FdStore::update(Worker& worker, const config::Config& config) {
    auto all = items(worker, config);
    std::erase_if(all, [](const Item& item) { return item.passed; });
    std::map<std::string, std::uint64_t> now;
    for (const Item& item : all) now.emplace(item.name, item.id);
    // First what is not to be kept: systemd keeps nothing twice, not even under another name.
    for (const auto& [name, id] : stored_)
        if (const auto kept = now.find(name); kept == now.end() || kept->second != id) service_.forget(name);
    for (const Item& item : all)
        if (const auto known = stored_.find(item.name); known == stored_.end() || known->second != item.id) keep(item);
    stored_ = std::move(now);
}

void FdStore::keep(const Item& item) const {
    if (item.tickets) service_.store(item.name, tickets_file(*item.tickets).get());
    else service_.store(item.name, item.socket);
}

bool FdStore::forget_shared(Worker& worker, const config::Config& config) {
    bool any = false;
    for (const auto& wanted : config.listeners) {
        const Listener* listener = worker.find(wanted.name);
        const auto known = stored_.find(marked(wanted.name, instance_));
        if (!wanted.reuse_port || !listener || known == stored_.end()) continue;
        Fd right = right_to_leave(listener->socket());
        if (!right) continue;
        rights_.push_back(std::move(right));
        service_.forget(known->first);
        stored_.erase(known);
        any = true;
    }
    return any;
}

std::vector<Inherited> FdStore::copies(Worker& worker, const config::Config& config) const {
    std::vector<Inherited> all;
    for (const Item& item : items(worker, config))
        all.push_back(
            {item.name, item.tickets ? tickets_file(*item.tickets) : Fd(fcntl(item.socket, F_DUPFD_CLOEXEC, 3))});
    return all;
}

}  // namespace sluice
