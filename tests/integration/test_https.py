"""HTTPS: what a client meets on the port, versions and ciphers, bodies, and clients that do not speak TLS."""

import socket
import ssl
import struct
import subprocess
import time

import pytest

from support import configs, names
from support.h2client import PREFACE
from support.http import Closed, chunked, request
from support.settings import patient, scaled
from support.tls import V12, V13, SClient, client_context, server_hello_wish
from support.waiting import wait_until

CONFIG = configs.config(configs.https())
BIG_BODY = bytes(range(256)) * (scaled(4, 64) * 4096)
PIECE = 32768
TICK = 0.15


def failed(sluice, reason, name="web"):
    return sluice.listener(name)["tls"]["handshakes"]["failed"].get(reason, 0)


def wait_failed(sluice, reason, before=0):
    wait_until(lambda: failed(sluice, reason) == before + 1,
               what=f"a handshake failed by {reason}, not {sluice.listener()['tls']['handshakes']}")


class TestExchanges:
    @pytest.mark.parametrize("version", [V12, V13])
    def test_versions(self, web, version):
        client = web.connect(tls=client_context(only=version))
        for _ in range(3):
            assert client.ask().body == b"hello\n"
        assert client.sock.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]

    @pytest.mark.parametrize("version", [V12, V13])
    def test_big_bodies_both_ways(self, web, version):
        client = web.connect(tls=client_context(only=version), timeout=30)
        assert client.ask(path="/big").body == b"x" * configs.BIG_SIZE
        # In pieces smaller than what the two kernels hold, because the echo sends while it receives.
        client.send(request("POST", "/echo", headers={"Content-Length": str(len(BIG_BODY))}) + BIG_BODY[:PIECE])
        response, received = client.head(), b""
        assert response.status == 200
        for begin in range(PIECE, len(BIG_BODY), PIECE):
            client.send(BIG_BODY[begin:begin + PIECE])
            received += client.exactly(PIECE)
        assert received + client.exactly(PIECE) == BIG_BODY

    def test_pipelined_in_one_record(self, web):
        client = web.connect()
        client.send(request() * 20 + request("POST", "/echo", headers={"Transfer-Encoding": "chunked"}) +
                    chunked(b"a", b"b" * 20000))
        assert [client.response().body for _ in range(20)] == [b"hello\n"] * 20
        assert client.response().body == b"a" + b"b" * 20000

    def test_byte_by_byte(self, web):
        client = web.connect()
        for byte in request("POST", "/echo", body=b"hi"):
            client.send(bytes([byte]))
        assert client.response().body == b"hi"

    def test_close_notify_before_the_fin(self, web):
        client = web.connect()
        assert client.ask(headers={"Connection": "close"}).status == 200
        assert client.ending() == "fin", "a FIN without close_notify looks like a truncated answer"

    def test_answered_after_the_clients_fin(self, web):
        """Some clients end with a FIN and no close_notify."""
        client = web.connect()
        client.send(request("POST", "/echo", body=b"last"))
        client.finish()
        assert client.response().body == b"last"
        client.ending()

    def test_curl(self, web, needs):
        needs("curl")
        done = subprocess.run(["curl", "-sk", "--http1.1", "--tlsv1.3", web.url() + "/echo", "-d", "hi"],
                              capture_output=True, timeout=20)
        assert (done.returncode, done.stdout) == (0, b"hi")


def test_a_connection_knows_its_tls(web):
    client = web.connect(tls=client_context(only=V13, alpn=["http/1.1"]), sni="some.example")
    assert client.ask().status == 200
    plain = [row["tls"] for row in web.get("/v1/connections")["connections"]]
    assert [row for row in plain if row and row["sni"] == "some.example"] == [
        {"version": "TLSv1.3", "cipher": client.sock.cipher()[0], "sni": "some.example", "alpn": "http/1.1",
         "resumed": False, "client_subject": ""}]


def test_handshakes_are_counted(web):
    before = web.listener()["tls"]["handshakes"]
    for _ in range(3):
        web.ask()
    after = web.listener()["tls"]
    assert after["handshakes"]["full"] == before["full"] + 3
    assert 0 < after["latency_ms"]["p50"] < 1000 and after["latency_ms"]["p99"] >= after["latency_ms"]["p50"]
    metrics = web.admin.ask("GET", "/metrics").body.decode()
    assert 'sluice_tls_handshakes_total{listener="web",result="full"' in metrics
    assert "sluice_tls_certificate_expiry_seconds{" in metrics


class TestNotTls:
    def test_plain_http(self, web):
        before, closed = failed(web, "plain_http"), web.closed(names.HANDSHAKE_FAILED)
        client = web.connect(tls=False)
        client.send(request())
        response = client.response()
        assert response.status == 400 and response.closes
        assert response.get("content-type").startswith("text/plain") and b"HTTPS" in response.body
        assert client.ending() == "fin"
        client.close()
        wait_failed(web, "plain_http", before)
        web.wait_closed(names.HANDSHAKE_FAILED, closed + 1)

    @pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "DELETE"])
    def test_plain_http_of_any_method(self, web, method):
        client = web.connect(tls=False)
        client.send(request(method, "/some/path", body=b"x" * 1000 if method == "POST" else None))
        assert client.head().status == 400
        client.ending()

    def test_plain_http2(self, web):
        client = web.connect(tls=False)
        client.send(PREFACE)
        client.ending()

    @pytest.mark.parametrize("junk", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 100, b"\xff" * 1000, b"\x16\x03\x01\xff\xff",
                                      b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02"])
    def test_garbage(self, web, junk):
        before = web.closed(names.HANDSHAKE_FAILED | names.PEER)
        client = web.connect(tls=False)
        client.send(junk)
        client.finish()
        client.ending()
        web.wait_closed(names.HANDSHAKE_FAILED | names.PEER, before + 1)
        assert web.ask().status == 200

    def test_garbage_is_counted(self, web):
        before = failed(web, "not_tls")
        client = web.connect(tls=False)
        client.send(b"SSH-2.0-OpenSSH_9.2\r\n")
        client.ending()
        wait_failed(web, "not_tls", before)

    def test_garbage_after_the_handshake(self, web):
        client = web.connect()
        assert client.ask().status == 200
        socket.socket.sendall(client.sock, b"\x17\x03\x03\x00\x20" + b"\xaa" * 32)
        with pytest.raises((ssl.SSLError, Closed)):
            client.response()
        assert web.ask().status == 200

    def test_a_hello_byte_by_byte(self, web):
        hello = server_hello_wish()
        client = web.connect(tls=False)
        for byte in hello:
            client.send(bytes([byte]))
        assert client.exactly(3)[:2] == b"\x16\x03"

    def test_left_in_the_handshake(self, web):
        before = failed(web, "closed_by_client")
        client = web.connect(tls=False)
        client.send(server_hello_wish()[:100])
        client.close()
        wait_failed(web, "closed_by_client", before)

    def test_reset_in_the_handshake(self, web):
        before = web.pool()["accepted"]
        for size in (0, 1, 100, 517):
            client = web.connect(tls=False)
            client.send(server_hello_wish()[:size])
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        wait_until(lambda: web.pool()["accepted"] == before + 4 and web.pool()["active"] == 0)


class TestSlowHandshake:
    @pytest.mark.parametrize("first", [0, 5, 200])
    def test_is_ended(self, start, first):
        sluice = start(configs.config(configs.https(handshake_timeout="500ms")))
        began = time.monotonic()
        client = sluice.connect(tls=False)
        client.send(server_hello_wish()[:first])
        client.ending()
        assert 0.5 - TICK <= time.monotonic() - began <= 0.5 + patient(1.0)
        sluice.wait_closed(names.HANDSHAKE_TIMEOUT)
        if first:
            wait_failed(sluice, "cut")

    def test_bytes_do_not_extend_it(self, start):
        sluice = start(configs.config(configs.https(handshake_timeout="600ms")))
        client = sluice.connect(tls=False)
        began = time.monotonic()
        for byte in server_hello_wish():
            if not client.try_send(bytes([byte])) or not client.is_open():
                break
            time.sleep(0.02)
        client.ending()
        assert time.monotonic() - began <= 0.6 + patient(1.0)
        sluice.wait_closed(names.HANDSHAKE_TIMEOUT)

    def test_live(self, start):
        sluice = start(configs.config(configs.https(handshake_timeout="1h")))
        client = sluice.connect(tls=False)
        client.send(server_hello_wish()[:50])
        wait_until(lambda: sluice.pool()["active"] == 1)
        sluice.apply(configs.config(configs.https(handshake_timeout="300ms")))
        client.ending()
        sluice.wait_closed(names.HANDSHAKE_TIMEOUT)


class TestVersionsAndCiphers:
    @pytest.mark.parametrize("keys,refused,taken", [
        ({"min_version": "1.3"}, V12, V13), ({"max_version": "1.2"}, V13, V12)])
    def test_refused_version(self, start, keys, refused, taken):
        sluice = start(configs.config(configs.https(tls={**configs.SELF_SIGNED, **keys})))
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            sluice.connect(tls=client_context(only=refused))
        wait_failed(sluice, "version")
        assert sluice.connect(tls=client_context(only=taken)).ask().status == 200

    def test_ciphers(self, start):
        tls = {**configs.SELF_SIGNED, "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384",
               "cipher_suites": "TLS_CHACHA20_POLY1305_SHA256"}
        sluice = start(configs.config(configs.https(tls=tls)))
        assert sluice.connect(tls=client_context(only=V13)).sock.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"
        assert sluice.connect(tls=client_context(only=V12)).sock.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            sluice.connect(tls=client_context(only=V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
        wait_failed(sluice, "cipher")

    def test_groups(self, start):
        sluice = start(configs.config(configs.https(tls={**configs.SELF_SIGNED, "groups": "P-384"})))
        assert "Server Temp Key: ECDH, secp384r1" in SClient(sluice.addr()).output
        assert not SClient(sluice.addr(), "-groups", "X25519").answered

    @pytest.mark.parametrize("args", [
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"]])
    def test_old_and_weak_ones_are_refused(self, web, args):
        assert not SClient(web.addr(), *args).answered

    def test_no_common_alpn(self, web):
        before = failed(web, "alpn")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            web.connect(tls=client_context(alpn=["spdy/3"]))
        wait_failed(web, "alpn", before)

    def test_alpn_is_answered(self, web):
        assert web.connect(tls=client_context(alpn=["h2", "http/1.1"])).sock.selected_alpn_protocol() == "http/1.1"
        assert web.connect(tls=client_context()).sock.selected_alpn_protocol() is None


def test_a_client_that_rejects_the_certificate(web, certificates):
    before = failed(web, "rejected_by_client")
    with pytest.raises(ssl.SSLCertVerificationError):
        web.connect(tls=client_context(trust=certificates.authority(), only=V12))
    wait_failed(web, "rejected_by_client", before)


