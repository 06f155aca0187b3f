"""Bodies that one side gives faster than the other takes: nothing is lost, and little of it is held here."""

import threading
import time

import pytest

from support import configs
from support.h2client import connect
from support.http import request
from support.settings import SANITIZED, patient, scaled
from support.waiting import still, wait_until

MIB = 1024 * 1024
FRONTS = pytest.mark.parametrize("front", ["http", "http2"])
BOTH = pytest.mark.parametrize("back", ["http", "http2"])
PATIENT = {"request_timeout": "1h", "write_timeout": "1h", "min_data_rate": "0B/s"}
ROUTE = {"idle_timeout": "1h", "first_byte_timeout": "1h"}
PIECE = b"0123456789abcdef" * 4096
# Large enough that kernel and daemon together can't hold it.
SIZE = scaled(32, 1024) * MIB
RATE, SECONDS = scaled(4, 1) * MIB, scaled(1.5, 20)


def giving(size):
    """As fast as it is taken; `given` tells how much."""
    def handler(exchange):
        exchange.head(length=size)
        for _ in range(size // len(PIECE)):
            exchange.data(PIECE)
            handler.given += len(PIECE)

    handler.given = 0
    return handler


def buffered(sluice):
    return sluice.status()["memory"]["used"]


class Watching(threading.Thread):
    """The most that was buffered and resident while something went on."""

    def __init__(self, sluice):
        super().__init__(daemon=True)
        self.sluice, self.ending = sluice, threading.Event()
        self.first_rss = sluice.rss()
        self.most_buffered = self.most_rss = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()

    def run(self):
        while not self.ending.wait(0.02):
            self.most_buffered = max(self.most_buffered, buffered(self.sluice))
            self.most_rss = max(self.most_rss, self.sluice.rss())

    def check(self, most=MIB):
        print(f"buffered {self.most_buffered / 1024:.0f} KiB, RSS {self.first_rss / MIB:.1f} -> "
              f"{self.most_rss / MIB:.1f} MiB")
        assert self.most_buffered < most, self.most_buffered
        if not SANITIZED:
            assert self.most_rss < self.first_rss + most + 2 * MIB


def slowly(read, rate, seconds):
    """Reads at the rate for a while."""
    began, got = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        if got > rate * (time.monotonic() - began):
            time.sleep(0.01)
        else:
            got += read(64 * 1024)
    return got


@FRONTS
@BOTH
def test_shown_by_5_a_slow_reader(serve, start, front, back):
    handler = giving(SIZE)
    server = serve(handler, protocol=back)
    fronts = {"http": configs.listener, "http2": configs.http2}
    sluice = start(configs.proxying(server, front=fronts[front], listener_keys=PATIENT, route=ROUTE))
    with Watching(sluice) as watching:
        if front == "http":
            client = sluice.connect(receive_buffer=64 * 1024)
            client.send(request())
            assert client.head().status == 200
            got = slowly(lambda size: len(client.exactly(size)), RATE, SECONDS)
        else:
            got = slow_stream(sluice)
        given = handler.given
    watching.check()
    assert got > RATE * SECONDS / 4
    # What is on its way: the kernel's buffers on both sides, and what we hold.
    assert given < got + 24 * MIB and given < SIZE
    sluice.close_clients()
    wait_until(lambda: sluice.endpoint()["busy"] == 0)


def slow_stream(sluice):
    """By its window: at the rate, and not more."""
    session = connect(sluice, window=256 * 1024, receive_buffer=64 * 1024)
    session.until(lambda: session.settings is not None)
    stream = session.begin(scheme="http")
    stream.held = True
    session.until(lambda: stream.headers)
    given = 0

    def read(size):
        nonlocal given
        session.until(lambda: len(stream.body) - given >= size)
        given += size
        session.open_window(size, stream)
        return size

    return slowly(read, RATE, SECONDS)


@FRONTS
@BOTH
def test_a_slow_upload(serve, start, front, back):
    """The server takes little; the client is stopped, not buffered for."""
    taken = threading.Event()

    def slow(exchange):
        size = 0
        for piece in exchange.pieces():
            size += len(piece)
            exchange.request.body = bytearray()
            if not taken.is_set() and size >= MIB:
                taken.wait(patient(60))
        exchange.answer(body=str(size).encode(), read=False)

    server = serve(slow, protocol=back)
    fronts = {"http": configs.listener, "http2": configs.http2}
    sluice = start(configs.proxying(server, front=fronts[front], listener_keys=PATIENT, route=ROUTE))
    total = scaled(24, 256) * MIB
    with Watching(sluice) as watching:
        upload = (Upload1 if front == "http" else Upload2)(sluice, total)
        still(lambda: upload.sent)
        assert upload.sent < total, "all of it went somewhere"
        taken.set()
        assert upload.result() == str(total).encode()
    watching.check(2 * MIB)  # a session of HTTP/2 may be given a window of 1 MiB


class Upload1(threading.Thread):
    def __init__(self, sluice, total):
        super().__init__(daemon=True)
        self.client, self.total, self.sent = sluice.connect(timeout=60), total, 0
        self.start()

    def run(self):
        self.client.send(request("POST", headers={"Content-Length": str(self.total)}))
        while self.sent < self.total:
            self.sent += self.client.sock.send(PIECE)

    def result(self):
        self.join(patient(60))
        return self.client.response().body


class Upload2(threading.Thread):
    def __init__(self, sluice, total):
        super().__init__(daemon=True)
        self.session, self.total, self.sent = connect(sluice), total, 0
        self.session.client.sock.settimeout(patient(60))
        self.start()

    def run(self):
        session = self.session
        session.until(lambda: session.settings is not None)
        self.stream = session.begin("POST", headers=[("content-length", str(self.total))], end=False, scheme="http")
        while self.sent < self.total:
            session.send_data(self.stream, PIECE, end=self.sent + len(PIECE) == self.total)
            self.sent += len(PIECE)
        session.wait(self.stream)

    def result(self):
        self.join(patient(60))
        return bytes(self.stream.body)


@BOTH
def test_one_slow_reader_does_not_slow_others(serve, start, back):
    """Over one HTTP/2 connection, too."""
    def by_path(exchange):
        if exchange.request.target == "/much":
            return giving(32 * MIB)(exchange)
        exchange.answer(body=PIECE)

    server = serve(by_path, protocol=back)
    pool = {"max_connections": 1} if back == "http2" else {}
    sluice = start(configs.proxying(server, listener_keys=PATIENT, route=ROUTE, pool=pool))
    deaf = [sluice.connect(receive_buffer=4096) for _ in range(3)]
    for client in deaf:
        client.send(request(path="/much"))
        assert client.head().status == 200
    with sluice.connect() as client:
        for _ in range(50):
            assert client.ask(path="/little").body == PIECE
    if back == "http2":
        assert server.opened == 1


@pytest.mark.slow
def test_many_slow_readers(serve, start):
    """What is held grows with their number by a bounded piece for each."""
    server = serve(giving(16 * MIB))
    sluice = start(configs.proxying(server, listener_keys=PATIENT, route=ROUTE, pool={"max_connections": 200}))
    count = scaled(20, 100)
    with Watching(sluice) as watching:
        clients = [sluice.connect(receive_buffer=4096) for _ in range(count)]
        for client in clients:
            client.send(request())
        for client in clients:
            assert client.head().status == 200
        still(lambda: buffered(sluice) // 1024 + 1)
    watching.check(count * MIB // 2)
    for client in clients:
        client.close()
    wait_until(lambda: buffered(sluice) < MIB)
