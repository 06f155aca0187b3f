#include "daemon/upgrade.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>

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

constexpr std::string_view kPid = "pid ", kReady = "ready", kServing = "serving", kFailed = "failed ", kHurry = "hurry";

}  // namespace

Upgrade::Upgrade(EventLoop& loop, Events& events)
    : loop_(loop), events_(events), patience_(loop, [this] { give_up("it does not serve after 30 seconds"); }) {}

Status Upgrade::start(const std::string& program, const std::vector<std::string>& arguments,
                      std::vector<Inherited> fds) {
    auto [ours, theirs] = HandoverLink::make_pair();
    if (!ours) return sluice::fail(Errc::system, errno);
    successor_ = 0;
    if (const Status started = spawn(program, arguments, fds, theirs.get()); !started) return started;
    link_ = std::make_unique<HandoverLink>(loop_, std::move(ours), [this](std::string_view text) { on_message(text); });
    stage_ = Stage::loading;
    patience_.start(kPatience);
    return {};
}

Status Upgrade::spawn(const std::string& program, std::vector<std::string> arguments, const std::vector<Inherited>& fds,
                      int link) {
    auto environment = environment_for(fds);
    auto descriptors = descriptors_of(fds, link);
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
        if (process->data) static_cast<Upgrade*>(process->data)->child_.reset();
    };
    child_.reset(new uv_process_t{});  // which even a failed uv_spawn has initialised
    const int result = uv_spawn(loop_.raw(), child_.get(), &options);
    child_->data = this;
    if (result == 0) return {};
    child_.reset();
    return sluice::fail(Errc::system, -result);
}

void Upgrade::call_off() {
    if (stage_ == Stage::loading || stage_ == Stage::told) give_up("the daemon is stopping");
}

void Upgrade::on_message(std::string_view message) {
    if (stage_ == Stage::over) {
        if (message == kHurry) events_.on_hurry();
    } else if (message.starts_with(kPid)) {
        successor_ = static_cast<pid_t>(std::atol(std::string(message.substr(kPid.size())).c_str()));
    } else if (message == kReady && stage_ == Stage::loading) {
        stage_ = Stage::told;
        events_.on_successor_ready(successor_);
        link_->send("go");
    } else if (message == kServing && stage_ == Stage::told) {
        stage_ = Stage::over;
        patience_.stop();
        events_.on_successor_serves(successor_);
    } else {
        fail(message.starts_with(kFailed) ? std::string(message.substr(kFailed.size())) : "it has ended");
    }
}

// Who hangs does not see the end of the line, and would hold the sockets for ever. That the line is open shows that it
// lives, and that nobody else has its number.
void Upgrade::give_up(const std::string& why) {
    if (successor_ != 0) ::kill(successor_, SIGKILL);
    fail(why);
}

void Upgrade::fail(const std::string& why) {
    stage_ = Stage::none;
    patience_.stop();
    if (child_) uv_process_kill(child_.get(), SIGKILL);
    link_->close();
    loop_.defer_delete(std::exchange(link_, nullptr));
    events_.on_upgrade_failed(why);
}

}  // namespace sluice
