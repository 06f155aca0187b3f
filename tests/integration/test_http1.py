"""HTTP/1.1 as RFC 9110 and 9112 have it: framing, keep-alive, pipelining, Expect, HEAD, 1.0, targets."""

import hashlib
import os
import subprocess
import threading
import time

import pytest

from support import configs
from support.http import chunked, request
from support.settings import patient, scaled

CONFIG = configs.config(configs.listener(routes=[
    configs.ECHO, configs.BIG,
    configs.respond("", status=204, headers={}, path="/empty"),
    configs.HELLO,
]))

CHUNKED = {"Transfer-Encoding": "chunked"}
HELLO = b"hello\n"


def test_keep_alive(web):
    client = web.connect()
    for _ in range(20):
        response = client.ask()
        assert (response.status, response.body, response.version) == (200, HELLO, "1.1")
        assert not response.closes
        assert response.get("date")
    assert client.is_open()


@pytest.mark.parametrize("value", ["close", "Close", "foo, close"])
def test_connection_close(web, value):
    client = web.connect()
    response = client.ask(headers={"Connection": value})
    assert response.status == 200 and response.closes
    assert client.ending() == "fin"


@pytest.mark.parametrize("count", [2, 10, 100])
def test_pipelined_answers_keep_their_order(web, count):
    client = web.connect()
    bodies = [b"request %d " % i + b"x" * (i * 7 % 50) for i in range(count)]
    client.send(b"".join(request("POST", "/echo", body=body) for body in bodies))
    assert [client.response().body for _ in bodies] == bodies


def test_pipelined_mix(web):
    """A body, a HEAD, a chunked one and an empty answer in one packet."""
    client = web.connect()
    client.send(request("POST", "/echo", body=b"one") + request("HEAD") +
                request("POST", "/echo", headers=CHUNKED) + chunked(b"th", b"ree") +
                request("GET", "/empty") + request(headers={"Connection": "close"}))
    assert client.response().body == b"one"
    assert client.response("HEAD").get("content-length") == str(len(HELLO))
    assert client.response().body == b"three"
    assert client.response().status == 204
    last = client.response()
    assert last.body == HELLO and last.closes
    assert client.ending() == "fin"


def test_nothing_is_answered_after_close(web):
    client = web.connect()
    client.send(request(headers={"Connection": "close"}) + request())
    assert client.response().closes
    client.ending()
    assert client.buffer == b""


def test_pipelined_behind_a_big_answer(web):
    client = web.connect()
    client.send(request(path="/big") * 4 + request())
    for _ in range(4):
        assert len(client.response().body) == configs.BIG_SIZE
    assert client.response().body == HELLO


@pytest.mark.parametrize("chunks", [(b"a",), (b"hello", b" ", b"world"), (b"x" * 70000, b"y"), ()])
def test_chunked_request_is_echoed(web, chunks):
    client = web.connect()
    client.send(request("POST", "/echo", headers=CHUNKED) + chunked(*chunks))
    response = client.response()
    assert response.status == 200 and response.body == b"".join(chunks)
    assert client.ask().status == 200


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED"])
def test_coding_names_ignore_case(web, coding):
    client = web.connect()
    client.send(request("POST", "/echo", headers={"Transfer-Encoding": coding}) + chunked(b"abc"))
    assert client.response().body == b"abc"


@pytest.mark.parametrize("raw", [
    b"5;name=value\r\nhello\r\n0\r\n\r\n", b"5;name=\"a;b\"\r\nhello\r\n0\r\n\r\n", b"00005\r\nhello\r\n000\r\n\r\n",
    b"A\r\nhellohello\r\n0;last\r\n\r\n", b"a\r\nhellohello\r\n0\r\n\r\n"])
def test_chunk_forms(web, raw):
    client = web.connect()
    client.send(request("POST", "/echo", headers=CHUNKED) + raw)
    response = client.response()
    assert response.status == 200 and response.body in (b"hello", b"hellohello")


def test_trailers_are_accepted(web):
    client = web.connect()
    client.send(request("POST", "/echo", headers={**CHUNKED, "Trailer": "X-Sum"}) +
                chunked(b"abc", trailers=[(b"X-Sum", b"1"), (b"X-More", b"two words")]))
    response = client.response()
    assert response.status == 200 and response.body == b"abc"
    assert client.ask().body == HELLO


def test_unread_bodies_do_not_disturb(web):
    """A handler that takes no body: the next request is still found."""
    client = web.connect()
    client.send(request("POST", "/", body=b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n" * 20))
    assert client.response().body == HELLO
    client.send(request("POST", "/", headers=CHUNKED) + chunked(b"ignored" * 1000))
    assert client.response().body == HELLO
    assert client.ask().status == 200


class TestExpect:
    def test_continue_then_answer(self, web):
        client = web.connect()
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.head().status == 100
        client.send(b"hello")
        response = client.response()
        assert response.status == 200 and response.body == b"hello"
        assert client.ask().status == 200

    def test_value_ignores_case(self, web):
        client = web.connect()
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n")
        assert client.head().status == 100
        client.send(b"x")
        assert client.response().body == b"x"

    def test_body_that_comes_at_once(self, web):
        response, = web.request(request("POST", "/echo", headers={"Expect": "100-continue"}, body=b"early"))
        assert response.status == 200 and response.body == b"early"

    def test_chunked(self, web):
        client = web.connect()
        client.send(request("POST", "/echo", headers={**CHUNKED, "Expect": "100-continue"}))
        assert client.head().status == 100
        client.send(chunked(b"abc"))
        assert client.response().body == b"abc"

    def test_not_for_1_0(self, web):
        """RFC 9110 10.1.1: an expectation of an HTTP/1.0 client is ignored."""
        client = web.connect()
        client.send(request("POST", "/echo", headers={"Expect": "100-continue"}, body=b"x", version="1.0"))
        response = client.response()
        assert response.status == 200 and not response.interim

    def test_unknown_is_417(self, web):
        client = web.connect()
        client.send(request("POST", "/echo", headers={"Expect": "miracles"}, body=b"x"))
        assert client.response().status == 417
        assert web.ask().status == 200


@pytest.mark.parametrize("path,length", [("/", len(HELLO)), ("/big", configs.BIG_SIZE)])
def test_head_has_the_length_and_no_body(web, path, length):
    client = web.connect()
    response = client.ask("HEAD", path)
    assert response.status == 200 and response.get("content-length") == str(length)
    assert client.ask().body == HELLO


def test_head_of_an_error(web):
    client = web.connect()
    client.send(request("HEAD", "/%00"))
    assert client.response("HEAD").status == 400
    client.ending()
    assert client.buffer == b""


def test_204_has_neither_body_nor_length(web):
    client = web.connect()
    response = client.ask("GET", "/empty")
    assert response.status == 204
    assert response.get("content-length") is None and response.get("transfer-encoding") is None
    assert client.ask().body == HELLO


class TestHttp10:
    def test_closes(self, web):
        client = web.connect()
        response = client.ask(version="1.0")
        assert response.status == 200 and response.body == HELLO
        assert client.ending() == "fin"

    def test_needs_no_host(self, web):
        assert web.ask(version="1.0", host=None).status == 200

    def test_keeps_alive_when_asked(self, web):
        client = web.connect()
        for _ in range(3):
            response = client.ask(version="1.0", headers={"Connection": "keep-alive"})
            assert response.status == 200
            assert response.has_token("connection", "keep-alive")

    def test_answer_is_never_chunked(self, web):
        client = web.connect()
        response = client.ask("POST", "/echo", version="1.0", body=b"x" * 100_000)
        assert response.get("transfer-encoding") is None
        assert response.body == b"x" * 100_000


@pytest.mark.parametrize("target", ["http://localhost/", "http://localhost:8080/", "http://other.example/?q",
                                    "HTTP://LOCALHOST/"])
def test_absolute_form(web, target):
    response = web.ask("GET", target)
    assert response.status == 200 and response.body == HELLO


def test_options_star(web):
    client = web.connect()
    assert client.ask("OPTIONS", "*").status in (200, 204)
    assert client.ask().status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_methods(web, method):
    assert web.ask(method, "/", body=None if method == "GET" else b"").status == 200


@pytest.mark.parametrize("prefix", [b"\r\n", b"\r\n\r\n"])
def test_empty_lines_before_a_request_are_skipped(web, prefix):
    """RFC 9112 2.2: at least one empty line before the request line is ignored."""
    client = web.connect()
    client.send(prefix + request())
    assert client.response().status == 200


def test_whitespace_around_values(web):
    client = web.connect()
    client.send(b"POST /echo HTTP/1.1\r\nHost:localhost\r\nContent-Length: \t 2  \r\nX-Empty:\r\nX-Tab: \ta\t\r\n\r\nhi")
    assert client.response().body == b"hi"


def test_half_closed_client_is_answered(web):
    client = web.connect()
    client.send(request() * 3)
    client.finish()
    for _ in range(3):
        assert client.response().body == HELLO
    assert client.ending() == "fin"


SMALL = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n"


def test_every_split(web):
    """Two fragments, split at every place: on one connection, the state must be right each time."""
    client = web.connect()
    for at in range(1, len(SMALL)):
        client.send(SMALL[:at])
        time.sleep(0.001)
        client.send(SMALL[at:])
        response = client.response()
        assert (response.status, response.body) == (200, b"abc"), f"split at {at}"


def test_byte_by_byte(web):
    client = web.connect()
    for raw in (SMALL, request(), request("POST", "/echo", body=b"abc")):
        for byte in raw:
            client.send(bytes([byte]))
            time.sleep(0.0005)
        assert client.response().status == 200


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 16, 31])
def test_fragments(web, size):
    client = web.connect()
    stream = (SMALL + request() + request("POST", "/echo", body=b"0123456789")) * 3
    for start in range(0, len(stream), size):
        client.send(stream[start:start + size])
    bodies = [client.response().body for _ in range(9)]
    assert bodies == [b"abc", HELLO, b"0123456789"] * 3


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_large_echo_through_a_slow_reader(web, coding):
    size = scaled(10, 100) * 1024 * 1024
    block = os.urandom(64 * 1024)
    client = web.connect(timeout=60, receive_buffer=64 * 1024)
    before = web.rss()

    def upload():
        if coding == "length":
            client.sock.sendall(f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        else:
            client.sock.sendall(request("POST", "/echo", headers=CHUNKED))
        for _ in range(size // len(block)):
            client.sock.sendall(block if coding == "length" else b"%x\r\n%s\r\n" % (len(block), block))
        if coding == "chunked":
            client.sock.sendall(b"0\r\n\r\n")

    sender = threading.Thread(target=upload, daemon=True)
    sender.start()
    # Nothing is read for a while: what the daemon holds of it must stay small, whatever is sent.
    sender.join(0.5)
    held = web.rss() - before
    response = client.response()
    sender.join(patient(10))
    assert response.status == 200 and len(response.body) == size
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(block * (size // len(block))).digest()
    assert held < 4 * 1024 * 1024 * patient(1)
    assert client.ask().status == 200


def test_curl(web, needs, tmp_path):
    needs("curl")
    upload = tmp_path / "upload"
    upload.write_bytes(os.urandom(2_000_000))
    got = tmp_path / "got"

    def curl(*args):
        done = subprocess.run(["curl", "-sS", "--fail", "--max-time", "30", *map(str, args)], capture_output=True,
                              timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert curl(web.url() + "/") == HELLO
    assert curl("-0", web.url() + "/") == HELLO
    assert b"HTTP/1.1 200" in curl("-I", web.url() + "/")
    curl("--data-binary", f"@{upload}", "-o", got, web.url() + "/echo")
    assert got.read_bytes() == upload.read_bytes()
    curl("-H", "Transfer-Encoding: chunked", "--data-binary", f"@{upload}", "-o", got, web.url() + "/echo")
    assert got.read_bytes() == upload.read_bytes()
    curl("-T", upload, "-o", got, web.url() + "/echo")
    assert got.read_bytes() == upload.read_bytes()
    assert curl(web.url() + "/", web.url() + "/") == HELLO * 2


def test_a_bad_host_beside_an_absolute_target_is_refused(web):
    """RFC 9112 3.2: an invalid Host is 400, whatever the target says."""
    client = web.connect()
    client.send(b"GET http://good.example/ HTTP/1.1\r\nHost: x@y z\r\n\r\n")
    assert client.response().status == 400


def test_the_last_answer_survives_requests_behind_it(start):
    """The connection ends after some of the pipelined requests: what was answered arrives, without an RST."""
    sluice = start(configs.config(configs.listener(max_requests_per_connection=40)))
    client = sluice.connect(receive_buffer=4096)
    client.try_send(request() * 3000)
    answers = 0
    while True:
        response = client.response()
        assert response.status == 200
        answers += 1
        if response.closes:
            break
    assert 36 <= answers <= 44
    assert client.ending() == "fin"
