"""Connections that the upstream ends while a request is on its way to them: what may be repeated is, nothing else."""

import collections
import threading
import time

import pytest

from support import configs
from support.backends import Nginx, Node
from support.http import Closed
from support.load import Crew
from support.proxying import ask
from support.settings import patient, scaled
from support.upstreams import hello
from support.waiting import wait_until

NO_EJECTION = {"passive_health": {"consecutive_errors": 0}}
NO_RETRY = {"retry": {"count": 0}}  # the one replay of a stale connection is no retry


class Spaced(Crew):
    """Clients that ask, wait about as long as the upstream keeps idle connections, and ask again."""

    def __init__(self, sluice, count, requests, around, method="GET", path="/"):
        self.sluice, self.requests, self.around, self.method, self.path = sluice, requests, around, method, path
        self.statuses = collections.Counter()
        self.reasons = collections.Counter()
        self.lock = threading.Lock()
        super().__init__(range(count))

    def _run(self, number):
        with self.sluice.connect() as client:
            for n in range(self.requests):
                # A tenth below to a tenth above, so that most meet the server just before, while, or after it closes.
                if n:
                    time.sleep(self.around * (0.9 + 0.2 * ((n * 7 + number * 3) % 20) / 19))
                body = b"x" if self.method == "POST" else None
                answer = client.ask(self.method, self.path, headers={"X-Number": f"{number}-{n}"}, body=body)
                with self.lock:
                    self.statuses[answer.status] += 1
                    if reason := answer.get("x-sluice-reason"):
                        self.reasons[reason] += 1

    def stop(self):
        for thread in self.threads:
            thread.join(self.requests * (self.around * 2 + 0.05) + patient(20))
            assert not thread.is_alive(), "a client never ended"


def twice(server):
    seen = collections.Counter(one.get("x-number") for one in server.requests)
    return {number: count for number, count in seen.items() if count > 1}


IDLE = 0.1  # seconds after which the test server closes
CLIENTS = scaled(12, 100)
REQUESTS = scaled(25, 1000)  # of each, so 100,000 in full size


class TestShownBy1AroundTheIdleTimeout:
    """`keep`: the server does not announce its timeout, so that it has to be learned."""

    def run(self, start, serve, method):
        server = serve(idle=IDLE)
        sluice = start(configs.proxying(server, pool={"max_connections": 200}, route=NO_RETRY, **NO_EJECTION))
        with Spaced(sluice, CLIENTS, REQUESTS, IDLE, method) as spaced:
            spaced.stop()
        return server, sluice, spaced

    def test_shown_by_1_idempotent_ones_never_fail(self, start, serve):
        server, sluice, spaced = self.run(start, serve, "GET")
        assert dict(spaced.statuses) == {200: CLIENTS * REQUESTS}, spaced.reasons
        stats = sluice.upstream()
        print(f"{stats['requests']} requests, {stats['replays']} replays, {server.opened} connections")

    def test_shown_by_1_a_post_is_never_sent_twice(self, start, serve):
        server, sluice, spaced = self.run(start, serve, "POST")
        assert not twice(server)
        assert set(spaced.statuses) <= {200, 502}
        failed, total = spaced.statuses[502], CLIENTS * REQUESTS
        assert failed <= scaled(total // 20, total // 10_000), spaced.reasons  # few requests tell nothing finer
        assert set(spaced.reasons) <= {"unreplayable"}
        assert sluice.upstream()["failures"].get("unreplayable", 0) == failed
        print(f"{total} POSTs, {failed} failed, {server.opened} connections")

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_shown_by_1_against_nginx(self, start, needs, tmp_path, method):
        needs("nginx")
        with Nginx(tmp_path, http="keepalive_timeout 1s; keepalive_requests 100000;") as server:
            sluice = start(configs.proxying(server, pool={"max_connections": 200}, route=NO_RETRY, **NO_EJECTION))
            with Spaced(sluice, CLIENTS, scaled(3, 100), 1.0, method, "/hello") as spaced:
                spaced.stop()
            assert dict(spaced.statuses) == {200: CLIENTS * scaled(3, 100)}, spaced.reasons

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_shown_by_1_against_node(self, start, needs, tmp_path, method):
        """It announces its time, in whole seconds."""
        needs("node")
        with Node(tmp_path, keep_alive="1000") as server:
            sluice = start(configs.proxying(server, pool={"max_connections": 200}, route=NO_RETRY, **NO_EJECTION))
            with Spaced(sluice, CLIENTS, scaled(3, 100), 1.0, method, "/hello") as spaced:
                spaced.stop()
            assert dict(spaced.statuses) == {200: CLIENTS * scaled(3, 100)}, spaced.reasons


# What is learned

def keep_alive_ms(sluice):
    return (sluice.endpoint()["keep_alive"] or {}).get("timeout_ms")


def test_what_the_server_tells_is_believed(start, serve):
    server = serve(lambda exchange: exchange.answer(headers=[("keep-alive", "timeout=1, max=100")]))
    sluice = start(configs.proxying(server))
    began = time.monotonic()
    assert ask(sluice).status == 200
    told = sluice.endpoint()["keep_alive"]
    assert told["timeout_ms"] == 1000 and 500 < told["retire_after_ms"] < 1000, "retired before the server would"
    used = server.connections[0]
    wait_until(lambda: used.ended, 3)
    assert 0.5 < used.ended - began


def test_what_is_seen_is_learned(start, serve):
    server = serve(idle=0.4)
    sluice = start(configs.proxying(server, pool={"max_connections": 1}))

    def learned():
        assert ask(sluice).status == 200
        server.wait_open(0)
        return keep_alive_ms(sluice)

    assert 300 <= wait_until(learned, 10) <= 400 + patient(200)  # of two that are alike, so of none that was late

    def we_are_the_first():
        closed_by_peer = sluice.endpoint()["closed_by_peer"]
        assert ask(sluice).status == 200
        server.wait_open(0)
        return sluice.endpoint()["closed_by_peer"] == closed_by_peer

    wait_until(we_are_the_first)  # from now on, unless one of the two is late


# Idle connections are watched

@pytest.mark.parametrize("back", ["http", "http2"])
@pytest.mark.parametrize("reset", [False, True])
def test_an_end_evicts(start, serve, back, reset):
    server = serve(protocol=back)
    # One connection: the server could not drop another that it has not accepted yet.
    sluice = start(configs.proxying(server, pool={"max_connections": 1}, route=NO_RETRY))
    for method in ("GET", "POST") * 3:
        assert ask(sluice, method).status == 200
        wait_until(lambda: sluice.endpoint()["connecting"] == 0)
        server.drop(reset=reset)
        wait_until(lambda: sluice.endpoint()["open"] == 0)
    assert len(server.used) == 6 and not sluice.upstream()["failures"]


def test_http2_is_attended_to_while_idle(start, serve):
    server = serve(protocol="http2")
    sluice = start(configs.proxying(server, pool={"max_connections": 1}))
    assert ask(sluice).status == 200
    connection = server.connections[0]
    for n in range(3):
        connection.ping()
        wait_until(lambda: connection.pongs == n + 1)
    connection.act(lambda conn: conn.update_settings({4: 100_000}))
    connection.ping()
    wait_until(lambda: connection.pongs == 4)
    assert ask(sluice).status == 200 and server.opened == 1
    connection.goaway()
    server.wait_open(0)
    assert ask(sluice).status == 200 and server.opened == 2


# Closed just as the request comes

def closing_on_the_second(times=1):
    """A connection's second request finds it closing, without an answer."""
    def handler(exchange):
        if exchange.connection.served == 2 and closed["left"]:
            closed["left"] -= 1
            exchange.reset() if exchange.server.protocol == "http" else exchange.close()
        hello(exchange)

    closed = {"left": times}
    return handler


@pytest.mark.parametrize("back", ["http", "http2"])
def test_a_get_is_replayed_once(start, serve, back):
    server = serve(closing_on_the_second(), protocol=back)
    sluice = start(configs.proxying(server, route=NO_RETRY))
    with sluice.connect() as client:
        assert [client.ask().status for _ in range(3)] == [200] * 3
    stats = sluice.upstream()
    assert (stats["replays"], stats["retries"]) == (1, 0) and not stats["failures"]
    assert len(server.requests) == 4


def test_with_its_body(start, serve):
    """PUT is idempotent, and a small body is still there."""
    server = serve(closing_on_the_second())
    sluice = start(configs.proxying(server, route=NO_RETRY))
    with sluice.connect() as client:
        assert client.ask().status == 200
        status = client.ask("PUT", body=b"small").status
    assert status in (200, 502)
    if status == 200:
        assert [bytes(one.body) for one in server.requests if one.whole][-1] == b"small"


def test_a_post_is_not_replayed(start, serve):
    server = serve(closing_on_the_second())
    sluice = start(configs.proxying(server, route={"retry": {"count": 3}}))
    with sluice.connect() as client:
        assert client.ask().status == 200
        answer = client.ask("POST", body=b"x")
    assert (answer.status, answer.get("x-sluice-reason")) == (502, "unreplayable")
    assert len(server.requests) == 2
    stats = sluice.upstream()
    assert stats["failures"] == {"unreplayable": 1} and stats["replays"] == 0


def test_what_has_begun_to_be_answered_is_not_replayed(start, serve):
    def half(exchange):
        if exchange.connection.served == 2:
            exchange.send(b"HTTP/1.1 200 OK\r\n")
            exchange.reset()
        hello(exchange)

    server = serve(half)
    sluice = start(configs.proxying(server, route=NO_RETRY))
    with sluice.connect() as client:
        assert client.ask().status == 200
        assert client.ask().status == 502
    assert len(server.requests) == 2


def test_a_post_takes_no_connection_that_was_idle_for_long(start, serve):
    """Nothing is known of the server's time: after a second a POST takes a new one, a GET the old one."""
    server = serve()
    sluice = start(configs.proxying(server))
    assert ask(sluice).status == 200
    wait_until(lambda: sluice.endpoint()["idle"] == sluice.endpoint()["open"])
    old = {connection.number for connection in server.connections}
    time.sleep(1.3)
    assert ask(sluice, "GET").status == 200 and server.last.connection in old
    time.sleep(1.3)
    assert ask(sluice, "POST", body=b"x").status == 200 and server.last.connection not in old
    assert ask(sluice, "POST", body=b"x").status == 200 and server.last.connection not in old


# What HTTP/2 says of itself

@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_stream_is_no_error(start, serve, method):
    """It proves that nothing was done, so that a POST goes again, too."""
    left = [1]

    def refusing(exchange):
        if left:
            left.pop()
            exchange.refuse()
        hello(exchange)

    server = serve(refusing, protocol="http2")
    sluice = start(configs.proxying(server, route=NO_RETRY))
    answer = ask(sluice, method, body=b"x" if method == "POST" else None)
    assert answer.status == 200 and len(server.requests) == 2
    stats = sluice.upstream()
    assert not stats["failures"] and stats["replays"] == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_goaway_is_no_error(start, serve, method):
    """What the server says it has not seen goes elsewhere, what it has seen is finished."""
    parted = []

    def parting(exchange):
        if exchange.request.target == "/first":
            exchange.hold()
        elif not parted:
            parted.append(exchange.connection)
            return exchange.connection.goaway(last=max(0, exchange.stream - 2))
        hello(exchange)

    server = serve(parting, protocol="http2")
    sluice = start(configs.proxying(server, route=NO_RETRY, pool={"max_connections": 2}))
    first = sluice.connect()
    first.send(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
    server.wait_requests(1)
    assert ask(sluice, method, "/second", body=b"x" if method == "POST" else None).status == 200
    assert len(server.requests) == 3
    server.release()
    assert first.response().status == 200
    assert not sluice.upstream()["failures"]
    wait_until(lambda: parted[0].ended)


@pytest.mark.slow
def test_goaways_under_load(start, serve):
    """A server that parts from each connection every few requests loses nobody."""
    def parting(exchange):
        hello(exchange)
        if exchange.connection.served >= 20:
            exchange.connection.goaway()

    server = serve(parting, protocol="http2")
    sluice = start(configs.proxying(server, route=NO_RETRY, **NO_EJECTION))
    with Posters(sluice, 8, scaled(100, 2000)) as posters:
        posters.stop()
    assert dict(posters.statuses) == {200: 8 * scaled(100, 2000)}
    assert not twice(server) and server.opened > 10


class Posters(Spaced):
    def __init__(self, sluice, count, requests):
        super().__init__(sluice, count, requests, 0, "POST")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_ends_each_connection_in_its_own_time(start, serve, method):
    """Without a pattern that could be learned: after 1 to 20 requests, right after the answer."""
    def moody(exchange):
        hello(exchange)
        if exchange.connection.served > exchange.connection.number * 7 % 20:
            exchange.close()

    server = serve(moody)
    sluice = start(configs.proxying(server, route=NO_RETRY, **NO_EJECTION))
    requests = scaled(100, 2000)
    with Spaced(sluice, 6, requests, 0, method) as spaced:
        spaced.stop()
    assert not twice(server) if method == "POST" else spaced.statuses[200] == 6 * requests, spaced.reasons
    failed = 6 * requests - spaced.statuses[200]
    assert set(spaced.statuses) <= {200, 502} and set(spaced.reasons) <= {"unreplayable"}
    assert sluice.upstream()["failures"].get("unreplayable", 0) == failed


def test_an_end_in_the_middle_of_an_upload(start, serve):
    """Half a request is not repeated, and the client is told."""
    def leaving(exchange):
        if exchange.connection.served == 2:
            for _ in exchange.pieces():
                exchange.reset()
        hello(exchange)

    server = serve(leaving)
    sluice = start(configs.proxying(server, route={"retry": {"count": 3}}))
    assert ask(sluice).status == 200
    with sluice.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        try:
            assert client.response().status == 502
        except Closed:
            pass
    assert len([one for one in server.requests if one.method == "POST"]) == 1
