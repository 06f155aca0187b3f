#pragma once
// An HTTP/2 client over strings: nghttp2's, so that what a session of ours writes is checked by somebody else's rules.
// Owned by the test. Nothing moves by itself: take() is what it wants to send, feed() what it gets.
// It breaks no rules of frames; h2_frames.h does that.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/stream.h"
#include "tests/support/h2_frames.h"

namespace sluice::test {

struct H2Answer {
    std::string field(std::string_view name) const;  // "" if it did not come
    std::string plain() const;                       // "200 | name: value | body | name: value", without Date

    int status = 0;  // 0: none came
    int continues = 0;
    std::vector<Fields> interims;  // with their :status, but for 100
    Fields fields, trailers;
    std::string body;
    bool ended = false;                   // by END_STREAM
    std::optional<std::uint32_t> reset;   // the code of a RST_STREAM that came
    std::optional<std::uint32_t> closed;  // both sides are over; with which code
};

class H2Client {
public:
    struct Options {
        std::uint32_t window = 65'535;  // of each stream, at its begin
        bool holds_windows = false;     // they open only by open_window()
    };
    struct Goaway {
        std::int32_t last_id;
        std::uint32_t code;
        bool operator==(const Goaway&) const = default;
    };

    explicit H2Client(const Options& options);
    H2Client() : H2Client(Options{}) {}
    H2Client(const H2Client&) = delete;
    H2Client& operator=(const H2Client&) = delete;
    ~H2Client();

    // Without a body; returns the stream's id.
    std::int32_t get(const std::string& path, const Fields& more = {});
    // `End::no`: send_body() goes on.
    std::int32_t post(const std::string& path, std::string_view body, const Fields& more = {}, End end = End::yes);
    // The fields just as they are; `End::no`: a body follows.
    std::int32_t request(const Fields& fields, End end = End::yes);
    void send_body(std::int32_t id, std::string_view piece, End end = End::no);
    void send_trailers(std::int32_t id, const Fields& trailers);  // ends the request
    void reset(std::int32_t id, std::uint32_t code = NGHTTP2_CANCEL);
    void open_window(std::int32_t id, std::int32_t bytes);  // id 0: the connection's
    void leave();                                           // GOAWAY
    void ping();

    std::string take();
    void feed(std::string_view bytes);

    const H2Answer& answer(std::int32_t id) { return exchanges_[id].answer; }
    std::uint32_t setting(nghttp2_settings_id id) const;  // of the server's
    std::size_t unsent(std::int32_t id) { return exchanges_[id].body.size(); }
    std::vector<Goaway> goaways;
    int pongs = 0;
    std::string problem;  // the first rule that the server broke; must stay empty

private:
    friend struct H2ClientCallbacks;
    struct Exchange {
        H2Answer answer;
        std::string body;  // that waits to be sent
        Fields trailers;
        bool complete = false;
    };
    struct Delete {
        void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
    };

    void on_header(std::int32_t id, std::string name, std::string value);
    void on_frame(const nghttp2_frame& frame);
    ssize_t read_body(std::int32_t id, std::uint8_t* to, std::size_t most, std::uint32_t& flags);

    std::map<std::int32_t, Exchange> exchanges_;
    std::unique_ptr<nghttp2_session, Delete> session_;
    std::deque<Fields> sent_;  // nghttp2 borrows them
    bool holds_windows_, in_trailers_ = false, in_interim_ = false;
};

}  // namespace sluice::test
