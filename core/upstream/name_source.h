#pragma once
// The addresses that a name of the configuration stands for now, looked up again every dns_refresh. While a lookup
// fails the last ones count. Owned by its Cluster.

#include <string>
#include <vector>

#include "config/config.h"
#include "core/net/resolver.h"
#include "core/net/timer_wheel.h"

namespace sluice {

class NameSource final : private Timer, private Lookup::Events {
public:
    class Owner {
    public:
        virtual void on_names_changed() = 0;  // also when the first lookup has failed

    protected:
        ~Owner() = default;
    };

    // `upstream`: for the log.
    NameSource(EventLoop& loop, const config::EndpointConfig& endpoint, config::Millis refresh, std::string upstream,
               Owner& owner);
    ~NameSource() = default;

    const config::EndpointConfig& endpoint() const { return endpoint_; }
    void set_endpoint(const config::EndpointConfig& endpoint, config::Millis refresh);
    // Of `name`: one only, getaddrinfo's first, which stays as long as the name has it. Of `dns`: all, sorted. Empty
    // until the first lookup has succeeded.
    const std::vector<Address>& addresses() const { return addresses_; }
    bool answered() const { return answered_; }  // the first lookup has ended, in whatever way

private:
    static constexpr std::int64_t kRetry = 1000;  // ms, after a lookup that failed

    void look_up() { lookup_.start(endpoint_.host, endpoint_.port, *this); }
    void on_timer(std::int64_t) override { look_up(); }
    void on_resolved(Result<std::vector<Address>> addresses) override;
    void tell(const std::string& problem);

    EventLoop& loop_;
    config::EndpointConfig endpoint_;
    config::Millis refresh_;
    std::string upstream_;
    Owner& owner_;
    std::vector<Address> addresses_;
    Lookup lookup_;
    std::string problem_;  // that was told; "" = none
    bool answered_ = false;
};

}  // namespace sluice
