#include "core/upstream/name_source.h"

#include <netdb.h>

#include <algorithm>
#include <utility>

#include "core/base/log.h"

namespace sluice {

namespace {

bool same(const std::vector<Address>& a, const std::vector<Address>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Address& x, const Address& y) { return x.text() == y.text(); });
}

}  // namespace

NameSource::NameSource(EventLoop& loop, const config::EndpointConfig& endpoint, config::Millis refresh,
                       std::string upstream, Owner& owner)
    : loop_(loop),
      endpoint_(endpoint),
      refresh_(refresh),
      upstream_(std::move(upstream)),
      owner_(owner),
      lookup_(loop) {
    look_up();
}

void NameSource::set_endpoint(const config::EndpointConfig& endpoint, config::Millis refresh) {
    endpoint_ = endpoint;
    refresh_ = refresh;
    if (!lookup_.running()) look_up();
}

void NameSource::on_resolved(Result<std::vector<Address>> addresses) {
    loop_.timers().arm(*this, loop_.now_ms() + (addresses ? refresh_.count() : std::min(kRetry, refresh_.count())));
    const bool first = !std::exchange(answered_, true);
    tell(addresses ? "" : gai_strerror(addresses.error().native));
    if (!addresses) {
        if (first) owner_.on_names_changed();
        return;
    }
    // Rotated answers are the same set; for one connection the order has a meaning (RFC 6724).
    if (endpoint_.kind == config::EndpointConfig::Kind::dns) std::sort(addresses->begin(), addresses->end());
    if (endpoint_.kind == config::EndpointConfig::Kind::name) {
        // A name that has several keeps the one that is in use.
        const auto has = [&](const Address& a) {
            return std::any_of(addresses->begin(), addresses->end(),
                               [&](const Address& b) { return a.text() == b.text(); });
        };
        if (!addresses_.empty() && has(addresses_.front())) return;
        addresses->resize(1);
    }
    if (same(addresses_, *addresses)) return;
    addresses_ = std::move(*addresses);
    owner_.on_names_changed();
}

// A name server that is away for an hour is worth two messages, not one for each try.
void NameSource::tell(const std::string& problem) {
    if (std::exchange(problem_, problem) == problem) return;
    if (problem.empty())
        log::write(log::Level::notice, endpoint_.host + " can be resolved again",
                   {{"UPSTREAM", upstream_}, {"HOST", endpoint_.host}});
    else
        log::write(log::Level::warning, "cannot resolve " + endpoint_.host,
                   {{"UPSTREAM", upstream_}, {"HOST", endpoint_.host}, {"REASON", problem}});
}

}  // namespace sluice
