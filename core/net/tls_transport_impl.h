#pragma once
// The class behind make_tls_transport(); nobody else includes this.
//
// Ciphertext comes from the transport below and is decrypted at once into the engine's buffer; what cannot be delivered
// yet stays encrypted in kept_. Plaintext that the transport below has no room for waits in waiting_. After each event
// that it tells, it may have been closed: state_ says so.

#include <memory>

#include "core/net/tls_handshake.h"
#include "core/net/tls_transport.h"

namespace sluice {

class TlsTransport final : public Transport, private TransportEvents, private Task, private TlsWaiting {
public:
    // One of the contexts is null: the other's `ssl` is from it.
    struct Side {
        Ref<const TlsContext> server;
        Ref<const TlsClientContext> client;
    };
    TlsTransport(TlsEngine& engine, ChunkPool& chunks, Side side, TlsPtr<ssl_st> ssl, TlsStats& stats,
                 std::unique_ptr<Transport> inner);
    ~TlsTransport() override;

    Start start(TransportEvents& events) override;
    void write(ByteQueue&& bytes) override;
    std::size_t pending_bytes() const override;
    std::size_t in_kernel() const override;
    void pause_read() override;
    void resume_read() override;
    void shutdown() override;
    void say_goodbye() override;
    void close() override;
    bool ended_cleanly() const override { return heard_goodbye_; }
    Bytes read_now(std::span<char> buffer) override;
    bool looks_alive() const override;
    bool heard() const override { return !handshake_ || handshake_->begun(); }
    const PeerAddress* told_peer() const override { return inner_->told_peer(); }
    std::string_view alpn() const override;
    std::optional<TlsInfo> tls_info() const override;

private:
    enum class State : std::uint8_t {
        handshake,
        open,
        refused,  // the handshake failed: only the transport below lives
        broken,   // nothing goes on; the error was told or is about to be
        closed,
    };
    enum class Verdict : std::uint8_t { more, end, broken, reset };
    struct Decrypted {
        Bytes plain;
        Verdict verdict = Verdict::more;
    };

    // TransportEvents, from the transport below
    void on_ready() override;
    void on_data(Bytes bytes) override;
    void on_writable() override;
    void on_end() override;
    void on_error(Error error) override;
    void on_handshake_failed() override;

    void run() override;      // what may not be told inside a call, and what was kept
    void proceed() override;  // the engine has time for the handshake

    void shake_hands(Bytes bytes);
    void step(Bytes bytes);
    void wait_for_turn();
    void become_open();
    void refuse(ByteQueue alert, Bytes rest);
    void abandon_handshake();

    bool is_client() const { return static_cast<bool>(side_.client); }
    void greet();
    bool chose_another_protocol() const;
    void give_up(ByteQueue alert);
    void lose_server();

    void receive(Bytes bytes);
    TlsIo& open_io(Bytes bytes, ByteQueue& out);
    Decrypted decrypt(std::span<char> room);
    Verdict judge_read(int result);
    Verdict judge_failure();
    bool has_input() const;
    void deliver(Decrypted got);
    void finish_reading(Verdict verdict);
    void tell_end();
    void match_reading();

    void pump();
    ByteQueue encrypt(std::size_t room);
    void send(ByteQueue&& bytes);
    void fail(Error error);
    void fail_later(Error error);
    void drop_all();
    bool is_waiting() const { return static_cast<const TlsWaiting&>(*this).linked(); }
    void schedule() { engine_.loop().schedule(*this); }

    TlsEngine& engine_;
    Side side_;  // outlives ssl_, whose callbacks ask it
    TlsStats& stats_;
    std::unique_ptr<Transport> inner_;
    TransportEvents* events_ = nullptr;
    TlsPtr<ssl_st> ssl_;
    std::unique_ptr<TlsHandshake> handshake_;
    ByteQueue kept_;            // ciphertext that came and waits
    ByteQueue waiting_;         // plaintext to send
    std::size_t answered_ = 0;  // bytes that OpenSSL wrote by itself after the handshake
    Error error_;               // still to be told, if error_due_
    State state_ = State::handshake;
    bool paused_ = false;       // by the owner
    bool reading_ = false;      // what the transport below was told
    bool ended_ = false;        // the peer's end was told
    bool below_ended_ = false;  // its FIN came
    bool end_due_ = false;      // it came, and is still to be told
    bool error_due_ = false;
    bool above_low_ = false;  // pending bytes were above kLowWater: on_writable is owed
    bool shutdown_ = false;   // ordered
    bool said_goodbye_ = false;
    bool heard_goodbye_ = false;  // the peer's close_notify
};

}  // namespace sluice
