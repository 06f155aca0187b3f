#pragma once
// Reads the frames of one peer and sees to the rules of RFC 6455, 5, that concern one direction: masking, reserved bits and
// opcodes, control frames, the order of fragments, UTF-8, sizes. Holds at most one frame's head and one control frame's
// payload. A part of a Peer.
//
//   head --whole--> data: pieces as they come -------> head
//             '---> control: up to 125 bytes, whole --> head, or closed after a Close

#include <array>
#include <cstdint>

#include "protocols/websocket/close_code.h"
#include "protocols/websocket/frame.h"
#include "protocols/websocket/utf8.h"

namespace sluice::websocket {

enum class Sender : std::uint8_t { client, server };  // a client masks, a server does not (RFC 6455, 5.1)

// What a peer did wrong; code `normal`: nothing.
struct Violation {
    CloseCode code = CloseCode::normal;
    const char* why = "";
    explicit operator bool() const { return code != CloseCode::normal; }
};

class FrameReader {
public:
    struct Limits {
        std::uint64_t max_frame, max_message;  // bytes of payload, as it comes; 0 = none
    };
    // Bytes are borrowed. false: enough, the rest is not looked at.
    class Sink {
    public:
        virtual bool on_message() = 0;  // begins; before its first piece is judged
        virtual bool on_piece(const Piece& piece) = 0;
        virtual bool on_control(Opcode opcode, Bytes payload) = 0;

    protected:
        ~Sink() = default;
    };

    // compression: permessage-deflate was agreed upon, so RSV1 has a meaning.
    FrameReader(Sender sender, bool compression) : sender_(sender), compression_(compression) {}

    // After a violation or a Close nothing more is read.
    Violation read(Bytes bytes, const Limits& limits, Sink& sink);

private:
    static constexpr std::size_t kMostHead = 14, kMostControl = 125;

    std::size_t take_head(Bytes bytes, const Limits& limits);
    void parse_head(const unsigned char* head, std::size_t size, const Limits& limits);
    void check_control(bool rsv1);
    void begin_data(bool rsv1, const Limits& limits);
    std::size_t take_control(Bytes bytes, Sink& sink);
    std::size_t take_data(Bytes bytes, Sink& sink);
    bool text_is_bad(const Piece& piece);
    void fail(CloseCode code, const char* why);

    std::uint64_t left_ = 0;          // bytes of the frame's payload still to come
    std::uint64_t message_size_ = 0;  // of the frames of the message so far
    Violation violation_;
    MaskKey mask_ = 0;  // rotated to the next byte
    Sender sender_;
    bool compression_;
    Opcode opcode_ = Opcode::continuation;  // of the frame
    bool fin_ = false, in_frame_ = false, in_message_ = false;
    bool begun_ = false;    // a piece of the message has been passed on
    bool packed_ = false;   // the message is compressed
    bool text_ = false;     // the message is text that can be judged
    bool binary_ = false;   // the first frame's opcode
    bool stopped_ = false;  // after a violation, a Close, or at the sink's wish
    Utf8 utf8_;
    std::uint8_t head_size_ = 0, control_size_ = 0;
    std::array<unsigned char, kMostHead> head_;
    std::array<char, kMostControl> control_;
};

}  // namespace sluice::websocket
