#include "daemon/watcher.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

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
