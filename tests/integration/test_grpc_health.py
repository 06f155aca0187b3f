"""What the daemon answers itself over gRPC: health, reflection and the admin service, asked by real clients."""

import contextlib
import json
import pathlib
import signal

import grpc
import pytest

from support import configs
from support.grpc import (ECHO, CODES, Chat, Code, GrpcBackend, GrpcClient, builtin, connect, hang_up, listener, pack, proto,
                          proxy, unpack, upstream)
from support.settings import patient
from support.waiting import wait_until

HEALTH, ADMIN = "/grpc.health.v1.Health", "/sluice.admin.v1.Admin"
REFLECTIONS = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3
SWIFT = {"health_check": {"type": "grpc", "interval": "100ms", "timeout": "5s", "rise": 1, "fall": 1}}


def check(client, service=""):
    """As a probe asks: a status, or the code of a refusal."""
    reply = client.unary(pack(f1=service), path=f"{HEALTH}/Check")
    return unpack(reply.message)[1][0] if reply.ok else reply.code


def wait_check(client, wanted, service=""):
    wait_until(lambda: check(client, service) == wanted, what=f"{service!r} is {wanted}")


class Watch:
    def __init__(self, client, service=""):
        self.call = client.open("ServerStream", pack(f1=service), path=f"{HEALTH}/Watch", timeout=patient(30))

    def next(self):
        return unpack(next(self.call))[1][0]

    def end(self):
        """The code, and the states until then."""
        states = []
        try:
            states.extend(unpack(message)[1][0] for message in self.call)
        except grpc.RpcError:
            pass
        return states, self.call.code()


@pytest.fixture
def backend():
    with GrpcBackend() as server:
        yield server


def healthy(*servers, routes=(), more_listeners=(), top=None, **upstream_keys):
    """Listener "calls" with health, a route to test.Echo and `routes`."""
    wanted = [proxy(), builtin(), *routes]
    return configs.config(listener(routes=wanted), *more_listeners, **(top or {}),
                          upstreams=[upstream(*servers, **{**SWIFT, **upstream_keys})])


class TestHealth:
    def test_names(self, start, backend):
        exact = {"match": {"exact_path": "/test.Exact/Only"}, "proxy": {"upstream": "api"}}
        sluice = start(healthy(backend, routes=[exact]))
        client = connect(sluice)
        wait_check(client, SERVING, ECHO)
        assert check(client) == SERVING
        assert check(client, "test.Exact") == SERVING
        for own in ("grpc.health.v1.Health", *REFLECTIONS):
            assert check(client, own) == SERVING
        for strange in ("test.No", "test.Ech", "test.EchoX", "Echo", "test", "/", "\u00e9", "sluice.admin.v1.Admin"):
            assert check(client, strange) is Code.NOT_FOUND, strange

    def test_follows_the_upstream(self, start, backend):
        sluice = start(healthy(backend))
        client = connect(sluice)
        wait_check(client, SERVING, ECHO)
        watch, own = Watch(client, ECHO), Watch(client)
        assert watch.next() == SERVING and own.next() == SERVING
        for status in (NOT_SERVING, SERVING, NOT_SERVING):
            backend.set_health(status)
            assert watch.next() == status
            wait_check(client, status, ECHO)
            assert check(client) == SERVING, "the daemon itself is well"
        watch.call.cancel()
        own.call.cancel()

    def test_of_a_service(self, start, backend):
        """Whose name is the check's, not that of the server as a whole."""
        backend.set_health(NOT_SERVING, "test.Part")
        keys = {**SWIFT["health_check"], "service": "test.Part"}
        sluice = start(healthy(backend, health_check=keys))
        client = connect(sluice)
        wait_check(client, NOT_SERVING, ECHO)
        backend.set_health(SERVING, "test.Part")
        wait_check(client, SERVING, ECHO)
        backend.set_health(None, "test.Part")
        wait_check(client, NOT_SERVING, ECHO)
        assert set(backend.checks) == {"test.Part"}

    def test_a_server_that_goes_and_comes(self, start):
        backend = GrpcBackend()
        sluice = start(healthy(backend))
        client = connect(sluice)
        wait_check(client, SERVING, ECHO)
        watch = Watch(client, ECHO)
        assert watch.next() == SERVING
        backend.stop()
        assert watch.next() == NOT_SERVING
        with GrpcBackend(address=backend.endpoint):
            assert watch.next() == SERVING
            assert client.unary().ok
            watch.call.cancel()
            hang_up(sluice)

    def test_one_of_two(self, start, backend):
        """One that serves is enough, and the other gets no calls."""
        with GrpcBackend() as other:
            sluice = start(healthy(backend, other, balance="round_robin"))
            client = connect(sluice)
            wait_until(lambda: sluice.upstream()["available"] == {"endpoints": 2, "of": 2})
            other.set_health(NOT_SERVING)
            wait_until(lambda: sluice.endpoint(other)["health"] == "unhealthy")
            assert check(client, ECHO) == SERVING
            count = len(other.calls)
            assert all(client.unary().ok for _ in range(20)) and len(other.calls) == count
            hang_up(sluice)

    def test_a_name_that_a_reload_brings(self, start, backend):
        sluice = start(healthy(backend))
        client = connect(sluice)
        watch = Watch(client, "test.Later")
        assert watch.next() == UNKNOWN
        sluice.apply(healthy(backend, routes=[proxy("api", "/test.Later/")]))
        assert watch.next() == SERVING and check(client, "test.Later") == SERVING
        sluice.apply(healthy(backend))
        assert watch.next() == UNKNOWN and check(client, "test.Later") is Code.NOT_FOUND
        watch.call.cancel()

    def test_own_beside_a_route_for_all(self, start, backend):
        backend.set_health(NOT_SERVING)
        sluice = start(configs.config(listener(routes=[builtin(), proxy("api", "/")]),
                                      upstreams=[upstream(backend, **SWIFT)]))
        client = connect(sluice)
        wait_check(client, NOT_SERVING, ECHO)
        for own in ("grpc.health.v1.Health", *REFLECTIONS):
            assert check(client, own) == SERVING

    def test_a_server_that_is_not_there(self, start):
        """Without health checks the connects tell; between them nothing is said."""
        backend = GrpcBackend()
        backend.stop()
        sluice = start(configs.config(listener(routes=[proxy(), builtin()]),
                                      upstreams=[upstream(backend.endpoint, pool={"min_connections": 1})]))
        client = connect(sluice)
        wait_check(client, NOT_SERVING, ECHO)
        watch = Watch(client, ECHO)
        assert watch.next() == NOT_SERVING
        wait_until(lambda: sluice.endpoint(backend.endpoint)["connects"]["failed"] >= 4)
        with GrpcBackend(address=backend.endpoint):
            assert watch.next() == SERVING
            watch.call.cancel()
            hang_up(sluice)

    def test_long_names(self, start, backend):
        """They are not echoed whole: a head of 64 KiB would end the connection, which others share."""
        sluice = start(healthy(backend))
        client = connect(sluice)
        watch = Watch(client)
        assert watch.next() == SERVING
        reply = client.unary(pack(f1="x" * 1024), path=f"{HEALTH}/Check")
        assert reply.code is Code.NOT_FOUND and "x" * 90 in reply.details and len(reply.details) < 200
        for size in (1025, 60_000):
            assert check(client, "x" * size) is Code.INVALID_ARGUMENT
            assert Watch(client, "x" * size).end() == ([], Code.INVALID_ARGUMENT)
        watch.call.cancel()
        assert watch.end() == ([], Code.CANCELLED)

    def test_many_watchers(self, start, backend):
        sluice = start(healthy(backend))
        client = connect(sluice)
        wait_check(client, SERVING, ECHO)
        watches = [Watch(client, ECHO) for _ in range(50)]
        assert [watch.next() for watch in watches] == [SERVING] * 50
        backend.set_health(NOT_SERVING)
        assert [watch.next() for watch in watches] == [NOT_SERVING] * 50
        client.close()
        wait_until(lambda: sluice.pool("calls")["running_requests"] == 0)

    def test_drain_of_the_listener(self, start, backend):
        """Told first, then ended."""
        sluice = start(healthy(backend, more_listeners=[listener("other", [builtin()])]))
        client = connect(sluice)
        wait_check(client, SERVING, ECHO)
        watches = [Watch(client, ECHO), Watch(client)]
        assert [watch.next() for watch in watches] == [SERVING] * 2
        other = Watch(connect(sluice, "other"))
        assert other.next() == SERVING
        sluice.ctl("drain", "calls", check=True)
        assert [watch.end() for watch in watches] == [([NOT_SERVING], Code.UNAVAILABLE)] * 2
        wait_until(lambda: sluice.listener("calls")["state"] == "stopped", 5)
        assert check(connect(sluice, "other")) == SERVING
        other.call.cancel()

    @pytest.mark.parametrize("delay", ["0s", "500ms"])
    def test_drain_of_the_daemon(self, start, backend, delay):
        sluice = start(healthy(backend, top={"drain_delay": delay}))
        client = connect(sluice)
        wait_check(client, SERVING, ECHO)
        watches = [Watch(client, ECHO), Watch(client)]
        assert [watch.next() for watch in watches] == [SERVING] * 2
        sluice.signal(signal.SIGTERM)
        if delay != "0s":  # the streams go on as long as new connections are taken
            assert [watch.next() for watch in watches] == [NOT_SERVING] * 2
            assert check(client) == NOT_SERVING
        told = [[]] * 2 if delay != "0s" else [[NOT_SERVING]] * 2
        assert [watch.end() for watch in watches] == [(states, Code.UNAVAILABLE) for states in told]
        client.close()
        assert sluice.wait_exit() == 0


def threads(sluice):
    return sorted(path.read_text().strip() for path in pathlib.Path(f"/proc/{sluice.pid}/task").glob("*/comm"))


class TestCost:
    def test_nothing_where_it_is_not_configured(self, start, backend):
        sluice = start(configs.config(listener(), upstreams=[upstream(backend)]))
        before = threads(sluice)
        client = connect(sluice)
        assert client.unary().ok
        assert check(client) is Code.UNIMPLEMENTED
        assert client.unary(b"", path=f"{ADMIN}/GetStatus").code is Code.UNIMPLEMENTED
        assert threads(sluice) == before

    def test_services_of_the_route_only(self, start):
        """What it does not have goes to the other routes, and at last to nobody."""
        sluice = start(configs.config(listener("health", [builtin("health")]),
                                      listener("reflection", [builtin("reflection")])))
        assert check(connect(sluice, "health")) == SERVING
        assert check(connect(sluice, "reflection")) is Code.UNIMPLEMENTED
        assert Reflection(connect(sluice, "reflection")).services() == {*REFLECTIONS}
        assert reflect(connect(sluice, "health")).code is Code.UNIMPLEMENTED

    def test_limits_are_the_listeners(self, start):
        sluice = start(configs.config(listener("calls", [builtin("health")], max_receive_message_length="100B")))
        client = connect(sluice)
        assert check(client, "x" * 90) is Code.NOT_FOUND
        assert check(client, "x" * 100) is Code.RESOURCE_EXHAUSTED
        wait_until(lambda: sluice.get("/v1/listeners/calls")["grpc"]["statuses"] == {"NOT_FOUND": 1,
                                                                                     "RESOURCE_EXHAUSTED": 1})

    def test_strange_requests(self, start):
        sluice = start(configs.config(listener("calls", [builtin("health", "admin")])))
        client = connect(sluice)
        assert client.unary(b"\xff\xff\xff", path=f"{HEALTH}/Check").code in (Code.INTERNAL, Code.INVALID_ARGUMENT)
        assert client.unary(b"", path=f"{HEALTH}/Nothing").code is Code.UNIMPLEMENTED
        assert client.unary(b"", path=f"{ADMIN}/Nothing").code is Code.UNIMPLEMENTED
        reply = client.unary(pack(f1="x"), path=f"{HEALTH}/Check", metadata=[("x-sluice-listener", "other"),
                                                                            ("x-sluice-peer", "liar")])
        assert reply.code is Code.NOT_FOUND
        assert check(client) == SERVING

    @pytest.mark.slow
    def test_many_checks(self, start):
        sluice = start(configs.config(listener("calls", [builtin("health")])))
        client = connect(sluice)
        calls = [client.open("Unary", b"", path=f"{HEALTH}/Check", timeout=patient(30)) for _ in range(1000)]
        assert [call.result() for call in calls] == [pack(f1=SERVING)] * 1000


def reflect(client, *requests, version="v1"):
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    return client.bidi([request.SerializeToString() for request in requests], path=path)


class Reflection:
    def __init__(self, client, version="v1"):
        self.messages = proto("reflection" if version == "v1" else "reflection_v1alpha")
        self.client, self.version = client, version

    def ask(self, *questions):
        """Each a dict of one field; on one stream."""
        requests = [self.messages.ServerReflectionRequest(**question) for question in questions]
        reply = reflect(self.client, *requests, version=self.version)
        assert reply.ok, reply
        answers = [self.messages.ServerReflectionResponse.FromString(message) for message in reply.messages]
        assert [answer.original_request for answer in answers] == requests
        return answers

    def services(self):
        return {service.name for service in self.ask({"list_services": ""})[0].list_services_response.service}

    def files(self, **question):
        from google.protobuf import descriptor_pb2

        answer = self.ask(question)[0].file_descriptor_response
        return [descriptor_pb2.FileDescriptorProto.FromString(data) for data in answer.file_descriptor_proto]


class TestReflection:
    @pytest.fixture(params=["v1", "v1alpha"])
    def sluice_and_version(self, start, request):
        routes = {"calls": [builtin()], "ops": [builtin("health", "reflection", "admin")]}
        wanted = [listener(name, each, drain_timeout="60s") for name, each in routes.items()]
        return start(configs.config(*wanted)), request.param

    def test_all(self, sluice_and_version):
        sluice, version = sluice_and_version
        calls, ops = (Reflection(connect(sluice, name), version) for name in ("calls", "ops"))
        usual = {"grpc.health.v1.Health", *REFLECTIONS}
        assert calls.services() == usual
        assert ops.services() == {*usual, "sluice.admin.v1.Admin"}
        self.check_files(calls, ops)
        self.check_refusals(calls)

    def test_of_an_upstream(self, start):
        """A route leads there, past the daemon's own."""
        behind = start(configs.config(listener("calls", [builtin("reflection", "admin")])))
        inner = "%s:%d" % behind.addr("calls")
        there = proxy("api", "/grpc.reflection.v1.ServerReflection/")
        sluice = start(configs.config(listener(routes=[builtin(), there]), upstreams=[upstream(inner)]))
        client = connect(sluice)
        assert Reflection(client).services() == {*REFLECTIONS, "sluice.admin.v1.Admin"}
        assert Reflection(client, "v1alpha").services() == {*REFLECTIONS, "grpc.health.v1.Health"}
        assert check(client) == SERVING
        sluice.stop()  # before the one that it is connected to

    def test_a_stream_ends_in_a_drain(self, sluice_and_version):
        sluice, version = sluice_and_version
        question = Reflection(None, version).messages.ServerReflectionRequest(list_services="")
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        chat = Chat(connect(sluice, "ops"), path=path, timeout=patient(30))
        for _ in range(2):
            chat.send(question.SerializeToString())
            assert chat.read()
        sluice.ctl("drain", "ops", check=True)
        with pytest.raises(grpc.RpcError):
            chat.read()
        assert chat.call.code() is Code.UNAVAILABLE
        chat.half_close()
        wait_until(lambda: sluice.listener("ops")["state"] == "stopped", 5)

    @staticmethod
    def check_files(calls, ops):
        for symbol in ("grpc.health.v1.Health", "grpc.health.v1.Health.Check", "grpc.health.v1.HealthCheckRequest"):
            file = calls.files(file_containing_symbol=symbol)[0]
            assert file.package == "grpc.health.v1" and [one.name for one in file.service] == ["Health"]
            assert [method.name for method in file.service[0].method] == ["Check", "Watch"]
            assert file.service[0].method[1].server_streaming
        assert calls.files(file_by_filename=file.name)[0] == file
        admin = ops.files(file_containing_symbol="sluice.admin.v1.Admin")[0]
        assert {method.name for method in admin.service[0].method} >= {"GetStatus", "Reload", "WatchEvents"}

    @staticmethod
    def check_refusals(calls):
        questions = [{"file_containing_symbol": "test.Nothing"}, {"file_by_filename": "nothing.proto"},
                     {"file_containing_extension": {"containing_type": "test.Nothing", "extension_number": 1}},
                     {"all_extension_numbers_of_type": "test.Nothing"}]
        answers = calls.ask(*questions, {"list_services": "*"})
        assert [CODES[answer.error_response.error_code] for answer in answers[:4]] == [Code.NOT_FOUND] * 4
        assert answers[4].list_services_response.service


class Admin:
    """The service's methods: each gives the code, or the message."""

    def __init__(self, client):
        self.client, self.messages = client, proto("admin")

    def __getattr__(self, method):
        service = self.messages.DESCRIPTOR.services_by_name["Admin"].methods_by_name[method]
        question, answer = (getattr(self.messages, kind.name) for kind in (service.input_type, service.output_type))

        def ask(**fields):
            reply, found = self.client.ask(f"{ADMIN}/{method}", question(**fields), answer)
            return found[0] if reply.ok else reply.code

        def watch(**fields):
            request = question(**fields).SerializeToString()
            call = self.client.open("ServerStream", request, path=f"{ADMIN}/{method}", timeout=patient(30))
            return call, map(answer.FromString, call)

        return watch if service.server_streaming else ask


class TestAdmin:
    @staticmethod
    def config(backend, **pool):
        return configs.config(listener("ops", [builtin("health", "reflection", "admin")]),
                              listener("calls", [proxy(), builtin()], **pool), upstreams=[upstream(backend)])

    @pytest.fixture
    def ops(self, start, backend):
        sluice = start(self.config(backend))
        yield sluice, Admin(connect(sluice, "ops"))
        hang_up(sluice) if sluice.alive else sluice.close_clients()

    def test_only_where_it_is_allowed(self, ops):
        sluice, _ = ops
        calls = Admin(connect(sluice, "calls"))
        assert calls.GetStatus() is Code.UNIMPLEMENTED and calls.Drain() is Code.UNIMPLEMENTED
        assert sluice.status()["state"] == "running"

    def test_status(self, ops):
        sluice, admin = ops
        assert connect(sluice).unary().ok
        wait_until(lambda: sluice.pool("calls")["requests"] == 1)
        status, shown = admin.GetStatus(), sluice.status()
        assert (status.pid, status.state, status.version) == (sluice.pid, "running", shown["version"])
        assert (status.revision, status.config_file) == (shown["revision"], str(sluice.file))
        listeners = {one.name: one for one in status.listeners}
        assert set(listeners) == {"ops", "calls"} and listeners["calls"].bind == sluice.listener("calls")["bind"]
        assert listeners["calls"].pool.requests == 1 and listeners["calls"].grpc.statuses["OK"] == 1
        assert [(row.method, row.calls, row.messages_in) for row in listeners["calls"].grpc.methods] == [
            (f"/{ECHO}/Unary", 1, 1)]
        assert listeners["calls"].protocol == "grpc" and listeners["ops"].pool.active == 1
        api = status.upstreams[0]
        assert (api.name, api.requests, len(api.endpoints)) == ("api", 1, 1)
        assert api.endpoints[0].address == sluice.endpoint()["address"]

    def test_connections(self, ops):
        sluice, admin = ops
        other = connect(sluice)
        assert other.unary().ok
        found = admin.ListConnections()
        assert {row.listener for row in found.connections} == {"ops", "calls"} and found.total >= 2
        found = admin.ListConnections(listener="calls")
        assert {row.listener for row in found.connections} == {"calls"}
        assert found.connections[0].peer.startswith("127.0.0.1:")
        assert admin.ListConnections(listener="nobody") is Code.NOT_FOUND

    def test_reload(self, ops, backend):
        sluice, admin = ops
        sluice.write_config(self.config(backend, max_connections=77))
        done = admin.Reload()
        assert done.ok and not done.error
        changes = done.changes or admin.GetStatus().last_reload.changes  # the watcher may have been quicker
        found = {change.key: (change.to, change.reload_class) for change in changes}
        assert found["listeners.calls.pool.max_connections"] == ("77", "live")
        assert sluice.pool("calls")["max_connections"] == 77
        wait_until(lambda: sluice.log_line("admin: Reload", "127.0.0.1"))
        revision = admin.GetStatus().revision
        sluice.file.write_text("listeners: nonsense\n")
        done = admin.Reload()
        assert not done.ok and done.error and "listeners" in done.errors[0]
        assert admin.GetStatus().revision == revision

    def test_plan(self, ops, backend):
        sluice, admin = ops
        wanted = json.loads(sluice.text_for(self.config(backend, max_connections=88)))
        answer = admin.Plan(yaml=json.dumps(wanted), file_name="wanted.yaml")
        assert answer.ok and [(change.key, change.to) for change in answer.changes] == [
            ("listeners.calls.pool.max_connections", "88")]
        assert sluice.pool("calls")["max_connections"] == 10000
        answer = admin.Plan(yaml="nonsense: 1\n", file_name="wanted.yaml")
        assert not answer.ok and "wanted.yaml:1" in answer.errors[0]

    def test_restart(self, ops):
        sluice, admin = ops
        assert admin.RestartListener(listener="calls").generation == 2
        assert sluice.listener("calls")["generation"] == 2
        assert admin.RestartListener(listener="nobody") is Code.NOT_FOUND
        assert admin.RestartListener(listener="ops").generation == 2, "its own, too"
        assert Admin(connect(sluice, "ops")).GetStatus().state == "running"

    def test_drain_of_a_listener(self, ops):
        sluice, admin = ops
        assert admin.Drain(listener="nobody") is Code.NOT_FOUND
        assert admin.Drain(listener="calls") == admin.messages.DrainResponse()
        wait_until(lambda: sluice.listener("calls")["state"] == "stopped")

    def test_drain_of_the_daemon(self, ops):
        sluice, admin = ops
        assert admin.Drain() == admin.messages.DrainResponse()
        assert sluice.wait_exit() == 0

    def test_events(self, ops):
        sluice, admin = ops
        call, events = admin.WatchEvents()
        first = next(events)
        assert first.seq and first.type and first.time
        admin.RestartListener(listener="calls")
        assert next(event for event in events if event.listener == "calls" and event.seq > first.seq)
        call.cancel()
        known = [event["seq"] for event in sluice.events()]
        call, events = admin.WatchEvents(since=known[-2])
        assert next(events).seq == known[-1]
        call.cancel()
        assert sluice.events(2**64 - 1) == [], "of what is still to come"
        assert {event["upstream"] for event in sluice.events()} <= {"", "api"}

    def test_stats(self, ops):
        _, admin = ops
        call, stats = admin.WatchStats(interval_ms=100)
        found = [next(stats) for _ in range(4)]
        assert all(status.listeners for status in found)
        assert not any(one.grpc.methods for status in found for one in status.listeners)
        gaps = [after.uptime_ms - before.uptime_ms for before, after in zip(found, found[1:])]
        assert min(gaps) >= 50 and max(gaps) < 100 + patient(1000), gaps
        call.cancel()

    def test_streams_end_with_their_listener(self, ops):
        sluice, admin = ops
        calls = [admin.WatchEvents(), admin.WatchStats()]
        for _, messages in calls:
            next(messages)
        sluice.ctl("drain", "ops", check=True)
        last = [self.last(*one) for one in calls]
        assert last[0].type == "drain_started" and [call.code() for call, _ in calls] == [Code.UNAVAILABLE] * 2
        wait_until(lambda: sluice.listener("ops")["state"] == "stopped")

    @staticmethod
    def last(call, messages):
        """Until the end."""
        message = None
        with contextlib.suppress(grpc.RpcError):
            for message in messages:
                pass
        return message

    def test_streams_end_with_their_service(self, ops, backend):
        """Which a reload takes from the listener."""
        sluice, admin = ops
        watch, (call, events) = Watch(admin.client), admin.WatchEvents()
        assert watch.next() == SERVING and next(events)
        wanted = self.config(backend)
        wanted["listeners"][0]["routes"] = [builtin("health")]
        sluice.apply(wanted)
        self.last(call, events)
        assert call.code() is Code.UNAVAILABLE and "no longer offered" in call.details()
        assert admin.GetStatus() is Code.UNIMPLEMENTED and check(admin.client) == SERVING
        wanted["listeners"][0]["routes"] = [proxy()]
        sluice.apply(wanted)
        assert watch.end()[1] is Code.UNAVAILABLE

    def test_over_tls(self, start, certificates):
        wanted = listener("ops", [builtin("admin")], certificates.server().tls())
        sluice = start(configs.config(wanted))
        admin = Admin(connect(sluice, "ops", trust=certificates.authority()))
        assert admin.GetStatus().pid == sluice.pid
        assert admin.ListConnections().connections[0].tls.alpn == "h2"
        with GrpcClient("%s:%d" % sluice.addr("ops")) as plain:
            assert Admin(plain).GetStatus() is Code.UNAVAILABLE
