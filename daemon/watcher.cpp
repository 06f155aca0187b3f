#include "daemon/watcher.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/log.h"

namespace sluice {

namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kEvents =
    IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVE_SELF | IN_DELETE_SELF;
bool is_symlink(const std::string& path) {
    std::error_code none;
    return fs::is_symlink(path, none);
}

constexpr int kMaxLinks = 40;  // as the kernel's own limit

}  // namespace

Watcher::Watcher(EventLoop& loop, std::string path, WatchEvents& events)
    : path_(std::move(path)), events_(events), inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    if (!inotify_) return;
    auto* poll = new uv_poll_t;
    uv_poll_init(loop.raw(), poll, inotify_.get());
    poll->data = this;
    poll_.reset(poll);
    uv_poll_start(poll, UV_READABLE, [](uv_poll_t* p, int, int) { static_cast<Watcher*>(p->data)->read_events(); });
    watch_way();
    seen_ = FileState::of(path_);
}

// Watches every directory on the way to the file, for the next name on it: any of them may be replaced.
void Watcher::watch_way() {
    names_.clear();
    last_name_ = {-1, {}};
    std::error_code none;
    fs::path rest = fs::absolute(path_, none).lexically_normal(), so_far = "/";
    rest = rest.relative_path();
    for (int links = 0; !rest.empty() && links < kMaxLinks;) {
        const fs::path name = *rest.begin();
        rest = rest.lexically_relative(name);
        if (rest == ".") rest.clear();
        const fs::path here = so_far / name;
        const bool is_link = fs::is_symlink(here, none);
        const int watch = watch_directory(so_far, name);
        if (rest.empty()) last_name_ = {watch, name};
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

int Watcher::watch_directory(const std::string& directory, const std::string& name) {
    const int watch = inotify_add_watch(inotify_.get(), directory.c_str(), kEvents);
    if (watch < 0) {
        if (errno != ENOENT)
            log::write(log::Level::warning, "cannot watch " + directory + " for changes",
                       {{"ERROR", std::strerror(errno)}});
        return -1;
    }
    names_.emplace(watch, name);
    return watch;
}

void Watcher::read_events() {
    alignas(inotify_event) std::array<char, 16 * 1024> buffer;
    bool look_again = false;
    for (ssize_t size; (size = ::read(inotify_.get(), buffer.data(), buffer.size())) > 0;) {
        for (const char* at = buffer.data(); at < buffer.data() + size;) {
            const auto* event = reinterpret_cast<const inotify_event*>(at);
            look_again |= take(event->mask, event->wd, event->len > 0 ? event->name : "");
            at += sizeof *event + event->len;
        }
    }
    if (!look_again || being_written_) return;
    watch_way();
    const FileState now = FileState::of(path_);
    if (std::exchange(seen_, now) != now) events_.on_file_changed();
}

// True if the file may have new content now.
bool Watcher::take(std::uint32_t mask, int watch, const std::string& name) {
    if ((mask & IN_Q_OVERFLOW) != 0) {
        being_written_ = false;
        return true;
    }
    if ((mask & (IN_MOVE_SELF | IN_DELETE_SELF)) != 0) return true;
    const auto [first, last] = names_.equal_range(watch);
    bool ours = false;
    for (auto entry = first; entry != last; ++entry) ours |= entry->second == name;
    if (!ours) return false;
    if (last_name_ == std::pair(watch, name)) {
        if ((mask & IN_MODIFY) != 0) being_written_ = true;
        if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE)) != 0) being_written_ = false;
        return (mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0 || ((mask & IN_CREATE) != 0 && is_symlink(path_));
    }
    return (mask & (IN_MOVED_TO | IN_CREATE)) != 0;
}

FileState FileState::of(const std::string& path) {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return {};
    return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
}

}  // namespace sluice
