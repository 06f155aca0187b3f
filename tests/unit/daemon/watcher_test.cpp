#include "daemon/watcher.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace sluice;
namespace fs = std::filesystem;

namespace {

struct Folder {
    Folder() {
        std::string name = (fs::temp_directory_path() / "sluice-watch.XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~Folder() { fs::remove_all(path); }
    fs::path path;
};

void write_file(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

struct Watched final : WatchEvents {
    explicit Watched(const fs::path& path)
        : watcher(std::make_unique<Watcher>(loop, path.string(), static_cast<WatchEvents&>(*this))) {}
    ~Watched() {
        watcher.reset();
        uv_run(loop.raw(), UV_RUN_NOWAIT);
    }
    void on_file_changed() override { ++changes; }
    // As they are now.
    bool follow(const std::vector<fs::path>& files) {
        std::map<std::string, FileState> states;
        for (const fs::path& file : files) states[file] = FileState::of(file);
        return watcher->follow(states);
    }
    // inotify has told what happened before a system call returns: no waiting.
    int seen() {
        for (int i = 0; i < 3; ++i) uv_run(loop.raw(), UV_RUN_NOWAIT);
        return std::exchange(changes, 0);
    }
    EventLoop loop;
    int changes = 0;
    std::unique_ptr<Watcher> watcher;
};

}  // namespace

TEST_CASE("a file that is written slowly in place is told when it is closed", "[watcher]") {
    const Folder folder;
    const fs::path file = folder.path / "sluice.yaml";
    write_file(file, "old");
    Watched watched(file);
    const int fd = open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    for (int piece = 0; piece < 5; ++piece) {
        REQUIRE(write(fd, "piece\n", 6) == 6);
        CHECK(watched.seen() == 0);
    }
    close(fd);
    CHECK(watched.seen() == 1);
    CHECK(watched.seen() == 0);
}

TEST_CASE("a file that is renamed over is told, again and again", "[watcher]") {
    const Folder folder;
    const fs::path file = folder.path / "sluice.yaml";
    write_file(file, "old");
    Watched watched(file);
    for (int i = 0; i < 5; ++i) {
        write_file(folder.path / "sluice.yaml.new", "new " + std::to_string(i));
        CHECK(watched.seen() == 0);
        fs::rename(folder.path / "sluice.yaml.new", file);
        CHECK(watched.seen() == 1);
    }
}

TEST_CASE("a file that goes away and comes back is told when it is whole", "[watcher]") {
    const Folder folder;
    const fs::path file = folder.path / "sluice.yaml";
    write_file(file, "old");
    Watched watched(file);
    fs::remove(file);
    CHECK(watched.seen() == 0);
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(watched.seen() == 0);
    REQUIRE(write(fd, "new", 3) == 3);
    CHECK(watched.seen() == 0);
    close(fd);
    CHECK(watched.seen() == 1);
}

TEST_CASE("other files in the directory are no matter", "[watcher]") {
    const Folder folder;
    const fs::path file = folder.path / "sluice.yaml";
    write_file(file, "old");
    Watched watched(file);
    write_file(folder.path / "other.yaml", "x");
    fs::rename(folder.path / "other.yaml", folder.path / "sluice.yaml~");
    CHECK(watched.seen() == 0);
}

TEST_CASE("a symlink to the file may be turned, and its target written", "[watcher]") {
    const Folder folder;
    fs::create_directory(folder.path / "etc");
    write_file(folder.path / "one.yaml", "one");
    write_file(folder.path / "two.yaml", "two!");
    fs::create_symlink("../one.yaml", folder.path / "etc" / "sluice.yaml");
    Watched watched(folder.path / "etc" / "sluice.yaml");
    write_file(folder.path / "one.yaml", "one, changed");
    CHECK(watched.seen() == 1);
    fs::create_symlink("../two.yaml", folder.path / "etc" / "new");
    fs::rename(folder.path / "etc" / "new", folder.path / "etc" / "sluice.yaml");
    CHECK(watched.seen() == 1);
    write_file(folder.path / "two.yaml", "two, changed");
    CHECK(watched.seen() == 1);
    write_file(folder.path / "one.yaml", "no longer ours");
    CHECK(watched.seen() == 0);
}

TEST_CASE("a symlinked directory on the way may be turned", "[watcher]") {
    const Folder folder;
    for (const std::string version : {"v1", "v2", "v3"}) {
        fs::create_directory(folder.path / version);
        write_file(folder.path / version / "sluice.yaml", version + std::string(version[1] - '0', '.'));
    }
    fs::create_directory_symlink("v1", folder.path / "current");
    Watched watched(folder.path / "current" / "sluice.yaml");
    for (const std::string version : {"v2", "v3"}) {
        fs::create_directory_symlink(version, folder.path / "new");
        fs::rename(folder.path / "new", folder.path / "current");
        CHECK(watched.seen() == 1);
        write_file(folder.path / version / "sluice.yaml", "changed in " + version);
        CHECK(watched.seen() == 1);
    }
    write_file(folder.path / "v1" / "sluice.yaml", "no longer ours");
    CHECK(watched.seen() == 0);
}

TEST_CASE("a file touched without new content is not told", "[watcher]") {
    const Folder folder;
    const fs::path file = folder.path / "sluice.yaml";
    write_file(file, "old");
    Watched watched(file);
    close(open(file.c_str(), O_WRONLY | O_CLOEXEC));
    CHECK(watched.seen() == 0);
}

TEST_CASE("a file that is made anew behind a symlink is told when it is whole", "[watcher]") {
    const Folder folder;
    write_file(folder.path / "real.yaml", "old");
    fs::create_symlink("real.yaml", folder.path / "sluice.yaml");
    Watched watched(folder.path / "sluice.yaml");
    fs::remove(folder.path / "real.yaml");
    const int fd = open((folder.path / "real.yaml").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(watched.seen() == 0);
    REQUIRE(write(fd, "new", 3) == 3);
    close(fd);
    CHECK(watched.seen() == 1);
}

TEST_CASE("files besides the configuration are followed until others are", "[watcher]") {
    const Folder folder, other;
    const fs::path yaml = folder.path / "sluice.yaml", one = other.path / "one.pem", two = other.path / "two.pem";
    for (const fs::path& file : {yaml, one, two}) write_file(file, "old");
    Watched watched(yaml);
    CHECK_FALSE(watched.follow({one, two}));
    for (const fs::path& file : {one, yaml, two}) {
        write_file(file, "newer");
        CHECK(watched.seen() == 1);
    }
    CHECK_FALSE(watched.follow({two}));
    write_file(one, "no longer ours");
    CHECK(watched.seen() == 0);
    write_file(two, "still ours");
    CHECK(watched.seen() == 1);
    CHECK_FALSE(watched.follow({}));
    write_file(two, "nor this");
    CHECK(watched.seen() == 0);
    CHECK_FALSE(watched.follow({one}));
    write_file(one, "ours again");
    CHECK(watched.seen() == 1);
    write_file(yaml, "and always");
    CHECK(watched.seen() == 1);
}

TEST_CASE("several files that change together are told once", "[watcher]") {
    const Folder folder;
    const std::vector<fs::path> files = {folder.path / "a.pem", folder.path / "a.key", folder.path / "b.pem"};
    for (const fs::path& file : files) write_file(file, "old");
    write_file(folder.path / "sluice.yaml", "old");
    Watched watched(folder.path / "sluice.yaml");
    watched.follow(files);
    for (const fs::path& file : files) write_file(file, "newer");
    write_file(folder.path / "sluice.yaml", "newer");
    CHECK(watched.seen() == 1);
    CHECK(watched.seen() == 0);
}

TEST_CASE("a volume of files is turned as a whole, as Kubernetes does it", "[watcher]") {
    const Folder folder;
    const auto turn_to = [&](const std::string& version) {
        fs::create_directory(folder.path / version);
        write_file(folder.path / version / "tls.crt", "certificate " + version);
        write_file(folder.path / version / "tls.key", "key " + version);
        fs::create_directory_symlink(version, folder.path / "..data_tmp");
        fs::rename(folder.path / "..data_tmp", folder.path / "..data");
    };
    turn_to("..1");
    const fs::path certificate = folder.path / "tls.crt", key = folder.path / "tls.key";
    fs::create_symlink("..data/tls.crt", certificate);
    fs::create_symlink("..data/tls.key", key);
    Watched watched(folder.path / "sluice.yaml");
    CHECK_FALSE(watched.follow({certificate, key}));
    for (int version = 2; version < 6; ++version) {
        turn_to(".." + std::to_string(version));
        CHECK(watched.seen() == 1);
        fs::remove_all(folder.path / (".." + std::to_string(version - 1)));
        CHECK(watched.seen() == 0);
    }
}

TEST_CASE("a certificate in the course of being written is waited for, and holds up nobody else", "[watcher]") {
    const Folder folder;
    const fs::path yaml = folder.path / "sluice.yaml", file = folder.path / "a.pem";
    write_file(yaml, "old");
    write_file(file, "old");
    Watched watched(yaml);
    watched.follow({file});
    const int fd = open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    REQUIRE(write(fd, "half", 4) == 4);
    CHECK(watched.seen() == 0);
    CHECK_FALSE(watched.watcher->being_written());  // that is the configuration's
    write_file(yaml, "newer");
    CHECK(watched.seen() == 1);
    REQUIRE(write(fd, "whole", 5) == 5);
    CHECK(watched.seen() == 0);
    close(fd);
    CHECK(watched.seen() == 1);
}

TEST_CASE("what has changed before a file is followed is told by follow", "[watcher]") {
    const Folder folder;
    const fs::path file = folder.path / "a.pem";
    write_file(folder.path / "sluice.yaml", "old");
    Watched watched(folder.path / "sluice.yaml");
    CHECK_FALSE(watched.follow({file}));  // not there yet
    write_file(file, "old");
    CHECK(watched.seen() == 1);
    watched.follow({});
    const FileState read = FileState::of(file);
    write_file(file, "newer");
    CHECK(watched.watcher->follow({{file, read}}));
    CHECK(watched.seen() == 0);
    CHECK_FALSE(watched.watcher->follow({{file, read}}));  // it knows better by now
}
