"""How an upstream is reached: TLS and whom it believes, the PROXY protocol in and out, unix sockets, names."""

import socket
import ssl
import struct

import pytest

from support import configs
from support.http import Closed, request
from support.proxying import ask
from support.tls import V12, V13, server_tls
from support.upstreams import answering, hello
from support.waiting import wait_until

BOTH = pytest.mark.parametrize("back", ["http", "http2"])
ALPN = {"http": ["http/1.1"], "http2": ["h2"]}


@pytest.fixture
def secure(serve, start, certificates):
    """secure(back, tls keys, server's Pair): a daemon in front of a TLS server, which trusts the test authority."""
    def secure_one(back="http", tls=None, pair=None, *, trust=True, endpoint=None, connections=100, **server_keys):
        server = serve(protocol=back, tls=server_tls(pair or certificates.server(), alpn=ALPN[back], **server_keys))
        keys = {"ca": str(certificates.authority().certificate)} if trust else {}
        sluice = start(configs.proxying(endpoint(server) if endpoint else server, protocol=back,
                                        tls={"server_name": "localhost", **keys, **(tls or {})},
                                        pool={"connect_timeout": "2s", "max_connections": connections}))
        return sluice, server

    return secure_one


def refused(sluice, server):
    answer = ask(sluice)
    assert (answer.status, answer.reason) == (502, "connect_error")
    assert not server.requests
    assert sluice.endpoint()["connects"]["failed"] >= 1


def used_by_last(server):
    """The connection of the last request."""
    return server.connections[server.last.connection - 1]


class TestTls:
    @BOTH
    def test_verified(self, secure, back):
        sluice, server = secure(back)
        for _ in range(3):
            assert ask(sluice).status == 200
        assert len(server.used) <= 2
        connection = used_by_last(server)
        assert connection.server_name == "localhost"
        assert connection.sock.version() == "TLSv1.3"
        assert connection.sock.selected_alpn_protocol() == ALPN[back][0]

    @BOTH
    def test_bodies(self, secure, back):
        sluice, server = secure(back)
        server.handler = lambda exchange: exchange.answer(body=exchange.body())
        body = bytes(range(256)) * 4096
        assert ask(sluice, "POST", body=body).body == body

    def test_another_name(self, secure, certificates):
        refused(*secure(pair=certificates.server("other.example")))

    def test_another_authority(self, secure, certificates):
        refused(*secure(tls={"ca": str(certificates.authority("Another").certificate)}))

    def test_not_of_the_systems_authorities(self, secure):
        refused(*secure(trust=False))

    def test_too_old(self, secure, certificates):
        pair = certificates.server(days=-1)
        refused(*secure(pair=pair))

    def test_unverified(self, secure, certificates):
        sluice, server = secure(tls={"verify": False}, trust=False, pair=certificates.server("other.example"))
        assert ask(sluice).status == 200

    def test_the_endpoints_own_name(self, secure, certificates):
        """Where no name is given it is the endpoint's."""
        sluice, server = secure(tls={"server_name": ""}, endpoint=lambda server: f"localhost:{server.address[1]}")
        assert ask(sluice).status == 200 and used_by_last(server).server_name == "localhost"

    def test_an_address_is_no_name(self, secure, certificates):
        """It is verified all the same, and not sent as SNI."""
        refused(*secure(tls={"server_name": ""}))

    def test_an_address_in_the_certificate(self, secure, serve, start, certificates, tmp_path):
        pair = certificates._new("address")
        certificates._make_key(pair, "ecdsa")
        certificates._sign(pair, "address", ["subjectAltName=IP:127.0.0.1"], certificates.authority(), 90)
        sluice, server = secure(tls={"server_name": ""}, pair=pair)
        assert ask(sluice).status == 200 and used_by_last(server).server_name is None

    def test_an_intermediate_authority(self, secure, certificates):
        sluice, _ = secure(pair=certificates.chained())
        assert ask(sluice).status == 200

    @BOTH
    def test_a_client_certificate(self, secure, certificates, back):
        identity = certificates.client("sluice")
        keys = {"certificate": str(identity.certificate), "key": str(identity.key)}
        sluice, server = secure(back, tls=keys, client_ca=certificates.authority())
        assert ask(sluice).status == 200
        subject = dict(pair[0] for pair in used_by_last(server).sock.getpeercert()["subject"])
        assert subject["commonName"] == "sluice"

    def test_a_client_certificate_that_is_missing(self, secure, certificates):
        sluice, server = secure(client_ca=certificates.authority())
        answer = ask(sluice)
        assert answer.status == 502 and not server.requests

    @pytest.mark.parametrize("server_versions, ours, good", [
        ((V12, V12), {}, True), ((V13, V13), {}, True), ((V12, V12), {"min_version": "1.3"}, False),
        ((V13, V13), {"max_version": "1.2"}, False), ((V12, V13), {"max_version": "1.2"}, True),
    ])
    def test_versions(self, secure, server_versions, ours, good):
        sluice, server = secure(tls=ours, versions=server_versions)
        assert ask(sluice).status == (200 if good else 502)
        if good:
            wanted = "TLSv1.2" if V12 in (server_versions[1],) or ours else "TLSv1.3"
            assert used_by_last(server).sock.version() == wanted

    def test_no_tls_there(self, serve, start):
        server = serve(lambda exchange: None)
        sluice = start(configs.proxying(server, tls={"verify": False}, pool={"connect_timeout": "1s"}))
        answer = ask(sluice)
        assert answer.status in (502, 504) and answer.reason in ("connect_error", "connect_timeout")
        server.problems.clear()  # it could not read a ClientHello

    def test_http2_that_is_not_agreed_on(self, serve, start, certificates):
        """A server that chooses no h2 is not spoken HTTP/2 with."""
        server = serve(tls=server_tls(certificates.server(), alpn=["http/1.1"]))
        sluice = start(configs.proxying(server, protocol="http2", tls={"verify": False},
                                        pool={"connect_timeout": "1s"}))
        answer = ask(sluice)
        assert (answer.status, answer.reason) == (502, "connect_error") and not server.requests
        server.problems.clear()

    def test_sessions_are_resumed(self, secure):
        sluice, server = secure(connections=1)  # a spare one might be dropped before the server has accepted it
        resumed = []
        for _ in range(5):
            assert ask(sluice).status == 200
            resumed.append(used_by_last(server).sock.session_reused)
            wait_until(lambda: sluice.endpoint()["connecting"] == 0)
            server.drop()
            wait_until(lambda: sluice.endpoint()["open"] == 0)
        assert resumed.count(True) >= 3, resumed
        assert sluice.endpoint()["tls"]["resumed"] >= 3

    def test_a_slow_handshake(self, serve, start, certificates):
        server = serve(tls=server_tls(certificates.server()), handshake_delay=0.3)
        sluice = start(configs.proxying(server, tls={"verify": False}))
        assert ask(sluice).status == 200
        assert sluice.endpoint()["connect_ms"]["p50"] >= 250

    def test_an_end_without_goodbye(self, secure):
        """A body that ends with the connection must be ended by close_notify; a bare FIN cuts it off."""
        sluice, server = secure()

        def bare(exchange):
            exchange.body()
            exchange.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
            exchange.close()

        server.handler = bare
        with sluice.connect() as client, pytest.raises(Closed):
            client.send(request())
            client.response()

    def test_changed_trust_is_for_new_connections(self, secure, certificates):
        """A connection that was made under another identity is never used under the new one."""
        sluice, server = secure()
        assert ask(sluice).status == 200
        tls = {"server_name": "localhost", "ca": str(certificates.authority("Another").certificate)}
        sluice.apply(configs.proxying(server, tls=tls, pool={"connect_timeout": "2s"}))
        assert ask(sluice).status == 502
        tls["ca"] = str(certificates.authority().certificate)
        sluice.apply(configs.proxying(server, tls=tls, pool={"connect_timeout": "2s"}))
        assert ask(sluice).status == 200
        assert len({one.connection for one in server.requests}) == 2


# The PROXY protocol

V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source="192.0.2.7", port=4711, family="TCP4", destination="192.0.2.1"):
    return f"PROXY {family} {source} {destination} {port} 80\r\n".encode()


def v2(source="192.0.2.7", port=4711, *, command=0x21, tlv=b""):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    destination = "2001:db8::1" if ":" in source else "192.0.2.1"
    addresses = b"".join(socket.inet_pton(family, address) for address in (source, destination))
    rest = addresses + struct.pack("!HH", port, 80) + tlv
    return V2_SIGNATURE + bytes([command, 0x21 if ":" in source else 0x11]) + struct.pack("!H", len(rest)) + rest


class TestProxyProtocolOut:
    @pytest.mark.parametrize("version", ["v1", "v2"])
    @BOTH
    def test_the_client_is_told(self, serve, start, version, back):
        server = serve(protocol=back, proxy=True)
        sluice = start(configs.proxying(server, proxy_protocol=version))
        for n in range(1, 4):
            with sluice.connect(source=f"127.0.0.{n}") as client:
                assert client.ask().status == 200
                port = client.sock.getsockname()[1]
            told = used_by_last(server).proxied
            assert told[:2] == (f"127.0.0.{n}", port), told
        assert len(server.used) == 3  # one client's connection is not another's

    def test_ipv6(self, serve, start):
        server = serve(proxy=True)
        sluice = start(configs.proxying(server, proxy_protocol="v2", listener_keys={"bind": "[::1]:0"}))
        assert ask(sluice).status == 200
        assert server.connections[0].proxied[0] == "::1"

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_a_unix_client(self, serve, start, tmp_path, version):
        server = serve(proxy=True)
        path = str(tmp_path / "front.sock")
        sluice = start(configs.proxying(server, proxy_protocol=version, listener_keys={"bind": f"unix:{path}"}))
        with sluice.connect(address=path) as client:
            assert client.ask().status == 200
        assert server.connections[0].proxied[0] in ("UNKNOWN", "LOCAL")

    def test_below_tls(self, serve, start, certificates):
        server = serve(proxy=True, tls=server_tls(certificates.server()))
        sluice = start(configs.proxying(server, proxy_protocol="v2", tls={"verify": False}))
        assert ask(sluice).status == 200
        assert server.connections[0].proxied[0] == "127.0.0.1"

    def test_checks_tell_nobody(self, serve, start):
        server = serve(proxy=True)
        sluice = start(configs.proxying(server, proxy_protocol="v2",
                                        health_check={"interval": "100ms", "timeout": "1s"}))
        wait_until(lambda: sluice.endpoint()["checks"]["passed"] >= 2)
        assert {connection.proxied for connection in server.connections if connection.served} == {("LOCAL",)}


class TestProxyProtocolIn:
    HEADS = {"v1": [v1(), v1("2001:db8::7", family="TCP6", destination="2001:db8::1")],
             "v2": [v2(), v2("2001:db8::7"), v2(tlv=b"\x04\x00\x03abc" * 5)]}

    def run(self, start, server, version, front=configs.listener, trusted=("127.0.0.2",), **pool):
        configuration = configs.proxying(server, front=front, listener_keys=pool, route={"x_forwarded": "append"})
        configuration["listeners"][0].update(proxy_protocol=version, trusted_proxies=list(trusted))
        return start(configuration)

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_who_is_trusted_names_the_client(self, serve, start, version):
        server = serve()
        sluice = self.run(start, server, version)
        for head in self.HEADS[version]:
            with sluice.connect(source="127.0.0.2") as client:
                client.send(head + request())
                assert client.response().status == 200
                peer = [entry["peer"] for entry in sluice.get("/v1/connections")["connections"]]
                assert peer and "4711" in peer[0], peer
            assert server.last.get("x-forwarded-for") == ("2001:db8::7" if b"2001" in head or head[13:14] == b"\x21"
                                                           else "192.0.2.7")

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_byte_by_byte(self, serve, start, version):
        server = serve()
        sluice = self.run(start, server, version)
        with sluice.connect(source="127.0.0.2") as client:
            for byte in self.HEADS[version][0] + request():
                client.send(bytes([byte]))
            assert client.response().status == 200
        assert server.last.get("x-forwarded-for") == "192.0.2.7"

    def test_of_the_balancer_itself(self, serve, start):
        """LOCAL and UNKNOWN: the connection's own peer."""
        server = serve()
        for version, head in (("v2", v2(command=0x20)), ("v1", b"PROXY UNKNOWN\r\n")):
            sluice = self.run(start, server, version)
            with sluice.connect(source="127.0.0.2") as client:
                client.send(head + request())
                assert client.response().status == 200
            assert server.last.get("x-forwarded-for") == "127.0.0.2"

    @pytest.mark.parametrize("version, sent", [
        ("v1", b""), ("v2", b""), ("v1", v2()), ("v2", v1()), ("v1", b"PROXY TCP4 x y 1 2\r\n"),
        ("v1", b"PROXY TCP4 192.0.2.7 192.0.2.1 99999 80\r\n"), ("v1", b"PROXY " + b"x" * 200),
        ("v2", V2_SIGNATURE + b"\x31\x11\0\x0c" + b"\0" * 12), ("v2", V2_SIGNATURE + b"\x21\x11\0\x04abcd"),
    ])
    def test_what_is_no_head_is_not_served(self, serve, start, version, sent):
        server = serve()
        sluice = self.run(start, server, version)
        with sluice.connect(source="127.0.0.2") as client:
            client.send(sent + request())
            client.ending()
            assert b"HTTP/1.1 200" not in client.buffer
        assert not server.requests

    def test_from_anyone_else(self, serve, start):
        server = serve()
        sluice = self.run(start, server, "v1")
        with sluice.connect(source="127.0.0.1") as client:
            client.try_send(v1() + request())
            client.ending()
        assert not server.requests

    def test_nothing_comes(self, serve, start):
        server = serve()
        sluice = self.run(start, server, "v2", handshake_timeout="300ms")
        with sluice.connect(source="127.0.0.2") as client:
            client.ending()

    def test_below_tls(self, serve, start):
        server = serve()
        sluice = self.run(start, server, "v2", front=configs.https)
        with sluice.connect(source="127.0.0.2", tls=False) as plain:
            plain.send(v2())
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain.sock, server_hostname="localhost") as sock:
                sock.sendall(request())
                assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert server.last.get("x-forwarded-for") == "192.0.2.7"

    def test_through_and_through(self, serve, start):
        """Told by one, and told on."""
        server = serve(proxy=True)
        configuration = configs.proxying(server, proxy_protocol="v2")
        configuration["listeners"][0].update(proxy_protocol="v1", trusted_proxies=["127.0.0.0/8"])
        sluice = start(configuration)
        with sluice.connect() as client:
            client.send(v1() + request())
            assert client.response().status == 200
        assert server.connections[0].proxied[:2] == ("192.0.2.7", 4711)


# Where endpoints are

@BOTH
def test_unix(serve, start, tmp_path, back):
    server = serve(protocol=back, address=str(tmp_path / "back.sock"))
    sluice = start(configs.proxying(server))
    for _ in range(5):
        assert ask(sluice).status == 200
    assert len(server.used) <= 2 and sluice.endpoint()["address"] == server.endpoint


def test_ipv6(serve, start):
    server = serve(address=("::1", 0))
    sluice = start(configs.proxying(server))
    assert ask(sluice).status == 200 and sluice.endpoint()["address"] == server.endpoint


def test_a_name(serve, start):
    """Its first address."""
    server = serve()
    sluice = start(configs.proxying(f"localhost:{server.address[1]}"))
    wait_until(lambda: ask(sluice).status == 200)
    assert server.requests


def test_all_addresses_of_a_name(serve, start):
    port = configs.free_port()
    addresses = {info[4][0] for info in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}
    servers = [serve(address=(address, port)) for address in addresses]
    sluice = start(configs.proxying(f"dns:localhost:{port}", balance="round_robin"))
    wait_until(lambda: len(sluice.upstream()["endpoints"]) == len(servers))
    assert {entry["address"] for entry in sluice.upstream()["endpoints"]} == {server.endpoint for server in servers}
    for _ in range(10):
        assert ask(sluice).status == 200
    assert all(server.requests for server in servers)


def test_a_name_that_nobody_has(start, serve):
    server = serve(answering(body=b"other"))
    sluice = start(configs.proxying("dns:nobody.invalid:80"))
    answer = ask(sluice)
    assert (answer.status, answer.reason) == (503, "no_endpoint")
    sluice.apply(configs.proxying("dns:nobody.invalid:80", server))
    assert ask(sluice).body == b"other"


def test_identities_are_not_mixed(serve, start, certificates):
    """Two upstreams at the same address, which trust differently, share no connection."""
    server = serve(hello, tls=server_tls(certificates.server()))
    good = {"ca": str(certificates.authority().certificate), "server_name": "localhost"}
    bad = {**good, "server_name": "other.example"}
    sluice = start(configs.config(
        configs.listener(routes=[configs.proxy("good", "/good"), configs.proxy("bad", "/bad")]),
        upstreams=[configs.upstream("good", server, tls=good), configs.upstream("bad", server, tls=bad)]))
    assert ask(sluice, path="/good").status == 200
    assert ask(sluice, path="/bad").status == 502
    assert ask(sluice, path="/good").status == 200
    assert [one.target for one in server.requests] == ["/good", "/good"]
