#include "core/net/socket_source.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <string>

#include "core/net/address.h"

using namespace sluice;

namespace {

const config::BindAddress kAnyPort{.host = "127.0.0.1", .port = 0};

config::BindAddress at_port_of(const Fd& fd) {
    const std::string text = Address::of_socket(fd.get())->text();
    return {.host = "127.0.0.1", .port = static_cast<std::uint16_t>(std::stoi(text.substr(text.find(':') + 1)))};
}

config::BindAddress unix_path(const std::string& path) {
    return {.kind = config::BindAddress::Kind::unix_socket, .path = path};
}

// As a listener comes to its socket.
Result<Fd> take(SocketSource& source, const std::string& name, const config::BindAddress& bind,
                Sharing sharing = Sharing::alone) {
    if (Fd offered = source.take_offered(name, bind)) return offered;
    return SocketSource::open(bind, sharing);
}

struct Folder {
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-socket.XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
};

}  // namespace

TEST_CASE("a new socket listens, does not block and is not inherited", "[socket_source]") {
    SocketSource source;
    const auto fd = take(source, "web", kAnyPort);
    REQUIRE(fd);
    int listens = 0;
    socklen_t size = sizeof listens;
    getsockopt(fd->get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    CHECK(listens == 1);
    CHECK((fcntl(fd->get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(fd->get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("an address in use is an error with its number", "[socket_source]") {
    SocketSource source;
    const auto first = take(source, "web", kAnyPort);
    const auto second = take(source, "web", at_port_of(*first));
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::address);
    CHECK(second.error().native == EADDRINUSE);
}

TEST_CASE("an offered socket is taken by its address, once, whatever its name", "[socket_source]") {
    SocketSource source;
    auto made = take(source, "web", kAnyPort);
    const auto bind = at_port_of(*made);
    const int number = made->get();
    source.offer("web", std::move(*made));
    const auto taken = take(source, "api", bind);
    REQUIRE(taken);
    CHECK(taken->get() == number);
    CHECK_FALSE(take(source, "web", bind));
}

TEST_CASE("an offer for another address is left alone, and closed when forgotten", "[socket_source]") {
    SocketSource source;
    auto made = take(source, "web", kAnyPort);
    const auto bind = at_port_of(*made);
    source.offer("web", std::move(*made));
    CHECK(take(source, "other", kAnyPort));
    CHECK_FALSE(SocketSource::open(bind, Sharing::alone));
    CHECK(source.forget_offers() == std::vector<std::string>{"web"});
    CHECK(take(source, "other", bind));
}

TEST_CASE("a stale socket file is replaced, one in use and other files are not", "[socket_source]") {
    const Folder folder;
    const std::string path = folder.path / "a.sock";
    SocketSource source;
    {
        const auto first = take(source, "web", unix_path(path));
        REQUIRE(first);
        const auto second = take(source, "web", unix_path(path));
        REQUIRE_FALSE(second);
        CHECK(second.error().native == EADDRINUSE);
    }
    CHECK(std::filesystem::exists(path));  // left behind by the first
    CHECK(take(source, "web", unix_path(path)));

    const std::string plain = folder.path / "file";
    const Fd file(open(plain.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_FALSE(take(source, "web", unix_path(plain)));
    CHECK(std::filesystem::is_regular_file(plain));
    CHECK_FALSE(take(source, "web", unix_path(folder.path / "missing" / "x.sock")));
}

TEST_CASE("port 0 takes an offer of any port of its host", "[socket_source]") {
    SocketSource source;
    auto made = take(source, "web", kAnyPort);
    const int number = made->get();
    source.offer("web", std::move(*made));
    CHECK_FALSE(source.take_offered("web", {.host = "127.0.0.2", .port = 0}));
    CHECK(source.take_offered("web", kAnyPort).get() == number);
}

TEST_CASE("a socket that systemd passes is taken by its name, whatever its address", "[socket_source]") {
    const config::BindAddress passed{.kind = config::BindAddress::Kind::systemd, .path = "front"};
    SocketSource source;
    const auto none = take(source, "web", passed);
    REQUIRE_FALSE(none);
    CHECK(none.error().native == ENOENT);
    Fd blocking(socket(AF_INET, SOCK_STREAM, 0));
    const auto any = Address::from(kAnyPort);
    REQUIRE(bind(blocking.get(), any->raw(), any->length()) == 0);
    source.offer("front", Fd(dup(blocking.get())));
    CHECK_FALSE(take(source, "web", passed));  // bound, but it does not listen
    REQUIRE(listen(blocking.get(), 1) == 0);
    source.offer("front", std::move(blocking));
    CHECK(source.forget_offers() == std::vector<std::string>{"front", "front"});
    auto again = take(source, "web", kAnyPort);
    fcntl(again->get(), F_SETFL, 0);
    fcntl(again->get(), F_SETFD, 0);
    source.offer("front", std::move(*again));
    const auto taken = take(source, "web", passed);
    REQUIRE(taken);
    CHECK((fcntl(taken->get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(taken->get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a unix socket whose file is gone cannot be reached: another is made", "[socket_source]") {
    const Folder folder;
    const std::string path = folder.path / "a.sock";
    SocketSource source;
    auto first = take(source, "web", unix_path(path));
    const int number = first->get();
    source.offer("web", std::move(*first));
    auto second = take(source, "web", unix_path(path));
    CHECK(second->get() == number);
    source.offer("web", std::move(*second));
    std::filesystem::remove(path);
    const auto third = take(source, "web", unix_path(path));
    REQUIRE(third);
    CHECK(third->get() != number);
    CHECK(std::filesystem::exists(path));
}

TEST_CASE("sockets share a port only if both want to", "[socket_source]") {
    SocketSource source;
    const auto first = take(source, "web", kAnyPort, Sharing::shared);
    REQUIRE(first);
    CHECK_FALSE(take(source, "web", at_port_of(*first)));
    CHECK(take(source, "web", at_port_of(*first), Sharing::shared));
    CHECK(socket_id(first->get()) != 0);
    CHECK(socket_id(-1) == 0);
}

TEST_CASE("of those who share a port one at a time may leave it to the others", "[socket_source]") {
    const auto first = SocketSource::open(kAnyPort, Sharing::shared);
    REQUIRE(first);
    CHECK_FALSE(right_to_leave(first->get()));  // nobody else listens
    const auto second = SocketSource::open(at_port_of(*first), Sharing::shared);
    REQUIRE(second);
    {
        const Fd right = right_to_leave(first->get());
        CHECK(right);
        CHECK_FALSE(right_to_leave(second->get()));
    }
    CHECK(right_to_leave(second->get()));
}
