#include "core/net/tls_transport.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "tests/support/tls_stage.h"

using namespace sluice;
using namespace sluice::test;

namespace {

std::string pattern(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i / 7) % 26);
    return text;
}

// A line whose handshake is done.
struct OpenLine : TlsLine {
    explicit OpenLine(TlsStage& owner, const TlsClient::Options& options = {}) : TlsLine(owner, options) {
        ferry();
        REQUIRE(client.ready());
        REQUIRE(events.log == "ready ");
        events.log.clear();
    }
};

}  // namespace

TEST_CASE("a handshake and data both ways, however the bytes are cut", "[tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const std::size_t fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    CAPTURE(version, fragment);
    TlsStage stage;
    TlsLine line(stage, of_version(version));
    line.ferry(fragment);
    CHECK(line.client.ready());
    CHECK(line.events.log == "ready ");
    line.client.write("hello");
    line.write("world");
    line.ferry(fragment);
    CHECK(line.events.data == "hello");
    CHECK(line.client.received() == "world");
    CHECK(line.transport->pending_bytes() == 0);
    const std::string big = pattern(fragment < 8 ? 20'000 : 200'000);
    line.client.write(big);
    line.write(big);
    line.ferry(fragment);
    CHECK((line.events.data == "hello" + big));
    CHECK((line.client.received() == "world" + big));
    CHECK(stage.stats.full == 1);
    CHECK(stage.stats.resumed == 0);
    CHECK(stage.stats.latency_us.count() == 1);
    CHECK(stage.all_failed() == 0);
}

TEST_CASE("what comes with the client's last flight is delivered after on_ready, and all in one call", "[tls]") {
    TlsStage stage;
    TlsLine line(stage, of_version(TLS1_3_VERSION));
    line.send(line.client.take_output());
    line.turn();
    line.client.receive(line.peer.take_received());
    REQUIRE(line.client.ready());
    for (int i = 0; i < 100; ++i) line.client.write("0123456789");
    line.send(line.client.take_output());
    CHECK(line.events.log == "ready data ");
    CHECK(line.events.data.size() == 1000);
}

TEST_CASE("a read of 64 KiB is delivered in one call", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    const std::string big = pattern(64'000);
    line.client.write(big);
    line.send(line.client.take_output());
    CHECK(line.events.reads == 1);
    CHECK((line.events.data == big));
}

TEST_CASE("what is known of a connection", "[tls]") {
    TlsStage stage;
    stage.options.alpn = {"h2", "http/1.1"};
    stage.reload();
    TlsClient::Options options = of_version(TLS1_3_VERSION);
    options.host = "LocalHost";
    options.alpn = {"http/1.1", "h2"};
    TlsLine line(stage, options);
    CHECK_FALSE(line.transport->tls_info());
    line.ferry();
    const auto info = line.transport->tls_info();
    REQUIRE(info);
    CHECK(info->version == "TLSv1.3");
    CHECK(info->cipher.starts_with("TLS_"));
    CHECK(info->sni == "LocalHost");
    CHECK(info->alpn == "h2");
    CHECK(line.transport->alpn() == "h2");
    CHECK(info->client_subject.empty());
    CHECK_FALSE(info->resumed);
    CHECK(line.client.alpn() == "h2");
}

// --- backpressure ---

TEST_CASE("a big write is encrypted late, and on_writable comes when little is left", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    const std::string big = pattern(1'000'000);
    line.peer.hold();
    line.write(big);
    CHECK(line.transport->pending_bytes() >= big.size());
    CHECK(line.peer.pending() < Transport::kHighWater + 20'000);  // the rest waits in the clear
    std::size_t rounds = 0;
    while (line.transport->pending_bytes() > Transport::kLowWater) {
        REQUIRE(++rounds < 1000);
        CHECK(line.events.log.empty());
        line.peer.take(10'000);
    }
    CHECK(line.events.log == "writable ");
    line.peer.let_go();
    line.ferry();
    CHECK((line.client.received() == big));
    CHECK(line.events.log == "writable ");
    CHECK(stage.worker.memory.used() == 0);
}

TEST_CASE("a big write to somebody who takes it at once leaves nothing pending and tells nothing", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    const std::string big = pattern(1'000'000);
    line.write(big);
    CHECK(line.transport->pending_bytes() == 0);
    line.ferry();
    CHECK((line.client.received() == big));
    CHECK(line.events.log.empty());
}

TEST_CASE("reading can be paused in the middle and goes on where it was", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    line.transport->pause_read();
    CHECK_FALSE(line.peer.is_read());
    const std::string big = pattern(300'000);
    line.client.write(big);
    line.send(line.client.take_output());
    CHECK(line.events.log.empty());
    line.events.on_data_do = [&] { line.transport->pause_read(); };
    for (int i = 0; i < 100 && line.events.data.size() < big.size(); ++i) {
        const int before = line.events.reads;
        line.transport->resume_read();
        line.turn();
        CHECK(line.events.reads <= before + 1);
    }
    CHECK((line.events.data == big));
    CHECK(line.events.reads > 1);
    line.client.say_goodbye();
    line.send(line.client.take_output());
    line.turn();
    CHECK(line.events.log.find("end") == std::string::npos);  // paused: the end waits as well
    line.transport->resume_read();
    line.turn();
    CHECK(line.events.log.ends_with("end "));
    CHECK(stage.worker.memory.used() == 0);
}

TEST_CASE("read_now finds what came and was not told yet", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    std::array<char, 16 * 1024> buffer;
    CHECK(line.transport->read_now(buffer).empty());
    line.client.write("late");
    line.peer.leave(line.client.take_output());
    CHECK(line.transport->read_now(buffer) == "late");
    CHECK(line.transport->read_now(buffer).empty());

    // More than fits: nothing is lost and the order stays.
    const std::string big = pattern(100'000);
    line.client.write(big);
    line.peer.leave(line.client.take_output());
    std::string got(line.transport->read_now(std::span(buffer).first(1000)));
    CHECK(got.size() == 1000);
    got += line.transport->read_now(buffer);
    CHECK(got.size() > 1000);
    line.turn();
    line.peer.send("");  // told now, what is left of it
    line.turn();
    CHECK((got + line.events.data == big));
}

TEST_CASE("an end or an error that read_now meets is told later", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    std::array<char, 16 * 1024> buffer;
    SECTION("close_notify") {
        line.client.write("last");
        line.client.say_goodbye();
        line.peer.leave(line.client.take_output());
        CHECK(line.transport->read_now(buffer) == "last");
        CHECK(line.events.log.empty());
        line.turn();
        CHECK(line.events.log == "end ");
    }
    SECTION("a broken record") {
        line.client.write("last");
        std::string bytes = line.client.take_output();
        bytes.back() ^= 1;
        line.peer.leave(bytes);
        CHECK(line.transport->read_now(buffer).empty());
        CHECK(line.events.log.empty());
        line.turn();
        CHECK(line.events.log == "error ");
        CHECK(line.events.error.code == Errc::protocol);
    }
}

TEST_CASE("a handler may read, write and pause inside on_data", "[tls]") {
    TlsStage stage;
    OpenLine line(stage), other(stage);
    other.client.write("other");
    other.peer.leave(other.client.take_output());
    std::string seen_there;
    line.events.on_data_do = [&] {
        line.events.on_data_do = {};
        line.write("answer");
        std::array<char, 1024> buffer;
        CHECK(line.transport->read_now(buffer) == "more");
        seen_there = other.transport->read_now(buffer);
        other.write("there");
    };
    line.client.write("first");
    const std::string first = line.client.take_output();
    line.client.write("more");
    const std::string more = line.client.take_output();
    // The second record is still below when the first is delivered.
    const auto deliver = line.events.on_data_do;
    line.events.on_data_do = [&, deliver] {
        line.peer.leave(more);
        deliver();
    };
    line.peer.send(first);
    line.ferry();
    other.ferry();
    CHECK(line.events.data == "first");
    CHECK(seen_there == "other");
    CHECK(line.client.received() == "answer");
    CHECK(other.client.received() == "there");
}

TEST_CASE("one line's data that arrives inside another's on_data waits for its own call", "[tls]") {
    TlsStage stage;
    OpenLine line(stage), other(stage);
    other.client.write("inner");
    const std::string inner = other.client.take_output();
    line.events.on_data_do = [&] {
        other.peer.send(inner);
        CHECK(other.events.data.empty());
    };
    line.client.write("outer");
    line.send(line.client.take_output());
    CHECK(line.events.data == "outer");
    other.turn();
    CHECK(other.events.data == "inner");
}

// --- the end ---

TEST_CASE("the client's close_notify is an end, told once; the answer still goes out", "[tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    TlsStage stage;
    OpenLine line(stage, of_version(version));
    line.client.write("question");
    line.client.say_goodbye();
    line.send(line.client.take_output());
    CHECK(line.events.log == "data end ");
    line.peer.end();
    line.turn();
    CHECK(line.events.log == "data end ");
    line.write("answer");
    line.transport->shutdown();
    line.turn();
    line.client.receive(line.peer.take_received());
    CHECK(line.client.received() == "answer");
    CHECK(line.client.saw_goodbye());
    CHECK(line.peer.saw_end());
}

TEST_CASE("a FIN without close_notify is an end", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    line.client.write("half");
    line.send(line.client.take_output());
    line.peer.end();
    CHECK(line.events.log == "data end ");
}

TEST_CASE("shutdown sends what is pending, then close_notify, then a FIN", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    const std::string big = pattern(500'000);
    line.peer.hold();
    line.write(big);
    line.transport->shutdown();
    CHECK_FALSE(line.peer.saw_end());
    while (line.peer.pending() > 0) line.peer.take(10'000);
    CHECK(line.transport->pending_bytes() == 0);
    CHECK(line.peer.saw_end());
    CHECK(line.events.log.ends_with("writable "));
    line.client.receive(line.peer.take_received());
    CHECK((line.client.received() == big));
    CHECK(line.client.saw_goodbye());
    // It still hears the client, and its end.
    line.client.write("bye");
    line.send(line.client.take_output());
    CHECK(line.events.data == "bye");
    line.peer.end();
    CHECK(line.events.log.ends_with("end "));
}

TEST_CASE("who lingers after a close_notify hears the FIN", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    line.client.say_goodbye();
    line.send(line.client.take_output());
    CHECK(line.events.log == "end ");
    line.transport->shutdown();
    line.transport->resume_read();
    line.peer.end();
    line.turn();
    CHECK(line.events.log == "end end ");
    line.transport->resume_read();
    line.turn();
    CHECK(line.events.log == "end end end ");
}

TEST_CASE("a record that was tampered with is answered with an alert and an error", "[tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    TlsStage stage;
    OpenLine line(stage, of_version(version));
    line.client.write("good");
    std::string bytes = line.client.take_output();
    line.client.write("bad");
    bytes += line.client.take_output();
    bytes.back() ^= 1;
    line.send(bytes);
    CHECK(line.events.log == "data error ");
    CHECK(line.events.data == "good");
    CHECK(line.events.error.code == Errc::protocol);
    line.client.receive(line.peer.take_received());
    CHECK(line.client.error().find("bad record mac") != std::string::npos);
    line.write("too late");
    line.transport->shutdown();
    line.transport->resume_read();
    line.turn();
    CHECK(line.peer.take_received().empty());
}

TEST_CASE("an error of the stream below is passed on, and nothing follows", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    line.peer.fail(Errc::reset);
    CHECK(line.events.log == "error ");
    CHECK(line.events.error.code == Errc::reset);
    line.turn();
    CHECK(line.events.log == "error ");
}

TEST_CASE("it may be closed in any event", "[tls]") {
    TlsStage stage;
    TlsLine line(stage, {});
    SECTION("on_ready, with data behind it") {
        line.events.on_ready_do = [&] { line.transport->close(); };
        line.send(line.client.take_output());
        line.client.receive(line.peer.take_received());
        line.client.write("data");
        line.send(line.client.take_output());
        CHECK(line.events.log == "ready ");
        CHECK(stage.stats.full == 1);
        CHECK(stage.all_failed() == 0);
    }
    SECTION("on_data, with an end behind it") {
        line.events.on_data_do = [&] { line.transport->close(); };
        line.ferry();
        line.client.write("data");
        line.client.say_goodbye();
        line.send(line.client.take_output());
        CHECK(line.events.log == "ready data ");
    }
    CHECK(line.peer.gone());
    line.turn();
    line.transport.reset();
    CHECK(stage.worker.memory.used() == 0);
}

TEST_CASE("an idle connection holds no buffer", "[tls]") {
    TlsStage stage;
    OpenLine line(stage);
    line.client.write("question");
    line.write("answer");
    line.ferry();
    CHECK(stage.worker.memory.used() == 0);
}

TEST_CASE("a peer that asks for new keys without end is cut off", "[tls]") {
    TlsStage stage;
    OpenLine line(stage, of_version(TLS1_3_VERSION));
    for (int asked = 0; asked < 100; ++asked) {
        line.client.ask_for_new_keys();
        line.ferry();
    }
    line.client.write("still here");
    line.ferry();
    CHECK(line.events.data == "still here");
    for (int asked = 0; asked < 1000 && line.events.log.find("error") == std::string::npos; ++asked) {
        line.client.ask_for_new_keys();
        line.send(line.client.take_output());
        line.turn();
    }
    CHECK(line.events.log.ends_with("error "));
    CHECK(line.events.error.code == Errc::protocol);
}
