"""permessage-deflate (RFC 7692) with the echo: what is agreed to, what is unpacked, and what is refused."""

import asyncio
import os
import zlib

import pytest

from support import configs
from support.settings import SANITIZED
from support.websocket import DEFLATE, FRAGMENTS, WAYS, Deflation, Op, Ways, frame

KIB, MIB = 1024, 1024 * 1024
ROUTES = [configs.ws_echo(), configs.ws_echo("/small", pool={"max_message_size": "10KiB", "max_frame_size": "1KiB"})]
CONFIG = configs.config(*configs.every_front(ROUTES))
EVERY_WAY = pytest.mark.parametrize("way", WAYS)
BOTH = pytest.mark.parametrize("way", ["h1", "h2"])
OFFER = {"sec-websocket-extensions": DEFLATE}
TEXT = "to be, or not to be, that is the question: caf\u00e9 \U0001f600 " * 20


@pytest.fixture
def ways(web):
    return Ways(web)


def parameters(text):
    """Of an answer, which must name permessage-deflate alone."""
    name, *rest = [part.strip() for part in text.split(";")]
    assert name == DEFLATE and "," not in text, text
    found = {}
    for part in rest:
        key, _, value = part.partition("=")
        assert key not in found, text
        found[key] = int(value.strip('"')) if value else True
    assert set(found) <= {"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits",
                          "client_max_window_bits"}, text
    return found


def agreed(socket):
    """What the client has to do then."""
    given = parameters(socket.extensions)
    return Deflation(out_bits=max(9, given.get("client_max_window_bits", 15)),
                     in_bits=given.get("server_max_window_bits", 15),
                     keeps_out="client_no_context_takeover" not in given,
                     keeps_in="server_no_context_takeover" not in given)


def open_deflating(ways, way="h1", offer=DEFLATE, path="/echo"):
    socket = ways.open(way, path, {"sec-websocket-extensions": offer})
    return socket, agreed(socket)


def wire_of(deflation, payload, *, op=Op.BINARY, fragment=None, data=None):
    """A compressed message, in frames of `fragment` bytes."""
    packed = deflation.pack(payload) if data is None else data
    parts = [packed[at:at + fragment] for at in range(0, len(packed), fragment)] if fragment else [packed]
    return b"".join(frame(Op.CONTINUATION if at else op, part, fin=at == len(parts) - 1, rsv=0 if at else 4)
                    for at, part in enumerate(parts))


def read_message(socket, deflation):
    parts = list(socket.frames())
    payload = b"".join(part.payload for part in parts)
    return deflation.unpack(payload) if parts[0].rsv else payload


def echoes(socket, deflation, payload, **more):
    socket.raw(wire_of(deflation, payload, **more))
    return read_message(socket, deflation) == payload


# An offer, and what the answer must hold: None = declined; {key: the most, or True}.
OFFERS = {
    DEFLATE: {},
    f"{DEFLATE}; server_no_context_takeover": {"server_no_context_takeover": True},
    f"{DEFLATE}; client_no_context_takeover": {},
    f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover": {"server_no_context_takeover": True},
    f"{DEFLATE};server_max_window_bits=9": {"server_max_window_bits": 9},
    f"{DEFLATE}; server_max_window_bits=10": {"server_max_window_bits": 10},
    f"{DEFLATE}; server_max_window_bits=\"10\"": {"server_max_window_bits": 10},
    f"{DEFLATE}; server_max_window_bits=15": {"server_max_window_bits": 15},
    f"{DEFLATE}; client_max_window_bits": {},
    f"{DEFLATE}; client_max_window_bits=10": {},
    f"{DEFLATE}; client_max_window_bits=15; server_max_window_bits=12": {"server_max_window_bits": 12},
    f"x-unknown, {DEFLATE}": {},
    f"{DEFLATE}; unknown, {DEFLATE}": {},
    f"{DEFLATE}; server_max_window_bits=8, {DEFLATE}": {},
    f"{DEFLATE}; unknown": None,
    f"{DEFLATE}; server_max_window_bits": None,
    f"{DEFLATE}; server_max_window_bits=7": None,
    f"{DEFLATE}; server_max_window_bits=16": None,
    f"{DEFLATE}; server_max_window_bits=010": None,
    f"{DEFLATE}; server_max_window_bits=x": None,
    f"{DEFLATE}; client_max_window_bits=16": None,
    f"{DEFLATE}; server_no_context_takeover=1": None,
    f"{DEFLATE}; server_no_context_takeover; server_no_context_takeover": None,
    f"{DEFLATE}; server_max_window_bits=10; server_max_window_bits=12": None,
    f"{DEFLATE}2": None,
}


class TestNegotiation:
    @pytest.mark.parametrize("offer", OFFERS)
    @BOTH
    def test_offers(self, ways, way, offer):
        wanted = OFFERS[offer]
        socket = ways.open(way, "/echo", {"sec-websocket-extensions": offer})
        if wanted is None:
            assert socket.extensions is None and socket.echoes()
        else:
            given, deflation = parameters(socket.extensions), agreed(socket)
            for key, value in wanted.items():
                assert given.get(key) is True if value is True else given[key] <= value, (offer, socket.extensions)
            assert "client_max_window_bits" not in given or "client_max_window_bits" in offer
            if "client_max_window_bits=10" in offer:
                assert given.get("client_max_window_bits", 0) <= 10
            for payload in (TEXT.encode(), TEXT.encode(), os.urandom(70_000), b"x" * 100_000):
                assert echoes(socket, deflation, payload)
        socket.shut()

    def test_two_fields(self, ways):
        socket = ways.open("h1", "/echo", [("Sec-WebSocket-Extensions", f"{DEFLATE}; unknown"),
                                           ("Sec-WebSocket-Extensions", DEFLATE)])
        assert parameters(socket.extensions) is not None

    def test_not_offered(self, ways):
        """A compressed frame is one with a reserved bit."""
        socket = ways.open("h1", "/echo")
        socket.raw(wire_of(Deflation(), b"hello"))
        socket.ends_with(1002)


class TestMessages:
    @EVERY_WAY
    def test_sizes(self, ways, way):
        socket, deflation = open_deflating(ways, way)
        for size in (0, 1, 2, 125, 126, 127, 1000, 65535, 65536, 300_000, MIB):
            for payload in (b"x" * size, os.urandom(size)[:MIB - 1000]):
                assert echoes(socket, deflation, payload), size
        assert socket.shut() == (1000, "")

    def test_in_any_pieces(self, ways):
        for size in FRAGMENTS:
            for way in ("h1", "h2"):
                socket, deflation = open_deflating(ways, way)
                for _ in range(3):
                    socket.raw(wire_of(deflation, TEXT.encode(), op=Op.TEXT), size)
                    assert read_message(socket, deflation).decode() == TEXT
                socket.shut()

    @BOTH
    def test_in_fragments(self, ways, way):
        """Of one byte, with pings in between, and empty ones."""
        socket, deflation = open_deflating(ways, way)
        for fragment in (1, 2, 3, 7, 100):
            assert echoes(socket, deflation, TEXT.encode(), fragment=fragment)
        packed = deflation.pack(TEXT.encode())
        socket.raw(frame(Op.TEXT, packed[:5], fin=False, rsv=4) + frame(Op.PING, b"p") +
                   frame(Op.CONTINUATION, b"", fin=False) + frame(Op.CONTINUATION, packed[5:], fin=False) +
                   frame(Op.CONTINUATION, b""))
        assert read_message(socket, deflation).decode() == TEXT and socket.pongs == [b"p"]
        socket.raw(frame(Op.TEXT, b"", fin=False, rsv=4) + frame(Op.CONTINUATION, deflation.pack(b"abc")))
        assert read_message(socket, deflation) == b"abc"
        socket.shut()

    @BOTH
    def test_uncompressed_among_them(self, ways, way):
        socket, deflation = open_deflating(ways, way)
        for _ in range(3):
            assert echoes(socket, deflation, TEXT.encode())
            socket.text("plain")
            assert read_message(socket, deflation) == b"plain"
        socket.shut()

    @pytest.mark.parametrize("first,second", [
        ("f248cdc9c90700", "f200110000"), ("000500faff48656c6c6f00", None), ("f348cdc9c9070000", None),
        ("f2480500 0000ffff cac9c90700", None)], ids=["fixed", "stored", "final", "two-blocks"])
    def test_examples_of_the_rfc(self, ways, first, second):
        """RFC 7692, 7.2.3."""
        socket, deflation = open_deflating(ways)
        for data in (first, second if second and deflation.keeps_out else first, first):
            socket.raw(wire_of(deflation, None, op=Op.TEXT, data=bytes.fromhex(data)))
            assert read_message(socket, deflation) == b"Hello"

    def test_final_blocks_then_others(self, ways):
        socket, deflation = open_deflating(ways)
        for _ in range(3):
            packer = zlib.compressobj(wbits=-9)
            final = packer.compress(TEXT.encode()) + packer.flush(zlib.Z_FINISH) + b"\0"
            socket.raw(wire_of(deflation, None, data=final))
            assert read_message(socket, deflation) == TEXT.encode()
            deflation.deflater = None  # a final block ends what it could refer to
            assert echoes(socket, deflation, b"and another " * 100)

    @pytest.mark.parametrize("level", [0, 1, 9])
    def test_levels(self, ways, level):
        socket, deflation = open_deflating(ways)
        for _ in range(3):
            socket.raw(wire_of(deflation, None, data=deflation.pack(TEXT.encode() * 10, level)))
            assert read_message(socket, deflation) == TEXT.encode() * 10

    def test_what_we_send_is_compressed(self, web, ways):
        socket, deflation = open_deflating(ways)
        before = web.pool("h1")["bytes_out"]
        for _ in range(10):
            assert echoes(socket, deflation, b"0123456789" * 10_000)
        assert web.pool("h1")["bytes_out"] - before < 100_000


class TestWrong:
    @pytest.mark.parametrize("data", ["07", "ffffffffff", "00050000004865", "02010000", "05e0ffffffff"],
                             ids=["block-type", "ones", "stored-length", "distance", "code-lengths"])
    def test_bad_data(self, ways, data):
        for size in FRAGMENTS:
            for way in ("h1", "h2"):
                socket, deflation = open_deflating(ways, way)
                socket.try_raw(wire_of(deflation, None, data=bytes.fromhex(data)), size)
                socket.ends_with(1007)

    def test_bad_text(self, ways):
        """No UTF-8, once it is unpacked; whole, and cut at the end."""
        for payload in (b"x" * 100 + b"\xff", "\u20ac".encode()[:-1], b"\xed\xa0\x80"):
            for size in FRAGMENTS:
                for way in ("h1", "h2"):
                    socket, deflation = open_deflating(ways, way)
                    socket.try_raw(wire_of(deflation, payload, op=Op.TEXT), size)
                    socket.ends_with(1007)

    @pytest.mark.parametrize("wire", [
        frame(Op.TEXT, b"\x00", fin=False, rsv=4) + frame(Op.CONTINUATION, b"\x00", rsv=4), frame(Op.PING, b"", rsv=4),
        frame(Op.TEXT, b"\x00", rsv=6), frame(Op.TEXT, b"\x00", rsv=5), frame(Op.TEXT, b"x", rsv=2)],
        ids=["continuation", "ping", "rsv2", "rsv3", "only-rsv2"])
    def test_bits(self, ways, wire):
        for size in FRAGMENTS:
            socket, _ = open_deflating(ways)
            socket.try_raw(wire, size)
            socket.ends_with(1002)

    @EVERY_WAY
    def test_bombs(self, web, ways, way):
        """64 MiB in 64 KiB: it ends when the message is too large, long before all is unpacked."""
        bomb = Deflation().pack(b"\0" * 64 * MIB, 9)
        assert len(bomb) < 70 * KIB
        rss = web.rss()
        for _ in range(5):
            socket, _ = open_deflating(ways, way)
            socket.try_raw(wire_of(None, None, data=bomb))
            assert socket.ending()[0] == 1009
        if not SANITIZED:
            assert web.rss() - rss < 8 * MIB

    @BOTH
    def test_sizes(self, ways, way):
        """max_message_size counts what is unpacked, max_frame_size what comes."""
        socket, deflation = open_deflating(ways, way, path="/small")
        assert echoes(socket, deflation, b"x" * 10 * KIB)
        socket.try_raw(wire_of(deflation, b"x" * (10 * KIB + 1)))
        socket.ends_with(1009)
        socket, deflation = open_deflating(ways, way, path="/small")
        assert echoes(socket, deflation, os.urandom(3000), fragment=1000)
        socket.try_raw(wire_of(deflation, os.urandom(1500)))
        socket.ends_with(1009)


class TestMemory:
    def test_none_without_context(self, start):
        """Where nothing is kept from message to message, nothing is held between them."""
        sluice = start(configs.config(*configs.every_front(ROUTES)))
        ways, offer = Ways(sluice), f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover"
        opened = [open_deflating(ways, "h1", offer) for _ in range(100)]
        for socket, deflation in opened:
            deflation.keeps_out = False  # a client that says so may keep to it, whatever the answer says
            for _ in range(3):
                assert echoes(socket, deflation, TEXT.encode())
        kept = sum(deflation.keeps_in for _, deflation in opened)
        assert kept == 0
        if all("client_no_context_takeover" in socket.extensions for socket, _ in opened):
            assert sluice.status()["memory"]["used"] < 256 * KIB

    def test_frugal_when_it_is_short(self, start):
        """Near the bound nobody gets a context of his own any more, and everybody is still served."""
        sluice = start(configs.config(*configs.every_front(ROUTES), limits={"max_buffered_memory": "8MiB"}))
        ways = Ways(sluice)
        opened = []
        for _ in range(400):
            opened.append(open_deflating(ways, "h1"))
            assert echoes(*opened[-1], TEXT.encode())
        assert not opened[-1][1].keeps_in
        assert sluice.status()["memory"]["used"] < 8 * MIB
        for socket, deflation in opened:
            assert echoes(socket, deflation, TEXT.encode())


class TestClients:
    @pytest.mark.parametrize("way", ["h1", "h1s"])
    def test_python_websockets(self, web, way):
        websockets = pytest.importorskip("websockets")
        from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

        from support.tls import client_context

        async def talk(**parameters):
            url = web.url(way).replace("http", "ws", 1) + "/echo"
            secure = {"ssl": client_context()} if web.is_secure(way) else {}
            offer = [ClientPerMessageDeflateFactory(**parameters)] if parameters is not None else None
            async with websockets.connect(url, extensions=offer, compression=None, max_size=None, **secure) as socket:
                assert [extension.name for extension in socket.extensions] == [DEFLATE]
                for payload in ("", TEXT, TEXT, b"", os.urandom(70_000), b"x" * MIB):
                    await socket.send(payload)
                    assert await socket.recv() == payload
                await socket.send([TEXT[:10], TEXT[10:50], TEXT[50:]])
                assert await socket.recv() == TEXT
                await (await socket.ping(b"p"))
            assert socket.close_code == 1000

        for parameters in ({}, {"server_no_context_takeover": True}, {"client_no_context_takeover": True},
                           {"server_max_window_bits": 9}, {"client_max_window_bits": True},
                           {"client_max_window_bits": 10, "server_max_window_bits": 10}):
            asyncio.run(talk(**parameters))
