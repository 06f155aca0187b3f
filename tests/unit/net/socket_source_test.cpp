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
    const auto fd = source.take("web", kAnyPort);
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
    const auto first = source.take("web", kAnyPort);
    const auto second = source.take("web", at_port_of(*first));
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::address);
    CHECK(second.error().native == EADDRINUSE);
}

TEST_CASE("an offered socket is taken by name and address, once", "[socket_source]") {
    SocketSource source;
    auto made = source.take("web", kAnyPort);
    const auto bind = at_port_of(*made);
    const int number = made->get();
    source.offer("web", std::move(*made));
    CHECK_FALSE(source.take("api", bind));  // another name: opens a new one, which cannot be
    const auto taken = source.take("web", bind);
    REQUIRE(taken);
    CHECK(taken->get() == number);
    CHECK_FALSE(source.take("web", bind));
}

TEST_CASE("an offer for another address is left alone, and closed when forgotten", "[socket_source]") {
    SocketSource source;
    auto made = source.take("web", kAnyPort);
    const auto bind = at_port_of(*made);
    source.offer("web", std::move(*made));
    CHECK(source.take("web", kAnyPort));
    CHECK_FALSE(source.take("other", bind));
    source.forget_offers();
    CHECK(source.take("other", bind));
}

TEST_CASE("a stale socket file is replaced, one in use and other files are not", "[socket_source]") {
    const Folder folder;
    const std::string path = folder.path / "a.sock";
    SocketSource source;
    {
        const auto first = source.take("web", unix_path(path));
        REQUIRE(first);
        const auto second = source.take("web", unix_path(path));
        REQUIRE_FALSE(second);
        CHECK(second.error().native == EADDRINUSE);
    }
    CHECK(std::filesystem::exists(path));  // left behind by the first
    CHECK(source.take("web", unix_path(path)));

    const std::string plain = folder.path / "file";
    const Fd file(open(plain.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_FALSE(source.take("web", unix_path(plain)));
    CHECK(std::filesystem::is_regular_file(plain));
    CHECK_FALSE(source.take("web", unix_path(folder.path / "missing" / "x.sock")));
}
