// How a ServerSession passes its time, and how it ends.

#include <utility>

#include "core/net/connection_manager.h"
#include "core/net/worker.h"
#include "protocols/http2/server_session.h"

namespace sluice::http2 {

namespace {
constexpr std::uint8_t kAlivePing[8] = {'s', 'l', 'u', 'i', 'c', 'e', 'o', 'n'};
}
const std::uint8_t ServerSession::kDrainPing[kPingSize] = {'s', 'l', 'u', 'i', 'c', 'e', 'g', 'o'};

// --- time ---

void ServerSession::update_phase() {
    if (stage_ == Stage::finished || !ready_) return;
    const Phase phase = reading_head_ ? Phase::header : streams_ > 0 ? Phase::write : Phase::idle;
    // A session that was busy within the turn begins to be idle anew.
    if (std::exchange(touched_, false) || phase != phase_) host_.enter(phase_ = phase);
    if (!memory_.asleep()) watch();
}

// Nobody waits for the peer in a session of quiet tunnels.
void ServerSession::watch() {
    if (streams_ == 0 && !memory_.asleep()) wake_at(now_ms() + kSleepAfter);
    else if (dialect_.hurries_bodies() && (streams_ > tunnels_ || !unsent_.empty()))
        wake_at(now_ms() + Progress::interval(rules()));
    if (stage_ == Stage::announced) wake_at(announced_ms_ + kAckTime);
    if (connection_rules_) wake_at(connection_rules_->due_ms(rules(), streams_));
}

void ServerSession::wake_at(std::int64_t due_ms) {
    if (due_ms < due_ms_) host_.manager().worker().loop.timers().arm(*this, due_ms_ = due_ms);
}

void ServerSession::on_settings_changed() {
    if (stage_ != Stage::finished) watch();
}

void ServerSession::on_timer(std::int64_t now) {
    due_ms_ = kNever;
    if (stage_ == Stage::finished || !obey(now)) return;
    if (idle()) return rest();
    open_.for_each([&](ServerStream& stream) {
        if (!stream.check(now)) spend(Flood::tiny_window, kStallCost);
    });
    if (stage_ == Stage::announced && now >= announced_ms_ + kAckTime) acknowledged_ = true;
    host_.schedule_write();
}

// Nothing came since the timer was set: the memory can be put to better use.
void ServerSession::rest() {
    if (std::exchange(active_, false) || nghttp2_session_want_write(raw())) return watch();
    memory_.sleep();
    watch();
}

// True: the session goes on.
bool ServerSession::obey(std::int64_t now) {
    using Act = ConnectionRules::Act;
    while (connection_rules_) {
        const auto [act, reason] = connection_rules_->look(rules(), streams_, now);
        if (act == Act::none) break;
        if (act == Act::ping) nghttp2_submit_ping(raw(), NGHTTP2_FLAG_NONE, kAlivePing);
        else if (act == Act::end) announce_end(reason);
        else if (act == Act::end_by_now) end_by_now(reason);
        else finish(reason, CloseMode::abort);
        if (stage_ == Stage::finished) return false;
        host_.schedule_write();
    }
    return true;
}

// --- the end ---

// Exchanges end by themselves, tunnels have to be told.
void ServerSession::close_when_idle(Reason reason) {
    open_.for_each([reason](ServerStream& stream) { stream.close_when_idle(reason); });
    announce_end(reason);
}

void ServerSession::announce_end(Reason reason) {
    if (closing_ == Reason::none) closing_ = reason;
    if (stage_ == Stage::finished || stage_ == Stage::last) return;
    // Asked twice, or the place is needed at once. Another reason is no hurry: the round trip is under way already.
    if (std::exchange(asked_, reason) == reason || reason == Reason::shed) acknowledged_ = true;
    if (stage_ == Stage::open) {
        stage_ = Stage::announced;
        announced_ms_ = now_ms();
        quiet_ = streams_ == 0;
        nghttp2_submit_shutdown_notice(raw());  // a PING follows when it was sent, or it would overtake it
        watch();
    }
    host_.schedule_write();
}

// The handlers' last words go out before the connection ends: where windows and room allow, for nobody waits for those.
bool ServerSession::cut(Reason reason) {
    if (stage_ == Stage::finished || streams_ == 0) return false;
    closing_ = reason;
    if (stage_ != Stage::last) send_last_goaway();
    open_.for_each([reason](ServerStream& stream) { stream.cut(reason); });
    return true;
}

void ServerSession::end_by_now(Reason reason) {
    if (!cut(reason)) return finish(reason, CloseMode::linger);
    ends_with_write_ = true;
}

// An acknowledgement may overtake streams that the client has ready to send. So the last word waits for a round trip
// in which none was opened.
void ServerSession::take_acknowledgement() {
    if (!std::exchange(quiet_, true)) nghttp2_submit_ping(raw(), NGHTTP2_FLAG_NONE, kDrainPing);
    else acknowledged_ = true;
}

// Only from on_write, or when nothing is read any more: between naming the last stream and telling no other may begin.
void ServerSession::send_last_goaway() {
    heard_ = true;  // or not: then it is told nevertheless
    stage_ = Stage::last;
    last_id_ = nghttp2_session_get_last_proc_stream_id(raw());
    nghttp2_submit_goaway(raw(), NGHTTP2_FLAG_NONE, last_id_, NGHTTP2_NO_ERROR, nullptr, 0);
}

void ServerSession::finish_if_over() {
    if (stage_ == Stage::finished) return;
    if (ends_with_write_) return finish(closing_, CloseMode::linger);
    if (nghttp2_session_want_write(raw())) return;
    if (goaway_code_ != NGHTTP2_NO_ERROR && !nghttp2_session_want_read(raw()))
        return finish(Reason::protocol_error, CloseMode::linger);
    if (streams_ > 0) return;
    if (stage_ == Stage::last) return finish(closing_, closing_ == Reason::shed ? CloseMode::flush : CloseMode::linger);
    if (read_ended_) finish(Reason::peer_closed, CloseMode::flush);
    else if (peer_left_) finish(Reason::peer_closed, CloseMode::linger);  // it may still acknowledge something
}

void ServerSession::finish(Reason reason, CloseMode mode) {
    stage_ = Stage::finished;
    moment_us_ = EventLoop::now_us();
    cut_streams(reason == Reason::peer_closed ? Errc::reset : Errc::refused);
    host_.finish(reason, mode);
}

}  // namespace sluice::http2
