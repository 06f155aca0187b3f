"""The process: signals, file descriptors, garbage, memory of idle connections, kinds of sockets, access log."""

import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import time

import pytest

from support import configs, names
from support.http import request
from support.settings import SANITIZED, patient, scaled
from support.waiting import wait_until


def test_sigpipe_is_ignored(sluice):
    sluice.signal(signal.SIGPIPE)
    client = sluice.connect()
    client.send(request(path="/big") * 20)
    client.close()
    time.sleep(0.2)
    assert sluice.alive and sluice.ask().status == 200


def test_descriptor_limit_is_raised(start):
    def low_soft_limit():
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))

    sluice = start(preexec_fn=low_soft_limit)
    line = next(line for line in pathlib.Path(f"/proc/{sluice.pid}/limits").read_text().splitlines()
                if line.startswith("Max open files"))
    soft, hard = line.split()[3:5]
    assert soft == hard


@pytest.mark.skipif(SANITIZED, reason="the sanitizers open descriptors of their own")
class TestOutOfDescriptors:
    LIMIT = 96

    @pytest.fixture
    def narrow(self, start):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.LIMIT, self.LIMIT))

        return start(configs.config(configs.listener(keep_alive_timeout="60s", headers_timeout="60s",
                                                     request_timeout="60s")), preexec_fn=limit)

    def test_warns(self, narrow):
        assert any("NOFILE" in warning or "descriptor" in warning for warning in narrow.status()["warnings"])

    def test_idle_ones_make_room(self, narrow):
        address = narrow.addr()
        clients = []
        for _ in range(self.LIMIT * 2):
            client = narrow.connect(address=address)
            clients.append(client)
            assert client.ask().status == 200
        assert narrow.closed(names.SHED) > 0
        assert narrow.status()["state"] == "running"

    def test_busy_ones_stay_and_nothing_spins(self, narrow):
        address = narrow.addr()
        clients = [narrow.connect(address=address) for _ in range(self.LIMIT * 2)]
        for client in clients:
            client.send(request("POST", "/echo", headers={"Content-Length": "2"}) + b"h")
        wait_until(lambda: narrow.pool()["active"] > self.LIMIT // 3)
        time.sleep(0.5)
        before = narrow.cpu_seconds()
        time.sleep(1.0)
        assert narrow.cpu_seconds() - before < 0.3, "spins while it cannot accept"
        # The admin socket has its own reserve.
        assert narrow.ctl("status").returncode == 0
        answered = 0
        for client in clients:
            client.send(b"i")
            response = client.response()
            assert response.body == b"hi"
            answered += 1
            client.close()
        assert answered == len(clients)
        assert narrow.ask().status == 200

    def test_it_recovers(self, narrow):
        address = narrow.addr()
        for _ in range(3):
            clients = [narrow.connect(address=address) for _ in range(self.LIMIT * 2)]
            time.sleep(0.1)
            for client in clients:
                client.close()
            narrow.clients.clear()
            wait_until(lambda: narrow.pool()["active"] == 0)
            assert narrow.ask().status == 200
            assert narrow.listener()["state"] == "listening"


TLS_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 2
GARBAGE = {
    "tls": TLS_HELLO,
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": bytes(10_000),
    "newlines": b"\r\n" * 50_000,
    "spaces": b" " * 100_000,
    "letters": b"A" * 100_000,
    "proxy": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(sluice, name):
    client = sluice.connect()
    client.try_send(GARBAGE[name])
    try:
        client.finish()
    except OSError:
        pass
    client.ending()
    assert sluice.ask().status == 200


def test_random_bytes(sluice):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    address = sluice.addr()
    base = request("POST", "/echo", headers={"Transfer-Encoding": "chunked", "X": "y"}) + b"3\r\nabc\r\n0\r\n\r\n"
    for number in range(scaled(300, 5000)):
        raw = bytearray(base * 2)
        if number % 3 == 0:
            raw = bytearray(source.randbytes(source.randrange(1, 2000)))
        else:
            for _ in range(source.randrange(1, 6)):
                raw[source.randrange(len(raw))] = source.randrange(256)
        with sluice.connect(address=address) as client:
            client.try_send(bytes(raw))
            try:
                client.finish()
            except OSError:
                pass
            client.ending()
        sluice.clients.clear()
    assert sluice.ask().status == 200


def test_clients_that_vanish(sluice):
    """Resets in every phase."""
    address = sluice.addr()
    starts = [b"", b"GE", request()[:-2], request(), request(path="/big") * 4,
              request("POST", "/echo", headers={"Content-Length": "100000"}) + b"x" * 1000]
    for number in range(120):
        client = sluice.connect(address=address)
        client.send(starts[number % len(starts)])
        if number % 2:
            time.sleep(0.002)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    wait_until(lambda: sluice.pool()["active"] == 0)
    assert sluice.ask().status == 200


@pytest.mark.bench
@pytest.mark.slow
def test_memory_of_idle_connections(start):
    count, bound = scaled(1000, 10_000), scaled(2048, 1024)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 500:
        pytest.skip(f"needs {count + 500} file descriptors, has {soft}")
    sluice = start(configs.config(configs.listener(max_connections=20_000, keep_alive_timeout="1h")))
    address = sluice.addr()
    for _ in range(50):
        sluice.ask()
    time.sleep(0.5)
    before = sluice.rss()
    clients = [sluice.connect(address=address) for _ in range(count)]
    for client in clients:
        assert client.ask().status == 200
    assert sluice.pool()["active"] >= count
    time.sleep(1.0)
    each = (sluice.rss() - before) / count
    print(f"{count} idle connections: {each:.0f} bytes each")
    assert each <= bound
    before = sluice.cpu_seconds()
    time.sleep(1.0)
    assert sluice.cpu_seconds() - before <= 0.05, "idle connections cost CPU"
    for client in clients:
        client.close()


def test_an_idle_daemon_sleeps(sluice):
    sluice.ask()
    time.sleep(0.5)

    def switches():
        text = pathlib.Path(f"/proc/{sluice.pid}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])

    before = switches()
    time.sleep(2.0)
    # Rates and the like may tick once a second or so.
    assert switches() - before <= 2 * 12


class TestSockets:
    def test_unix_listener(self, start, tmp_path):
        path = tmp_path / "web.sock"
        sluice = start(configs.config(configs.listener(bind=f"unix:{path}"), configs.listener("tcp")))
        client = sluice.connect()
        assert client.ask().status == 200
        assert client.ask("POST", "/echo", body=b"x" * 100_000).body == b"x" * 100_000
        assert sluice.listener()["bind"] == f"unix:{path}"
        assert sluice.get("/v1/connections?listener=web")["shown"] == 1
        client.close()
        sluice.apply(configs.config(configs.listener("tcp")))
        wait_until(lambda: not path.exists())

    def test_ipv6(self, start):
        try:
            port = configs.free_port("::1")
        except OSError:
            pytest.skip("no IPv6 here")
        sluice = start(configs.config(configs.listener(bind=f"[::1]:{port}"), configs.listener("v4")))
        assert sluice.addr() == ("::1", port)
        client = sluice.connect()
        assert client.ask().status == 200
        local = client.sock.getsockname()
        peers = [entry["peer"] for entry in sluice.get("/v1/connections?listener=web")["connections"]]
        assert peers == [f"[::1]:{local[1]}"]

    def test_v6_and_v4_wildcards_beside_each_other(self, start):
        try:
            port = configs.free_port("::1")
        except OSError:
            pytest.skip("no IPv6 here")
        sluice = start(configs.config(configs.listener("six", f"[::]:{port}"),
                                      configs.listener("four", f"0.0.0.0:{port}")))
        assert sluice.connect(address=("127.0.0.1", port)).ask().status == 200
        assert sluice.connect(address=("::1", port)).ask().status == 200
        assert sluice.pool("six")["accepted"] == 1 and sluice.pool("four")["accepted"] == 1


class TestAccessLog:
    def ask_some(self, sluice):
        sluice.ask("GET", "/?q=1", headers={"User-Agent": 'te"st\\ua', "Referer": "http://ref/"})
        sluice.ask("POST", "/echo", body=b"x" * 100)
        sluice.ask("GET", "/\x7f\x01".replace("\x01", "%01"))
        sluice.ask("GET", "/", headers={"User-Agent": "caf\xe9\x09tab"})
        sluice.request(b"nonsense\r\n\r\n")

    def lines(self, path, at_least):
        wait_until(lambda: path.exists() and len(path.read_bytes().splitlines()) >= at_least)
        return path.read_bytes().splitlines()

    def test_json(self, start, tmp_path):
        path = tmp_path / "access.log"
        sluice = start({**configs.config(), "log": {"access": {"format": "json", "path": str(path)}}})
        self.ask_some(sluice)
        entries = [json.loads(line.decode("utf-8")) for line in self.lines(path, 4)]
        first = entries[0]
        assert first["method"] == "GET" and first["status"] == 200 and "web" in first.values()
        assert any(isinstance(value, str) and value.startswith("127.0.0.1") for value in first.values())
        assert any(value == 'te"st\\ua' for value in first.values() if isinstance(value, str))
        assert {entry["status"] for entry in entries} >= {200}

    def test_combined(self, start, tmp_path):
        path = tmp_path / "access.log"
        sluice = start({**configs.config(), "log": {"access": {"format": "combined", "path": str(path)}}})
        self.ask_some(sluice)
        form = re.compile(rb'\S+ \S+ \S+ \[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\] '
                          rb'"((?:[^"\\]|\\.)*)" \d{3} (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)".*')
        lines = self.lines(path, 4)
        assert all(form.fullmatch(line) for line in lines), lines
        assert lines[0].startswith(b"127.0.0.1 - - [") and b'"GET /?q=1 HTTP/1.1" 200 6 "http://ref/"' in lines[0]
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", b"".join(lines))

    def test_off_by_default_and_switched_live(self, start, tmp_path):
        path = tmp_path / "access.log"
        sluice = start()
        client = sluice.connect()
        client.ask()
        assert "GET /" not in sluice.log
        sluice.apply({**configs.config(), "log": {"access": {"format": "json", "path": str(path)}}})
        client.ask()
        assert len(self.lines(path, 1)) == 1

    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
    def test_a_renamed_file_is_begun_anew(self, start, tmp_path, number):
        """As logrotate does it: what came before stays in the old file, what comes after is in the new one."""
        path, old = tmp_path / "access.log", tmp_path / "access.log.1"
        sluice = start({**configs.config(), "log": {"access": {"format": "json", "path": str(path)}}})
        client = sluice.connect()
        client.ask(path="/before")
        self.lines(path, 1)
        path.chmod(0o604)
        path.rename(old)
        client.ask(path="/between")
        sluice.signal(number)
        wait_until(path.exists)
        client.ask(path="/after")
        paths = [[json.loads(line)["path"] for line in self.lines(file, count)]
                 for file, count in ((old, 2), (path, 1))]
        assert paths == [["/before", "/between"], ["/after"]]
        assert path.stat().st_mode & 0o777 == 0o604

    def test_unwritable_path_is_refused_or_told(self, sluice):
        sluice.write_config({**configs.config(), "log": {"access": {"format": "json", "path": "/nonexistent/a.log"}}})
        sluice.reload()
        for _ in range(3):
            assert sluice.ask().status == 200
        wait_until(lambda: "/nonexistent/a.log" in sluice.log)


def test_log_level(start):
    sluice = start({**configs.config(), "log": {"level": "error"}})
    sluice.ask()
    assert "info" not in sluice.log.lower()
    sluice.apply({**configs.config(), "log": {"level": "debug"}})
    sluice.ask()
    wait_until(lambda: sluice.log)


def test_connections_are_told_at_debug_only(start):
    sluice = start()
    wait_until(lambda: sluice.log_line("listening", "LISTENER=web"))
    before = sluice.log
    for _ in range(20):
        assert sluice.ask().status == 200
    sluice.check_books()
    assert sluice.log == before
    sluice.apply({**configs.config(), "log": {"level": "debug"}})
    with sluice.connect() as client:
        client.ask()
        port = client.sock.getsockname()[1]
    wait_until(lambda: sluice.log_line("connection closed", "LISTENER=web", "CONNECTION_ID=", f"PEER=127.0.0.1:{port}",
                                       "REASON=peer_closed", "REQUESTS=1"), what=sluice.log)


def test_a_burst_of_log_lines_is_cut_short_and_counted(start):
    """Peers that nobody trusts knock at a listener behind proxies: they neither fill the log nor hide other lines."""
    behind = {**configs.listener("behind"), "proxy_protocol": "v1", "trusted_proxies": ["192.0.2.1"]}
    sluice = start(configs.config(configs.listener(), behind))
    knocks = 400
    began = time.monotonic()
    for _ in range(knocks):
        with sluice.connect("behind") as client:
            client.ending()
    assert sluice.rejected({"handshake_failed"}, "behind") == knocks
    took = time.monotonic() - began
    sluice.stop()
    lines = [line for line in sluice.log.splitlines() if "refused a connection for the PROXY protocol" in line]
    told = [line for line in lines if "LISTENER=behind PEER=127.0.0.1:" in line]
    left_out = [int(re.search(r" LEFT_OUT=(\d+)$", line)[1]) for line in lines if line not in told]
    assert 100 <= len(told) <= 101 + took
    assert 1 <= len(left_out) <= 2 + took / 10
    assert len(told) + sum(left_out) == knocks
    assert sluice.log_line("notice", "stopped")


def test_peers_cannot_forge_log_lines(sluice):
    for raw in (b"GET /\x1b[31mred HTTP/1.1\r\nHost: x\r\n\r\n", b"\x1b]0;title\x07\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: a\x1b[2Jb\r\n\r\n"):
        with sluice.connect() as client:
            client.send(raw)
            client.ending()
    assert "\x1b" not in sluice.log


def test_big_pipelines_hold_little_memory(start):
    """A client that asks and asks and never reads is no longer read itself."""
    sluice = start(configs.config(configs.listener(max_requests_per_connection=0)))
    before = sluice.rss()
    client = sluice.connect(receive_buffer=4096)
    client.sock.settimeout(patient(1))
    sent = 0
    block = request(path="/big") * 1000
    try:
        while sent < 64 * 1024 * 1024:
            sent += client.sock.send(block)
    except TimeoutError:
        pass
    assert sent < 64 * 1024 * 1024, "reads without end"
    if not SANITIZED:
        assert sluice.rss() - before < 32 * 1024 * 1024
    client.close()
    assert sluice.ask().status == 200


@pytest.mark.slow
def test_memory_bound(start):
    """limits.max_buffered_memory holds; what is refused for it is counted; and all comes back."""
    bound = 4 * 1024 * 1024
    sluice = start({**configs.config(configs.listener(write_timeout="60s", min_data_rate=0, keep_alive_timeout="60s")),
                    "limits": {"max_buffered_memory": "4MiB"}})
    address = sluice.addr()
    assert sluice.status()["memory"]["limit"] == bound
    stuck = []
    for _ in range(scaled(200, 1000)):
        client = sluice.connect(address=address, receive_buffer=4096)
        client.try_send(request(path="/big") * 8)
        stuck.append(client)
    peak = 0
    for _ in range(20):
        peak = max(peak, sluice.status()["memory"]["used"])
        time.sleep(0.05)
    assert peak <= bound * 1.1
    for client in stuck:
        client.close()
    wait_until(lambda: sluice.status()["memory"]["used"] < bound // 10)
    assert sluice.ask().status == 200


def test_not_as_a_second_argument(sluice):
    """Wrong usage of sluiced itself."""
    from support.daemon import run_sluiced
    for args in (["--frobnicate"], ["--config"]):
        done = run_sluiced(*args)
        assert done.returncode not in (0, None) and done.stderr


def test_a_refused_request_shows_nothing_of_another_in_the_log(start, tmp_path):
    """Streams are used again: what the one before asked for must not stand in the line of a broken request."""
    path = tmp_path / "access.log"
    sluice = start({**configs.config(), "log": {"access": {"format": "json", "path": str(path)}}})
    sluice.request(b"GET /secret?token=abc HTTP/1.1\r\nHost: victim.example\r\nX: " + b"y" * 3000 + b"\r\n\r\n")
    sluice.request(b"GET /mine HTTP/1.1\r\nX: y\r\n\r\n")
    wait_until(lambda: path.exists() and len(path.read_bytes().splitlines()) >= 2)
    second = json.loads(path.read_bytes().splitlines()[1])
    assert second["status"] == 400 and second["method"] == "GET"
    assert (second["host"], second["path"], second["query"]) == ("", "", "")
    assert second["duration_us"] < 1_000_000


def test_the_access_log_can_be_rotated(start, tmp_path):
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    sluice = start({**configs.config(), "log": {"access": {"format": "combined", "path": str(path)}}})
    sluice.ask()
    wait_until(lambda: path.exists() and path.read_bytes())
    path.rename(old)
    sluice.signal(signal.SIGHUP)
    wait_until(lambda: sluice.ask().status == 200 and path.exists() and path.read_bytes())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_another_user(start, tmp_path):
    """Reloads go on after the privileges were dropped."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == 0 and directory.name:
            directory.chmod(directory.stat().st_mode | 0o055)
    sluice = start({**configs.config(), "user": "nobody"})
    status = pathlib.Path(f"/proc/{sluice.pid}/status").read_text()
    assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.M)
    sluice.file.chmod(0o644)
    sluice.write_config({**configs.config(configs.listener(keep_alive_timeout="7s")), "user": "nobody"})
    wait_until(lambda: sluice.status()["revision"] == 2)
    assert sluice.status()["last_reload"]["ok"], sluice.status()["last_reload"]
    sluice.write_config({**configs.config(), "user": "root"})
    wait_until(lambda: sluice.status()["revision"] == 3)
    assert [key["key"] for key in sluice.status()["pending_restart"]] == ["user"]


def test_anybody_may_connect_to_a_unix_listener(start, tmp_path):
    path = tmp_path / "web.sock"
    start(configs.config(configs.listener(bind=f"unix:{path}")))
    assert path.stat().st_mode & 0o777 == 0o666
