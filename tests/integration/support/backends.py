"""Real servers behind the proxy, and a test server in a process of its own, which can be killed."""

import pathlib
import signal
import socket
import subprocess
import sys

from . import configs
from .settings import patient
from .waiting import wait_until

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent


class Program:
    """A process that listens at `address`; the same address again after each start()."""

    protocol = "http"

    def __init__(self, directory, command, port=None):
        self.directory = pathlib.Path(directory)
        self.address = ("127.0.0.1", port or configs.free_port())
        self.command = command
        self.log_path = self.directory / f"{type(self).__name__.lower()}-{self.address[1]}.log"
        self.process = None

    @property
    def endpoint(self):
        return "%s:%d" % self.address

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(part) for part in self.command(self)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=INTEGRATION)
        wait_until(self.listens, 15, what=f"it listens; log: {self.log_path.read_text(errors='replace')[-500:]}")
        return self

    def listens(self):
        assert self.process.poll() is None, self.log_path.read_text(errors="replace")[-2000:]
        try:
            socket.create_connection(self.address, timeout=1).close()
            return True
        except OSError:
            return False

    def kill(self):
        """As the machine does with who takes too much memory."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(patient(10))

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patient(5))
            except subprocess.TimeoutExpired:
                self.kill()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()


NGINX = """\
daemon off;
master_process off;
pid {directory}/nginx-{port}.pid;
error_log {directory}/nginx-{port}.error error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    {http}
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096 {listen};
        root {directory}/files;
        client_max_body_size 0;
        location = /hello {{ return 200 "hello\\n"; }}
        location = /who {{ return 200 "{port}"; }}
        location = /drip {{ limit_rate 256k; try_files /64k.bin =404; }}
        location / {{ try_files $uri =404; }}
        {server}
    }}
}}
"""


class Nginx(Program):
    """`http`, `server`, `listen`: more lines, or words, of its configuration; protocol http2 is spoken at once."""

    def __init__(self, directory, *, http="keepalive_requests 1000000;", server="", listen="", protocol="http",
                 port=None):
        super().__init__(directory, lambda self: ["nginx", "-p", directory, "-e", f"{directory}/nginx.error", "-c",
                                                  self.file], port)
        self.protocol = protocol
        files = self.directory / "files"
        files.mkdir(exist_ok=True)
        (files / "64k.bin").write_bytes(b"0123456789abcdef" * 4096)
        self.file = self.directory / f"nginx-{self.address[1]}.conf"
        listen += " http2" if protocol == "http2" else ""
        self.file.write_text(NGINX.format(directory=directory, port=self.address[1], http=http, server=server,
                                          listen=listen))


NODE = """\
const http = require('http'), http2 = require('http2');
const [port, protocol, keepAlive] = process.argv.slice(2);
const answer = (request, response) => {
  if (request.url === '/hello') return response.end('hello\\n');
  if (request.url === '/hints') response.writeEarlyHints && response.writeEarlyHints({link: '</a.css>; rel=preload'});
  response.writeHead(200, {'content-type': 'text/plain', ...(protocol === 'http' ? {trailer: 'x-last'} : {})});
  request.on('data', (piece) => response.write(piece));
  request.on('end', () => { response.addTrailers({'x-last': 'yes'}); response.end(); });
};
const server = protocol === 'http' ? http.createServer(answer) : http2.createServer(answer);
if (keepAlive) server.keepAliveTimeout = Number(keepAlive);
server.listen(Number(port), '127.0.0.1');
"""


class Node(Program):
    """Echoes bodies as they come, with a trailer. `keep_alive`: ms, of idle connections; else Node's own 5 s."""

    def __init__(self, directory, *, protocol="http", keep_alive=""):
        super().__init__(directory, lambda self: ["node", self.script, self.address[1], protocol, keep_alive])
        self.protocol = protocol
        self.script = self.directory / "upstream.js"
        self.script.write_text(NODE)


class Backend(Program):
    """A test server that answers each request with its port."""

    def __init__(self, directory, *, protocol="http", port=None):
        super().__init__(directory, lambda self: [sys.executable, "-m", "support.backends", self.address[1], protocol],
                         port)
        self.protocol = protocol

    @property
    def name(self):
        return str(self.address[1]).encode()


def main(port, protocol):
    import threading

    from .upstreams import H1Server, answering
    from .upstreams_h2 import H2Server

    kind = {"http": H1Server, "http2": H2Server}[protocol]
    kind(answering(body=port.encode()), address=("127.0.0.1", int(port)))
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
