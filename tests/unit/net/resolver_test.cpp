#include "core/net/resolver.h"

#include <netdb.h>

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <set>

using namespace sluice;

namespace {

struct Answer final : Lookup::Events {
    void on_resolved(Result<std::vector<Address>> addresses) override {
        inside = inside || calling;
        ++calls;
        found = std::move(addresses);
        if (then) then();
    }
    Result<std::vector<Address>> found = fail(Errc::closed);
    std::function<void()> then;
    int calls = 0;
    bool calling = false, inside = false;
};

struct Stage {
    void start(const std::string& host) {
        answer.calling = true;
        lookup->start(host, 8080, answer);
        answer.calling = false;
        CHECK(lookup->running());
    }
    // Lookups run in other threads: waits until it has been told.
    void wait(int calls = 1) {
        const std::uint64_t limit = EventLoop::now_us() + 30'000'000;
        while (answer.calls < calls && EventLoop::now_us() < limit) uv_run(loop.raw(), UV_RUN_NOWAIT);
        REQUIRE(answer.calls == calls);
    }
    EventLoop loop;
    std::unique_ptr<Lookup> lookup = std::make_unique<Lookup>(loop);
    Answer answer;
};

}  // namespace

TEST_CASE("a name becomes addresses with the port, each once", "[resolver]") {
    Stage stage;
    stage.start("localhost");
    stage.start("ignored.invalid");
    stage.wait();
    REQUIRE(stage.answer.found);
    const auto& found = *stage.answer.found;
    REQUIRE_FALSE(found.empty());
    CHECK(std::set<Address>(found.begin(), found.end()).size() == found.size());
    for (const Address& address : found) {
        const std::string text = address.text();
        CHECK((text == "127.0.0.1:8080" || text == "[::1]:8080"));
    }
    CHECK_FALSE(stage.lookup->running());
    CHECK_FALSE(stage.answer.inside);
    CHECK_FALSE(stage.loop.has_calls());
}

TEST_CASE("a literal needs no server", "[resolver]") {
    Stage stage;
    stage.start("192.0.2.1");
    stage.wait();
    REQUIRE(stage.answer.found);
    REQUIRE(stage.answer.found->size() == 1);
    CHECK(stage.answer.found->front().text() == "192.0.2.1:8080");
}

TEST_CASE("a name that cannot be found is told, and another can be looked up then", "[resolver]") {
    Stage stage;
    stage.start("host name with spaces");
    stage.wait();
    REQUIRE_FALSE(stage.answer.found);
    CHECK(stage.answer.found.error().code == Errc::address);
    CHECK(stage.answer.found.error().native < 0);  // EAI_…
    stage.start("127.0.0.1");
    stage.wait(2);
    CHECK(stage.answer.found);
}

TEST_CASE("a name that libuv does not even take is told later", "[resolver]") {
    Stage stage;
    stage.start(std::string(5000, 'a'));
    stage.wait();
    REQUIRE_FALSE(stage.answer.found);
    CHECK(stage.answer.found.error().code == Errc::address);
    CHECK_FALSE(stage.answer.inside);
    CHECK_FALSE(stage.lookup->running());
}

TEST_CASE("a lookup that dies while it runs tells nothing", "[resolver]") {
    Stage stage;
    Lookup other(stage.loop);
    Answer unheard;
    {
        Lookup dying(stage.loop);
        dying.start("localhost", 1, unheard);
    }
    CHECK(stage.loop.has_calls());
    stage.start("localhost");
    stage.wait();
    CHECK(unheard.calls == 0);
}

TEST_CASE("a lookup may die or begin again in its own answer", "[resolver]") {
    Stage stage;
    stage.answer.then = [&] {
        if (stage.answer.calls == 1) stage.lookup->start("127.0.0.1", 1, stage.answer);
        else stage.lookup.reset();
    };
    stage.start("127.0.0.1");
    stage.wait(2);
    CHECK(stage.answer.found->front().text() == "127.0.0.1:1");
    CHECK_FALSE(stage.lookup);
}
