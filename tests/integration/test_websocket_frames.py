"""Every rule of RFC 6455 with raw frames, right and wrong, in pieces of several sizes, on every way to an echo."""

import os

import pytest

from support import configs, names
from support.settings import SANITIZED, scaled
from support.waiting import wait_until
from support.websocket import FRAGMENTS, WAYS, Op, Ways, close_payload, connect, frame, push, vanish, wish

KIB, MIB = 1024, 1024 * 1024
SMALL = {"max_frame_size": "1000B", "max_message_size": "2500B"}
ROUTES = [
    configs.ws_echo(),
    configs.ws_echo("/small", pool=SMALL),
    configs.ws_echo("/messages", pool={"max_messages_per_second": 20}),
    configs.ws_echo("/bytes", pool={"max_bytes_per_second": "20KiB"}),
    configs.ws_echo("/large", pool={"max_frame_size": "0B", "max_message_size": "0B", "max_pending_bytes": "0B"}),
    configs.ws_echo("/little", pool={"max_pending_bytes": "16KiB"}),
    configs.HELLO,
]
CONFIG = configs.config(*configs.every_front(ROUTES),
                        configs.websocket("ws", routes=[configs.ws_echo()]))
EVERY_WAY = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def ways(web):
    return Ways(web)


# A frame or some, and the code that the Close must have.
WRONG = {
    "unmasked-text": (frame(Op.TEXT, b"hello", mask=None), 1002),
    "unmasked-ping": (frame(Op.PING, b"", mask=None), 1002),
    "unmasked-close": (frame(Op.CLOSE, close_payload(1000), mask=None), 1002),
    "unmasked-second": (frame(Op.PING, b"x") + frame(Op.BINARY, b"hello", mask=None), 1002),
    **{f"rsv-{rsv}": (frame(Op.TEXT, b"hello", rsv=rsv), 1002) for rsv in range(1, 8)},
    "rsv-of-continuation": (frame(Op.TEXT, b"a", fin=False) + frame(Op.CONTINUATION, b"b", rsv=4), 1002),
    "rsv-of-ping": (frame(Op.PING, b"", rsv=4), 1002),
    "rsv-of-close": (frame(Op.CLOSE, b"", rsv=2), 1002),
    **{f"opcode-{op}": (frame(op, b"hello"), 1002) for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "opcode-in-a-message": (frame(Op.TEXT, b"a", fin=False) + frame(3, b"b"), 1002),
    "fragmented-ping": (frame(Op.PING, b"a", fin=False) + frame(Op.CONTINUATION, b"b"), 1002),
    "fragmented-pong": (frame(Op.PONG, b"a", fin=False), 1002),
    "fragmented-close": (frame(Op.CLOSE, close_payload(1000), fin=False), 1002),
    "ping-of-126": (frame(Op.PING, b"x" * 126), 1002),
    "pong-of-126": (frame(Op.PONG, b"x" * 126), 1002),
    "close-of-126": (frame(Op.CLOSE, close_payload(1000, "x" * 124)), 1002),
    "ping-of-70000": (frame(Op.PING, b"", size=70000), 1002),
    "ping-with-16-bits": (frame(Op.PING, b"x", width=16), 1002),
    "continuation-first": (frame(Op.CONTINUATION, b"a"), 1002),
    "continuation-first-not-last": (frame(Op.CONTINUATION, b"a", fin=False), 1002),
    "continuation-after-the-last": (frame(Op.TEXT, b"a", fin=False) + frame(Op.CONTINUATION, b"b") +
                                    frame(Op.CONTINUATION, b"c"), 1002),
    "message-in-a-message": (frame(Op.TEXT, b"a", fin=False) + frame(Op.TEXT, b"b"), 1002),
    "binary-in-a-text": (frame(Op.TEXT, b"a", fin=False) + frame(Op.BINARY, b"b", fin=False), 1002),
    "length-with-the-top-bit": (frame(Op.BINARY, b"", size=1 << 63, width=64), 1002),
    "length-of-all-bits": (frame(Op.BINARY, b"", size=(1 << 64) - 1, width=64), 1002),
    "16-bits-for-5": (frame(Op.TEXT, b"hello", width=16), 1002),
    "16-bits-for-125": (frame(Op.TEXT, b"x" * 125, width=16), 1002),
    "16-bits-for-0": (frame(Op.TEXT, b"", width=16), 1002),
    "64-bits-for-5": (frame(Op.TEXT, b"hello", width=64), 1002),
    "64-bits-for-126": (frame(Op.BINARY, b"x" * 126, width=64), 1002),
    "64-bits-for-65535": (frame(Op.BINARY, b"", size=65535, width=64), 1002),
    "close-of-one-byte": (frame(Op.CLOSE, b"\x03"), 1002),
    **{f"close-{code}": (frame(Op.CLOSE, close_payload(code)), 1002)
       for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535)},
    "close-reason-no-utf8": (frame(Op.CLOSE, close_payload(1000, b"\xc3\x28")), 1007),
    "close-reason-cut": (frame(Op.CLOSE, close_payload(1000, "x\u20ac".encode()[:-1])), 1007),
    "close-in-a-message-wrong": (frame(Op.TEXT, b"a", fin=False) + frame(Op.CLOSE, close_payload(1005)), 1002),
    "text-latin-1": (frame(Op.TEXT, "caf\u00e9".encode("latin-1")), 1007),
    "text-overlong": (frame(Op.TEXT, b"\xc0\xaf"), 1007),
    "text-overlong-3": (frame(Op.TEXT, b"\xe0\x80\xaf"), 1007),
    "text-overlong-4": (frame(Op.TEXT, b"\xf0\x80\x80\xaf"), 1007),
    "text-surrogate": (frame(Op.TEXT, b"ok \xed\xa0\x80"), 1007),
    "text-above-10ffff": (frame(Op.TEXT, b"\xf4\x90\x80\x80"), 1007),
    "text-f5": (frame(Op.TEXT, b"\xf5\x80\x80\x80"), 1007),
    "text-fe": (frame(Op.TEXT, b"\xfe"), 1007),
    "text-lone-continuation": (frame(Op.TEXT, b"x\x80"), 1007),
    "text-cut": (frame(Op.TEXT, "x\u20ac".encode()[:-1]), 1007),
    "text-cut-at-the-last-fragment": (frame(Op.TEXT, b"a\xe2", fin=False) + frame(Op.CONTINUATION, b"\x82"), 1007),
    "text-wrong-over-fragments": (frame(Op.TEXT, b"a\xe2", fin=False) + frame(Op.CONTINUATION, b"\x28"), 1007),
    "text-cut-then-empty": (frame(Op.TEXT, b"a\xe2\x82", fin=False) + frame(Op.CONTINUATION, b""), 1007),
    "text-wrong-late": (frame(Op.TEXT, b"x" * 999 + b"\xff"), 1007),
}
TOO_LARGE = {
    "frame": frame(Op.BINARY, b"", size=1001),
    "frame-of-16-bits": frame(Op.BINARY, b"", size=65535),
    "frame-of-64-bits": frame(Op.BINARY, b"", size=(1 << 63) - 1),
    "frame-in-a-message": frame(Op.TEXT, b"a", fin=False) + frame(Op.CONTINUATION, b"", size=1001),
    "message": frame(Op.BINARY, b"x" * 1000, fin=False) + frame(Op.CONTINUATION, b"x" * 1000, fin=False) +
    frame(Op.CONTINUATION, b"", size=501),
    "message-of-many": frame(Op.BINARY, b"x" * 100, fin=False) + frame(Op.CONTINUATION, b"x" * 100, fin=False) * 24 +
    frame(Op.CONTINUATION, b"x"),
}


def check_refused(ways, way, wire, code, path="/echo", size=None):
    socket = ways.open(way, path)
    socket.try_raw(wire, size)
    try:
        socket.ends_with(code)
    except AssertionError as problem:
        raise AssertionError(f"in pieces of {size}: {problem}") from problem


class TestWrong:
    @pytest.mark.parametrize("case", WRONG)
    def test_in_any_pieces(self, web, ways, case):
        wire, code = WRONG[case]
        reasons, told = names.BY_CLOSE_CODE[code], lambda: web.listener("h1")["websocket"]["closed"].get(str(code), 0)
        before = web.closed(reasons, "h1"), told()
        for size in FRAGMENTS:
            check_refused(ways, "h1", wire, code, size=size)
            check_refused(ways, "h2", wire, code, size=size)
        wait_until(lambda: web.closed(reasons, "h1") == before[0] + len(FRAGMENTS),
                   what=f"closed with {reasons}: {web.pool('h1')['closed']}")
        assert told() == before[1] + len(FRAGMENTS)

    @pytest.mark.parametrize("case", TOO_LARGE)
    def test_too_large(self, web, ways, case):
        """Told by the head, before the payload has come."""
        for size in FRAGMENTS:
            for way in ("h1", "h2"):
                check_refused(ways, way, TOO_LARGE[case], 1009, "/small", size)

    @pytest.mark.parametrize("way", ["h1s", "h2s"])
    def test_with_tls(self, ways, way):
        for case in ("unmasked-text", "opcode-3", "text-latin-1", "close-1005", "16-bits-for-5"):
            for size in (1, None):
                check_refused(ways, way, *WRONG[case], size=size)

    def test_nothing_behind_it_counts(self, ways):
        """What stands behind the wrong frame is not answered."""
        for way in ("h1", "h2"):
            socket = ways.open(way, "/echo")
            socket.raw(frame(Op.TEXT, b"good") + frame(3, b"bad") + frame(Op.TEXT, b"late") + frame(Op.PING, b"late"))
            assert socket.message() == "good"
            socket.ends_with(1002)
            assert not socket.pongs

    def test_pieces_of_a_message_before_it(self, ways):
        """A wrong fragment in the middle of what is echoed as it comes."""
        for way in ("h1", "h2"):
            socket = ways.open(way, "/echo")
            socket.raw(frame(Op.TEXT, b"good", fin=False) + frame(Op.CONTINUATION, b"\xff"))
            assert socket.ending()[0] == 1007

    def test_other_streams_of_the_session_live(self, ways):
        good = ways.open("h2", "/echo")
        for case in ("unmasked-text", "text-latin-1"):
            check_refused(ways, "h2", *WRONG[case])
        assert good.echoes()
        good.shut()


SIZES = [0, 1, 2, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537, 100_000, MIB]


class TestRight:
    @EVERY_WAY
    def test_lengths(self, ways, way):
        socket = ways.open(way, "/echo")
        for size in SIZES:
            payload = os.urandom(size)
            socket.binary(payload)
            assert socket.message() == payload, size
        assert socket.shut() == (1000, "")

    def test_lengths_in_any_pieces(self, ways):
        for size in (1, 2, 3, 7):
            for way in ("h1", "h2"):
                socket = ways.open(way, "/echo")
                for length in (0, 1, 125, 126, 127, 300):
                    payload = os.urandom(length)
                    socket.raw(frame(Op.BINARY, payload), size)
                    assert socket.message() == payload
                socket.shut()

    @EVERY_WAY
    def test_masks(self, ways, way):
        socket = ways.open(way, "/echo")
        for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0", *(os.urandom(4) for _ in range(20))):
            payload = os.urandom(1001)
            socket.binary(payload, mask=mask)
            assert socket.message() == payload
        socket.shut()

    @EVERY_WAY
    def test_fragments(self, ways, way):
        """Empty ones too, at every place."""
        socket = ways.open(way, "/echo")
        for parts in ([b"a", b"b"], [b"", b"a", b"", b""], [b"", b""], [b"x" * 70_000] * 3, [b"x"] * 200):
            socket.raw(b"".join(frame(Op.CONTINUATION if at else Op.BINARY, part, fin=at == len(parts) - 1)
                                for at, part in enumerate(parts)))
            assert socket.message() == b"".join(parts)
        socket.shut()

    @EVERY_WAY
    def test_texts(self, ways, way):
        text = "caf\u00e9 \u4f60\u597d \U0001f600 \u0000 \ud7ff\ue000\uffff \U0010ffff"
        socket = ways.open(way, "/echo")
        assert socket.echoes(text) and socket.echoes("")
        data = text.encode()
        for at in range(len(data) + 1):
            socket.raw(frame(Op.TEXT, data[:at], fin=False) + frame(Op.CONTINUATION, data[at:]))
            assert socket.message() == text
        socket.raw(frame(Op.TEXT, data[:1], fin=False) + b"".join(
            frame(Op.CONTINUATION, data[at:at + 1], fin=at == len(data) - 1) for at in range(1, len(data))))
        assert socket.message() == text
        socket.shut()

    def test_texts_in_any_pieces(self, ways):
        text = "caf\u00e9 \u4f60\u597d \U0001f600"
        for size in FRAGMENTS:
            for way in ("h1", "h2"):
                socket = ways.open(way, "/echo")
                socket.raw(frame(Op.TEXT, text.encode()) * 3, size)
                assert [socket.message() for _ in range(3)] == [text] * 3
                socket.shut()

    def test_any_bytes_in_binary(self, ways):
        for way in ("h1", "h2"):
            socket = ways.open(way, "/echo")
            assert socket.echoes(bytes(range(256))) and socket.echoes(b"\xc0\xaf\xed\xa0\x80\xff")
            socket.shut()

    @EVERY_WAY
    def test_pings(self, ways, way):
        socket = ways.open(way, "/echo")
        for payload in (b"", b"x", b"\0\xff" * 62 + b"!", b"\xc0\xaf"):
            socket.ping(payload)
            socket.expect_pong(payload)
        socket.shut()

    @EVERY_WAY
    def test_pings_inside_a_message(self, ways, way):
        for size in FRAGMENTS:
            socket = ways.open(way, "/echo")
            socket.raw(frame(Op.TEXT, b"one ", fin=False) + frame(Op.PING, b"first") +
                       frame(Op.CONTINUATION, b"two ", fin=False) + frame(Op.PONG, b"nobody asked") +
                       frame(Op.PING, b"second") + frame(Op.CONTINUATION, b"three"), size)
            assert socket.message() == "one two three"
            socket.until(lambda: socket.pongs == [b"first", b"second"])
            socket.shut()

    def test_pings_while_a_message_is_on_its_way(self, ways):
        """They need not wait for the rest of it."""
        for way in ("h1", "h2"):
            socket = ways.open(way, "/echo")
            socket.send(Op.TEXT, b"begun", fin=False)
            socket.ping(b"now")
            while b"now" not in socket.pongs:
                socket.read_one()
            socket.send(Op.CONTINUATION, b"")
            socket.skip_message()
            socket.shut()

    @EVERY_WAY
    def test_many_in_one_piece(self, ways, way):
        socket = ways.open(way, "/echo")
        texts = [f"message {number}" for number in range(500)]
        socket.raw(b"".join(frame(Op.TEXT, text.encode()) for text in texts))
        assert [socket.message() for _ in texts] == texts
        socket.shut()

    @EVERY_WAY
    def test_large(self, ways, way):
        """Some MiB in one frame, and in frames of 1 MiB, sent while the echo is read."""
        count = scaled(4, 16)
        payload = os.urandom(MIB) * count
        many = b"".join(frame(Op.CONTINUATION if at else Op.BINARY, payload[at << 20:at + 1 << 20], fin=at == count - 1)
                        for at in range(count))
        for wire in (frame(Op.BINARY, payload), many):
            socket = ways.open(way, "/large")
            push(socket.wire, wire)
            assert socket.message() == payload
            socket.shut()

    def test_sizes_at_their_limits(self, ways):
        for way in ("h1", "h2"):
            socket = ways.open(way, "/small")
            assert socket.echoes(b"x" * 1000)
            socket.raw(frame(Op.BINARY, b"x" * 1000, fin=False) + frame(Op.CONTINUATION, b"x" * 1000, fin=False) +
                       frame(Op.PING, b"does not count") + frame(Op.CONTINUATION, b"x" * 500))
            assert len(socket.message()) == 2500
            assert socket.echoes(b"x" * 1000)
            socket.shut()

    def test_on_a_websocket_listener(self, web):
        for size in FRAGMENTS:
            socket = connect(web, "/echo", name="ws")
            socket.raw(frame(Op.TEXT, b"hello"), size)
            assert socket.message() == "hello"
            socket.raw(frame(3), size)
            socket.ends_with(1002)


CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]


class TestClosing:
    @EVERY_WAY
    def test_codes(self, ways, way):
        """Each that may be sent is said back."""
        for code in CODES:
            socket = ways.open(way, "/echo")
            assert socket.shut(code, "because")[0] == code

    def test_in_any_pieces(self, ways):
        for size in FRAGMENTS:
            for way in ("h1", "h2"):
                socket = ways.open(way, "/echo")
                socket.raw(frame(Op.CLOSE, close_payload(4001, "x" * 123)), size)
                assert socket.until_close()[0] == 4001
                assert socket.wire.ending() == "fin"

    @EVERY_WAY
    def test_without_a_code(self, ways, way):
        socket = ways.open(way, "/echo")
        socket.close()
        assert socket.until_close() in ((None, ""), (1000, ""))
        assert socket.wire.ending() == "fin"

    def test_of_zero_bytes_masked(self, ways):
        socket = ways.open("h1", "/echo")
        socket.raw(frame(Op.CLOSE, b"", mask=b"\0\0\0\0"))
        assert socket.until_close()[0] in (None, 1000)

    def test_in_a_message(self, ways):
        for way in ("h1", "h2"):
            socket = ways.open(way, "/echo")
            socket.raw(frame(Op.TEXT, b"not done", fin=False) + frame(Op.CLOSE, close_payload(1000)))
            assert socket.until_close()[0] == 1000 and socket.wire.ending() == "fin"

    def test_behind_messages(self, ways):
        """All that was sent before is answered before."""
        for way in ("h1", "h2"):
            socket = ways.open(way, "/echo")
            socket.raw(frame(Op.TEXT, b"x" * 1000) * 50 + frame(Op.CLOSE, close_payload(1000)))
            assert [len(socket.message()) for _ in range(50)] == [1000] * 50
            assert socket.until_close()[0] == 1000 and socket.wire.ending() == "fin"

    def test_what_comes_behind_it_is_nothing(self, ways):
        for way in ("h1", "h2"):
            socket = ways.open(way, "/echo")
            socket.raw(frame(Op.CLOSE, close_payload(1000)) + frame(Op.TEXT, b"late") + frame(Op.PING, b"late") +
                       frame(3, b"wrong"))
            assert socket.until_close()[0] == 1000 and not socket.pongs
            assert socket.wire.ending() in ("fin", "reset")

    def test_a_client_that_ends_without(self, web, ways):
        """A FIN, or END_STREAM, is an end as well."""
        for way in ("h1", "h2"):
            socket = ways.open(way, "/echo")
            assert socket.echoes()
            socket.wire.finish()
            socket.wire.ending()
            wait_until(lambda: web.listener(way)["websocket"]["active"] == 0)
            assert web.listener(way)["websocket"]["closed"]["1006"] >= 1

    def test_a_client_that_vanishes(self, web, ways):
        socket = ways.open("h1", "/echo")
        assert socket.echoes()
        vanish(socket.wire)
        stream = ways.open("h2", "/echo")
        assert stream.echoes()
        stream.wire.cancel()
        for way in ("h1", "h2"):
            wait_until(lambda: web.listener(way)["websocket"]["active"] == 0)
        assert ways.session("h2").lives()


class TestRates:
    @pytest.mark.parametrize("way", ["h1", "h2"])
    def test_messages(self, web, ways, way):
        socket = ways.open(way, "/messages")
        for _ in range(10):
            assert socket.echoes()
        socket.try_raw(frame(Op.TEXT, b"x") * 100)
        socket.ends_with(1008)
        assert web.listener(way)["websocket"]["closed"]["1008"] >= 1

    @pytest.mark.parametrize("way", ["h1", "h2"])
    def test_pings_are_counted(self, ways, way):
        socket = ways.open(way, "/messages")
        socket.try_raw(frame(Op.PING, b"x") * 100)
        socket.ends_with(1008)

    @pytest.mark.parametrize("way", ["h1", "h2"])
    def test_bytes(self, ways, way):
        socket = ways.open(way, "/bytes")
        assert socket.echoes(b"x" * 10 * KIB)
        socket.try_raw(frame(Op.BINARY, b"x" * 90 * KIB))
        socket.ends_with(1008)

    def test_none_by_default(self, ways):
        socket = ways.open("h1", "/echo")
        socket.raw(frame(Op.TEXT, b"x") * 5000)
        assert [socket.message() for _ in range(5000)] == ["x"] * 5000


class TestNobodyReads:
    """A client that sends and does not read what it gets for it."""

    @pytest.mark.parametrize("wire", [frame(Op.BINARY, os.urandom(10_000)), frame(Op.PING, b"x" * 125)],
                             ids=["messages", "pings"])
    @pytest.mark.parametrize("path", ["/echo", "/little"])
    def test_it_is_stopped_or_ended(self, web, wire, path):
        """Either it is read no more, or too much waits for it (1013); never is it all kept."""
        before, socket = web.rss(), connect(web, path, name="h1", receive_buffer=16384)
        many, sent, stopped = wire * (MIB // len(wire)), 0, False
        socket.wire.sock.settimeout(1)
        try:
            while sent < 64:
                socket.wire.sock.sendall(many)
                sent += 1
        except TimeoutError:
            stopped = True
        except OSError:
            pass
        assert sent < 64
        if not SANITIZED:
            assert SANITIZED or web.rss() - before < 8 * MIB
        if not stopped:
            web.wait_closed(names.BY_CLOSE_CODE[1013], name="h1")
        assert web.listener("h1")["websocket"]["active"] <= stopped


def test_messages_and_bytes_are_counted(web, ways):
    def figures(way):
        found = web.listener(way)["websocket"]
        return [found[key] for key in ("messages_in", "messages_out", "bytes_in", "bytes_out")]

    for way in ("h1", "h2"):
        before = figures(way)
        socket = ways.open(way, "/echo")
        socket.raw(frame(Op.TEXT, b"abc", fin=False) + frame(Op.CONTINUATION, b"def") + frame(Op.BINARY, b"x" * 100) +
                   frame(Op.PING, b"no message"))
        assert socket.message() == "abcdef" and socket.message() == b"x" * 100
        socket.shut()
        wait_until(lambda: [now - then for now, then in zip(figures(way), before)] == [2, 2, 106, 106],
                   what=f"{figures(way)} after {before}")


def test_close_codes_are_counted(web, ways):
    before = dict(web.listener("h1")["websocket"]["closed"])
    for code in (1000, 1001, 4001):
        ways.open("h1", "/echo").shut(code)
    now = web.listener("h1")["websocket"]["closed"]
    for key in ("1000", "1001", "other"):
        wait_until(lambda: web.listener("h1")["websocket"]["closed"].get(key, 0) == before.get(key, 0) + 1,
                   what=f"{now} after {before}")


def test_length_is_not_believed(web):
    """A head that tells of much payload costs no memory."""
    before, come, head = web.rss(), web.pool("h1")["bytes_in"], frame(Op.BINARY, b"x", size=1 << 40)
    sockets = [connect(web, "/large", name="h1") for _ in range(50)]
    for socket in sockets:
        socket.raw(head)
    wait_until(lambda: web.pool("h1")["bytes_in"] - come >= 50 * len(wish("/large") + head))
    assert SANITIZED or web.rss() - before < 8 * MIB
