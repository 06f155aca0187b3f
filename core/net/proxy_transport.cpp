#include "core/net/proxy_transport.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/net/proxy_protocol.h"

namespace sluice {

namespace {

//   head --told--> open
//     `--something else, or our shutdown--> refused: what comes is only handed on to be dropped
class ProxyTransport final : public Transport, private TransportEvents, private Task {
public:
    ProxyTransport(EventLoop& loop, config::ProxyProtocol version, std::unique_ptr<Transport> inner)
        : loop_(loop), version_(version), inner_(std::move(inner)) {}
    ~ProxyTransport() override { close(); }

    Start start(TransportEvents& events) override;
    void write(ByteQueue&& bytes) override { inner_->write(std::move(bytes)); }
    std::size_t pending_bytes() const override { return inner_->pending_bytes(); }
    std::size_t in_kernel() const override { return inner_->in_kernel(); }
    void pause_read() override;
    void resume_read() override;
    void shutdown() override;
    void say_goodbye() override { inner_->say_goodbye(); }
    void close() override;
    Bytes read_now(std::span<char> buffer) override;
    bool looks_alive() const override { return kept_.empty() && inner_->looks_alive(); }
    bool heard() const override { return state_ != State::head || !kept_.empty(); }
    const PeerAddress* told_peer() const override { return client_ ? &*client_ : inner_->told_peer(); }

private:
    enum class State : std::uint8_t { head, open, refused, closed };

    // TransportEvents, from the transport below
    void on_ready() override {}  // the proxy speaks first
    void on_data(Bytes bytes) override;
    void on_writable() override { events_->on_writable(); }
    void on_end() override { events_->on_end(); }
    void on_error(Error error) override { events_->on_error(error); }
    void on_handshake_failed() override { refuse(); }

    void run() override;  // what was kept
    void read_head(Bytes bytes);
    void deliver_kept();
    void refuse();

    EventLoop& loop_;
    config::ProxyProtocol version_;
    std::unique_ptr<Transport> inner_;
    TransportEvents* events_ = nullptr;
    std::string kept_;  // of the head; then what came behind it, until somebody reads
    std::optional<PeerAddress> client_;
    State state_ = State::head;
    bool paused_ = false;  // by the owner
};

Start ProxyTransport::start(TransportEvents& events) {
    events_ = &events;
    inner_->start(*this);
    return Start::later;
}

void ProxyTransport::on_data(Bytes bytes) {
    if (state_ == State::head) read_head(bytes);
    else events_->on_data(bytes);
}

void ProxyTransport::read_head(Bytes bytes) {
    kept_ += bytes;
    const auto head = parse_proxy_head(version_, kept_);
    if (!head) return refuse();
    if (!*head) return;  // not complete
    client_ = (*head)->client;
    kept_ = kept_.substr((*head)->size);
    state_ = State::open;
    events_->on_ready();
    deliver_kept();
}

void ProxyTransport::deliver_kept() {
    if (state_ != State::open || paused_ || kept_.empty()) return;
    const std::string bytes = std::exchange(kept_, {});
    events_->on_data(bytes);
}

void ProxyTransport::refuse() {
    state_ = State::refused;
    kept_.clear();
    events_->on_handshake_failed();
}

void ProxyTransport::pause_read() {
    paused_ = true;
    inner_->pause_read();
}

// The transport below is read again when nothing is kept: bytes stay in their order.
void ProxyTransport::resume_read() {
    paused_ = false;
    if (state_ == State::open && !kept_.empty()) loop_.schedule(*this);
    else inner_->resume_read();
}

void ProxyTransport::run() {
    deliver_kept();
    if (state_ != State::closed && !paused_) inner_->resume_read();
}

void ProxyTransport::shutdown() {
    if (state_ == State::head) {
        state_ = State::refused;
        kept_.clear();
    }
    inner_->shutdown();
}

void ProxyTransport::close() {
    if (std::exchange(state_, State::closed) == State::closed) return;
    unlink();
    inner_->close();
}

Bytes ProxyTransport::read_now(std::span<char> buffer) {
    if (state_ != State::open) return {};
    if (kept_.empty()) return inner_->read_now(buffer);
    const std::size_t count = kept_.copy(buffer.data(), buffer.size());
    kept_.erase(0, count);
    return Bytes(buffer.data(), count);
}

}  // namespace

std::unique_ptr<Transport> make_proxy_transport(EventLoop& loop, config::ProxyProtocol version,
                                                std::unique_ptr<Transport> inner) {
    return std::make_unique<ProxyTransport>(loop, version, std::move(inner));
}

}  // namespace sluice
