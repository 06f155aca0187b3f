#pragma once
// A request from a chosen peer, and what a route's Forwarding makes of it, for the tests of core/upstream/forwarding.

#include <arpa/inet.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/upstream/forwarding.h"

namespace sluice::test {

using Fields = std::vector<std::pair<std::string, std::string>>;
using config::ForwardedMode;

inline constexpr const char* kStranger = "192.0.2.1";
inline constexpr const char* kProxy = "10.1.2.3";  // trusted, as "unix" is

inline PeerAddress peer_of(const std::string& ip) {
    PeerAddress peer;
    peer.port = 4711;
    if (ip == "unix") peer.family = AF_UNIX;
    else peer.family = inet_pton(AF_INET, ip.c_str(), peer.ip.data()) == 1 ? AF_INET : AF_INET6;
    if (peer.family == AF_INET6) inet_pton(AF_INET6, ip.c_str(), peer.ip.data());
    return peer;
}

// GET /a/b?q=1 of example.com:8080, but for what a test changes. Not copied: views point into it.
struct Asked {
    explicit Asked(const Fields& fields = {}, const std::string& from = kStranger) : peer(peer_of(from)) {
        head.method = "GET";
        head.path = std::string_view(target).substr(0, 4);
        head.query = std::string_view(target).substr(4);
        head.host = "example.com";
        head.authority = "example.com:8080";
        for (const auto& [name, value] : fields) head.headers.add(name, value);
        context = make_ref<ListenerContext>();
        const_cast<ListenerContext&>(*context).trusted_proxies = *Networks::from({"10.0.0.0/8", "unix"});
    }
    Asked(const Asked&) = delete;

    const OutgoingRequest& through(const config::ProxyAction& rules) {
        forwarding = std::make_unique<Forwarding>(rules);
        return again();
    }
    const OutgoingRequest& again() {
        exchange.config = context;
        exchange.request = &head;
        exchange.peer = peer;
        forwarding->request(exchange, out);
        return out.request;
    }

    std::string target = "/a/b?q=1";
    RequestHead head;
    PeerAddress peer;
    Ref<const ListenerContext> context;
    Exchange exchange;
    std::unique_ptr<Forwarding> forwarding;
    Forwarding::Outgoing out;
};

// Adds nothing by itself.
inline config::ProxyAction bare() {
    config::ProxyAction rules;
    rules.upstream = "api";
    rules.x_forwarded = ForwardedMode::off;
    rules.via = false;
    return rules;
}

inline Fields fields_of(const HeaderMap& headers) {
    Fields fields;
    for (const auto field : headers) fields.emplace_back(field.name, field.value);
    return fields;
}

inline Fields passed(const Fields& sent, const config::ProxyAction& rules = bare(),
                     const std::string& from = kStranger) {
    Asked asked(sent, from);
    return fields_of(asked.through(rules).headers);
}

}  // namespace sluice::test
