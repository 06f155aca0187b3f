#include "protocols/websocket/peer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::websocket {

namespace {

constexpr Farewell kTooFast = {Reason::too_fast, CloseCode::policy, "too many messages or bytes a second"};

Reason reason_of(CloseCode code) {
    switch (code) {
        case CloseCode::bad_data: return Reason::bad_data;
        case CloseCode::too_big: return Reason::message_too_large;
        default: return Reason::protocol_error;
    }
}

std::int64_t after(std::int64_t since_ms, config::Millis time) {
    return time.count() > 0 ? since_ms + time.count() : Peer::kNever;
}

}  // namespace

Peer::Peer(Owner& owner, Services& services, ChunkPool& chunks, Sender who, bool compression)
    : owner_(owner), services_(services), out_(chunks), reader_(who, compression), who_(who) {}

// --- what it sends ---

void Peer::read(Bytes bytes, std::int64_t now_ms, const config::WebSocketRules& rules) {
    heard_ms_ = now_ms;
    pinged_ms_ = 0;
    rules_ = &rules;
    if (now_ms >= second_ms_ + 1000) {
        second_ms_ = now_ms;
        messages_ = bytes_ = 0;
    }
    bytes_ += bytes.size();
    if (who_ == Sender::client && rules.max_bytes_per_second > 0 && bytes_ > rules.max_bytes_per_second)
        return owner_.on_broken(*this, kTooFast);
    if (const Violation violation = reader_.read(bytes, {rules.max_frame_size, rules.max_message_size}, *this))
        owner_.on_broken(*this, {reason_of(violation.code), violation.code, violation.why});
}

// Of clients only: an upstream is trusted with its own pace.
bool Peer::count_message() {
    if (who_ == Sender::server || rules_->max_messages_per_second == 0) return true;
    if (++messages_ <= rules_->max_messages_per_second) return true;
    owner_.on_broken(*this, kTooFast);
    return false;
}

bool Peer::on_piece(const Piece& piece) {
    owner_.on_piece(*this, piece);
    return true;
}

bool Peer::on_control(Opcode opcode, Bytes payload) {
    if (!count_message()) return false;
    if (opcode == Opcode::close) return take_close(payload);
    if (opcode == Opcode::ping) owner_.on_ping(*this, payload);
    else if (!is_ours(payload)) owner_.on_pong(*this, payload);
    return true;
}

bool Peer::take_close(Bytes payload) {
    const ParsedClose parsed = parse_close(payload);
    if (!parsed.close) {
        owner_.on_broken(*this, {reason_of(parsed.bad), parsed.bad, "a Close that must not be sent"});
        return false;
    }
    close_received_ = true;
    note_closing(parsed.close->code, heard_ms_);
    owner_.on_close(*this, *parsed.close);
    return false;
}

bool Peer::is_ours(Bytes pong) const {
    return ping_ != 0 && pong.size() == sizeof ping_ && std::memcmp(pong.data(), &ping_, sizeof ping_) == 0;
}

// --- what we send ---

void Peer::write(const Piece& piece) {
    if (!close_sent_) write_piece(out_, piece, next_mask());
}

void Peer::write(const FrameHead& head, ByteQueue&& payload) {
    if (close_sent_) return payload.clear();
    write_head(out_, head);
    out_.append(std::move(payload));
}

void Peer::write_control(Opcode opcode, Bytes payload) { write({.opcode = opcode, .last = true, .payload = payload}); }

void Peer::close(CloseCode code, std::string_view text, std::int64_t now_ms) {
    close(Close{static_cast<std::uint16_t>(code), text}, now_ms);
}

void Peer::close(const Close& close, std::int64_t now_ms) {
    if (close_sent_) return;
    write_control(Opcode::close, ClosePayload(close.code, close.reason).bytes());
    close_sent_ = true;
    note_closing(close.code, now_ms);
}

void Peer::note_closing(std::uint16_t code, std::int64_t now_ms) {
    if (closing_since_ms_ != 0) return;
    closing_since_ms_ = now_ms;
    close_code_ = code;
}

// --- time ---

void Peer::set_paused(bool paused, std::int64_t now_ms) {
    if (paused_ && !paused) excuse(now_ms);
    paused_ = paused;
}

void Peer::excuse(std::int64_t now_ms) {
    heard_ms_ = now_ms;
    if (pinged_ms_ != 0) pinged_ms_ = now_ms;
    if (closing_since_ms_ != 0) closing_since_ms_ = now_ms;
}

std::int64_t Peer::deadline(const config::WebSocketRules& rules) const {
    if (closing_since_ms_ != 0) return after(closing_since_ms_, rules.close_timeout);
    const std::int64_t life =
        pinged_ms_ != 0 ? after(pinged_ms_, rules.pong_timeout) : after(heard_ms_, rules.ping_interval);
    return std::min(life, after(heard_ms_, rules.connection_timeout));
}

Peer::Verdict Peer::check(std::int64_t now_ms, const config::WebSocketRules& rules) {
    if (now_ms < deadline(rules)) return {};
    if (closing_since_ms_ != 0) return {Reason::close_timeout};
    if (now_ms >= after(heard_ms_, rules.connection_timeout)) return {Reason::connection_timeout};
    if (pinged_ms_ != 0) return {Reason::pong_timeout};
    // Answers wait unread while it is paused: one ping, said again, knows them all.
    if (!paused_ || ping_ == 0) ping_ = services_.masks.next();
    pinged_ms_ = now_ms;
    ping(Bytes(reinterpret_cast<const char*>(&ping_), sizeof ping_));
    return {Reason::none, true};
}

void Peer::look(const SessionHost::Delivery& now) {
    taken_ = now.taken;
    ping_at_ = now.taken + now.waiting;
}

bool Peer::forgive(Reason verdict, const SessionHost::Delivery& now, std::int64_t now_ms) {
    const std::uint64_t before = std::exchange(taken_, now.taken);
    const bool closing = verdict == Reason::close_timeout;
    // The answer may have come, and is not read. But the kernel of one that vanished would not have taken our ping: the
    // next one is due.
    const bool took_all = paused_ && !closing && now.waiting == 0;
    // Our ping, or our Close, stands behind what it has not taken yet, so there can be no answer.
    const bool stands_behind = closing || paused_ ? now.waiting > 0 : before < ping_at_;
    if (!took_all && (now.taken <= before || !stands_behind)) return false;
    if (took_all) pinged_ms_ = 0;
    excuse(now_ms);
    return true;
}

}  // namespace sluice::websocket
