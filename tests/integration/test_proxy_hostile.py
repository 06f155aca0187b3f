"""Upstreams and clients that try to make one message look like two: nothing of the one reaches the other."""

import pytest

from support.h2client import Code
from support.http import Closed, request
from support.upstreams import answering, hello, raw
from support.waiting import wait_until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
EVIL = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-evil: yes\r\n\r\nevil"
LONG_LIVED = {"request_timeout": "1h", "keep_alive_timeout": "1h"}
POOL = LONG_LIVED
# Whoever fails the others' tests is not to be left out here.
UPSTREAM = {"passive_health": {"consecutive_errors": 0}}


def head(*lines, body=b""):
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines]) + b"\r\n\r\n" + body


BAD_ANSWERS = {
    "both_lengths": head(b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n"),
    "both_lengths_other_order": head(b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
    "two_lengths": head(b"content-length: 2", b"content-length: 3", body=b"okx"),
    "list_of_lengths": head(b"content-length: 2, 3", body=b"okx"),
    "negative_length": head(b"content-length: -2", body=b"ok"),
    "signed_length": head(b"content-length: +2", body=b"ok"),
    "hex_length": head(b"content-length: 0x2", body=b"ok"),
    "huge_length": head(b"content-length: 99999999999999999999999", body=b"ok"),
    "empty_length": head(b"content-length:", body=b"ok"),
    "unknown_coding": head(b"transfer-encoding: gzip", body=b"ok"),
    "chunked_not_last": head(b"transfer-encoding: chunked, gzip", body=b"2\r\nok\r\n0\r\n\r\n"),
    "chunked_twice": head(b"transfer-encoding: chunked, chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
    "misspelt_coding": head(b"transfer-encoding: xchunked", body=b"2\r\nok\r\n0\r\n\r\n"),
    "folded": head(b"x-a: b", b" folded: c", b"content-length: 2", body=b"ok"),
    "bare_lf": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "bare_lf_between": b"HTTP/1.1 200 OK\r\nx-a: b\ncontent-length: 2\r\n\r\nok",
    "bare_cr": head(b"x-a: b\rc", b"content-length: 2", body=b"ok"),
    "blank_before_colon": head(b"content-length : 2", body=b"ok"),
    "no_colon": head(b"content-length", body=b"ok"),
    "empty_name": head(b": x", b"content-length: 2", body=b"ok"),
    "nul_in_value": head(b"x-a: b\0c", b"content-length: 2", body=b"ok"),
    "status_of_four": b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok",
    "status_of_two": b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok",
    "status_of_letters": b"HTTP/1.1 abc OK\r\ncontent-length: 2\r\n\r\nok",
    "no_status": b"HTTP/1.1\r\ncontent-length: 2\r\n\r\nok",
    "other_version": b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "lower_case": b"http/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n",
    "request": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "tls_alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "html": b"<html>no head at all</html>\r\n\r\n",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_bad_answers(to_h1, name):
    ends = name in ("tls_alert", "html")
    to_h1.handle(raw(BAD_ANSWERS[name], then="close" if ends else "keep"))
    answer = to_h1.ask("POST", body=b"x")
    assert answer.status == 502 and answer.reason in (("protocol", "reset") if ends else ("protocol",)), answer
    assert to_h1.handle(hello).ask().body == b"hello\n"


@pytest.mark.parametrize("name, bad", [
    ("many_fields", head(*[b"x-%d: y" % n for n in range(300)], b"content-length: 2", body=b"ok")),
    ("long_field", head(b"x-long: " + b"y" * 70_000, b"content-length: 2", body=b"ok")),
    ("long_reason", b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok"),
    ("endless", b"HTTP/1.1 200 OK\r\n" + b"x-y: z\r\n" * 20_000),
])
def test_heads_that_are_too_large(to_h1, name, bad):
    to_h1.handle(raw(bad))
    answer = to_h1.ask("POST", body=b"x")
    assert (answer.status, answer.reason) == (502, "header_too_large")
    assert to_h1.handle(hello).ask().status == 200


@pytest.mark.parametrize("garbage", [
    b"zz\r\nok\r\n", b"-2\r\nok\r\n", b"2\r\nokXX0\r\n\r\n", b"2\nok\r\n0\r\n\r\n", b"fffffffffffffffff\r\nok",
    b"2;a\nb\r\nok\r\n0\r\n\r\n", b"2\r\nok\r\n0\r\nbad trailer\r\n\r\n", b"2 \r\nok\r\n0\r\nx : y\r\n\r\n",
])
def test_garbage_in_chunks(to_h1, garbage):
    """The head is on its way already, so the client must see that the answer is not whole."""
    to_h1.handle(raw(head(b"transfer-encoding: chunked", body=b"5\r\nfirst\r\n" + garbage)))
    with to_h1.open() as client:
        if to_h1.front == "http2":
            stream = client.wait(client.begin())
            whole = stream.ended and stream.reset is None and stream.status == 200
        else:
            client.send(request())
            try:
                whole = client.response().status == 200
            except Closed:
                whole = False
    assert not whole
    assert to_h1.handle(hello).ask().status == 200


# Answers that were not asked for

@pytest.mark.parametrize("extra", [EVIL, b"x", b"\r\n", EVIL * 100, b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_bytes_after_an_answer(to_h1, extra):
    to_h1.handle(raw(OK + extra))
    for _ in range(10):
        answer = to_h1.ask()
        assert (answer.status, answer.body, answer.get("x-evil")) == (200, b"ok", None)
    assert len({one.connection for one in to_h1.server.requests}) == 10


@pytest.mark.parametrize("first, method", [
    (b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL, "GET"), (b"HTTP/1.1 304 Not Modified\r\n\r\n" + EVIL, "GET"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n" + EVIL, "HEAD"),
])
def test_bodies_where_there_is_none(to_h1, first, method):
    to_h1.handle(raw(first))
    for _ in range(5):
        answer = to_h1.ask(method)
        assert answer.status in (200, 204, 304) and answer.body == b"" and answer.get("x-evil") is None
    to_h1.handle(raw(OK))
    assert to_h1.ask().body == b"ok"


def test_bytes_on_an_idle_connection(to_h1):
    """As a server sends a 408 before it closes: evicted, and nobody's answer."""
    to_h1.handle(raw(OK))
    assert to_h1.ask().body == b"ok"
    used = to_h1.server.connections[to_h1.last.connection - 1]
    used.sock.sendall(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nx-evil: yes\r\n\r\n")
    wait_until(lambda: used.ended, what="the connection evicted")
    answer = to_h1.ask("POST", body=b"x")
    assert (answer.status, answer.get("x-evil")) == (200, None)
    assert to_h1.last.connection != used.number


# HTTP/2 answers that are none

BAD_H2_ANSWERS = {
    "line_break": [("x-a", "b\r\nx-evil: yes")], "nul": [("x-a", "b\0")], "upper_case": [("X-A", "b")],
    "connection": [("connection", "close")], "transfer_encoding": [("transfer-encoding", "chunked")],
    "keep_alive": [("keep-alive", "timeout=5")], "upgrade": [("upgrade", "h2c")],
    "name_with_blank": [("x a", "b")], "name_with_break": [("x\r\ny", "b")], "pseudo": [(":path", "/")],
    "two_states": [(":status", "201")], "two_lengths": [("content-length", "1"), ("content-length", "2")],
    "bad_length": [("content-length", "2x")],
}


@pytest.mark.parametrize("name", BAD_H2_ANSWERS)
def test_bad_h2_answers(to_h2, name):
    def wrong(exchange):
        exchange.body()
        exchange._headers(200, BAD_H2_ANSWERS[name])
        exchange.data(b"ok")
        exchange.end()

    to_h2.handle(wrong)
    answer = to_h2.ask("POST", body=b"x")
    assert (answer.status, answer.get("x-evil")) == (502, None), answer
    assert answer.reason in ("protocol", "reset")
    assert to_h2.handle(hello).ask().status == 200


@pytest.mark.parametrize("status", ["101", "20", "abc", "1000", ""])
def test_bad_h2_states(to_h2, status):
    def wrong(exchange):
        exchange.body()
        exchange._headers(status, [])
        exchange.data(b"ok")
        exchange.end()

    to_h2.handle(wrong)
    assert to_h2.ask("POST", body=b"x").status == 502
    assert to_h2.handle(hello).ask().status == 200


@pytest.mark.parametrize("told, sent", [(5, b"more than five"), (50, b"less")])
def test_h2_bodies_of_another_length(to_h2, told, sent):
    def wrong(exchange):
        exchange.head(length=told)
        exchange.data(sent)
        exchange.end()

    to_h2.handle(wrong)
    with to_h2.open() as client:
        if to_h2.front == "http2":
            stream = client.wait(client.begin())
            assert stream.status == 502 or stream.reset is not None
        else:
            client.send(request())
            try:
                assert client.response().status == 502
            except Closed:
                pass
    assert to_h2.handle(hello).ask().status == 200


@pytest.mark.parametrize("name, fields", [
    ("large", [("x-long", "y" * 70_000)]), ("many", [(f"x-{n}", "y") for n in range(300)]),
])
def test_h2_heads_that_are_too_large(to_h2, name, fields):
    to_h2.handle(answering(headers=fields))
    answer = to_h2.ask("POST", body=b"x")
    assert (answer.status, answer.reason) == (502, "header_too_large")
    assert to_h2.handle(hello).ask().status == 200


# Requests that would be two behind us

H1_SMUGGLING = {
    "both_lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "folded_coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 6\r\n\r\n"
                     b"0\r\n\r\nG",
    "blank_coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
    "two_lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n",
    "chunked_twice": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
                     b"0\r\n\r\n",
    "bare_lf": b"POST / HTTP/1.1\r\nHost: x\nX: y\r\nContent-Length: 0\r\n\r\n",
    "cr_in_value": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\rX-Evil: c\r\n\r\n",
    "blank_in_target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "two_versions": b"GET /a HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "tab_in_target": b"GET /a\tb HTTP/1.1\r\nHost: x\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "encoded_nul": b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", H1_SMUGGLING)
def test_h1_smuggling(links, name):
    for back in ("http", "http2"):
        link = links[f"http-{back}"]
        link.server.begin_test()
        with link.open() as client:
            client.send(H1_SMUGGLING[name])
            assert client.response().status == 400
            client.ending()
        assert not link.server.requests and not link.server.problems


H2_SMUGGLING = {
    "line_break_in_value": [("x-a", "b\r\nTransfer-Encoding: chunked")], "lf_in_value": [("x-a", "b\nx: y")],
    "nul_in_value": [("x-a", "b\0c")], "line_break_in_name": [("x-a: b\r\nx", "c")], "blank_in_name": [("x a", "b")],
    "colon_in_name": [("x:a", "b")], "upper_case": [("X-A", "b")], "coding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "close")], "upgrade": [("upgrade", "h2c")], "te": [("te", "gzip")],
    "two_lengths": [("content-length", "1"), ("content-length", "2")], "long_length": [("content-length", "+1")],
    "other_host": [("host", "other.example")],
}
H2_LINES = {
    "blank_in_path": {":path": "/ HTTP/1.1\r\nhost: evil"}, "line_break_in_path": {":path": "/\r\nx: y"},
    "blank": {":path": "/a b"}, "no_slash": {":path": "a"}, "empty_path": {":path": ""},
    "line_break_in_method": {":method": "GET / HTTP/1.1\r\nx: y"}, "blank_in_method": {":method": "GET /evil"},
    "line_break_in_authority": {":authority": "x\r\nx-evil: y"}, "blank_in_authority": {":authority": "x y"},
    "user_in_authority": {":authority": "user@x"}, "path_in_authority": {":authority": "x/evil"},
}


def h2_refuses(links, change):
    for back in ("http", "http2"):
        link = links[f"http2-{back}"]
        link.server.begin_test()
        with link.open() as session:
            fields = change(session.fields(scheme="http"))
            stream = session.open(fields)
            session.until(lambda: stream.done or session.goaways)
            assert (stream.reset is not None or session.goaways) if stream.headers is None else stream.status == 400
        assert not link.server.requests and not link.server.problems


@pytest.mark.parametrize("name", H2_SMUGGLING)
def test_h2_smuggling_in_fields(links, name):
    h2_refuses(links, lambda fields: fields + H2_SMUGGLING[name])


@pytest.mark.parametrize("name", H2_LINES)
def test_h2_smuggling_in_the_line(links, name):
    h2_refuses(links, lambda fields: [(key, H2_LINES[name].get(key, value)) for key, value in fields])


@pytest.mark.parametrize("told, sent", [("0", b"GET /evil HTTP/1.1\r\nhost: x\r\n\r\n"), ("3", b"four"),
                                        ("50", b"less")])
def test_h2_bodies_that_are_not_what_was_told(links, told, sent):
    """The upstream must not take the rest for the next request, nor wait for what never comes."""
    for back in ("http", "http2"):
        link = links[f"http2-{back}"]
        link.server.begin_test(lambda exchange: exchange.answer(body=exchange.body()))
        with link.open() as session:
            stream = session.begin("POST", headers=[("content-length", told)], end=False, scheme="http")
            session.send_data(stream, sent, end=True)
            session.wait(stream)
            # What was told to have no body may be answered before the body comes.
            assert stream.reset == Code.PROTOCOL_ERROR or stream.status == (200 if told == "0" else 400)
        assert all(one.target == "/" and (told == "0" or not one.whole) for one in link.server.requests)
        assert link.ask().status == 200 and not link.server.problems
        assert "/evil" not in [one.target for one in link.server.requests]


def test_a_request_that_is_cut_off(h1_link):
    """Half a body is not a whole one, and nobody's beginning."""
    h1_link.handle(lambda exchange: exchange.answer(body=exchange.body()))
    with h1_link.open() as client:
        client.send(request("POST", headers={"Content-Length": "100"}) + b"x" * 50)
        h1_link.server.wait_requests(1)
    first = h1_link.last
    wait_until(lambda: first.given_up, what="the upstream told that the request is cut")
    assert not first.whole
    assert h1_link.ask("POST", body=b"fine").body == b"fine"
    assert h1_link.last.connection != first.connection


def test_chunks_that_are_cut_off(h1_link):
    h1_link.handle(lambda exchange: exchange.answer(body=exchange.body()))
    with h1_link.open() as client:
        client.send(request("POST", headers={"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n")
        h1_link.server.wait_requests(1)
        client.send(b"zz\r\n")
        client.ending()
    wait_until(lambda: h1_link.last.given_up)
    assert not h1_link.last.whole and bytes(h1_link.last.body) in (b"", b"hello")
