"""A raw HTTP/2 client: sends whatever frames it is told to, also wrong ones, and keeps the books of what comes."""

import enum
from dataclasses import dataclass, field

import hpack
from hyperframe import frame as frames

from .http import Closed
from .settings import patient
from .tls import client_context

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LAST_OF_ALL = 2**31 - 1
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = \
    range(1, 7)


class Code(enum.IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def raw_frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@dataclass
class Exchange:
    """One stream: what came on it, and how much may still be sent."""

    number: int
    window: int
    headers: list = None
    interim: list = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list = field(default_factory=list)
    ended: bool = False
    reset: int = None
    held: bool = False  # the window for its answer is not opened by itself

    @property
    def done(self):
        return self.ended or self.reset is not None

    @property
    def status(self):
        return int(self.get(":status")) if self.headers else None

    def get(self, name, default=None):
        return next((value for key, value in self.headers if key == name), default)


class H2:
    def __init__(self, client, settings=None, *, window=65535, preface=True):
        self.client = client
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.streams, self.next_number = {}, 1
        self.window, self.peer_initial_window, self.max_frame = 65535, 65535, 16384
        self.settings, self.settings_acks, self.goaways, self.pongs = None, 0, [], []
        self.window_updates = 0
        self.held = False  # the session's window is not opened by itself
        self.block = None  # the header block that CONTINUATION goes on with
        if preface:
            wish = {ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: window, **(settings or {})}
            client.send(PREFACE + frames.SettingsFrame(0, settings=wish).serialize())
            if window > 65535:
                self.send_frame(frames.WindowUpdateFrame(0, window_increment=window - 65535))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    # Sending

    def send_frame(self, frame):
        self.client.send(frame.serialize())

    def fields(self, method="GET", path="/", headers=(), *, scheme="https", authority="localhost"):
        return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *headers]

    def open(self, fields, *, end=True):
        """Any list of fields, right or wrong, on a new stream."""
        stream = Exchange(self.next_number, self.peer_initial_window)
        self.next_number += 2
        self.streams[stream.number] = stream
        self.send_block(stream.number, fields, end=end)
        return stream

    def send_block(self, number, fields, *, end):
        block = self.encoder.encode(fields)
        first, rest = block[:self.max_frame], block[self.max_frame:]
        flags = ([] if rest else ["END_HEADERS"]) + (["END_STREAM"] if end else [])
        wire = frames.HeadersFrame(number, first, flags=flags).serialize()
        while rest:
            piece, rest = rest[:self.max_frame], rest[self.max_frame:]
            wire += frames.ContinuationFrame(number, piece, flags=[] if rest else ["END_HEADERS"]).serialize()
        self.client.send(wire)

    def begin(self, method="GET", path="/", headers=(), *, end=True, **more):
        return self.open(self.fields(method, path, headers, **more), end=end)

    def send_data(self, stream, data, *, end=False):
        """As far as the windows are open, reading meanwhile; stops where the stream is reset."""
        data = memoryview(data)
        while stream.reset is None:
            room = min(self.window, stream.window, self.max_frame, len(data))
            if room <= 0 and len(data):
                self.handle(self.read_frame())
                continue
            last = room == len(data)
            self.data_frame(stream, bytes(data[:room]), end=end and last)
            data = data[room:]
            if last:
                return

    def data_frame(self, stream, data=b"", *, end=False):
        """At once, whatever the windows say."""
        self.window -= len(data)
        stream.window -= len(data)
        self.send_frame(frames.DataFrame(stream.number, data, flags=["END_STREAM"] if end else []))

    def fill_window(self, stream, byte=b"x"):
        """Sends as much as the stream's window takes."""
        sent = stream.window
        self.send_data(stream, byte * sent)
        return sent

    def open_window(self, size, stream=None):
        self.send_frame(frames.WindowUpdateFrame(stream.number if stream else 0, window_increment=size))

    def cancel(self, stream, code=Code.CANCEL):
        self.send_frame(frames.RstStreamFrame(stream.number, error_code=code))

    # Receiving

    def read_frame(self):
        frame, length = frames.Frame.parse_frame_header(memoryview(self.client.exactly(9)))
        frame.parse_body(memoryview(self.client.exactly(length)))
        return frame

    def handle(self, frame):
        handler = self.HANDLERS.get(type(frame))
        if handler:
            handler(self, frame)
        return frame

    def until(self, condition):
        while not condition():
            self.handle(self.read_frame())
        return self

    def on_settings(self, frame):
        if "ACK" in frame.flags:
            self.settings_acks += 1
            return
        self.settings = {**(self.settings or {}), **frame.settings}
        fresh = frame.settings.get(INITIAL_WINDOW_SIZE, self.peer_initial_window)
        for stream in self.streams.values():
            stream.window += fresh - self.peer_initial_window
        self.peer_initial_window = fresh
        self.send_frame(frames.SettingsFrame(0, flags=["ACK"]))

    def on_headers(self, frame):
        ended = "END_STREAM" in frame.flags
        self.block = [frame.stream_id, bytearray(frame.data), ended]
        self.on_block_end(frame)

    def on_continuation(self, frame):
        self.block[1] += frame.data
        self.on_block_end(frame)

    def on_block_end(self, frame):
        if "END_HEADERS" not in frame.flags:
            return
        number, block, ended = self.block
        stream, fields = self.streams[number], self.decoder.decode(bytes(block))
        if stream.headers:
            stream.trailers = fields
        elif fields[0][1].startswith("1"):
            stream.interim.append(fields)
        else:
            stream.headers = fields
        stream.ended = stream.ended or ended

    def on_data(self, frame):
        stream = self.streams[frame.stream_id]
        stream.body += frame.data
        stream.ended = "END_STREAM" in frame.flags
        size = frame.flow_controlled_length
        if size and not self.held:
            self.give_window(size)
        if size and not stream.held and not stream.ended:
            self.give_window(size, stream)

    def give_window(self, size, stream=None):
        """For what has come; who has closed needs it no more, and the rest of what he sent is still read."""
        try:
            self.open_window(size, stream)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def on_reset(self, frame):
        self.streams[frame.stream_id].reset = frame.error_code

    def on_ping(self, frame):
        if "ACK" in frame.flags:
            self.pongs.append(frame.opaque_data)
        else:
            self.send_frame(frames.PingFrame(0, frame.opaque_data, flags=["ACK"]))

    def on_goaway(self, frame):
        self.goaways.append((frame.last_stream_id, frame.error_code))

    def on_window_update(self, frame):
        self.window_updates += 1
        if frame.stream_id == 0:
            self.window += frame.window_increment
        elif frame.stream_id in self.streams:
            self.streams[frame.stream_id].window += frame.window_increment

    HANDLERS = {
        frames.SettingsFrame: on_settings, frames.HeadersFrame: on_headers, frames.ContinuationFrame: on_continuation,
        frames.DataFrame: on_data, frames.RstStreamFrame: on_reset, frames.PingFrame: on_ping,
        frames.GoAwayFrame: on_goaway, frames.WindowUpdateFrame: on_window_update,
    }

    # Whole exchanges

    def wait(self, *streams):
        self.until(lambda: all(stream.done for stream in streams))
        return streams[0]

    def ask(self, method="GET", path="/", headers=(), *, body=None, trailers=None, **more):
        stream = self.begin(method, path, headers, end=body is None and trailers is None, **more)
        if body is not None:
            self.send_data(stream, body, end=trailers is None)
        if trailers is not None:
            self.send_block(stream.number, trailers, end=True)
        return self.wait(stream)

    def sync(self):
        """Returns when the peer has seen all that was sent before."""
        count = len(self.pongs)
        self.send_frame(frames.PingFrame(0, count.to_bytes(8, "big")))
        return self.until(lambda: len(self.pongs) > count)

    def lives(self):
        return self.ask().status == 200

    def until_closed(self, timeout=5.0):
        """All that still comes; tells how it ended. Fails when it does not end."""
        self.client.sock.settimeout(patient(timeout))
        try:
            while True:
                self.handle(self.read_frame())
        except Closed as closed:
            return "reset" if closed.reset else "fin"

    def ends_with(self, code, timeout=5.0):
        """The session's end, which must have been told with this code. Closes, or the daemon would linger for us."""
        self.until_closed(timeout)
        self.client.close()
        assert self.goaways, "ended without GOAWAY"
        told = Code(self.goaways[-1][1])
        assert told == code, f"GOAWAY {told!r}, not {code!r}"


def connect(sluice, name="web", *, tls=None, sni="localhost", source=None, receive_buffer=None, address=None, **more):
    """An HTTP/2 session with a listener, by ALPN where it has TLS."""
    if tls is None and sluice.is_secure(name):
        tls = client_context(alpn=["h2"])
    client = sluice.connect(name, tls=tls, sni=sni, source=source, receive_buffer=receive_buffer, address=address)
    assert not tls or client.sock.selected_alpn_protocol() == "h2"
    return H2(client, **more)
