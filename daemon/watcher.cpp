#include "daemon/watcher.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/log.h"

namespace sluice {

namespace {

namespace fs = std::filesystem;

// Of a directory on the way, and of that of the file: others may write much there.
constexpr std::uint32_t kWayEvents = IN_MOVED_TO | IN_CREATE | IN_MOVE_SELF | IN_DELETE_SELF;
constexpr std::uint32_t kFileEvents = kWayEvents | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE;

// Of either kind: its content was there before it.
bool is_link(const std::string& path) {
    struct stat info;
    return lstat(path.c_str(), &info) == 0 && (S_ISLNK(info.st_mode) || info.st_nlink > 1);
}

constexpr int kMostReads = 16;  // a turn
constexpr int kMaxLinks = 40;   // as the kernel's own limit

}  // namespace

Watcher::Watcher(EventLoop& loop, std::string path, WatchEvents& events)
    : events_(events), inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    const FileState seen = FileState::of(path);
    ways_.push_back({.path = std::move(path), .seen = seen});
    if (!inotify_) return;
    auto* poll = new uv_poll_t;
    uv_poll_init(loop.raw(), poll, inotify_.get());
    poll->data = this;
    poll_.reset(poll);
    uv_poll_start(poll, UV_READABLE, [](uv_poll_t* p, int, int) { static_cast<Watcher*>(p->data)->read_events(); });
    look_again(ways_.front());
}

bool Watcher::follow(const std::map<std::string, FileState>& files) {
    if (!inotify_) return false;
    std::erase_if(ways_, [&](const Way& way) { return &way != &ways_.front() && !files.contains(way.path); });
    bool changed = false;
    for (const auto& [path, seen] : files) {
        const auto same = [&path = path](const Way& way) { return way.path == path; };
        if (std::any_of(ways_.begin() + 1, ways_.end(), same)) continue;
        ways_.push_back({.path = path, .seen = seen});
        changed |= look_again(ways_.back());
    }
    drop_unused();
    return changed;
}

// True if there is other content than was seen.
bool Watcher::look_again(Way& way) {
    way.stale = false;
    watch(way);
    const FileState now = FileState::of(way.path);
    return std::exchange(way.seen, now) != now;
}

// Watches every directory on the way to the file, for the next name on it: any of them may be replaced.
void Watcher::watch(Way& way) {
    way.names.clear();
    way.last_name = {-1, {}};
    std::error_code none;
    fs::path rest = fs::absolute(way.path, none).lexically_normal(), so_far = "/";
    rest = rest.relative_path();
    for (int links = 0; !rest.empty() && links < kMaxLinks;) {
        const fs::path name = *rest.begin();
        rest = rest.lexically_relative(name);
        if (rest == ".") rest.clear();
        const fs::path here = so_far / name;
        const bool is_link = fs::is_symlink(here, none);
        const int descriptor = watch_directory(way, so_far, name, rest.empty() ? kFileEvents : kWayEvents);
        if (rest.empty()) {
            way.last_name = {descriptor, name};
            way.end = here;
        }
        if (!is_link) {
            so_far = here;
            continue;
        }
        ++links;
        const fs::path target = fs::read_symlink(here, none);
        const fs::path whole = (target.is_absolute() ? target : so_far / target).lexically_normal() / rest;
        so_far = "/";
        rest = whole.relative_path();
    }
}

int Watcher::watch_directory(Way& way, const std::string& directory, const std::string& name, std::uint32_t events) {
    // Added, because the same directory may be on another file's way.
    const int watch = inotify_add_watch(inotify_.get(), directory.c_str(), events | IN_MASK_ADD);
    if (watch < 0) {
        if (errno != ENOENT && unwatchable_.insert(directory).second)
            log::write(log::Level::warning, "a directory cannot be watched for changes",
                       {{"PATH", directory}, {"REASON", std::strerror(errno)}});
        return -1;
    }
    way.names.emplace(watch, name);
    watches_.insert(watch);
    return watch;
}

void Watcher::drop_unused() {
    std::set<int> used;
    for (const Way& way : ways_)
        for (const auto& [watch, name] : way.names) used.insert(watch);
    for (const int watch : watches_)
        if (!used.contains(watch)) inotify_rm_watch(inotify_.get(), watch);
    watches_ = std::move(used);
}

void Watcher::take_events(std::span<const char> bytes) {
    for (const char* at = bytes.data(); at < bytes.data() + bytes.size();) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        for (Way& way : ways_) way.stale |= way.take(event->mask, event->wd, event->len > 0 ? event->name : "");
        at += sizeof *event + event->len;
    }
}

void Watcher::read_events() {
    alignas(inotify_event) std::array<char, 16 * 1024> buffer;
    // What is left is read in the next turn of the loop: who writes into the directory must not hold it.
    for (int reads = 0; reads < kMostReads; ++reads) {
        const ssize_t size = ::read(inotify_.get(), buffer.data(), buffer.size());
        if (size <= 0) break;
        take_events({buffer.data(), static_cast<std::size_t>(size)});
    }
    bool looked = false, changed = false;
    for (Way& way : ways_) {
        if (!way.stale || way.being_written) continue;
        looked = true;
        changed |= look_again(way);
    }
    if (looked) drop_unused();
    if (changed) events_.on_file_changed();
}

// True if the file may have new content now.
bool Watcher::Way::take(std::uint32_t mask, int watch, const std::string& name) {
    if ((mask & IN_Q_OVERFLOW) != 0) {
        being_written = false;
        return true;
    }
    const auto [first, last] = names.equal_range(watch);
    if ((mask & (IN_MOVE_SELF | IN_DELETE_SELF)) != 0) return first != last;
    const bool ours = std::any_of(first, last, [&](const auto& entry) { return entry.second == name; });
    if (!ours) return false;
    if (last_name == std::pair(watch, name)) {
        if ((mask & IN_MODIFY) != 0) being_written = true;
        if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE)) != 0) being_written = false;
        return (mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0 || ((mask & IN_CREATE) != 0 && is_link(end));
    }
    return (mask & (IN_MOVED_TO | IN_CREATE)) != 0;
}

FileState FileState::of(const std::string& path) {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return {};
    return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
}

}  // namespace sluice
