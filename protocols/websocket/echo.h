#pragma once
// `echo`: every message comes back to its sender, piece by piece; compressed ones are unpacked, judged and packed again.
// Owned by its session.

#include <optional>

#include "protocols/websocket/deflate.h"
#include "protocols/websocket/endpoint.h"
#include "protocols/websocket/handshake.h"
#include "protocols/websocket/utf8.h"

namespace sluice::websocket {

class Echo final : public Endpoint, private Inflater::Sink {
public:
    // none: without compression.
    explicit Echo(std::optional<Deflation> deflation) : deflation_(deflation) {}

    void start(Client& client) override { client_ = &client; }
    void on_piece(const Piece& piece) override;
    void on_ping(Bytes payload) override;
    void on_pong(Bytes) override {}
    void on_close(const Close& close) override;
    void on_room() override;
    void flush() override { unpacked_ = 0; }
    void end(CloseCode) override {}

private:
    // While a message is unpacked and packed again.
    struct Codec {
        Inflater inflater;
        Deflater deflater;
        ByteQueue packed;
        Utf8 utf8;
        std::uint64_t size = 0;  // of the message, unpacked
        bool too_big = false, too_much = false, bad_text = false;
    };

    bool on_inflated(Bytes bytes) override;
    void begin_packed(const Piece& first);
    void take_packed(const Piece& piece);
    void refuse(const Error& error);
    void hold_back();

    Client* client_ = nullptr;
    std::optional<Deflation> deflation_;
    std::unique_ptr<Codec> codec_;
    std::uint64_t unpacked_ = 0;  // bytes, in this read
    bool packed_ = false;         // the message that comes is compressed
    bool text_ = false;           // and a text
    bool begun_ = false;          // something of its echo was sent
    bool holds_back_ = false;
};

}  // namespace sluice::websocket
