#pragma once
// What is changed in a message on its way through (RFC 9110, 7.6): hop-by-hop fields go, Via and the forwarding fields
// come, and what the route wants. Compiled once from a route's settings; immutable. What the client says of where a
// request comes from is believed of trusted proxies alone.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "core/http/client_session.h"
#include "core/http/exchange.h"
#include "core/upstream/field_kind.h"
#include "core/upstream/request_ids.h"

namespace sluice {

class Forwarding {
public:
    explicit Forwarding(const config::ProxyAction& rules);

    // Fills `out` (whose buffers are reused) from the exchange's request. Its views live as long as `out`, the
    // exchange's request and this object do. No allocation in the steady state.
    struct Outgoing {
        OutgoingRequest request;
        std::string text;  // what views of the request point into where it is not the client's head
    };
    void request(const Exchange& exchange, Outgoing& out) const;
    // Changes an upstream's answer in place: for a client of any protocol. spoken: by the upstream, for Via.
    void answer(ResponseHead& head, config::UpstreamProtocol spoken = config::UpstreamProtocol::http) const;
    // `to` is filled anew: 102 and 103.
    void interim(const ResponseHead& from, ResponseHead& to) const;
    // `to` is filled anew. What a route removes or sets in a head must not come by a trailer either.
    void request_trailers(const HeaderMap& from, HeaderMap& to) const;
    void answer_trailers(const HeaderMap& from, HeaderMap& to) const;

private:
    // What a route changes in one direction; `remove` has the names of those that are set too.
    struct Changes {
        std::vector<std::string> remove;
        config::HeaderList add;
        bool removes(std::string_view name) const;
        void apply(HeaderMap& headers) const;
    };
    static Changes compile(const config::HeaderList& set, const config::HeaderList& add,
                           const std::vector<std::string>& remove);

    std::string_view target_of(const RequestHead& head, std::string& text) const;
    void add_x_forwarded(const Exchange& exchange, FieldKinds kept, FieldKinds joined, Outgoing& out) const;
    void add_forwarded(const Exchange& exchange, FieldKinds joined, Outgoing& out) const;

    struct Trust {
        FieldKinds drops = 0;  // what does not go on
        FieldKinds joins = 0;  // of those: what ours is joined to
    };
    static Trust trust_of(const config::ProxyAction& rules, bool trusted);

    config::ProxyAction rules_;
    Changes request_changes_, answer_changes_;
    std::array<Trust, 2> trust_;  // a stranger, a trusted proxy
    RequestIds ids_;
};

}  // namespace sluice
