#pragma once
// What the daemon answers itself over gRPC: grpc.health.v1.Health and sluice.admin.v1.Admin. One table of methods; it
// owns the streams, and ends them when the listener that they came through drains, or else that would wait for them,
// and when it no longer offers their service. Those of server reflection, which are answered elsewhere, it only ends.
// Owned by the daemon, used in the loop; the Control outlives it.

#include <map>
#include <memory>

#include "daemon/builtin_stream.h"
#include "daemon/loop_timer.h"

namespace sluice {

class BuiltinServices final : public grpc::Backend {
public:
    static constexpr std::size_t kMostStreams = 1000;  // of all listeners: each costs a look now and then

    explicit BuiltinServices(admin::Control& control);

    // The configuration, a listener or the daemon itself changed its state: who watches is told now.
    void look();
    // The server has stopped: nobody hears anything any more.
    void clear() { streams_.clear(); }
    std::size_t streams() const { return streams_.size(); }

    void on_call(std::shared_ptr<grpc::BuiltinCall> call) override;
    void on_gone(grpc::BuiltinCall& call) override { streams_.erase(&call); }
    void on_room(grpc::BuiltinCall& call) override;

private:
    static constexpr std::int64_t kLook = 100;  // ms, while there are streams: nothing tells of an upstream's health

    struct Running {
        std::shared_ptr<grpc::BuiltinCall> call;
        std::uint32_t generation = 0;  // of the listener, when the call came
        std::unique_ptr<BuiltinStream> stream;
    };

    void open(const BuiltinMethod& method, const BuiltinRequest& request);
    bool goes_on(const Running& running, const ServiceHealth& health) const;
    const char* end_of(const Running& running, const ServiceHealth& health) const;
    std::uint32_t generation_of(const std::string& listener) const;

    admin::Control& control_;
    std::map<grpc::BuiltinCall*, Running> streams_;
    LoopTimer tick_;
};

}  // namespace sluice
