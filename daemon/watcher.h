#pragma once
// Tells when a file has new content, however it came: written in place (when the writer closes it, never before),
// renamed over, or by a symlink on the way to it. Watches directories with inotify, because uv_fs_event does not tell
// IN_CLOSE_WRITE. Owned by the daemon; tells at most once a loop turn.

#include <sys/types.h>

#include <map>
#include <string>

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
    Watcher(EventLoop& loop, std::string path, WatchEvents& events);

    // Somebody has begun to write the file and has not closed it yet.
    bool being_written() const { return being_written_; }

private:
    void read_events();
    bool take(std::uint32_t mask, int watch, const std::string& name);
    void watch_way();
    int watch_directory(const std::string& directory, const std::string& name);

    std::string path_;
    WatchEvents& events_;
    Fd inotify_;
    UvPtr<uv_poll_t> poll_;
    std::multimap<int, std::string> names_;  // watch descriptor and the names in that directory that matter
    std::pair<int, std::string> last_name_;  // the file itself, at the end of all links
    FileState seen_;
    bool being_written_ = false;
};

}  // namespace sluice
