"""WebSocket servers behind a relay: a raw one that does whatever a test says, python3-websockets, and Node's `ws`."""

import asyncio
import contextlib
import fcntl
import json
import struct
import subprocess
import termios
import threading

from .backends import Program
from .http import Closed
from .settings import patient
from .upstreams import Gone, H1Server
from .waiting import wait_until
from .websocket import WebSocket, accept_of

# Debian's own node looks there by itself, others do not.
NODE_PATH = "NODE_PATH=/usr/share/nodejs:/usr/lib/nodejs:/usr/local/lib/node_modules:/usr/lib/node_modules"


class Ended(Closed, Gone):
    """What a test reads of, and what a server's thread ends with."""


class ServerWire:
    """A connection of a test server, as a WebSocket wants it."""

    def __init__(self, connection):
        self.connection = connection

    @property
    def sock(self):
        return self.connection.sock

    def send(self, data):
        self.connection.sock.sendall(data)
        return self

    def try_send(self, data):
        try:
            self.send(data)
            return True
        except OSError:
            return False

    def exactly(self, size):
        parts = []
        while size:
            if not self.connection.buffer:
                self._fill()
            part = self.connection.exactly(min(size, len(self.connection.buffer)))
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _fill(self):
        try:
            self.connection.fill()
        except Gone:
            raise Ended(b"", reset=False) from None
        except ConnectionResetError:
            raise Ended(b"", reset=True) from None

    def peek(self):
        """How much has come and is not taken."""
        return struct.unpack("i", fcntl.ioctl(self.sock.fileno(), termios.FIONREAD, b"\0\0\0\0"))[0]

    def ending(self, timeout=None):
        """Until the relay has ended it. Reads away what comes."""
        self.sock.settimeout(timeout and patient(timeout))
        try:
            while True:
                self.connection.buffer = b""
                self._fill()
        except Closed as end:
            return "reset" if end.reset else "fin"
        except TimeoutError:
            raise AssertionError(f"still open after {patient(timeout):.1f} s") from None
        except OSError:
            return "fin"  # by ourselves

    def close(self):
        with contextlib.suppress(OSError):
            self.connection.drop()


def acceptance(exchange, headers=(), *, accept=None, upgrade="websocket", connection="Upgrade", status=101):
    """The answer to a handshake, right or wrong; a field that is None is left out."""
    accept = accept_of(exchange.request.get("sec-websocket-key", "")) if accept is None else accept
    own = [("Upgrade", upgrade), ("Connection", connection), ("Sec-WebSocket-Accept", accept or None)]
    pairs = [(name, value) for name, value in [*own, *headers] if value is not None]
    lines = [f"HTTP/1.1 {status} Switching", *(f"{name}: {value}" for name, value in pairs)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def check_wish(request):
    """What a relay asks must be a handshake itself."""
    assert request.method == "GET" and request.get("upgrade", "").lower() == "websocket", request.headers
    assert "upgrade" in [word.strip().lower() for word in request.get("connection", "").split(",")], request.headers
    assert request.get("sec-websocket-version") == "13" and len(request.all("sec-websocket-key")) == 1
    assert not request.all("content-length") and not request.all("transfer-encoding")


def agree(exchange, headers=(), *, then=b"", **more):
    """Accepts, with bytes right behind the answer."""
    check_wish(exchange.request)
    exchange.answered = exchange.request.whole = True
    exchange.send(acceptance(exchange, headers, **more) + then)
    socket = WebSocket(ServerWire(exchange.connection), is_client=False)
    socket.compressed = any("permessage-deflate" in value for name, value in headers)
    return socket


class RawServer(H1Server):
    """`talk(socket, exchange)` runs for each WebSocket, in the thread of its connection. `headers`: of its answer."""

    protocol = "websocket"

    def __init__(self, talk=None, *, headers=(), then=b"", handler=None, **more):
        self.talk, self.headers, self.then = talk or echo, headers, then
        self.sockets = []
        super().__init__(handler or self.serve, **more)

    def serve(self, exchange):
        socket = agree(exchange, self.headers, then=self.then)
        socket.exchange = exchange
        self.sockets.append(socket)
        self.talk(socket)
        socket.wire.ending()
        raise Gone

    def wait_sockets(self, count=1):
        wait_until(lambda: len(self.sockets) >= count, what=f"{count} WebSockets at the upstream")
        return self.sockets[count - 1]


# What a RawServer may do

def echo(socket):
    """Each frame as it came; pings are answered, and a Close is said back."""
    while True:
        found = socket.read_frame()
        if found.op.value < 8:
            socket.send(found.op, found.payload, fin=found.fin, rsv=found.rsv)
            continue
        socket.control(found)
        if socket.told:
            socket.send(found.op, found.payload)
            return


def quiet(socket):
    """The test does the talking, with server.sockets."""
    socket.exchange.hold()


def deaf(socket):
    """Reads, and answers nothing."""


# Real ones

class LibraryServer:
    """python3-websockets: echoes each message, whole; text "close CODE REASON" makes it close."""

    protocol = "websocket"

    def __init__(self, **options):
        """`options`: of websockets.serve."""
        self.options = {"max_size": None, **options}
        self.ends, self.paths, self.headers = [], [], []
        self.subprotocols, self.extensions = [], []
        self.loop = asyncio.new_event_loop()
        self.ready, self.ending = threading.Event(), None
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self._run(),), daemon=True)

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.ending.set)
        self.thread.join(patient(10))
        assert not self.thread.is_alive()
        self.loop.close()

    @property
    def endpoint(self):
        return "127.0.0.1:%d" % self.port

    async def _run(self):
        import websockets

        self.ending = asyncio.Event()
        async with websockets.serve(self._talk, "127.0.0.1", 0, **self.options) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.ending.wait()

    async def _talk(self, socket):
        import websockets

        self.paths.append(socket.path)
        self.headers.append(socket.request_headers)
        self.subprotocols.append(socket.subprotocol)
        self.extensions.append([extension.name for extension in socket.extensions])
        try:
            async for message in socket:
                if isinstance(message, str) and message.startswith("close "):
                    _, code, reason = message.split(" ", 2)
                    await socket.close(int(code), reason)
                else:
                    await socket.send(message)
        except websockets.ConnectionClosed:
            pass
        await socket.wait_closed()
        self.ends.append((socket.close_code, socket.close_reason))


def has_node_ws():
    try:
        return subprocess.run(["env", NODE_PATH, "node", "-e", "require('ws')"], capture_output=True).returncode == 0
    except OSError:
        return False


NODE_SERVER = """\
const { WebSocketServer } = require('ws');
const [port, compress] = process.argv.slice(2);
const protocols = (offered) => offered.has('chat.v1') ? 'chat.v1' : false;
const server = new WebSocketServer({ port: Number(port), host: '127.0.0.1', perMessageDeflate: compress === 'yes',
                                     maxPayload: 64 * 1024 * 1024, handleProtocols: protocols });
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    const words = isBinary ? [] : data.toString().split(' ');
    if (words[0] === 'close') return socket.close(Number(words[1]), words.slice(2).join(' '));
    if (words[0] === 'stream') {
      for (let i = 0; i < Number(words[1]); i++) socket.send('part', { fin: i + 1 === Number(words[1]) });
      return;
    }
    socket.send(data, { binary: isBinary });
  });
});
"""


class NodeWs(Program):
    """Echoes; text "close CODE REASON" makes it close, "stream N" a message in N fragments."""

    protocol = "websocket"

    def __init__(self, directory, *, compress=False, port=None):
        super().__init__(directory, lambda self: ["env", NODE_PATH, "node", self.script, self.address[1],
                                                  "yes" if compress else "no"], port)
        self.script = self.directory / "ws-server.js"
        self.script.write_text(NODE_SERVER)


NODE_CLIENT = """\
const WebSocket = require('ws');
const [url, compress, sizes, protocols] = JSON.parse(process.argv[2]);
const options = { rejectUnauthorized: false, perMessageDeflate: compress, maxPayload: 64 * 1024 * 1024 };
const socket = new WebSocket(url, protocols, options);
const told = { messages: [], pongs: 0, protocol: null, extensions: null };
const wishes = sizes.map((size) => Buffer.alloc(size, 'x')).concat(['caf\\u00e9 \\u4f60\\u597d \\ud83d\\ude00']);
let at = 0;
const next = () => {
  if (at < wishes.length) return socket.send(wishes[at]);
  socket.ping('are you there?');
};
socket.on('open', () => { told.protocol = socket.protocol; told.extensions = socket.extensions; next(); });
socket.on('message', (data, isBinary) => {
  const same = isBinary ? data.equals(wishes[at]) : data.toString() === wishes[at];
  told.messages.push(same && isBinary === (typeof wishes[at] !== 'string'));
  at += 1;
  next();
});
socket.on('pong', (data) => {
  told.pongs += data.toString() === 'are you there?';
  socket.close(4321, 'that was all');
});
socket.on('close', (code, reason) => {
  told.close = [code, reason.toString()];
  console.log(JSON.stringify(told));
});
socket.on('error', (error) => { told.error = String(error); console.log(JSON.stringify(told)); process.exit(1); });
"""


def run_node_client(directory, url, *, compress=False, sizes=(0, 1, 125, 126, 65535, 65536, 300_000), protocols=()):
    """Messages of these sizes, a text, a ping and a Close with 4321: what it found out."""
    script = directory / "ws-client.js"
    script.write_text(NODE_CLIENT)
    wish = json.dumps([url, compress, list(sizes), list(protocols)])
    done = subprocess.run(["env", NODE_PATH, "node", str(script), wish], capture_output=True, text=True,
                          timeout=patient(30))
    assert done.returncode == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout)
