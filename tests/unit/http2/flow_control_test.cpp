#include <string>

#include "core/net/transport.h"
#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

constexpr H2Client::Options kHeld = {.window = 1000, .holds_windows = true};
constexpr std::int32_t kMuch = 10 * 1024 * 1024;

// The client reads from a transport that is slow; the most that was held for it meanwhile.
std::size_t read_slowly(Talk& talk, std::size_t step) {
    std::size_t most = 0;
    for (bool moved = true; moved;) {
        most = std::max<std::size_t>(most, talk.host.worker().memory.used());
        talk.host.take(step);
        moved = talk.collect();
        const std::string sent = talk.client.take();
        if (!sent.empty()) talk.host.feed(sent);
    }
    return most;
}

}  // namespace

TEST_CASE("large bodies go both ways through small windows", "[http2][flow]") {
    const auto fragment = GENERATE(std::size_t{1000}, 16'384, kWhole);
    const auto window = GENERATE(std::uint64_t{16'384}, 65'536);
    CAPTURE(fragment, window);
    const std::string body = letters(kBigBody);
    config::PoolSettings pool;
    pool.initial_window_size = window;
    Talk talk(pool);
    const std::int32_t one = talk.client.post("/echo", body);
    const std::int32_t two = talk.client.post("/echo", body, {{"content-length", std::to_string(body.size())}});
    talk.exchange(fragment);
    CHECK((talk.client.answer(one).body == body));  // not to be printed
    CHECK(talk.client.answer(two).body.size() == body.size());
    CHECK((talk.client.answer(two).body == body));
    CHECK(talk.client.answer(one).closed == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.client.answer(two).field("content-length") == std::to_string(body.size()));
    CHECK(talk.host.session().idle());
}

TEST_CASE("a window that stays shut stalls its own stream alone", "[http2][flow]") {
    Talk talk({}, kHeld);
    const std::int32_t slow = talk.client.get("/big");
    talk.exchange();
    CHECK(talk.client.answer(slow).body.size() == 1000);
    CHECK(talk.stats().stalls == 1);
    const std::int32_t quick = talk.client.get("/");
    talk.exchange();
    CHECK(talk.client.answer(quick).plain() == ok("hello"));
    CHECK(talk.stats().stalls == 1);
    talk.client.open_window(slow, 500);
    talk.exchange();
    CHECK(talk.client.answer(slow).body.size() == 1500);
    CHECK(talk.stats().stalls == 2);
    talk.client.open_window(slow, kMuch);
    talk.exchange();
    CHECK(talk.client.answer(slow).body.size() == 65'535 - 5);  // the connection's window, less the hello
    talk.client.open_window(0, kMuch);
    talk.exchange();
    CHECK((talk.client.answer(slow).plain() == ok(std::string(kBigBody, 'b'))));
    CHECK(talk.client.answer(slow).ended);
}

TEST_CASE("an upload that is paused holds up no other", "[http2][flow]") {
    config::PoolSettings pool;
    pool.initial_window_size = 65'536;
    pool.connection_window_size = 70'000;
    Talk talk(pool);
    talk.exchange();
    const std::int32_t paused = talk.client.post("/hold", "first", {}, End::no);
    talk.exchange();
    talk.stream().pause_ingress();
    talk.client.send_body(paused, letters(200'000), End::yes);
    talk.exchange();
    CHECK(talk.held().body.size() == 65'536);
    std::vector<std::int32_t> others;
    for (int i = 0; i < 99; ++i) others.push_back(talk.client.post("/echo", letters(100'000)));
    talk.exchange();
    for (const std::int32_t id : others) CHECK(talk.client.answer(id).body.size() == 100'000);
    CHECK(talk.held().body.size() == 65'536);
    talk.stream().resume_ingress();
    talk.run();
    CHECK((talk.held().body == "first" + letters(200'000)));
    CHECK(talk.held().events == Events{"body", "complete"});
    talk.answer_held();
    CHECK(talk.client.answer(paused).plain() == ok("hello"));
}

TEST_CASE("an answer that ends while its request is paused takes the rest no more", "[http2][flow]") {
    Talk talk;
    talk.exchange();
    const std::int32_t id = talk.client.post("/hold", "first", {}, End::no);
    talk.exchange();
    talk.stream().pause_ingress();
    talk.client.send_body(id, letters(300'000), End::no);
    talk.exchange();
    talk.answer_held();
    CHECK(talk.client.answer(id).plain() == ok("hello"));
    CHECK(talk.client.answer(id).reset == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.host.session().idle());
}

TEST_CASE("answers wait for a slow transport without piling up", "[http2][flow]") {
    Talk talk;
    talk.exchange();
    talk.host.hold();
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 3; ++i) ids.push_back(talk.client.get("/big"));
    talk.host.feed(talk.client.take());
    const std::size_t most = read_slowly(talk, 5'000);
    CHECK(most < 8 * Transport::kHighWater);
    for (const std::int32_t id : ids) {
        CHECK(talk.client.answer(id).body.size() == kBigBody);
        CHECK(talk.client.answer(id).ended);
    }
    CHECK(talk.host.session().idle());
}

TEST_CASE("an echo to a slow reader stops taking, and loses nothing", "[http2][flow]") {
    const std::string body = letters(1'000'000);
    Talk talk;
    talk.exchange();
    talk.host.hold();
    const std::int32_t id = talk.client.post("/echo", body);
    talk.host.feed(talk.client.take(), 10'000);
    const std::size_t most = read_slowly(talk, 7'000);
    CHECK(most < 6 * Transport::kHighWater);
    CHECK((talk.client.answer(id).body == body));
    CHECK(talk.client.answer(id).ended);
}

TEST_CASE("a stream that is given up while its frame waits for room goes in peace", "[http2][flow]") {
    const auto by_client = GENERATE(false, true);
    Talk talk({}, {.window = kMuch});
    talk.client.open_window(0, kMuch);
    const std::int32_t id = talk.client.get("/hold");
    const std::int32_t other = talk.client.get("/hold");
    talk.exchange();
    talk.host.hold();
    talk.stream().send_head({}, End::no);
    CHECK(talk.stream().send_body(Bytes(letters(300'000)), End::no) == Egress::full);
    CHECK(talk.host.run_scheduled());
    if (by_client) {
        talk.client.reset(id);
        talk.host.feed(talk.client.take());
    } else {
        talk.stream().reset({Errc::system});
        CHECK(talk.host.run_scheduled());
    }
    read_slowly(talk, 10'000);
    CHECK(letters(300'000).starts_with(talk.client.answer(id).body));
    CHECK_FALSE(talk.client.answer(id).ended);
    CHECK(talk.client.answer(id).closed.has_value());
    CHECK(talk.held().stream == nullptr);
    CHECK(talk.stats().active_streams == 1);
    talk.stream(1).send_head({.content_length = 0}, End::yes);
    CHECK(talk.host.run_scheduled());
    read_slowly(talk, 10'000);
    CHECK(talk.client.answer(other).plain() == ok(""));
}

TEST_CASE("a handler that found the windows shut is told when there is room", "[http2][flow]") {
    Talk talk({}, kHeld);
    const std::int32_t id = talk.client.get("/hold");
    talk.exchange();
    Stream& stream = talk.stream();
    stream.send_head({}, End::no);
    CHECK(stream.send_body(Bytes("little"), End::no) == Egress::open);
    CHECK(stream.send_body(Bytes(letters(Transport::kHighWater)), End::no) == Egress::full);
    talk.run();
    CHECK(talk.held().events == Events{"complete"});
    talk.client.open_window(id, 40'000);
    talk.exchange();
    CHECK(talk.held().events == Events{"complete"});
    talk.client.open_window(id, 20'000);
    talk.exchange();
    CHECK(talk.held().events == Events{"complete", "resumed"});
    talk.client.open_window(0, 20'000);
    talk.client.open_window(id, 20'000);
    talk.exchange();
    CHECK(talk.held().events == Events{"complete", "resumed"});
    stream.send_body(Bytes(), End::yes);
    talk.run();
    CHECK((talk.client.answer(id).body == "little" + letters(Transport::kHighWater)));
    CHECK(talk.client.answer(id).ended);
}

TEST_CASE("a session takes no more streams than its memory allows", "[http2][flow]") {
    config::PoolSettings pool;
    pool.max_session_memory = 100'000;
    Talk talk(pool, kHeld);
    const std::int32_t hog = talk.client.get("/hold");
    talk.exchange();
    CHECK(talk.host.session().held_bytes() < 100'000);
    talk.stream().send_head({}, End::no);
    CHECK(talk.stream().send_body(Bytes(letters(110'000)), End::no) == Egress::full);
    talk.run();
    const std::int32_t refused_id = talk.client.get("/");
    const std::int32_t upload = talk.client.post("/echo", "body");
    talk.exchange();
    for (const std::int32_t id : {refused_id, upload}) {
        CHECK(talk.client.answer(id).status == 0);
        CHECK(talk.client.answer(id).reset == std::uint32_t{NGHTTP2_REFUSED_STREAM});
    }
    CHECK(talk.stats().streams == 1);
    talk.client.reset(hog);
    talk.exchange();
    const std::int32_t again = talk.client.get("/");
    talk.exchange();
    CHECK(talk.client.answer(again).plain() == ok("hello"));
}

TEST_CASE("who waits for the memory of another goes on when that is gone", "[http2][flow]") {
    config::PoolSettings pool;
    pool.max_session_memory = 90'000;
    Talk talk(pool, kHeld);
    const std::int32_t hog = talk.client.get("/hold");
    const std::int32_t big = talk.client.get("/big");
    talk.exchange();
    talk.stream().send_head({}, End::no);
    talk.stream().send_body(Bytes(letters(100'000)), End::no);
    talk.run();
    talk.client.open_window(0, kMuch);
    talk.client.open_window(big, kMuch);
    talk.exchange();
    CHECK(talk.client.answer(big).body.size() == Transport::kHighWater);
    talk.client.reset(hog);
    talk.exchange();
    CHECK(talk.client.answer(big).body.size() == kBigBody);
    CHECK(talk.client.answer(big).ended);
}
