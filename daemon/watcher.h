#pragma once
// Tells when one of some files has new content, however it came: written in place (when the writer closes it, never
// before), renamed over, or by a symlink on the way to it. Watches directories with inotify, because uv_fs_event does
// not tell IN_CLOSE_WRITE. Owned by the daemon; tells at most once a loop turn, and not which file it was.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/net/event_loop.h"
#include "core/net/socket_source.h"

namespace sluice {

// Which content a path leads to; the default is that of no file.
struct FileState {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    std::int64_t changed_ns = 0;
    static FileState of(const std::string& path);
    bool operator==(const FileState&) const = default;
};

class WatchEvents {
public:
    virtual void on_file_changed() = 0;

protected:
    ~WatchEvents() = default;
};

class Watcher {
public:
    // `path`: the configuration, which is followed as long as the watcher lives.
    Watcher(EventLoop& loop, std::string path, WatchEvents& events);

    // Follows these files besides the configuration, and those of before no longer. The states are those that the
    // caller knows; true: a file has other content already, and nobody will be told of it.
    bool follow(const std::map<std::string, FileState>& files);

    // Somebody has begun to write the configuration and has not closed it yet.
    bool being_written() const { return ways_.front().being_written; }

private:
    // A followed file, and what leads to it.
    struct Way {
        std::string path;
        FileState seen;
        std::multimap<int, std::string> names{};  // watch descriptor and the names in that directory that matter
        std::pair<int, std::string> last_name{};  // the file itself, at the end of all links
        std::string end{};                        // its path without links
        bool being_written = false;
        bool stale = false;  // it may lead to new content now

        bool take(std::uint32_t mask, int watch, const std::string& name);
    };

    void read_events();
    void take_events(std::span<const char> bytes);
    bool look_again(Way& way);
    void watch(Way& way);
    int watch_directory(Way& way, const std::string& directory, const std::string& name, std::uint32_t events);
    void drop_unused();

    WatchEvents& events_;
    Fd inotify_;
    UvPtr<uv_poll_t> poll_;
    std::vector<Way> ways_;  // the first is the configuration
    std::set<int> watches_;
    std::set<std::string> unwatchable_;  // directories that were complained about
};

}  // namespace sluice
