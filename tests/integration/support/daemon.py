"""One running sluiced: started on its own configuration, watched, and checked when it ends."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from . import configs
from .http import Client, Closed, UnixHttp
from .settings import SLUICECTL, SLUICED, patient
from .succession import Successor
from .tls import TlsClient, client_context
from .waiting import wait_until

ALARMING = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer|illegal transition|"
    r"Segmentation fault|terminate called|Assertion .* failed|stack smashing|double free|core dumped")


def clean_environment(extra=None):
    """Without what would make the daemon think that systemd started it."""
    unwanted = ("NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "SLUICE_ADMIN_SOCKET")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    return {**environment, **(extra or {})}


def run_sluiced(*args, **more):
    """Runs it to its end, for --check and other one-shot options."""
    return subprocess.run([str(SLUICED), *map(str, args)], capture_output=True, text=True, timeout=patient(20),
                          env=clean_environment(), **more)


def parse_bind(text):
    if text.startswith("unix:"):
        return text[len("unix:"):]
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Sluice:
    def __init__(self, directory, configuration=None, *, file=None, secured=None, **popen):
        """`secured`: a tls section; every http listener of a configuration then becomes an https one."""
        self.directory = pathlib.Path(directory)
        self.socket_path = self.directory / "admin.sock"
        self.log_path = self.directory / "stderr.log"
        self.file = pathlib.Path(file) if file else self.directory / "sluice.yaml"
        self.admin = UnixHttp(self.socket_path)
        self.clients = []
        self.secured = secured
        self.secure_names = set()
        if configuration is not None:
            self.write_config(configuration)
        self.process = self._start(**popen)

    # Life

    def _start(self, env=None, before=(), program=SLUICED, options=(), **popen):
        """`before`: a command that runs the program; `options`: more of its own."""
        # A test run that is killed leaves no daemon behind. (Code of ours in the child would be run behind the handlers
        # that grpcio has for a fork, which abort now and then.)
        command = ["setpriv", "--pdeathsig", "KILL", *before, str(program), "--config", str(self.file), *map(str, options)]
        with open(self.log_path, "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, env=clean_environment(env), **popen)

    def wait_ready(self, timeout=10.0):
        def ready():
            assert self.process.poll() is None, f"ended with {self.process.returncode} at start:\n{self.log}"
            try:
                return self.admin.ask("GET", "/readyz").status == 200
            except (OSError, Closed):
                return False

        wait_until(ready, timeout, what=f"ready; log:\n{self.log}")
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def upgrade(self):
        """Goes on with the successor as its process; the one before, which drains."""
        before = self.process
        answer = self.admin.ask("POST", "/v1/upgrade")
        assert answer.status == 200, answer.body
        self.process = Successor(json.loads(answer.body)["pid"])
        return before

    def wait_exit(self, timeout=10.0):
        try:
            return self.process.wait(patient(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"has not ended after {patient(timeout):.1f} s; log:\n{self.log[-4000:]}") from None

    def stop(self):
        """The end of every test: the books balance, nothing is left, and it ends well."""
        try:
            if self.alive:
                self.check_books()
                self.close_clients()
                self.wait_no_connections()
                self.signal(signal.SIGTERM)
            assert self.wait_exit(20) == 0, f"exit code {self.process.returncode}; log:\n{self.log[-4000:]}"
            self.check_log()
        finally:
            self.close_clients()
            if self.alive:
                self.process.kill()
                self.process.wait()

    # What must hold after every test

    def imbalance(self):
        pools = [(entry["name"], entry["pool"]) for entry in self.status()["listeners"]]
        return [(name, pool["accepted"], pool["active"], pool["closed"]) for name, pool in pools
                if pool["accepted"] != pool["active"] + sum(pool["closed"].values())]

    def check_books(self):
        wait_until(lambda: not self.imbalance(), 3, what="accepted == active + closed")

    def wait_no_connections(self):
        wait_until(lambda: all(entry["pool"]["active"] == 0 for entry in self.status()["listeners"]), 6,
                   what="no connection left after every client closed")

    def check_log(self):
        found = ALARMING.search(self.log)
        assert not found, f"alarming log: {self.log[max(0, found.start() - 500):found.start() + 4000]}"

    # Configuration

    def text_for(self, configuration):
        if isinstance(configuration, str):
            return configuration
        admin = {"socket": str(self.socket_path), **configuration.get("admin", {})}
        if self.secured:
            configuration = configs.over_tls(configuration, self.secured)
        self.secure_names = {entry["name"] for entry in configuration["listeners"] if "tls" in entry}
        return configs.text_of({**configuration, "admin": admin})

    def write_config(self, configuration):
        """Replaces the file at once, as careful editors do."""
        fresh = self.file.with_name("." + self.file.name + ".new")
        fresh.write_text(self.text_for(configuration))
        fresh.rename(self.file)

    def reload(self):
        answer = self.admin.ask("POST", "/v1/reload")
        return json.loads(answer.body)

    def apply(self, configuration):
        """Writes and reloads; the watcher may have been quicker, which is as good."""
        self.write_config(configuration)
        answer = self.reload()
        assert answer["ok"], answer
        return answer

    def changes(self, answer):
        """What a reload with this answer has changed, also when the watcher was quicker and it found nothing to do."""
        return {change["key"]: change for change in answer["changes"] or self.status()["last_reload"]["changes"]}

    # Looking

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_line(self, *words):
        """The first line of the log that holds all the words, or None."""
        return next((line for line in self.log.splitlines() if all(word in line for word in words)), None)

    def get(self, target):
        answer = self.admin.ask("GET", target)
        assert answer.status == 200, (answer.status, answer.body)
        return json.loads(answer.body)

    def status(self):
        return self.get("/v1/status")

    def listener(self, name="web"):
        return next(entry for entry in self.status()["listeners"] if entry["name"] == name)

    def pool(self, name="web"):
        return self.listener(name)["pool"]

    def upstream(self, name="api"):
        """With the keys of its `pool` beside the others, and so are its endpoints."""
        entry = self.get(f"/v1/upstreams/{name}")
        return {**entry, **entry["pool"], "endpoints": [{**one, **one["pool"]} for one in entry["endpoints"]]}

    def endpoint(self, which=None, name="api"):
        """One of an upstream's, by its server or address; the only one, if not said."""
        found = [entry for entry in self.upstream(name)["endpoints"] if entry["state"] != "retiring" and
                 (which is None or entry["address"] == getattr(which, "endpoint", which))]
        assert len(found) == 1, (which, found)
        return found[0]

    def decisions(self, name="api"):
        return self.get(f"/v1/upstreams/{name}/decisions")["decisions"]

    def closed(self, reasons, name="web"):
        counters = self.pool(name)["closed"]
        return sum(counters.get(reason, 0) for reason in reasons)

    def rejected(self, reasons, name="web"):
        counters = self.pool(name)["rejected"]
        return sum(counters.get(reason, 0) for reason in reasons)

    def wait_closed(self, reasons, at_least=1, name="web", timeout=5.0):
        wait_until(lambda: self.closed(reasons, name) >= at_least, timeout,
                   what=f"{at_least} closed by {sorted(reasons)}, closed are {self.pool(name)['closed']}")

    def rss(self):
        """Resident bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def events(self, since=0):
        answer = self.admin.ask("GET", f"/v1/events?since={since}")
        assert answer.status == 200
        return [json.loads(line) for line in answer.body.splitlines()]

    # Talking

    def addr(self, name="web"):
        return parse_bind(self.listener(name)["bind"])

    def url(self, name="web"):
        host, port = self.addr(name)
        scheme = "https" if self.is_secure(name) else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def is_secure(self, name="web"):
        return name in self.secure_names

    def connect(self, name="web", *, address=None, source=None, receive_buffer=None, timeout=10.0, tls=None,
                sni="localhost", session=None):
        """`tls`: a context; by default one that trusts everybody, if the listener has TLS; False = in the clear."""
        address = address or self.addr(name)
        unix = isinstance(address, str)
        family = socket.AF_UNIX if unix else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        client = Client(sock, timeout)
        self.clients.append(client)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.bind((source, 0))
        sock.connect(address)
        if not unix:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls or (tls is None and self.is_secure(name)):
            client = TlsClient(client, tls or client_context(), sni, session)
            self.clients.append(client)
        return client

    def ask(self, method="GET", path="/", *, name="web", tls=None, sni="localhost", **more):
        with self.connect(name, tls=tls, sni=sni) as client:
            return client.ask(method, path, **more)

    def request(self, raw, count=1, name="web"):
        """Sends the bytes on a fresh connection and gives the next `count` answers."""
        with self.connect(name) as client:
            client.send(raw)
            return [client.response() for _ in range(count)]

    def close_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def ctl(self, *args, check=False, timeout=30):
        done = subprocess.run([str(SLUICECTL), "--socket", str(self.socket_path), *map(str, args)],
                              capture_output=True, text=True, timeout=patient(timeout), env=clean_environment())
        if check:
            assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done


def wait_ended_within(sluice, seconds):
    """How long it took to end; fails when it took longer."""
    began = time.monotonic()
    code = sluice.wait_exit(seconds)
    return code, time.monotonic() - began
