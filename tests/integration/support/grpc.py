"""gRPC without generated code: servers and clients of grpcio that exchange bytes, messages by hand, and the wire."""

import collections
import concurrent.futures
import contextlib
import functools
import importlib.util
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

# The tests start programs while gRPC's threads run; they do not go on as gRPC in these.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc  # noqa: E402

from . import configs  # noqa: E402
from .backends import Program  # noqa: E402
from .load import Crew  # noqa: E402
from .settings import REPO, patient  # noqa: E402
from .waiting import wait_until  # noqa: E402

Code = grpc.StatusCode
CODES = {code.value[0]: code for code in Code}
GZIP = grpc.Compression.Gzip
ECHO = "test.Echo"
MIB = 1024 * 1024
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
             ("grpc.max_metadata_size", 64 * 1024)]
NO_RETRIES = [("grpc.enable_retries", 0)]


# Messages and the wire

def prefixed(message, flag=0):
    """A message as it goes into DATA."""
    return struct.pack(">BI", flag, len(message)) + message


def split(data):
    """The messages in DATA, each with its flag; what follows the last whole one must be nothing."""
    found = []
    while data:
        flag, size = struct.unpack(">BI", data[:5])
        assert len(data) >= 5 + size, f"{len(data) - 5} of {size} bytes"
        found.append((flag, data[5:5 + size]))
        data = data[5 + size:]
    return found


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def pack(**fields):
    """A protobuf message: pack(f1="text", f2=3, f3=pack(...)); f3=[...] is a repeated one. Zeros are left out."""
    out = b""
    for name, given in fields.items():
        for value in given if isinstance(given, list) else [given]:
            number = int(name[1:])
            if isinstance(value, int):
                out += varint(number << 3) + varint(value) if value else b""
            else:
                data = value.encode() if isinstance(value, str) else value
                out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def unpack(data):
    """Its fields by number, each as a list of numbers or bytes."""
    found = collections.defaultdict(list)

    def number():
        nonlocal data
        value = shift = 0
        while True:
            byte, data = data[0], data[1:]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while data:
        key = number()
        assert key & 7 in (0, 2), f"wire type {key & 7}"
        value = number()
        if key & 7 == 2:
            value, data = data[:value], data[value:]
        found[key >> 3].append(value)
    return found


@functools.cache
def proto(name):
    """The Python module of one of the daemon's own .proto files, as protoc makes it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-proto-"))
    try:
        source = REPO / "protocols" / "grpc" / "proto"
        subprocess.run(["protoc", f"--proto_path={source}", f"--python_out={folder}", source / f"{name}.proto"],
                       check=True, timeout=patient(20))
        found = importlib.util.spec_from_file_location(f"{name}_pb2", folder / f"{name}_pb2.py")
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module
    finally:
        shutil.rmtree(folder)


# Configurations

def listener(name="calls", routes=None, tls=None, **pool):
    return {"name": name, "protocol": "grpc", "bind": "127.0.0.1:0", **({"tls": tls} if tls else {}),
            "pool": {"drain_timeout": "2s", **pool}, "routes": routes if routes is not None else [proxy()]}


def proxy(upstream="api", path=f"/{ECHO}/", *, match=None, **more):
    return {"match": match or {"path": path}, "proxy": {"upstream": upstream, **more}}


def builtin(*services, **match):
    """Without `match` it takes the calls of its services whatever follows; default: health and reflection."""
    return {**({"match": match} if match else {}), "builtin": {"services": list(services)} if services else {}}


def upstream(*servers, name="api", **more):
    return configs.upstream(name, *servers, **{"protocol": "grpc", **more})


def relaying(*servers, front=None, top=None, **upstream_keys):
    """One grpc listener "calls", whose calls of test.Echo go to one upstream "api"; `front`: the listener's keys."""
    return configs.config(listener(**(front or {})), upstreams=[upstream(*servers, **upstream_keys)], **(top or {}))


# Servers

class Call:
    """What the server saw of one call."""

    def __init__(self, method, context):
        self.method, self.metadata, self.peer = method, context.invocation_metadata(), context.peer()
        self.remaining = context.time_remaining()  # None: no deadline
        self.requests, self.sent = [], 0
        self.over, self.gone = threading.Event(), False
        # Where the reading of requests is what a cancellation ends, only gRPC's own state tells it from a half-close.
        self._state = context._state
        if not context.add_callback(self._ended):
            self._ended()

    def _ended(self):
        self.gone = self._state.client == "cancelled"
        self.over.set()

    def wait_gone(self):
        """Until it has ended from outside: by a cancellation, its deadline, or the end of its connection."""
        assert self.over.wait(patient(10)), "the server's call goes on"
        assert self.gone, "ended by the server itself"

    def get(self, name, default=None):
        return next((value for key, value in self.metadata if key == name), default)

    def all(self, name):
        return [value for key, value in self.metadata if key == name]


class GrpcServer:
    """A grpcio server at `address`, in threads of this process; subclasses say what it serves in `handlers`."""

    protocol = "grpc"

    def __init__(self, *, address="127.0.0.1:0", tls=None, client_ca=None, options=(), workers=64, compression=None):
        """`tls`, `client_ca`: Pairs of support.certificates."""
        self.pool = concurrent.futures.ThreadPoolExecutor(workers)
        options = [("grpc.so_reuseport", 0), *UNLIMITED, *options]
        self.server = grpc.server(self.pool, self.handlers(), options=options, compression=compression)
        if tls:
            pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
            ca = client_ca.certificate.read_bytes() if client_ca else None
            port = self.server.add_secure_port(address, grpc.ssl_server_credentials([pair], ca, bool(client_ca)))
        else:
            port = self.server.add_insecure_port(address)
        assert port, f"cannot bind {address}"
        self.address = ("127.0.0.1", port)
        self.server.start()

    @property
    def endpoint(self):
        return "%s:%d" % self.address

    def stop(self, grace=None):
        self.release()
        assert self.server.stop(grace).wait(patient(10)), "the server does not end"
        self.pool.shutdown()

    def release(self):
        """What its handlers wait for must end."""

    def check(self):
        """For tests' ends; it understands all it gets, or it says so in a status."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class GrpcBackend(GrpcServer):
    """Serves test.Echo (Unary, ServerStream, ClientStream, Bidi) and grpc.health.v1.Health.

    What a call does is in its metadata: `do-sleep` seconds before the answer, `do-wait` for its end from outside,
    `do-count` answers (ServerStream), `do-size` of each, else the request comes back, `do-code` to end with (before
    anything is read with `do-early`) and `do-details-bin` in UTF-8, `do-gzip` of the answers, `do-cancel` by the
    server. Fields named `echo-...` come back in the head, and in the trailers as `trail-...`. The trailer `server`
    names it.
    """

    def __init__(self, *, health=1, **more):
        """`health`: of the empty name, in numbers of grpc.health.v1; others: set_health()."""
        self.calls, self.name = [], None
        self.changed, self.healths, self.stopping = threading.Condition(), {"": health}, False
        self.checks = []
        super().__init__(**more)

    def handlers(self):
        kinds = {"Unary": grpc.unary_unary_rpc_method_handler(self.unary_answer),
                 "ServerStream": grpc.unary_stream_rpc_method_handler(self.unary_request),
                 "ClientStream": grpc.stream_unary_rpc_method_handler(self.unary_answer),
                 "Bidi": grpc.stream_stream_rpc_method_handler(self.talk)}
        echo = {name: self._named(name, handler) for name, handler in kinds.items()}
        health = {"Check": grpc.unary_unary_rpc_method_handler(self.check_health),
                  "Watch": grpc.unary_stream_rpc_method_handler(self.watch_health)}
        return [grpc.method_handlers_generic_handler(ECHO, echo),
                grpc.method_handlers_generic_handler("grpc.health.v1.Health", health)]

    @staticmethod
    def _named(name, handler):
        bind = lambda act: act and (lambda request, context: act(request, context, name))  # noqa: E731
        return handler._replace(unary_unary=bind(handler.unary_unary), unary_stream=bind(handler.unary_stream),
                                stream_unary=bind(handler.stream_unary), stream_stream=bind(handler.stream_stream))

    def unary_answer(self, request, context, name):
        requests = iter([request]) if name == "Unary" else request
        answers = list(self.talk(requests, context, name))
        return b"".join(answers) if name == "ClientStream" else answers[0]

    def unary_request(self, request, context, name):
        return self.talk(iter([request]), context, name)

    def talk(self, requests, context, name):
        call = Call(name, context)
        self.calls.append(call)
        server = str(self.address[1])
        echoed = [(key, value) for key, value in call.metadata if key.startswith("echo-")]
        if echoed:
            context.send_initial_metadata(echoed)
        context.set_trailing_metadata([("server", server), *(("trail-" + key[5:], value) for key, value in echoed)])
        if call.get("do-gzip"):
            context.set_compression(GZIP)
        if call.get("do-early"):
            self.end(call, context)
        if call.get("do-sleep"):
            call.over.wait(float(call.get("do-sleep")))
        if call.get("do-wait"):
            call.over.wait(patient(30))
        yield from self.answers(call, requests, name)
        self.end(call, context)

    @staticmethod
    def answers(call, requests, name):
        size, count = call.get("do-size"), int(call.get("do-count", 3)) if name == "ServerStream" else 1
        for request in requests:
            call.requests.append(request)
            answer = b"a" * int(size) if size else request
            for _ in range(count):
                call.sent += 1
                yield answer

    @staticmethod
    def end(call, context):
        if call.get("do-cancel"):
            context.cancel()
        code = CODES[int(call.get("do-code", 0))]
        if code is not Code.OK:
            context.abort(code, call.get("do-details-bin", b"").decode())

    def wait_calls(self, count=1):
        """The newest, when there are so many."""
        wait_until(lambda: len(self.calls) >= count, what=f"{count} calls at the server; they are {len(self.calls)}")
        return self.calls[-1]

    # grpc.health.v1: 1 SERVING, 2 NOT_SERVING, 3 SERVICE_UNKNOWN; None: as if it was never known

    def set_health(self, status, service=""):
        with self.changed:
            self.healths[service] = status
            self.changed.notify_all()

    def check_health(self, request, context):
        service = unpack(request)[1]
        name = service[0].decode() if service else ""
        self.checks.append(name)
        if self.healths.get(name) is None:
            context.abort(Code.NOT_FOUND, "unknown service")
        return pack(f1=self.healths[name])

    def watch_health(self, request, context):
        service, told = unpack(request)[1], None
        name = service[0].decode() if service else ""
        context.add_callback(self._wake)
        while context.is_active() and not self.stopping:
            status = self.healths.get(name) or 3
            if status != told:
                told = status
                yield pack(f1=status)
            with self.changed:
                self.changed.wait_for(lambda: self.stopping or not context.is_active() or
                                      (self.healths.get(name) or 3) != told)

    def _wake(self):
        with self.changed:
            self.changed.notify_all()

    def release(self):
        self.stopping = True
        self._wake()


class GrpcProgram(Program):
    """A GrpcBackend in a process of its own, that can be killed and started again at its address."""

    protocol = "grpc"

    def __init__(self, directory, *, port=None):
        super().__init__(directory, lambda self: [sys.executable, "-m", "support.grpc", self.endpoint], port)

    @property
    def name(self):
        return str(self.address[1])


# Clients

@dataclass
class Reply:
    code: Code
    details: str
    messages: list = field(default_factory=list)
    head: list = field(default_factory=list)
    trailers: list = field(default_factory=list)
    began: float = 0.0  # for Callers

    @property
    def ok(self):
        return self.code is Code.OK

    @property
    def message(self):
        assert len(self.messages) == 1, self
        return self.messages[0]

    def get(self, name, default=None):
        """Of the trailers, then of the head."""
        return next((value for key, value in [*self.trailers, *self.head] if key == name), default)

    def all(self, name):
        """Of both, the head's first."""
        return [value for key, value in [*self.head, *self.trailers] if key == name]


def reply_of(call, messages):
    """Of a call that has ended, or whose end is waited for."""
    plain = lambda pairs: [(key, value) for key, value in pairs or ()]  # noqa: E731
    return Reply(call.code(), call.details() or "", messages, plain(call.initial_metadata()),
                 plain(call.trailing_metadata()))


KINDS = {"Unary": "unary_unary", "ServerStream": "unary_stream", "ClientStream": "stream_unary",
         "Bidi": "stream_stream"}


class GrpcClient:
    """A channel with a connection of its own. Every call gives a Reply, whatever its end; `open` gives grpcio's own."""

    def __init__(self, target, *, trust=None, identity=None, options=(), compression=None, name="localhost"):
        """`trust`: the authority's Pair, for TLS to a server of this `name`; `identity`: a client's."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), *UNLIMITED, *options]
        if trust:
            given = [path.read_bytes() for path in (identity.key, identity.certificate)] if identity else [None, None]
            secure = grpc.ssl_channel_credentials(trust.certificate.read_bytes(), *given)
            options.append(("grpc.ssl_target_name_override", name))
            self.channel = grpc.secure_channel(target, secure, options, compression)
        else:
            self.channel = grpc.insecure_channel(target, options, compression)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.channel.close()

    def wait_ready(self):
        grpc.channel_ready_future(self.channel).result(patient(10))
        return self

    def open(self, kind, requests, *, path=None, metadata=(), timeout=None, **more):
        """grpcio's call object. `kind`: Unary, ServerStream, ClientStream or Bidi; `path`: of the method.

        A message for the first two, else an iterable. Unary and ClientStream give a future.
        """
        multi = getattr(self.channel, KINDS[kind])(path or f"/{ECHO}/{kind}")
        act = multi.future if KINDS[kind].endswith("unary") else multi
        return act(requests, timeout=timeout, metadata=tuple(metadata), **more)

    def call(self, kind="Unary", requests=b"hello", *, timeout=20, **more):
        call, messages = self.open(kind, requests, timeout=patient(timeout), **more), []
        with contextlib.suppress(grpc.RpcError, grpc.FutureCancelledError):
            if KINDS[kind].endswith("unary"):
                messages.append(call.result())
            else:
                messages.extend(call)
        return reply_of(call, messages)

    def ask(self, path, request, answer, **more):
        """Protobuf messages: one there, one or more of the `answer`'s kind back. Gives (Reply, messages)."""
        reply = self.call("ServerStream", request.SerializeToString(), path=path, **more)
        return reply, [answer.FromString(message) for message in reply.messages]

    def unary(self, request=b"hello", **more):
        return self.call("Unary", request, **more)

    def server_stream(self, request=b"hello", **more):
        return self.call("ServerStream", request, **more)

    def client_stream(self, requests=(b"one", b"two"), **more):
        return self.call("ClientStream", iter(requests), **more)

    def bidi(self, requests=(b"one", b"two"), **more):
        return self.call("Bidi", iter(requests), **more)


def connect(sluice, name="calls", **more):
    """A client of a listener, which the daemon's end closes; one with TLS is trusted by `trust`."""
    client = GrpcClient("%s:%d" % sluice.addr(name), **more)
    sluice.clients.append(client)
    return client


def hang_up(sluice):
    """Closes the clients and waits until the daemon has seen it, where it is shared by tests."""
    sluice.close_clients()
    sluice.wait_no_connections()


class Chat:
    """A bidirectional call, message by message."""

    def __init__(self, client, kind="Bidi", **more):
        self.queue, self.closed = collections.deque(), False
        self.condition = threading.Condition()
        self.call = client.open(kind, self._requests(), **more)

    def _requests(self):
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.queue or self.closed)
                if not self.queue:
                    return
                message = self.queue.popleft()
            yield message

    def send(self, message):
        with self.condition:
            self.queue.append(message)
            self.condition.notify()

    def half_close(self):
        with self.condition:
            self.closed = True
            self.condition.notify()

    def read(self):
        return next(self.call)

    def end(self):
        """Reads to the end: the Reply with what was left."""
        self.half_close()
        messages = []
        with contextlib.suppress(grpc.RpcError, grpc.FutureCancelledError):
            messages.extend(self.call)
        return reply_of(self.call, messages)

    def cancel(self):
        self.half_close()
        self.call.cancel()


# Load

class Callers(Crew):
    """Threads with a client each that call until stopped; their replies are kept."""

    def __init__(self, connect_one, count=4, act=GrpcClient.unary):
        self.connect, self.act = connect_one, act
        self.replies, self.lock = [], threading.Lock()
        super().__init__(range(count))

    def _run(self, _):
        client = self.connect()
        try:
            while not self.ending.is_set():
                began = time.monotonic()
                reply = self.act(client)
                reply.began = began
                with self.lock:
                    self.replies.append(reply)
        finally:
            client.close()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(patient(30))
        assert not any(thread.is_alive() for thread in self.threads)
        return self.replies

    def count(self):
        with self.lock:
            return len(self.replies)

    def wait_more(self, count=20):
        """Until so many calls more have ended."""
        wanted = self.count() + count
        wait_until(lambda: self.count() >= wanted, 20, what=f"{wanted} calls; ended have {self.count()}")

    @property
    def failed(self):
        with self.lock:
            return [reply for reply in self.replies if not reply.ok]


def main(endpoint):
    server = GrpcBackend(address=endpoint)
    print(server.endpoint, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
