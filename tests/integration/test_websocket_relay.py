"""Relays: to python3-websockets, to Node's ws, and to a raw server that does what real ones should not."""

import asyncio
import os
import threading
import time

import pytest

from support import configs
from support.certificates import Certificates
from support.settings import SANITIZED, patient, scaled
from support.tls import client_context, server_tls
from support.upstreams import unsent
from support.waiting import wait_until
from support.websocket import (DEFLATE, FRAGMENTS, KEY, WAYS, Op, Ways, ask_stream, close_payload, connect, frame,
                               session_of, vanish, wish)
from support.websocket_backends import (LibraryServer, NodeWs, RawServer, acceptance, deaf, has_node_ws, quiet,
                                        run_node_client)

MIB = 1024 * 1024
BOTH = pytest.mark.parametrize("way", ["h1", "h2"])
EVERY_WAY = pytest.mark.parametrize("way", WAYS)
LARGE = {"max_message_size": "64MiB", "max_frame_size": "64MiB"}


def relaying(*servers, pool=None, keys=None, relay=None, **top):
    """Every front, with a relay at /chat and an echo beside it."""
    routes = [configs.ws_relay(pool=pool, relay=relay, **(keys or {})), configs.ws_echo(), configs.HELLO]
    upstreams = [configs.upstream("chat", *servers, protocol="websocket", **top.pop("upstream", {}))]
    return configs.config(*configs.every_front(routes), upstreams=upstreams, **top)


@pytest.fixture(scope="module")
def module_relay(tmp_path_factory):
    """One daemon in front of a raw server that tests give their own talk, for those that need nothing special."""
    from support.daemon import Sluice

    server = RawServer()
    sluice = Sluice(tmp_path_factory.mktemp("relay"), relaying(server, pool=LARGE))
    try:
        sluice.wait_ready()
        yield sluice, server
    finally:
        sluice.stop()
        server.stop()


class Relay:
    def __init__(self, sluice, server):
        self.sluice, self.server, self.ways = sluice, server, Ways(sluice)

    def open(self, way="h1", talk=None, headers=(), path="/chat", *, answer=(), **more):
        """Both ends of a new relay."""
        count = len(self.server.sockets)
        self.server.talk, self.server.headers = talk or quiet, answer
        client = self.ways.open(way, path, headers, **more)
        self.server.wait_sockets(count + 1)
        server = self.server.sockets[count]
        server.wire.sock.settimeout(patient(10))
        return client, server


@pytest.fixture
def relay(module_relay):
    sluice, server = module_relay
    server.begin_test(server.serve)
    server.sockets.clear()
    server.talk, server.headers, server.then = quiet, (), b""
    yield Relay(sluice, server)
    server.release()
    server.drop()
    assert sluice.alive, sluice.log[-4000:]
    sluice.close_clients()
    sluice.check_books()
    sluice.check_log()
    server.check()
    wait_until(lambda: all(sluice.listener(way)["websocket"]["active"] == 0 for way in WAYS))
    wait_until(lambda: sluice.upstream("chat")["busy"] == 0, what="no connection to the upstream in use")


class TestBothWays:
    @EVERY_WAY
    def test_messages(self, relay, way):
        client, server = relay.open(way)
        client.text("hello")
        assert server.message() == "hello"
        server.text("hello yourself: caf\u00e9 \u4f60\u597d \U0001f600")
        assert client.message() == "hello yourself: caf\u00e9 \u4f60\u597d \U0001f600"
        client.binary(b"\xff\xfe\x00")
        server.binary(b"")
        assert server.message() == b"\xff\xfe\x00" and client.message() == b""

    def test_in_any_pieces(self, relay):
        for size in FRAGMENTS:
            for way in ("h1", "h2"):
                client, server = relay.open(way)
                client.raw(client.frame(Op.TEXT, b"abc", fin=False) + client.frame(Op.PING, b"p") +
                           client.frame(Op.CONTINUATION, b"d" * 200), size)
                assert server.message() == "abc" + "d" * 200 and server.pings == [b"p"]
                server.raw(server.frame(Op.BINARY, b"xyz", fin=False) + server.frame(Op.PING, b"q") +
                           server.frame(Op.CONTINUATION, b"w" * 200), size)
                assert client.message() == b"xyz" + b"w" * 200 and client.pings == [b"q"]
                client.raw(client.frame(Op.CLOSE, close_payload(4001, "bye")), size)
                assert server.until_close() == (4001, "bye")
                server.raw(server.frame(Op.CLOSE, close_payload(4002, "good")), size)
                server.wire.close()
                assert client.until_close() == (4002, "good")

    @EVERY_WAY
    def test_pings_and_pongs(self, relay, way):
        """They go from end to end."""
        client, server = relay.open(way)
        server.answers_pings = client.answers_pings = False
        client.ping(b"from the client")
        server.until(lambda: server.pings == [b"from the client"])
        server.pong(b"from the client")
        client.expect_pong(b"from the client")
        server.ping(b"")
        client.until(lambda: client.pings == [b""])
        client.pong(b"unasked")
        server.until(lambda: server.pongs == [b"unasked"])

    @EVERY_WAY
    def test_fragments_go_on_as_they_come(self, relay, way):
        client, server = relay.open(way)
        client.send(Op.TEXT, b"first", fin=False)
        first = server.read_one()
        assert (first.fin, first.op, first.payload) == (False, Op.TEXT, b"first")
        server.send(Op.BINARY, b"also", fin=False)
        assert client.read_one().payload == b"also"
        client.send(Op.CONTINUATION, b"last")
        server.send(Op.CONTINUATION, b"")
        assert b"".join(part.payload for part in server.frames()) == b"last"
        assert b"".join(part.payload for part in client.frames()) == b""

    @BOTH
    def test_frames_are_not_assembled(self, relay, way):
        """The beginning of a large frame arrives before its end was sent."""
        client, server = relay.open(way)
        payload = os.urandom(MIB)
        wire = client.frame(Op.BINARY, payload)
        client.raw(wire[:600_000])
        wait_until(lambda: server.wire.peek() > 30_000, what="the beginning of the frame at the upstream")
        sender = threading.Thread(target=client.raw, args=(wire[600_000:],), daemon=True)
        sender.start()
        assert server.message() == payload
        sender.join(10)

    @EVERY_WAY
    def test_16_mib(self, relay, way):
        client, server = relay.open(way)
        payload = os.urandom(MIB) * 16
        got = []
        reader = threading.Thread(target=lambda: got.append(server.message()), daemon=True)
        reader.start()
        client.binary(payload)
        reader.join(30)
        assert got[0] == payload
        sender = threading.Thread(target=server.binary, args=(payload,), daemon=True)
        sender.start()
        assert client.message() == payload
        sender.join(10)

    @BOTH
    def test_right_behind_the_answer(self, relay, way):
        """What the upstream says at once, in one piece with its 101; and the client before its answer came."""
        relay.server.then = frame(Op.TEXT, b"welcome", mask=None)
        client, server = relay.open(way)
        assert client.message() == "welcome"
        if way == "h1":
            early, server = relay.open(way, then=frame(Op.TEXT, b"impatient"), size=11)
            assert early.message() == "welcome" and server.message() == "impatient"

    def test_masks_are_made_anew(self, relay):
        """Not the client's, and never the same (RFC 6455, 5.3)."""
        client, server = relay.open("h1")
        for _ in range(20):
            client.text("x", mask=b"\1\2\3\4")
            server.message()
        assert len(server.peer_masks) == 20 and b"\1\2\3\4" not in server.peer_masks

    @BOTH
    def test_many_at_once(self, relay, way):
        count = scaled(30, 90)  # of 100, which upstreams and sessions of HTTP/2 allow
        pairs = [relay.open(way) for _ in range(count)]
        for number, (client, _) in enumerate(pairs):
            client.text(f"to {number}")
        for number, (client, server) in enumerate(pairs):
            assert server.message() == f"to {number}"
            server.text(f"from {number}")
        for number, (client, _) in reversed(list(enumerate(pairs))):
            assert client.message() == f"from {number}"
        assert relay.sluice.upstream("chat")["busy"] == count


class TestHandshake:
    @BOTH
    def test_what_the_upstream_is_asked(self, relay, way):
        relay.open(way, headers={"origin": "https://example.com", "cookie": "a=b", "x-own": "yes"},
                   path="/chat/room?name=x")
        asked = relay.server.last
        assert asked.target == "/chat/room?name=x" and asked.get("host") == "localhost"
        assert asked.get("origin") == "https://example.com" and asked.get("cookie") == "a=b"
        assert asked.get("x-own") == "yes" and asked.get("x-forwarded-for") == "127.0.0.1"
        assert asked.get("sec-websocket-key") != KEY and not asked.all("sec-websocket-protocol")
        assert not [name for name in asked.names if name.startswith(":")] and not asked.all("http2-settings")

    def test_keys_are_made_anew(self, relay):
        for _ in range(5):
            relay.open("h1")
        assert len({request.get("sec-websocket-key") for request in relay.server.requests}) == 5

    @BOTH
    def test_subprotocols(self, relay, way):
        offer = {"sec-websocket-protocol": "chat.v3, chat.v2"}
        client, _ = relay.open(way, headers=offer, answer=[("Sec-WebSocket-Protocol", "chat.v2")])
        assert relay.server.last.get("sec-websocket-protocol").replace(" ", "") == "chat.v3,chat.v2"
        assert client.subprotocol == "chat.v2"
        client, _ = relay.open(way, headers=offer)
        assert client.subprotocol is None

    @BOTH
    def test_compression(self, relay, way):
        """Agreed between the ends: what is compressed goes through as it is."""
        offer = f"{DEFLATE}; client_max_window_bits, {DEFLATE}"
        client, server = relay.open(way, headers={"sec-websocket-extensions": f"x-other, {offer}"},
                                    answer=[("Sec-WebSocket-Extensions", DEFLATE)])
        assert "x-other" not in relay.server.last.get("sec-websocket-extensions")
        assert DEFLATE in relay.server.last.get("sec-websocket-extensions")
        assert client.compressed
        packed = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
        client.raw(client.frame(Op.TEXT, packed[:3], fin=False, rsv=4) + client.frame(Op.CONTINUATION, packed[3:]))
        parts = list(server.frames())
        assert parts[0].rsv == 4 and b"".join(part.payload for part in parts) == packed
        server.send(Op.TEXT, packed, rsv=4)
        parts = list(client.frames())
        assert parts[0].rsv == 4 and b"".join(part.payload for part in parts) == packed

    def test_no_compression_agreed(self, relay):
        client, server = relay.open("h1", headers={"sec-websocket-extensions": DEFLATE})
        assert client.extensions is None
        client.send(Op.TEXT, b"x", rsv=4)
        client.ends_with(1002)

    @pytest.mark.parametrize("status,headers,body", [
        (403, [("X-Why", "members only")], b"not for you\n"), (401, [("WWW-Authenticate", "Basic realm=\"x\"")], b""),
        (404, [], b"x" * 100_000), (503, [("Retry-After", "7")], b"later"), (302, [("Location", "/elsewhere")], b""),
        (426, [("Upgrade", "websocket"), ("Connection", "Upgrade")], b"")])
    @BOTH
    def test_an_upstream_that_refuses(self, relay, way, status, headers, body):
        """Gives the client its status, its headers and its body."""
        relay.server.handler = lambda exchange: exchange.answer(status, headers, body)
        if way == "h1":
            with relay.sluice.connect(way) as client:
                client.send(wish("/chat"))
                response = client.response()
                if not response.closes:
                    client.send(wish("/echo"))
                    assert client.response().status == 101
            assert response.body == body
        else:
            session = relay.ways.session(way)
            response = ask_stream(session, "/chat")
            session.wait(response)
            assert bytes(response.body) == body
        assert response.status == status
        for name, value in headers:
            if name not in ("Upgrade", "Connection"):
                assert response.get(name.lower()) == value

    @pytest.mark.parametrize("case,answer", [
        ("wrong-accept", {"accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}), ("no-accept", {"accept": ""}),
        ("no-upgrade", {"upgrade": None}), ("another-protocol", {"upgrade": "h2c"}),
        ("no-connection", {"connection": None}), ("connection-close", {"connection": "close"}),
        ("subprotocol-not-offered", {"headers": [("Sec-WebSocket-Protocol", "secret")]}),
        ("extension-not-offered", {"headers": [("Sec-WebSocket-Extensions", DEFLATE)]}),
        ("unknown-extension", {"headers": [("Sec-WebSocket-Extensions", "x-other")]})])
    @BOTH
    def test_an_upstream_that_answers_wrong(self, relay, way, case, answer):
        relay.server.handler = lambda exchange: (exchange.body(), exchange.send(acceptance(exchange, **answer)),
                                                 exchange.wait_gone())
        assert status_of(relay.sluice, way) == 502

    @pytest.mark.parametrize("handler", [
        lambda exchange: (exchange.body(), exchange.close()), lambda exchange: (exchange.body(), exchange.reset()),
        lambda exchange: (exchange.body(), exchange.send(b"HTTP/1.1 101 Swi"), exchange.close()),
        lambda exchange: (exchange.body(), exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), exchange.wait_gone())],
        ids=["fin", "rst", "half-a-head", "another-protocol"])
    @BOTH
    def test_an_upstream_that_does_not_answer(self, relay, way, handler):
        relay.server.handler = handler
        assert status_of(relay.sluice, way) == 502

    @BOTH
    def test_an_upstream_that_is_silent(self, serve, start, way):
        server = serve(protocol="websocket", handler=lambda exchange: exchange.wait_gone())
        sluice = start(relaying(server, relay={"first_byte_timeout": "300ms"}))
        assert status_of(sluice, way) == 504

    @BOTH
    def test_an_upstream_that_is_down(self, start, way):
        sluice = start(relaying(f"127.0.0.1:{configs.free_port()}"))
        assert status_of(sluice, way) == 502
        assert Ways(sluice).open(way, "/echo").echoes()

    @BOTH
    def test_a_client_that_gives_up_meanwhile(self, relay, way):
        relay.server.handler = lambda exchange: exchange.wait_gone()
        if way == "h1":
            client = relay.sluice.connect(way)
            client.send(wish("/chat"))
            relay.server.wait_requests()
            client.close()
        else:
            session = relay.ways.session(way)
            fields = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
            stream = session.begin("CONNECT", "/chat", fields, end=False)
            relay.server.wait_requests()
            session.cancel(stream)
        wait_until(lambda: relay.server.last.given_up)

    def test_own_headers_of_the_route(self, serve, start):
        server = serve(protocol="websocket")
        sluice = start(relaying(server, relay={"set_request_headers": {"x-inner": "secret"}, "host": "inner.example",
                                               "strip_prefix": "/chat",
                                               "set_response_headers": {"x-outer": "told"}}))
        socket = connect(sluice, "/chat/room", name="h1")
        assert server.last.get("x-inner") == "secret" and server.last.get("host") == "inner.example"
        assert server.last.target == "/room" and socket.response.get("x-outer") == "told"
        assert socket.echoes()

    @BOTH
    def test_what_is_checked_before_the_upstream_is_asked(self, serve, start, way):
        """Version, origin, headers: a client that is refused costs the upstream nothing."""
        server = serve(protocol="websocket")
        sluice = start(relaying(server, keys={"origins": ["https://good.example"], "require_headers": ["x-key"]}))
        for headers in ({"origin": "https://bad.example", "x-key": "1"}, {"origin": "https://good.example"}):
            assert status_of(sluice, way, headers) == 403
        assert not server.requests
        assert Ways(sluice).open(way, "/chat", {"origin": "https://good.example", "x-key": "1"}).echoes()

    @BOTH
    def test_compression_switched_off(self, serve, start, way):
        server = serve(protocol="websocket")
        sluice = start(relaying(server, keys={"compression": False}))
        assert Ways(sluice).open(way, "/chat", {"sec-websocket-extensions": DEFLATE}).echoes()
        assert not server.last.all("sec-websocket-extensions")

    def test_limit_of_the_route(self, serve, start):
        server = serve(protocol="websocket")
        sluice = start(relaying(server, pool={"max_connections": 1}))
        first = connect(sluice, "/chat", name="h1")
        assert status_of(sluice, "h1") == 503 and status_of(sluice, "h2") in (200, 503)
        assert first.echoes()
        first.shut()
        wait_until(lambda: sluice.listener("h1")["websocket"]["active"] == 0)
        assert connect(sluice, "/chat", name="h1").echoes()

    @BOTH
    def test_tls_to_the_upstream(self, serve, start, certificates: Certificates, way):
        pair = certificates.server()
        server = serve(protocol="websocket", tls=server_tls(pair))
        tls = {"ca": str(certificates.authority().certificate), "server_name": "localhost"}
        sluice = start(relaying(server, upstream={"tls": tls}))
        socket = Ways(sluice).open(way, "/chat")
        assert socket.echoes() and socket.echoes(b"x" * 100_000) and socket.shut(1000)[0] == 1000


def status_of(sluice, way, headers=()):
    """Of a handshake that is refused, with the whole answer read."""
    if way == "h1":
        with sluice.connect(way) as client:
            return client.send(wish("/chat", headers)).response().status
    session = session_of(sluice, way)
    stream = ask_stream(session, "/chat", headers)
    status = stream.status
    if status != 200:
        session.wait(stream)
    session.client.close()
    return status


CODES = [1000, 1001, 1003, 1011, 3000, 4999]


class TestClosing:
    @EVERY_WAY
    def test_by_the_client(self, relay, way):
        for code in CODES:
            client, server = relay.open(way)
            client.close(code, f"because {code}")
            assert server.until_close() == (code, f"because {code}")
            server.close(code, "as you say")
            server.wire.close()
            assert client.until_close() == (code, "as you say")
            assert client.wire.ending() == "fin"

    @EVERY_WAY
    def test_by_the_upstream(self, relay, way):
        for code in CODES:
            client, server = relay.open(way)
            server.close(code, f"because {code}")
            assert client.until_close() == (code, f"because {code}")
            client.close(code, "as you say")
            assert server.until_close() == (code, "as you say")
            server.wire.close()
            assert client.wire.ending() == "fin"

    @BOTH
    def test_without_a_code(self, relay, way):
        client, server = relay.open(way)
        client.close()
        assert server.until_close() == (None, "")
        server.close()
        server.wire.close()
        assert client.until_close() == (None, "") and client.wire.ending() == "fin"

    @BOTH
    def test_behind_messages(self, relay, way):
        """Nothing that was sent before is lost."""
        client, server = relay.open(way)
        client.raw(client.frame(Op.BINARY, b"x" * 1000) * 50 + client.frame(Op.CLOSE, close_payload(1000)))
        assert [len(server.message()) for _ in range(50)] == [1000] * 50
        assert server.ending()[0] == 1000
        assert client.until_close()[0] == 1000
        client, server = relay.open(way)
        server.raw(server.frame(Op.BINARY, b"x" * 1000) * 50 + server.frame(Op.CLOSE, close_payload(1000)))
        assert [len(client.message()) for _ in range(50)] == [1000] * 50
        client.ends_with(1000)

    @BOTH
    @pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
    def test_an_upstream_that_vanishes(self, relay, way, reset):
        client, server = relay.open(way)
        client.text("hello")
        assert server.message() == "hello"
        server.exchange.connection.drop(reset=reset)
        if reset:
            relay.server.release()  # whose thread then closes it
        client.ends_with(1001)
        wait_until(lambda: relay.sluice.upstream("chat")["busy"] == 0)

    @BOTH
    @pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
    def test_a_client_that_vanishes(self, relay, way, reset):
        client, server = relay.open(way)
        client.text("hello")
        assert server.message() == "hello"
        if way == "h2":
            client.wire.cancel() if reset else client.wire.finish()
        elif reset:
            vanish(client.wire)
        else:
            client.wire.close()
        assert server.ended()[0] in (1001, 1006)

    def test_a_session_that_vanishes(self, relay):
        """All its WebSockets at once."""
        pairs = [relay.open("h2") for _ in range(5)]
        vanish(relay.ways.session("h2").client)
        assert all(server.ended()[0] in (1001, 1006) for _, server in pairs)

    @BOTH
    def test_a_client_that_breaks_a_rule(self, relay, way):
        client, server = relay.open(way)
        client.raw(frame(3, b"bad"))
        client.ends_with(1002)
        assert server.ended()[0] in (1001, 1006)

    @pytest.mark.parametrize("wire,code", [
        (frame(Op.TEXT, b"masked"), 1002), (frame(3, b"", mask=None), 1002), (frame(Op.TEXT, b"\xff", mask=None), 1007),
        (frame(Op.CONTINUATION, b"", mask=None), 1002), (frame(Op.TEXT, b"x", rsv=4, mask=None), 1002),
        (frame(Op.PING, b"", fin=False, mask=None), 1002), (frame(Op.BINARY, b"x", width=64, mask=None), 1002),
        (frame(Op.CLOSE, close_payload(1005), mask=None), 1002), (frame(Op.BINARY, size=1 << 40, mask=None), 1009)],
        ids=["masked", "opcode", "utf8", "continuation", "rsv", "ping", "length", "close", "size"])
    def test_an_upstream_that_breaks_a_rule(self, relay, wire, code):
        """It is told so, and the client gets nothing that is not well-formed."""
        for size in FRAGMENTS:
            for way in ("h1", "h2"):
                client, server = relay.open(way)
                server.try_raw(wire, size)
                assert server.until_close()[0] == code
                server.wire.close()
                assert client.ending()[0] in (1001, 1011, code if code == 1009 else 1001)

    def test_utf8_over_the_relay(self, relay):
        for size in FRAGMENTS:
            client, server = relay.open("h1")
            client.raw(client.frame(Op.TEXT, b"a\xe2", fin=False) + client.frame(Op.CONTINUATION, b"\x28"), size)
            client.ends_with(1007)
            assert server.ended()[0] in (1001, 1006)

    def test_sizes(self, serve, start):
        """Of both sides' messages."""
        server = serve(protocol="websocket", talk=quiet)
        sluice = start(relaying(server, pool={"max_message_size": "1000B", "close_timeout": "300ms"}))
        for way in ("h1", "h2"):
            client = Ways(sluice).open(way, "/chat")
            client.try_raw(frame(Op.BINARY, b"x" * 1001))
            client.ends_with(1009)
            client = Ways(sluice).open(way, "/chat")
            far = server.wait_sockets(len(server.sockets))
            far.try_raw(frame(Op.BINARY, b"x" * 1001, mask=None))
            assert client.ending()[0] in (1001, 1009)

    def test_a_client_that_does_not_answer_a_close(self, serve, start):
        """The other side's Close waits close_timeout for the answer."""
        server = serve(protocol="websocket", talk=lambda socket: socket.close(1000))
        sluice = start(relaying(server, pool={"close_timeout": "200ms"}))
        for way in ("h1", "h2"):
            client = Ways(sluice).open(way, "/chat")
            assert client.until_close() == (1000, "")
            wait_until(lambda: sluice.listener(way)["websocket"]["active"] == 0)
            wait_until(lambda: sluice.upstream("chat")["busy"] == 0)

    def test_an_upstream_that_does_not_answer_a_close(self, serve, start):
        server = serve(protocol="websocket", talk=deaf)
        sluice = start(relaying(server, pool={"close_timeout": "200ms"}))
        for way in ("h1", "h2"):
            client = Ways(sluice).open(way, "/chat")
            client.close(1000)
            client.ended()
            wait_until(lambda: sluice.listener(way)["websocket"]["active"] == 0)
            wait_until(lambda: sluice.upstream("chat")["busy"] == 0)


class TestBackPressure:
    PIECE = os.urandom(64 * 1024)

    @BOTH
    def test_a_client_that_does_not_read(self, relay, way):
        """The upstream is not read any more; later all comes, and nothing is lost."""
        if way == "h2":
            relay.ways.session(way, window=65535)
        client, server = relay.open(way, **({"receive_buffer": 16384} if way == "h1" else {"held": True}))
        self.check(relay, server, client, (lambda: client.wire.session.open_window(1 << 30, client.wire.stream))
                   if way == "h2" else lambda: None)

    @BOTH
    def test_an_upstream_that_does_not_read(self, relay, way):
        client, server = relay.open(way)
        if way == "h1":
            return self.check(relay, client, server)
        # The window of the stream closes: what was taken is bounded by it and by what the relay holds.
        session, stream = client.wire.session, client.wire.stream
        wire = client.frame(Op.BINARY, self.PIECE)
        before = relay.sluice.rss()
        stalled = stall(lambda: send_as_allowed(session, stream, wire * 512))
        assert stalled < 24 * MIB
        if not SANITIZED:
            assert relay.sluice.rss() - before < 8 * MIB

    def check(self, relay, sender, reader, let_go=lambda: None):
        before, sent, total = relay.sluice.rss(), [0], scaled(32, 512)
        wire = sender.frame(Op.BINARY, self.PIECE)

        def give():
            for _ in range(total * 16):
                sender.raw(wire)
                sent[0] += len(wire)

        sender.wire.sock.settimeout(patient(60))
        thread = threading.Thread(target=give, daemon=True)
        thread.start()
        stalled = stall(lambda: sent[0])
        assert stalled < (total - 8) * MIB, "nobody stopped the producer"
        if not SANITIZED:
            assert relay.sluice.rss() - before < 8 * MIB
        let_go()
        for _ in range(total * 16):
            assert reader.message() == self.PIECE
        thread.join(10)

    def flood(self, socket):
        wire = socket.frame(Op.BINARY, self.PIECE) * 1000
        thread = threading.Thread(target=socket.try_raw, args=(wire,), daemon=True)
        thread.start()
        return thread

    def test_the_other_direction_goes_on(self, relay):
        """Whose client does not read, may still send."""
        client, server = relay.open("h1", receive_buffer=16384)
        thread = self.flood(server)
        wait_until(lambda: unsent(server.wire.sock) > 0 and relay.sluice.upstream("chat")["busy"] == 1)
        client.text("still here")
        assert server.message() == "still here"
        client.wire.close()
        thread.join(10)

    @pytest.mark.parametrize("end", ["client", "upstream"])
    def test_an_end_meanwhile(self, relay, end):
        """A full relay can be ended from either side."""
        client, server = relay.open("h1", receive_buffer=16384)
        thread = self.flood(server)
        stall(lambda: relay.sluice.pool("h1")["bytes_out"])
        if end == "client":
            vanish(client.wire)
            assert server.ended()[0] in (1001, 1006)
        else:
            server.exchange.connection.drop()
            assert client.ended()[0] in (1001, 1006)
        thread.join(10)

    def test_slow_consumer(self, serve, start):
        """What waits for a client passes the cap: 1013, though it may never read that."""
        server = serve(protocol="websocket", talk=quiet)
        sluice = start(relaying(server, pool={"max_pending_bytes": "16KiB", "ping_interval": "300ms",
                                              "pong_timeout": "1m"}))
        client = connect(sluice, "/chat", name="h1", receive_buffer=16384)
        far = server.wait_sockets()
        far.try_raw(frame(Op.BINARY, self.PIECE, mask=None) * 500)
        assert far.ended()[0] in (1001, 1006, 1013)
        client.wire.close()
        sluice.wait_closed({"slow_consumer"}, name="h1")


def send_as_allowed(session, stream, data):
    """As far as the windows go: how much went."""
    if not hasattr(stream, "sent"):
        stream.sent = 0
    while room := min(session.sync().window, stream.window, session.max_frame):
        session.data_frame(stream, data[stream.sent:stream.sent + room])
        stream.sent += room
    return stream.sent


def stall(amount, quiet_for=0.4):
    """Waits until an amount has not grown for a while."""
    last, since = amount(), time.monotonic()

    def still():
        nonlocal last, since
        now = amount()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > quiet_for

    wait_until(still, 30, what="it stalls")
    return last


class TestPythonWebsockets:
    """Both ends are python3-websockets."""

    @pytest.fixture(scope="class")
    def library(self, tmp_path_factory):
        pytest.importorskip("websockets")
        from support.daemon import Sluice

        with LibraryServer(subprotocols=["chat.v1", "chat.v2"]) as server:
            sluice = Sluice(tmp_path_factory.mktemp("library"), relaying(server, pool=LARGE))
            try:
                yield sluice.wait_ready(), server
            finally:
                sluice.stop()

    @staticmethod
    def talk(sluice, way, script, **options):
        import websockets

        async def run():
            url = sluice.url(way).replace("http", "ws", 1) + "/chat"
            secure = {"ssl": client_context()} if sluice.is_secure(way) else {}
            async with websockets.connect(url, max_size=None, **secure, **options) as socket:
                await asyncio.wait_for(script(socket), patient(20))
                return socket

        return asyncio.run(run())

    @pytest.mark.parametrize("way", ["h1", "h1s"])
    @pytest.mark.parametrize("compression", ["deflate", None])
    def test_messages(self, library, way, compression):
        async def script(socket):
            text = "caf\u00e9 \u4f60\u597d \U0001f600"
            for payload in ("", "hello", text * 1000, b"", os.urandom(70_000), b"x" * 4 * MIB):
                await socket.send(payload)
                assert await socket.recv() == payload
            await socket.send(["in ", "", "three"])
            assert await socket.recv() == "in three"
            await (await socket.ping(b"ping"))

        sluice, server = library
        count = len(server.ends)
        socket = self.talk(sluice, way, script, compression=compression, subprotocols=["chat.v2", "other"])
        assert socket.subprotocol == "chat.v2" and socket.close_code == 1000
        assert bool(socket.extensions) == bool(compression) == bool(server.extensions[-1])
        wait_until(lambda: len(server.ends) > count)
        assert server.ends[-1][0] == 1000

    @pytest.mark.parametrize("way", ["h1", "h1s"])
    def test_closed_by_the_server(self, library, way):
        async def script(socket):
            await socket.send("close 4242 enough of it")
            await socket.wait_closed()

        socket = self.talk(library[0], way, script)
        assert (socket.close_code, socket.close_reason) == (4242, "enough of it")


class TestNode:
    @pytest.fixture(params=[False, True], ids=["plain", "deflate"])
    def node(self, request, start, needs, tmp_path):
        needs("node")
        if not has_node_ws():
            pytest.skip("Node's ws is not installed")
        with NodeWs(tmp_path, compress=request.param) as server:
            yield start(relaying(server, pool=LARGE)), request.param

    def test_both_ends(self, node, tmp_path):
        sluice, compress = node
        for way in ("h1", "h1s", "h2s"):  # the last by ALPN's fallback
            url = sluice.url(way).replace("http", "ws", 1) + "/chat"
            told = run_node_client(tmp_path, url, compress=compress, protocols=["chat.v2", "chat.v1"])
            assert told["messages"] == [True] * 8 and told["pongs"] == 1 and told["protocol"] == "chat.v1"
            assert (DEFLATE in told["extensions"]) == compress
            assert told["close"] == [4321, "that was all"]
        wait_until(lambda: all(sluice.listener(way)["websocket"]["active"] == 0 for way in WAYS))

    def test_over_http2(self, node):
        sluice, _ = node
        for way in ("h2", "h2s"):
            socket = Ways(sluice).open(way, "/chat")
            assert socket.echoes("caf\u00e9") and socket.echoes(os.urandom(300_000))
            socket.text("stream 100")
            assert socket.message() == "part" * 100
            socket.text("close 4000 bye")
            assert socket.ending() == (4000, "bye")

    def test_echo(self, node, tmp_path):
        sluice, compress = node
        url = sluice.url("h1").replace("http", "ws", 1) + "/echo"
        told = run_node_client(tmp_path, url, compress=compress)
        assert told["messages"] == [True] * 8 and (DEFLATE in told["extensions"]) == compress
