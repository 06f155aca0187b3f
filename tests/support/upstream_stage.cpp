#include "tests/support/upstream_stage.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>

#include "core/net/socket_source.h"

namespace sluice::test {

// --- the servers ---

FarEnd::FarEnd() {
    listener_ = *SocketSource::open({.host = "127.0.0.1", .port = 0}, Sharing::alone);
    address_ = *Address::of_socket(listener_.get());
    const std::string text = address_.text();
    config.host = "127.0.0.1";
    config.port = static_cast<std::uint16_t>(std::stoi(text.substr(text.rfind(':') + 1)));
}

void FarEnd::listen_again() {
    listener_ = *SocketSource::open({.host = "127.0.0.1", .port = config.port}, Sharing::alone);
}

void FarEnd::accept_all() {
    while (listener_) {
        Fd line(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!line) return;
        lines_.push_back(std::move(line));
    }
}

void FarEnd::hang_up(std::size_t index) {
    received(index);  // what is unread would make an RST of the FIN
    lines_.at(index) = Fd();
}

void FarEnd::say(std::size_t index, Bytes bytes) {
    REQUIRE(::send(lines_.at(index).get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == ssize_t(bytes.size()));
}

std::string FarEnd::received(std::size_t index) {
    std::array<char, 4096> buffer;
    std::string all;
    for (ssize_t count; (count = ::read(lines_.at(index).get(), buffer.data(), buffer.size())) > 0;)
        all.append(buffer.data(), static_cast<std::size_t>(count));
    return all;
}

std::size_t FarEnd::sockets() const {
    constexpr int kMostFds = 256;
    std::size_t count = 0;
    for (int fd = 3; fd < kMostFds; ++fd) {
        sockaddr_storage peer{};
        socklen_t length = sizeof peer;
        if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) continue;
        count += Address::from(reinterpret_cast<sockaddr&>(peer), length) == address_;
    }
    return count;
}

// --- requests ---

Asker::~Asker() { give_up(); }

Asker& Asker::ask() {
    const Cluster::Grant grant = cluster_.acquire(*this);
    if (grant.connection) on_granted(*grant.connection);
    else if (grant.refusal != Failure::none) on_refused(grant.refusal);
    return *this;
}

void Asker::give_up() {
    if (linked()) cluster_.cancel(*this);
    if (stream && !stream->over()) static_cast<ClientStream*>(stream)->cancel();
    stream = nullptr;
}

void Asker::on_granted(UpstreamConnection& granted) {
    connection = granted.id();
    granted_by = endpoint->id();
    OutgoingRequest request;
    request.method = wants_fresh ? "POST" : "GET";
    request.target = "/";
    stream = static_cast<FakeClientStream*>(&granted.open(request, End::yes, *this));
    note("granted ");
}

void Asker::on_refused(Failure failure) {
    refused = failure;
    note("refused ");
}

void Asker::over(const char* event) {
    stream = nullptr;
    note(event);
}

void Asker::note(const char* event) {
    log += event;
    if (order) order->push_back(this);
    if (then) then();
}

// --- the stage ---

UpstreamStage::UpstreamStage(std::size_t count, std::uint32_t slots) : module(slots) {
    std::signal(SIGPIPE, SIG_IGN);
    settings.name = "api";
    settings.pool.max_connections = 10;
    settings.pool.max_lifetime = config::Millis(0);
    settings.pool.max_requests_per_connection = 0;
    settings.slow_start = config::Millis(0);
    settings.passive_health.consecutive_errors = 0;
    if (slots > 1) settings.protocol = config::UpstreamProtocol::http2;
    for (std::size_t i = 0; i < count; ++i) settings.endpoints.push_back(ends.emplace_back().config);
    cluster = std::make_shared<Cluster>(worker, settings.name);
}

UpstreamStage::~UpstreamStage() {
    askers.clear();
    cluster.reset();
    turn();
    worker.loop.bury();
    CHECK(module.alive().empty());
    CHECK(module.misuse == "");
    CHECK(too_many == 0);
    CHECK(worker.memory.used() == 0);
    if (!counts_sockets) return;
    for (const FarEnd& end : ends) CHECK(end.sockets() == 0);
}

void UpstreamStage::apply() { cluster->apply({settings, tls, &module}); }

void UpstreamStage::turn(int count) {
    while (count-- > 0) {
        uv_run(worker.loop.raw(), UV_RUN_NOWAIT);
        for (FarEnd& end : ends) end.accept_all();
        if (counts_sockets && cluster) count_sockets();
    }
}

void UpstreamStage::count_sockets() {
    for (const FarEnd& end : ends) too_many += end.sockets() > settings.pool.max_connections;
}

void UpstreamStage::pass(std::int64_t ms) {
    clock.pass(ms, 20, [this] { turn(1); });
    turn();
}

bool UpstreamStage::until(const std::function<bool()>& holds) {
    constexpr int kMost = 2000;
    for (int i = 0; i < kMost && !holds(); ++i) turn(1);
    return holds();
}

bool UpstreamStage::settles(std::uint32_t idle, std::uint32_t connecting) {
    until([&] { return endpoint().idle() == idle && endpoint().connecting() == connecting; });
    turn();
    return endpoint().idle() == idle && endpoint().connecting() == connecting;
}

Endpoint& UpstreamStage::endpoint(std::size_t index) {
    Endpoint* found = nullptr;
    cluster->for_each_endpoint([&](Endpoint& each) {
        if (index-- == 0) found = &each;
    });
    REQUIRE(found);
    return *found;
}

std::size_t UpstreamStage::endpoints() {
    std::size_t count = 0;
    cluster->for_each_endpoint([&](Endpoint&) { ++count; });
    return count;
}

Asker& UpstreamStage::ask() { return askers.emplace_back(*cluster).ask(); }

Asker& UpstreamStage::post() {
    Asker& asker = askers.emplace_back(*cluster);
    asker.wants_fresh = true;
    return asker.ask();
}

std::vector<Asker*> UpstreamStage::ask_many(std::size_t count) {
    std::vector<Asker*> all;
    while (all.size() < count) all.push_back(&ask());
    return all;
}

std::string UpstreamStage::decisions() {
    std::string text;
    for (const auto& [endpoint, decision] : cluster->decisions().entries())
        text += std::string(to_string(decision.rule)) + " " + std::to_string(decision.from) + "-" +
                std::to_string(decision.to) + " ";
    return text;
}

std::size_t UpstreamStage::events(EventType type) {
    std::size_t count = 0;
    for (std::uint64_t at = worker.events.first_sequence(); at < worker.events.next_sequence(); ++at)
        count += worker.events.at(at).type == type;
    return count;
}

}  // namespace sluice::test
