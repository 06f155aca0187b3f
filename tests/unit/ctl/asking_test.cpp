#include "daemon/ctl/asking.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/ctl/commands.h"
#include "tests/unit/ctl/socket_support.h"

using namespace sluice::ctl;
using Catch::Contains;
using sluice::test::BoundSocket;
using sluice::test::Folder;

namespace {

// A daemon that gives these answers to as many connections, one after the other, and then has ended; without any it
// listens and says nothing.
class FakeDaemon {
public:
    FakeDaemon(std::string path, std::vector<std::string> answers)
        : path_(std::move(path)), socket_(path_, BoundSocket::Kind::listens) {
        if (!answers.empty()) thread_ = std::jthread([this, all = std::move(answers)] { serve(all); });
    }
    FakeDaemon(const FakeDaemon&) = delete;
    FakeDaemon& operator=(const FakeDaemon&) = delete;
    ~FakeDaemon() {
        ::shutdown(socket_.fd(), SHUT_RDWR);  // whom the test has not asked for all answers
        if (thread_.joinable()) thread_.join();
    }
    std::vector<std::string> asked() {
        const std::lock_guard lock(mutex_);
        return asked_;
    }

private:
    void serve(const std::vector<std::string>& answers) {
        for (std::size_t i = 0; i < answers.size(); ++i) {
            const int client = ::accept(socket_.fd(), nullptr, nullptr);
            if (client < 0) return;
            // Before the last answer, so that who has it finds nobody.
            if (i + 1 == answers.size()) ::unlink(path_.c_str());
            answer(client, "HTTP/1.0 200 OK\r\n\r\n" + answers[i]);
        }
    }

    void answer(int client, const std::string& text) {
        std::array<char, 4096> request;
        const auto size = ::recv(client, request.data(), request.size(), 0);
        {
            const std::lock_guard lock(mutex_);
            asked_.emplace_back(request.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
        }
        (void)::send(client, text.data(), text.size(), MSG_NOSIGNAL);
        ::close(client);
    }

    std::string path_;
    BoundSocket socket_;
    std::mutex mutex_;
    std::vector<std::string> asked_;
    std::jthread thread_;
};

// What is written to a descriptor of this process while `run` runs.
std::string written_to(FILE* stream, const std::function<void()>& run) {
    std::fflush(stream);
    const int before = ::dup(::fileno(stream));
    FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    ::dup2(::fileno(file), ::fileno(stream));
    run();
    std::fflush(stream);
    ::dup2(before, ::fileno(stream));
    ::close(before);
    std::string text(65536, '\0');
    std::rewind(file);
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    return text;
}

}  // namespace

TEST_CASE("ctl: an answer that is JSON but no object is not understood", "[ctl]") {
    const Folder folder;
    for (const char* body : {"[]", "7", "null", "\"ok\"", "no JSON", ""}) {
        const auto path = folder.file("admin.sock");
        FakeDaemon daemon(path, {body});
        const auto answer = ask({"", path}, {"GET", "/v1/status"});
        CHECK(answer.code == kNotReached);
        REQUIRE(answer.complaints.size() == 1);
        CHECK_THAT(answer.complaints[0], Contains("not understood"));
        CHECK(answer.json.is_null());
    }
}

TEST_CASE("ctl: several are asked at the same time, and told in their order", "[ctl]") {
    const Folder folder;
    FakeDaemon silent(folder.file("admin@1.sock"), {});
    FakeDaemon silent_too(folder.file("admin@2.sock"), {});
    FakeDaemon other(folder.file("admin@3.sock"), {R"({"pid":3})"});
    const Places places = {
        {"1", folder.file("admin@1.sock")}, {"2", folder.file("admin@2.sock")}, {"3", folder.file("admin@3.sock")}};
    // Each is held until all are there, which only threads of their own get to.
    std::mutex mutex;
    std::condition_variable met;
    std::size_t there = 0;
    const auto meet = [&](const Place& place) {
        std::unique_lock lock(mutex);
        ++there;
        met.notify_all();
        met.wait(lock, [&] { return there == places.size(); });
        return place.instance;
    };
    CHECK(all_at_once(places, meet) == std::vector<std::string>{"1", "2", "3"});
    const auto answers = ask_each(places, {.method = "GET", .target = "/v1/status", .body = "", .patience_seconds = 1});
    CHECK(answers[0].code == kNotReached);
    CHECK_THAT(answers[1].complaints[0], Contains("no answer in time"));
    CHECK(answers[2].json == Json{{"pid", 3}});
}

TEST_CASE("ctl: events go on with the successor, and the end is told", "[ctl]") {
    const Folder folder;
    const auto path = folder.file("admin.sock");
    FakeDaemon daemon(path, {R"({"pid":7})", "{\"seq\":1}\n{\"seq\":2}\n", R"({"pid":8})", "{\"seq\":1}\n"});
    Options options;
    options.socket = path;
    options.instance = "";
    options.output = Output::json;
    options.follow = Follow::yes;
    std::string told;
    int code = kDone;
    const auto shown = written_to(stdout, [&] { told = written_to(stderr, [&] { code = run_events(options); }); });
    CHECK(shown == "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":1}\n");
    CHECK_THAT(told, Contains("process 7 sends no more events, process 8 is followed now\n") &&
                         Contains("process 8 sends no more events\n") && Contains("cannot reach sluiced at " + path));
    CHECK(code == kNotReached);
}

TEST_CASE("ctl: a process that cuts off its follower is not asked anew", "[ctl]") {
    const Folder folder;
    const auto path = folder.file("admin.sock");
    FakeDaemon daemon(path, {R"({"pid":7})", "{\"seq\":1}\n", R"({"pid":7})"});
    Options options;
    options.socket = path;
    options.instance = "";
    options.follow = Follow::yes;
    int code = kDone;
    const auto told = written_to(stderr, [&] { written_to(stdout, [&] { code = run_events(options); }); });
    CHECK(told == "sluicectl: process 7 sends no more events\n");
    CHECK(code == kNotReached);
    CHECK(daemon.asked().size() == 3);
}

TEST_CASE("ctl: who does not answer is named in the text and on stderr, the others are shown", "[ctl]") {
    const Folder folder;
    const BoundSocket dead(folder.file("admin@1.sock"), BoundSocket::Kind::leftover);
    FakeDaemon refuses(folder.file("admin@2.sock"), {"", R"({"ok":false,"error":"no"})"});
    FakeDaemon broken(folder.file("admin@3.sock"), {"", "[]"});
    FakeDaemon works(folder.file("admin@4.sock"), {"", R"({"upstreams":[{"name":"api"}]})"});
    Options options;
    options.socket = folder.file("admin.sock");
    std::string shown;
    int code = kDone;
    const auto told = written_to(stderr, [&] { shown = written_to(stdout, [&] { code = run_upstreams(options); }); });
    CHECK_THAT(shown, Contains("instance 2 refuses\ninstance 3 does not answer\n") && Contains("api") &&
                          Contains("1 process answers") && !Contains("instance 1"));
    CHECK_THAT(told, Contains("sluicectl: instance 2: no\n") && Contains("instance 3: the answer is not understood"));
    CHECK(code == kNotReached);
}
