"""Scriptable servers behind the proxy. This is the HTTP/1 one, and what every one of them counts and records.

A server runs `handler(exchange)` for each request, in a thread of the connection, so that a script of what goes wrong
and when reads from top to bottom. `exchange` is the same for HTTP/1 here and for HTTP/2 in upstreams_h2.py.
"""

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field

from .waiting import wait_until

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Gone(Exception):
    """The proxy has ended the connection, or given the request up."""


@dataclass
class Received:
    """A request as it came."""

    method: str
    target: str
    version: str
    authority: str
    headers: list  # names as they were written
    connection: int
    body: bytearray = field(default_factory=bytearray)
    trailers: list = field(default_factory=list)
    whole: bool = False
    given_up: bool = False  # HTTP/1: the connection ended before the answer did; HTTP/2: reset
    reset_code: int = None
    scheme: str = None  # HTTP/2
    when: float = field(default_factory=time.monotonic)

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def names(self):
        return [key.lower() for key, _ in self.headers]


# Handlers

def hello(exchange):
    exchange.answer(body=b"hello\n")


def echo(exchange):
    body = exchange.body()
    exchange.answer(body=body, trailers=exchange.request.trailers or None)


def streaming_echo(exchange):
    """Each piece goes back as it comes."""
    exchange.head()
    for piece in exchange.pieces():
        exchange.data(piece)
    exchange.end(exchange.request.trailers)


def hold(exchange):
    """No answer until the test releases it."""
    exchange.hold()
    hello(exchange)


def answering(status=200, headers=(), body=b"", **more):
    return lambda exchange: exchange.answer(status, headers, body, **more)


def raw(data, *, then="keep"):
    """Exactly these bytes (HTTP/1 only), and then: keep, close or reset."""
    def handler(exchange):
        exchange.body()
        exchange.send(data)
        {"keep": lambda: None, "close": exchange.close, "reset": exchange.reset}[then]()
    return handler


def closing(exchange):
    """Right after the request was read, without a word."""
    exchange.body()
    exchange.close()


class Server:
    """Listens, and has a thread for each connection; subclasses say what is spoken on it."""

    def __init__(self, handler=hello, *, address=None, tls=None, alpn=None, handshake_delay=0.0, proxy=False, **more):
        """`address`: (host, port) or a path; `tls`: an SSLContext; `proxy`: each connection begins with its head."""
        self.handler = handler
        self.tls, self.alpn, self.handshake_delay, self.proxy = tls, alpn, handshake_delay, proxy
        self.options = more
        self.lock = threading.Lock()
        self.requests, self.connections, self.problems = [], [], []
        self.handshake_failures = []
        self.open = self.most_open = 0
        self.released = threading.Event()
        self.address = address or ("127.0.0.1", 0)
        self.listening = None
        self.listen()

    # Life

    def listen(self):
        """Also again, at the same address, after refuse()."""
        if isinstance(self.address, str):
            self.listening = socket.socket(socket.AF_UNIX)
            self.listening.bind(self.address)
            self.listening.listen(1024)
        else:
            family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
            self.listening = socket.create_server(self.address, family=family, backlog=1024)
            self.address = self.listening.getsockname()[:2]
        threading.Thread(target=self._accept, args=(self.listening,), daemon=True).start()

    def refuse(self):
        """Nobody listens any more; connections that are there stay."""
        if self.listening:
            with contextlib.suppress(OSError):
                self.listening.shutdown(socket.SHUT_RDWR)
            self.listening.close()
            self.listening = None

    def release(self):
        self.released.set()

    def stop(self):
        self.release()
        self.refuse()
        self.drop()
        wait_until(lambda: not self.open, 10, what="every connection of an upstream ended")

    def drop(self, *, reset=False):
        """Ends all connections."""
        for connection in list(self.connections):
            connection.drop(reset=reset)

    def check(self):
        assert not self.problems, self.problems

    def _accept(self, listening):
        while True:
            try:
                sock, peer = listening.accept()
            except OSError:
                return
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                connection = self.connection_class(self, len(self.connections) + 1, sock, peer)
                self.connections.append(connection)
            threading.Thread(target=connection.run, daemon=True).start()

    # Looking

    @property
    def endpoint(self):
        """As it stands in a configuration."""
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def opened(self):
        return len(self.connections)

    @property
    def last(self):
        return self.requests[-1]

    @property
    def used(self):
        """The numbers of the connections that served a request."""
        return {request.connection for request in self.requests}

    def wait_requests(self, count=1, timeout=5.0):
        wait_until(lambda: len(self.requests) >= count, timeout, what=f"{count} requests at the upstream")
        return self.requests[count - 1]

    def wait_open(self, count, timeout=5.0):
        wait_until(lambda: self.open == count, timeout, what=f"{count} connections to the upstream, not {self.open}")

    def record(self, request):
        with self.lock:
            self.requests.append(request)

    def forget(self):
        with self.lock:
            self.requests.clear()
            self.most_open = self.open

    def begin_test(self, handler=hello):
        """For a server that several tests share."""
        self.forget()
        self.problems.clear()
        self.released.clear()
        self.handler = handler


class Connection:
    def __init__(self, server, number, sock, peer):
        self.server, self.number, self.sock, self.peer = server, number, sock, peer
        self.buffer = b""
        self.since = time.monotonic()
        self.served = 0
        self.ended = None  # when
        self.proxied = None  # what the PROXY protocol's head told: (source, its port, destination, its port)
        self.server_name = None

    def run(self):
        try:
            if self.server.proxy:
                self.read_proxy_head()
            if not self.server.tls or self.shake_hands():
                self.serve()
        except (Gone, OSError):
            pass
        except Exception as problem:  # the test is told when it ends
            self.server.problems.append(f"{type(problem).__name__}: {problem}")
        finally:
            self.ended = time.monotonic()
            with contextlib.suppress(OSError):
                self.sock.close()
            with self.server.lock:
                self.server.open -= 1

    def shake_hands(self):
        if self.server.handshake_delay:
            time.sleep(self.server.handshake_delay)
        try:
            self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
        except (ssl.SSLError, OSError) as failure:
            self.server.handshake_failures.append(str(failure))
            return False
        self.server_name = getattr(self.sock.context, "last_server_name", None)
        return True

    def drop(self, *, reset=False):
        with contextlib.suppress(OSError):
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                socket.socket.shutdown(self.sock, socket.SHUT_RD)  # the thread that reads closes it
            else:
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    # Reading

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def exactly(self, size):
        while len(self.buffer) < size:
            self.fill()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def take(self, size):
        """From the socket, and not one byte more: what follows may be TLS."""
        found = b""
        while len(found) < size:
            piece = self.sock.recv(size - len(found))
            if not piece:
                raise Gone
            found += piece
        return found

    def read_proxy_head(self):
        head = self.take(6)
        if head == b"PROXY ":
            while not head.endswith(b"\r\n"):
                head += self.take(1)
            words = head.decode().split()
            self.proxied = (words[2], int(words[4]), words[3], int(words[5])) if len(words) == 6 else tuple(words[1:])
            return
        head += self.take(10)
        assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n", head
        rest = self.take(int.from_bytes(head[14:16], "big"))
        family, size = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}.get(head[13], (None, 0))
        if head[12] == 0x20 or family is None:
            self.proxied = ("LOCAL",) if head[12] == 0x20 else ("UNKNOWN",)
            return
        source, destination = (socket.inet_ntop(family, rest[at:at + size]) for at in (0, size))
        ports = struct.unpack_from("!HH", rest, 2 * size)
        self.proxied = (source, ports[0], destination, ports[1])


class Exchange:
    """One request at the server. What raises Gone ends the handler: the proxy wants no answer any more."""

    def __init__(self, server, connection, request):
        self.server, self.connection, self.request = server, connection, request

    def body(self):
        """All of it, from here or from before."""
        for _ in self.pieces():
            pass
        return self.request.body

    def hold(self):
        self.server.released.wait()


class H1Exchange(Exchange):
    def __init__(self, server, connection, request):
        super().__init__(server, connection, request)
        self.coded = False
        self.answered = False

    # The request

    def pieces(self, size=65536):
        if self.request.whole:
            return
        request, connection = self.request, self.connection
        if request.get("expect") and not self.answered:
            self.interim(100)
        if request.get("transfer-encoding"):
            yield from self._chunks()
        else:
            missing = int(request.get("content-length", 0)) - len(request.body)
            while missing:
                if not connection.buffer:
                    connection.fill()
                piece = connection.exactly(min(missing, size, len(connection.buffer)))
                request.body += piece
                missing -= len(piece)
                yield piece
        request.whole = True

    def _chunks(self):
        connection = self.connection
        while size := int(connection.until(b"\r\n"), 16):
            piece = connection.exactly(size)
            assert connection.exactly(2) == b"\r\n"
            self.request.body += piece
            yield piece
        self.request.trailers = connection.fields()

    # The answer

    def send(self, data):
        self.connection.sock.sendall(data)

    def _write_head(self, status, headers, body=b""):
        lines = [f"HTTP/1.1 {status} Fine", *(f"{name}: {value}" for name, value in headers)]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def interim(self, status, headers=()):
        self._write_head(status, headers)

    def answer(self, status=200, headers=(), body=b"", *, trailers=None, read=True):
        """A whole answer, to a request that is read first unless told otherwise."""
        if read:
            self.body()
        if trailers is not None:
            self.head(status, headers)
            self.data(body)
            return self.end(trailers)
        self.answered = True
        bodiless = status in (204, 304)
        length = [] if bodiless else [("Content-Length", len(body))]
        self._write_head(status, [*headers, *length], b"" if bodiless or self.request.method == "HEAD" else body)

    def head(self, status=200, headers=(), *, length=None):
        self.answered, self.coded = True, length is None
        framing = [("Transfer-Encoding", "chunked")] if self.coded else [("Content-Length", length)]
        self._write_head(status, [*headers, *framing])

    def data(self, data):
        if data:
            self.send(b"%x\r\n%s\r\n" % (len(data), data) if self.coded else data)

    def end(self, trailers=()):
        if self.coded:
            lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
            self.send(b"0\r\n" + lines.encode("latin-1") + b"\r\n")

    def close(self):
        self.connection.drop()
        raise Gone

    def reset(self):
        """A RST, after all that was sent has arrived."""
        sock = self.connection.sock
        wait_until(lambda: not unsent(sock), what="all sent bytes acknowledged")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        raise Gone

    abort = reset  # this exchange alone, where the protocol can

    def wait_gone(self):
        """Until the proxy has ended the connection."""
        try:
            while True:
                self.connection.fill()
        except (Gone, OSError):
            self.request.given_up = True
            raise Gone from None


def unsent(sock):
    import fcntl
    import termios

    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]


class H1Connection(Connection):
    def serve(self):
        while request := self.read_head():
            exchange = H1Exchange(self.server, self, request)
            self.server.record(request)
            self.served += 1
            try:
                self.server.handler(exchange)
                exchange.body()
            except (Gone, OSError):
                request.given_up = True
                raise
            self.after(request)

    def after(self, request):
        if request.get("connection") and "close" in request.get("connection").lower():
            raise Gone

    def read_head(self):
        """The next request's, or None where the connection was idle for too long."""
        idle = self.server.options.get("idle")
        if not self.buffer:
            self.sock.settimeout(idle)
            try:
                self.fill()
            except TimeoutError:
                return None
            self.sock.settimeout(None)
        line = self.until(b"\r\n").decode("latin-1")
        match = re.fullmatch(r"([A-Z\-]+) (\S+) HTTP/(1\.[01])", line)
        assert match, f"not a request line: {line!r}"
        headers = self.fields()
        request = Received(*match.groups(), authority="", headers=headers, connection=self.number)
        assert len(request.all("host")) == 1, headers
        assert len(request.all("content-length")) + len(request.all("transfer-encoding")) <= 1, headers
        request.authority = request.get("host")
        return request

    def fields(self):
        fields = []
        while line := self.until(b"\r\n"):
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon and TOKEN.fullmatch(name), f"bad field line {line!r}"
            fields.append((name, value.strip(" \t")))
        return fields


class H1Server(Server):
    """`idle`: closes connections that were idle for so many seconds."""

    connection_class = H1Connection
    protocol = "http"
