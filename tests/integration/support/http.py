"""A raw HTTP/1 client: sends exactly the given bytes, and parses answers strictly."""

import errno
import re
import socket
import time
from dataclasses import dataclass, field

from .settings import patient


@dataclass
class Response:
    version: str
    status: int
    reason: str
    headers: list
    body: bytes = b""
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)

    def get(self, name, default=None):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else default

    def has_token(self, name, token):
        return token in [part.strip().lower() for part in (self.get(name) or "").split(",")]

    @property
    def closes(self):
        return self.has_token("connection", "close")


class Closed(Exception):
    """The peer ended the connection where more was expected. `reset` tells RST from FIN."""

    def __init__(self, got, reset):
        super().__init__(f"connection {'reset' if reset else 'ended'} after {got[-200:]!r}")
        self.got = got
        self.reset = reset


def request(method="GET", path="/", *, host="localhost", headers=(), body=None, version="1.1"):
    """The bytes of a well-formed request."""
    lines = [f"{method} {path} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    pairs = headers.items() if isinstance(headers, dict) else headers
    lines += [f"{name}: {value}" for name, value in pairs]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def chunked(*chunks, trailers=()):
    coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return coded + b"0\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in trailers) + b"\r\n"


class Client:
    def __init__(self, sock, timeout=10.0):
        self.sock = sock
        self.buffer = b""
        self.sock.settimeout(patient(timeout))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def try_send(self, data):
        """For senders that outlive their welcome: False when the peer has hung up, or the test has closed."""
        try:
            self.sock.sendall(data)
            return True
        except OSError as problem:
            if problem.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EBADF):
                raise
            return False

    def finish(self):
        self.sock.shutdown(socket.SHUT_WR)

    # Reading

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            raise Closed(self.buffer, reset=True) from None
        if not data:
            raise Closed(self.buffer, reset=False)
        self.buffer += data

    def _until(self, mark):
        while mark not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(mark, 1)
        return line

    def exactly(self, size):
        parts, missing = [], size
        while missing:
            if not self.buffer:
                self._fill()
            part, self.buffer = self.buffer[:missing], self.buffer[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _fields(self):
        fields = []
        while line := self._until(b"\r\n"):
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon and re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name), f"bad field line {line!r}"
            fields.append((name, value.strip(" \t")))
        return fields

    def head(self):
        line = self._until(b"\r\n").decode("latin-1")
        match = re.fullmatch(r"HTTP/(1\.[01]) (\d{3}) ?(.*)", line)
        assert match, f"not a status line: {line!r}"
        return Response(match[1], int(match[2]), match[3], self._fields())

    def _chunked_body(self, response):
        parts = []
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            parts.append(self.exactly(size))
            assert self.exactly(2) == b"\r\n"
        response.trailers = self._fields()
        return b"".join(parts)

    def _until_end(self):
        try:
            while True:
                self._fill()
        except Closed as closed:
            assert not closed.reset, "reset in a body that ends with the connection"
        body, self.buffer = self.buffer, b""
        return body

    def body(self, response, method="GET"):
        length = response.get("content-length")
        coding = response.get("transfer-encoding")
        assert not (length and coding), "both Content-Length and Transfer-Encoding"
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return b""
        if coding:
            assert coding.lower() == "chunked" and response.version == "1.1"
            return self._chunked_body(response)
        return self.exactly(int(length)) if length is not None else self._until_end()

    def response(self, method="GET"):
        """The next final answer, with the interim ones before it."""
        interim = []
        while True:
            response = self.head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        response.body = self.body(response, method)
        return response

    def ask(self, method="GET", path="/", **more):
        self.send(request(method, path, **more))
        return self.response(method)

    # The end

    def ending(self, timeout=5.0):
        """Reads away what comes and tells how it ended: `fin` or `reset`. Fails when it does not end."""
        deadline = time.monotonic() + patient(timeout)
        try:
            while True:
                self.sock.settimeout(max(0.01, deadline - time.monotonic()))
                self._fill()
        except Closed as closed:
            return "reset" if closed.reset else "fin"
        except TimeoutError:
            raise AssertionError(f"still open after {patient(timeout):.1f} s; got {self.buffer[-200:]!r}") from None

    def is_open(self):
        """Whether no end has arrived yet; unread data counts as open."""
        self.sock.setblocking(False)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self.sock.settimeout(patient(10.0))


class UnixHttp:
    """One request per connection to the admin socket, as HTTP/1.0."""

    def __init__(self, path):
        self.path = str(path)

    def connect(self, timeout=20.0):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client = Client(sock, timeout)
        try:
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise
        return client

    def ask(self, method, target, body=None, version="1.0", **more):
        if body is None and method in ("POST", "PUT"):
            body = b""
        with self.connect() as client:
            return client.ask(method, target, body=body, version=version, **more)
