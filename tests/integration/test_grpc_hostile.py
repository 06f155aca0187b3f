"""Clients and upstreams that do what gRPC forbids, or what no library of it does: each costs its own call at most."""

import time

import pytest
from hyperframe import frame as frames

from support.grpc import ECHO, listener, prefixed, proxy
from support.grpc_wire import (BY_RESET, HEAD, TYPE, UNARY, Site, Status, answer, by_method, deaf, echo, endless,
                               finish, head, messages, raw_headers, send, status_of, told)
from support.h2client import Code, raw_frame
from support.settings import SANITIZED, patient
from support.upstreams_h2 import CODES
from support.waiting import still, wait_until

KIB, MIB = 1024, 1024 * 1024
LISTENERS = [
    listener("calls", min_client_ping_interval="0s"),
    listener("small", min_client_ping_interval="0s", max_receive_message_length="1KiB",
             max_send_message_length="1KiB"),
    listener("retrying", routes=[proxy(retry={"count": 1, "on": ["reset"]})], min_client_ping_interval="0s"),
]
DATA, END_STREAM = 0, 1


@pytest.fixture(scope="module")
def site_of_file(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("hostile"), *LISTENERS, slow_start="0s") as site:
        yield site


@pytest.fixture
def site(site_of_file):
    yield from site_of_file.one_test()


def status_counts(site, name="calls"):
    return site.figures(name)["statuses"]


# Heads

class TestHeads:
    @pytest.mark.parametrize("content_type", [
        None, "", "text/plain", "application/json", "application/grp", "application/grpcx", "application/grpc-web",
        "application/grpc-web+proto"])
    def test_no_grpc(self, site, content_type):
        session = site.connect()
        fields = [("te", "trailers"), *([("content-type", content_type)] if content_type is not None else [])]
        stream = session.ask("POST", UNARY, fields, body=prefixed(b"x"), scheme="http")
        assert stream.status == 415, stream.headers
        assert session.lives() and len(site.server.requests) == 1

    @pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc+json",
                                              "application/grpc;x=y", "application/grpc+"])
    def test_grpc(self, site, content_type):
        session = site.connect()
        stream = session.ask("POST", UNARY, [("te", "trailers"), ("content-type", content_type)],
                             body=prefixed(b"x"), scheme="http")
        assert told(stream) == Status.OK and site.server.last.get("content-type") == content_type

    @pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS", "FOO"])
    def test_another_method(self, site, method):
        session = site.connect()
        stream = session.ask(method, UNARY, HEAD, scheme="http")
        assert stream.status == 405 and stream.get("allow") == "POST" and not site.server.requests
        assert session.lives()

    def test_without_te(self, site):
        """It is for proxies that know no trailers; the upstream is told all the same (WireServer looks)."""
        session = site.connect()
        stream = session.ask("POST", UNARY, TYPE, body=prefixed(b"x"), scheme="http")
        assert told(stream) == Status.OK

    @pytest.mark.parametrize("path", ["/", "/x", "/test.Other/Unary", "/test.Echo2/Unary", "//", "/test.Ech/Unary",
                                      "/%74est.Other/Unary?x=y"])
    def test_no_route(self, site, path):
        session = site.connect()
        assert told(session.unary(path=path)) == Status.UNIMPLEMENTED
        assert told(session.wait(session.call(path))) == Status.UNIMPLEMENTED, "at once, whether it sends or not"
        assert session.lives() and len(site.server.requests) == 1

    @pytest.mark.parametrize("timeout", ["", "x", "1", "m", "-1m", "+1m", "1 m", "123456789m", "1x", "1.5S", "1mm"])
    def test_a_timeout_that_is_none(self, site, timeout):
        """Refused: a deadline that was meant must not be forgotten."""
        session = site.connect()
        assert told(session.unary(timeout=timeout)) == Status.INTERNAL
        assert session.lives() and len(site.server.requests) == 1

    @pytest.mark.parametrize("timeout", ["0n", "0H", "1n"])
    def test_a_timeout_that_is_over(self, site, timeout):
        site.handle(deaf)
        session = site.connect()
        assert told(session.unary(timeout=timeout)) == Status.DEADLINE_EXCEEDED

    @pytest.mark.parametrize("timeout", ["99999999H", "99999999n", "10S", "00000005S", "1M"])
    def test_a_timeout_that_is_long(self, site, timeout):
        session = site.connect()
        stream = session.unary(timeout=timeout)
        assert told(stream) == Status.OK or timeout == "99999999n"


# Messages

def counts(site, name="calls"):
    figures = site.figures(name)
    return figures["messages_in"], figures["messages_out"]


class TestMessages:
    def test_byte_by_byte(self, site):
        """A prefix that comes in pieces is put together, in both directions."""
        def dripping(exchange):
            head(exchange)
            for byte in exchange.body():
                exchange.data(bytes([byte]))
            finish(exchange)

        site.handle(dripping)
        session, before = site.connect("small"), counts(site, "small")
        stream = session.call()
        for byte in prefixed(b"one") + prefixed(b"") + prefixed(b"three"):
            session.data_frame(stream, bytes([byte]))
        session.data_frame(stream, end=True)
        session.wait(stream)
        assert told(stream) == Status.OK and messages(stream) == [b"one", b"", b"three"]
        assert counts(site, "small") == (before[0] + 3, before[1] + 3)

    def test_many_in_one_frame(self, site):
        session, before = site.connect("small"), counts(site, "small")
        stream = session.call()
        session.send_data(stream, prefixed(b"abc") * 1000 + prefixed(b"x" * KIB), end=True)
        session.wait(stream)
        assert told(stream) == Status.OK and len(messages(stream)) == 1001
        assert counts(site, "small") == (before[0] + 1001, before[1] + 1001)

    @pytest.mark.parametrize("length", [KIB + 1, 2**31, 2**32 - 1])
    def test_too_long_a_message_is_refused_by_its_prefix(self, site, length):
        """Before its body comes, and while the call goes on."""
        session = site.connect("small")
        stream = session.call()
        session.send_data(stream, prefixed(b"x" * KIB))
        site.server.wait_requests()
        session.data_frame(stream, b"\0" + length.to_bytes(4, "big"))
        session.wait(stream)
        assert told(stream) == Status.RESOURCE_EXHAUSTED
        request = site.server.last
        wait_until(lambda: request.given_up, what="a reset at the upstream")
        assert request.reset_code == Code.CANCEL and not request.whole
        assert session.lives()

    def test_the_prefix_of_too_long_a_message_in_pieces(self, site):
        session = site.connect("small")
        stream = session.call()
        for byte in b"\1\0\0\4\1":
            assert not stream.done
            session.data_frame(stream, bytes([byte]))
            session.sync()
        session.wait(stream)
        assert told(stream) == Status.RESOURCE_EXHAUSTED and session.lives()

    def test_no_limit_for_what_is_as_long_as_allowed(self, site):
        session = site.connect("small")
        stream = session.unary(b"y" * KIB)
        assert told(stream) == Status.OK and messages(stream) == [b"y" * KIB]

    @pytest.mark.parametrize("wire", [b"\0", b"\0\0\0\0", prefixed(b"hello")[:-1], prefixed(b"one") + b"\0\0"],
                             ids=["a_byte", "no_prefix", "no_end", "a_second_one"])
    def test_an_end_within_a_message(self, site, wire):
        """Whoever looks at the message finds it out; here it is no more than a call that ends."""
        session = site.connect()
        stream = session.call()
        session.data_frame(stream, wire, end=True)
        session.wait(stream)
        assert told(stream) == Status.OK and bytes(stream.body) == wire
        assert session.lives()

    @pytest.mark.parametrize("flag", [1, 7, 255])
    def test_a_flag_is_left_alone(self, site, flag):
        session = site.connect()
        stream = session.call()
        session.data_frame(stream, prefixed(b"hello", flag), end=True)
        session.wait(stream)
        assert told(stream) == Status.OK and bytes(stream.body) == prefixed(b"hello", flag)

    def test_trailers_of_a_client(self, site):
        session = site.connect()
        stream = session.call()
        session.data_frame(stream, prefixed(b"hello"))
        session.send_block(stream.number, [("x-late", "yes")], end=True)
        session.wait(stream)
        assert told(stream) == Status.OK and messages(stream) == [b"hello"]

    def test_no_message_at_all(self, site):
        session = site.connect()
        assert told(session.wait(session.call(end=True))) == Status.OK
        stream = session.call()
        session.data_frame(stream, end=True)
        assert told(session.wait(stream)) == Status.OK


# Clients that go away, that say nothing, that do not read

class TestClients:
    def cut_at(self, session, stream, moment):
        if moment in ("message", "end", "half"):
            session.data_frame(stream, prefixed(b"hello")[:7 if moment == "half" else None], end=moment == "end")
        if moment == "prefix":
            session.data_frame(stream, b"\0\0\0")
        if moment == "answer":
            session.data_frame(stream, prefixed(b"hello"))
            session.until(lambda: stream.body)
        session.cancel(stream)

    @pytest.mark.parametrize("moment", ["head", "prefix", "half", "message", "end", "answer"])
    def test_a_reset(self, site, moment):
        """The upstream hears of it, and the books do."""
        def waiting(exchange):
            head(exchange)
            for piece in exchange.pieces():
                exchange.data(piece)
            exchange.wait_gone()

        site.handle(waiting)
        before = status_counts(site).get("CANCELLED", 0)
        session = site.connect()
        for number in range(1, 4):
            stream = session.call()
            if moment != "head":
                site.server.wait_requests(number)
            self.cut_at(session, stream, moment)
        session.sync()
        wait_until(lambda: all(request.given_up for request in site.server.requests), what="resets at the upstream")
        assert {request.reset_code for request in site.server.requests} <= {Code.CANCEL}
        assert site.figures()["calls"]["active"] == 0
        assert status_counts(site).get("CANCELLED", 0) == before + 3
        site.handle(echo)
        assert session.lives()

    def test_a_reset_after_the_end(self, site):
        session = site.connect()
        stream = session.unary()
        session.cancel(stream)
        assert session.lives() and not session.goaways

    def test_many_resets_at_once(self, site):
        site.handle(deaf)
        session = site.connect()
        streams = [session.call() for _ in range(90)]
        for stream in streams:
            session.cancel(stream)
        session.sync()
        wait_until(lambda: site.figures()["calls"]["active"] == 0)
        site.server.release()
        site.handle(echo)
        assert session.lives()

    @pytest.mark.parametrize("complete", [False, True])
    def test_the_connection_is_gone(self, site, complete):
        """Nobody waits for the answers, also where the request is complete."""
        site.handle(deaf)
        session = site.connect()
        for _ in range(5):
            stream = session.call()
            if complete:
                session.send_data(stream, prefixed(b"x"), end=True)
        site.server.wait_requests(5)
        session.client.close()
        wait_until(lambda: all(request.given_up for request in site.server.requests))
        wait_until(lambda: site.figures()["calls"]["active"] == 0)

    def test_one_that_never_sends(self, site):
        """It may wait as long as it likes; only its own deadline ends it."""
        session = site.connect()
        for_ever, began = session.call(), time.monotonic()
        stream = session.wait(session.call(timeout="300m"))
        assert told(stream) == Status.DEADLINE_EXCEEDED
        assert 0.25 < time.monotonic() - began < 0.3 + patient(1)
        assert session.finish(for_ever)

    def test_one_that_does_not_read(self, site):
        """The upstream is stopped; little is held for it here."""
        site.handle(endless)
        session = site.connect(window=65535)
        stream = session.call(end=True)
        stream.held = True
        session.until(lambda: len(stream.body) == 65535)
        request = site.server.last
        still(lambda: request.given)
        assert request.given < 2 * MIB
        assert site.sluice.status()["memory"]["used"] < 2 * MIB
        before = request.given
        for _ in range(64):
            session.open_window(65535, stream)
            got = len(stream.body)
            session.until(lambda: len(stream.body) == got + 65535)
        wait_until(lambda: request.given > before, what="more from the upstream")
        session.cancel(stream)
        wait_until(lambda: request.gone, what="the end of the call at the upstream")

    def test_many_that_do_not_read(self, site):
        site.handle(endless)
        first = site.sluice.rss()
        sessions = [site.connect(receive_buffer=4096, window=2**31 - 1) for _ in range(10)]
        for session in sessions:
            session.call(end=True)
        site.server.wait_requests(10)
        still(lambda: sum(request.given for request in site.server.requests))
        assert site.sluice.status()["memory"]["used"] < 10 * MIB
        if not SANITIZED:
            assert site.sluice.rss() < first + 16 * MIB
        with site.connect() as session:
            site.handle(echo)
            assert session.lives()

    def test_an_upstream_that_does_not_read(self, site):
        site.handle(deaf)
        session = site.connect()
        stream = session.call()
        sent = session.pour(stream, b"x" * 8187, 8 * MIB)
        assert sent < 2 * MIB, "the client was not stopped"
        assert site.sluice.status()["memory"]["used"] < 2 * MIB
        site.server.release()
        session.send_data(stream, prefixed(b"y"), end=True)
        session.wait(stream)
        assert told(stream) == Status.OK and messages(stream) == [str(sent + 6).encode()]

    def test_others_go_on_meanwhile(self, site):
        site.handle(by_method(Deaf=deaf, Endless=endless))
        session = site.connect()
        session.pour(session.call(f"/{ECHO}/Deaf"), b"x" * 8187, 8 * MIB)
        unread = session.call(f"/{ECHO}/Endless", end=True)
        unread.held = True
        session.until(lambda: len(unread.body) == 65535)
        for _ in range(20):
            assert session.lives()


# Upstreams

def bare(status, fields=(), body=b""):
    """An answer of a server that knows no gRPC."""
    def handler(exchange):
        exchange.answer(status, fields, body)
    return handler


def beginning(*then):
    """The head and a message, and what follows."""
    def handler(exchange):
        exchange.body()
        head(exchange)
        send(exchange, b"one")
        for act in then:
            act(exchange)
    return handler


def head_only(exchange):
    exchange.body()
    raw_headers(exchange, [(":status", "200"), *TYPE], flags=("END_HEADERS", "END_STREAM"))


def half(exchange):
    exchange.data(prefixed(b"x" * 100)[:50])


def close(exchange):
    exchange.close()


def reset_connection(exchange):
    exchange.reset()


def trailers_without_end(exchange):
    raw_headers(exchange, [("grpc-status", "0")])
    exchange.wait_gone()


def data_after_trailers(exchange):
    finish(exchange)
    exchange.connection.sock.sendall(raw_frame(DATA, END_STREAM, exchange.stream, b"more"))


def trailers_twice(exchange):
    finish(exchange)
    raw_headers(exchange, [("grpc-status", "13")], flags=("END_HEADERS", "END_STREAM"))


def with_status(text):
    return lambda exchange: exchange.end([("grpc-status", text)])


def leaving(exchange):
    """Says that it goes, and answers what it has."""
    exchange.body()
    exchange.connection.goaway()
    answer(exchange, b"one")


TEXT = [("content-type", "text/plain")]
LOST = {Status.UNAVAILABLE}
# What it does, and what its clients may make of it.
HOSTILE = {
    "no_status": (beginning(lambda exchange: exchange.end()), {Status.UNKNOWN}),
    "trailers_without_status": (beginning(lambda exchange: exchange.end([("x", "y")])), {Status.UNKNOWN}),
    "head_only": (head_only, {Status.UNKNOWN}),
    "http_404": (bare(404, TEXT, b"no such page\n"), {Status.UNIMPLEMENTED}),
    "http_503": (bare(503, TEXT, b"busy\n"), {Status.UNAVAILABLE}),
    "http_500": (bare(500), {Status.UNKNOWN}),
    "http_204": (bare(204), {Status.UNKNOWN}),
    "a_page": (bare(200, TEXT, b"hello\n"), {Status.UNKNOWN}),
    "no_number": (beginning(with_status("abc")), {Status.UNKNOWN}),
    "no_code": (beginning(with_status("99")), {Status.UNKNOWN}),
    "huge_code": (beginning(with_status("4294967296")), {Status.UNKNOWN}),
    "half_and_close": (beginning(half, close), LOST),
    "half_and_reset": (beginning(half, reset_connection), LOST),
    "half_and_end": (beginning(half, finish), {Status.OK}),
    "close_after_head": (beginning(close), LOST),
    "close": (lambda exchange: (exchange.body(), exchange.close()), LOST),
    "close_before_reading": (close, LOST),
    "trailers_without_end": (beginning(trailers_without_end), {Status.INTERNAL, Status.UNAVAILABLE}),
    "data_after_trailers": (beginning(data_after_trailers), {Status.OK}),
    "trailers_twice": (beginning(trailers_twice), {Status.OK}),
    "goaway_and_answer": (leaving, {Status.OK}),
    "interim": (lambda exchange: (exchange.interim(103), answer(exchange, b"one")), {Status.OK}),
    "early_answer": (lambda exchange: (head(exchange), finish(exchange, Status.NOT_FOUND)), {Status.NOT_FOUND}),
}


class TestUpstreams:
    @pytest.mark.parametrize("kind", HOSTILE)
    def test_hostile(self, site, kind):
        handler, expected = HOSTILE[kind]
        site.handle(handler)
        session, before = site.connect(), site.figures()["calls"]["total"]
        stream = session.unary()
        assert status_of(stream) in expected, (stream.headers, stream.trailers, stream.reset)
        assert stream.status == 200 and stream.get("content-type") == "application/grpc", "in gRPC's way"
        assert len(site.server.requests) == 1, "what the upstream has seen is not sent again"
        assert site.figures()["calls"]["total"] == before + 1
        site.handle(echo)
        assert session.lives()

    @pytest.mark.parametrize("kind", ["no_status", "http_404", "http_503", "half_and_close", "close_after_head",
                                      "close"])
    def test_how_it_is_counted(self, site, kind):
        """As the client sees it."""
        handler, expected = HOSTILE[kind]
        site.handle(handler)
        before = status_counts(site)
        status = status_of(site.connect().unary())
        assert status in expected
        wait_until(lambda: status_counts(site).get(status.name, 0) == before.get(status.name, 0) + 1,
                   what=f"{status.name} in {status_counts(site)}")

    @pytest.mark.parametrize("begun", [False, True], ids=["before", "within"])
    @pytest.mark.parametrize("code", [code for code in CODES if code != CODES.REFUSED_STREAM],
                             ids=lambda code: code.name)
    def test_a_reset(self, site, code, begun):
        def handler(exchange):
            exchange.body()
            if begun:
                head(exchange)
                send(exchange, b"one")
            exchange.abort(code)

        site.handle(handler)
        session = site.connect()
        stream = session.unary()
        own = BY_RESET.get(code, Status.INTERNAL)  # what a client would make of it without us
        assert told(stream) == own, f"{told(stream)!r} for {code!r}"
        assert len(site.server.requests) == 1
        site.handle(echo)
        assert session.lives()

    def test_a_refused_call_is_replayed(self, site):
        """It was not looked at."""
        seen = []

        def once(exchange):
            seen.append(exchange)
            if len(seen) == 1:
                exchange.refuse()
            echo(exchange)

        site.handle(once)
        assert site.connect().lives() and len(seen) == 2

    def test_refused_for_ever(self, site):
        site.handle(lambda exchange: exchange.refuse())
        session = site.connect()
        assert told(session.unary()) == Status.UNAVAILABLE
        site.handle(echo)
        assert session.lives()

    def test_a_goaway_that_has_not_seen_it(self, site):
        """Replayed on another connection."""
        seen = []

        def once(exchange):
            seen.append(exchange.connection.number)
            if len(seen) == 1:
                exchange.connection.goaway(exchange.stream - 2 if exchange.stream > 1 else 0)
                exchange.wait_gone()
            echo(exchange)

        site.handle(once)
        assert site.connect().lives() and len(set(seen)) == 2

    def test_a_goaway_in_the_middle(self, site):
        """What has begun goes on to its end, what comes after goes elsewhere."""
        def until_released(exchange):
            exchange.connection.goaway()  # before the head, which tells that it was seen
            head(exchange)
            exchange.hold()
            for piece in exchange.pieces():
                exchange.data(piece)
            finish(exchange)

        site.handle(by_method(Long=until_released))
        session = site.connect()
        stream = session.call(f"/{ECHO}/Long")
        session.until(lambda: stream.headers)
        first = site.server.last.connection
        assert session.lives() and site.server.last.connection != first
        site.server.release()
        assert session.finish(stream)

    def test_an_error_in_the_goaway(self, site):
        def handler(exchange):
            exchange.connection.goaway(code=CODES.INTERNAL_ERROR)
            exchange.close()

        site.handle(handler)
        session = site.connect()
        assert told(session.unary()) == Status.UNAVAILABLE
        site.handle(echo)
        assert session.lives()

    def test_an_end_before_the_request_s(self, site):
        """A complete answer, and a reset because the rest is not wanted (RFC 9113, 8.1)."""
        def handler(exchange):
            head(exchange)
            finish(exchange, Status.PERMISSION_DENIED)
            exchange.connection.sock.sendall(frames.RstStreamFrame(exchange.stream, error_code=0).serialize())

        site.handle(handler)
        session = site.connect()
        stream = session.call()
        session.data_frame(stream, prefixed(b"one of many"))
        session.wait(stream)
        assert told(stream) == Status.PERMISSION_DENIED
        site.handle(echo)
        assert session.lives()

    @pytest.mark.parametrize("before", [0, 2])
    def test_too_long_a_message(self, site, before):
        """Nothing of it goes to the client, and the upstream hears that it is not wanted."""
        def handler(exchange):
            exchange.body()
            head(exchange)
            for _ in range(before):
                send(exchange, b"x" * KIB)
            send(exchange, b"y" * (KIB + 1))
            exchange.wait_gone()

        site.handle(handler)
        session = site.connect("small")
        stream = session.unary()
        assert told(stream) == Status.RESOURCE_EXHAUSTED
        assert bytes(stream.body)[:before * (KIB + 5)] == prefixed(b"x" * KIB) * before
        assert b"y" not in stream.body
        wait_until(lambda: site.server.last.given_up)
        assert site.server.last.reset_code == Code.CANCEL
        site.handle(echo)
        assert session.lives()

    def test_metadata_too_large(self, site):
        def handler(exchange):
            exchange.body()
            exchange.head(200, [*TYPE, *((f"x-{number}", "y" * 2000) for number in range(80))])
            finish(exchange)

        site.handle(handler)
        session = site.connect()
        stream = session.unary()
        assert told(stream) == Status.RESOURCE_EXHAUSTED
        site.handle(echo)
        assert session.lives()

    def test_what_was_seen_is_not_sent_twice(self, site):
        """Even where the route asks for retries: nobody knows what the call has done."""
        site.handle(lambda exchange: (exchange.body(), exchange.abort()))
        assert told(site.connect("retrying").unary()) == Status.INTERNAL and len(site.server.requests) == 1


class TestDeadlines:
    def handlers(self):
        def silent(exchange):
            exchange.body()
            exchange.wait_gone()

        def begun(exchange):
            exchange.body()
            head(exchange)
            send(exchange, b"one")
            exchange.wait_gone()

        def unread(exchange):
            exchange.wait_gone()

        return by_method(Silent=silent, Begun=begun, Unread=unread)

    LIMIT = patient(0.7)  # in which a call reaches the server, however busy the machine is
    TIMEOUT = f"{LIMIT * 1000:.0f}m"

    @pytest.mark.parametrize("method", ["Silent", "Begun", "Unread"])
    def test_it_holds_whatever_the_upstream_does(self, site, method):
        site.handle(self.handlers())
        session, began = site.connect(), time.monotonic()
        stream = session.unary(path=f"/{ECHO}/{method}", timeout=self.TIMEOUT)
        assert told(stream) == Status.DEADLINE_EXCEEDED
        assert -0.01 < time.monotonic() - began - self.LIMIT < patient(1)
        assert messages(stream) == ([b"one"] if method == "Begun" else [])
        request = site.server.last
        wait_until(lambda: request.given_up, what="a reset at the upstream")
        assert request.reset_code == Code.CANCEL
        passed_on = request.get("grpc-timeout")
        unit = {"m": 1e-3, "u": 1e-6}[passed_on[-1]]
        assert 0 < int(passed_on[:-1]) * unit < self.LIMIT + 0.001  # rounded up
        assert session.lives()

    def test_of_a_stream_that_flows(self, site):
        site.handle(by_method(Endless=endless))
        session, began = site.connect(), time.monotonic()
        stream = session.wait(session.call(f"/{ECHO}/Endless", end=True, timeout=self.TIMEOUT))
        assert told(stream) == Status.DEADLINE_EXCEEDED
        assert -0.01 < time.monotonic() - began - self.LIMIT < patient(1)
        wait_until(lambda: site.server.last.gone)
        assert session.lives()

    def test_of_a_client_that_does_not_read(self, site):
        """It is told as soon as its window lets it, and the upstream is free in time."""
        site.handle(endless)
        session = site.connect()
        stream = session.call(end=True, timeout=self.TIMEOUT)
        stream.held = True
        wait_until(lambda: site.server.requests and site.server.last.gone, what="the end of the call at the upstream")
        session.open_window(4 * MIB, stream)
        session.wait(stream)
        assert told(stream) == Status.DEADLINE_EXCEEDED

    def test_short_ones(self, site):
        site.handle(self.handlers())
        session, began = site.connect(), time.monotonic()
        for _ in range(10):
            assert told(session.unary(path=f"/{ECHO}/Silent", timeout="20m")) == Status.DEADLINE_EXCEEDED
        assert 0.2 <= time.monotonic() - began < patient(1)
