"""The admin socket and sluicectl: every endpoint, every command, exit codes, events, metrics."""

import json
import os
import re
import socket
import stat
import subprocess
import threading
import time

import pytest

from support import configs, names
from support.daemon import clean_environment
from support.http import Client, request
from support.settings import SLUICECTL, patient
from support.waiting import wait_until

CONFIG = configs.config(configs.listener(keep_alive_timeout="60s"), configs.listener("other"))


def json_of(response):
    assert response.get("content-type", "").startswith("application/json"), response.headers
    return json.loads(response.body)


class TestStatus:
    def test_everything_is_there(self, web):
        web.ask()
        status = web.status()
        assert status["state"] == "running" and status["pid"] == web.pid and status["uptime_ms"] >= 0
        assert status["revision"] >= 1 and status["config_file"] == str(web.file)
        assert re.match(r"\d+\.\d+", status["version"])
        assert status["memory"]["limit"] > 0 and status["memory"]["used"] >= 0
        assert isinstance(status["warnings"], list) and status["pending_restart"] == []
        entry = status["listeners"][0]
        assert (entry["name"], entry["protocol"], entry["state"], entry["generation"], entry["health"]) == \
            ("web", "http", "listening", 1, "healthy")
        assert re.fullmatch(r"127\.0\.0\.1:\d+", entry["bind"]) and entry["pending_restart"] == []
        pool = entry["pool"]
        assert pool["max_connections"] == 10000 and pool["accepted"] >= 1 and pool["requests"] >= 1
        assert pool["bytes_in"] > 0 and pool["bytes_out"] > 0
        assert set(pool["latency_ms"]) == {"p50", "p90", "p99", "p99_9"}
        for key in ("active", "idle", "connections_per_second", "requests_per_second", "error_rate"):
            assert pool[key] >= 0
        assert isinstance(pool["rejected"], dict) and isinstance(pool["closed"], dict)

    def test_listeners(self, web):
        assert [entry["name"] for entry in web.get("/v1/listeners")["listeners"]] == ["web", "other"]
        assert web.get("/v1/listeners/other")["name"] == "other"
        response = web.admin.ask("GET", "/v1/listeners/nobody")
        assert response.status == 404 and json_of(response)["ok"] is False and json_of(response)["error"]

    def test_counting(self, start):
        sluice = start()
        client = sluice.connect()
        for _ in range(10):
            client.ask()
        client.ask("POST", "/echo", body=b"x" * 10_000)
        pool = sluice.pool()
        assert (pool["accepted"], pool["active"], pool["requests"]) == (1, 1, 11)
        assert 10_000 < pool["bytes_in"] < 20_000 and pool["bytes_out"] > 10_000
        assert 0 < pool["latency_ms"]["p50"] <= pool["latency_ms"]["p99"] < 1000 * patient(1)
        wait_until(lambda: sluice.pool()["idle"] == 1)

    def test_health_follows_the_use(self, start):
        sluice = start(configs.config(configs.listener(max_connections=20, at_limit="refuse")))
        kept = []

        def fill(count):
            while len(kept) < count:
                kept.append(sluice.connect())
                assert kept[-1].ask().status == 200

        for count, health in ((10, "healthy"), (17, "degraded"), (20, "overloaded")):
            fill(count)
            wait_until(lambda: sluice.listener()["health"] == health, what=f"{health} at {count} of 20")
        while len(kept) > 5:
            kept.pop().close()
        wait_until(lambda: sluice.listener()["health"] == "healthy")
        assert sum(event["type"] == "health_changed" for event in sluice.events()) >= 3


class TestConnections:
    def test_fields(self, web):
        client = web.connect()
        client.ask()
        local = "%s:%d" % client.sock.getsockname()
        found = [entry for entry in web.get("/v1/connections")["connections"] if entry["peer"] == local]
        assert len(found) == 1
        entry = found[0]
        assert entry["listener"] == "web" and entry["requests"] == 1 and entry["generation"] == 1
        assert entry["age_ms"] >= entry["idle_ms"] >= 0 and entry["bytes_in"] > 0 and entry["bytes_out"] > 0
        wait_until(lambda: [one["state"] for one in web.get("/v1/connections")["connections"]
                            if one["peer"] == local] == ["idle"])

    def test_filters(self, start):
        sluice = start(CONFIG)
        idle = [sluice.connect() for _ in range(3)] + [sluice.connect("other")]
        for client in idle:
            client.ask()
        half = sluice.connect()
        half.send(b"GET / HTTP/1.1\r\nHo")
        wait_until(lambda: sluice.pool()["active"] == 4)

        def ask(query):
            return sluice.get("/v1/connections" + query)

        assert ask("")["total"] == 5 and len(ask("")["connections"]) == 5
        assert ask("?listener=other")["shown"] == 1
        assert ask("?listener=web")["shown"] == 4
        wait_until(lambda: ask("?state=header")["shown"] == 1)
        assert ask("?state=idle")["shown"] == 4
        assert ask("?listener=web&state=idle")["shown"] == 3
        limited = ask("?limit=2")
        assert limited["shown"] == 2 == len(limited["connections"]) and limited["total"] == 5
        assert ask("?peer=127.0.0.1")["shown"] == 5 and ask("?peer=192.0.2.1")["shown"] == 0
        assert ask("?listener=nobody")["shown"] == 0

    @pytest.mark.parametrize("query", ["?limit=x", "?limit=-1", "?state=asleep"])
    def test_bad_filters(self, web, query):
        response = web.admin.ask("GET", "/v1/connections" + query)
        assert response.status == 400 and json_of(response)["error"]

    def test_kill(self, start):
        sluice = start()
        client, other = sluice.connect(), sluice.connect()
        client.ask(), other.ask()
        local = "%s:%d" % client.sock.getsockname()
        open_ones = sluice.get("/v1/connections")["connections"]
        number = next(entry["id"] for entry in open_ones if entry["peer"] == local)
        sluice.ctl("kill", number, check=True)
        client.ending()
        sluice.wait_closed(names.KILLED)
        assert other.ask().status == 200
        done = sluice.ctl("kill", number)
        assert done.returncode == 1 and done.stderr
        assert sluice.admin.ask("DELETE", "/v1/connections/999999").status == 404
        assert sluice.admin.ask("DELETE", "/v1/connections/x").status in (400, 404)

    def test_ids_are_never_used_again(self, start):
        sluice = start()
        seen = set()
        for _ in range(20):
            with sluice.connect() as client:
                client.ask()
                seen |= {entry["id"] for entry in sluice.get("/v1/connections")["connections"]}
        assert len(seen) >= 20


class TestPlan:
    def test_shows_what_would_change(self, start):
        sluice = start(CONFIG)
        kept = [sluice.connect() for _ in range(3)]
        for client in kept:
            client.ask()
        wanted = configs.config(configs.listener(keep_alive_timeout="9s"), configs.listener("new"))
        file = sluice.directory / "wanted.yaml"
        file.write_text(sluice.text_for(wanted))
        plan = json.loads(sluice.ctl("--json", "plan", file, check=True).stdout)
        assert plan["ok"] is True and plan["errors"] == []
        changes = {change["key"]: change for change in plan["changes"]}
        change = changes["listeners.web.pool.keep_alive_timeout"]
        assert (change["old"], change["new"], change["class"], change["listener"]) == ("1m", "9s", "live", "web") or \
            (change["old"], change["new"]) == ("60s", "9s")
        assert change["connections"] == 3
        assert "listeners.other" in changes and "listeners.new" in changes
        # It was a question, not an order.
        assert [entry["name"] for entry in sluice.status()["listeners"]] == ["web", "other"]
        table = sluice.ctl("plan", file, check=True).stdout
        assert "keep_alive_timeout" in table and "9s" in table and "live" in table

    def test_nothing(self, web):
        assert json.loads(web.ctl("plan", web.file, "--json", check=True).stdout)["changes"] == []

    def test_never_opens_a_path(self, web):
        response = web.admin.ask("POST", "/v1/plan?name=/etc/passwd", body=b"")
        assert response.status == 422 and b"root:" not in response.body

    def test_file_that_is_not_there(self, web):
        done = web.ctl("plan", "/nonexistent.yaml")
        assert done.returncode == 1 and "/nonexistent.yaml" in done.stderr

    def test_only_post(self, web):
        assert web.admin.ask("GET", "/v1/plan").status == 405


class TestHttp:
    @pytest.mark.parametrize("method,target,status", [
        ("GET", "/", 404), ("GET", "/v1/none", 404), ("GET", "/v2/status", 404), ("POST", "/v1/status", 405),
        ("DELETE", "/v1/config", 405), ("GET", "/v1/reload", 405), ("GET", "/v1/drain", 405),
        ("POST", "/v1/restart?listener=nobody", 404), ("POST", "/v1/restart", 400),
        ("POST", "/v1/drain?listener=nobody", 404),
        ("PUT", "/metrics", 405)])
    def test_errors_are_json(self, web, method, target, status):
        response = web.admin.ask(method, target)
        assert response.status == status
        answer = json_of(response)
        assert answer["ok"] is False and answer["error"]
        if status == 405:
            assert response.get("allow")

    def test_head(self, web):
        assert web.admin.ask("HEAD", "/healthz").status == 200

    def test_keep_alive_on_the_socket(self, web):
        with web.admin.connect() as client:
            for _ in range(5):
                assert client.ask("GET", "/v1/status", version="1.1").status == 200

    def test_health_endpoints(self, web):
        response = web.admin.ask("GET", "/healthz")
        assert response.status == 200 and response.body.strip() == b"ok"
        assert web.admin.ask("GET", "/readyz").status == 200

    def test_bad_requests_do_no_harm(self, web):
        for raw in (b"\0\0\0\0\r\n\r\n", b"GET /v1/status HTTP/9.9\r\n\r\n", os.urandom(4096), b"\n" * 100):
            with web.admin.connect() as client:
                client.try_send(raw)
                client.finish()
                client.ending()
        assert web.status()["state"] == "running"

    def test_large_body_is_refused(self, web):
        with web.admin.connect() as client:
            client.try_send(request("POST", "/v1/plan", headers={"Content-Length": "100000000"}))
            client.try_send(b"x" * 1_000_000)
            assert client.response().status == 413

    def test_config(self, web):
        answer = web.get("/v1/config")
        assert answer["file"] == str(web.file) and answer["revision"] == web.status()["revision"]
        assert "keep_alive_timeout" in answer["yaml"]

    def test_socket_is_for_owner_and_group(self, web):
        mode = stat.S_IMODE(os.stat(web.socket_path).st_mode)
        assert mode == 0o660

    def test_group(self, start):
        import grp
        if os.geteuid() != 0:
            pytest.skip("only root may give a socket to a group")
        group = next((entry for entry in grp.getgrall() if entry.gr_name in ("nogroup", "daemon", "users")), None)
        if not group:
            pytest.skip("no group to give it to")
        sluice = start({**configs.config(), "admin": {"group": group.gr_name}})
        assert os.stat(sluice.socket_path).st_gid == group.gr_gid
        assert stat.S_IMODE(os.stat(sluice.socket_path).st_mode) == 0o660


class TestCtl:
    def test_status_table(self, web):
        web.ask()
        done = web.ctl("status", check=True)
        for word in ("web", "other", "http", "listening", "healthy", "127.0.0.1:", str(web.file), str(web.pid)):
            assert word in done.stdout, done.stdout
        assert "\x1b" not in done.stdout and not done.stderr

    def test_status_json(self, web):
        assert json.loads(web.ctl("status", "--json", check=True).stdout)["listeners"][0]["name"] == "web"
        assert json.loads(web.ctl("--json", "status", check=True).stdout)["pid"] == web.pid

    def test_connections(self, web):
        client = web.connect()
        client.ask()
        done = web.ctl("connections", "--listener", "web", "--limit", 5, check=True)
        assert "127.0.0.1:%d" % client.sock.getsockname()[1] in done.stdout
        assert json.loads(web.ctl("connections", "--json", check=True).stdout)["total"] >= 1

    def test_events(self, web):
        web.ask()
        assert "added" in web.ctl("events", check=True).stdout
        lines = web.ctl("events", "--json", check=True).stdout.splitlines()
        assert all(isinstance(json.loads(line)["seq"], int) for line in lines) and lines

    def test_reload(self, web):
        done = web.ctl("reload", check=True)
        assert str(web.status()["revision"]) in done.stdout

    def test_environment(self, web):
        done = subprocess.run([str(SLUICECTL), "status"], capture_output=True, text=True, timeout=30,
                              env=clean_environment({"SLUICE_ADMIN_SOCKET": str(web.socket_path)}))
        assert done.returncode == 0 and "web" in done.stdout

    def test_not_reached(self, tmp_path):
        def ctl(path, *args):
            return subprocess.run([str(SLUICECTL), "--socket", str(path), *args], capture_output=True, text=True,
                                  timeout=30, env=clean_environment())

        missing = tmp_path / "none.sock"
        for command in (["status"], ["status", "--json"], ["connections"], ["events"], ["reload"], ["restart", "web"],
                        ["drain"], ["kill", "1"]):
            done = ctl(missing, *command)
            assert done.returncode == 2 and not done.stdout
            assert str(missing) in done.stderr and "No such file" in done.stderr
        dead = tmp_path / "dead.sock"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(dead))
        assert ctl(dead, "status").returncode == 2
        assert ctl("/" + "x" * 200, "status").returncode == 2

    @pytest.mark.parametrize("args", [[], ["frobnicate"], ["kill"], ["kill", "x"], ["restart"],
                                      ["connections", "--limit", "x"]])
    def test_wrong_usage(self, web, args):
        done = web.ctl(*args)
        assert done.returncode == 1 and done.stderr

    def test_help(self, web):
        for args in (["--help"], ["status", "--help"]):
            assert web.ctl(*args, check=True).stdout


class Follower:
    """Reads the NDJSON of a followed event stream in a thread."""

    def __init__(self, sluice, since=0):
        self.client = sluice.admin.connect(timeout=60)
        self.client.send(request("GET", f"/v1/events?since={since}&follow=true", version="1.0"))
        assert self.client.head().status == 200
        self.events = []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def _run(self):
        try:
            while True:
                line = self.client._until(b"\n")
                if line:
                    self.events.append(json.loads(line))
        except Exception:
            return

    def has(self, kind, **fields):
        return any(event.get("type") == kind and all(event.get(key) == value for key, value in fields.items())
                   for event in list(self.events))


class TestEvents:
    def test_follow(self, start):
        sluice = start()
        follower = Follower(sluice).start()
        with sluice.connect() as client:
            client.ask()
            wait_until(lambda: follower.has("added", listener="web"))
        wait_until(lambda: follower.has("removed", listener="web"))
        sluice.apply(configs.config(configs.listener(keep_alive_timeout="7s"), configs.listener("new")))
        wait_until(lambda: follower.has("reloaded"))
        wait_until(lambda: follower.has("listener_started", listener="new"))
        sluice.write_config("listeners: [")
        assert not sluice.reload()["ok"]
        wait_until(lambda: follower.has("reload_failed"))
        sluice.apply(configs.config(configs.listener(keep_alive_timeout="7s")))
        wait_until(lambda: follower.has("listener_stopped", listener="new"))
        numbers = [event["seq"] for event in follower.events if "seq" in event]
        assert numbers == sorted(set(numbers))
        follower.client.close()

    def test_timeouts_and_errors_are_told(self, start):
        sluice = start(configs.config(configs.listener(headers_timeout="300ms")))
        client = sluice.connect()
        client.send(b"GET /")
        assert client.response().status == 408
        wait_until(lambda: any(event["type"] == "timed_out" for event in sluice.events()))
        sluice.request(b"nonsense\r\n\r\n")
        wait_until(lambda: any(event["type"] == "error" for event in sluice.events()))

    def test_since(self, start):
        sluice = start()
        sluice.ask()
        everything = wait_until(sluice.events)
        middle = everything[len(everything) // 2]["seq"]
        assert all(event["seq"] > middle for event in sluice.events(since=middle))
        assert sluice.events(since=10**9) == []

    def test_a_follower_that_fell_behind_is_told_the_gap(self, start):
        sluice = start()
        follower = Follower(sluice)  # does not read yet
        address = sluice.addr()
        # Far more than the ring and the socket's buffers hold.
        for _ in range(60):
            batch = [sluice.connect(address=address) for _ in range(200)]
            for client in batch:
                client.close()
            sluice.clients.clear()
        follower.start()
        wait_until(lambda: any("gap" in event for event in list(follower.events)), 10)
        assert all(event["gap"] > 0 for event in follower.events if "gap" in event)
        follower.client.close()

    def test_a_ring_that_has_turned_tells_the_gap(self, start):
        sluice = start()
        address = sluice.addr()
        for _ in range(60):
            batch = [sluice.connect(address=address) for _ in range(200)]
            for client in batch:
                client.close()
            sluice.clients.clear()
        wait_until(lambda: sluice.pool()["active"] == 0)
        events = sluice.events(since=1)
        assert events[0].get("gap", 0) > 0
        assert len(events) < 24_000, "the ring has a bound"

    def test_ctl_follow(self, start):
        sluice = start()
        process = subprocess.Popen([str(SLUICECTL), "--socket", str(sluice.socket_path), "events", "--follow",
                                    "--json"], stdout=subprocess.PIPE, text=True, env=clean_environment())
        lines = []
        thread = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
        thread.start()
        wait_until(lambda: sluice.ask().status == 200 and any('"added"' in line for line in lines))
        process.terminate()
        process.wait(10)
        thread.join(10)

    def test_followers_do_not_hold_up_the_end(self, start):
        import signal
        sluice = start()
        follower = Follower(sluice).start()
        sluice.signal(signal.SIGTERM)
        began = time.monotonic()
        assert sluice.wait_exit(5) == 0
        assert time.monotonic() - began < patient(3)
        follower.thread.join(5)


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)')


def parse_metrics(text):
    """A strict reading of the Prometheus text format: {family: (type, {(name, labels): value})}."""
    assert text.endswith("\n")
    families, helped, current = {}, set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helped, f"HELP of {name} twice"
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in families, f"TYPE of {name} twice"
            assert kind in ("counter", "gauge", "histogram", "summary", "untyped")
            families[name], current = (kind, {}), name
        elif line and not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, f"not a sample: {line!r}"
            labels, rest = [], match[2] or ""
            while rest:
                label = LABEL.match(rest)
                assert label, f"bad labels: {line!r}"
                labels.append((label[1], label[2]))
                rest = rest[label.end():]
            assert current and re.fullmatch(re.escape(current) + r"(_bucket|_sum|_count|_total)?", match[1]), \
                f"{match[1]} does not stand under its TYPE"
            key = (match[1], tuple(sorted(labels)))
            samples = families[current][1]
            assert key not in samples, f"twice: {line!r}"
            samples[key] = float(match[3])
    assert set(families) <= helped, "a family without HELP"
    return families


def check_histograms(families):
    for name, (kind, samples) in families.items():
        if kind != "histogram":
            continue
        series = {}
        for (sample, labels), value in samples.items():
            if sample.endswith("_bucket"):
                bound = float(dict(labels)["le"].replace("+Inf", "inf"))
                series.setdefault(tuple(pair for pair in labels if pair[0] != "le"), []).append((bound, value))
        for labels, buckets in series.items():
            buckets.sort()
            counts = [count for _, count in buckets]
            assert counts == sorted(counts), f"{name} is not cumulative"
            assert buckets[-1][0] == float("inf")
            assert samples[(name + "_count", labels)] == counts[-1]
            assert (name + "_sum", labels) in samples


class TestMetrics:
    def test_well_formed(self, web):
        web.ask()
        web.ask("GET", "/none")
        response = web.admin.ask("GET", "/metrics")
        assert response.status == 200 and response.get("content-type").startswith("text/plain; version=0.0.4")
        families = parse_metrics(response.body.decode())
        check_histograms(families)
        assert len(families) > 5
        for name, (kind, _) in families.items():
            assert name.startswith(("sluice_", "process_")), name
            assert kind != "counter" or name.endswith("_total"), name

    def test_counters_agree_with_status(self, start):
        sluice = start()
        for _ in range(7):
            sluice.ask()
        families = parse_metrics(sluice.admin.ask("GET", "/metrics").body.decode())
        totals = [value for kind, samples in families.values() for (name, labels), value in samples.items()
                  if kind == "counter" and ("listener", "web") in labels and "accept" in name]
        assert 7 in totals, families.keys()

    def test_counters_never_fall(self, web):
        def counters():
            families = parse_metrics(web.admin.ask("GET", "/metrics").body.decode())
            return {key: value for kind, samples in families.values() if kind == "counter"
                    for key, value in samples.items()}

        first = counters()
        for _ in range(5):
            web.ask()
        second = counters()
        assert all(second[key] >= value for key, value in first.items())


class TestTcp:
    """admin.bind: three paths, GET only, and only for those who name it by address or by a listed name."""

    @pytest.fixture
    def admin(self, start):
        self.port = configs.free_port()
        sluice = start({**configs.config(), "admin": {"bind": f"127.0.0.1:{self.port}", "hosts": ["metrics.example"]}})

        def ask(method="GET", target="/healthz", **more):
            with Client(socket.create_connection(("127.0.0.1", self.port))) as client:
                return client.ask(method, target, **more)

        ask.sluice = sluice
        return ask

    @pytest.mark.parametrize("target", ["/healthz", "/readyz", "/metrics"])
    def test_served(self, admin, target):
        assert admin("GET", target, host=f"127.0.0.1:{self.port}").status == 200

    @pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7:99", "[::1]", "[::1]:80", "metrics.example",
                                      "METRICS.example:9090"])
    def test_hosts_that_may(self, admin, host):
        assert admin(host=host).status == 200

    @pytest.mark.parametrize("host", ["localhost", "evil.example", "127.0.0.1.evil.example", "x.metrics.example"])
    def test_hosts_that_may_not(self, admin, host):
        """Against DNS rebinding: a browser names the page's host."""
        assert admin(host=host).status in (400, 403, 421)

    @pytest.mark.parametrize("method,target", [
        ("GET", "/v1/status"), ("GET", "/v1/config"), ("GET", "/v1/connections"), ("GET", "/v1/events"),
        ("POST", "/v1/reload"), ("POST", "/v1/drain"), ("POST", "/v1/plan"), ("DELETE", "/v1/connections/1"),
        ("POST", "/metrics"), ("POST", "/healthz"), ("GET", "/healthz/../v1/status"), ("GET", "/%76%31/status")])
    def test_nothing_else(self, admin, method, target):
        assert admin(method, target, host="127.0.0.1").status in (403, 404, 405)
        assert admin.sluice.status()["state"] == "running"

    def test_off_by_default(self, sluice):
        import pathlib
        inodes = {link.split("[")[1].rstrip("]") for link in
                  (os.readlink(fd) for fd in pathlib.Path(f"/proc/{sluice.pid}/fd").iterdir()) if "socket:" in link}
        lines = pathlib.Path(f"/proc/{sluice.pid}/net/tcp").read_text().splitlines()[1:]
        listening = [line for line in lines if line.split()[3] == "0A" and line.split()[9] in inodes]
        assert len(listening) == 1, "one listener, nothing else"


@pytest.mark.parametrize("query", ["?name=web", "?listener=", "?listner=web"])
def test_a_misspelt_drain_drains_nothing(web, query):
    answer = web.admin.ask("POST", "/v1/drain" + query)
    assert answer.status == 400 and json_of(answer)["error"]
    assert web.status()["state"] == "running" and web.listener()["state"] == "listening"


def test_a_deleted_socket_comes_back_with_a_reload(start):
    sluice = start()
    sluice.socket_path.unlink()
    sluice.write_config(configs.config(configs.listener(keep_alive_timeout="7s")))
    wait_until(sluice.socket_path.exists)
    wait_until(lambda: stat.S_IMODE(sluice.socket_path.stat().st_mode) == 0o660)
    wait_until(lambda: sluice.status()["revision"] == 2)
