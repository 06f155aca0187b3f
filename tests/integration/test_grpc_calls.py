"""Calls of real clients to real servers, straight and through the relay: nobody may see the difference."""

import json
import ssl
import subprocess
import threading
import time

import pytest

from support import configs, h2client
from support.daemon import Sluice
from support.grpc import (CODES, ECHO, GZIP, MIB, Callers, Chat, Code, GrpcBackend, GrpcClient, connect, hang_up,
                          listener, prefixed, proxy, split, upstream)
from support.settings import BUILD, LONG, patient, scaled
from support.tls import client_context
from support.waiting import wait_until
from support.websocket_backends import NODE_PATH

RELAYED = ["plain-plain", "tls-tls"]
WAYS = ["direct", *RELAYED]
EVERY_KIND = pytest.mark.parametrize("kind", ["Unary", "ServerStream", "ClientStream", "Bidi"])
TEXT = "50 % of caf\u00e9 \u4f60\u597d \U0001f600\nand a line"


class World:
    """Listeners named by what is spoken on both sides of them, and some whose calls cannot all go well."""

    def __init__(self, directory, certificates):
        self.certificates = certificates
        self.trust = certificates.authority()
        self.backends = {"plain": GrpcBackend(), "tls": GrpcBackend(tls=certificates.server())}
        ways = [f"{front}-{back}" for front in self.backends for back in self.backends]
        fronts = [listener(way, [proxy(way.split("-")[1])], self.tls_of(way)) for way in ways]
        nobody = f"127.0.0.1:{configs.free_port()}"
        narrow = {"max_connections": 1, "max_concurrent_streams": 1, "max_pending": 1, "pending_timeout": "60s"}
        self.sluice = Sluice(directory, configs.config(
            *fronts,
            listener("small", [proxy("plain")], max_receive_message_length="1000B", max_send_message_length="2000B"),
            listener("counted", [proxy("plain"), proxy("nobody", "/test.Nobody/")]),
            listener("narrow", [proxy("narrow")]),
            upstreams=[upstream(self.backends["plain"], name="plain"),
                       upstream(self.backends["tls"], name="tls", tls={"ca": str(self.trust.certificate),
                                                                       "server_name": "localhost"}),
                       upstream(nobody, name="nobody"),
                       upstream(self.backends["plain"], name="narrow", pool=narrow)]))

    def tls_of(self, way):
        return self.certificates.server().tls() if way.startswith("tls") else None

    def backend(self, way):
        return self.backends["tls" if way.endswith("tls") else "plain"]

    def connect(self, way, **more):
        if way == "direct":
            client = GrpcClient(self.backend(way).endpoint, **more)
            self.sluice.clients.append(client)
            return client
        return connect(self.sluice, way, trust=self.trust if way.startswith("tls") else None, **more)

    def stop(self):
        try:
            self.sluice.stop()
        finally:
            for backend in self.backends.values():
                backend.stop()


@pytest.fixture(scope="module")
def all_ways(tmp_path_factory, certificates):
    world = World(tmp_path_factory.mktemp("grpc"), certificates)
    try:
        world.sluice.wait_ready()
        yield world
    finally:
        world.stop()


@pytest.fixture
def world(all_ways):
    for backend in all_ways.backends.values():
        backend.calls.clear()
    yield all_ways
    sluice = all_ways.sluice
    assert sluice.alive, f"ended with {sluice.process.returncode}; log:\n{sluice.log[-4000:]}"
    hang_up(sluice)
    sluice.check_books()
    sluice.check_log()
    for name in ("plain", "tls", "narrow"):
        wait_until(lambda: sluice.upstream(name)["busy"] == 0, what=f"no stream left to {name}")


class Way:
    def __init__(self, world, name):
        self.world, self.name = world, name
        self.client, self.backend = world.connect(name), world.backend(name)


@pytest.fixture(params=WAYS)
def way(request, world):
    return Way(world, request.param)


@pytest.fixture(params=RELAYED)
def relayed(request, world):
    return Way(world, request.param)


class TestBusyClients:
    """What ordinary clients do often costs nobody else anything."""

    def test_cancelled_streams(self, world):
        """Each takes the first message and has enough: no flood of resets."""
        client = world.connect("plain-plain")
        for _ in range(1100):
            call = client.open("ServerStream", b"x", metadata=[("do-count", "1000000")])
            assert next(call) == b"x"
            call.cancel()
        assert client.unary().ok
        assert not world.sluice.listener("plain-plain")["http2"]["floods"]

    def test_deadlines(self, world):
        """They say nothing of the upstream's connections: these are not left for each of them."""
        client, connects = world.connect("plain-plain"), lambda: world.sluice.endpoint(name="plain")["connects"]["begun"]
        begun = connects()
        for _ in range(40):
            assert client.unary(metadata=[("do-sleep", "0.1")], timeout=0.02).code is Code.DEADLINE_EXCEEDED
        assert connects() <= begun + 20


def requests_of(kind, *messages):
    return messages[0] if kind in ("Unary", "ServerStream") else iter(messages)


class Raw:
    """A call of a client that knows HTTP/2 only."""

    def __init__(self, world, name="plain-plain", path=f"/{ECHO}/Unary", message=b"hello", headers=(), *,
                 content_type="application/grpc"):
        fields = [("te", "trailers"), *([("content-type", content_type)] if content_type else []), *headers]
        with h2client.connect(world.sluice, name) as session:
            began = time.monotonic()
            stream = session.ask("POST", path, fields, body=prefixed(message), scheme="http")
            self.seconds = time.monotonic() - began
        self.status, self.reset = stream.status, stream.reset
        self.fields = dict([*stream.headers, *stream.trailers])
        self.trailers_only = not stream.trailers and not stream.body
        self.messages = split(bytes(stream.body)) if self.status == 200 else None

    @property
    def code(self):
        return CODES[int(self.fields["grpc-status"])]


class TestCalls:
    @pytest.mark.parametrize("name", [*WAYS, "plain-tls", "tls-plain"])
    def test_four_kinds(self, world, name):
        client = world.connect(name)
        assert client.unary(b"hello").message == b"hello"
        assert client.server_stream(b"again").messages == [b"again"] * 3
        assert client.client_stream([b"one", b"two", b"three"]).message == b"onetwothree"
        assert client.bidi([b"one", b"two"]).messages == [b"one", b"two"]
        assert [call.method for call in world.backend(name).calls] == ["Unary", "ServerStream", "ClientStream", "Bidi"]

    def test_nothing(self, way):
        """Messages without a byte, and calls without a message."""
        assert way.client.unary(b"").message == b""
        assert way.client.server_stream(b"", metadata=[("do-count", "0")]).messages == []
        assert way.client.server_stream(b"", metadata=[("do-count", "2")]).messages == [b"", b""]
        assert way.client.client_stream([]).message == b""
        assert way.client.bidi([]).messages == []
        assert way.client.bidi([b"", b"x", b""]).messages == [b"", b"x", b""]

    def test_large_messages(self, way):
        """Up to what the relay allows: 4 MiB, each way and both at once."""
        for size in (16384, 65536, MIB, 4 * MIB):
            message = bytes(range(256)) * (size // 256)
            assert way.client.unary(message).message == message
        assert len(way.client.unary(b"", metadata=[("do-size", str(4 * MIB))]).message) == 4 * MIB
        whole = [message, b"between", message]
        assert way.client.bidi(whole).messages == whole

    def test_one_after_the_other(self, way):
        """Each message goes on as it comes, whoever waits for it."""
        chat = Chat(way.client, timeout=patient(20))
        for n in range(50):
            chat.send(b"%d" % n)
            assert chat.read() == b"%d" % n
        assert chat.end().ok

    def test_many_messages(self, way):
        count = scaled(500, 20_000)
        reply = way.client.server_stream(b"", metadata=[("do-count", str(count)), ("do-size", "3000")])
        assert reply.ok and reply.messages == [b"a" * 3000] * count
        assert way.client.client_stream([b"x" * 100] * count).message == b"x" * 100 * count
        messages = [b"%d" % n for n in range(count)]
        assert way.client.bidi(messages).messages == messages

    def test_many_small_messages(self, world):
        """A client opens its windows for each of them, and that is no flood."""
        messages = [b"%d" % n for n in range(scaled(8000, 50_000))]
        reply = world.connect("plain-plain").bidi(messages, timeout=60)
        assert reply.ok and reply.messages == messages

    def test_many_calls_at_once(self, way):
        calls = [way.client.open("Unary", b"%d" % n, timeout=patient(20)) for n in range(300)]
        assert [call.result() for call in calls] == [b"%d" % n for n in range(300)]

    @EVERY_KIND
    def test_gzip(self, relayed, kind):
        """Compressed messages are passed on as they are."""
        message, pool = b"a text that compresses well; " * 20_000, lambda: relayed.world.sluice.pool(relayed.name)
        client, before = relayed.world.connect(relayed.name, compression=GZIP), pool()
        reply = client.call(kind, requests_of(kind, message), metadata=[("do-gzip", "1"), ("do-count", "1")])
        assert reply.ok and reply.messages == [message]
        wait_until(lambda: pool()["bytes_out"] > before["bytes_out"])
        assert all(pool()[key] - before[key] < len(message) // 10 for key in ("bytes_in", "bytes_out"))


class TestStatuses:
    @EVERY_KIND
    def test_each_code(self, way, kind):
        for number in range(1, 17):
            metadata = [("do-code", str(number)), ("do-details-bin", f"{number}: {TEXT}".encode())]
            for early in ([], [("do-early", "1")]):
                reply = way.client.call(kind, requests_of(kind, b"hello"), metadata=[*metadata, *early])
                assert (reply.code, reply.details) == (CODES[number], f"{number}: {TEXT}")
                sent = 0 if early else {"ServerStream": 3, "Bidi": 1}.get(kind, 0)
                assert len(reply.messages) == sent
                assert reply.get("server")

    def test_an_end_before_the_requests(self, way):
        """The server has enough while the client still sends."""
        stop = threading.Event()
        requests = iter(lambda: b"" if stop.is_set() else b"x" * 10_000, b"")
        call = way.client.open("ClientStream", requests, metadata=[("do-early", "1"), ("do-code", "9")])
        try:
            call.exception(patient(10))
            assert call.code() is Code.FAILED_PRECONDITION
        finally:
            stop.set()

    def test_trailers_only(self, world):
        """What came in one head goes on in one head."""
        raw = Raw(world, headers=[("do-early", "1"), ("do-code", "5"), ("do-details-bin", "YSViw6Q")])
        assert raw.status == 200 and raw.trailers_only and raw.code is Code.NOT_FOUND
        assert raw.fields["grpc-message"] == "a%25b%C3%A4"


class TestMetadata:
    FIELDS = [("echo-a", "1"), ("echo-b_c", "with_underscore"), ("echo-d.e-f", "a, b;c=\"d\""),
              ("echo-bin", b"\0\xff\n"), ("echo-empty-bin", b""),
              ("echo-many", "one"), ("echo-many", "two"), ("echo-many", "three"),
              ("echo-more-bin", b"\1"), ("echo-more-bin", b"\2\3"), ("echo-long", "x" * 8000),
              ("echo-long-bin", bytes(range(256)) * 10)]

    @EVERY_KIND
    def test_both_ways(self, way, kind):
        reply = way.client.call(kind, requests_of(kind, b"hello"), metadata=self.FIELDS)
        assert reply.ok
        assert [pair for pair in way.backend.calls[-1].metadata if pair[0].startswith("echo-")] == self.FIELDS
        assert [pair for pair in reply.head if pair[0].startswith("echo-")] == self.FIELDS
        assert [("echo-" + key[6:], value) for key, value in reply.trailers if key.startswith("trail-")] == self.FIELDS

    def test_with_an_error(self, way):
        reply = way.client.unary(metadata=[*self.FIELDS, ("do-code", "7")])
        assert reply.code is Code.PERMISSION_DENIED
        assert reply.get("trail-bin") == b"\0\xff\n" and reply.all("trail-many") == ["one", "two", "three"]

    def test_nothing_is_added(self, relayed):
        """But what the route says: the server gets what the client sent, and a little that says who relayed it."""
        relayed.client.unary()
        direct = relayed.world.connect("direct")
        direct.unary()
        seen = {key for key, _ in relayed.backend.calls[0].metadata}
        plain = {key for key, _ in relayed.world.backends["plain"].calls[-1].metadata}
        assert plain <= seen
        assert seen - plain <= {"via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"}


class TestDeadlines:
    def test_passed_on(self, way):
        assert way.client.unary(timeout=7).ok
        assert 0.5 * patient(7) < way.backend.calls[-1].remaining < patient(7) + 0.5  # rounded up
        chat = Chat(way.client)
        way.backend.wait_calls(2)
        assert way.backend.calls[-1].remaining is None or way.backend.calls[-1].remaining > 1e6, "none was given"
        assert chat.end().ok

    def test_reduced(self, world):
        """By the time that the call has waited for a connection."""
        hog = world.connect("narrow")
        first = hog.open("Unary", b"", metadata=[("do-wait", "1")])
        backend = world.backends["plain"]
        backend.wait_calls()
        second = world.connect("narrow").open("Unary", b"", timeout=patient(20))
        wait_until(lambda: world.sluice.upstream("narrow")["waiting"] == 1)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.5)
        first.cancel()
        assert second.result() == b""
        assert backend.calls[-1].remaining < patient(20) - 0.4

    @EVERY_KIND
    def test_exceeded(self, way, kind):
        began = time.monotonic()
        reply = way.client.call(kind, requests_of(kind, b"hello"), timeout=0.7, metadata=[("do-wait", "1")])
        assert reply.code is Code.DEADLINE_EXCEEDED and time.monotonic() - began < patient(3)
        way.backend.wait_calls()
        way.backend.calls[-1].wait_gone()

    def test_kept_by_the_relay(self, world):
        """A client that says a deadline and does not mind it."""
        limit = patient(0.7)  # in which it reaches the server, however busy the machine is
        raw = Raw(world, headers=[("grpc-timeout", f"{limit * 1000:.0f}m"), ("do-wait", "1")])
        assert raw.status == 200 and raw.code is Code.DEADLINE_EXCEEDED
        assert limit - 0.05 <= raw.seconds < limit + patient(1)
        world.backends["plain"].wait_calls().wait_gone()

    @pytest.mark.parametrize("timeout", ["0m", "0S", "1n", "999u"])
    def test_over_at_once(self, world, timeout):
        raw = Raw(world, headers=[("grpc-timeout", timeout), ("do-wait", "1")])
        assert raw.code is Code.DEADLINE_EXCEEDED and raw.seconds < patient(1)

    @pytest.mark.parametrize("timeout", ["99999999H", "10000000u", "1H", "00000005S"])
    def test_units(self, world, timeout):
        assert Raw(world, headers=[("grpc-timeout", timeout)]).code is Code.OK

    @pytest.mark.parametrize("timeout", ["99999999n", "100000u", "0100m"])
    def test_units_of_a_tenth_of_a_second(self, world, timeout):
        raw = Raw(world, headers=[("grpc-timeout", timeout), ("do-wait", "1")])
        assert raw.code is Code.DEADLINE_EXCEEDED and 0.08 <= raw.seconds < 0.1 + patient(1)

    def test_after_the_first_answers(self, relayed):
        """The trailers come behind what was sent."""
        chat = Chat(relayed.client, timeout=patient(0.7))
        chat.send(b"one")
        assert chat.read() == b"one"
        assert chat.call.exception(patient(10)) is not None and chat.call.code() is Code.DEADLINE_EXCEEDED
        relayed.backend.calls[-1].wait_gone()
        chat.half_close()


class TestCancellation:
    @EVERY_KIND
    def test_by_the_client(self, way, kind):
        call = way.client.open(kind, requests_of(kind, b"hello"), metadata=[("do-wait", "1")])
        way.backend.wait_calls()
        call.cancel()
        way.backend.calls[-1].wait_gone()
        assert way.client.unary().ok

    def test_by_the_client_in_the_middle(self, way):
        call = way.client.open("ServerStream", b"", metadata=[("do-count", "1000000"), ("do-size", "10000")])
        assert [len(next(call)) for _ in range(10)] == [10000] * 10
        call.cancel()
        way.backend.calls[-1].wait_gone()
        chat = Chat(way.client)
        chat.send(b"one")
        assert chat.read() == b"one"
        chat.cancel()
        way.backend.calls[-1].wait_gone()
        assert way.client.unary().ok

    def test_by_a_client_that_vanishes(self, way):
        """With all its calls."""
        other = way.world.connect(way.name)
        chats = [Chat(other, kind) for kind in ("Bidi", "ClientStream", "Bidi")]
        way.backend.wait_calls(3)
        other.close()
        for call in way.backend.calls:
            call.wait_gone()
        for chat in chats:
            chat.half_close()
        assert way.client.unary().ok

    @EVERY_KIND
    def test_by_the_server(self, way, kind):
        reply = way.client.call(kind, requests_of(kind, b"hello"), metadata=[("do-cancel", "1")])
        assert reply.code is Code.CANCELLED
        assert way.client.unary().ok


class TestLimits:
    """Of messages, by the listener; the rest of the connection goes on."""

    def test_defaults(self, relayed):
        assert relayed.client.unary(b"x" * 4 * MIB).ok
        reply = relayed.client.unary(b"x" * (4 * MIB + 1))
        assert reply.code is Code.RESOURCE_EXHAUSTED and reply.details
        assert relayed.client.unary(b"", metadata=[("do-size", str(4 * MIB))]).ok
        reply = relayed.client.unary(b"", metadata=[("do-size", str(4 * MIB + 1))])
        assert reply.code is Code.RESOURCE_EXHAUSTED and reply.details
        assert relayed.client.unary().ok

    @EVERY_KIND
    def test_from_the_client(self, world, kind):
        client, backend = world.connect("small"), world.backends["plain"]
        assert client.call(kind, requests_of(kind, b"x" * 1000)).ok
        # A server whose handler has begun is told that it is over; one that waits for the message never begins.
        reply = client.call(kind, requests_of(kind, b"x" * 1001))
        assert reply.code is Code.RESOURCE_EXHAUSTED
        for call in backend.calls[1:]:
            call.wait_gone()
        assert client.unary(b"x" * 1000).ok

    @EVERY_KIND
    def test_to_the_client(self, world, kind):
        client = world.connect("small")
        metadata = [("do-count", "1")]
        assert client.call(kind, requests_of(kind, b""), metadata=[*metadata, ("do-size", "2000")]).ok
        reply = client.call(kind, requests_of(kind, b""), metadata=[*metadata, ("do-size", "2001")])
        assert reply.code is Code.RESOURCE_EXHAUSTED
        assert client.unary(b"x" * 1000).ok

    def test_after_others(self, world):
        """Messages before the one too many have passed."""
        client, backend = world.connect("small"), world.backends["plain"]
        chat = Chat(client)
        chat.send(b"x" * 1000)
        call = backend.wait_calls()
        chat.send(b"y" * 1000)
        chat.send(b"z" * 1001)
        assert chat.end().code is Code.RESOURCE_EXHAUSTED
        call.wait_gone()
        assert b"z" * 1001 not in call.requests

    def test_compressed_ones_count_as_they_are_sent(self, world):
        client = world.connect("small", compression=GZIP)
        assert client.unary(b"x" * 100_000, metadata=[("do-gzip", "1")]).message == b"x" * 100_000


class TestRefusals:
    @pytest.mark.parametrize("path", ["/test.Other/Unary", "/test.EchoX/Unary", "/test.Ech/Unary", "/x", "/"])
    def test_unknown_services(self, relayed, path):
        reply = relayed.client.unary(path=path)
        assert reply.code is Code.UNIMPLEMENTED and reply.details
        assert not relayed.backend.calls

    def test_unknown_methods(self, relayed):
        """Only the server knows."""
        assert relayed.client.unary(path=f"/{ECHO}/Nothing").code is Code.UNIMPLEMENTED

    @pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/grpcx", "application/grp",
                                              None, "application/grpc-web"])
    def test_content_types_of_others(self, world, content_type):
        raw = Raw(world, content_type=content_type)
        assert raw.status == 415 and not world.backends["plain"].calls

    @pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc+json",
                                              "application/grpc;charset=utf-8"])
    def test_content_types(self, world, content_type):
        raw = Raw(world, content_type=content_type)
        assert raw.status == 200 and raw.code is Code.OK and raw.messages == [(0, b"hello")]
        assert raw.fields["content-type"].startswith("application/grpc")

    def test_no_upstream(self, world):
        client = world.connect("counted")
        reply = client.unary(path="/test.Nobody/Unary", timeout=20)
        assert reply.code is Code.UNAVAILABLE and reply.details
        assert Raw(world, "counted", "/test.Nobody/Unary").trailers_only

    def test_a_full_pool(self, world):
        """One call runs, one waits, the third is told when to come back."""
        client = world.connect("narrow")
        calls = [client.open("Unary", b"", metadata=[("do-wait", "1")])]
        world.backends["plain"].wait_calls()
        calls.append(client.open("Unary", b"waited", timeout=patient(30)))
        wait_until(lambda: world.sluice.upstream("narrow")["waiting"] == 1)
        raw = Raw(world, "narrow")
        assert raw.status == 200 and raw.code is Code.RESOURCE_EXHAUSTED and raw.trailers_only
        assert int(raw.fields["grpc-retry-pushback-ms"]) >= 0
        reply = world.connect("narrow", options=[("grpc.enable_retries", 0)]).unary()
        assert reply.code is Code.RESOURCE_EXHAUSTED
        calls[0].cancel()
        assert calls[1].result() == b"waited"

    def test_http_1(self, world):
        """Neither in the clear nor by ALPN."""
        with world.sluice.connect("plain-plain", tls=False) as client:
            client.send(b"POST /test.Echo/Unary HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            assert client.ending() in ("fin", "reset") and b"HTTP/1.1 200" not in client.buffer
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            world.sluice.connect("tls-tls", tls=client_context(alpn=["http/1.1"]))
        with world.sluice.connect("tls-tls", tls=client_context(alpn=["http/1.1", "h2"])) as client:
            assert client.sock.selected_alpn_protocol() == "h2"


class TestTls:
    def test_client_certificates(self, start, certificates):
        """Asked for by the listener, and shown to the upstream."""
        authority, ours = certificates.authority(), certificates.client("relay")
        trusted = {"ca": str(authority.certificate), "server_name": "localhost", "certificate": str(ours.certificate),
                   "key": str(ours.key)}
        asked = certificates.server().tls(client_ca=str(authority.certificate), client_auth="require")
        with GrpcBackend(tls=certificates.server(), client_ca=authority) as backend:
            sluice = start(configs.config(listener(tls=asked), upstreams=[upstream(backend, tls=trusted)]))
            alice = connect(sluice, trust=authority, identity=certificates.client("alice"))
            assert alice.unary(b"x" * MIB).message == b"x" * MIB
            nobody = connect(sluice, trust=authority)
            assert nobody.unary().code is Code.UNAVAILABLE


def figures(world):
    """Of the listener "counted": a copy, with the methods by name."""
    found = world.sluice.get("/v1/listeners/counted")["grpc"]
    return {**found, "methods": {row["method"]: row for row in found["methods"]}}


class TestStatistics:
    def test_calls_statuses_and_messages(self, world):
        before = figures(world)
        client = world.connect("counted")
        for _ in range(5):
            client.unary()
        client.unary(metadata=[("do-code", "5")])
        client.server_stream(metadata=[("do-count", "7")])
        client.client_stream([b"x"] * 4)
        client.bidi([b"x"] * 3)
        client.unary(path="/test.Nobody/Unary", timeout=20)
        client.unary(path="/test.Nothing/Known")
        client.unary(timeout=0.1, metadata=[("do-wait", "1")])
        wait_until(lambda: figures(world)["calls"]["total"] == before["calls"]["total"] + 12)
        after = figures(world)
        assert after["calls"]["active"] == 0
        codes = {"OK": 8, "NOT_FOUND": 1, "UNAVAILABLE": 1, "UNIMPLEMENTED": 1}
        grown = {name: count - before["statuses"].get(name, 0) for name, count in after["statuses"].items()}
        late = grown.pop("DEADLINE_EXCEEDED", 0) + grown.pop("CANCELLED", 0)  # whichever of the two was first
        assert {name: count for name, count in grown.items() if count} == codes and late == 1
        unary = after["methods"]["/test.Echo/Unary"]
        assert unary["statuses"]["OK"] == 5 and unary["statuses"]["NOT_FOUND"] == 1
        assert (unary["messages_in"], unary["messages_out"]) == (7, 5)
        assert unary["latency_ms"]["p99"] > 0 and 0 < unary["error_rate"] < 0.5
        stream = after["methods"]["/test.Echo/ServerStream"]
        assert (stream["messages_in"], stream["messages_out"]) == (1, 7)
        assert (after["methods"]["/test.Echo/ClientStream"]["messages_in"],
                after["methods"]["/test.Echo/ClientStream"]["messages_out"]) == (4, 1)
        assert after["methods"]["/test.Echo/Bidi"]["messages_in"] == 3
        assert "/test.Nothing/Known" not in after["methods"]
        shown = world.sluice.ctl("grpc", "counted", check=True).stdout
        assert "/test.Echo/Unary" in shown

    def test_active_calls(self, world):
        client = world.connect("counted")
        chats = [Chat(client) for _ in range(5)]
        wait_until(lambda: figures(world)["calls"]["active"] == 5)
        for chat in chats:
            assert chat.end().ok
        wait_until(lambda: figures(world)["calls"]["active"] == 0)

    def test_metrics(self, world):
        world.connect("counted").unary()
        wanted = 'sluice_grpc_calls_total{listener="counted",method="/test.Echo/Unary",code="OK"}'
        wait_until(lambda: wanted in world.sluice.admin.ask("GET", "/metrics").body.decode())


CPP_CLIENT = BUILD / "tests" / "grpc_client"


class TestCpp:
    """gRPC's own library, by the test program grpc_client."""

    @pytest.mark.parametrize("name", RELAYED)
    def test_all_kinds(self, world, name):
        assert CPP_CLIENT.exists(), "built with the tests"
        secure = ["--ca", world.trust.certificate] if name.startswith("tls") else []
        done = subprocess.run([str(part) for part in (CPP_CLIENT, "%s:%d" % world.sluice.addr(name), *secure)],
                              capture_output=True, text=True, timeout=patient(60))
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and lines[-1] == "all well", done.stdout + done.stderr
        assert len(lines) >= 10 and all(line.startswith("ok ") for line in lines[:-1])
        for call in world.backend(name).calls:
            assert call.over.wait(patient(10))


def has_grpc_js():
    try:
        return subprocess.run(["env", NODE_PATH, "node", "-e", "require('@grpc/grpc-js')"],
                              capture_output=True).returncode == 0
    except OSError:
        return False


NODE_CLIENT = """\
const grpc = require('@grpc/grpc-js');
const target = process.argv[2], told = {};
const same = (value) => value;
const method = (name, requestStream, responseStream) => ({ path: '/test.Echo/' + name, requestStream, responseStream,
  requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same });
const Echo = grpc.makeGenericClientConstructor({ unary: method('Unary', false, false),
  serverStream: method('ServerStream', false, true), clientStream: method('ClientStream', true, false),
  bidi: method('Bidi', true, true) }, 'Echo');
const client = new Echo(target, grpc.credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 });
const metadata = (fields) => { const all = new grpc.Metadata(); for (const key in fields) all.set(key, fields[key]);
                               return all; };
const all = (call) => new Promise((done) => { const found = []; call.on('data', (data) => found.push(data.toString()));
  call.on('error', () => {}); call.on('status', (status) => done([found, status.code, status.details])); });
const unary = (message, fields, options) => new Promise((done) =>
  client.unary(message, metadata(fields), options || {}, (error, answer) =>
    done(error ? [error.code, error.details] : [0, answer.length])));
(async () => {
  told.unary = await unary(Buffer.from('hello'), {});
  told.large = await unary(Buffer.alloc(4 << 20), {});
  told.larger = (await unary(Buffer.alloc((4 << 20) + 1), {}))[0];
  told.refused = await unary(Buffer.from('x'), { 'do-code': '5', 'do-details-bin': Buffer.from('caf\\u00e9') });
  told.late = (await unary(Buffer.from('x'), { 'do-wait': '1' }, { deadline: Date.now() + 300 }))[0];
  told.stream = await all(client.serverStream(Buffer.from('again'), metadata({ 'do-count': '4' })));
  const bidi = client.bidi(metadata({})), answers = all(bidi);
  for (const word of ['one', 'two']) bidi.write(Buffer.from(word));
  bidi.end();
  told.bidi = await answers;
  told.client = await new Promise((done) => {
    const call = client.clientStream(metadata({}), (error, answer) => done(error ? error.code : answer.toString()));
    for (const word of ['one', 'two']) call.write(Buffer.from(word));
    call.end();
  });
  const waiting = client.bidi(metadata({})), ending = all(waiting);
  waiting.write(Buffer.from('x'));
  waiting.once('data', () => waiting.cancel());
  told.cancelled = (await ending)[1];
  client.close();
  console.log(JSON.stringify(told));
})();
"""


@pytest.mark.skipif(not LONG, reason="a matter of the long run")
class TestNode:
    @pytest.mark.parametrize("name", ["direct", "plain-plain"])
    def test_grpc_js(self, world, needs, tmp_path, name):
        needs("node")
        if not has_grpc_js():
            pytest.skip("@grpc/grpc-js is not installed")
        script = tmp_path / "client.js"
        script.write_text(NODE_CLIENT)
        target = world.backends["plain"].endpoint if name == "direct" else "%s:%d" % world.sluice.addr(name)
        done = subprocess.run(["env", NODE_PATH, "node", script, target], capture_output=True, text=True,
                              timeout=patient(60))
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told.pop("larger") == (0 if name == "direct" else 8)
        assert told == {"unary": [0, 5], "large": [0, 4 * MIB], "refused": [5, "caf\u00e9"], "late": 4,
                        "stream": [["again"] * 4, 0, ""], "bidi": [["one", "two"], 0, ""], "client": "onetwo",
                        "cancelled": 1}


@pytest.mark.slow
def test_load(world):
    """All kinds at once for a while: nothing is lost, nothing is left."""
    def mixed(client):
        replies = [client.unary(), client.server_stream(), client.client_stream(), client.bidi(),
                   client.unary(b"x" * 200_000)]
        return next((reply for reply in replies if not reply.ok), replies[0])

    with Callers(lambda: GrpcClient("%s:%d" % world.sluice.addr("plain-plain")), scaled(4, 16), mixed) as callers:
        callers.wait_more(scaled(100, 1000))
    assert not callers.failed
