"""gRPC frame by frame: a raw client, which may do wrong, and raw servers for upstreams that do what they must not."""

import enum
import select
import time

from hyperframe import frame as frames

from . import configs
from .daemon import Sluice
from .grpc import Code as GrpcCode
from .grpc import ECHO, connect, prefixed, split, upstream
from .h2client import H2, Code
from .upstreams_h2 import H2Server, encoded
from .waiting import wait_until

Status = enum.IntEnum("Status", {code.name: code.value[0] for code in GrpcCode})
UNARY = f"/{ECHO}/Unary"
HEAD = [("te", "trailers"), ("content-type", "application/grpc")]
TYPE = [("content-type", "application/grpc")]

# Whoever fails one test is not to be left out in the next.
FORGIVING = {"passive_health": {"consecutive_errors": 0}}

# What clients make of an end without grpc-status: gRPC's doc/http-grpc-status-mapping.md, and "Errors" of its protocol.
BY_HTTP = {400: Status.INTERNAL, 401: Status.UNAUTHENTICATED, 403: Status.PERMISSION_DENIED, 404: Status.UNIMPLEMENTED,
           429: Status.UNAVAILABLE, 502: Status.UNAVAILABLE, 503: Status.UNAVAILABLE, 504: Status.UNAVAILABLE}
BY_RESET = {Code.REFUSED_STREAM: Status.UNAVAILABLE, Code.CANCEL: Status.CANCELLED,
            Code.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED, Code.INADEQUATE_SECURITY: Status.PERMISSION_DENIED}


def status_of(stream):
    """What a client makes of the end of a call."""
    if not stream.ended:  # without a reset: its connection has ended
        return BY_RESET.get(stream.reset, Status.INTERNAL) if stream.done else Status.UNAVAILABLE
    told = dict(stream.headers + stream.trailers).get("grpc-status")
    if told is None:
        return BY_HTTP.get(stream.status, Status.UNKNOWN)
    return Status(int(told)) if told.isdigit() and int(told) <= 16 else Status.UNKNOWN


def told(stream):
    """The status that stands in the answer of a call that was ended in gRPC's way."""
    assert stream.ended and stream.status == 200, (stream.headers, stream.trailers, stream.reset)
    assert stream.get("content-type").startswith("application/grpc"), stream.headers
    return Status(int(dict(stream.headers + stream.trailers)["grpc-status"]))


def messages(stream):
    return [message for _, message in split(bytes(stream.body))]


class Session(H2):
    """A client's connection. It keeps when it was pinged, and the text of the last GOAWAY. `answers_pings`: it must."""

    def __init__(self, client, *, answers_pings=True, **more):
        self.answers_pings, self.pings, self.owed, self.farewell = answers_pings, [], [], b""
        self.began = time.monotonic()
        super().__init__(client, **more)

    @property
    def age(self):
        return time.monotonic() - self.began

    def on_ping(self, frame):
        if "ACK" not in frame.flags:
            self.pings.append(self.age)
            if not self.answers_pings:
                self.owed.append(frame)
                return
        super().on_ping(frame)

    def answer_pings(self):
        """From now on, and those that came already."""
        self.answers_pings = True
        for frame in self.owed:
            super().on_ping(frame)

    def on_goaway(self, frame):
        super().on_goaway(frame)
        self.farewell = frame.additional_data

    HANDLERS = {**H2.HANDLERS, frames.PingFrame: on_ping, frames.GoAwayFrame: on_goaway}

    def call(self, path=UNARY, headers=(), *, timeout=None, end=False):
        """The head of one; `timeout`: as in grpc-timeout."""
        deadline = [("grpc-timeout", timeout)] if timeout is not None else []
        return self.begin("POST", path, [*HEAD, *deadline, *headers], end=end, scheme="http")

    def unary(self, message=b"hello", path=UNARY, **more):
        stream = self.call(path, **more)
        self.send_data(stream, prefixed(message), end=True)
        return self.wait(stream)

    def hold(self, path=UNARY):
        """A call that has reached the daemon, and goes on until finish()."""
        stream = self.call(path)
        self.sync()
        return stream

    def finish(self, stream, message=b"late"):
        self.send_data(stream, prefixed(message), end=True)
        self.wait(stream)
        return status_of(stream) == Status.OK and messages(stream) == [message]

    def lives(self):
        stream = self.unary()
        return status_of(stream) == Status.OK and messages(stream) == [b"hello"]

    def listen(self, seconds, enough=lambda: False):
        """Takes what comes for a while, or until it is enough."""
        ending = time.monotonic() + seconds
        while not enough() and (left := ending - time.monotonic()) > 0:
            if self.client.buffer or select.select([self.client.sock], [], [], left)[0]:
                self.handle(self.read_frame())
        return self

    def pour(self, stream, message, most):
        """Sends it again and again, as far as the windows open, until nothing has come for a while; tells how much."""
        sent, wire = 0, prefixed(message)
        assert len(wire) <= self.max_frame
        room = lambda: min(self.window, stream.window) >= len(wire)  # noqa: E731
        while sent < most and stream.reset is None:
            if not room():
                self.listen(0.3, room)
            if not room():
                break
            self.data_frame(stream, wire)
            sent += len(wire)
        return sent


# Handlers for upstreams

def head(exchange):
    exchange.head(200, TYPE)


def send(exchange, *given):
    exchange.data(b"".join(map(prefixed, given)))


def finish(exchange, status=Status.OK, fields=()):
    exchange.end([("grpc-status", int(status)), *fields])


def answer(exchange, *given, status=Status.OK):
    exchange.body()
    head(exchange)
    send(exchange, *given)
    finish(exchange, status)


def echo(exchange):
    """Byte for byte, of any kind of call."""
    head(exchange)
    for piece in exchange.pieces():
        exchange.data(piece)
    finish(exchange)


def endless(exchange):
    """Messages as fast as they are taken; the request's `given` tells how many bytes, `gone` that nobody wants more."""
    head(exchange)
    try:
        while True:
            send(exchange, b"x" * 8187)
            exchange.request.given += 8192
    finally:
        exchange.request.gone = True


def deaf(exchange):
    """Reads nothing until the test releases it, then all."""
    exchange.hold()
    size = sum(len(piece) for piece in exchange.pieces())
    answer(exchange, str(size).encode())


def by_method(**handlers):
    """Each method's own; all others echo."""
    return lambda exchange: handlers.get(exchange.request.target.rpartition("/")[2], echo)(exchange)


def raw_headers(exchange, fields, *, flags=("END_HEADERS",)):
    """Where h2 itself would not send them."""
    connection = exchange.connection
    with connection.lock:
        block = connection.conn.encoder.encode(encoded(fields))
        connection.sock.sendall(frames.HeadersFrame(exchange.stream, block, flags=flags).serialize())


class WireServer(H2Server):
    """An H2Server for upstreams of gRPC: it looks at what they are sent."""

    protocol = "grpc"

    def record(self, request):
        if request.method != "POST" or request.get("te") != "trailers":
            self.problems.append(f"no call of gRPC: {request.method}, te: {request.get('te')}")
        if not (request.get("content-type") or "").startswith("application/grpc"):
            self.problems.append(f"content-type: {request.get('content-type')}")
        request.given, request.gone = 0, False
        super().record(request)


class Site:
    """A daemon with grpc listeners and the raw server that their calls go to."""

    def __init__(self, directory, *listeners, top=None, **upstream_keys):
        # One call that is not read must not stop the others by the window of their connection.
        self.server = WireServer(echo, connection_window=2**30)
        self.target = upstream(self.server, **{**FORGIVING, **upstream_keys})
        self.sluice = Sluice(directory, self.config(*listeners, **(top or {})))
        try:
            self.sluice.wait_ready()
        except BaseException:
            self.stop()
            raise

    def config(self, *listeners, **top):
        return configs.config(*listeners, upstreams=[self.target], **top)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.server.check()

    def stop(self):
        try:
            self.server.release()
            self.sluice.stop()
        finally:
            self.server.stop()

    def one_test(self):
        """For fixtures of a file's tests that share it: yields, then the books are looked at."""
        self.server.begin_test(echo)
        yield self
        self.server.release()
        assert self.sluice.alive, f"ended with {self.sluice.process.returncode}; log:\n{self.sluice.log[-4000:]}"
        self.sluice.close_clients()
        self.sluice.wait_no_connections()
        self.sluice.check_books()
        self.sluice.check_log()
        wait_until(lambda: self.sluice.endpoint()["busy"] == 0, what="no call is left at the upstream")
        self.server.check()

    def handle(self, handler):
        self.server.handler = handler
        return self

    def connect(self, name="calls", *, receive_buffer=None, **more):
        session = Session(self.sluice.connect(name, receive_buffer=receive_buffer), **more)
        return session.until(lambda: session.settings is not None)

    def client(self, name="calls", **more):
        """One of grpcio."""
        return connect(self.sluice, name, **more)

    def figures(self, name="calls"):
        return self.sluice.get(f"/v1/listeners/{name}")["grpc"]

    def closed(self, reason, name="calls"):
        return self.sluice.closed({reason}, name)

    def wait_closed(self, reason, name="calls", at_least=1, timeout=5.0):
        self.sluice.wait_closed({reason}, at_least, name, timeout)
