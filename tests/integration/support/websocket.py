"""A raw WebSocket: sends whatever frames it is told to, also wrong ones, in pieces of any size, and reads strictly.

It runs over anything that has send() and exactly(): a client's socket, in the clear or with TLS, a stream of HTTP/2
(RFC 8441), and a server's side of a connection.
"""

import base64
import contextlib
import enum
import hashlib
import select
import socket
import ssl
import struct
import zlib
from dataclasses import dataclass

from . import h2client
from .http import Closed, request
from .tls import client_context

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"
ENABLE_CONNECT_PROTOCOL = 8
FRAGMENTS = [1, 2, 3, 7, None]  # the sizes in which every rule is tried; None: all at once
DEFLATE = "permessage-deflate"
WIDE = 1 << 30  # a window for more than any test reads


class Op(enum.IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass
class Frame:
    fin: bool
    rsv: int
    op: Op
    payload: bytes

    @property
    def is_control(self):
        return self.op >= 8


class ClosedBy(Exception):
    """The peer's Close came where a message was expected."""

    def __init__(self, code, reason):
        super().__init__(f"closed with {code} {reason!r}")
        self.code, self.reason = code, reason


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def masked(payload, key):
    """Also its own inverse."""
    if not payload:
        return b""
    pad = (key * (len(payload) // 4 + 1))[:len(payload)]
    size = len(payload)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def frame(op, payload=b"", *, fin=True, rsv=0, mask=MASK, size=None, width=None):
    """A frame, right or wrong. `mask`: None = unmasked; `size`: told instead of the real one; `width`: of the length's
    encoding in bits (7, 16 or 64) instead of the shortest."""
    size = len(payload) if size is None else size
    width = width or (7 if size < 126 else 16 if size < 65536 else 64)
    head = bytes([fin << 7 | rsv << 4 | op, (mask is not None) << 7 | {7: size, 16: 126, 64: 127}[width]])
    head += {7: b"", 16: struct.pack("!H", size & 0xffff), 64: struct.pack("!Q", size)}[width]
    return head + payload if mask is None else head + mask + masked(payload, mask)


def close_payload(code=None, reason=""):
    if code is None:
        return b""
    return struct.pack("!H", code) + (reason if isinstance(reason, bytes) else reason.encode())


def pieces(data, size):
    """The bytes in pieces of `size`; None: as one."""
    return [data] if size is None else [data[at:at + size] for at in range(0, len(data), size)]


class WebSocket:
    """One side of a WebSocket that is open. Whatever the peer sends must keep the rules of RFC 6455."""

    def __init__(self, wire, response=None, *, is_client=True):
        self.wire, self.response, self.is_client = wire, response, is_client
        self.pings, self.pongs = [], []
        self.answers_pings = True
        self.in_message = False
        self.told = None  # the peer's Close: (code, reason)
        self.peer_masks = set()
        extensions = response.get("sec-websocket-extensions") if response else None
        self.compressed = bool(extensions and DEFLATE in extensions)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    @property
    def subprotocol(self):
        return self.response.get("sec-websocket-protocol")

    @property
    def extensions(self):
        return self.response.get("sec-websocket-extensions")

    # Sending

    def raw(self, data, size=None):
        for piece in pieces(data, size):
            self.wire.send(piece)
        return self

    def try_raw(self, data, size=None):
        """For what outlives its welcome: False when the peer has hung up."""
        return all(self.wire.try_send(piece) for piece in pieces(data, size))

    def frame(self, op, payload=b"", **more):
        """As frame(), masked as this side must, unless told otherwise."""
        return frame(op, payload, **{"mask": MASK if self.is_client else None, **more})

    def send(self, op, payload=b"", **more):
        return self.raw(self.frame(op, payload, **more))

    def text(self, text, **more):
        return self.send(Op.TEXT, text if isinstance(text, bytes) else text.encode(), **more)

    def binary(self, payload, **more):
        return self.send(Op.BINARY, payload, **more)

    def ping(self, payload=b""):
        return self.send(Op.PING, payload)

    def pong(self, payload=b""):
        return self.send(Op.PONG, payload)

    def close(self, code=None, reason=""):
        """The first half of the closing handshake."""
        return self.send(Op.CLOSE, close_payload(code, reason))

    # Receiving

    def read_frame(self):
        """The next one, of which everything is checked that holds for each frame."""
        first, second = self.wire.exactly(2)
        fin, rsv, op = bool(first & 0x80), first >> 4 & 7, Op(first & 0xf)
        has_mask, size = bool(second & 0x80), second & 0x7f
        assert has_mask != self.is_client, f"{op!r}: {'masked' if has_mask else 'unmasked'}"
        if size == 126:
            size, = struct.unpack("!H", self.wire.exactly(2))
            assert size >= 126, f"a length of {size} in 16 bits"
        elif size == 127:
            size, = struct.unpack("!Q", self.wire.exactly(8))
            assert 65536 <= size < 1 << 63, f"a length of {size} in 64 bits"
        key = self.wire.exactly(4) if has_mask else None
        self.peer_masks.add(key)
        payload = self.wire.exactly(size)
        found = Frame(fin, rsv, op, masked(payload, key) if key else payload)
        self.check_frame(found)
        return found

    def check_frame(self, found):
        if found.is_control:
            assert found.fin and len(found.payload) <= 125 and found.rsv == 0, found
            return
        assert self.told is None, f"{found.op!r} after Close"
        assert (found.op == Op.CONTINUATION) == self.in_message, f"{found.op!r}, in a message: {self.in_message}"
        assert found.rsv in ((0, 4) if self.compressed and not self.in_message else (0,)), found.rsv
        self.in_message = not found.fin

    def control(self, found):
        """What a peer does with a control frame."""
        if found.op == Op.PING:
            self.pings.append(found.payload)
            if self.answers_pings:
                self.try_raw(self.frame(Op.PONG, found.payload))
        elif found.op == Op.PONG:
            self.pongs.append(found.payload)
        else:
            assert self.told is None, "a second Close"
            assert len(found.payload) != 1
            code = struct.unpack("!H", found.payload[:2])[0] if found.payload else None
            self.told = (code, found.payload[2:].decode())

    def read_one(self):
        """The next frame, with what control frames want done. ClosedBy for a Close, which is not answered."""
        found = self.read_frame()
        if found.is_control:
            self.control(found)
        if found.op == Op.CLOSE:
            raise ClosedBy(*self.told)
        return found

    def frames(self):
        """The frames of the next message."""
        while True:
            found = self.read_one()
            if not found.is_control:
                yield found
                if found.fin:
                    return

    def skip_message(self):
        """The rest of the one that has begun."""
        while self.in_message:
            self.read_one()

    def message(self):
        """The next one, whole: (str or bytes). Compressed ones stay as they are: see Deflation."""
        parts = list(self.frames())
        payload = b"".join(part.payload for part in parts)
        return payload.decode() if parts[0].op == Op.TEXT and not parts[0].rsv else payload

    def until(self, condition):
        """Reads control frames (of data none must come)."""
        while not condition():
            found = self.read_one()
            assert found.is_control, found
        return self

    def expect_pong(self, payload=b""):
        self.until(lambda: payload in self.pongs)
        self.pongs.remove(payload)

    def echoes(self, payload="are you there?"):
        """Whether an echo endpoint answers."""
        self.text(payload) if isinstance(payload, str) else self.binary(payload)
        return self.message() == payload

    # The end

    def until_close(self):
        """All that comes before the peer's Close, and what it says. Its answer is not sent."""
        try:
            while True:
                self.read_one()
        except ClosedBy as told:
            return told.code, told.reason

    def ending(self, timeout=5.0):
        """Reads the peer's Close, answers it, and waits for the end of the connection: (code, reason)."""
        told = self.until_close()
        self.try_raw(self.frame(Op.CLOSE, close_payload(*told)))
        self.expect_end(timeout)
        return told

    def expect_end(self, timeout=5.0):
        """Of the connection, after the closing handshake: that is the server's part (RFC 6455, 7.1.1)."""
        if self.is_client:
            how = self.wire.ending(timeout)
            assert how == "fin", how
        self.wire.close()

    def ends_with(self, code):
        told = self.ending()
        assert told[0] == code, told

    def ended(self, timeout=5.0):
        """With a Close or without: its (code, reason), or (1006, how the connection ended)."""
        try:
            told = self.until_close()
        except (Closed, OSError) as end:
            told = 1006, str(end)
        else:
            self.try_raw(self.frame(Op.CLOSE, close_payload(*told)))
            if self.is_client:
                self.wire.ending(timeout)
        self.wire.close()
        return told

    def shut(self, code=1000, reason=""):
        """The whole closing handshake, begun here: what the peer answers."""
        self.close(code, reason)
        told = self.until_close()
        self.expect_end()
        return told


def wish(path="/", headers=(), *, key=KEY, version="13", host="localhost", method="GET", http="1.1",
         connection="Upgrade", upgrade="websocket"):
    """The bytes of a handshake. Each of its own fields may be another, a list, or None = left out."""
    own = {"Connection": connection, "Upgrade": upgrade, "Sec-WebSocket-Version": version, "Sec-WebSocket-Key": key}
    pairs = []
    for name, value in own.items():
        pairs += [(name, one) for one in (value if isinstance(value, list) else [value]) if one is not None]
    pairs += list(headers.items() if isinstance(headers, dict) else headers)
    return request(method, path, host=host, headers=pairs, version=http)


def check_acceptance(response, key=KEY):
    assert response.status == 101, (response.status, response.headers, response.body)
    assert response.get("sec-websocket-accept") == accept_of(key)
    assert response.get("upgrade").lower() == "websocket" and response.has_token("connection", "upgrade")
    assert response.get("content-length") is None and response.get("transfer-encoding") is None


def upgrade(client, path="/", headers=(), *, then=b"", size=None, key=KEY, **more):
    """The handshake on a connection, with bytes right behind it; in pieces of `size`."""
    for piece in pieces(wish(path, headers, key=key, **more) + then, size):
        client.send(piece)
    response = client.response()
    check_acceptance(response, key)
    return WebSocket(client, response)


def connect(sluice, path="/", headers=(), *, name="web", tls=None, source=None, receive_buffer=None, address=None,
            **more):
    """A WebSocket over HTTP/1.1, be the listener of TLS or not."""
    if tls is None and sluice.is_secure(name):
        tls = client_context(alpn=["http/1.1"])
    client = sluice.connect(name, tls=tls, source=source, receive_buffer=receive_buffer, address=address)
    return upgrade(client, path, headers, **more)


# HTTP/2

class StreamWire:
    """The DATA of one stream of HTTP/2, like a socket."""

    def __init__(self, session, stream):
        self.session, self.stream = session, stream
        self.taken = 0

    def send(self, data):
        assert self.stream.reset is None, f"reset with {self.stream.reset}"
        self.session.send_data(self.stream, data)
        return self

    def try_send(self, data):
        if self.stream.done:
            return False
        try:
            self.session.send_data(self.stream, data)
            return self.stream.reset is None
        except (BrokenPipeError, ConnectionResetError, Closed):
            return False

    def exactly(self, size):
        body = self.stream.body
        while len(body) < size:
            if self.stream.done:
                raise Closed(bytes(body), reset=self.stream.reset is not None)
            self.session.handle(self.session.read_frame())
        found = bytes(body[:size])
        del body[:size]
        return found

    def finish(self):
        self.session.data_frame(self.stream, b"", end=True)

    def cancel(self):
        self.session.cancel(self.stream)

    def ending(self, timeout=5.0):
        self.session.until(lambda: self.stream.done)
        assert not self.stream.body, bytes(self.stream.body)
        return "fin" if self.stream.ended else "reset"

    def close(self):
        """No bytes, no flags: a stream that is over needs none."""
        if not self.stream.done:
            with contextlib.suppress(OSError, Closed):
                self.cancel()

    def is_open(self):
        return not self.stream.done


class StreamResponse:
    """A stream's head, asked like that of HTTP/1."""

    def __init__(self, stream):
        self.stream, self.status = stream, stream.status

    def get(self, name, default=None):
        values = [value for key, value in self.stream.headers if key == name]
        return ", ".join(values) if values else default


def session_of(sluice, name="web", *, window=None, **more):
    """An HTTP/2 session whose SETTINGS have come. Its window is wide from the beginning, as one that is opened again
    for each small frame may be taken for a flood; or it is `window`, and opened as things come."""
    session = h2client.connect(sluice, name, window=window or WIDE, **more)
    session.wide = session.held = not window
    return session.until(lambda: session.settings is not None)


def connect_fields(session, path="/", headers=(), *, protocol="websocket", version="13", **more):
    own = [("sec-websocket-version", version)] if version else []
    return [*session.fields("CONNECT", path, [], **more), *([(":protocol", protocol)] if protocol else []), *own,
            *(headers.items() if isinstance(headers, dict) else headers)]


def ask_stream(session, path="/", headers=(), *, end=False, **more):
    """An extended CONNECT and its answer's head."""
    stream = session.open(connect_fields(session, path, headers, **more), end=end)
    session.until(lambda: stream.headers is not None or stream.done)
    return stream


def open_stream(session, path="/", headers=(), *, held=False, **more):
    """A WebSocket over HTTP/2 (RFC 8441)."""
    assert (session.settings or {}).get(ENABLE_CONNECT_PROTOCOL) == 1, session.settings
    stream = ask_stream(session, path, headers, **more)
    stream.held = held or session.wide
    assert stream.status == 200 and not stream.ended, (stream.headers, stream.reset)
    response = StreamResponse(stream)
    for name in ("sec-websocket-accept", "connection", "upgrade", "content-length"):
        assert response.get(name) is None, stream.headers
    return WebSocket(StreamWire(session, stream), response)


WAYS = ["h1", "h1s", "h2", "h2s"]  # listeners of configs.every_front()


class Ways:
    """The ways by which a client comes to the same routes; a session of HTTP/2 is shared, as browsers do."""

    def __init__(self, sluice):
        self.sluice, self.sessions = sluice, {}

    def open(self, way, path="/", headers=(), **more):
        if way not in ("h2", "h2s"):
            return connect(self.sluice, path, headers, name=way, **more)
        return open_stream(self.session(way), path, headers, **more)

    def session(self, way, **more):
        session = self.sessions.get(way)
        if session is None or session.goaways or session.next_number > 1000:
            self.sessions[way] = session = session_of(self.sluice, way, **more)
        return session


# Compression

class Deflation:
    """Both directions of permessage-deflate, as a client does it. `keeps`: context, from message to message."""

    def __init__(self, *, out_bits=15, in_bits=15, keeps_out=True, keeps_in=True):
        self.out_bits, self.in_bits, self.keeps_out, self.keeps_in = out_bits, in_bits, keeps_out, keeps_in
        self.deflater = self.inflater = None

    def pack(self, data, level=6):
        if not (self.keeps_out and self.deflater):
            self.deflater = zlib.compressobj(level, wbits=-self.out_bits)
        packed = self.deflater.compress(data) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        assert packed.endswith(b"\0\0\xff\xff")
        return packed[:-4]

    def unpack(self, data):
        if not (self.keeps_in and self.inflater):
            self.inflater = zlib.decompressobj(wbits=-self.in_bits)
        return self.inflater.decompress(data + b"\0\0\xff\xff")


def push(wire, data):
    """Sends all of it from one thread, taking in meanwhile what comes. Over TLS there is no other way: Python's sockets
    must not be read and written at the same time."""
    if isinstance(wire, StreamWire):
        return wire.send(data)
    come, data, timeout = [wire.buffer], memoryview(data), wire.sock.gettimeout()
    wire.sock.setblocking(False)
    try:
        while data:
            select.select([wire.sock], [wire.sock], [], timeout)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                come.append(wire.sock.recv(1 << 18))
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                data = data[wire.sock.send(data[:1 << 18]):]
    finally:
        wire.sock.settimeout(timeout)
        wire.buffer = b"".join(come)
    return wire


def vanish(wire):
    """A RST without a word."""
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()
