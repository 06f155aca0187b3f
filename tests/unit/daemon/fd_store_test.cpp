#include "daemon/fd_store.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "tests/unit/daemon/reload_service.h"

using namespace sluice;

namespace {

// Hears what systemd would.
class Ear {
public:
    Ear() : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-ear.XXXXXX").string();
        folder_ = mkdtemp(name.data());
        sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
        const std::string path = folder_ / "notify";
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    ~Ear() {
        unsetenv("NOTIFY_SOCKET");
        std::filesystem::remove_all(folder_);
    }
    // "+web" for what is stored, "-web" for what is forgotten.
    std::vector<std::string> heard() {
        std::vector<std::string> all;
        std::array<char, 512> text;
        for (ssize_t size; (size = recv(fd_.get(), text.data(), text.size(), 0)) > 0;) {
            const std::string_view message(text.data(), static_cast<std::size_t>(size));
            const auto name = message.substr(message.find("FDNAME=") + 7);
            all.push_back((message.starts_with("FDSTORE=1") ? "+" : "-") + std::string(name));
        }
        return all;
    }

private:
    Fd fd_;
    std::filesystem::path folder_;
};

using Heard = std::vector<std::string>;

const std::string kWeb = "listeners: [{name: web, protocol: http, bind: '127.0.0.1:0'}";
const std::string kSafe = ", {name: safe, protocol: https, bind: '127.0.0.1:0', tls: {certificate: self-signed";

struct Stored : ReloadService {
    explicit Stored(const std::string& yaml) {
        save(yaml);
        REQUIRE(reloader->start());
    }
    void update(FdStore& store) { store.update(worker, *reloader->config()); }
    std::vector<Inherited> copies(const FdStore& store) { return store.copies(worker, *reloader->config()); }
};

Heard names_of(const std::vector<Inherited>& fds) {
    Heard names;
    for (const Inherited& item : fds) names.push_back(item.name);
    return names;
}

}  // namespace

TEST_CASE("names of an instance carry its mark", "[fd_store]") {
    CHECK(marked("web", "") == "web");
    CHECK(marked("web", "2") == "web@2");
    CHECK(unmarked("web", "") == "web");
    CHECK(unmarked("web@2", "2") == "web");
    CHECK(unmarked("web@2", "22").empty());
    CHECK(unmarked("web", "2").empty());
}

TEST_CASE("only differences are told to systemd", "[fd_store]") {
    Ear ear;
    const ServiceManager manager;
    Stored service(kWeb + kSafe + "}}]");
    FdStore store(manager, "");
    service.update(store);
    CHECK(ear.heard() == Heard{"+web", "+safe", "+tickets.safe"});
    service.update(store);
    CHECK(ear.heard().empty());
    service.save(kWeb + kSafe + ", session_tickets: false}}]");
    service.reload();
    service.update(store);
    CHECK(ear.heard() == Heard{"-tickets.safe"});
    service.worker.find("web")->stop(0);
    service.update(store);
    CHECK(ear.heard() == Heard{"-web"});
}

TEST_CASE("what was inherited is known, and what is something else is replaced", "[fd_store]") {
    Ear ear;
    const ServiceManager manager;
    Stored service(kWeb + kSafe + "}}]");
    FdStore before(manager, "b"), store(manager, "b"), other(manager, "b");
    auto fds = service.copies(before);
    CHECK(names_of(fds) == Heard{"web@b", "safe@b", "tickets.safe@b"});
    const InheritedTls tls = inherited_tls(fds, "b");
    REQUIRE(tls.contains("safe"));
    store.adopt(fds, tls);
    service.update(store);
    CHECK(ear.heard().empty());
    CHECK_FALSE(inherited_tls(fds, "").contains("safe"));

    fds[0].fd = Fd(socket(AF_INET, SOCK_STREAM, 0));
    fds.push_back({"safe@b", Fd(socket(AF_INET, SOCK_STREAM, 0))});
    fds.push_back({"gone", Fd(socket(AF_INET, SOCK_STREAM, 0))});
    other.adopt(fds, tls);
    service.update(other);
    CHECK(ear.heard() == Heard{"-gone", "-safe@b", "-web@b", "+web@b", "+safe@b"});
}

TEST_CASE("ticket keys survive as they are, sealed", "[fd_store]") {
    const ServiceManager manager;
    Stored service(kWeb + kSafe + "}}]");
    FdStore store(manager, "");
    auto fds = service.copies(store);
    const auto& keys = service.worker.find("safe")->pool().context()->tls->memory()->tickets;
    CHECK(inherited_tls(fds, "").at("safe")->tickets.export_keys() == keys.export_keys());
    CHECK(pwrite(fds[2].fd.get(), "x", 1, 0) == -1);
    CHECK(fcntl(fds[0].fd.get(), F_GETFD) == FD_CLOEXEC);
    fds[2].fd = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK(inherited_tls(fds, "").empty());
}

TEST_CASE("a process that has handed over is silent", "[fd_store]") {
    Ear ear;
    ServiceManager manager;
    manager.hand_over_to(17);
    CHECK(ear.heard().size() == 1);
    manager.ready("");
    manager.store("web", STDIN_FILENO);
    CHECK(ear.heard().empty());
}
