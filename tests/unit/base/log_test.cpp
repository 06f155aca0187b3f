#include "core/base/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "core/base/result.h"

using namespace sluice;

namespace {

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

struct Folder {
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "sluice-log.XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
};

// What is written to standard error while it lives, and what was lost.
class Capture {
public:
    Capture() : saved_(dup(STDERR_FILENO)) {
        const int file = open((folder_.path / "stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(file, STDERR_FILENO);
        close(file);
        log::start(log::Target::standard_error, log::Level::info);
    }
    ~Capture() { finish(); }

    std::string finish() {
        log::stop();
        if (saved_ >= 0) dup2(saved_, STDERR_FILENO);
        if (saved_ >= 0) close(saved_);
        saved_ = -1;
        return read_file(folder_.path / "stderr");
    }
    std::filesystem::path folder() const { return folder_.path; }

private:
    Folder folder_;
    int saved_;
};

std::size_t lines_in(const std::string& text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

std::size_t count(const std::string& text, const std::string& words) {
    std::size_t found = 0;
    for (auto at = text.find(words); at != text.npos; at = text.find(words, at + words.size())) ++found;
    return found;
}

// The sum of all counts of what was left out.
std::size_t left_out(const std::string& text) {
    const std::string key = " LEFT_OUT=";
    std::size_t sum = 0;
    for (auto at = text.find(key); at != text.npos; at = text.find(key, at + 1))
        sum += std::stoul(text.substr(at + key.size()));
    return sum;
}

void wait_for_lines(const std::filesystem::path& path, std::size_t lines) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (lines_in(read_file(path)) < lines && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    REQUIRE(lines_in(read_file(path)) == lines);
}

}  // namespace

TEST_CASE("log: fields follow the message, quoted where needed, and left out where empty") {
    Capture capture;
    log::write(log::Level::notice, "reloaded", {{"LISTENER", "web"}, {"OLD", "a \"b\""}, {"NEW", ""}, {"NEXT", "=1"}});
    const auto text = capture.finish();
    CHECK(text.find(" notice  reloaded LISTENER=web OLD=\"a \\\"b\\\"\" NEXT=\"=1\"\n") != text.npos);
}

TEST_CASE("log: what a peer sent cannot begin a line, a field or a colour") {
    Capture capture;
    log::write(log::Level::info, "bad\nrequest",
               {{"LINE",
                 "\x1b[31m\x1f"
                 "fake=1"}});
    const auto text = capture.finish();
    CHECK(text.find("bad\\nrequest LINE=\"\\x1b[31m?fake=1\"\n") != text.npos);
    CHECK(lines_in(text) == 1);
}

TEST_CASE("log: the level can change while it runs") {
    Capture capture;
    log::write(log::Level::debug, "one");
    log::set_level(log::Level::debug);
    log::write(log::Level::debug, "two");
    CHECK(log::enabled(log::Level::debug));
    const auto text = capture.finish();
    CHECK(text.find("one") == text.npos);
    CHECK(text.find("two") != text.npos);
    log::set_level(log::Level::info);
}

TEST_CASE("log: access lines go unchanged where the log goes, or to their file, also after a rename") {
    Capture capture;
    const auto file = capture.folder() / "access.log";
    const auto before = log::dropped();
    log::access("{\"to\":\"the \\\\ log\"}");
    log::set_access_file(file.string());
    for (int i = 0; i < 500; ++i) log::access("line");
    wait_for_lines(file, 500);
    std::filesystem::permissions(file, std::filesystem::perms(0604));
    std::filesystem::rename(file, capture.folder() / "access.log.1");
    for (int i = 0; i < 500; ++i) log::access("line");
    log::reopen();
    log::access("after");
    log::stop();
    CHECK(lines_in(read_file(capture.folder() / "access.log.1")) == 1000);
    CHECK(read_file(file) == "after\n");
    CHECK(std::filesystem::status(file).permissions() == std::filesystem::perms(0604));
    CHECK(log::dropped() == before);
    CHECK(capture.finish() == "{\"to\":\"the \\\\ log\"}\n");
}

TEST_CASE("log: each access line goes to the file that was set when it came") {
    Capture capture;
    const auto file = [&capture](const char* name) { return (capture.folder() / name).string(); };
    for (const char* name : {"a", "b", "a", "c"}) {
        log::set_access_file(file(name));
        log::access(std::string("to ") + name);
        log::access(std::string("to ") + name);
    }
    log::reopen();
    log::access("to c");
    log::stop();
    CHECK(read_file(file("a")) == "to a\nto a\nto a\nto a\n");
    CHECK(read_file(file("b")) == "to b\nto b\n");
    CHECK(read_file(file("c")) == "to c\nto c\nto c\n");
}

TEST_CASE("log: while the access file cannot be reopened the old one is written, and that is told") {
    Capture capture;
    const auto before = log::dropped();
    const auto folder = capture.folder() / "logs";
    const auto away = capture.folder() / "away";
    std::filesystem::create_directory(folder);
    log::set_access_file((folder / "access.log").string());
    log::access("first");
    wait_for_lines(folder / "access.log", 1);
    std::filesystem::rename(folder, away);
    log::reopen();
    log::access("second");
    wait_for_lines(away / "access.log", 2);
    std::filesystem::create_directory(folder);
    log::access("third");
    log::stop();
    CHECK(read_file(away / "access.log") == "first\nsecond\n");
    CHECK(read_file(folder / "access.log") == "third\n");
    CHECK(log::dropped() == before);
    const auto text = capture.finish();
    CHECK(text.find("cannot be reopened") != text.npos);
    CHECK(text.find("No such file or directory") != text.npos);
    CHECK(lines_in(text) == 1);
}

TEST_CASE("log: an access file that somebody else made keeps its mode") {
    Capture capture;
    const auto file = capture.folder() / "access.log";
    log::set_access_file(file.string());
    log::access("before");
    wait_for_lines(file, 1);
    std::filesystem::rename(file, capture.folder() / "access.log.1");
    std::ofstream(file).put('\n');
    std::filesystem::permissions(file, std::filesystem::perms(0606));
    log::reopen();
    log::access("after");
    log::stop();
    CHECK(read_file(file) == "\nafter\n");
    CHECK(std::filesystem::status(file).permissions() == std::filesystem::perms(0606));
}

TEST_CASE("log: a burst is cut short, and how much of it is told at the end") {
    Capture capture;
    for (int i = 0; i < 500; ++i) log::write(log::Level::warning, "a peer is a nuisance", {{"PEER", "127.0.0.1:1"}});
    log::write(log::Level::info, "somebody else");
    for (int i = 0; i < 300; ++i) log::write(log::Level::error, "a mistake", {}, log::Site::unlimited());
    const auto text = capture.finish();
    const auto burst = count(text, "a peer is a nuisance PEER=");
    const auto end = text.find(" more lines like this were left out: a peer is a nuisance LEFT_OUT=");
    REQUIRE(end != text.npos);
    CHECK(text.rfind(" warning ", end) > text.rfind('\n', end));
    CHECK(burst >= 100);
    CHECK(burst < 500);
    CHECK(burst + left_out(text) == 500);
    CHECK(count(text, "somebody else") == 1);
    CHECK(count(text, "a mistake") == 300);
}

TEST_CASE("log: what was left out is told when it is asked for, once") {
    Capture capture;
    for (int i = 0; i < 200; ++i) log::write(log::Level::info, "again and again");
    log::report_left_out();
    log::write(log::Level::notice, "asked for");
    const auto text = capture.finish();
    CHECK(count(text, "again and again\n") + left_out(text) == 200);
    CHECK(text.find("LEFT_OUT=") < text.find("asked for"));
    CHECK(text.find("LEFT_OUT=", text.find("asked for")) == text.npos);
}

TEST_CASE("log: a site is its caller's, from the top of the source tree") {
    const log::Site site = log::Site::here();
    CHECK(site.line == __LINE__ - 1);
    CHECK(site.file == std::string("tests/unit/base/log_test.cpp"));
    CHECK(site.limited);
    CHECK_FALSE(log::Site::unlimited().limited);
}

TEST_CASE("log: an access file that cannot be written is counted and reported once") {
    Capture capture;
    const auto before = log::dropped();
    log::set_access_file((capture.folder() / "missing" / "access.log").string());
    log::access("lost");
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    log::access("lost");
    const auto text = capture.finish();
    CHECK(text.find("No such file or directory") != text.npos);
    CHECK(lines_in(text) == 1);
    CHECK(log::dropped() - before == 2);
}

TEST_CASE("log: a reader that is stuck neither holds the writer nor the end for long") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    log::start(log::Target::standard_error, log::Level::info);
    const auto before = log::dropped();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 50000; ++i)
        log::write(log::Level::info, "a message nobody reads", {{"FILLER", "0123456789"}}, log::Site::unlimited());
    log::stop();
    const auto took = std::chrono::steady_clock::now() - begin;
    dup2(saved, STDERR_FILENO);
    for (const int fd : {ends[0], ends[1], saved}) close(fd);
    CHECK(took < std::chrono::seconds(20));
    CHECK(log::dropped() - before > 40000);
}

TEST_CASE("result: an error describes itself, with the system's words where there are some") {
    CHECK(describe({Errc::timed_out, 0}) == "timed out");
    CHECK(describe({Errc::reset, ECONNRESET}) == "connection reset (Connection reset by peer)");
}
