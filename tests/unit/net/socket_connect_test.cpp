// The SocketTransport that connects first.

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <functional>

#include "core/net/socket_source.h"
#include "core/net/socket_transport.h"

using namespace sluice;

namespace {

struct Seen final : TransportEvents {
    void on_ready() override { note("ready "); }
    void on_data(Bytes bytes) override {
        data += bytes;
        note("data ");
    }
    void on_writable() override { note("writable "); }
    void on_end() override { note("end "); }
    void on_error(Error what) override {
        error = what;
        note("error ");
    }
    void on_handshake_failed() override { note("failed "); }
    void note(const char* event) {
        inside = inside || calling;
        log += event;
        if (then) then();
    }
    std::string log, data;
    Error error;
    std::function<void()> then;
    bool calling = false, inside = false;
};

// A listening socket of the test's own, and one transport to it.
struct Line {
    explicit Line(bool is_unix = false) {
        std::signal(SIGPIPE, SIG_IGN);
        config::BindAddress bind{.host = "127.0.0.1", .port = 0};
        if (is_unix) bind = {config::BindAddress::Kind::unix_socket, "", 0, path()};
        auto made = SocketSource::open(bind, Sharing::alone);
        REQUIRE(made);
        listener = std::move(*made);
        address = *Address::of_socket(listener.get());
    }
    ~Line() {
        transport.reset();
        turn(3);
        CHECK(budget.used() == 0);
        CHECK_FALSE(seen.inside);
        ::unlink(path().c_str());
    }
    static std::string path() {
        return (std::filesystem::temp_directory_path() / ("sluice-connect-" + std::to_string(getpid()))).string();
    }
    void make(std::string first = {}) {
        auto made = SocketTransport::connect(loop, chunks, address, std::move(first));
        REQUIRE(made);
        transport = std::move(*made);
    }
    void start() {
        seen.calling = true;
        CHECK(transport->start(seen) == Start::later);
        seen.calling = false;
    }
    void open(std::string first = {}) {
        make(std::move(first));
        start();
        wait("ready ");
        accept();
    }
    void accept() {
        far = Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        REQUIRE(far);
    }
    void turn(int count = 1) {
        while (count-- > 0) uv_run(loop.raw(), UV_RUN_NOWAIT);
    }
    void wait(std::string_view event) {
        const std::uint64_t limit = EventLoop::now_us() + 10'000'000;
        const auto came = [&] { return seen.log.find(event) != std::string::npos; };
        while (!came() && EventLoop::now_us() < limit) turn();
        REQUIRE(came());
    }
    void write(std::string_view text) {
        ByteQueue queue(chunks);
        queue.append(text);
        seen.calling = true;
        transport->write(std::move(queue));
        seen.calling = false;
    }
    // Until all of the text came.
    std::string read_far(std::size_t size) {
        std::string all;
        std::array<char, 65536> buffer;
        for (int i = 0; i < 100'000 && all.size() < size; ++i) {
            const ssize_t count = ::read(far.get(), buffer.data(), buffer.size());
            if (count > 0) all.append(buffer.data(), static_cast<std::size_t>(count));
            turn();
        }
        return all;
    }
    bool far_ended() {
        char byte;
        return ::read(far.get(), &byte, 1) == 0;
    }

    MemoryBudget budget{1 << 30};
    ChunkPool chunks{budget};
    EventLoop loop;
    Seen seen;
    Fd listener, far;
    Address address;
    std::unique_ptr<Transport> transport;
};

// Ours to the port: the kernel knows what was set on it.
int option_of_socket_to(const Address& address, int level, int name) {
    for (int fd = 3; fd < 256; ++fd) {
        sockaddr_storage peer{};
        socklen_t length = sizeof peer;
        if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) continue;
        if (!(Address::from(reinterpret_cast<sockaddr&>(peer), length) == address)) continue;
        int value = -1;
        socklen_t size = sizeof value;
        getsockopt(fd, level, name, &value, &size);
        return value;
    }
    return -1;
}

// Nobody accepts: once the backlog is full, a connect to it goes on for long.
struct FullListener {
    FullListener() {
        listener = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
        REQUIRE(listen(listener.get(), 0) == 0);
        address = *Address::of_socket(listener.get());
        for (Fd& filler : fillers) {
            filler = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            ::connect(filler.get(), address.raw(), address.length());
        }
    }
    Fd listener;
    Address address;
    std::array<Fd, 4> fillers;
};

}  // namespace

TEST_CASE("a transport connects, and what was given to it before goes out in its order", "[socket_connect]") {
    Line line(GENERATE(false, true));
    line.make("first ");
    line.start();
    line.write("second ");
    line.write("third");
    CHECK(line.transport->pending_bytes() == 18);
    CHECK(line.seen.log.empty());
    line.wait("ready ");
    line.accept();
    CHECK(line.read_far(18) == "first second third");
    CHECK(line.transport->pending_bytes() == 0);
    REQUIRE(::write(line.far.get(), "answer", 6) == 6);
    line.wait("data ");
    CHECK(line.seen.data == "answer");
    line.write("fourth");
    CHECK(line.read_far(6) == "fourth");
}

TEST_CASE("much that is written before there is a connection arrives whole", "[socket_connect]") {
    Line line;
    const std::string text(3'000'000, 'x');
    line.make("head ");
    line.start();
    line.write(text);
    line.wait("ready ");
    line.accept();
    CHECK(line.read_far(text.size() + 5) == "head " + text);
    line.turn(2);
    CHECK(line.seen.log.find("writable ") != std::string::npos);
    CHECK(line.transport->pending_bytes() == 0);
}

TEST_CASE("a connected TCP socket does not delay small pieces", "[socket_connect]") {
    Line line;
    line.open();
    CHECK(option_of_socket_to(line.address, IPPROTO_TCP, TCP_NODELAY) == 1);
}

TEST_CASE("a refused connection is told later, with its errno", "[socket_connect]") {
    Line line;
    line.listener = Fd();
    line.make("never sent");
    line.start();
    line.write("nor this");
    line.wait("error ");
    CHECK(line.seen.log == "error ");
    CHECK(line.seen.error.code == Errc::refused);
    CHECK(line.seen.error.native == ECONNREFUSED);
    line.write("ignored");
    line.transport->resume_read();
    line.transport->shutdown();
    line.turn(3);
    CHECK(line.seen.log == "error ");
}

TEST_CASE("an address that the kernel refuses at once is told later, too", "[socket_connect]") {
    Line line;
    line.address = *Address::from({.host = "255.255.255.255", .port = 9});
    line.make("x");
    line.start();
    line.wait("error ");
    CHECK(line.seen.error.code == Errc::system);
    CHECK(line.seen.error.native != 0);
    line.turn(3);
    CHECK(line.seen.log == "error ");
    CHECK_FALSE(SocketTransport::connect(line.loop, line.chunks, Address()));
}

TEST_CASE("a unix socket that is not there, or that nobody listens on, is told", "[socket_connect]") {
    Line line(true);
    const bool removed = GENERATE(false, true);
    line.listener = Fd();
    if (removed) ::unlink(Line::path().c_str());
    line.make("x");
    line.start();
    line.write("y");
    line.wait("error ");
    CHECK(line.seen.error.code == (removed ? Errc::system : Errc::refused));
    CHECK(line.seen.error.native == (removed ? ENOENT : ECONNREFUSED));
    line.turn(3);
    CHECK(line.seen.log == "error ");
}

TEST_CASE("a transport that still connects may be closed or die", "[socket_connect]") {
    FullListener full;
    Line line;
    line.address = full.address;
    const bool started = GENERATE(true, false), dies = GENERATE(true, false);
    line.make("never sent");
    if (started) line.start();
    line.write("nor this");
    line.turn(3);
    CHECK(line.seen.log.empty());
    CHECK_FALSE(line.transport->looks_alive());
    if (dies) line.transport.reset();
    else line.transport->close();
    CHECK(line.budget.used() == 0);
    line.turn(3);
    CHECK(line.seen.log.empty());
}

TEST_CASE("a transport may be closed in the event that tells of its connection", "[socket_connect]") {
    Line line;
    const bool refused = GENERATE(false, true);
    if (refused) line.listener = Fd();
    line.seen.then = [&] { line.transport->close(); };
    line.make("first");
    line.start();
    line.wait(refused ? "error " : "ready ");
    line.turn(3);
    CHECK(line.seen.log == (refused ? "error " : "ready "));
}

TEST_CASE("shutdown before there is a connection is a FIN behind all that was written", "[socket_connect]") {
    Line line;
    const bool writes = GENERATE(true, false);
    line.make(writes ? "last words" : "");
    line.start();
    line.transport->shutdown();
    line.wait("ready ");
    line.accept();
    if (writes) CHECK(line.read_far(10) == "last words");
    line.turn(2);
    CHECK(line.far_ended());
}

TEST_CASE("a transport that was paused while it connected reads nothing until it is resumed", "[socket_connect]") {
    Line line;
    line.make();
    line.start();
    line.transport->pause_read();
    line.wait("ready ");
    line.accept();
    REQUIRE(::write(line.far.get(), "early", 5) == 5);
    line.turn(3);
    CHECK(line.seen.data.empty());
    line.transport->resume_read();
    line.wait("data ");
    CHECK(line.seen.data == "early");
}

TEST_CASE("a connection looks alive while nothing can be read on it", "[socket_connect]") {
    Line line(GENERATE(false, true));
    line.open();
    CHECK(line.transport->looks_alive());
    REQUIRE(::write(line.far.get(), "x", 1) == 1);
    CHECK_FALSE(line.transport->looks_alive());
    line.wait("data ");
    CHECK(line.transport->looks_alive());
    ::shutdown(line.far.get(), SHUT_WR);
    CHECK_FALSE(line.transport->looks_alive());
    line.wait("end ");
    CHECK_FALSE(line.transport->looks_alive());
}
