// A client's WebSocket: its books, what it passes on and back, and every way that it ends.

#include "protocols/websocket/server_session.h"

#include "tests/unit/websocket/ws_stage.h"

using namespace sluice;
using namespace sluice::websocket;
using namespace sluice::test;
using namespace sluice::test::ws;
using namespace std::chrono_literals;

namespace {

void send(Told& told, const std::string& payload, bool last = true) {
    told.client->send({.opcode = Opcode::text, .last = last, .payload = payload});
}

config::WebSocketPool with(config::WebSocketRules rules) { return {.rules = rules}; }

}  // namespace

TEST_CASE("ws session: it is listed and counted while it is open", "[websocket]") {
    Told told;
    Stage stage(told);
    CHECK(stage.host().phases == std::vector{Phase::open});
    CHECK(stage.stats().active == 1);
    CHECK(stage.stats().total == 1);
    CHECK(stage.place.pool->active() == 1);
    CHECK(stage.host().session().exchanges() == 1);
    CHECK_FALSE(stage.host().session().idle());
    CHECK(stage.books().id == 7);
    CHECK(stage.books().connection_id == kConnectionId);
    CHECK(stage.books().trace_id == kTraceId);
    CHECK(stage.books().peer.port == 1234);
    stage.end();
    CHECK(told.take() == "start gone");
    CHECK(stage.stats().total == 1);
    CHECK(stage.stats().closed_with(1006) == 1);
}

TEST_CASE("ws session: messages and bytes are counted both ways", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.say(from_client(kText, "abc", false) + from_client(kPing, "not counted") + from_client(kContinuation, "de") +
              from_client(kBinary, "f"));
    send(told, "1234", false);
    told.client->send({.opcode = Opcode::continuation, .last = true, .payload = "5"});
    ByteQueue queue(told.client->chunks());
    queue.append("678");
    told.client->send({.opcode = Opcode::binary, .last = true, .length = 3}, std::move(queue));
    CHECK(stage.said() == "text(12345) binary(678)");
    const Conversation::Books books = stage.books();
    CHECK(books.messages_in == 2);
    CHECK(books.bytes_in == 6);
    CHECK(books.messages_out == 2);
    CHECK(books.bytes_out == 8);
    CHECK(stage.stats().messages_in == 2);
    CHECK(stage.stats().bytes_in == 6);
    CHECK(stage.stats().messages_out == 2);
    CHECK(stage.stats().bytes_out == 8);
}

TEST_CASE("ws session: its last activity is what came, or went out", "[websocket]") {
    Told told;
    Stage stage(told);
    const std::int64_t began = stage.books().since_ms;
    CHECK(stage.books().active_ms == began);
    stage.pass(3000);
    stage.say(from_client(kPong));
    CHECK(stage.books().since_ms == began);
    CHECK(stage.books().active_ms >= began + 3000);
    stage.pass(2000);
    send(told, "x");
    CHECK(stage.books().active_ms >= began + 5000);
}

TEST_CASE("ws session: its endpoint is told all, and when a read is over", "[websocket]") {
    Told told;
    Stage stage(told);
    told.take();
    stage.say(from_client(kText, "abc", false) + from_client(kPing, "x") + from_client(kContinuation, "de") +
              from_client(kPong, "y"));
    CHECK(told.take() == "piece-3 ping(x) piece2 pong(y) flush");
    stage.say(from_client(kBinary, "ab"), 6);
    CHECK(told.take() == "flush piece2 flush");
}

TEST_CASE("ws session: what is written in one turn goes out as one", "[websocket]") {
    Told told;
    Stage stage(told);
    const std::size_t before = stage.host().writes;
    for (int i = 0; i < 10; ++i) send(told, "x");
    told.client->peer().pong("y");
    told.client->on_output();
    CHECK(stage.host().session().held_bytes() == 33);
    CHECK(stage.said().ends_with("text(x) pong(y)"));
    CHECK(stage.host().writes == before + 1);
    CHECK(stage.host().session().held_bytes() == 0);
}

TEST_CASE("ws session: one that never begins gives its place back", "[websocket]") {
    Told told;
    Stage stage(told);
    {
        ServerSession other(stage.host(), stage.place.agreement());
        CHECK(stage.place.pool->active() == 2);
    }
    CHECK(stage.place.pool->active() == 1);
    CHECK(stage.stats().total == 1);
    CHECK(stage.stats().closed_with(1006) == 0);
}

// --- back pressure ---

TEST_CASE("ws session: an endpoint is told when there is room again", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.host().hold();
    CHECK(told.client->has_room());
    send(told, long_text(70'000));
    CHECK_FALSE(told.client->has_room());
    stage.host().run_scheduled();
    CHECK_FALSE(told.client->has_room());
    told.rooms = 0;
    stage.host().take(10'000);
    CHECK(told.rooms == 0);
    stage.host().take(50'000);
    CHECK(told.rooms > 0);
    CHECK(told.client->has_room());
}

TEST_CASE("ws session: while it is paused nothing is read, and one that takes our pings is there", "[websocket]") {
    Told told;
    Stage stage(told);
    told.client->pause();
    CHECK(stage.host().paused());
    stage.say(from_client(kText, "later"));
    CHECK(told.take() == "start");
    stage.pass(120'000);
    CHECK(stage.stats().pings > 5);
    CHECK(stage.open());
    told.client->resume();
    CHECK_FALSE(stage.host().paused());
    stage.say("");
    CHECK(told.take() == "piece5 flush");
    stage.said();
    stage.pass(10'200);
    CHECK(stage.said().starts_with("ping("));
}

TEST_CASE("ws session: one that is paused and takes nothing is given up", "[websocket]") {
    Told told;
    Stage stage(told);
    told.client->pause();
    const bool takes_some = GENERATE(true, false);
    const bool talks_to_it = GENERATE(true, false);
    stage.host().hold();
    if (talks_to_it) send(told, std::string(1000, 'x'));
    stage.host().run_scheduled();
    stage.pass(10'200);
    CHECK(stage.stats().pings == 1);
    for (int i = 0; takes_some && i < 5; ++i) {
        stage.host().take(1);
        stage.pass(5200);
        CHECK(stage.open());
    }
    stage.pass(5200);
    CHECK(stage.ending() == "pong_timeout abort");
}

TEST_CASE("ws session: too much waits for a client that does not read", "[websocket]") {
    Told told;
    Stage stage(told, with({.max_pending_bytes = 1000}));
    stage.host().hold();
    send(told, std::string(500, 'a'));
    stage.host().run_scheduled();
    send(told, std::string(400, 'b'));
    CHECK(stage.open());
    send(told, std::string(100, 'c'));
    CHECK(stage.ending() == "slow_consumer linger");
    CHECK(told.take() == "start end(1001)");
    send(told, "dropped");
    stage.host().take(10'000);
    stage.said();  // what it writes now still waits for the client
    stage.host().take(10'000);
    CHECK(words_of(stage.host().output).ends_with("close(1013 too much waits to be read)"));
    stage.end();
    CHECK(stage.stats().closed_with(1013) == 1);
}

TEST_CASE("ws session: however much is said at once, a client that takes it is none of the slow", "[websocket]") {
    Told told;
    Stage stage(told, with({.max_pending_bytes = 16'384}));
    for (int i = 0; i < 5; ++i) {
        send(told, long_text(100'000));
        stage.host().run_scheduled();
    }
    CHECK(stage.open());
    stage.host().output.clear();
}

TEST_CASE("ws session: without a cap anything may wait", "[websocket]") {
    Told told;
    Stage stage(told, with({.max_pending_bytes = 0}));
    stage.host().hold();
    for (int i = 0; i < 40; ++i) send(told, long_text(100'000));
    CHECK(stage.open());
    stage.host().take(0);
}

// --- the closing handshake ---

TEST_CASE("ws session: the client's Close is answered by the endpoint, then it is over", "[websocket]") {
    Told told;
    Stage stage(told);
    told.answers = GENERATE(true, false);
    stage.say(from_client(kText, "a") + client_close(3000, "bye") + from_client(kText, "late"));
    CHECK(told.log.starts_with("start piece1 close(3000)"));
    if (!told.answers) {
        CHECK(stage.open());
        told.client->peer().close(CloseCode::normal, "", told.client->now_ms());
        told.client->on_output();
        CHECK(stage.said() == "close(1000)");
    } else {
        CHECK(stage.said() == "close(3000 bye)");
    }
    CHECK(stage.ending() == "completed flush");
    CHECK(stage.host().session().exchanges() == 0);
    CHECK(told.log.find("piece1 piece") == told.log.npos);
    stage.end();
    CHECK(stage.stats().closed_with(3000) == 1);
    CHECK(stage.stats().closed_with(1006) == 0);
}

TEST_CASE("ws session: an endpoint that ends it says why, and waits for the client", "[websocket]") {
    Told told;
    Stage stage(told);
    told.client->end({Reason::upstream_gone, CloseCode::going_away, "over"});
    CHECK(stage.said() == "close(1001 over)");
    CHECK(told.take() == "start end(1001)");
    CHECK(stage.open());
    stage.say(from_client(kBinary, "crosses") + client_close(1001));
    CHECK(stage.ending() == "upstream_gone flush");
    CHECK(told.take() == "piece7");
}

TEST_CASE("ws session: drain and kill are told to the client, whose answer is awaited", "[websocket]") {
    Told told;
    Stage stage(told);
    const bool drain = GENERATE(true, false);
    if (drain) stage.host().wish_close(Reason::drain);
    else CHECK(stage.host().session().kill());
    CHECK(stage.said() == (drain ? "close(1001)" : "close(1008 closed by an operator)"));
    CHECK(told.take() == "start end(1001)");
    CHECK(stage.open());
    const std::string reason = drain ? "drain" : "killed";
    SECTION("it comes") {
        stage.say(client_close(drain ? 1001 : 1000));
        CHECK(stage.ending() == reason + " flush");
        CHECK(told.take() == "");  // it has been told already
    }
    SECTION("it does not") {
        stage.pass(4900);
        CHECK(stage.open());
        stage.pass(300);
        CHECK(stage.ending() == reason + " flush");
    }
    SECTION("the client just ends") {
        stage.host().end_read();
        CHECK(stage.ending() == reason + " flush");
    }
    SECTION("and once more") {
        stage.host().session().close_when_idle(Reason::drain);
        CHECK(stage.host().session().kill());
        CHECK(stage.said() == "");
        stage.say(client_close());
        CHECK(stage.ending() == reason + " flush");
    }
    stage.end();
    CHECK(stage.stats().closed_with(drain ? 1001 : 1008) == 1);
}

TEST_CASE("ws session: close_timeout waits for a client that still takes what stands before our Close", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.host().hold();
    send(told, std::string(1000, 'x'));
    stage.host().wish_close(Reason::drain);
    for (int i = 0; i < 5; ++i) {
        stage.host().take(100);
        stage.pass(5200);
        CHECK(stage.open());
    }
    stage.pass(5200);
    CHECK(stage.ending() == "drain abort");
}

TEST_CASE("ws session: a drain answers a Close that waits for its answer", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.say(client_close(3005));
    CHECK(stage.open());
    stage.host().wish_close(Reason::drain);
    CHECK(stage.said() == "close(1001)");
    CHECK(stage.ending() == "drain flush");
    stage.end();
    CHECK(stage.stats().closed_with(3005) == 1);
}

TEST_CASE("ws session: a client that is not read must be, for the answer to our Close", "[websocket]") {
    Told told;
    Stage stage(told);
    told.client->pause();
    stage.say(from_client(kText, "waits") + client_close(1001), 5);
    stage.host().wish_close(Reason::drain);
    stage.say("");
    CHECK(stage.ending() == "drain flush");
}

TEST_CASE("ws session: rules that are broken end it at once", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.say(from_client(kText, "ok") + from_client(kText, "\xff") + from_client(kText, "late"));
    CHECK(stage.said() == "close(1007 a text that is not UTF-8)");
    CHECK(stage.ending() == "bad_data linger");
    CHECK(told.take() == "start piece2 end(1001)");
    stage.end();
    CHECK(told.take() == "gone");
    CHECK(stage.stats().closed_with(1007) == 1);
}

TEST_CASE("ws session: its endpoint may find what is broken", "[websocket]") {
    Told told;
    Stage stage(told);
    told.client->fail({Reason::message_too_large, CloseCode::too_big, "big"});
    CHECK(stage.said() == "close(1009 big)");
    CHECK(stage.ending() == "message_too_large linger");
    stage.say(from_client(kText, "late"));
    send(told, "late");
    stage.host().session().close_when_idle(Reason::drain);
    stage.host().session().on_read_end();
    stage.host().session().on_timeout(Reason::write_timeout);
    CHECK(stage.said() == "");
    CHECK(told.take() == "start end(1001)");
}

TEST_CASE("ws session: the client ends without a Close", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.say(from_client(kText, "half a mess", false) + "\x80");
    told.take();
    stage.host().end_read();
    CHECK(stage.ending() == "peer_closed flush");
    CHECK(told.take() == "end(1001)");
    CHECK(stage.said() == "");
    stage.end();
    CHECK(stage.stats().closed_with(1006) == 1);
}

TEST_CASE("ws session: a client that ends behind its Close still gets the answer", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.say(client_close());
    stage.host().end_read();
    CHECK(stage.open());
    told.client->peer().close(CloseCode::normal, "", told.client->now_ms());
    told.client->on_output();
    CHECK(stage.said() == "close(1000)");
    CHECK(stage.ending() == "completed flush");
}

// --- time ---

TEST_CASE("ws session: a silent client is pinged, then given up", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.pass(9900);
    CHECK(stage.said() == "");
    stage.pass(300);
    CHECK(stage.said().starts_with("ping("));
    CHECK(stage.stats().pings == 1);
    SECTION("nothing comes") {
        stage.pass(4700);
        CHECK(stage.open());
        stage.pass(500);
        CHECK(stage.ending() == "pong_timeout flush");
        CHECK(stage.said() == "close(1001 pong_timeout)");
        CHECK(told.take() == "start end(1001)");
    }
    SECTION("nothing can be sent either") {
        stage.host().hold();
        send(told, "stuck");
        stage.host().run_scheduled();
        stage.pass(5200);
        CHECK(stage.ending() == "pong_timeout abort");
    }
    SECTION("it answers for ever") {
        for (int i = 0; i < 12; ++i) {
            stage.say(from_client(kPong, std::string_view(stage.host().output).substr(2, 4)));
            stage.host().output.clear();
            stage.pass(10'200);
        }
        CHECK(stage.open());
        CHECK(stage.stats().pings == 13);
        CHECK(told.log.find("pong") == told.log.npos);
        stage.host().output.clear();
    }
}

TEST_CASE("ws session: a client is not given up while it takes what stands before the ping", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.host().hold();
    send(told, std::string(1000, 'x'));
    stage.host().run_scheduled();
    stage.pass(10'200);
    CHECK(stage.stats().pings == 1);
    for (int i = 0; i < 5; ++i) {
        stage.host().take(100);
        stage.pass(5200);
        CHECK(stage.open());
    }
    stage.pass(5200);
    CHECK(stage.ending() == "pong_timeout abort");
}

TEST_CASE("ws session: nothing at all comes for too long", "[websocket]") {
    Told told;
    Stage stage(told, with({.ping_interval = 0ms}));
    stage.pass(29'900);
    CHECK(stage.open());
    stage.pass(300);
    CHECK(stage.ending() == "connection_timeout flush");
}

TEST_CASE("ws session: new rules hold for the open ones", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.pass(1000);
    stage.place.settings.rules.ping_interval = 2s;
    stage.place.settings.rules.max_message_size = 3;
    stage.apply();
    stage.pass(1200);
    CHECK(stage.said().starts_with("ping("));
    stage.say(from_client(kText, "four"));
    CHECK(stage.ending() == "message_too_large linger");
}

TEST_CASE("ws session: its endpoint has a deadline of its own", "[websocket]") {
    Told told;
    Stage stage(told);
    told.due = told.client->now_ms() + 1500;
    told.client->rearm();
    stage.pass(1300);
    CHECK(told.times == 0);
    stage.pass(400);
    CHECK(told.times == 1);
    stage.pass(9000);
    CHECK(told.times == 1);
    CHECK(stage.said().starts_with("ping("));
}

TEST_CASE("ws session: its host's deadline", "[websocket]") {
    Told told;
    Stage stage(told);
    stage.host().time_out(Reason::write_timeout);
    CHECK(stage.ending() == "write_timeout flush");
    CHECK(stage.said() == "close(1001 write_timeout)");
}

// --- the pool ---

TEST_CASE("ws session: a pool has so many places", "[websocket]") {
    Told told;
    Stage stage(told, {.max_connections = 1});
    CHECK_FALSE(stage.place.pool->admission().admit().ticket);
    stage.place.settings.max_connections = 2;
    stage.apply();
    CHECK(stage.place.pool->admission().admit().ticket);
    stage.place.settings.max_connections = 0;
    stage.apply();
    CHECK(stage.place.pool->admission().admit().ticket);
    CHECK(stage.open());
}

TEST_CASE("ws session: an operator ends it by its id", "[websocket]") {
    Told told;
    Stage stage(told);
    CHECK_FALSE(stage.host().manager().kill(99));
    CHECK(stage.host().manager().kill(7));
    CHECK(stage.said() == "close(1008 closed by an operator)");
}
