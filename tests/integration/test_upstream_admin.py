"""Upstreams in the admin API, in sluicectl, in the events and in the metrics."""

import json
import re
import resource
import time

import pytest

from support import configs
from support.proxying import ask
from support.upstreams import answering, closing, hello, hold
from support.waiting import wait_until


@pytest.fixture
def pair(serve, start):
    """Two servers, and a daemon in front of them."""
    one, two = serve(), serve()
    return one, two, start(configs.proxying(one, f"{two.endpoint} weight=3", balance="round_robin"))


def json_of(response):
    assert response.get("content-type", "").startswith("application/json")
    return json.loads(response.body)


class TestApi:
    def test_everything_is_there(self, pair):
        one, two, sluice = pair
        for _ in range(8):
            assert ask(sluice).status == 200
        entry = sluice.get("/v1/upstreams/api")
        assert (entry["name"], entry["protocol"], entry["balance"], entry["health"]) == \
            ("api", "http", "round_robin", "healthy")
        assert entry["available"] == {"endpoints": 2, "of": 2}
        assert (entry["requests"], entry["attempts"], entry["failed"], entry["retries"], entry["replays"]) == \
            (8, 8, 0, 0, 0)
        assert entry["failures"] == {} and entry["panics"] == 0 and entry["active"] == 0
        assert set(entry["latency_ms"]) == {"wait", "connect", "first_byte", "total"}
        for quantiles in entry["latency_ms"].values():
            assert set(quantiles) == {"p50", "p90", "p99", "p99_9"}
        assert 0 < entry["latency_ms"]["first_byte"]["p50"] <= entry["latency_ms"]["total"]["p99"]
        assert 0 < entry["latency_ms"]["connect"]["p50"]
        first, second = entry["endpoints"]
        assert (first["address"], first["state"], first["health"], first["weight"]) == \
            (one.endpoint, "serving", "healthy", 1)
        assert (second["address"], second["weight"]) == (two.endpoint, 3)
        assert abs(first["share"] - 0.25) < 0.01 and abs(second["share"] - 0.75) < 0.01
        assert (first["requests"], second["requests"]) == (2, 6)
        assert re.match(r"20\d\d-\d\d-\d\dT", first["since"]) and first["since_ms"] >= 0
        assert first["pool"]["max_connections"] == 100 and first["pool"]["min_connections"] == 0
        assert first["connects"]["failed"] == 0 and first["connects"]["begun"] >= 1
        for endpoint in (first, second):
            pool = endpoint["pool"]
            assert pool["open"] == pool["busy"] + pool["idle"] + pool["connecting"] and pool["idle"] >= 1
        assert entry["pool"]["open"] == first["pool"]["open"] + second["pool"]["open"]

    def test_lists(self, pair):
        sluice = pair[2]
        listed = sluice.get("/v1/upstreams")["upstreams"]
        assert [entry["name"] for entry in listed] == ["api"]
        assert [entry["name"] for entry in sluice.status()["upstreams"]] == ["api"]

    def test_without_upstreams(self, start):
        sluice = start()
        assert sluice.get("/v1/upstreams") == {"upstreams": []}
        assert sluice.ctl("upstreams", check=True).stdout

    @pytest.mark.parametrize("method, target, status", [
        ("GET", "/v1/upstreams/nobody", 404), ("GET", "/v1/upstreams/api/nothing", 404),
        ("POST", "/v1/upstreams/api", 405), ("GET", "/v1/upstreams/api/drain", 405),
        ("POST", "/v1/upstreams/api/drain", 400), ("POST", "/v1/upstreams/api/drain?address=1.2.3.4:5", 404),
        ("POST", "/v1/upstreams/nobody/drain?address=x", 404), ("DELETE", "/v1/upstreams/api", 405),
    ])
    def test_wrong_calls(self, pair, method, target, status):
        response = pair[2].admin.ask(method, target)
        assert response.status == status and json_of(response)["error"]

    def test_what_is_busy_now(self, serve, start):
        server = serve(hold)
        sluice = start(configs.proxying(server, pool={"max_connections": 2, "pending_timeout": "30s"}))
        clients = [sluice.connect() for _ in range(5)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: sluice.upstream()["waiting"] == 3)
        server.wait_requests(2)
        entry = sluice.upstream()
        assert (entry["open"], entry["busy"], entry["idle"], entry["active"]) == (2, 2, 0, 2)
        assert sluice.endpoint()["waiting"] == 3
        server.release()
        for client in clients:
            assert client.response().status == 200
        wait_until(lambda: sluice.upstream()["busy"] == 0)
        entry = sluice.upstream()
        assert entry["waited"] >= 3 and entry["latency_ms"]["wait"]["p50"] > 0
        assert entry["requests"] == 5 and entry["waiting"] == 0

    def test_streams(self, serve, start):
        server = serve(hold, protocol="http2")
        sluice = start(configs.proxying(server))
        clients = [sluice.connect() for _ in range(5)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_requests(5)
        entry = sluice.endpoint()
        assert (entry["active"], entry["busy"]) == (5, 1) and entry["open"] <= 2  # one more ahead of demand
        server.release()
        for client in clients:
            assert client.response().status == 200

    def test_failures(self, serve, start):
        server = serve(closing)
        sluice = start(configs.proxying(server, route={"retry": {"count": 1}},
                                        passive_health={"consecutive_errors": 0}))
        for _ in range(3):
            assert ask(sluice).status == 502
        entry = sluice.upstream()
        assert (entry["requests"], entry["failed"], entry["retries"]) == (3, 3, 3)
        assert entry["failures"] == {"closed": 3}
        attempts = 6 + entry["replays"]
        assert sum(sluice.endpoint()["failures"].values()) <= sluice.endpoint()["requests"] == attempts

    def test_the_listeners_own_figures(self, pair):
        """A proxied request is a request of its listener."""
        sluice = pair[2]
        with sluice.connect() as client:
            for _ in range(5):
                client.ask()
        assert sluice.pool()["requests"] == 5 and sluice.pool()["latency_ms"]["p50"] > 0


class TestDrain:
    def test_no_new_requests(self, pair):
        one, two, sluice = pair
        one.handler = hold
        clients = []
        while not one.requests:
            clients.append(sluice.connect())
            clients[-1].send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: len(one.requests) + len(two.requests) == len(clients))
        sluice.ctl("upstream", "api", "drain", one.endpoint, check=True)
        entry = sluice.endpoint(one)
        assert entry["state"] == "draining" and entry["share"] == 0 and entry["busy"] == 1
        for _ in range(8):
            assert ask(sluice).status == 200
        assert len(one.requests) == 1
        one.release()
        assert [client.response().status for client in clients] == [200] * len(clients)
        one.wait_open(0)
        one.handler = hello
        sluice.ctl("upstream", "api", "undrain", one.endpoint, check=True)
        assert sluice.endpoint(one)["state"] == "serving"
        for _ in range(8):
            assert ask(sluice).status == 200
        assert len(one.requests) > 1

    def test_nothing_is_kept_warm(self, serve, start):
        server, other = serve(), serve()
        sluice = start(configs.proxying(server, other, pool={"min_connections": 3}))
        wait_until(lambda: server.open == other.open == 3)
        sluice.ctl("upstream", "api", "drain", server.endpoint, check=True)
        server.wait_open(0)
        sluice.ctl("upstream", "api", "undrain", server.endpoint, check=True)
        server.wait_open(3)
        assert other.opened == 3

    def test_wrong_addresses(self, pair):
        done = pair[2].ctl("upstream", "api", "drain", "192.0.2.1:1")
        assert done.returncode == 1 and "192.0.2.1:1" in done.stderr
        assert pair[2].ctl("upstream", "nobody", "drain", "x").returncode == 1
        assert pair[2].ctl("upstream", "nobody").returncode == 1
        assert pair[2].ctl("upstream", "api", "drain").returncode != 0

    def test_a_drain_under_load(self, pair):
        from support.load import Askers

        one, two, sluice = pair
        with Askers(lambda: sluice.connect(), count=3) as askers:
            for _ in range(5):
                for verb in ("drain", "undrain"):
                    sluice.ctl("upstream", "api", verb, one.endpoint, check=True)
                    time.sleep(0.05)
            total = askers.stop()
        assert not total.lost and not total.undecided and total.answered > 10


class TestCtl:
    def test_upstreams(self, pair):
        sluice = pair[2]
        ask(sluice)
        lines = sluice.ctl("upstreams", check=True).stdout.splitlines()
        assert lines[0].startswith("UPSTREAM") and lines[1].split()[:3] == ["api", "http", "round_robin"]

    def test_one(self, pair):
        one, two, sluice = pair
        ask(sluice)
        shown = sluice.ctl("upstream", "api", check=True).stdout
        for word in ("api", one.endpoint, two.endpoint, "healthy", "serving", "round_robin"):
            assert word in shown, shown

    def test_decisions(self, serve, start):
        server = serve()
        sluice = start(configs.proxying(server, pool={"min_connections": 2}))
        wait_until(lambda: sluice.decisions())
        shown = sluice.ctl("upstream", "api", "decisions", check=True).stdout
        assert server.endpoint in shown and "minimum" in shown


class TestEvents:
    def test_health_and_endpoints(self, serve, start):
        one, two = serve(), serve()
        check = {"type": "tcp", "interval": "100ms", "timeout": "1s"}
        sluice = start(configs.proxying(one, health_check=check))
        sluice.apply(configs.proxying(one, two, health_check=check))
        sluice.ctl("upstream", "api", "drain", two.endpoint, check=True)
        sluice.ctl("upstream", "api", "undrain", two.endpoint, check=True)
        two.refuse()
        wait_until(lambda: sluice.endpoint(two)["health"] == "unhealthy")
        sluice.apply(configs.proxying(one, health_check=check))
        one.refuse()
        wait_until(lambda: sluice.upstream()["health"] == "panic")
        one.listen()
        wait_until(lambda: sluice.upstream()["health"] == "healthy")
        events = [event for event in sluice.events() if event.get("upstream") == "api"]
        kinds = [event["type"] for event in events]
        for kind in ("endpoint_added", "endpoint_drained", "endpoint_health", "endpoint_removed", "panic_began",
                     "panic_ended"):
            assert kind in kinds, kinds
        of_two = [event["detail"] for event in events if two.endpoint in event["detail"]]
        assert any("healthy -> unhealthy" in detail for detail in of_two), of_two
        assert sluice.log_line(two.endpoint, "unhealthy")


def samples(text, family):
    """Of a metric: labels and value."""
    rows = re.findall(rf"^{family}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)), float(value)) for labels, value in rows]


class TestMetrics:
    def test_families(self, pair):
        one, two, sluice = pair
        for _ in range(8):
            ask(sluice)
        one.handler = two.handler = closing
        assert ask(sluice, "POST", body=b"x").status == 502
        text = sluice.admin.ask("GET", "/metrics").body.decode()
        assert samples(text, "sluice_upstream_requests_total") == [({"upstream": "api"}, 9)]
        assert sum(value for _, value in samples(text, "sluice_upstream_endpoint_requests_total")) >= 9
        reasons = {labels["reason"]: value for labels, value in samples(text, "sluice_upstream_failures_total")}
        assert sum(reasons.values()) == 1 and set(reasons) <= {"closed", "unreplayable"}
        states = {(labels["endpoint"], labels["state"]): value
                  for labels, value in samples(text, "sluice_upstream_connections")}
        assert (one.endpoint, "idle") in states and (two.endpoint, "busy") in states
        assert {labels["endpoint"] for labels, _ in samples(text, "sluice_upstream_endpoint_health")} == \
            {one.endpoint, two.endpoint}
        counted = samples(text, "sluice_upstream_duration_seconds_count")
        assert counted and counted[0][1] >= 8

    def test_labels_are_bounded(self, pair):
        """What clients send makes no new series."""
        sluice = pair[2]
        ask(sluice)

        def series():
            text = sluice.admin.ask("GET", "/metrics").body.decode()
            return {line.rpartition(" ")[0] for line in text.splitlines()
                    if line.startswith("sluice_upstream") and "_bucket" not in line}

        before = series()
        for n in range(20):
            ask(sluice, path=f"/{n}?{n}", host=f"h{n}.example")
        assert series() == before


class TestAccessLog:
    def test_a_failure_is_logged(self, serve, start, tmp_path):
        path = tmp_path / "access.log"
        server = serve(closing)
        configuration = configs.proxying(server, route={"retry": {"count": 0}},
                                         top={"log": {"access": {"format": "json", "path": str(path)}}})
        sluice = start(configuration)
        assert ask(sluice).status == 502
        server.handler = answering(body=b"fine")
        assert ask(sluice).status == 200
        lines = wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == 2 and path.read_text())
        assert [json.loads(line)["status"] for line in lines.splitlines()] == [502, 200]


def test_warning_of_too_many_connections(serve, start):
    """The sum of all limits passes what the process may open."""
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))

    one, two = serve(), serve()
    sluice = start(configs.proxying(one, two, listener_keys={"max_connections": 100}, pool={"max_connections": 1000}),
                   preexec_fn=few_files)
    assert any("2000" in warning for warning in sluice.status()["warnings"]), sluice.status()["warnings"]
    sluice.apply(configs.proxying(one, two, listener_keys={"max_connections": 100}, pool={"max_connections": 100}))
    assert not sluice.status()["warnings"]
