"""Load that must not notice a restart. Each kind of client keeps the rules of its protocol; whatever else goes wrong
with one of its requests is a failure:

* a request on a connection of its own has no excuse;
* on a kept connection none but that its end had come before the request was sent;
* on HTTP/2 none but GOAWAY or REFUSED_STREAM for that stream (RFC 9113, 6.8 and 8.7).
"""

import socket
import ssl
import time
from dataclasses import dataclass, field

from . import configs, h2client, websocket
from .grpc_wire import Session, Status, status_of
from .http import Client, Closed, request
from .load import Crew, ask_once
from .load import Tally as Counts
from .settings import patient
from .tls import TlsClient, client_context
from .waiting import wait_until
from .websocket import close_payload

ONCE = request(headers={"Connection": "close"})
HEALTH = "/grpc.health.v1.Health/Check"
PAUSE = 0.004
figures = []  # lines that the end of the run shows, until conftest.py takes them


def report(line):
    figures.append(line)
    print(line)


@dataclass
class Tally(Counts):
    """`waits`: from connect to the first byte of an answer, each with the time when it began. What is `lost` is here
    (began, ended, why)."""

    waits: list = field(default_factory=list)
    kind: str = ""


def connected(address, timeout=10.0):
    unix = isinstance(address, str)
    sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    try:
        sock.settimeout(patient(timeout))
        sock.connect(address)
        if not unix:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return Client(sock, timeout)


def check(response, body=None):
    assert response.status == 200, f"status {response.status}"
    assert body is None or response.body == body, f"{len(response.body)} bytes of body, not {len(body)}"


class Single:
    """A connection for each request."""

    def __init__(self, address, raw=ONCE, body=None):
        self.address, self.raw, self.body = address, raw, body

    def __call__(self, tally):
        began = time.monotonic()
        with connected(self.address) as client:
            client.send(self.raw)
            client._fill()
            tally.waits.append((began, time.monotonic() - began))
            check(client.response(), self.body)
        tally.answered += 1

    def close(self):
        pass


class SlowPost(Single):
    """The body comes in two halves, so that many a restart falls between them."""

    def __init__(self, address, path="/echo", size=24 * 1024):
        body = bytes(range(256)) * (size // 256)
        raw = request("POST", path, headers={"Connection": "close"}, body=body)
        super().__init__(address, raw, body)

    def __call__(self, tally):
        with connected(self.address) as client:
            half = len(self.raw) // 2
            client.send(self.raw[:half])
            time.sleep(0.01)
            client.send(self.raw[half:])
            check(client.response(), self.body)
        tally.answered += 1


class Kept:
    """One connection for as long as it lives."""

    def __init__(self, address):
        self.address, self.client = address, None

    def __call__(self, tally):
        if self.client is None:
            self.client = connected(self.address)
        response = ask_once(self.client, tally)
        if tally.lost and isinstance(tally.lost[-1], str):
            raise AssertionError(tally.lost.pop())
        if response is None or response.closes:
            self.close()

    def close(self):
        if self.client:
            self.client.close()
        self.client = None


class Resuming:
    """A TLS connection for each request, with the session of the one before. The first has none."""

    def __init__(self, address):
        self.address, self.context, self.session, self.full = address, client_context(alpn=["http/1.1"]), None, 0

    def __call__(self, tally):
        with connected(self.address) as plain, TlsClient(plain, self.context, session=self.session) as client:
            client.send(ONCE)
            check(client.response())
            self.full += not client.sock.session_reused
            self.session = client.sock.session
        tally.answered += 1

    def close(self):
        pass


class Streams:
    """HTTP/2 or gRPC: one stream after the other, on a new session where the old one says GOAWAY."""

    def __init__(self, address, *, tls=False, grpc=False):
        self.address, self.tls, self.grpc, self.session = address, tls, grpc, None

    def connect(self):
        client = connected(self.address)
        if self.tls:
            client = TlsClient(client, client_context(alpn=["h2"]))
        return (Session if self.grpc else h2client.H2)(client)

    def begin(self):
        if not self.grpc:
            return self.session.begin()
        stream = self.session.call(HEALTH)
        self.session.send_data(stream, b"\0\0\0\0\0", end=True)
        return stream

    def refused(self, stream):
        """It was not looked at, so it may be asked again."""
        return stream.reset == h2client.Code.REFUSED_STREAM or any(
            last < stream.number for last, _ in self.session.goaways)

    def __call__(self, tally):
        if self.session is None or self.session.goaways or not self.session.client.is_open():
            self.close()
            self.session = self.connect()
        if not self.send_one(tally):
            tally.undecided += 1
            self.close()

    def send_one(self, tally):
        told = len(self.session.goaways)
        try:
            stream = self.begin()
        except (BrokenPipeError, ConnectionResetError):
            # Its GOAWAY is on the way, or else that is a failure.
            self.session.until_closed()
            assert len(self.session.goaways) > told, "ended without GOAWAY"
            return False
        self.session.until(lambda: stream.done or self.refused(stream))
        if not stream.ended and self.refused(stream):
            return False
        assert stream.ended and stream.status == 200, (stream.status, stream.reset, self.session.goaways)
        assert not self.grpc or status_of(stream) == Status.OK, stream.trailers
        tally.answered += 1
        return True

    def close(self):
        if self.session:
            self.session.client.close()
        self.session = None


class Chat:
    """A WebSocket that is always open: whoever is told Close answers it, waits for the end, and comes back."""

    def __init__(self, address, path="/ws"):
        self.address, self.path, self.socket = address, path, None

    def __call__(self, tally):
        if self.socket is None:
            self.socket = websocket.upgrade(connected(self.address), self.path)
        try:
            assert self.socket.echoes("still there?")
            tally.answered += 1
        except websocket.ClosedBy as told:
            assert told.code == 1001, told
            self.socket.try_raw(self.socket.frame(websocket.Op.CLOSE, close_payload(told.code)))
            self.socket.expect_end(30)
            self.socket = None
            tally.undecided += 1

    def close(self):
        if self.socket:
            self.socket.wire.close()
        self.socket = None


class Stubborn:
    """A WebSocket that takes no notice of Close, and stays until the other side hangs up. It is no load: open() it."""

    def __init__(self, address, path="/ws"):
        self.socket = websocket.upgrade(connected(address), path)
        assert self.socket.echoes()

    def ended(self):
        """Reads what was told, and the end of the connection, which must come soon."""
        self.socket.wire.ending()
        self.close()

    def close(self):
        self.socket.wire.close()


class Load(Crew):
    """A thread for each client of `kinds` (name -> client). Fails at its end if anything went wrong in any of them."""

    def __init__(self, pause=PAUSE, **kinds):
        self.pause, self.kinds = pause, kinds
        self.tallies = {name: Tally(kind=name) for name in kinds}
        super().__init__(list(self.tallies.values()))

    def _run(self, tally):
        client = self.kinds[tally.kind]
        while not self.ending.is_set():
            began = time.monotonic()
            try:
                client(tally)
            except (OSError, Closed, AssertionError, ssl.SSLError) as error:
                client.close()
                tally.lost.append((began, time.monotonic(), f"{tally.kind}: {error!r}"))
            time.sleep(self.pause)
        client.close()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(patient(60))
            assert not thread.is_alive(), "a client hangs"

    def moved_on(self, requests=8, timeout=20):
        """Waits until every client has got some more answers."""
        goals = {name: tally.answered + requests for name, tally in self.tallies.items()}
        wait_until(lambda: all(self.tallies[name].answered >= goal for name, goal in goals.items()), timeout,
                   what=f"answers for all of {goals}; {self}")

    @property
    def failures(self):
        return [failure for tally in self.tallies.values() for failure in tally.lost]

    @property
    def answered(self):
        return sum(tally.answered for tally in self.tallies.values())

    def longest(self):
        """From connect to the first byte, in seconds; or to the failure."""
        waits = [wait for tally in self.tallies.values() for _, wait in tally.waits]
        return max(waits + [ended - began for began, ended, _ in self.failures], default=0)

    def report(self, what):
        report(f"{what}: {self}")

    def check(self, what, resets=0):
        """To be called when it has ended; its figures are shown at the end of the run. `resets`: so many connections
        may be reset before they are answered."""
        self.report(what)
        assert len(self.failures) <= resets, f"{len(self.failures)} failures: {self.failures[:10]}\n{self}"
        assert all("reset" in why.lower() for _, _, why in self.failures), self.failures
        assert all(tally.answered for tally in self.tallies.values()), str(self)

    def __str__(self):
        each = ", ".join(f"{name} {tally.answered}" for name, tally in self.tallies.items())
        return (f"{self.answered} answered ({each}), {len(self.failures)} failed, "
                f"longest wait {self.longest() * 1000:.0f} ms")


# What the load goes to: a daemon with one listener of each kind, in a network of its own, where all ports are free.

WEB, SECURE, CALLS = [("127.0.0.1", port) for port in (8080, 8443, 50051)]
LOCAL = "/run/sluice/local.sock"
STORED = 5  # what systemd keeps of it: four sockets, and the ticket keys of one
CERTIFICATE = {"certificate": "/etc/sluice/site.pem", "key": "/etc/sluice/site.key"}


def bound(address):
    return f"unix:{address}" if isinstance(address, str) else "%s:%d" % address


def every_kind(*, close_timeout="5s", **pool):
    """`pool`: of each listener; `close_timeout`: of its WebSockets. Needs the files of CERTIFICATE."""
    pool = {"drain_timeout": "10s", **pool}
    kept = {**pool, "keep_alive_timeout": "60s"}
    routes = [configs.ECHO, configs.ws_echo("/ws", pool={"close_timeout": close_timeout}), configs.HELLO]
    calls = {"name": "calls", "protocol": "grpc", "bind": bound(CALLS), "pool": pool, "routes": [{"builtin": {}}]}
    return configs.config(configs.listener("web", bound(WEB), routes, **kept),
                          configs.http2("secure", bind=bound(SECURE), tls=CERTIFICATE, routes=routes, **kept),
                          configs.listener("local", bound(LOCAL), routes, **kept), calls)


def install_certificate(machine, pair):
    for key, source in (("certificate", pair.certificate), ("key", pair.key)):
        machine.copy(source, CERTIFICATE[key], 0o600)
        machine.run("chown", "sluice:", CERTIFICATE[key])


def every_client(machine):
    """One of each kind, by name; `tls` counts its full handshakes."""
    return {"short": Single(WEB), "short2": Single(WEB), "post": SlowPost(WEB), "kept": Kept(WEB), "kept2": Kept(WEB),
            "tls": Resuming(SECURE), "unix": Single(str(machine.path(LOCAL))), "http2": Streams(SECURE, tls=True),
            "grpc": Streams(CALLS, grpc=True)}
