"""The opening handshake (RFC 6455, 4; over HTTP/2: RFC 8441): who gets in, who does not, and what stands beside it."""

import base64

import pytest

from support import configs, names
from support.h2client import Code
from support.http import request
from support.tls import client_context
from support.waiting import wait_until
from support.websocket import (ENABLE_CONNECT_PROTOCOL, FRAGMENTS, KEY, WAYS, Op, Ways, accept_of, ask_stream, connect,
                               connect_fields, frame, open_stream, session_of, upgrade, wish)

ORIGINS = ["https://example.com", "https://*.example.org", "http://localhost:3000"]
ROUTES = [
    configs.ws_echo(),
    configs.ws_echo("/chat", subprotocols=["chat.v2", "chat.v1"]),
    configs.ws_echo("/guarded", origins=ORIGINS),
    configs.ws_echo("/token", require_headers=["authorization", "x-tenant"]),
    configs.ws_echo("/plain", compression=False),
    configs.ECHO | {"match": {"path": "/http-echo"}},
    configs.HELLO,
]
CONFIG = configs.config(
    *configs.every_front(ROUTES),
    configs.websocket("ws", routes=[ROUTES[0], configs.respond("for people\n", path="/about"),
                                    {"match": {"path": "/old"}, "redirect": {"status": 307, "location": "/echo"}}]),
    configs.websocket("wss", tls=configs.SELF_SIGNED, routes=ROUTES[:3]),
    configs.http2("no-ws", routes=[configs.HELLO]))
EVERY_H1 = pytest.mark.parametrize("name", ["h1", "h1s", "ws", "wss"])
EVERY_H2 = pytest.mark.parametrize("name", ["h2", "h2s"])
EVERY_WAY = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def ways(web):
    return Ways(web)


def refused(web, raw, name="h1"):
    """The answer to a bad handshake; whoever may stay is served."""
    with web.connect(name, tls=client_context(alpn=["http/1.1"]) if web.is_secure(name) else None) as client:
        client.send(raw)
        response = client.response()
        if response.closes:
            assert client.ending() == "fin"
        else:
            assert upgrade(client, "/echo").echoes()
        return response


class TestAccepted:
    @EVERY_H1
    def test_in_any_pieces(self, web, name):
        for size in FRAGMENTS:
            with connect(web, "/echo", name=name, size=size) as socket:
                assert socket.echoes("hello") and socket.subprotocol is None and socket.extensions is None
                assert socket.shut(1000) == (1000, "")

    def test_example_of_the_rfc(self, web):
        assert accept_of(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert connect(web, "/echo", name="h1").response.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    def test_many_keys(self, web):
        for number in range(50):
            key = base64.b64encode(bytes([number] * 16)).decode()
            assert connect(web, "/echo", name="h1", key=key).echoes()

    @pytest.mark.parametrize("fields", [
        {"upgrade": "WebSocket"}, {"upgrade": "WEBSOCKET"}, {"connection": "keep-alive, Upgrade"},
        {"connection": ["keep-alive", "upgrade"]}, {"connection": "UPGRADE ,keep-alive"}],
        ids=["WebSocket", "WEBSOCKET", "list", "two", "capitals"])
    def test_spellings(self, web, fields):
        assert connect(web, "/echo", name="h1", **fields).echoes()

    @EVERY_H1
    def test_frames_right_behind_it(self, web, name):
        """They may come with the handshake, though a client should wait."""
        early = frame(Op.TEXT, b"early") + frame(Op.PING, b"bird") + frame(Op.TEXT, b"x" * 70_000)
        for size in [5, 100, None]:
            client = web.connect(name, tls=client_context(alpn=["http/1.1"]) if web.is_secure(name) else None)
            socket = upgrade(client, "/echo", then=early, size=size)
            assert socket.message() == "early" and socket.message() == "x" * 70_000
            assert socket.pongs == [b"bird"] and socket.echoes()

    def test_a_close_right_behind_it(self, web):
        socket = upgrade(web.connect("h1"), "/echo", then=frame(Op.CLOSE, b"\x03\xe8"))
        assert socket.until_close() == (1000, "") and socket.wire.ending() == "fin"

    def test_an_end_right_behind_it(self, web):
        client = web.connect("h1")
        client.send(wish("/echo"))
        client.finish()
        assert client.response().status == 101
        client.ending()

    def test_after_other_requests(self, web):
        client = web.connect("h1")
        client.send(request() + request("POST", "/http-echo", body=b"abc") + wish("/echo"))
        assert client.response().body == b"hello\n"
        assert client.response().body == b"abc"
        response = client.response()
        assert response.status == 101 and response.get("sec-websocket-accept") == accept_of(KEY)

    def test_a_query_and_a_longer_path(self, web):
        assert connect(web, "/echo/room?name=x", name="h1").echoes()

    @EVERY_WAY
    def test_statistics(self, web, ways, way):
        before = web.listener(way)["websocket"]
        sockets = [ways.open(way, "/echo") for _ in range(3)]
        assert all(socket.echoes() for socket in sockets)
        now = web.listener(way)["websocket"]
        assert (now["active"] - before["active"], now["total"] - before["total"]) == (3, 3)
        for socket in sockets:
            socket.shut(1000)
        wait_until(lambda: web.listener(way)["websocket"]["active"] == before["active"])


# What is wrong, and the statuses that may say so.
REFUSED = {
    "no-upgrade": (wish("/echo", upgrade=None), {426}),
    "no-connection": (wish("/echo", connection=None), {426}),
    "connection-without-upgrade": (wish("/echo", connection="keep-alive"), {426}),
    "another-protocol": (wish("/echo", upgrade="h2c"), {400, 426}),
    "http-1.0": (wish("/echo", http="1.0"), {400, 426}),
    "get": (request(path="/echo"), {426}),
    "head": (wish("/echo", method="HEAD"), {400, 405, 426}),
    "post": (wish("/echo", {"Content-Length": "0"}, method="POST"), {400, 405, 426}),
    "no-version": (wish("/echo", version=None), {400, 426}),
    "version-8": (wish("/echo", version="8"), {426}),
    "version-14": (wish("/echo", version="14"), {426}),
    "version-word": (wish("/echo", version="13x"), {400, 426}),
    "no-key": (wish("/echo", key=None), {400}),
    "empty-key": (wish("/echo", key=""), {400}),
    "two-keys": (wish("/echo", key=[KEY, KEY]), {400}),
    "short-key": (wish("/echo", key=base64.b64encode(b"x" * 15).decode()), {400}),
    "long-key": (wish("/echo", key=base64.b64encode(b"x" * 17).decode()), {400}),
    "no-base64": (wish("/echo", key="!" * 22 + "=="), {400}),
    "key-without-padding": (wish("/echo", key=KEY[:-2]), {400}),
    "key-and-more": (wish("/echo", key=KEY + "AAAA"), {400}),
}


class TestRefused:
    @pytest.mark.parametrize("case", REFUSED)
    def test_malformed(self, web, case):
        raw, statuses = REFUSED[case]
        before = web.listener("h1")["websocket"]
        with web.connect("h1") as client:
            client.send(raw)
            response = client.response("HEAD" if case == "head" else "GET")
            assert response.status in statuses
            if response.status == 426:
                assert response.get("sec-websocket-version") == "13" and response.get("upgrade").lower() == "websocket"
                assert response.has_token("connection", "upgrade")
            assert response.get("sec-websocket-accept") is None
            if response.closes or case == "http-1.0":
                assert client.ending() == "fin"
            else:
                assert upgrade(client, "/echo").echoes()
        assert web.listener("h1")["websocket"]["refused"] == before["refused"] + 1

    def test_in_any_pieces(self, web):
        for size in FRAGMENTS:
            with web.connect("h1") as client:
                for at in range(0, len(raw := wish("/echo", version="12")), size or len(raw)):
                    client.send(raw[at:at + (size or len(raw))])
                assert client.response().status == 426

    def test_a_body(self, web):
        response = refused(web, wish("/echo", {"Content-Length": "5"}) + b"hello")
        assert response.status in (400, 426)

    @pytest.mark.parametrize("name", ["h1", "h1s", "ws", "wss"])
    def test_an_ordinary_request(self, web, name):
        response = refused(web, request(path="/echo"), name)
        assert response.status == 426 and response.get("upgrade").lower() == "websocket"

    def test_routes_that_are_none(self, web):
        """A wish to upgrade that the route does not know is an ordinary request."""
        with web.connect("h1") as client:
            assert client.send(wish("/")).response().body == b"hello\n"
            assert client.send(wish("/http-echo")).response().status == 200
            assert upgrade(client, "/echo").echoes()


class TestRoutesBesideIt:
    @pytest.mark.parametrize("name", ["h1", "h1s", "h2", "h2s"])
    def test_they_answer_as_before(self, web, name):
        if name.startswith("h1"):
            assert web.ask(name=name).body == b"hello\n"
            assert web.ask("POST", "/http-echo", name=name, body=b"abc").body == b"abc"
        else:
            session = session_of(web, name)
            assert bytes(session.ask("POST", "/http-echo", body=b"abc").body) == b"abc"

    def test_on_a_websocket_listener(self, web):
        with web.connect("ws") as client:
            assert client.ask(path="/about").body == b"for people\n"
            redirect = client.ask(path="/old")
            assert (redirect.status, redirect.get("location")) == (307, "/echo")
            assert client.ask(path="/nothing").status == 404
            assert upgrade(client, "/echo").echoes()


class TestOrigins:
    @pytest.mark.parametrize("origin,allowed", [
        ("https://example.com", True), ("https://a.example.org", True), ("https://a.b.example.org", True),
        ("http://localhost:3000", True), (None, True), ("https://example.com.evil.net", False),
        ("http://example.com", False), ("https://example.com:8443", False), ("https://example.org", False),
        ("https://evilexample.org", False), ("http://localhost:3001", False), ("null", False), ("", False)])
    def test_list(self, web, origin, allowed):
        headers = {} if origin is None else {"Origin": origin}
        if allowed:
            assert connect(web, "/guarded", headers, name="h1").echoes()
        else:
            assert refused(web, wish("/guarded", headers)).status == 403
        stream = ask_stream(session_of(web, "h2"), "/guarded", {name.lower(): one for name, one in headers.items()})
        assert stream.status == (200 if allowed else 403)

    def test_none_given_lets_all_in(self, web):
        assert connect(web, "/echo", {"Origin": "https://anybody.example"}, name="h1").echoes()


class TestRequiredHeaders:
    def test_all_of_them(self, web):
        assert connect(web, "/token", {"Authorization": "x", "X-Tenant": "a"}, name="h1").echoes()
        for headers in ({}, {"Authorization": "x"}, {"X-Tenant": "a"}):
            assert refused(web, wish("/token", headers)).status == 403

    def test_over_http2(self, web):
        session = session_of(web, "h2")
        assert ask_stream(session, "/token", {"authorization": "x"}).status == 403
        assert open_stream(session, "/token", {"authorization": "x", "x-tenant": "a"}).echoes()


class TestSubprotocols:
    @pytest.mark.parametrize("offer,chosen", [
        (["chat.v1"], "chat.v1"), (["chat.v1, chat.v2"], "chat.v2"), (["other", "chat.v1"], "chat.v1"),
        (["other,\tchat.v2 ,x"], "chat.v2"), (["other"], None), ([], None), (["CHAT.V2"], None)])
    @EVERY_WAY
    def test_the_first_of_ours(self, ways, way, offer, chosen):
        socket = ways.open(way, "/chat", [("sec-websocket-protocol", value) for value in offer])
        assert socket.subprotocol == chosen and socket.echoes()
        socket.shut()

    @EVERY_WAY
    def test_none_where_none_is_spoken(self, ways, way):
        socket = ways.open(way, "/echo", {"sec-websocket-protocol": "chat.v1"})
        assert socket.subprotocol is None and socket.echoes()
        socket.shut()


class TestExtensions:
    @pytest.mark.parametrize("offer", ["x-webkit-deflate-frame", "permessage-bzip2; x=1", "foo, bar; baz=\"a-b\""])
    @EVERY_WAY
    def test_unknown_ones_are_not_agreed_to(self, ways, way, offer):
        socket = ways.open(way, "/echo", {"sec-websocket-extensions": offer})
        assert socket.extensions is None and socket.echoes()
        socket.shut()

    @pytest.mark.parametrize("offer", ["foo bar", "=x", "foo; =x", "foo; bar=", "foo; bar=\"a, b\"", "foo; bar=\"x"])
    def test_malformed(self, web, offer):
        """RFC 6455, 9.1; what is quoted must be a token as well."""
        assert refused(web, wish("/echo", {"Sec-WebSocket-Extensions": offer})).status == 400
        assert ask_stream(session_of(web, "h2"), "/echo", {"sec-websocket-extensions": offer}).status == 400

    @EVERY_WAY
    def test_none_without_compression(self, ways, way):
        socket = ways.open(way, "/plain", {"sec-websocket-extensions": "permessage-deflate"})
        assert socket.extensions is None and socket.echoes()
        socket.shut()

    def test_a_long_list(self, web):
        offer = ", ".join(f"ext{number}; a=1" for number in range(1500)) + ", permessage-deflate"
        with connect(web, "/echo", {"Sec-WebSocket-Extensions": offer}, name="h1") as socket:
            assert socket.compressed


class TestOverHttp2:
    @EVERY_H2
    def test_offered_in_the_first_settings(self, web, name):
        assert session_of(web, name).settings[ENABLE_CONNECT_PROTOCOL] == 1
        assert session_of(web, "no-ws").settings.get(ENABLE_CONNECT_PROTOCOL, 0) == 0

    @EVERY_H2
    def test_many_on_one_session(self, web, name):
        session = session_of(web, name)
        sockets = [open_stream(session, "/echo") for _ in range(20)]
        for number, socket in enumerate(sockets):
            socket.text(f"this is {number}")
        assert [socket.message() for socket in reversed(sockets)] == [f"this is {n}" for n in reversed(range(20))]
        assert bytes(session.ask().body) == b"hello\n"
        for socket in sockets:
            assert socket.shut(1000) == (1000, "")
        assert session.lives()

    @EVERY_H2
    def test_frames_right_behind_it(self, web, name):
        session = session_of(web, name)
        stream = session.open(connect_fields(session, "/echo"), end=False)
        session.send_data(stream, frame(Op.TEXT, b"early"))
        session.until(lambda: len(stream.body) >= 7)
        assert stream.status == 200 and bytes(stream.body) == b"\x81\x05early"

    @pytest.mark.parametrize("version,statuses", [("8", {426}), ("", {400, 426})])
    def test_version(self, web, version, statuses):
        stream = ask_stream(session_of(web, "h2"), "/echo", version=None, headers={"sec-websocket-version": version})
        assert stream.status in statuses and stream.get("upgrade") is None and stream.get("connection") is None
        assert stream.status != 426 or stream.get("sec-websocket-version") == "13"

    def test_another_protocol(self, web):
        assert ask_stream(session_of(web, "h2"), "/echo", protocol="connect-udp").status in (400, 426, 501)

    def test_another_route(self, web):
        """Nobody may say 200 to it by accident."""
        session = session_of(web, "h2")
        assert ask_stream(session, "/").status == 501
        assert ask_stream(session, "/http-echo").status == 501
        assert session.lives()

    def test_a_listener_without(self, web):
        """The client was not told that it may: to do it nonetheless is malformed (RFC 8441, 3)."""
        session = session_of(web, "no-ws")
        stream = ask_stream(session, "/")
        assert stream.reset == Code.PROTOCOL_ERROR or stream.status in (400, 501)

    def test_an_end_with_it(self, web):
        session = session_of(web, "h2")
        assert ask_stream(session, "/echo", end=True).status == 400
        assert session.lives()

    def test_a_plain_connect(self, web):
        session = session_of(web, "h2")
        stream = session.open([(":method", "CONNECT"), (":authority", "example.com:443")], end=False)
        session.until(lambda: stream.headers or stream.done)
        assert stream.status == 501 and session.lives()

    @pytest.mark.parametrize("without", [":scheme", ":path", ":authority"])
    def test_without_a_field(self, web, without):
        session = session_of(web, "h2")
        fields = [field for field in connect_fields(session, "/echo") if field[0] != without]
        stream = session.open(fields, end=False)
        session.until(lambda: stream.headers or stream.done or session.goaways)
        assert stream.reset == Code.PROTOCOL_ERROR or stream.status == 400
        assert session.lives()

    def test_an_ordinary_request(self, web):
        answer = session_of(web, "h2").ask(path="/echo")
        assert answer.status == 426 and answer.get("sec-websocket-version") == "13"
        assert answer.get("upgrade") is None and answer.get("connection") is None  # RFC 9113, 8.2.2

    def test_http1_on_an_http2_listener(self, web):
        """By ALPN: the fallback takes handshakes as well."""
        assert connect(web, "/echo", name="h2s").echoes()

    def test_python_h2(self, web):
        """RFC 8441 with a client that did not read our tests."""
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived

        client, session = web.connect("h2"), H2Connection(H2Configuration(header_encoding="utf-8"))
        session.initiate_connection()
        seen = []

        def pump(kind, found=lambda event: True):
            client.send(session.data_to_send())
            while not [event for event in seen if isinstance(event, kind) and found(event)]:
                seen.extend(session.receive_data(client.sock.recv(65536)))
                client.send(session.data_to_send())
            return next(event for event in seen if isinstance(event, kind))

        pump(RemoteSettingsChanged, lambda event: ENABLE_CONNECT_PROTOCOL in event.changed_settings)
        session.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                 (":path", "/echo"), (":authority", "x"), ("sec-websocket-version", "13")])
        assert dict(pump(ResponseReceived).headers)[":status"] == "200"
        session.send_data(1, frame(Op.TEXT, b"hello"))
        assert pump(DataReceived).data == b"\x81\x05hello"


class TestLimits:
    def test_of_a_listener(self, start):
        sluice = start(configs.config(configs.websocket(routes=[configs.ws_echo()], max_connections=2)))
        first, second = connect(sluice, "/echo"), connect(sluice, "/echo")
        with sluice.connect() as third:
            third.send(wish("/echo"))
            response = third.response()
            assert response.status == 503 and response.get("retry-after") and response.closes
        assert sluice.rejected(names.REJECTED_MAX) == 1
        assert first.echoes() and second.echoes()
        assert first.shut() == (1000, "")
        wait_until(lambda: sluice.pool()["active"] == 1)
        assert connect(sluice, "/echo").echoes()

    @pytest.mark.parametrize("way", ["h1", "h2"])
    def test_of_a_route(self, start, way):
        """The connection goes on to speak HTTP, and other routes have their own limit."""
        routes = [configs.ws_echo(pool={"max_connections": 2}), configs.ws_echo("/other"), configs.HELLO]
        sluice = start(configs.config(*configs.every_front(routes)))
        ways = Ways(sluice)
        first, second = ways.open(way, "/echo"), ways.open(way, "/echo")
        if way == "h1":
            client = sluice.connect("h1")
            client.send(wish("/echo"))
            response = client.response()
            if not response.closes:
                assert upgrade(client, "/other").echoes()
        else:
            response = ask_stream(ways.session(way), "/echo")
            assert ways.open(way, "/other").echoes()
        assert response.status == 503 and response.get("retry-after")
        assert first.echoes() and second.echoes()
        first.shut()
        wait_until(lambda: sluice.listener(way)["websocket"]["active"] <= 2)
        assert ways.open(way, "/echo").echoes()
        assert sluice.listener(way)["websocket"]["refused"] == 1

    def test_raised_live(self, start):
        def limit(count):
            return configs.config(configs.listener(routes=[configs.ws_echo(pool={"max_connections": count})]))

        sluice = start(limit(1))
        first = connect(sluice, "/echo")
        assert sluice.connect().send(wish("/echo")).response().status == 503
        sluice.apply(limit(2))
        second = connect(sluice, "/echo")
        assert first.echoes() and second.echoes()
        sluice.apply(limit(1))  # closes none
        assert first.echoes() and second.echoes()
        assert sluice.connect().send(wish("/echo")).response().status == 503

    def test_handshake_timeout(self, start):
        sluice = start(configs.config(
            configs.websocket(routes=[configs.ws_echo(), configs.HELLO], handshake_timeout="300ms")))
        open_one, silent, half = connect(sluice, "/echo"), sluice.connect(), sluice.connect()
        half.send(wish("/echo")[:40])
        assert silent.ending() == "fin" and half.ending() == "fin"
        silent.close()
        half.close()
        assert open_one.echoes()
        sluice.wait_closed(names.HANDSHAKE_TIMEOUT | names.HEADERS_TIMEOUT, 2)

    def test_large_headers(self, start):
        sluice = start(configs.config(configs.websocket(routes=[configs.ws_echo()], max_header_size="1KiB")))
        assert connect(sluice, "/echo", {"X-Small": "x" * 300}).echoes()
        with sluice.connect() as client:
            client.send(wish("/echo", {"X-Large": "x" * 2000}))
            assert client.response().status == 431


def test_shown_in_the_access_log(start):
    sluice = start(configs.config(configs.listener(routes=[configs.ws_echo()]), log={"access": {"format": "combined"}}))
    connect(sluice, "/echo").shut()
    sluice.connect().send(request(path="/echo"))
    wait_until(lambda: sluice.log_line('"GET /echo ', " 101 ") and sluice.log_line('"GET /echo ', " 426 "),
               what=sluice.log)
