#include <sys/stat.h>

#include <set>
#include <string>

#include "daemon/daemon.h"
#include "daemon/process.h"
#include "tests/support/tls_keys.h"
#include "tests/unit/daemon/reload_service.h"

using namespace sluice;
using Catch::Contains;
using config::ReloadClass;

namespace {

// Accepts connections in the kernel's queue and answers nothing.
struct Backend {
    Backend() : port(free_port()), socket(*SocketSource::open({.host = "127.0.0.1", .port = port}, Sharing::alone)) {}
    std::string address() const { return "127.0.0.1:" + std::to_string(port); }
    // Those that came since the last call; they stay open.
    std::size_t accept_all() {
        std::size_t count = 0;
        for (int fd; (fd = ::accept4(socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; ++count)
            open.emplace_back(fd);
        return count;
    }
    std::uint16_t port;
    Fd socket;
    std::vector<Fd> open;
};

struct Proxy : ReloadService {
    // `extra`: further keys of the listener.
    std::string listener(const std::string& routes, const std::string& extra = {}) const {
        return "listeners:\n  - name: web\n    protocol: http\n    bind: 127.0.0.1:" + std::to_string(port) + "\n" +
               (extra.empty() ? "" : "    " + extra + "\n") + "    routes: [" + routes + "]\n";
    }
    std::string yaml(const std::string& upstreams, const std::string& extra = {}) const {
        return listener("{match: {path: /}, proxy: {upstream: api}}", extra) + "upstreams:\n" + upstreams;
    }
    void start(const std::string& yaml) {
        save(yaml);
        const auto started = reloader->start();
        CAPTURE(started ? std::vector<std::string>{} : texts_of(started.error().problems));
        REQUIRE(started);
    }
    admin::ReloadOutcome change_to(const std::string& yaml) {
        save(yaml);
        auto outcome = reload();
        CAPTURE(outcome.error_text());
        REQUIRE(outcome.ok);
        return outcome;
    }
    Cluster& cluster(const std::string& name) {
        REQUIRE(clusters.find(name));
        return *clusters.find(name);
    }
    std::set<std::uint64_t> endpoint_ids(const std::string& name) {
        std::set<std::uint64_t> ids;
        cluster(name).for_each_endpoint([&](Endpoint& endpoint) { ids.insert(endpoint.id()); });
        return ids;
    }
    const std::uint16_t port = free_port();
};

std::string upstream(const std::string& name, const std::string& address, const std::string& more = {}) {
    return "  - name: " + name + "\n    protocol: http\n    endpoints: [\"" + address + "\"]\n" +
           (more.empty() ? "" : "    " + more + "\n");
}

// An upstream `api` with an authority in a file.
struct SecuredProxy : Proxy {
    SecuredProxy() { save_ca(test::Authority().pem()); }
    std::string ca() const { return folder() / "ca.pem"; }
    void save_ca(const std::string& pem) const { std::ofstream(ca()) << pem; }
    std::string yaml(const std::string& pool = "min_connections: 0") const {
        return Proxy::yaml(upstream("api", "127.0.0.1:9", "tls: {ca: " + ca() + "}\n    pool: {" + pool + "}"));
    }
};

}  // namespace

TEST_CASE("upstreams of the first configuration are there and warm", "[reload][upstreams]") {
    Backend backend;
    Proxy service;
    service.start(service.yaml(upstream("api", backend.address(), "pool: {min_connections: 3}")));
    CHECK(service.cluster("api").settings().config.pool.min_connections == 3);
    CHECK(service.cluster("api").settings().module == &service.modules.client(config::UpstreamProtocol::http));
    std::size_t came = 0;
    for (int i = 0; i < 100 && came < 3; ++i) {
        service.turn();
        came += backend.accept_all();
    }
    CHECK(came == 3);
}

TEST_CASE("an unchanged upstream is left alone", "[reload][upstreams]") {
    Backend backend;
    Proxy service;
    service.start(service.yaml(upstream("api", backend.address(), "pool: {min_connections: 2}")));
    std::size_t came = 0;
    for (int i = 0; i < 100 && came < 2; ++i) {
        service.turn();
        came += backend.accept_all();
    }
    Cluster* before = service.clusters.find("api");
    const int line = before->settings().config.where.line;
    const auto ids = service.endpoint_ids("api");
    const ListenerContext* context = &service.context("web");
    const auto outcome = service.change_to(service.yaml(
        upstream("other", "127.0.0.1:9") + upstream("api", backend.address(), "pool: {min_connections: 2}")));
    CHECK(outcome.changes.size() == 1);
    CHECK(outcome.changes[0].upstream == "other");
    CHECK(service.clusters.find("api") == before);
    CHECK(before->settings().config.where.line == line);  // another in the file: it was not applied again
    CHECK(service.endpoint_ids("api") == ids);
    CHECK(&service.context("web") == context);
    service.turn();
    CHECK(backend.accept_all() == 0);
}

TEST_CASE("a changed upstream keeps its endpoints, and listeners their contexts", "[reload][upstreams]") {
    Proxy service;
    service.start(service.yaml(upstream("api", "127.0.0.1:9", "pool: {max_connections: 10}")));
    Cluster* before = service.clusters.find("api");
    const auto ids = service.endpoint_ids("api");
    const ListenerContext* context = &service.context("web");
    const auto outcome = service.change_to(service.yaml(upstream("api", "127.0.0.1:9", "pool: {max_connections: 20}")));
    REQUIRE(outcome.changes.size() == 1);
    CHECK(outcome.changes[0].key == "upstreams.api.pool.max_connections");
    CHECK(outcome.changes[0].upstream == "api");
    CHECK(outcome.changes[0].reload_class == ReloadClass::live);
    CHECK(service.clusters.find("api") == before);
    CHECK(before->settings().config.pool.max_connections == 20);
    CHECK(service.endpoint_ids("api") == ids);
    CHECK(&service.context("web") == context);
}

TEST_CASE("a removed upstream retires and is gone when no route leads to it", "[reload][upstreams]") {
    Proxy service;
    service.start(service.yaml(upstream("api", "127.0.0.1:9")));
    std::weak_ptr<Cluster> weak = service.clusters.all().at("api");
    std::shared_ptr<Cluster> held = weak.lock();
    const auto outcome = service.change_to(service.listener("{match: {path: /}, echo: {}}"));
    CHECK(outcome.changes.size() == 2);
    CHECK(service.clusters.find("api") == nullptr);
    CHECK(held->retired());
    held.reset();
    service.turn();
    CHECK(weak.expired());

    service.change_to(service.yaml(upstream("api", "127.0.0.1:9")));
    CHECK_FALSE(service.cluster("api").retired());
}

TEST_CASE("another protocol of an upstream brings its module", "[reload][upstreams]") {
    Proxy service;
    const std::string http = upstream("api", "127.0.0.1:9");
    service.start(service.yaml(http));
    Cluster* before = service.clusters.find("api");
    std::string http2 = http;
    http2.replace(http2.find("protocol: http"), 14, "protocol: http2");
    service.change_to(service.yaml(http2));
    CHECK(service.clusters.find("api") == before);
    CHECK(before->settings().module == &service.modules.client(config::UpstreamProtocol::http2));
}

TEST_CASE("a file of an upstream's TLS that is not there is told at its place", "[reload][upstreams][tls]") {
    SecuredProxy service;
    service.start(service.yaml());
    Cluster* before = service.clusters.find("api");
    const std::string missing = (service.folder() / "missing.pem").string();
    const std::string added = upstream("new", "127.0.0.1:9") + "    tls:\n      ca: " + missing + "\n";
    service.save(service.yaml("min_connections: 0, max_connections: 7") + added);
    const auto outcome = service.reload();
    CHECK_FALSE(outcome.ok);
    REQUIRE(outcome.errors.size() == 1);
    CHECK_THAT(outcome.errors[0], Contains("upstreams[1].tls.ca: ") && Contains(missing));
    CHECK_THAT(outcome.errors[0], Catch::Matches(".*sluice\\.yaml:1[0-9]:[0-9]+: .*"));
    CHECK(service.clusters.find("api") == before);
    CHECK(before->settings().config.pool.max_connections == 100);
    CHECK(service.clusters.find("new") == nullptr);
    CHECK(service.reloader->revision() == 1);
}

TEST_CASE("other content of an upstream's files is a change for new connections", "[reload][upstreams][tls]") {
    SecuredProxy service;
    service.start(service.yaml());
    CHECK(service.reloader->files().contains(service.ca()));
    Cluster* before = service.clusters.find("api");
    const std::string digest = before->settings().tls->digest();
    CHECK(service.change_to(service.yaml()).changes.empty());

    service.save_ca(test::Authority("Another").pem());
    const auto outcome = service.change_to(service.yaml());
    REQUIRE(outcome.changes.size() == 1);
    CHECK(outcome.changes[0].key == "upstreams.api.tls");
    CHECK(outcome.changes[0].upstream == "api");
    CHECK(outcome.changes[0].reload_class == ReloadClass::new_connections);
    CHECK(outcome.changes[0].from.substr(0, 8) == digest.substr(0, 8));
    CHECK(service.clusters.find("api") == before);
    CHECK(before->settings().tls->digest() != digest);
    CHECK(service.reloader->revision() == 2);
}

TEST_CASE("what a refused file names is followed beside what is in force", "[reload][upstreams][tls]") {
    SecuredProxy service;
    service.start(service.yaml());
    const auto before = service.reloader->files();
    REQUIRE_FALSE(before.empty());
    const std::string missing = service.folder() / "later.pem", name = before.begin()->first;
    std::string yaml = service.yaml();
    yaml.replace(yaml.find(name), name.size(), missing);
    service.save(yaml);
    REQUIRE_FALSE(service.reload().ok);
    auto expected = before;
    expected.emplace(missing, FileState{});
    CHECK(service.reloader->files() == expected);
    service.save("nonsense");
    REQUIRE_FALSE(service.reload().ok);
    CHECK(service.reloader->files() == before);
    std::filesystem::copy_file(name, missing);
    service.change_to(yaml);
    CHECK(service.reloader->files() == std::map<std::string, FileState>{{missing, FileState::of(missing)}});
}

TEST_CASE("an upstream goes on with its TLS context while that is the same", "[reload][upstreams][tls]") {
    SecuredProxy service;
    service.start(service.yaml());
    const TlsClientContext* tls = service.cluster("api").settings().tls.get();
    service.change_to(service.yaml("min_connections: 0, max_connections: 7"));
    CHECK(service.cluster("api").settings().config.pool.max_connections == 7);
    CHECK(service.cluster("api").settings().tls.get() == tls);
}

TEST_CASE("whom a listener trusts is part of what it runs with", "[reload]") {
    Proxy service;
    const std::string api = upstream("api", "127.0.0.1:9");
    service.start(service.yaml(api));
    CHECK(service.context("web").trusted_proxies.empty());
    service.change_to(service.yaml(api, "trusted_proxies: [10.0.0.0/8, unix]"));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0x0A010203);
    const PeerAddress inside = PeerAddress::from(reinterpret_cast<const sockaddr&>(address));
    CHECK(service.context("web").trusted_proxies.contains(inside));
    CHECK(service.context("web").proxy_protocol == config::ProxyProtocol::off);
    service.change_to(service.yaml(api, "trusted_proxies: [10.0.0.0/8]\n    proxy_protocol: v2"));
    CHECK(service.context("web").proxy_protocol == config::ProxyProtocol::v2);
}

TEST_CASE("connections to upstreams count for the limit of open files", "[daemon][upstreams]") {
    config::Config config;
    config.upstreams.resize(1);
    config.upstreams[0].endpoints.resize(2);
    config.upstreams[0].pool.max_connections = open_files_limit() / 2;
    CHECK(process_warnings(config).empty());
    config.upstreams[0].pool.max_connections += 1;
    REQUIRE(process_warnings(config).size() == 1);
    CHECK_THAT(process_warnings(config)[0], Contains("upstreams"));
}
