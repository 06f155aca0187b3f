#pragma once
// Which route a request takes. Compiled once from the configuration, immutable, owned by a ListenerContext.
// Order of precedence: host (exact, longest wildcard, any), path (exact, longest prefix of whole segments, any),
// the number of further conditions, the order of the file.

#include <memory>
#include <vector>

#include "config/config.h"
#include "core/http/stream.h"

namespace sluice {

// What a route leads to: makes the handler of one request. Immutable; outlives its handlers.
class RouteTarget {
public:
    virtual ~RouteTarget() = default;
    virtual std::unique_ptr<Handler> make_handler() const = 0;
    // It answers requests with an `upgrade`. To all others an extended CONNECT is none that they could answer (501).
    virtual bool takes_upgrades() const { return false; }
    // Of the requests that match its route it takes this one; else the next route is asked.
    virtual bool takes(const RequestHead&) const { return true; }
};

// Makes the targets of routes that need what this layer does not know. Used while a Router is made.
class RouteTargets {
public:
    // Null if there is no such upstream.
    virtual std::unique_ptr<RouteTarget> make(const config::ProxyAction& action) = 0;
    virtual std::unique_ptr<RouteTarget> make(const config::WebSocketAction& action,
                                              const config::RouteMatch& match) = 0;
    virtual std::unique_ptr<RouteTarget> make(const config::BuiltinAction& action) = 0;
    // For requests that no route takes; null: 404.
    virtual std::unique_ptr<RouteTarget> make_fallback() = 0;

protected:
    ~RouteTargets() = default;
};

class Route {
public:
    Route(config::RouteMatch match, std::unique_ptr<RouteTarget> target)
        : match_(std::move(match)), target_(std::move(target)) {}

    bool matches(const RequestHead& head) const;
    bool goes_before(const Route& other) const;
    std::unique_ptr<Handler> make_handler() const { return target_->make_handler(); }
    bool takes_upgrades() const { return target_->takes_upgrades(); }

private:
    bool matches_host(std::string_view host) const;
    bool matches_path(std::string_view path) const;
    bool matches_headers(const HeaderMap& headers) const;

    config::RouteMatch match_;
    std::unique_ptr<RouteTarget> target_;
};

class Router {
public:
    // `targets` may be null where no route needs it.
    explicit Router(const std::vector<config::RouteConfig>& routes, RouteTargets* targets = nullptr);
    // Everything goes to one target.
    explicit Router(std::unique_ptr<RouteTarget> target);

    // Always one: 404 where no route matches, 204 for OPTIONS *.
    const Route& find(const RequestHead& head) const;
    bool takes_upgrades() const;  // one of the routes does

private:
    void add_fallbacks(std::unique_ptr<RouteTarget> no_route);
    std::vector<Route> routes_;  // in order of precedence; the last two are the fallbacks
};

}  // namespace sluice
