#include <string>

#include "protocols/http2/request_reader.h"
#include "tests/unit/http2/tunnel_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

constexpr std::uint32_t kMalformed = NGHTTP2_PROTOCOL_ERROR;

Fields without(Fields fields, std::string_view name) {
    std::erase_if(fields, [name](const auto& field) { return field.first == name; });
    return fields;
}

Reason read(http2::RequestReader& reader, const Fields& fields, bool goes_on = true) {
    for (const auto& [name, value] : fields) reader.add(name, value, 1000);
    return reader.finish(1000, goes_on);
}

}  // namespace

TEST_CASE("a listener says that it takes extended CONNECT, where a route does", "[http2][tunnel]") {
    TunnelTalk takes;
    Talk does_not;
    takes.exchange();
    does_not.exchange();
    CHECK(takes.client.setting(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1);
    CHECK(does_not.client.setting(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 0);
    CHECK(does_not.client.setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) == 100);
}

TEST_CASE("the reader knows what a tunnel is asked for", "[http2][tunnel]") {
    http2::RequestReader reader;
    REQUIRE(read(reader, connect_fields("/a/../ws?x=1", {{"origin", "http://a"}})) == Reason::none);
    CHECK(reader.head().method == "CONNECT");
    CHECK(reader.head().upgrade == "websocket");
    CHECK(reader.head().path == "/ws");
    CHECK(reader.head().query == "?x=1");
    CHECK(reader.head().host == "a");
    CHECK(reader.head().headers.get("origin") == "http://a");
    CHECK_FALSE(reader.head().has_body);
    reader.reset();
    REQUIRE(read(reader, request_fields("/"), false) == Reason::none);
    CHECK(reader.head().upgrade.empty());
}

TEST_CASE("what is no tunnel has its reason", "[http2][tunnel]") {
    struct Row {
        Fields fields;
        Reason reason;
    };
    const auto row = GENERATE(values<Row>({
        {{{":method", "CONNECT"}, {":authority", "a:443"}}, Reason::not_implemented},
        {{{":method", "GET"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
         Reason::bad_request},
        {connect_fields("/ws", {{"content-length", "5"}}), Reason::bad_request},
        {connect_fields("ws"), Reason::bad_request},
        {without(connect_fields(), ":scheme"), Reason::bad_request},
        {without(connect_fields(), ":path"), Reason::bad_request},
        {without(connect_fields(), ":authority"), Reason::bad_request},
        {connect_fields("/ws", {{"host", "b"}}), Reason::bad_request},
    }));
    CAPTURE(row.fields);
    http2::RequestReader reader;
    CHECK(read(reader, row.fields) == row.reason);
}

TEST_CASE("an extended CONNECT becomes a tunnel, and its exchange ends", "[http2][tunnel]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    TunnelTalk talk;
    const std::int32_t id = talk.connect("/ws?x=1", {{"sec-websocket-version", "13"}});
    talk.exchange(fragment);
    const Tunnel& tunnel = talk.tunnel();
    CHECK(tunnel.upgrade == "websocket");
    CHECK(tunnel.path == "/ws?x=1");
    CHECK(tunnel.host_name == "a");
    CHECK_FALSE(tunnel.has_body);
    CHECK(tunnel.stream == nullptr);
    CHECK(tunnel.events == Events{"start", "write"});
    const H2Answer& answer = talk.client.answer(id);
    CHECK(answer.plain() == "200 | sec-websocket-protocol: chat |  | ");
    CHECK_FALSE(answer.field("date").empty());
    CHECK_FALSE(answer.ended);
    CHECK_FALSE(answer.closed);
    CHECK(talk.host.manager().running_requests() == 0);
    CHECK(talk.host.manager().stats().requests == 1);
    CHECK(talk.host.manager().stats().failed_requests == 0);
    CHECK(talk.stats().active_streams == 1);
    CHECK(talk.host.session().exchanges() == 1);
    CHECK_FALSE(talk.host.session().idle());
}

TEST_CASE("a tunnel's session knows its host", "[http2][tunnel]") {
    TunnelTalk talk;
    talk.open();
    talk.open();
    SessionHost& host = *talk.tunnel(0).host;
    SessionHost& connection = talk.host;
    CHECK(host.id() != connection.id());
    CHECK(host.id() != talk.tunnel(1).host->id());
    CHECK(&host.manager() == &talk.host.manager());
    CHECK(&host.context() == &connection.context());
    CHECK(&host.chunks() == &connection.chunks());
    CHECK(&host.peer() == &connection.peer());
    CHECK(host.alpn() == connection.alpn());
    CHECK(host.requests() == 1);
    CHECK(host.admit_request() == Reason::none);
    CHECK(host.pending_bytes() == 0);
    CHECK_FALSE(host.draining());
    talk.host.is_draining = true;
    CHECK(host.draining());
    CHECK(connection.requests() == 2);
}

TEST_CASE("a handler may agree later, and what comes meanwhile is the tunnel's", "[http2][tunnel]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    const auto end = GENERATE(End::no, End::yes);
    TunnelTalk talk;
    const std::int32_t id = talk.connect("/ws/later");
    talk.client.send_body(id, "ear");
    talk.client.send_body(id, "ly", end);
    talk.exchange(fragment);
    Tunnel& tunnel = talk.tunnel();
    CHECK(tunnel.events == Events{"complete"});
    CHECK(talk.client.answer(id).status == 0);
    CHECK(talk.host.manager().running_requests() == 1);
    tunnel.agree();
    CHECK(tunnel.stream != nullptr);  // not destroyed in its own call
    talk.run();
    CHECK(tunnel.stream == nullptr);
    CHECK(tunnel.input == "early");
    CHECK(tunnel.count("start") == 1);
    CHECK(tunnel.count("end") == (end == End::yes));
    CHECK(talk.client.answer(id).status == 200);
    CHECK(talk.host.manager().running_requests() == 0);
}

TEST_CASE("a handler may refuse, however much came for the tunnel", "[http2][tunnel]") {
    TunnelTalk talk;
    talk.exchange();
    const std::int32_t id = talk.connect("/ws/later");
    talk.client.send_body(id, letters(200'000));
    talk.exchange();
    talk.tunnel().stream->send_head({.status = 403, .content_length = 2}, End::no);
    talk.tunnel().stream->send_body(Bytes("no"), End::yes);
    talk.run();
    CHECK(talk.client.answer(id).plain() == "403 | content-length: 2 | no | ");
    CHECK(talk.client.answer(id).reset == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.tunnel().events == Events{"complete"});
    CHECK(talk.host.session().idle());
}

TEST_CASE("a handler that refuses at length waits for room as any other", "[http2][tunnel]") {
    TunnelTalk talk({}, {.window = 1000, .holds_windows = true});
    const std::int32_t id = talk.connect("/ws/later");
    talk.exchange();
    talk.tunnel().stream->send_head({.status = 403}, End::no);
    CHECK(talk.tunnel().stream->send_body(Bytes(letters(70'000)), End::no) == Egress::full);
    talk.run();
    talk.client.open_window(0, 100'000);
    talk.client.open_window(id, 100'000);
    talk.exchange();
    CHECK(talk.tunnel().events == Events{"complete", "resumed"});
    talk.tunnel().stream->reset({Errc::reset});
    talk.run();
    CHECK(talk.client.answer(id).reset == std::uint32_t{NGHTTP2_INTERNAL_ERROR});
}

TEST_CASE("a client that goes before the handler has agreed, or in the same moment", "[http2][tunnel]") {
    TunnelTalk talk;
    const std::int32_t waits = talk.connect("/ws/later");
    talk.exchange();
    talk.client.reset(waits);
    talk.exchange();
    CHECK(talk.tunnel(0).events == Events{"complete", "abort"});

    talk.host.feed(frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 3, literals(connect_fields())) +
                   frame(NGHTTP2_DATA, 0, 3, "early") + rst_stream(3));
    CHECK(talk.tunnel(1).events == Events{"unwanted"});
    CHECK(talk.tunnel(1).stream == nullptr);
    CHECK(talk.host.manager().stats().requests == 2);
    CHECK(talk.host.manager().running_requests() == 0);
    CHECK(talk.host.session().idle());
    talk.client.problem.clear();
}

TEST_CASE("an extended CONNECT elsewhere is refused by us, whatever the route", "[http2][tunnel]") {
    const auto path = GENERATE("/", "/echo", "/empty", "/old", "/nowhere");
    CAPTURE(path);
    TunnelTalk talk;
    const std::int32_t id = talk.connect(path);
    talk.client.send_body(id, "early");
    talk.exchange();
    CHECK(talk.client.answer(id).plain() == refused(501));
    CHECK(talk.client.answer(id).reset == std::uint32_t{NGHTTP2_NO_ERROR});
    CHECK(talk.host.session().idle());
}

TEST_CASE("a tunnel for another protocol is the handler's to refuse", "[http2][tunnel]") {
    TunnelTalk talk;
    Fields fields = connect_fields("/ws/later");
    fields[1].second = "connect-udp";
    talk.client.request(fields, End::no);
    talk.exchange();
    CHECK(talk.tunnel().upgrade == "connect-udp");
}

TEST_CASE("an extended CONNECT that cannot be a tunnel is refused", "[http2][tunnel]") {
    TunnelTalk talk;
    const std::int32_t ends = talk.client.request(connect_fields(), End::yes);
    const std::int32_t plain = talk.client.request({{":method", "CONNECT"}, {":authority", "a:443"}}, End::no);
    talk.exchange();
    CHECK(talk.client.answer(ends).plain() == refused(400));
    CHECK(talk.client.answer(plain).plain() == refused(501));
    CHECK(talk.tunnels() == 0);
    const std::int32_t ordinary = talk.client.get("/ws/later");  // the handler's matter
    talk.exchange();
    CHECK(talk.tunnel().upgrade.empty());
    talk.tunnel().agree();  // there is nothing to agree upon
    CHECK(talk.client.answer(ordinary).status == 0);
    CHECK(talk.tunnel().events == Events{"complete", "unwanted"});
}

TEST_CASE("an extended CONNECT without what it needs is malformed", "[http2][tunnel]") {
    const auto missing = GENERATE(":scheme", ":path", ":authority");
    CAPTURE(missing);
    TunnelTalk talk;
    const std::int32_t id = talk.client.request(without(connect_fields(), missing), End::no);
    talk.exchange();
    CHECK(talk.client.answer(id).status == 0);
    CHECK(talk.client.answer(id).reset == kMalformed);
    CHECK(talk.tunnels() == 0);
    CHECK(talk.ending() == "");
}

TEST_CASE("who was not offered extended CONNECT must not use it", "[http2][tunnel]") {
    Talk talk;
    const std::int32_t id = talk.client.request(connect_fields("/hold"), End::no);
    talk.exchange();
    CHECK(talk.client.answer(id).reset == kMalformed);
    CHECK(talk.served.held.empty());
    TunnelTalk takes;
    Fields fields = request_fields("/ws", "GET");
    fields.insert(fields.begin(), {":protocol", "websocket"});
    const std::int32_t get = takes.client.request(fields, End::no);
    takes.exchange();
    CHECK(takes.client.answer(get).reset == kMalformed);
    CHECK(takes.tunnels() == 0);
}

TEST_CASE("a tunnel that a limit is in the way of", "[http2][tunnel]") {
    TunnelTalk talk;
    talk.host.refusal = Reason::max_connections;
    const std::int32_t id = talk.connect();
    talk.exchange();
    CHECK(talk.client.answer(id).plain() == refused(503));
    CHECK(talk.tunnels() == 0);
}
