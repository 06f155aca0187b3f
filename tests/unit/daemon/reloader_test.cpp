#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/daemon/reload_service.h"

using namespace sluice;
using config::ReloadClass;

namespace {

std::string listener(const std::string& name, std::uint16_t port, const std::string& pool = {}) {
    return "  - name: " + name + "\n    protocol: http\n    bind: 127.0.0.1:" + std::to_string(port) + "\n" +
           (pool.empty() ? "" : "    pool: {" + pool + "}\n") +
           "    routes: [{match: {path: /}, respond: {body: " + name + "}}]\n";
}

Fd connect_to(std::uint16_t port) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
}

// The body of the answer to GET /.
std::string ask(ReloadService& service, const Fd& fd) {
    const std::string request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    REQUIRE(write(fd.get(), request.data(), request.size()) == static_cast<ssize_t>(request.size()));
    for (int i = 0; i < 200; ++i) {
        service.turn(1);
        pollfd ready{fd.get(), POLLIN, 0};
        if (poll(&ready, 1, 10) == 0) continue;
        std::array<char, 4096> buffer;
        const ssize_t count = read(fd.get(), buffer.data(), buffer.size());
        const std::string text(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
        const std::size_t head = text.find("\r\n\r\n");
        return head == text.npos ? text : text.substr(head + 4);
    }
    return "no answer";
}

}  // namespace

TEST_CASE("a key of the class restart waits for a new generation", "[reload]") {
    const auto table =
        config::builtin_settings().with_class("pool.max_connections", config::Protocol::http, ReloadClass::restart);
    ReloadService service(table);
    const std::uint16_t port = free_port();
    service.save("listeners:\n" + listener("web", port, "max_connections: 100"));
    REQUIRE(service.reloader->start());
    const Fd old = connect_to(port);
    CHECK(ask(service, old) == "web");

    service.save("listeners:\n" + listener("web", port, "max_connections: 200, keep_alive_timeout: 77s"));
    const auto outcome = service.reload();
    REQUIRE(outcome.ok);
    REQUIRE(outcome.changes.size() == 2);
    for (const auto& change : outcome.changes) {
        const bool waits = change.key == "listeners.web.pool.max_connections";
        CHECK(change.reload_class == (waits ? ReloadClass::restart : ReloadClass::live));
    }
    CHECK(service.running("web").max_connections == 100);
    CHECK(service.running("web").keep_alive_timeout == std::chrono::seconds(77));
    REQUIRE(service.pending("web").size() == 1);
    CHECK(service.pending("web")[0].key == "pool.max_connections");
    CHECK(service.pending("web")[0].running == "100");
    CHECK(service.pending("web")[0].configured == "200");

    // Another reload in between does not let it slip in.
    service.save("listeners:\n" + listener("web", port, "max_connections: 200, keep_alive_timeout: 78s"));
    REQUIRE(service.reload().ok);
    CHECK(service.running("web").max_connections == 100);
    CHECK(service.pending("web").size() == 1);
    CHECK(service.worker.find("web")->pool().generation() == 1);

    service.restart("web");
    CHECK(service.running("web").max_connections == 200);
    CHECK(service.pending("web").empty());
    CHECK(service.worker.find("web")->pool().generation() == 2);
    std::array<char, 1> nothing;
    ssize_t got = -1;
    while (got < 0) {  // its client might be about to ask again
        uv_run(service.worker.loop.raw(), UV_RUN_ONCE);
        got = recv(old.get(), nothing.data(), 1, MSG_DONTWAIT);
    }
    CHECK(got == 0);  // idle in the old generation: closed in order
    const Fd fresh = connect_to(port);
    CHECK(ask(service, fresh) == "web");
}

TEST_CASE("a pending key that is set back is pending no more", "[reload]") {
    const auto table =
        config::builtin_settings().with_class("pool.max_connections", config::Protocol::http, ReloadClass::restart);
    ReloadService service(table);
    const std::uint16_t port = free_port();
    const std::string before = "listeners:\n" + listener("web", port, "max_connections: 100");
    service.save(before);
    REQUIRE(service.reloader->start());
    service.save("listeners:\n" + listener("web", port, "max_connections: 200"));
    REQUIRE(service.reload().ok);
    CHECK(service.pending("web").size() == 1);
    service.save(before);
    REQUIRE(service.reload().ok);
    CHECK(service.pending("web").empty());
    CHECK(service.running("web").max_connections == 100);
}

TEST_CASE("two listeners swap their addresses in one reload, and keep their connections", "[reload]") {
    ReloadService service;
    const std::uint16_t first = free_port(), second = free_port();
    service.save("listeners:\n" + listener("one", first) + listener("two", second));
    REQUIRE(service.reloader->start());
    const Fd to_one = connect_to(first), to_two = connect_to(second);
    CHECK(ask(service, to_one) == "one");
    CHECK(ask(service, to_two) == "two");
    const Fd in_queue = connect_to(first);  // waits in the backlog when the reload comes

    service.save("listeners:\n" + listener("one", second) + listener("two", first));
    const auto outcome = service.reload();
    CAPTURE(outcome.error_text());
    REQUIRE(outcome.ok);
    CHECK(outcome.changes.size() == 2);
    CHECK(service.worker.find("one")->address() == "127.0.0.1:" + std::to_string(second));
    const Fd new_first = connect_to(first), new_second = connect_to(second);
    CHECK(ask(service, new_first) == "two");
    CHECK(ask(service, new_second) == "one");
    CHECK(ask(service, to_one) == "one");
    CHECK(ask(service, to_two) == "two");
    CHECK(ask(service, in_queue) != "no answer");
    CHECK(service.stopped == 0);
    CHECK(service.worker.retiring.empty());
}

TEST_CASE("a reload that cannot be done changes nothing", "[reload]") {
    ReloadService service;
    const std::uint16_t port = free_port(), taken = free_port();
    service.save("listeners:\n" + listener("web", port));
    REQUIRE(service.reloader->start());
    const auto blocker = SocketSource::open({.host = "127.0.0.1", .port = taken}, Sharing::alone);
    REQUIRE(blocker);
    service.save("listeners:\n" + listener("web", port, "max_connections: 5") + listener("more", taken));
    const auto outcome = service.reload();
    CHECK_FALSE(outcome.ok);
    REQUIRE(outcome.errors.size() == 1);
    CHECK(outcome.errors[0].find("listeners[1].bind: cannot listen on 127.0.0.1:" + std::to_string(taken)) !=
          std::string::npos);
    CHECK(service.running("web").max_connections == 10000);
    CHECK(service.worker.listeners.size() == 1);
    CHECK(service.reloader->revision() == 1);
    CHECK(service.applied == 1);
}

TEST_CASE("an unchanged file is no new revision", "[reload]") {
    ReloadService service;
    service.save("listeners:\n" + listener("web", free_port()));
    REQUIRE(service.reloader->start());
    CHECK(service.reload().changes.empty());
    CHECK(service.reloader->revision() == 1);
}

TEST_CASE("a removed listener drains and a new one listens", "[reload]") {
    ReloadService service;
    const std::uint16_t first = free_port(), second = free_port();
    service.save("listeners:\n" + listener("old", first));
    REQUIRE(service.reloader->start());
    Fd idle = connect_to(first);
    CHECK(ask(service, idle) == "old");
    service.save("listeners:\n" + listener("new", second));
    REQUIRE(service.reload().ok);
    service.turn();
    CHECK(service.worker.retiring.size() == 1);
    CHECK(ask(service, idle) == "old");  // somebody who was just answered may ask once more
    CHECK(ask(service, idle).empty());   // closed in order
    idle = Fd();
    service.turn();
    CHECK(service.stopped == 1);
    CHECK(ask(service, connect_to(second)) == "new");
    CHECK(service.worker.find("old") == nullptr);
}
