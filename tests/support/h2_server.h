#pragma once
// An HTTP/2 server over strings: nghttp2's, so that what a client session of ours writes is checked by somebody else's
// rules. Owned by the test. Nothing moves by itself: feed() is what it gets, take() what it wants to send.
// It answers nothing until it is told to, and breaks no rules of frames; h2_frames.h does that.

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

struct H2Request {
    std::string field(std::string_view name) const;  // "" if it did not come
    std::string plain() const;                       // "name: value, name: value | body | name: value"

    Fields fields, trailers;
    std::string body;
    bool complete = false;               // by END_STREAM
    std::optional<std::uint32_t> reset;  // the code of a RST_STREAM that came
    std::optional<std::uint32_t> closed;
};

class H2Server {
public:
    struct Options {
        std::uint32_t window = 65'535;             // of each stream, at its begin
        std::optional<std::uint32_t> max_streams;  // none: it sets no limit
        bool holds_windows = false;                // they open only by open_window()
    };

    explicit H2Server(const Options& options);
    H2Server() : H2Server(Options{}) {}
    H2Server(const H2Server&) = delete;
    H2Server& operator=(const H2Server&) = delete;
    ~H2Server();

    void interim(std::int32_t id, const std::string& status, const Fields& more = {});
    // `End::no`: send_body() goes on.
    void head(std::int32_t id, const std::string& status, const Fields& more = {}, End end = End::no);
    void send_body(std::int32_t id, std::string_view piece, End end = End::no);
    void send_trailers(std::int32_t id, const Fields& trailers);
    // All at once.
    void answer(std::int32_t id, std::string_view body = "hello");
    void reset(std::int32_t id, std::uint32_t code);
    void leave(std::int32_t last_id, std::uint32_t code = NGHTTP2_NO_ERROR);  // GOAWAY
    void limit_streams(std::uint32_t most);
    void open_window(std::int32_t id, std::int32_t bytes);  // id 0: the connection's
    void ping();

    std::string take();
    void feed(std::string_view bytes);

    H2Request& request(std::int32_t id) { return exchanges_[id].request; }
    std::size_t requests() const { return exchanges_.size(); }  // whose heads came
    std::size_t unsent(std::int32_t id) { return exchanges_[id].body.size(); }
    std::uint32_t setting(nghttp2_settings_id id) const;  // of the client's
    std::vector<std::uint32_t> goaways;                   // their codes
    int pongs = 0;
    std::string problem;  // the first rule that the client broke; must stay empty

private:
    friend struct H2ServerCallbacks;
    struct Exchange {
        H2Request request;
        std::string body;  // that waits to be sent
        Fields trailers;
        bool answered = false;
    };
    struct Delete {
        void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
    };

    const std::vector<nghttp2_nv>& kept(Fields fields);
    void on_frame(const nghttp2_frame& frame);
    ssize_t read_body(std::int32_t id, std::uint8_t* to, std::size_t most, std::uint32_t& flags);

    std::map<std::int32_t, Exchange> exchanges_;
    std::unique_ptr<nghttp2_session, Delete> session_;
    std::deque<Fields> sent_;  // nghttp2 borrows them
    std::vector<nghttp2_nv> list_;
    bool holds_windows_, in_trailers_ = false;
};

}  // namespace sluice::test
