"""Servers: start one on a core of its own, check what it answers, read what it costs, end it."""

import configparser
import contextlib
import ctypes
import dataclasses
import http.client
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from .scenario import Unfit, pattern

FOLDER = pathlib.Path(__file__).parent.parent / "peers"
BEHIND = FOLDER.parent / "upstreams"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 10
STOP_SECONDS = 5
PR_SET_PDEATHSIG = 1
CURL_CANNOT_CONNECT = 7


def on_core(core, command):
    return ["taskset", "-c", str(core), *command]


def end_with_parent():
    """For preexec_fn: whatever ends this program, what it started ends too."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def make_certificate(path):
    """Self-signed, with its key in the same file."""
    key = subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                         check=True, stdout=subprocess.PIPE).stdout
    path.write_bytes(key)
    path.chmod(0o600)
    made = subprocess.run(["openssl", "req", "-x509", "-key", str(path), "-subj", "/CN=localhost", "-days", "30"],
                          check=True, stdout=subprocess.PIPE).stdout
    path.write_bytes(key + made)


def fill(text, values):
    return re.sub(r"@(\w+)@", lambda match: str(values[match[1]]), text)


class Peer:
    """A server program, described by peers/NAME.ini; the templates of its configuration lie beside it."""

    def __init__(self, path, values):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(path.read_text(), str(path))
        self.name, self.folder = path.stem, path.parent
        self.values = values
        self.command = parser["peer"]["command"]
        self.version_command = shlex.split(fill(parser["peer"]["version"], values))
        self.provides = dict(parser["provides"])

    @property
    def installed(self):
        return shutil.which(self.version_command[0]) is not None

    def version(self):
        shown = subprocess.run(self.version_command, capture_output=True, text=True)
        return (shown.stdout or shown.stderr).partition("\n")[0].strip()

    def start(self, need, core, **values):
        return Server(self, need, core, values)


class Server:
    """A running server, with all its processes. Use it with `with`."""

    def __init__(self, peer, need, core, more_values):
        self.run_folder = tempfile.TemporaryDirectory(prefix=f"bench-{peer.name}-")
        template = (peer.folder / peer.provides[need]).read_text()
        names = sorted(set(re.findall(r"@(\w+)_port@", template)) - {"behind"})
        self.ports = dict(zip(names, free_ports(len(names))))
        run = self.run_folder.name
        config = pathlib.Path(run, peer.provides[need])
        values = {**peer.values, **more_values, "run": run, "config": config}
        if "@run@/server.pem" in template:
            make_certificate(pathlib.Path(run, "server.pem"))
        pathlib.Path(run).chmod(0o755)  # for servers that read it as another user
        pathlib.Path(run, "64k").write_bytes(pattern(64 * 1024))
        config.write_text(fill(template, values | {f"{name}_port": port for name, port in self.ports.items()}))
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                on_core(core, shlex.split(fill(peer.command, values))), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=end_with_parent)

    @property
    def log_file(self):
        return pathlib.Path(self.run_folder.name, "output.log")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def must_live(self):
        if self.process.poll() is not None:
            last_words = " ".join(self.log_file.read_text(errors="replace").split())[-300:]
            raise Unfit(f"it ended with {self.process.returncode}: {last_words}")

    def check(self, scenario):
        """Waits until it answers; the answer must be the right one."""
        end = time.monotonic() + START_SECONDS
        while True:
            self.must_live()
            try:
                status, body = self.ask(scenario)
                break
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise Unfit("it does not listen") from None
                time.sleep(0.02)
            except (OSError, http.client.HTTPException) as error:
                raise Unfit(f"no answer: {error!r}") from None
        if status != scenario.status or body != scenario.answer:
            raise Unfit(f"a wrong answer: status {status}, {len(body)} bytes: {body[:60]!r}")

    def ask(self, scenario):
        if scenario.listener == "h2c":
            return self.ask_with_curl(scenario)
        address, how = ("127.0.0.1", self.ports[scenario.listener]), {"timeout": START_SECONDS}
        if scenario.listener == "https":
            connection = http.client.HTTPSConnection(*address, context=ssl._create_unverified_context(), **how)
        else:
            connection = http.client.HTTPConnection(*address, **how)
        try:
            connection.request(scenario.method, scenario.path, body=scenario.body or None)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ask_with_curl(self, scenario):
        url = f"http://127.0.0.1:{self.ports[scenario.listener]}{scenario.path}"
        body = ["--data-binary", "@-"] if scenario.body else []
        done = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-w", "%{stderr}%{http_code}", *body, url],
                              input=scenario.body, capture_output=True, timeout=START_SECONDS)
        if done.returncode == CURL_CANNOT_CONNECT:
            raise ConnectionRefusedError
        return int(done.stderr or 0), done.stdout

    def processes(self):
        """The fields of /proc/PID/stat, from the state on, of each process of its session."""
        for folder in pathlib.Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if int(fields[3]) == self.process.pid:
                yield folder, fields

    def cpu_seconds(self):
        return sum(int(fields[11]) + int(fields[12]) for _, fields in self.processes()) / TICKS_PER_SECOND

    def memory_kib(self, key):
        """VmRSS or VmHWM of all its processes together."""
        texts = ((folder / "status").read_text() for folder, _ in self.processes())
        found = (re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE) for text in texts)
        return sum(int(match[1]) for match in found if match)  # a dead one has none

    def stop(self):
        # Only the first process: it ends its own workers, and killing these first would make it start new ones.
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.run_folder.cleanup()


@contextlib.contextmanager
def behind(scenario, core):
    """The server that is proxied to, on the load generator's core; gives what the proxies' files need to know of it."""
    if not scenario.behind:
        yield {}
        return
    peer = Peer(BEHIND / f"{scenario.behind}.ini", {})
    if not peer.installed:
        raise Unfit(f"{peer.name}, which is proxied to, is not installed")
    with peer.start("behind", core) as running:
        running.check(dataclasses.replace(scenario, listener="http"))
        yield {"behind_port": running.ports["http"]}


def read_all(values):
    return {path.stem: Peer(path, values) for path in sorted(FOLDER.glob("*.ini"))}
