#include "daemon/upgrade.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace sluice {

namespace {

constexpr std::int64_t kPatience = 30'000;  // ms until the successor must serve

// Not for the successor: what systemd and we have said to this process alone.
bool is_ours_alone(std::string_view variable) {
    for (const char* prefix : {"LISTEN_", "WATCHDOG_PID=", kHandoverVariable})
        if (variable.starts_with(prefix)) return true;
    return false;
}

std::vector<std::string> environment_for(const std::vector<Inherited>& fds) {
    std::vector<std::string> all;
    for (char** variable = environ; *variable; ++variable)
        if (!is_ours_alone(*variable)) all.emplace_back(*variable);
    std::string names;
    for (const Inherited& item : fds) names += item.name + ":";
    all.push_back(std::string(kHandoverVariable) + "=" + names);
    return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

// Standard descriptors stay what they are; the others become 3, 4 and so on.
std::vector<uv_stdio_container_t> descriptors_of(const std::vector<Inherited>& fds, int link) {
    std::vector<uv_stdio_container_t> all;
    const auto add = [&](int fd) {
        uv_stdio_container_t entry{};
        entry.flags = UV_INHERIT_FD;
        entry.data.fd = fd;
        all.push_back(entry);
    };
    for (int fd : {0, 1, 2}) add(fd);
    for (const Inherited& item : fds) add(item.fd.get());
    add(link);
    return all;
}

Status spawn(EventLoop& loop, const std::string& program, std::vector<std::string> arguments,
             std::vector<std::string> environment, std::vector<uv_stdio_container_t> descriptors) {
    arguments.insert(arguments.begin(), program);
    auto argv = pointers_to(arguments), envp = pointers_to(environment);
    uv_process_options_t options{};
    options.file = program.c_str();
    options.args = argv.data();
    options.env = envp.data();
    options.stdio_count = static_cast<int>(descriptors.size());
    options.stdio = descriptors.data();
    // It leaves its parent at once: what becomes of it is seen at the line. Only the exit of the one in between comes.
    options.exit_cb = [](uv_process_t* process, std::int64_t, int) {
        uv_close(reinterpret_cast<uv_handle_t*>(process),
                 [](uv_handle_t* handle) { delete reinterpret_cast<uv_process_t*>(handle); });
    };
    auto* process = new uv_process_t;
    const int result = uv_spawn(loop.raw(), process, &options);
    if (result == 0) return {};
    uv_close(reinterpret_cast<uv_handle_t*>(process),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_process_t*>(handle); });
    return fail(Errc::system, -result);
}

}  // namespace

Upgrade::Upgrade(EventLoop& loop, Events& events)
    : loop_(loop), events_(events), patience_(loop, [this] { fail("it does not serve after 30 seconds"); }) {}

Status Upgrade::start(const std::string& program, const std::vector<std::string>& arguments,
                      std::vector<Inherited> fds) {
    auto [ours, theirs] = HandoverLink::make_pair();
    if (!ours) return sluice::fail(Errc::system, errno);
    const Status started = spawn(loop_, program, arguments, environment_for(fds), descriptors_of(fds, theirs.get()));
    if (!started) return started;
    link_ = std::make_unique<HandoverLink>(loop_, std::move(ours), [this](std::string_view text) { on_message(text); });
    patience_.start(kPatience);
    return {};
}

void Upgrade::go() {
    gone_ = true;
    patience_.stop();
    link_->send("go");
}

void Upgrade::call_off() {
    if (link_ && !gone_) fail("the daemon is stopping");
}

void Upgrade::on_message(std::string_view message) {
    constexpr std::string_view kReady = "ready ", kFailed = "failed ";
    if (message == "hurry") return events_.on_hurry();
    if (gone_) return;
    if (message.starts_with(kReady)) {
        events_.on_successor_ready(static_cast<pid_t>(std::atol(std::string(message.substr(kReady.size())).c_str())));
    } else {
        fail(message.starts_with(kFailed) ? std::string(message.substr(kFailed.size())) : "it has ended");
    }
}

void Upgrade::fail(const std::string& why) {
    patience_.stop();
    loop_.defer_delete(std::exchange(link_, nullptr));
    events_.on_upgrade_failed(why);
}

}  // namespace sluice
