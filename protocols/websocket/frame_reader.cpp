#include "protocols/websocket/frame_reader.h"

#include <algorithm>
#include <cstring>

namespace sluice::websocket {

namespace {

// Of a head whose first two bytes are known.
std::size_t head_size(const unsigned char* head) {
    const int length = head[1] & 0x7f;
    return 2 + (length == 127 ? 8 : length == 126 ? 2 : 0) + ((head[1] & 0x80) != 0 ? 4 : 0);
}

std::uint64_t read_length(const unsigned char* head) {
    const int field = head[1] & 0x7f;
    if (field < 126) return static_cast<std::uint64_t>(field);
    std::uint64_t length = 0;
    for (int i = 0; i < (field == 126 ? 2 : 8); ++i) length = length << 8 | head[2 + i];
    return length;
}

// RFC 6455, 5.2: the shortest form, and no sign.
bool is_minimal(const unsigned char* head, std::uint64_t length) {
    const int field = head[1] & 0x7f;
    return field < 126 || (field == 126 ? length >= 126 : length >= 65536 && length >> 63 == 0);
}

bool is_known(int opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

}  // namespace

void FrameReader::fail(CloseCode code, const char* why) {
    if (!violation_) violation_ = {code, why};
    stopped_ = true;
}

Violation FrameReader::read(Bytes bytes, const Limits& limits, Sink& sink) {
    while (!stopped_ && !bytes.empty()) {
        if (!in_frame_) bytes.remove_prefix(take_head(bytes, limits));
        if (!in_frame_ || stopped_) continue;
        // An empty payload is complete as soon as its head is.
        if (bytes.empty() && left_ > 0) break;
        bytes.remove_prefix(is_control(opcode_) ? take_control(bytes, sink) : take_data(bytes, sink));
    }
    return violation_;
}

std::size_t FrameReader::take_head(Bytes bytes, const Limits& limits) {
    const auto* head = reinterpret_cast<const unsigned char*>(bytes.data());
    if (head_size_ == 0 && bytes.size() >= 2 && bytes.size() >= head_size(head)) {
        parse_head(head, head_size(head), limits);
        return head_size(head);
    }
    const std::size_t wanted = head_size_ < 2 ? 2 : head_size(head_.data());
    const std::size_t count = std::min(wanted - head_size_, bytes.size());
    std::memcpy(head_.data() + head_size_, head, count);
    head_size_ = static_cast<std::uint8_t>(head_size_ + count);
    if (head_size_ >= 2 && head_size_ == head_size(head_.data())) {
        head_size_ = 0;
        parse_head(head_.data(), head_size(head_.data()), limits);
    }
    return count;
}

void FrameReader::parse_head(const unsigned char* head, std::size_t size, const Limits& limits) {
    const bool masked = (head[1] & 0x80) != 0, rsv1 = (head[0] & 0x40) != 0;
    left_ = read_length(head);
    fin_ = (head[0] & 0x80) != 0;
    opcode_ = static_cast<Opcode>(head[0] & 0x0f);
    mask_ = 0;
    if (masked) std::memcpy(&mask_, head + size - sizeof mask_, sizeof mask_);
    in_frame_ = true;
    if ((head[0] & 0x30) != 0) return fail(CloseCode::protocol_error, "a reserved bit is set");
    if (!is_known(head[0] & 0x0f)) return fail(CloseCode::protocol_error, "an unknown opcode");
    if (masked != (sender_ == Sender::client))
        return fail(CloseCode::protocol_error, masked ? "a masked frame of a server" : "a frame that is not masked");
    if (!is_minimal(head, left_)) return fail(CloseCode::protocol_error, "a length that is not in its shortest form");
    is_control(opcode_) ? check_control(rsv1) : begin_data(rsv1, limits);
}

// RFC 6455, 5.5.
void FrameReader::check_control(bool rsv1) {
    control_size_ = 0;
    if (rsv1) return fail(CloseCode::protocol_error, "a control frame that is compressed");
    if (!fin_) return fail(CloseCode::protocol_error, "a control frame in fragments");
    if (left_ > kMostControl) return fail(CloseCode::protocol_error, "a control frame of more than 125 bytes");
}

void FrameReader::begin_data(bool rsv1, const Limits& limits) {
    const bool continues = opcode_ == Opcode::continuation;
    if (continues != in_message_)
        return fail(CloseCode::protocol_error, continues ? "a fragment of no message" : "a message inside another one");
    if (rsv1 && (!compression_ || continues)) return fail(CloseCode::protocol_error, "a reserved bit is set");
    if (!continues) {
        in_message_ = true;
        begun_ = false;
        packed_ = rsv1;
        binary_ = opcode_ == Opcode::binary;
        text_ = !binary_ && !rsv1;
        message_size_ = 0;
        utf8_.reset();
    }
    if (limits.max_frame > 0 && left_ > limits.max_frame) return fail(CloseCode::too_big, "the frame is too big");
    message_size_ += left_;
    if (limits.max_message > 0 && message_size_ > limits.max_message)
        fail(CloseCode::too_big, "the message is too big");
}

std::size_t FrameReader::take_control(Bytes bytes, Sink& sink) {
    const std::size_t count = std::min<std::uint64_t>(left_, bytes.size());
    copy_masked(control_.data() + control_size_, bytes.data(), count, mask_);
    mask_ = rotated(mask_, count);
    control_size_ = static_cast<std::uint8_t>(control_size_ + count);
    left_ -= count;
    if (left_ > 0) return count;
    in_frame_ = false;
    const bool goes_on = sink.on_control(opcode_, Bytes(control_.data(), control_size_));
    stopped_ = stopped_ || !goes_on || opcode_ == Opcode::close;
    return count;
}

std::size_t FrameReader::take_data(Bytes bytes, Sink& sink) {
    if (!begun_ && !sink.on_message()) {
        stopped_ = true;
        return 0;
    }
    const std::size_t count = std::min<std::uint64_t>(left_, bytes.size());
    const Opcode first = binary_ ? Opcode::binary : Opcode::text;
    Piece piece{.opcode = begun_ ? Opcode::continuation : first,
                .compressed = packed_ && !begun_,
                .last = fin_ && count == left_,
                .mask = mask_,
                .payload = bytes.substr(0, count)};
    left_ -= count;
    mask_ = rotated(mask_, count);
    in_frame_ = left_ > 0;
    in_message_ = !piece.last;
    begun_ = true;
    if (text_is_bad(piece)) fail(CloseCode::bad_data, "a text that is not UTF-8");
    else if (!sink.on_piece(piece)) stopped_ = true;
    return count;
}

bool FrameReader::text_is_bad(const Piece& piece) {
    return text_ && (!utf8_.feed(piece.payload, piece.mask) || (piece.last && !utf8_.complete()));
}

}  // namespace sluice::websocket
