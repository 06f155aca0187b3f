#include "daemon/reload_plan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "config/address.h"
#include "core/http/router.h"
#include "daemon/process.h"

namespace sluice {

namespace {

bool is_unix(const config::BindAddress& bind) { return bind.kind == config::BindAddress::Kind::unix_socket; }

// The same port on a wildcard and on a single address: the kernel takes only one of them.
bool clashes(const RunningState::Running& other, const config::BindAddress& bind) {
    return !is_unix(bind) && other.bind.kind == bind.kind && other.bind.port == bind.port &&
           (config::is_wildcard(bind) || config::is_wildcard(other.bind));
}

Sharing sharing_of(const config::ListenerConfig& listener) {
    return listener.reuse_port ? Sharing::shared : Sharing::alone;
}

bool same_service(const config::ListenerConfig& a, const config::ListenerConfig& b) {
    return a.protocol == b.protocol && a.allow_http1 == b.allow_http1 && a.tls == b.tls && a.pool == b.pool &&
           a.routes == b.routes && a.trusted_proxies == b.trusted_proxies && a.proxy_protocol == b.proxy_protocol;
}

// Until a client has its WebSocket it is in its handshake, with TLS or without, and after other answers too. How slowly
// it may read then is for max_pending_bytes to say.
config::PoolSettings in_force(config::PoolSettings pool, config::Protocol protocol) {
    if (protocol != config::Protocol::websocket) return pool;
    pool.headers_timeout = pool.request_timeout = pool.keep_alive_timeout = pool.handshake_timeout;
    pool.min_data_rate = 0;
    return pool;
}

}  // namespace

const config::ListenerConfig* find_listener(const config::Config* config, const std::string& name) {
    if (!config) return nullptr;
    const auto& all = config->listeners;
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& listener) { return listener.name == name; });
    return found == all.end() ? nullptr : &*found;
}

config::Diagnostic cannot_listen(const config::BindAddress& bind, config::Position where, std::string key,
                                 const std::string& file, const Error& error) {
    const bool not_passed = bind.kind == config::BindAddress::Kind::systemd && error.native == ENOENT;
    const std::string why = not_passed
                                ? "systemd has passed no such socket (listening, of type stream): it wants a .socket "
                                  "unit with FileDescriptorName=" +
                                      bind.path + ", and a start of the service"
                                : std::strerror(error.native);
    return {file, where, std::move(key), "cannot listen on " + bind.text() + ": " + why};
}

Result<Fd> open_listening(const config::ListenerConfig& wanted) {
    auto socket = SocketSource::open(wanted.bind, sharing_of(wanted));
    // As with a port, who may connect is not for the file's mode to say.
    if (socket && is_unix(wanted.bind)) chmod(wanted.bind.path.c_str(), 0666);
    return socket;
}

RunningState RunningState::of(Worker& worker, const Clusters& clusters, const websocket::PoolMap& websockets,
                              std::shared_ptr<const config::Config> config) {
    RunningState state{std::move(config), {}, running_upstreams(clusters), websockets};
    for (const auto& listener : worker.listeners) {
        const bool stopped = listener->socket() < 0;
        Fd copy(stopped ? -1 : fcntl(listener->socket(), F_DUPFD_CLOEXEC, 3));
        const ListenerContext& context = *listener->pool().context();
        state.listeners.push_back({.name = listener->name(),
                                   .pool = context.pool,
                                   .tls = RunningTls::of(context.tls.get()),
                                   .address = listener->address(),
                                   .socket = std::move(copy),
                                   .stopped = stopped});
    }
    return state;
}

Ref<ListenerContext> make_context(const config::ListenerConfig& wanted, const config::PoolSettings& pool,
                                  const Modules& modules, const Destinations& destinations, Ref<const TlsContext> tls) {
    auto* context = new ListenerContext;
    context->name = wanted.name;
    context->protocol = wanted.protocol;
    context->pool = in_force(pool, wanted.protocol);
    context->module = &modules.of(wanted.protocol);
    context->tls = std::move(tls);
    context->allow_http1 = wanted.allow_http1;
    ListenerTargets targets(wanted, destinations);
    context->router = std::make_shared<const Router>(wanted.routes, &targets);
    context->trusted_proxies = Networks::from(wanted.trusted_proxies).value_or(Networks());  // validated: else nobody
    context->proxy_protocol = wanted.proxy_protocol;
    return Ref<ListenerContext>(context);
}

tl::expected<ReloadPlan, Refusal> ReloadPlan::prepare(RunningState running, config::Loaded to, const std::string& file,
                                                      const Modules& modules, Worker& worker,
                                                      const config::SettingsTable& table) {
    ReloadPlan plan;
    plan.table_ = &table;
    const auto patience = running.config ? ConfiguredTls::Patience::half_replaced : ConfiguredTls::Patience::none;
    plan.builtin_ = running.builtin;
    Work work{std::move(running), file, modules, worker.sockets, table, ConfiguredTls(file, patience)};
    if (work.running.config) plan.changes_ = config::diff(*work.running.config, to.config, table);
    plan.upstreams_ =
        UpstreamPlan::prepare(work.running.config.get(), work.running.upstreams, to.config, modules, worker, work.tls);
    std::ranges::copy(plan.upstreams_.changes(), std::back_inserter(plan.changes_));
    plan.websockets_ = WebSocketPlan::prepare(work.running.websockets, to.config, modules.websocket());
    for (RunningState::Running& listener : work.running.listeners) {
        const config::ListenerConfig* before = find_listener(work.running.config.get(), listener.name);
        const config::ListenerConfig* after = find_listener(&to.config, listener.name);
        if (before) listener.bind = before->bind;
        listener.leaves = !before || !after || after->bind != before->bind;
    }
    for (std::size_t i = 0; i < to.config.listeners.size(); ++i) plan.plan_listener(to.config.listeners[i], i, work);
    plan.plan_admin(to.config.admin, work);
    std::ranges::move(work.tls.problems, std::back_inserter(work.problems));
    auto unknown = system_problems(to.config, file);
    work.wrong_file |= !unknown.empty();
    std::ranges::move(unknown, std::back_inserter(work.problems));
    if (!work.problems.empty()) {
        plan.drop();
        return tl::unexpected(Refusal{std::move(work.problems), std::move(work.tls.files), work.wrong_file});
    }
    plan.warnings_ = std::move(to.warnings);
    std::ranges::move(work.tls.warnings, std::back_inserter(plan.warnings_));
    plan.files_ = std::move(work.tls.files);
    plan.config_ = std::make_shared<const config::Config>(std::move(to.config));
    return plan;
}

void ReloadPlan::drop() {
    for (const std::string& path : new_files_) ::unlink(path.c_str());
    steps_.clear();
}

void ReloadPlan::plan_listener(const config::ListenerConfig& wanted, std::size_t index, Work& work) {
    auto& all = work.running.listeners;
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& l) { return l.name == wanted.name; });
    RunningState::Running* now = found == all.end() ? nullptr : &*found;
    const config::ListenerConfig* before = now ? find_listener(work.running.config.get(), wanted.name) : nullptr;
    Step step{.name = wanted.name, .exists = now != nullptr};
    step.context = plan_context(wanted, index, now, step, work);
    const bool moves = !before || before->bind != wanted.bind;
    if (moves && !(now && now->stopped)) {
        auto socket = take_socket(wanted, work);
        if (socket) step.socket = std::move(*socket);
        else
            work.problems.push_back(cannot_listen(wanted.bind, wanted.bind_where,
                                                  "listeners[" + std::to_string(index) + "].bind", work.file,
                                                  socket.error()));
    }
    steps_.push_back(std::move(step));
}

Ref<ListenerContext> ReloadPlan::plan_context(const config::ListenerConfig& wanted, std::size_t index,
                                              const RunningState::Running* now, Step& step, Work& work) {
    const config::ListenerConfig* before = now ? find_listener(work.running.config.get(), wanted.name) : nullptr;
    auto& memory = now ? now->tls.memory : work.running.inherited_tls[wanted.name];
    auto tls = work.tls.load(wanted, index, work.modules.of(wanted.protocol).alpn(wanted), memory);
    if (!before) return make_context(wanted, wanted.pool, work.modules, destinations(), std::move(tls));
    std::vector<config::Change> news;
    if (tls && before->tls == wanted.tls) news = changed_files(wanted.name, now->tls, *tls);
    const bool same = same_service(*before, wanted) && news.empty();
    std::ranges::move(news, std::back_inserter(changes_));
    auto pool = config::effective_pool(now->pool, wanted.pool, wanted.protocol, work.table);
    const bool applies = wanted.on_pool_change == config::OnPoolChange::restart && pool != wanted.pool && !now->stopped;
    step.restart = before->protocol != wanted.protocol || applies;
    if (same && !step.restart) return {};
    return make_context(wanted, step.restart ? wanted.pool : pool, work.modules, destinations(), std::move(tls));
}

std::vector<std::string> ReloadPlan::restarted() const {
    std::vector<std::string> names;
    for (const Step& step : steps_)
        if (step.restart) names.push_back(step.name);
    return names;
}

// An address that one of ours gives up in this very reload is taken over with its socket and its queue.
Result<Fd> ReloadPlan::take_socket(const config::ListenerConfig& wanted, Work& work) {
    for (RunningState::Running& other : work.running.listeners) {
        if (!other.socket || !other.leaves) continue;
        if (other.address == wanted.bind.text()) {
            handed_over_.push_back(other.address);
            return std::move(other.socket);
        }
        if (clashes(other, wanted.bind)) return SocketSource::take_beside(wanted.bind, other.socket.get());
    }
    if (Fd offered = work.sockets.take_offered(wanted.name, wanted.bind)) return offered;
    auto opened = open_listening(wanted);
    if (opened && is_unix(wanted.bind)) new_files_.push_back(wanted.bind.path);
    return opened;
}

void ReloadPlan::plan_admin(const config::AdminConfig& wanted, Work& work) {
    const config::Config* running = work.running.config.get();
    const auto open = [&](const config::BindAddress& bind, const char* key) {
        if (Fd offered = work.sockets.take_offered(key, bind)) return offered;
        auto socket = SocketSource::open(bind, Sharing::alone);
        if (socket && is_unix(bind)) new_files_.push_back(bind.path);
        if (!socket) work.problems.push_back(cannot_listen(bind, {}, key, work.file, socket.error()));
        return socket ? std::move(*socket) : Fd();
    };
    const bool opens = !running || running->admin.socket != wanted.socket || ::access(wanted.socket.c_str(), F_OK) != 0;
    if (opens)
        admin_.local = open({.kind = config::BindAddress::Kind::unix_socket, .path = wanted.socket}, kAdminSocketKey);
    if (wanted.bind && (!running || running->admin.bind != wanted.bind)) admin_.tcp = open(*wanted.bind, kAdminBindKey);
    if (!work.problems.empty() || (!opens && running->admin.group == wanted.group)) return;
    const Status shared = share_with_group(wanted.socket, wanted.group);
    if (shared) return;
    work.wrong_file = true;
    const std::string why = std::strerror(shared.error().native);
    work.problems.push_back({work.file, {}, "admin.group", "cannot give " + wanted.socket + " to the group: " + why});
}

config::Diagnostics system_problems(const config::Config& config, const std::string& file) {
    config::Diagnostics problems;
    const auto require = [&](const char* key, const std::string& problem) {
        if (!problem.empty()) problems.push_back({file, {}, key, problem});
    };
    require("user", unknown_user(config.user));
    require("log.access.path", cannot_write(config.log.access.path));
    return problems;
}

void ReloadPlan::commit(Worker& worker, Clusters& clusters, websocket::PoolMap& websockets,
                        Listener::Owner& owner) noexcept {
    upstreams_.apply();
    websockets_.apply();
    for (const auto& listener : worker.listeners)
        if (std::count(handed_over_.begin(), handed_over_.end(), listener->address()) > 0) listener->hand_over();
    for (Step& step : steps_) {
        if (!step.exists && take_back(worker, step)) continue;
        if (!step.exists) {
            worker.listeners.push_back(std::make_unique<Listener>(worker, step.context, std::move(step.socket),
                                                                  Listener::Role::service, owner));
            continue;
        }
        Listener& listener = *worker.find(step.name);
        if (step.context && !step.restart) keep_running_pool(step, listener);
        if (step.context) step.restart ? listener.restart(step.context) : listener.update(step.context);
        if (step.socket && listener.socket() >= 0)
            listener.rebind(std::move(step.socket));  // not if it was drained meanwhile
    }
    retire(worker);
    for (const auto& wanted : config_->listeners) {
        using Kind = config::BindAddress::Kind;
        if (wanted.bind.kind == Kind::tcp) worker.find(wanted.name)->share(sharing_of(wanted));
        if (wanted.bind.kind == Kind::systemd) worker.find(wanted.name)->hand_over();  // its file is the .socket unit's
    }
    upstreams_.retire_others(clusters);
    websockets_.retire_others(websockets);
}

// It may have been restarted by hand since prepare() looked at it.
void ReloadPlan::keep_running_pool(Step& step, Listener& listener) const {
    const config::ListenerConfig& wanted = *find_listener(config_.get(), step.name);
    const config::PoolSettings& running = listener.pool().context()->pool;
    step.context->pool =
        in_force(config::effective_pool(running, wanted.pool, wanted.protocol, *table_), wanted.protocol);
}

// A listener that was removed and still drains comes back under its name, with its counters.
bool ReloadPlan::take_back(Worker& worker, Step& step) {
    const auto found = std::find_if(worker.retiring.begin(), worker.retiring.end(),
                                    [&](const auto& l) { return l->name() == step.name; });
    if (found == worker.retiring.end()) return false;
    (*found)->restart(step.context);
    (*found)->rebind(std::move(step.socket));
    worker.listeners.push_back(std::move(*found));
    worker.retiring.erase(found);
    return true;
}

void ReloadPlan::retire(Worker& worker) {
    std::vector<std::unique_ptr<Listener>> kept;
    std::vector<Listener*> leaving;
    for (auto& listener : worker.listeners) {
        const bool stays = find_listener(config_.get(), listener->name()) != nullptr;
        if (!stays) leaving.push_back(listener.get());
        (stays ? kept : worker.retiring).push_back(std::move(listener));
    }
    worker.listeners = std::move(kept);
    for (Listener* listener : leaving) listener->stop(listener->pool().context()->pool.drain_timeout.count());
}

}  // namespace sluice
