#pragma once
// One end that we speak WebSocket with: the client of a listener, or the server of a relay. Reads its frames, writes ours
// into a queue, and keeps the closing handshake, the pings and the limits of this one direction. Does no I/O and has no
// timer: its owner asks for the next deadline. A part of a ServerSession or a Relay.
//
//   open --our Close--> closing --its Close--> done
//     '---its Close--> answering --our Close----^     what it says until its Close goes to the owner, even after ours

#include <cstdint>
#include <string_view>

#include "config/config.h"
#include "core/net/session.h"
#include "protocols/websocket/frame_reader.h"
#include "protocols/websocket/services.h"

namespace sluice::websocket {

// Why we end it, and what the peer is told.
struct Farewell {
    Reason reason;
    CloseCode code;
    std::string_view text;  // a constant
};

class Peer final : private FrameReader::Sink {
public:
    static constexpr std::int64_t kNever = INT64_MAX;

    // Calls come from within read() only. They may close() the peer, but not destroy it.
    class Owner {
    public:
        virtual void on_piece(Peer& from, const Piece& piece) = 0;
        virtual void on_ping(Peer& from, Bytes payload) = 0;
        virtual void on_pong(Peer& from, Bytes payload) = 0;  // not the answer to a ping of ours
        virtual void on_close(Peer& from, const Close& close) = 0;
        virtual void on_broken(Peer& from, const Farewell& farewell) = 0;  // a rule: nothing more is read

    protected:
        ~Owner() = default;
    };

    // compression: permessage-deflate was agreed upon with it.
    Peer(Owner& owner, Services& services, ChunkPool& chunks, Sender who, bool compression);

    // `rules`: in force now, kept for the call only.
    void read(Bytes bytes, std::int64_t now_ms, const config::WebSocketRules& rules);

    // All of these write into out(), and nothing after close().
    void write(const Piece& piece);
    void write(const FrameHead& head, ByteQueue&& payload);  // to a client: not masked
    void ping(Bytes payload) { write_control(Opcode::ping, payload); }
    void pong(Bytes payload) { write_control(Opcode::pong, payload); }
    // Our Close; the first one counts.
    void close(CloseCode code, std::string_view text, std::int64_t now_ms);
    void close(const Close& close, std::int64_t now_ms);
    ByteQueue& out() { return out_; }
    std::size_t waiting() const { return out_.size(); }

    bool close_sent() const { return close_sent_; }
    bool close_received() const { return close_received_; }
    bool done() const { return close_sent_ && close_received_; }
    // What the closing handshake said first, or 1006.
    std::uint16_t close_code() const { return close_code_; }

    // While we do not read from it on purpose, it can show that it is there only by what it takes: see forgive().
    void set_paused(bool paused, std::int64_t now_ms);
    // When check() has something to do; kNever.
    std::int64_t deadline(const config::WebSocketRules& rules) const;
    // Pings it when it is time (Reason::none, `pinged` tells), or says why it must be given up.
    struct Verdict {
        Reason reason = Reason::none;
        bool pinged = false;
    };
    Verdict check(std::int64_t now_ms, const config::WebSocketRules& rules);
    // It shows otherwise that it is there: check() waits again from now on.
    void excuse(std::int64_t now_ms);
    // What it has taken, as of now: noted when we ping it, or begin to close.
    void look(const SessionHost::Delivery& now);
    // Whether a verdict is no proof, by what it has taken since the last look: then it is excused.
    bool forgive(Reason verdict, const SessionHost::Delivery& now, std::int64_t now_ms);
    bool awaits_pong() const { return pinged_ms_ != 0; }
    std::int64_t heard_ms() const { return heard_ms_; }
    void start(std::int64_t now_ms) { heard_ms_ = now_ms; }

private:
    bool on_message() override { return count_message(); }
    bool on_piece(const Piece& piece) override;
    bool on_control(Opcode opcode, Bytes payload) override;

    void write_control(Opcode opcode, Bytes payload);
    bool take_close(Bytes payload);
    bool count_message();
    void note_closing(std::uint16_t code, std::int64_t now_ms);
    bool is_ours(Bytes pong) const;
    MaskKey next_mask() { return who_ == Sender::server ? services_.masks.next() : 0; }

    Owner& owner_;
    Services& services_;
    const config::WebSocketRules* rules_ = nullptr;  // during read()
    ByteQueue out_;
    FrameReader reader_;
    std::int64_t heard_ms_ = 0, pinged_ms_ = 0;  // 0: no ping is out
    std::int64_t closing_since_ms_ = 0;          // 0: no Close yet
    std::int64_t second_ms_ = 0;                 // when the count of messages and bytes began
    std::uint64_t messages_ = 0, bytes_ = 0;     // since then
    std::uint64_t taken_ = 0;                    // bytes of ours, when we last looked
    std::uint64_t ping_at_ = 0;                  // so many stood before our last ping
    MaskKey ping_ = 0;                           // the payload of our last ping
    std::uint16_t close_code_ = static_cast<std::uint16_t>(CloseCode::abnormal);
    Sender who_;
    bool close_sent_ = false, close_received_ = false, paused_ = false;
};

}  // namespace sluice::websocket
