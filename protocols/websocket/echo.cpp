#include "protocols/websocket/echo.h"

#include <algorithm>
#include <utility>

namespace sluice::websocket {

namespace {

// A thousand bytes may unpack to a million: so much of one read, or one message of the allowed size, is done at once,
// while all others wait.
constexpr std::uint64_t kMostInARead = 4 * 1024 * 1024;

constexpr Farewell kTooMuch = {Reason::too_fast, CloseCode::policy, "too much compressed data at once"};
constexpr Farewell kTooBig = {Reason::message_too_large, CloseCode::too_big, "the message is too big"};
constexpr Farewell kBadText = {Reason::bad_data, CloseCode::bad_data, "a text that is not UTF-8"};
constexpr Farewell kBadData = {Reason::bad_data, CloseCode::bad_data, "compressed data that cannot be unpacked"};
constexpr Farewell kNoMemory = {Reason::memory, CloseCode::try_later, "out of memory"};

}  // namespace

void Echo::on_piece(const Piece& piece) {
    if (piece.opcode != Opcode::continuation) begin_packed(piece);
    if (packed_) take_packed(piece);
    else client_->send(piece);
    hold_back();
}

void Echo::on_ping(Bytes payload) {
    client_->peer().pong(payload);
    client_->on_output();
    hold_back();
}

void Echo::on_close(const Close& close) {
    client_->peer().close(close, client_->now_ms());
    client_->on_output();
}

void Echo::hold_back() {
    if (client_->has_room() || std::exchange(holds_back_, true)) return;
    client_->pause();
}

void Echo::on_room() {
    if (std::exchange(holds_back_, false)) client_->resume();
}

// --- compressed messages ---

void Echo::begin_packed(const Piece& first) {
    packed_ = first.compressed;
    text_ = first.opcode == Opcode::text;
    begun_ = false;
    if (!packed_) return;
    if (!codec_) {
        MemoryBudget& budget = client_->chunks().budget();
        codec_.reset(new Codec{{budget, deflation_->client_max_window_bits, !deflation_->client_no_context_takeover},
                               {budget, deflation_->server_max_window_bits, !deflation_->server_no_context_takeover},
                               ByteQueue(client_->chunks()),
                               {}});
    }
    codec_->utf8.reset();
    codec_->size = 0;
}

void Echo::take_packed(const Piece& piece) {
    Status status = codec_->inflater.feed(piece.payload, piece.mask, *this);
    if (status && piece.last) status = codec_->inflater.end_message(*this);
    if (status && piece.last && text_) codec_->bad_text = !codec_->utf8.complete();
    if (status && piece.last && !codec_->bad_text) status = codec_->deflater.end_message(codec_->packed);
    if (!status || codec_->bad_text) return refuse(status ? Error{Errc::closed} : status.error());
    if (codec_->packed.empty()) return;
    client_->send({.opcode = begun_  ? Opcode::continuation
                             : text_ ? Opcode::text
                                     : Opcode::binary,
                   .compressed = !begun_,
                   .last = piece.last,
                   .length = codec_->packed.size()},
                  std::move(codec_->packed));
    begun_ = true;
}

bool Echo::on_inflated(Bytes bytes) {
    codec_->size += bytes.size();
    const std::uint64_t most = client_->rules().max_message_size;
    unpacked_ += bytes.size();
    codec_->too_big = most > 0 && codec_->size > most;
    codec_->too_much = most > 0 && unpacked_ > std::max(most, kMostInARead);
    codec_->bad_text = text_ && !codec_->utf8.feed(bytes);
    return !codec_->too_big && !codec_->too_much && !codec_->bad_text &&
           codec_->deflater.feed(bytes, codec_->packed).has_value();
}

void Echo::refuse(const Error& error) {
    codec_->packed.clear();
    if (codec_->too_big) client_->fail(kTooBig);
    else if (codec_->too_much) client_->fail(kTooMuch);
    else if (codec_->bad_text) client_->fail(kBadText);
    else client_->fail(error.code == Errc::protocol ? kBadData : kNoMemory);
}

}  // namespace sluice::websocket
