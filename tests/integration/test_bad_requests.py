"""Requests that a strict server refuses: the right status, `Connection: close`, an orderly end, and life goes on."""

import pytest

from support import configs, names
from support.http import Closed, chunked, request

CONFIG = configs.config(configs.listener(
    routes=[configs.ECHO, configs.HELLO], max_header_size="8KiB", max_body_size="64KiB", headers_timeout="3s"))

HOST = b"Host: localhost\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST
TE = b"Transfer-Encoding: chunked\r\n"
FIELDS_100 = b"".join(b"X-F%d: v\r\n" % i for i in range(99))

BAD = [
    # Framing
    ("te_and_cl", 400, POST + TE + b"Content-Length: 5\r\n\r\n0\r\n\r\n"),
    ("cl_and_te", 400, POST + b"Content-Length: 5\r\n" + TE + b"\r\n0\r\n\r\n"),
    ("differing_lengths", 400, POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("differing_lengths_in_list", 400, POST + b"Content-Length: 5, 6\r\n\r\nhello"),
    ("same_length_twice", 400, POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    ("same_length_in_list", 400, POST + b"Content-Length: 5, 5\r\n\r\nhello"),
    ("negative_length", 400, POST + b"Content-Length: -5\r\n\r\nhello"),
    ("plus_length", 400, POST + b"Content-Length: +5\r\n\r\nhello"),
    ("hex_length", 400, POST + b"Content-Length: 0x5\r\n\r\nhello"),
    ("length_with_space", 400, POST + b"Content-Length: 5 5\r\n\r\nhello"),
    ("empty_length", 400, POST + b"Content-Length:\r\n\r\n"),
    ("overflowing_length", 400, POST + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    ("te_on_1_0", 400, b"POST /echo HTTP/1.0\r\n" + HOST + TE + b"\r\n0\r\n\r\n"),
    ("te_gzip", 400, POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    ("te_gzip_chunked", 501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("te_chunked_gzip", (400, 501), POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("te_twice", (400, 501), POST + TE + TE + b"\r\n0\r\n\r\n"),
    ("te_identity", (400, 501), POST + b"Transfer-Encoding: identity\r\n\r\n"),
    ("te_with_tail", (400, 501), POST + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n"),
    ("te_with_tab", (400, 501), POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    # Chunks
    ("chunk_not_hex", 400, POST + TE + b"\r\nxyz\r\nhello\r\n0\r\n\r\n"),
    ("chunk_empty_size", 400, POST + TE + b"\r\n\r\nhello\r\n0\r\n\r\n"),
    ("chunk_negative", 400, POST + TE + b"\r\n-5\r\nhello\r\n0\r\n\r\n"),
    ("chunk_0x", 400, POST + TE + b"\r\n0x5\r\nhello\r\n0\r\n\r\n"),
    ("chunk_overflow", (400, 413), POST + TE + b"\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("chunk_longer_than_said", 400, POST + TE + b"\r\n3\r\nhello\r\n0\r\n\r\n"),
    ("chunk_bare_lf_after_size", 400, POST + TE + b"\r\n5\nhello\r\n0\r\n\r\n"),
    ("chunk_bare_lf_after_data", 400, POST + TE + b"\r\n5\r\nhello\n0\r\n\r\n"),
    ("chunk_space_before_size", 400, POST + TE + b"\r\n 5\r\nhello\r\n0\r\n\r\n"),
    ("chunk_extension_huge", (400, 413, 431), POST + TE + b"\r\n5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"),
    ("chunk_extensions_many", (400, 413, 431), POST + TE + b"\r\n" + (b"1;" + b"x" * 1000 + b"\r\na\r\n") * 200),
    ("chunk_extension_nul", 400, POST + TE + b"\r\n5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ("trailers_too_large", (400, 413, 431), POST + TE + b"\r\n0\r\n" + b"X-T: " + b"x" * 20_000 + b"\r\n\r\n"),
    ("trailers_too_many", (400, 413, 431), POST + TE + b"\r\n0\r\n" + b"X-T: 1\r\n" * 200 + b"\r\n"),
    ("trailer_without_colon", 400, POST + TE + b"\r\n0\r\nnonsense\r\n\r\n"),
    ("trailer_obs_fold", 400, POST + TE + b"\r\n0\r\nX: a\r\n b\r\n\r\n"),
    # Lines and fields
    ("lf_after_request_line", 400, b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    ("lf_after_field", 400, b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n"),
    ("lf_everywhere", 400, b"GET / HTTP/1.1\nHost: localhost\n\n"),
    ("lf_at_the_end", 400, b"GET / HTTP/1.1\r\n" + HOST + b"\n"),
    ("bare_cr_in_value", 400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n"),
    ("nul_in_value", 400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n"),
    ("nul_in_name", 400, b"GET / HTTP/1.1\r\n" + HOST + b"X\0: a\r\n\r\n"),
    ("nul_in_target", 400, b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("space_before_colon", 400, b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n"),
    ("space_before_colon_of_length", 400, POST + b"Content-Length : 5\r\n\r\nhello"),
    ("space_before_first_field", 400, b"GET / HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n"),
    ("obs_fold", 400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n"),
    ("obs_fold_tab", 400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\tb\r\n\r\n"),
    ("obs_fold_of_coding", 400, POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("empty_name", 400, b"GET / HTTP/1.1\r\n" + HOST + b": y\r\n\r\n"),
    ("no_colon", 400, b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n"),
    ("name_not_a_token", 400, b"GET / HTTP/1.1\r\n" + HOST + b"X(y): z\r\n\r\n"),
    # Request line
    ("no_version", 400, b"GET /\r\n" + HOST + b"\r\n"),
    ("two_spaces_before_target", 400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("two_spaces_before_version", 400, b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("tab_in_request_line", 400, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("space_in_target", 400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("space_after_version", 400, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    ("lower_case_http", 400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    ("version_1_x", (400, 505), b"GET / HTTP/1.x\r\n" + HOST + b"\r\n"),
    ("version_2_0", 505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    ("version_3_0", 505, b"GET / HTTP/3.0\r\n" + HOST + b"\r\n"),
    ("version_0_9", (400, 505), b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    ("unknown_method", 501, b"FROBNICATE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("lower_case_method", (400, 501), b"get / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("rtsp_method", (400, 501), b"DESCRIBE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("rtsp_protocol", (400, 501, 505), b"SETUP / RTSP/1.0\r\n" + HOST + b"\r\n"),
    ("ice_method", (400, 501), b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n"),
    ("ice_get", 400, b"GET / ICE/1.0\r\n" + HOST + b"\r\n"),
    ("method_not_a_token", (400, 501), b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("target_without_slash", 400, b"GET index.html HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("star_with_get", 400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("encoded_nul", 400, b"GET /a%00b HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("broken_percent", 400, b"GET /a%zz HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("cut_percent", 400, b"GET /a%4 HTTP/1.1\r\n" + HOST + b"\r\n"),
    # Host
    ("no_host", 400, b"GET / HTTP/1.1\r\n\r\n"),
    ("two_hosts", 400, b"GET / HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n"),
    ("same_host_twice", 400, b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
    ("host_with_space", 400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("host_with_slash", 400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("host_with_user", 400, b"GET / HTTP/1.1\r\nHost: u@b\r\n\r\n"),
    ("host_with_bad_port", 400, b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ("absolute_form_without_host", 400, b"GET http://localhost/ HTTP/1.1\r\n\r\n"),
    # Sizes
    ("long_request_line", 414, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("endless_request_line", 414, b"GET /" + b"x" * 20_000),
    ("long_field", 431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 20_000 + b"\r\n\r\n"),
    ("long_name", 431, b"GET / HTTP/1.1\r\n" + HOST + b"X" * 20_000 + b": y\r\n\r\n"),
    ("endless_field", 431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 20_000),
    ("too_many_fields", 431, b"GET / HTTP/1.1\r\n" + HOST + FIELDS_100 + b"One-More: x\r\n\r\n"),
    ("body_too_large", 413, POST + b"Content-Length: 65537\r\n\r\n" + b"x" * 65537),
    ("body_too_large_unsent", 413, POST + b"Content-Length: 1000000000\r\n\r\n"),
    # Not to the echo: its answer is on its way by then, and can only be cut.
    ("body_too_large_chunked", 413, POST.replace(b"/echo", b"/") + TE + b"\r\n" + chunked(*[b"x" * 8192] * 9)),
    ("body_too_large_expected", 413, POST + b"Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n"),
]


def answered(client, raw):
    """The first answer, given that the daemon may hang up while we still send."""
    client.try_send(raw)
    return client.response()


@pytest.mark.parametrize("status,raw", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_refused(web, status, raw):
    client = web.connect()
    before = web.pool()["closed"]
    response = answered(client, raw)
    assert response.status in (status if isinstance(status, tuple) else (status,)), response
    assert response.closes
    assert not response.interim, "a refused request is not to be continued"
    assert client.ending() in ("fin", "reset")
    assert client.buffer == b"", "nothing may follow the refusal"
    client.close()
    assert web.ask().status == 200
    reasons = names.BY_STATUS[response.status]
    web.wait_closed(reasons, 1 + sum(before.get(reason, 0) for reason in reasons))


SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.mark.parametrize("status,raw", [row[1:] for row in BAD if "endless" not in row[0] and "unsent" not in row[0]],
                         ids=[row[0] for row in BAD if "endless" not in row[0] and "unsent" not in row[0]])
def test_after_good_requests_and_before_another(web, status, raw):
    """Pipelined: what stands before is answered, what stands behind is not."""
    client = web.connect()
    client.try_send(request() + request("POST", "/echo", body=b"x") + raw + SMUGGLED)
    assert client.response().status == 200
    assert client.response().body == b"x"
    response = client.response()
    assert response.status in (status if isinstance(status, tuple) else (status,))
    client.ending()
    assert client.buffer == b""


GOOD = [
    ("exactly_100_fields", b"GET / HTTP/1.1\r\n" + HOST + FIELDS_100 + b"\r\n"),
    ("exactly_max_body", POST + b"Content-Length: 65536\r\n\r\n" + b"x" * 65536),
    ("exactly_max_body_chunked", POST + TE + b"\r\n" + chunked(*[b"x" * 8192] * 8)),
    ("obs_text", b"GET / HTTP/1.1\r\n" + HOST + b"X: caf\xe9\r\n\r\n"),
    ("empty_host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ("version_1_0", b"GET / HTTP/1.0\r\n\r\n"),
    ("odd_token_name", b"GET / HTTP/1.1\r\n" + HOST + b"!#$%&'*+-.^_`|~09az: x\r\n\r\n"),
]


@pytest.mark.parametrize("raw", [row[1] for row in GOOD], ids=[row[0] for row in GOOD])
def test_not_refused(web, raw):
    response, = web.request(raw)
    assert response.status == 200


@pytest.mark.parametrize("status,raw", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
@pytest.mark.slow
def test_byte_by_byte(web, status, raw):
    """The same verdict when the bytes come in pieces."""
    if len(raw) > 2000:
        pytest.skip("too long to send byte by byte")
    client = web.connect()
    for byte in raw:
        if not client.try_send(bytes([byte])):
            break
    try:
        response = client.response()
    except Closed as closed:
        # Bytes sent after the refusal may cost us the answer, never the other way round.
        # An echo that has begun can only be cut.
        assert closed.reset or b"\r\n5" in raw or b"\r\nhello" in raw
        return
    assert response.status in (status if isinstance(status, tuple) else (status,))
