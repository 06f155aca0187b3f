#include "core/net/socket_transport.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <memory>
#include <string>

#include "core/net/socket_source.h"

using namespace sluice;

namespace {

struct Seen final : TransportEvents {
    void on_ready() override {}
    void on_data(Bytes bytes) override {
        inside = inside || calling;
        data += bytes;
    }
    void on_writable() override {
        inside = inside || calling;
        ++writable;
    }
    void on_end() override { ++ends; }
    void on_error(Error what) override {
        inside = inside || calling;
        ++errors;
        error = what;
    }
    void on_handshake_failed() override { ++errors; }  // never: no TLS here
    std::string data;
    int writable = 0, ends = 0, errors = 0;
    Error error;
    bool calling = false, inside = false;  // no event may come from inside a call of the transport
};

// A transport on one end of a socket pair, the test on the other.
struct Pair {
    Pair() {
        std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        far = Fd(ends[1]);
        auto made = SocketTransport::adopt(loop, chunks, ends[0], AF_UNIX);
        REQUIRE(made);
        near = std::move(*made);
        CHECK(near->start(seen) == Start::ready);
    }
    ~Pair() {
        near.reset();
        turn(3);
    }
    void turn(int count = 1) {
        while (count-- > 0) uv_run(loop.raw(), UV_RUN_NOWAIT);
    }
    void write(const std::string& text) {
        ByteQueue queue(chunks);
        queue.append(text);
        seen.calling = true;
        near->write(std::move(queue));
        seen.calling = false;
    }
    std::string read_far(std::size_t most = 1 << 24) {
        std::string all;
        std::array<char, 65536> buffer;
        while (all.size() < most) {
            const ssize_t count = ::read(far.get(), buffer.data(), std::min(buffer.size(), most - all.size()));
            if (count <= 0) {
                far_ended = count == 0;
                break;
            }
            all.append(buffer.data(), static_cast<std::size_t>(count));
        }
        return all;
    }
    std::size_t write_far(const std::string& text) {
        const ssize_t count = ::write(far.get(), text.data(), text.size());
        return count > 0 ? static_cast<std::size_t>(count) : 0;
    }

    MemoryBudget budget{1 << 30};
    ChunkPool chunks{budget};
    EventLoop loop;
    Seen seen;
    Fd far;
    std::unique_ptr<Transport> near;
    bool far_ended = false;
};

std::string pattern(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i / 7) % 26);
    return text;
}

}  // namespace

TEST_CASE("small pieces go both ways, without an event for what was sent at once", "[socket_transport]") {
    Pair pair;
    pair.write("hello");
    CHECK(pair.near->pending_bytes() == 0);
    CHECK(pair.read_far() == "hello");
    CHECK(pair.write_far("world") == 5);
    pair.turn();
    CHECK(pair.seen.data == "world");
    CHECK(pair.seen.writable == 0);
    CHECK(pair.budget.used() == 0);
}

TEST_CASE("a big write waits for a slow reader and arrives whole", "[socket_transport]") {
    Pair pair;
    const std::string text = pattern(4 * 1024 * 1024);
    pair.write(text.substr(0, 1'000'000));
    pair.write(text.substr(1'000'000));
    CHECK(pair.near->pending_bytes() > Transport::kHighWater);
    CHECK(pair.seen.writable == 0);
    std::string read;
    for (int i = 0; i < 2000 && read.size() < text.size(); ++i) {
        read += pair.read_far(50'000);
        pair.turn();
    }
    CHECK(read == text);
    CHECK(pair.near->pending_bytes() == 0);
    CHECK(pair.seen.writable >= 1);
    CHECK(pair.seen.writable <= 3);  // only when little is left
    CHECK_FALSE(pair.seen.inside);
    CHECK(pair.budget.used() == 0);
}

TEST_CASE("shutdown waits for what is pending; the peer may go on sending", "[socket_transport]") {
    Pair pair;
    const std::string text = pattern(1024 * 1024);
    pair.write(text);
    pair.near->shutdown();
    std::string read;
    for (int i = 0; i < 1000 && !pair.far_ended; ++i) {
        read += pair.read_far(100'000);
        pair.turn();
    }
    CHECK(read == text);
    CHECK(pair.far_ended);
    CHECK(pair.seen.writable >= 1);
    pair.write_far("still here");
    pair.turn();
    CHECK(pair.seen.data == "still here");
}

TEST_CASE("an idle transport's shutdown is a FIN at once", "[socket_transport]") {
    Pair pair;
    pair.near->shutdown();
    CHECK(pair.read_far().empty());
    CHECK(pair.far_ended);
}

TEST_CASE("a peer that closes its side can still be written to", "[socket_transport]") {
    Pair pair;
    pair.write_far("last words");
    ::shutdown(pair.far.get(), SHUT_WR);
    pair.turn(2);
    CHECK(pair.seen.data == "last words");
    CHECK(pair.seen.ends == 1);
    pair.write("answer");
    CHECK(pair.read_far() == "answer");
    CHECK(pair.seen.errors == 0);
}

TEST_CASE("a write to a peer that is gone is told later, as a reset", "[socket_transport]") {
    Pair pair;
    pair.near->pause_read();
    pair.far = Fd();
    pair.write("into the void");
    pair.write("and again");
    CHECK(pair.seen.errors == 0);
    pair.turn(2);
    CHECK(pair.seen.errors == 1);
    CHECK(pair.seen.error.code == Errc::reset);
    CHECK_FALSE(pair.seen.inside);
}

TEST_CASE("a peer that goes away while a write is in flight is told", "[socket_transport]") {
    Pair pair;
    pair.near->pause_read();
    pair.write(pattern(4 * 1024 * 1024));
    pair.turn();
    pair.far = Fd();
    pair.turn(3);
    CHECK(pair.seen.errors >= 1);
    CHECK(pair.seen.error.code == Errc::reset);
}

TEST_CASE("a paused transport delivers nothing until it is resumed", "[socket_transport]") {
    Pair pair;
    pair.near->pause_read();
    pair.near->pause_read();
    pair.write_far("waits");
    pair.turn(3);
    CHECK(pair.seen.data.empty());
    pair.near->resume_read();
    pair.near->resume_read();
    pair.turn(2);
    CHECK(pair.seen.data == "waits");
}

TEST_CASE("read_now finds what has arrived, and nothing else", "[socket_transport]") {
    Pair pair;
    std::array<char, 8> buffer;
    CHECK(pair.near->read_now(buffer).empty());
    pair.write_far("0123456789");
    CHECK(pair.near->read_now(buffer) == "01234567");
    pair.turn();
    CHECK(pair.seen.data == "89");
}

TEST_CASE("one sender cannot hold the loop for more than its share of a turn", "[socket_transport]") {
    Pair pair;
    const int size = 8 * 1024 * 1024;
    setsockopt(pair.far.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    const std::size_t sent = pair.write_far(pattern(2 * 1024 * 1024));
    pair.turn();
    CHECK(pair.seen.data.size() <= 256 * 1024);
    pair.turn(50);
    CHECK(pair.seen.data.size() == sent);
}

TEST_CASE("a transport may die with a write in flight", "[socket_transport]") {
    Pair pair;
    pair.write(pattern(4 * 1024 * 1024));
    pair.write("queued behind it");
    pair.near.reset();
    pair.turn(3);
    CHECK(pair.seen.errors == 0);
    CHECK(pair.budget.used() == 0);
    pair.read_far();
    CHECK(pair.far_ended);
}
