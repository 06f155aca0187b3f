"""What goes wrong on the way to an upstream: each failure has its status and its reason, and costs nobody else."""

import socket
import threading
import time

import pytest

from support import configs
from support.h2client import Code
from support.http import Closed, request
from support.proxying import Link, ask
from support.settings import patient
from support.upstreams import answering, closing, echo, hello, hold
from support.waiting import wait_until

SHORT = "300ms"
# What a client or server must do in time; each may be late, and the daemon, by as much as patience has room for.
IN_TIME = patient(0.9)


def ms(seconds):
    return f"{seconds * 1000:.0f}ms"


NO_RETRY = {"retry": {"count": 0}}
BOTH = pytest.mark.parametrize("back", ["http", "http2"])
# One connection, or one stream, at a time.
NARROW = {"http": {"max_connections": 1}, "http2": {"max_connections": 1, "max_concurrent_streams": 1}}


@pytest.fixture
def run(serve, start):
    """run(handler, back, ...): a daemon in front of one server, as a Link to its HTTP/1 listener."""
    def run_one(handler=hello, back="http", *, route=None, server=None, **upstream_keys):
        server = server or serve(handler, protocol=back)
        sluice = start(configs.proxying(server, protocol=back, route={**NO_RETRY, **(route or {})}, **upstream_keys))
        link = Link(sluice, f"http-{back}", server)
        link.name = "web"
        return link

    return run_one


def fails(link, status, reason, method="GET", **more):
    began = time.monotonic()
    answer = link.ask(method, **more)
    assert (answer.status, answer.reason) == (status, reason), answer
    assert answer.get("content-type", "").startswith("text/plain") and len(answer.body) < 200
    assert answer.get("via") is None or "sluice" in answer.get("via")
    failures = link.sluice.upstream()["failures"]
    assert failures.get(reason, 0) >= 1, failures
    return time.monotonic() - began


class Silent:
    """Takes connections and says nothing, not even what a handshake needs."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "127.0.0.1:%d" % self.listening.getsockname()[1]

    def close(self):
        self.listening.close()


@pytest.fixture
def silent():
    server = Silent()
    yield server
    server.close()


def waiting_ones(link, count):
    """Clients whose requests are on their way, or wait for a connection."""
    clients = []
    for _ in range(count):
        client = link.sluice.connect()
        client.send(request())
        clients.append(client)
    return clients


# Each failure

class TestConnecting:
    @BOTH
    def test_refused(self, run, back):
        server = f"127.0.0.1:{configs.free_port()}"
        link = run(server=server, back=back)
        for method in ("GET", "POST"):
            fails(link, 502, "connect_error", method)

    def test_no_such_socket(self, run, tmp_path):
        fails(run(server=f"unix:{tmp_path}/none.sock"), 502, "connect_error")

    @pytest.mark.parametrize("kind", ["tls", "settings"])
    def test_no_handshake(self, run, silent, kind):
        tls = {"tls": {"verify": False}} if kind == "tls" else {}
        link = run(server=silent, back="http" if kind == "tls" else "http2", pool={"connect_timeout": SHORT}, **tls)
        assert 0.25 < fails(link, 504, "connect_timeout") < patient(3)

    def test_the_routes_own_time(self, run, silent):
        link = run(server=silent, back="http2", route={"connect_timeout": SHORT})
        assert 0.25 < fails(link, 504, "connect_timeout") < patient(2)

    def test_nobody_speaks_http2(self, run, serve):
        server = serve(hello)
        link = run(server=server, back="http2", pool={"connect_timeout": "10s", "max_connections": 1})
        answer = link.ask()
        assert (answer.status, answer.reason) in ((502, "protocol"), (502, "connect_error"), (502, "closed"))
        wait_until(lambda: server.problems and server.open == 0)
        server.problems.clear()  # it could not read the preface


class TestWaiting:
    @BOTH
    def test_pending_timeout(self, run, back):
        link = run(hold, back, pool={**NARROW[back], "pending_timeout": SHORT})
        busy = waiting_ones(link, 1)[0]
        link.server.wait_requests(1)
        assert 0.25 < fails(link, 503, "pending_timeout") < patient(2)
        link.server.release()
        assert busy.response().status == 200 and link.ask().status == 200

    @BOTH
    def test_pending_full(self, run, back):
        link = run(hold, back, pool={**NARROW[back], "max_pending": 2, "pending_timeout": "30s"})
        clients = waiting_ones(link, 1)
        link.server.wait_requests(1)
        clients += waiting_ones(link, 2)
        wait_until(lambda: link.sluice.upstream()["waiting"] == 2)
        fails(link, 503, "pending_full")
        assert len(link.server.requests) == 1
        link.server.release()
        assert [client.response().status for client in clients] == [200] * 3
        assert link.ask().status == 200

    def test_they_are_served_in_order(self, run):
        def numbered(exchange):
            exchange.hold()
            exchange.answer(body=exchange.request.target.encode())

        link = run(numbered, pool={"max_connections": 1, "pending_timeout": "30s"})
        clients = []
        for n in range(10):
            clients.append(link.sluice.connect())
            clients[-1].send(request(path=f"/{n}"))
            wait_until(lambda: link.sluice.upstream()["waiting"] == n)
        link.server.wait_requests(1)
        link.server.release()
        assert [client.response().body for client in clients] == [b"/%d" % n for n in range(10)]
        assert [one.target for one in link.server.requests] == [f"/{n}" for n in range(10)]

    def test_who_is_gone_waits_no_more(self, run):
        link = run(hold, pool={"max_connections": 1, "pending_timeout": "30s"})
        busy = waiting_ones(link, 1)[0]
        link.server.wait_requests(1)
        gone, third = waiting_ones(link, 2)
        wait_until(lambda: link.sluice.upstream()["waiting"] == 2)
        link.cut(gone, None, reset=True)
        wait_until(lambda: link.sluice.upstream()["waiting"] == 1)
        link.server.release()
        assert [client.response().status for client in (busy, third)] == [200, 200]
        assert len(link.server.requests) == 2


class TestAnswering:
    @BOTH
    def test_first_byte(self, run, back):
        link = run(hold, back, route={"first_byte_timeout": ms(IN_TIME)})
        assert IN_TIME - 0.05 < fails(link, 504, "first_byte_timeout") < IN_TIME + patient(2)
        fails(link, 504, "first_byte_timeout", "POST", body=b"x" * 1000)
        link.server.handler = hello
        assert link.ask().status == 200

    @BOTH
    def test_interim_answers_are_no_answer(self, run, back):
        def hinting(exchange):
            exchange.interim(103, [("link", "<x>")])
            exchange.hold()

        link = run(hinting, back, route={"first_byte_timeout": SHORT})
        assert link.ask().reason == "first_byte_timeout"

    @BOTH
    def test_a_slow_upload_is_not_the_upstreams_fault(self, run, back):
        """The time counts from the whole request."""
        link = run(echo, back, route={"first_byte_timeout": ms(IN_TIME)})
        with link.sluice.connect() as client:
            client.send(request("POST", headers={"Content-Length": "6"}))
            for _ in range(6):
                time.sleep(IN_TIME / 5)
                client.send(b"x")
            assert client.response().body == b"x" * 6

    @BOTH
    @pytest.mark.parametrize("key, reason", [("idle_timeout", "idle_timeout"), ("total_timeout", "total_timeout")])
    def test_in_mid_answer(self, run, back, key, reason):
        """The head has gone, so that the client can only see the answer cut off."""
        def half(exchange):
            exchange.head()
            exchange.data(b"half")
            exchange.hold()
            exchange.wait_gone()

        link = run(half, back, route={key: ms(IN_TIME)})
        began = time.monotonic()
        with link.sluice.connect() as client, pytest.raises(Closed):
            client.send(request())
            client.response()
        assert IN_TIME - 0.05 < time.monotonic() - began < IN_TIME + patient(2)
        assert link.sluice.upstream()["failures"].get(reason) == 1
        wait_until(lambda: link.sluice.upstream()["endpoints"][0]["busy"] == 0)

    @BOTH
    def test_total_before_the_answer(self, run, back):
        link = run(hold, back, route={"total_timeout": SHORT})
        assert 0.25 < fails(link, 504, "total_timeout") < patient(2)

    @BOTH
    def test_a_slow_answer_is_none_too_slow(self, run, back):
        """Each piece begins the idle time anew."""
        def slow(exchange):
            exchange.head()
            for _ in range(6):
                time.sleep(IN_TIME / 5)
                exchange.data(b"x")
            exchange.end()

        link = run(slow, back, route={"idle_timeout": ms(IN_TIME), "first_byte_timeout": ms(IN_TIME)})
        assert link.ask().body == b"x" * 6

    @BOTH
    def test_a_client_that_does_not_read_is_not_the_upstreams_fault(self, run, back):
        def much(exchange):
            exchange.head(length=8 << 20)
            exchange.data(b"x" * (8 << 20))

        link = run(much, back, route={"idle_timeout": ms(IN_TIME)})
        client = link.sluice.connect(receive_buffer=4096)
        client.send(request())
        assert client.head().status == 200
        ending = time.monotonic() + IN_TIME + 0.5
        wait_until(lambda: time.monotonic() > ending, 10)
        assert len(client.exactly(8 << 20)) == 8 << 20

    @BOTH
    def test_closed_without_an_answer(self, run, back):
        link = run(closing, back)
        fails(link, 502, "closed", "POST", body=b"x")
        fails(link, 502, "closed")

    def test_reset_without_an_answer(self, run):
        def resetting(exchange):
            exchange.body()
            exchange.reset()

        link = run(resetting)
        answer = link.ask("POST", body=b"x")
        assert answer.status == 502 and answer.reason in ("closed", "reset")

    def test_a_stream_that_is_reset(self, run):
        def aborting(exchange):
            exchange.body()
            exchange.abort()

        link = run(aborting, "http2")
        for _ in range(3):
            fails(link, 502, "reset", "POST", body=b"x")
        assert link.server.opened <= 2 and link.server.open == link.server.opened

    def test_in_mid_head(self, run):
        def half_a_head(exchange):
            exchange.body()
            exchange.send(b"HTTP/1.1 200 OK\r\nconte")
            exchange.close()

        answer = run(half_a_head).ask("POST", body=b"x")
        assert answer.status == 502 and answer.reason in ("closed", "reset", "protocol")

    @BOTH
    def test_in_mid_upload(self, run, back):
        """The upstream hangs up while the client still sends."""
        def leaving(exchange):
            for _ in exchange.pieces():
                exchange.close()

        link = run(leaving, back)
        with link.sluice.connect() as client:
            client.send(request("POST", headers={"Content-Length": str(1 << 30)}) + b"x" * 10_000)
            assert client.response().status == 502
        assert link.sluice.upstream()["failures"].get("closed") == 1


@BOTH
def test_no_endpoint_is_left(run, back):
    link = run(hello, back)
    assert link.ask().status == 200
    link.sluice.ctl("upstream", "api", "drain", link.server.endpoint, check=True)
    fails(link, 503, "no_endpoint")
    link.sluice.ctl("upstream", "api", "undrain", link.server.endpoint, check=True)
    assert link.ask().status == 200


# How they are told

def test_without_a_reason(run):
    link = run(server=f"127.0.0.1:{configs.free_port()}", route={"expose_reason": False})
    answer = link.ask()
    assert answer.status == 502 and answer.reason is None


def test_the_client_may_go_on(run):
    """After an error that came before anything was sent, the connection stays."""
    link = run(closing)
    with link.sluice.connect() as client:
        for _ in range(3):
            assert client.ask().status == 502
        link.server.handler = hello
        assert client.ask().status == 200
        assert client.ask("HEAD").status == 200


def test_head(run):
    link = run(server=f"127.0.0.1:{configs.free_port()}")
    with link.sluice.connect() as client:
        response = client.ask("HEAD")
        assert (response.status, response.body) == (502, b"")
        assert client.ask("HEAD").status == 502


def test_what_an_upstream_says_is_not_our_failure(run):
    link = run(answering(503, [("x-sluice-reason", "theirs")], b"busy"))
    answer = link.ask()
    assert (answer.status, answer.body) == (503, b"busy")
    assert not link.sluice.upstream()["failures"]


# Retries

class TestRetries:
    def attempts(self, link, statuses):
        """The upstream gives one after another."""
        left = list(statuses)
        link.server.handler = lambda exchange: exchange.answer(left.pop(0), body=b"x")

    def test_none_of_what_may_have_been_worked_on(self, run):
        link = run(closing, route={"retry": {"count": 3}})
        assert link.ask("POST", body=b"x").status == 502 and len(link.server.requests) == 1

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
    def test_what_may_be_repeated_is(self, run, method):
        link = run(closing, route={"retry": {"count": 2}})
        assert link.ask(method).status == 502
        stats = link.sluice.upstream()
        # A connection that was made ahead may have been closed before: one replay is free.
        assert stats["retries"] == 2 and stats["replays"] <= 1
        assert len(link.server.requests) == 3 + stats["replays"]

    def test_none_where_none_is_wanted(self, run):
        link = run(closing, route={"retry": {"count": 0}})
        assert link.ask().status == 502 and len(link.server.requests) == 1
        link.server.forget()
        assert link.sluice.upstream()["retries"] == 0

    def test_by_status(self, run):
        link = run(route={"retry": {"count": 2, "on": ["http_502", "http_503"]}})
        self.attempts(link, [503, 502, 200])
        assert link.ask().status == 200 and len(link.server.requests) == 3
        self.attempts(link, [503, 503, 503, 200])
        assert link.ask().status == 503  # the last answer, as it is
        self.attempts(link, [504, 200])
        assert link.ask().status == 504  # not among the conditions
        self.attempts(link, [503, 200])
        assert link.ask("POST", body=b"x").status == 503

    def test_after_a_timeout(self, run):
        link = run(route={"first_byte_timeout": ms(IN_TIME), "retry": {"count": 1, "on": ["timeout"]}})
        first = threading.Event()

        def slow_once(exchange):
            if not first.is_set():
                first.set()
                exchange.hold()
            hello(exchange)

        link.server.handler = slow_once
        assert link.ask().status == 200 and len(link.server.requests) == 2

    def test_elsewhere(self, run, serve, start):
        """Another endpoint, if there is one; a POST too, when it went nowhere."""
        good = serve()
        sluice = start(configs.proxying(f"127.0.0.1:{configs.free_port()}", good, route={"retry": {"count": 1}},
                                        balance="round_robin", passive_health={"consecutive_errors": 0}))
        for method in ("GET", "POST") * 5:
            assert ask(sluice, method).status == 200
        assert len(good.requests) == 10

    def test_with_a_body(self, run):
        """Only what is still there can be sent again."""
        failed = threading.Event()

        def failing_once(exchange):
            exchange.body()
            if not failed.is_set():
                failed.set()
                exchange.close()
            echo(exchange)

        link = run(failing_once, route={"retry": {"count": 1}})
        answer = link.ask("PUT", body=b"small")
        assert (answer.status, answer.body) in ((200, b"small"), (502, answer.body))
        assert len([one for one in link.server.requests if one.whole]) == (2 if answer.status == 200 else 1)

    def test_within_the_budget(self, run):
        """When all fail, retries stay a share of the requests, beside the few that are always allowed."""
        link = run(closing, route={"retry": {"count": 1, "budget": 0.1}}, passive_health={"consecutive_errors": 0})
        began = time.monotonic()
        for _ in range(100):
            assert link.ask().status == 502
        stats = link.sluice.upstream()
        retries = stats["retries"]
        assert len(link.server.requests) == 100 + retries + stats["replays"]
        always = 10 + time.monotonic() - began  # ten in ten seconds
        assert 5 <= retries <= always + 0.1 * 100 + 3, retries


# The client is gone

class TestGone:
    @pytest.mark.parametrize("front, how", [("http", "fin"), ("http", "reset"), ("http2", "cancel")])
    @BOTH
    @pytest.mark.parametrize("when", ["before", "during"])
    def test_the_upstream_is_told(self, serve, start, front, how, back, when):
        begun = threading.Event()

        def waiting(exchange):
            if when == "during":
                exchange.head()
                exchange.data(b"x" * 1000)
            begun.set()
            exchange.wait_gone()

        server = serve(waiting, protocol=back)
        fronts = {"http": configs.listener, "http2": configs.http2}
        sluice = start(configs.proxying(server, front=fronts[front]))
        link = Link(sluice, f"{front}-{back}", server)
        link.name = "web"
        with link.open() as client:
            stream = link.begin(client)
            wait_until(begun.is_set)
            wait_until(lambda: sluice.endpoint()["busy"] == 1)
            link.cut(client, stream, reset=how == "reset")
            wait_until(lambda: server.last.given_up, what="the upstream told")
        if back == "http2":
            assert server.last.reset_code == Code.CANCEL
        server.handler = hello
        assert link.ask().status == 200
        if back == "http2":  # the connection stays, and is used again
            assert server.open == server.opened <= 2
        wait_until(lambda: sluice.endpoint()["busy"] == 0)
        assert sluice.upstream()["failures"].get("client_gone") == 1

    def test_other_streams_notice_nothing(self, serve, start):
        def waiting(exchange):
            if exchange.request.target == "/gone":
                exchange.wait_gone()
            exchange.hold()
            hello(exchange)

        server = serve(waiting, protocol="http2")
        sluice = start(configs.proxying(server, pool={"max_connections": 1}))
        stay, gone = sluice.connect(), sluice.connect()
        stay.send(request(path="/stay"))
        gone.send(request(path="/gone"))
        server.wait_requests(2)
        Link(sluice, "http-http2", server).cut(gone, None, reset=True)
        wait_until(lambda: any(one.given_up for one in server.requests))
        server.release()
        assert stay.response().body == b"hello\n" and server.opened == 1

    def test_in_mid_upload(self, run):
        link = run(echo)
        with link.sluice.connect() as client:
            client.send(request("POST", headers={"Content-Length": "1000000"}) + b"x" * 1000)
            wait_until(lambda: link.server.requests and link.server.last.body)
        wait_until(lambda: link.server.last.given_up)
        assert not link.server.last.whole
