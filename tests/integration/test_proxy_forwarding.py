"""Requests and answers on their way through: each listener protocol on each upstream protocol."""

import hashlib
import random

import pytest

from support.h2client import Code
from support.http import Closed, chunked, request
from support.load import Crew
from support.settings import scaled
from support.upstreams import answering, echo, hello, raw, streaming_echo
from support.waiting import wait_until

MIB = 1024 * 1024
POOL = {"request_timeout": "1h", "keep_alive_timeout": "1h"}


def noise(size):
    return random.Random(size).randbytes(size)


# Bodies

@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_methods(link, method):
    link.handle(echo)
    answer = link.ask(method, "/some/path?and=query")
    assert (answer.status, answer.body) == (200, b"")
    assert (link.last.method, link.last.target) == (method, "/some/path?and=query")
    assert link.ask(method, body=b"a body").body == b"a body"


@pytest.mark.parametrize("size", [1, 100, 16_384, 65_535, 65_536, 65_537, 300_000])
def test_bodies_with_their_length(link, size):
    body = noise(size)
    answer = link.handle(echo).ask("POST", body=body, headers=length_of(link, body))
    assert answer.body == body and answer.get("content-length") == str(size)
    assert link.last.get("content-length") == str(size)


def length_of(link, body):
    """HTTP/1 clients have told it already."""
    return [] if link.front == "http" else [("content-length", str(len(body)))]


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_bodies_without_their_length(link, size):
    body = noise(size)
    answer = link.handle(streaming_echo).ask("POST", body=body, trailers=[])
    assert answer.body == body and answer.get("content-length") is None
    assert link.last.get("content-length") in (None, "0") and link.last.body == body


def test_nothing_is_framed_where_there_is_no_body(link):
    assert link.ask().body == b"hello\n"
    assert not {"content-length", "transfer-encoding"} & set(link.last.names)
    link.ask("POST", body=b"" if link.front == "http" else None)
    assert link.last.get("transfer-encoding") is None and link.last.get("content-length") in (None, "0")
    if link.back == "http":
        assert link.last.get("content-length") == "0"


def test_an_empty_answer(link):
    assert link.handle(answering(200, body=b"")).ask().body == b""
    assert link.handle(answering(404, body=b"none")).ask().status == 404


def test_much_both_ways(link):
    body = noise(scaled(10, 100) * MIB)
    answer = link.handle(streaming_echo).ask("POST", body=body)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    assert link.last.body == body


@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_head(link, size):
    link.handle(answering(headers=[("etag", '"x"')], body=b"x" * size))
    with link.open() as client:
        answer = link.ask("HEAD", on=client)
        assert (answer.status, answer.body, answer.get("etag")) == (200, b"", '"x"')
        assert answer.get("content-length") == str(size)
        assert link.last.method == "HEAD"
        assert len(link.ask("GET", on=client).body) == size


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body(link, status):
    link.handle(answering(status, [("etag", '"x"')]))
    with link.open() as client:
        for _ in range(3):
            answer = link.ask(on=client)
            assert (answer.status, answer.body, answer.get("etag")) == (status, b"", '"x"')
            assert answer.get("transfer-encoding") is None


def test_every_status_goes_through(link):
    for status in (200, 201, 206, 301, 400, 401, 403, 404, 418, 421, 429, 451, 500, 501, 502, 503, 504, 599):
        answer = link.handle(answering(status, body=b"as it is")).ask("POST", body=b"x")
        assert (answer.status, answer.body, answer.reason) == (status, b"as it is", None)


def test_pieces_come_as_they_are_sent(link):
    """Nothing is kept until it is whole, in either direction."""
    link.handle(streaming_echo)
    with link.open() as client:
        if link.front == "http":
            client.send(request("POST", headers={"Transfer-Encoding": "chunked"}))
            client.send(b"5\r\nfirst\r\n")
            assert client.head().status == 200
            assert client._until(b"\r\n") == b"5" and client.exactly(7) == b"first\r\n"
            client.send(chunked(b"second"))
            assert b"second" in client._chunked_body(_Trailers())
        else:
            stream = client.begin("POST", end=False)
            client.send_data(stream, b"first")
            client.until(lambda: stream.body == b"first")
            client.send_data(stream, b"second", end=True)
            client.wait(stream)
            assert stream.body == b"firstsecond"


class _Trailers:
    trailers = None


def test_an_answer_that_ends_with_the_connection(to_h1):
    to_h1.handle(raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n" + b"x" * 100_000, then="close"))
    for _ in range(3):
        answer = to_h1.ask()
        assert answer.body == b"x" * 100_000 and answer.get("content-length") is None


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_old_server(to_h1, version):
    old = f"HTTP/{version} 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello".encode()
    to_h1.handle(raw(old, then="close"))
    for _ in range(3):
        assert to_h1.ask().body == b"hello"


def test_an_old_client(h1_link):
    h1_link.handle(streaming_echo)
    with h1_link.open() as client:
        client.send(request("POST", version="1.0", body=b"old"))
        response = client.response()
    assert response.body == b"old" and response.get("transfer-encoding") is None
    assert h1_link.last.version == "1.1"


# What is broken off must not look whole

def cut_off(link):
    """True if the client can see that the answer is not whole."""
    if link.front == "http":
        with link.open() as client, pytest.raises(Closed):
            client.send(request())
            client.response()
        return True
    with link.open() as session:
        stream = session.begin()
        session.wait(stream)
        return stream.reset is not None and not stream.ended


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_body_that_ends_too_soon(to_h1, how):
    to_h1.handle(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 50_000, then=how))
    assert cut_off(to_h1)
    to_h1.handle(raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", then=how))
    assert cut_off(to_h1)


def test_a_body_without_framing_that_is_reset(to_h1):
    to_h1.handle(raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 50_000, then="reset"))
    assert cut_off(to_h1)


def test_an_exchange_that_is_broken_off(link):
    def half(exchange):
        exchange.head()
        exchange.data(b"x" * 1000)
        exchange.abort()

    link.handle(half)
    assert cut_off(link)
    assert link.handle(hello).ask().status == 200


# Trailers, interim and early answers

def test_trailers_both_ways(link):
    link.handle(echo)
    sent = [("checksum", "abc"), ("second", "2")]
    wish = [("TE", "trailers"), ("Trailer", "checksum, second")]
    answer = link.ask("POST", headers=wish, body=b"body", trailers=sent)
    assert [(name.lower(), value) for name, value in link.last.trailers] == sent
    assert (answer.body, answer.trailers) == (b"body", sent)
    assert link.last.get("te") == "trailers"


def test_trailers_without_a_body(link):
    link.handle(lambda exchange: exchange.answer(trailers=[("grpc-status", "0")]))
    answer = link.ask("POST", headers=[("TE", "trailers")], trailers=[("last", "one")])
    assert (answer.body, answer.trailers) == (b"", [("grpc-status", "0")])
    assert [name.lower() for name, _ in link.last.trailers] == ["last"]


def test_trailers_frame_nothing(to_h1):
    to_h1.handle(raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
                     b"content-length: 77\r\ntransfer-encoding: gzip\r\nconnection: x\r\nfine: yes\r\n\r\n"))
    answer = to_h1.ask(headers=[("TE", "trailers")])
    assert (answer.body, answer.trailers) == (b"ok", [("fine", "yes")])


def test_early_hints(link):
    def hinting(exchange):
        exchange.interim(103, [("link", "</style.css>")])
        exchange.interim(103, [("link", "</script.js>"), ("link", "</more.js>")])
        exchange.answer(body=b"page")

    answer = link.handle(hinting).ask()
    assert [(status, [value for name, value in fields if name == "link"]) for status, fields in answer.interim] == \
        [(103, ["</style.css>"]), (103, ["</script.js>", "</more.js>"])]
    assert answer.body == b"page"


def test_what_expects_to_continue(h1_link):
    """The listener itself says so; the upstream is not asked."""
    h1_link.handle(echo)
    with h1_link.open() as client:
        client.send(request("POST", headers={"Expect": "100-continue", "Content-Length": "5"}))
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response().body == b"hello"
    assert h1_link.last.get("expect") is None


def test_an_upstream_that_says_continue_of_itself(link):
    def eager(exchange):
        exchange.interim(100)
        exchange.answered = True
        exchange.answer(body=b"fine")

    answer = link.handle(eager).ask("POST", body=b"x")
    assert (answer.body, answer.interim) == (b"fine", [])


def test_an_early_answer(link):
    """The rest of the request is wanted no more; the client sees the answer, not an error."""
    def hasty(exchange):
        exchange.answer(413, body=b"too much", read=False)

    link.handle(hasty)
    with link.open() as client:
        if link.front == "http":
            client.send(request("POST", headers={"Content-Length": str(10 * MIB)}) + b"x" * 10_000)
            response = client.response()
            assert (response.status, response.body) == (413, b"too much")
        else:
            stream = client.begin("POST", headers=[("content-length", str(10 * MIB))], end=False)
            client.send_data(stream, b"x" * 10_000)
            client.until(lambda: stream.ended)
            assert (stream.status, stream.body) == (413, b"too much")
            assert stream.reset in (None, Code.NO_ERROR)
            link.handle(hello)
            assert link.ask(on=client).body == b"hello\n"  # the session goes on
    assert link.handle(hello).ask().body == b"hello\n"


def test_an_early_answer_to_who_sends_on(link):
    """A streaming server answers while the upload goes on to its end."""
    def at_once(exchange):
        exchange.head()
        exchange.data(b"begun ")
        size = len(exchange.body())
        exchange.data(str(size).encode())
        exchange.end()

    link.handle(at_once)
    assert link.ask("POST", body=b"x" * MIB).body == b"begun %d" % MIB


def test_an_upgrade_is_refused_by_not_asking_for_it(h1_link):
    h1_link.handle(hello)
    answer = h1_link.ask(headers={"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
    assert (answer.status, answer.body) == (200, b"hello\n")
    assert h1_link.last.get("upgrade") is None and "upgrade" not in (h1_link.last.get("connection") or "").lower()
    with h1_link.open() as client:
        upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAA"}
        assert client.ask(headers=upgrade).body == b"hello\n"
        assert not {"upgrade", "http2-settings"} & set(h1_link.last.names)
        assert client.ask().status == 200


def test_a_switch_of_protocols_nobody_asked_for(to_h1):
    to_h1.handle(raw(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"))
    answer = to_h1.ask()
    assert (answer.status, answer.reason) == (502, "protocol")


# Paths

@pytest.mark.parametrize("sent, forwarded", [
    ("/", "/"), ("/a/b", "/a/b"), ("/a?x=%2F..%2f&y=/../", "/a?x=%2F..%2f&y=/../"), ("/a%2Fb", "/a%2Fb"),
    ("/a%2fb/c", "/a%2fb/c"), ("/a/../b", "/b"), ("/./a", "/a"), ("/%61%62", "/ab"), ("/a%20b", "/a%20b"),
    ("/%7Euser", "/~user"), ("/a/%2e%2e/b", "/b"), ("/a?", "/a?"), ("/a/", "/a/"), ("/%C3%A4", "/%C3%A4"),
    ("/a;b=c/d", "/a;b=c/d"), ("/?q", "/?q"),
])
def test_paths(link, sent, forwarded):
    assert link.ask(path=sent).status == 200
    assert link.last.target.lower() == forwarded.lower()


def test_an_absolute_target(h1_link):
    with h1_link.open() as client:
        client.send(request(path="http://Example.com:8080/x?y", host="example.com:8080"))
        assert client.response().status == 200
    assert (h1_link.last.target, h1_link.last.authority.lower()) == ("/x?y", "example.com:8080")


def test_options_of_all(link):
    """No route is meant but the listener itself, which answers."""
    assert link.ask("OPTIONS", "*").status == 204
    assert not link.server.requests


# Many at once

def test_pipelined(h1_link):
    def path(exchange):
        exchange.answer(body=exchange.request.target.encode())

    h1_link.handle(path)
    with h1_link.open() as client:
        client.send(b"".join(request(path=f"/{n}") for n in range(20)))
        assert [client.response().body for _ in range(20)] == [b"/%d" % n for n in range(20)]


class Talkers(Crew):
    """Each asks in a row on one connection; what is not its own answer is kept."""

    def __init__(self, link, count, requests):
        self.link, self.requests, self.wrong, self.right = link, requests, [], 0
        super().__init__(range(count))

    def _run(self, number):
        rng = random.Random(number)
        with self.link.open() as client:
            for n in range(self.requests):
                body = b"%d-%d " % (number, n) * rng.choice([1, 10, 2000])
                answer = self.link.ask("POST", f"/{number}/{n}", body=body, on=client)
                if (answer.status, answer.body) == (200, body):
                    self.right += 1
                else:
                    self.wrong.append((answer.status, answer.body[:30], body[:30]))

    def stop(self):
        for thread in self.threads:
            thread.join(60)


def test_nobody_gets_what_is_another_s(link):
    link.handle(echo)
    with Talkers(link, 10, scaled(20, 500)) as talkers:
        talkers.stop()
    assert not talkers.wrong and talkers.right == 10 * talkers.requests


def test_many_streams_of_one_session(links):
    link = links["http2-http"]
    link.server.begin_test(echo)
    with link.open() as session:
        streams = [session.begin("POST", f"/{n}", end=False) for n in range(50)]
        for n, stream in enumerate(streams):
            session.send_data(stream, b"%d" % n, end=True)
        session.wait(*streams)
        assert [bytes(stream.body) for stream in streams] == [b"%d" % n for n in range(50)]
    wait_until(lambda: link.sluice.upstream("http")["waiting"] == 0)
