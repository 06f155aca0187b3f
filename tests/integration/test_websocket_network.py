"""A peer whose network is cut says nothing any more, not even FIN: it is freed in time, and the other side of its relay
is told."""

import socket
import threading
import time

import pytest

from support import configs, names
from support.http import Client
from support.netns import Cable, why_not
from support.settings import patient
from support.waiting import wait_until
from support.websocket import Op, connect, frame, open_stream, session_of, upgrade, wish
from support.websocket_backends import RawServer, quiet

REASON = why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))

INTERVAL, TIMEOUT = 0.5, patient(0.9)  # the other side must answer in time
RULES = {"ping_interval": f"{int(INTERVAL * 1000)}ms", "pong_timeout": f"{int(TIMEOUT * 1000)}ms",
         "connection_timeout": "1h"}
IN_TIME = INTERVAL + TIMEOUT + 1.5


@pytest.fixture
def cable():
    with Cable() as made:
        yield made


def config(*servers, here="127.0.0.1"):
    routes = [configs.ws_echo(pool=RULES)] + ([configs.ws_relay(pool=RULES)] if servers else [])
    more = {"upstreams": [configs.upstream("chat", *servers)]} if servers else {}
    return configs.config(configs.listener("h1", bind=f"{here}:0", routes=routes),
                          configs.http2("h2", routes=routes), **more)


def come(sock, sluice, path="/echo"):
    """A WebSocket on a socket, which lives in whatever namespace."""
    sock.settimeout(patient(10))
    sock.connect(sluice.addr("h1"))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return upgrade(Client(sock), path)


def freed(condition, began=None):
    """How long it takes until somebody is gone."""
    began = began or time.monotonic()
    wait_until(condition, IN_TIME + 5)
    return time.monotonic() - began


def active(sluice, way="h1"):
    return sluice.listener(way)["websocket"]["active"]


def in_time():
    return max(IN_TIME, patient(IN_TIME) / 1.5)


class TestClient:
    def test_of_an_echo(self, start, cable):
        sluice = start(config(here=cable.here))
        client = come(cable.socket(), sluice)
        near = come(socket.socket(), sluice)
        assert client.echoes() and near.echoes()
        cable.cut()
        took = freed(lambda: (near.until(lambda: near.pings), near.pings.clear(), active(sluice) == 1)[-1])
        assert took < in_time()
        assert near.echoes()
        sluice.wait_closed(names.PONG_TIMEOUT, name="h1")
        client.wire.close()

    def test_that_is_being_sent_to(self, start, serve, cable):
        """With bytes on their way that nobody acknowledges."""
        server = serve(protocol="websocket", talk=quiet)
        sluice = start(config(server, here=cable.here))
        client = come(cable.socket(), sluice, "/chat")
        far = server.wait_sockets()
        cable.cut()
        for _ in range(20):
            far.try_raw(frame(Op.BINARY, b"x" * 1000, mask=None))
        began = time.monotonic()
        assert far.ended()[0] in (1001, 1006)  # it answers our pings meanwhile
        assert freed(lambda: active(sluice) == 0, began) < in_time()
        client.wire.close()

    def test_of_a_relay(self, start, serve, cable):
        server = serve(protocol="websocket", talk=quiet)
        sluice = start(config(server, here=cable.here))
        client = come(cable.socket(), sluice, "/chat")
        far = server.wait_sockets()
        client.text("hello")
        assert far.message() == "hello"
        cable.cut()
        began = time.monotonic()
        assert far.ended()[0] in (1001, 1006)  # it answers our pings meanwhile
        assert time.monotonic() - began < in_time()
        assert freed(lambda: active(sluice) == 0) < in_time()
        wait_until(lambda: sluice.upstream("chat")["busy"] == 0)
        client.wire.close()

    def test_that_is_held_back(self, start, serve, cable):
        """It is not read, because the upstream reads nothing: as long as it takes our pings it is there."""
        sluice = start(config(serve(protocol="websocket", talk=ticking), here=cable.here))
        client = come(cable.socket(), sluice, "/chat")
        threading.Thread(target=client.try_raw, args=(frame(Op.BINARY, b"x" * 65_000) * 1000,), daemon=True).start()
        wait_until(lambda: sluice.listener("h1")["websocket"]["pings"] >= 4, 4 * IN_TIME)
        assert active(sluice) == 1
        cable.cut()
        assert freed(lambda: active(sluice) == 0) < in_time() + TIMEOUT  # it may have taken something just before
        sluice.wait_closed(names.PONG_TIMEOUT, name="h1")
        client.wire.close()


def ticking(socket):
    """Says something now and then, and reads nothing."""
    while socket.try_raw(frame(Op.BINARY, b"x", mask=None)):
        time.sleep(0.1)


class TestUpstream:
    @pytest.mark.parametrize("way", ["h1", "h2"])
    def test_of_a_relay(self, start, cable, way):
        with cable.inside():
            server = RawServer(quiet, address=(cable.there, 0))
        try:
            cable_is_up(server.address)
            sluice = start(config(server))
            client = connect(sluice, "/chat", name=way) if way == "h1" else \
                open_stream(session_of(sluice, way), "/chat")
            far = server.wait_sockets()
            client.text("hello")
            assert far.message() == "hello"
            cable.cut()
            began = time.monotonic()
            client.ends_with(1001)
            assert time.monotonic() - began < in_time()
            wait_until(lambda: sluice.upstream("chat")["busy"] == 0)
            assert time.monotonic() - began < in_time(), "the client was told, but the upstream's connection was kept"
        finally:
            server.stop()

    def test_that_was_not_reached_yet(self, start, cable):
        """The handshake with it ends by its own timeout."""
        with cable.inside():
            server = RawServer(quiet, address=(cable.there, 0))
        try:
            cable_is_up(server.address)
            routes = [configs.ws_relay(relay={"first_byte_timeout": "500ms", "connect_timeout": "500ms"})]
            sluice = start(configs.config(configs.listener(routes=routes),
                                          upstreams=[configs.upstream("chat", server)]))
            cable.cut()
            with sluice.connect() as client:
                client.send(wish("/chat"))
                assert client.response().status in (502, 503, 504)
        finally:
            server.stop()


def cable_is_up(address):
    """A link that has just come up may need a moment."""
    def reached():
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(address) == 0

    wait_until(reached, what=f"{address} is reached")
