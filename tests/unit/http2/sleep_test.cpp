// A session with nothing to do gives its memory away, and must not show it.

#include <string>

#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

constexpr std::int64_t kLong = 5000;  // ms

// Its HPACK tables are full of what was said.
void talk_a_little(Talk& talk) {
    for (int i = 0; i < 20; ++i) {
        const std::int32_t id = talk.client.get("/echo", {{"x-" + std::to_string(i), std::string(100, 'y')}});
        talk.exchange();
        REQUIRE(talk.client.answer(id).ended);
    }
}

}  // namespace

TEST_CASE("an idle session sleeps, and remembers all that was said", "[http2][sleep]") {
    TimedTalk talk;
    talk_a_little(talk);
    for (int round = 0; round < 3; ++round) {
        talk.pass(kLong);
        CHECK(talk.host.session().idle());
        const std::int32_t get = talk.client.get("/", {{"x-5", std::string(100, 'y')}});
        const std::int32_t post = talk.client.post("/echo", letters(100'000), {{"x-6", std::string(100, 'y')}});
        talk.exchange();
        CHECK(talk.client.answer(get).plain() == ok("hello"));
        CHECK((talk.client.answer(post).body == letters(100'000)));
    }
}

TEST_CASE("whatever comes wakes a session", "[http2][sleep]") {
    TimedTalk talk;
    talk_a_little(talk);
    talk.pass(kLong);
    SECTION("a ping") {
        talk.client.ping();
        talk.exchange();
        CHECK(talk.client.pongs == 1);
        talk.pass(kLong);
        talk.client.ping();
        talk.exchange();
        CHECK(talk.client.pongs == 2);
    }
    SECTION("a drain") {
        talk.host.wish_close(Reason::drain);
        talk.pass(1200);
        CHECK(talk.client.goaways.front().last_id == 0x7fffffff);
        CHECK(talk.ending() == "drain, linger");
    }
    SECTION("a shed") {
        talk.host.wish_close(Reason::shed);
        CHECK(talk.ending() == "shed, flush");
    }
    SECTION("the end of what the client sends") {
        talk.host.end_read();
        CHECK(talk.ending() == "peer_closed, flush");
    }
    SECTION("a goodbye") {
        talk.client.leave();
        talk.exchange();
        CHECK(talk.ending() == "peer_closed, linger");
    }
    SECTION("nonsense") {
        talk.collect();
        talk.host.feed(frame(NGHTTP2_DATA, 0, 0, "x"));
        CHECK(talk.raw_goaway().ends_with(", PROTOCOL_ERROR"));
        CHECK(talk.ending() == "protocol_error, linger");
    }
    SECTION("its end") { talk.host.end_session(); }
}

TEST_CASE("a session that sleeps is charged less, and one with a stream does not sleep", "[http2][sleep]") {
    TimedTalk talk;
    talk_a_little(talk);
    const std::uint64_t awake = talk.host.worker().memory.used();
    const std::int32_t held = talk.client.get("/hold");
    talk.exchange();
    talk.pass(kLong);
    CHECK(talk.host.worker().memory.used() >= awake);
    talk.answer_held();
    CHECK(talk.client.answer(held).plain() == ok("hello"));
    talk.pass(kLong);
    CHECK(talk.host.worker().memory.used() < awake / 2);
}
