#include "core/http/router.h"

#include <algorithm>
#include <tuple>

#include "core/http/echo_handler.h"
#include "core/http/respond_handler.h"

namespace sluice {

namespace {

// By the kind of action.
struct MakeTarget {
    RouteTargets* targets = nullptr;
    const config::RouteMatch* match = nullptr;

    std::unique_ptr<RouteTarget> operator()(const config::RespondAction& action) const {
        return std::make_unique<RespondTarget>(action);
    }
    std::unique_ptr<RouteTarget> operator()(const config::RedirectAction& action) const {
        return std::make_unique<RedirectTarget>(action);
    }
    std::unique_ptr<RouteTarget> operator()(const config::EchoAction&) const { return std::make_unique<EchoTarget>(); }
    std::unique_ptr<RouteTarget> operator()(const config::ProxyAction& action) const {
        return or_bad_gateway(targets ? targets->make(action) : nullptr);
    }
    std::unique_ptr<RouteTarget> operator()(const config::WebSocketAction& action) const {
        return or_bad_gateway(targets ? targets->make(action, *match) : nullptr);
    }

    std::unique_ptr<RouteTarget> operator()(const config::BuiltinAction& action) const {
        return or_bad_gateway(targets ? targets->make(action) : nullptr);
    }

    std::unique_ptr<RouteTarget> or_bad_gateway(std::unique_ptr<RouteTarget> target) const {
        if (target) return target;
        return (*this)(config::RespondAction{502, {{"content-type", "text/plain"}}, "502 Bad Gateway\n"});
    }
};

bool is_wildcard(const std::string& host) { return host.rfind("*.", 0) == 0; }

}  // namespace

bool Route::matches(const RequestHead& head) const {
    const auto& methods = match_.methods;
    return matches_path(head.path) && matches_host(head.host) &&
           (methods.empty() || std::find(methods.begin(), methods.end(), head.method) != methods.end()) &&
           matches_headers(head.headers) && target_->takes(head);
}

bool Route::matches_host(std::string_view host) const {
    if (match_.host.empty()) return true;
    if (!is_wildcard(match_.host)) return host == match_.host;
    const std::string_view suffix = std::string_view(match_.host).substr(1);
    return host.size() > suffix.size() && host.substr(host.size() - suffix.size()) == suffix;
}

// A prefix matches whole segments: /v1 and /v1/ match /v1/x, and not /v10.
bool Route::matches_path(std::string_view path) const {
    if (!match_.exact_path.empty()) return path == match_.exact_path;
    const std::string_view prefix = match_.path;
    if (prefix.empty()) return path != "*";
    if (path.substr(0, prefix.size()) != prefix) return false;
    return prefix.back() == '/' || path.size() == prefix.size() || path[prefix.size()] == '/';
}

bool Route::matches_headers(const HeaderMap& headers) const {
    return std::all_of(match_.headers.begin(), match_.headers.end(), [&](const auto& wanted) {
        for (const auto field : headers)
            if (field.name == wanted.first && (wanted.second.empty() || field.value == wanted.second)) return true;
        return false;
    });
}

bool Route::goes_before(const Route& other) const {
    const auto rank = [](const config::RouteMatch& match) {
        return std::tuple(!match.host.empty() && !is_wildcard(match.host), match.host.size(), !match.exact_path.empty(),
                          match.path == "/" ? 0 : match.path.size(), match.headers.size() + !match.methods.empty());
    };
    return rank(match_) > rank(other.match_);
}

Router::Router(const std::vector<config::RouteConfig>& routes, RouteTargets* targets) {
    for (const auto& route : routes)
        routes_.emplace_back(route.match, std::visit(MakeTarget{targets, &route.match}, route.action));
    std::stable_sort(routes_.begin(), routes_.end(), [](const Route& a, const Route& b) { return a.goes_before(b); });
    add_fallbacks(targets ? targets->make_fallback() : nullptr);
}

Router::Router(std::unique_ptr<RouteTarget> target) {
    routes_.emplace_back(config::RouteMatch{}, std::move(target));
    add_fallbacks(nullptr);
}

void Router::add_fallbacks(std::unique_ptr<RouteTarget> no_route) {
    const config::RouteMatch options{.exact_path = "*", .methods = {"OPTIONS"}};
    routes_.emplace_back(options, MakeTarget{}(config::RespondAction{.status = 204}));
    const config::RespondAction not_found{404, {{"content-type", "text/plain"}}, "404 Not Found\n"};
    if (!no_route) no_route = MakeTarget{}(not_found);
    routes_.emplace_back(config::RouteMatch{}, std::move(no_route));
}

bool Router::takes_upgrades() const {
    return std::any_of(routes_.begin(), routes_.end(), [](const Route& route) { return route.takes_upgrades(); });
}

const Route& Router::find(const RequestHead& head) const {
    const auto found =
        std::find_if(routes_.begin(), routes_.end() - 1, [&](const Route& route) { return route.matches(head); });
    return *found;
}

}  // namespace sluice
