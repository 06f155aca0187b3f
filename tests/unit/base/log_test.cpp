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

}  // namespace

TEST_CASE("log: fields follow the message, quoted where needed") {
    Capture capture;
    log::write(log::Level::notice, "reloaded", {{"listener", "web"}, {"old", "a \"b\""}, {"new", ""}});
    const auto text = capture.finish();
    CHECK(text.find(" notice  reloaded listener=web old=\"a \\\"b\\\"\" new=\"\"\n") != text.npos);
}

TEST_CASE("log: what a peer sent cannot begin a line, a field or a colour") {
    Capture capture;
    log::write(log::Level::info, "bad\nrequest",
               {{"line",
                 "\x1b[31m\x1f"
                 "fake=1"}});
    const auto text = capture.finish();
    CHECK(text.find("bad\\nrequest line=\"\\x1b[31m?fake=1\"\n") != text.npos);
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
    // The path counts for a whole batch, and a batch lasts a tenth of a second.
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    log::set_access_file(file.string());
    for (int i = 0; i < 1000; ++i) log::access("line");
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    std::filesystem::rename(file, capture.folder() / "access.log.1");
    log::reopen();
    log::access("after");
    log::stop();
    CHECK(lines_in(read_file(capture.folder() / "access.log.1")) == 1000);
    CHECK(read_file(file) == "after\n");
    CHECK(log::dropped() == before);
    CHECK(capture.finish() == "{\"to\":\"the \\\\ log\"}\n");
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
    for (int i = 0; i < 50000; ++i) log::write(log::Level::info, "a message nobody reads", {{"filler", "0123456789"}});
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
