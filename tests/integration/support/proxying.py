"""Requests through the proxy, asked alike of HTTP/1 and HTTP/2 listeners."""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field

from . import configs
from .h2client import connect
from .http import chunked, request

PIPE_SIZE = 64 * 1024  # a request body that is longer is sent while the answer is read


@dataclass
class Answer:
    status: int
    headers: list  # names in lower case
    body: bytes
    trailers: list
    interim: list = field(default_factory=list)  # (status, headers)

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    @property
    def reason(self):
        """Of a failure."""
        return self.get("x-sluice-reason")


def lowered(headers):
    return [(name.lower(), value) for name, value in headers]


def plain(headers):
    return [(name, value) for name, value in headers if not name.startswith(":")]


def answer_of(response):
    interim = [(one.status, lowered(one.headers)) for one in response.interim]
    return Answer(response.status, lowered(response.headers), response.body, lowered(response.trailers), interim)


def answer_of_stream(stream):
    interim = [(int(dict(fields)[":status"]), plain(fields)) for fields in stream.interim]
    return Answer(stream.status, plain(stream.headers), bytes(stream.body), list(stream.trailers), interim)


def ask_h1(client, method, path, headers, body, trailers, host):
    pairs = list(headers.items() if isinstance(headers, dict) else headers)
    if trailers is not None:
        coded = chunked(*([body] if body else []), trailers=[(n.encode(), v.encode()) for n, v in trailers])
        raw = request(method, path, host=host, headers=[*pairs, ("Transfer-Encoding", "chunked")]) + coded
    else:
        raw = request(method, path, host=host, headers=pairs, body=body)
    if len(raw) <= PIPE_SIZE:
        client.try_send(raw)
        return answer_of(client.response(method))
    sender = threading.Thread(target=client.try_send, args=(raw,), daemon=True)
    sender.start()
    response = client.response(method)
    sender.join(30)
    return answer_of(response)


def ask_h2(session, method, path, headers, body, trailers, host):
    pairs = lowered(headers.items() if isinstance(headers, dict) else headers)
    stream = session.ask(method, path, pairs, body=body, trailers=trailers, authority=host, scheme="http")
    assert stream.ended, f"reset with {stream.reset} after {stream.headers}"
    return answer_of_stream(stream)


class Link:
    """A listener and the server behind it."""

    def __init__(self, sluice, name, server):
        self.sluice, self.name, self.server = sluice, name, server
        self.front, self.back = name.split("-")

    def handle(self, handler):
        self.server.handler = handler
        return self

    @contextlib.contextmanager
    def open(self, **more):
        """A connection of a client, for `on` of ask()."""
        if self.front == "http":
            with self.sluice.connect(self.name, **more) as client:
                yield client
        else:
            with connect(self.sluice, self.name, **more) as session:
                session.until(lambda: session.settings is not None)
                yield session

    def ask(self, method="GET", path="/", headers=(), body=None, *, trailers=None, host="localhost", on=None,
            source=None):
        asking = ask_h1 if self.front == "http" else ask_h2
        if on:
            return asking(on, method, path, headers, body, trailers, host)
        with self.open(source=source) as client:
            return asking(client, method, path, headers, body, trailers, host)

    def begin(self, client, method="GET", path="/", headers=()):
        """A request whose answer is not waited for."""
        if self.front == "http":
            client.send(request(method, path, headers=headers))
            return None
        return client.begin(method, path, lowered(headers), scheme="http")

    def cut(self, client, stream, *, reset=False):
        """The client wants no answer any more. `reset`: HTTP/1 says so by a RST, not a FIN."""
        if self.front == "http2":
            return client.cancel(stream)
        if reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    @property
    def last(self):
        return self.server.last


def ask(sluice, method="GET", path="/", headers=(), body=None, *, name="web", trailers=None, host="localhost"):
    """One request over HTTP/1."""
    with sluice.connect(name) as client:
        return ask_h1(client, method, path, headers, body, trailers, host)


def shared_links(servers, module):
    """Listeners http-http, http-http2, http2-http and http2-http2. A test file may set ROUTES, a dict of each path's
    `proxy` keys, and more keys as LISTENER, POOL and UPSTREAM."""
    routes = getattr(module, "ROUTES", {"/": {}})
    fronts = {"http": configs.listener, "http2": configs.http2}
    listeners = []
    for back in servers:
        wanted = [configs.proxy(back, path, **keys) for path, keys in routes.items()]
        listeners += [front(f"{name}-{back}", routes=wanted, **getattr(module, "POOL", {}))
                      for name, front in fronts.items()]
    for entry in listeners:
        entry.update(getattr(module, "LISTENER", {}))
    upstreams = [configs.upstream(name, server, **getattr(module, "UPSTREAM", {})) for name, server in servers.items()]
    return configs.config(*listeners, upstreams=upstreams)
