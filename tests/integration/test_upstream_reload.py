"""Upstreams that change while they are used: no request is lost, and what did not change is not touched."""

import threading
import time

import pytest

from support import configs
from support.load import Askers, Wrk
from support.proxying import ask
from support.settings import PATIENCE, patient, scaled
from support.tls import server_tls
from support.upstreams import answering, hold
from support.waiting import wait_until

BOTH = pytest.mark.parametrize("back", ["http", "http2"])


def named(serve, word, **more):
    return serve(answering(body=word.encode()), **more)


class TestUpstreams:
    def two_routes(self, one, two, **keys):
        return configs.config(configs.listener(routes=[configs.proxy("one", "/one"), configs.proxy("two", "/two")]),
                              upstreams=[configs.upstream("one", one, **keys), configs.upstream("two", two, **keys)])

    def test_added_and_removed(self, serve, start):
        one, two = named(serve, "one"), named(serve, "two")
        only = configs.config(configs.listener(routes=[configs.proxy("one", "/one"), configs.HELLO]),
                              upstreams=[configs.upstream("one", one)])
        sluice = start(only)
        assert ask(sluice, path="/one").body == b"one" and ask(sluice, path="/two").body == b"hello\n"
        answer = sluice.apply(self.two_routes(one, two))
        assert any(key.startswith("upstreams.two") for key in sluice.changes(answer))
        assert ask(sluice, path="/two").body == b"two" and ask(sluice, path="/one").body == b"one"
        assert one.opened <= 2
        sluice.apply(only)
        assert ask(sluice, path="/two").body == b"hello\n"
        two.wait_open(0)
        assert [entry["name"] for entry in sluice.get("/v1/upstreams")["upstreams"]] == ["one"]
        assert ask(sluice, path="/one").body == b"one" and one.opened <= 2

    def test_a_removed_one_finishes_what_it_does(self, serve, start):
        server = serve(hold)
        sluice = start(configs.proxying(server))
        client = sluice.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_requests(1)
        sluice.apply(configs.config(configs.listener()))
        assert ask(sluice).body == b"hello\n" and server.open == 1
        server.release()
        assert client.response().status == 200
        server.wait_open(0)

    def test_requests_that_wait_in_a_removed_one_are_served(self, serve, start):
        server = serve(hold)
        sluice = start(configs.proxying(server, pool={"max_connections": 1, "pending_timeout": "30s"}))
        clients = [sluice.connect() for _ in range(3)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: sluice.upstream()["waiting"] == 2)
        sluice.apply(configs.config(configs.listener()))
        server.release()
        assert [client.response().status for client in clients] == [200] * 3
        server.wait_open(0)

    def test_renamed(self, serve, start):
        server = named(serve, "x")
        sluice = start(configs.proxying(server))
        assert ask(sluice).body == b"x"
        sluice.apply(configs.config(configs.listener(routes=[configs.proxy("new")]),
                                    upstreams=[configs.upstream("new", server)]))
        assert ask(sluice).body == b"x"
        assert [entry["name"] for entry in sluice.get("/v1/upstreams")["upstreams"]] == ["new"]

    def test_counters_stay(self, serve, start):
        server, other = named(serve, "x"), named(serve, "y")
        sluice = start(configs.proxying(server))
        for _ in range(7):
            ask(sluice)
        sluice.apply(configs.proxying(server, other, pool={"max_connections": 7}))
        assert sluice.upstream()["requests"] == 7
        assert sluice.endpoint(server)["requests"] == 7 and sluice.endpoint(other)["requests"] == 0

    @pytest.mark.parametrize("first, second", [("http", "http2"), ("http2", "http")])
    def test_another_protocol(self, serve, start, first, second):
        one, two = named(serve, "1", protocol=first), named(serve, "2", protocol=second)
        sluice = start(configs.proxying(one))
        assert ask(sluice).body == b"1"
        sluice.apply(configs.proxying(two))
        assert ask(sluice).body == b"2"
        one.wait_open(0)


class TestEndpoints:
    @BOTH
    def test_unchanged_ones_keep_their_connections(self, serve, start, back):
        kept, others = named(serve, "kept", protocol=back), [named(serve, "other", protocol=back) for _ in range(3)]
        pool = {"min_connections": 3}
        sluice = start(configs.proxying(kept, pool=pool))
        wait_until(lambda: kept.open == 3)
        for endpoints in ([kept, others[0]], [others[1], kept], [kept, *others], [kept]):
            sluice.apply(configs.proxying(*endpoints, pool=pool))
            wait_until(lambda: all(one.open == 3 for one in endpoints))
            wait_until(lambda: all(one.open == 0 for one in others if one not in endpoints))
        assert kept.opened == 3 and ask(sluice).body == b"kept"

    def test_all_settings_live(self, serve, start):
        """None of them costs a connection."""
        server = named(serve, "x")
        sluice = start(configs.proxying(server, pool={"min_connections": 2}))
        wait_until(lambda: server.open == 2)
        for keys in ({"balance": "round_robin"}, {"balance": "consistent_hash", "hash": "header:x-key"},
                     {"slow_start": "1s"}, {"dns_refresh": "7s"}, {"health_check": {"type": "tcp", "interval": "1h"}},
                     {"passive_health": {"consecutive_errors": 7}}):
            sluice.apply(configs.proxying(server, pool={"min_connections": 2}, **keys))
            assert ask(sluice).body == b"x"
        for key, value in (("max_connections", 7), ("max_pending", 7), ("pending_timeout", "7s"),
                           ("connect_timeout", "7s"), ("scale_up_threshold", 0.9), ("scale_down_threshold", 0.3),
                           ("scale_down_hold", "7s"), ("idle_timeout", "7s"), ("max_requests_per_connection", 7000),
                           ("max_lifetime", "2h")):
            answer = sluice.apply(configs.proxying(server, pool={"min_connections": 2, key: value}))
            changed = sluice.changes(answer)
            assert changed[f"upstreams.api.pool.{key}"]["class"] in ("live", "new_connections", "new connections")
            assert ask(sluice).body == b"x"
        assert len([one for one in server.connections if one.served or not one.ended]) == 2

    def test_a_weight(self, serve, start):
        one, two = named(serve, "1"), named(serve, "2")
        sluice = start(configs.proxying(one, two, balance="round_robin"))
        for weights in ((1, 3), (4, 1)):
            sluice.apply(configs.proxying(*(f"{server.endpoint} weight={weight}" for server, weight in
                                            zip((one, two), weights)), balance="round_robin"))
            one.forget(), two.forget()
            with sluice.connect() as client:
                for _ in range(4 * sum(weights)):
                    client.ask()
            assert (len(one.requests), len(two.requests)) == (4 * weights[0], 4 * weights[1])
        assert one.opened <= 2 and two.opened <= 2

    def test_fewer_connections_are_allowed(self, serve, start):
        """Those that are too many end as soon as they are free."""
        server = serve(hold)
        sluice = start(configs.proxying(server, pool={"max_connections": 8, "pending_timeout": "30s"}))
        clients = [sluice.connect() for _ in range(8)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_requests(8)
        sluice.apply(configs.proxying(server, pool={"max_connections": 2, "pending_timeout": "30s"}))
        late = sluice.connect()
        late.send(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: sluice.upstream()["waiting"] == 1)
        server.release()
        assert [client.response().status for client in [*clients, late]] == [200] * 9
        wait_until(lambda: server.open <= 2)

    def test_drained_ones_stay_drained(self, serve, start):
        one, two = named(serve, "1"), named(serve, "2")
        sluice = start(configs.proxying(one, two))
        sluice.ctl("upstream", "api", "drain", one.endpoint, check=True)
        sluice.apply(configs.proxying(one, two, pool={"max_connections": 7}))
        assert sluice.endpoint(one)["state"] == "draining"
        assert {ask(sluice).body for _ in range(10)} == {b"2"}


class TestRoutes:
    def test_changed_rules_keep_the_pool(self, serve, start):
        server = serve()
        sluice = start(configs.proxying(server))
        assert ask(sluice).status == 200
        for n in range(5):
            sluice.apply(configs.proxying(server, route={"set_request_headers": {"x-n": str(n)}}))
            assert ask(sluice).status == 200 and server.last.get("x-n") == str(n)
        assert server.opened <= 2

    def test_what_was_begun_ends_under_its_rules(self, serve, start):
        server = serve(hold)
        sluice = start(configs.proxying(server, route={"set_response_headers": {"x-rules": "old"}}))
        client = sluice.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_requests(1)
        sluice.apply(configs.proxying(server, route={"set_response_headers": {"x-rules": "new"}}))
        server.release()
        assert client.response().get("x-rules") == "old"
        assert ask(sluice).get("x-rules") == "new"


class TestTlsFiles:
    def test_a_replaced_ca_is_taken(self, serve, start, certificates, tmp_path):
        """The content counts, not the name; what is broken is refused with its place."""
        server = named(serve, "x", tls=server_tls(certificates.server()))
        ca = tmp_path / "ca.pem"
        ca.write_text(certificates.authority("Another").certificate.read_text())
        configuration = configs.proxying(server, tls={"ca": str(ca), "server_name": "localhost"})
        sluice = start(configuration)
        assert ask(sluice).status == 502
        fresh = tmp_path / "ca.new"
        fresh.write_text(certificates.authority().certificate.read_text())
        fresh.rename(ca)
        wait_until(lambda: ask(sluice).status == 200)
        ca.write_text("no certificate at all\n")
        error = wait_until(lambda: sluice.status()["last_reload"]["error"])
        assert str(ca) in error and ":" in error
        assert ask(sluice).status == 200


def test_plan_shows_upstreams(serve, start, tmp_path):
    one, two = serve(), serve()
    sluice = start(configs.proxying(one))
    file = tmp_path / "planned.yaml"
    file.write_text(sluice.text_for(configs.proxying(one, two, pool={"max_connections": 5}, balance="round_robin")))
    shown = sluice.ctl("plan", file, check=True).stdout
    for word in ("upstreams.api.pool.max_connections", "upstreams.api.endpoints", "upstreams.api.balance",
                 two.endpoint):
        assert word in shown, shown
    assert two.opened == 0 and sluice.upstream()["balance"] == "least_requests"


# Under load

@pytest.mark.slow
@BOTH
def test_shown_by_7_reloads_under_load(serve, start, back):
    """Endpoints come and go, again and again: no request fails, and who stays is not touched."""
    stays = named(serve, "stays", protocol=back)
    others = [named(serve, "other", protocol=back) for _ in range(4)]
    pool = {"min_connections": 2, "max_connections": 50, "idle_timeout": "1h"}
    endless = {"max_requests_per_connection": 0}
    sluice = start(configs.proxying(stays, listener_keys=endless, pool=pool))
    wait_until(lambda: stays.open == 2)
    rounds, pause = scaled((12, 0.1), (100, 0.5))
    with Askers(lambda: sluice.connect(), count=4) as askers, Crowd(sluice, 2) as crowd:
        wait_until(lambda: stays.open >= 2 and len(stays.requests) > 50 / PATIENCE)
        for n in range(rounds):
            chosen = [other for bit, other in enumerate(others) if n >> bit & 1]
            sluice.apply(configs.proxying(stays, *chosen, listener_keys=endless, pool=pool))
            time.sleep(pause)
        sluice.apply(configs.proxying(stays, listener_keys=endless, pool=pool))
        for other in others:
            wait_until(lambda: other.open == 0, 10)
        total = askers.stop()
        assert crowd.stop() == {200}
    assert not total.lost and not total.undecided, total.lost[:5]
    assert not sluice.upstream()["failed"], sluice.upstream()["failures"]
    assert all(other.requests for other in others)
    # All that was ever opened to it is still open, but for what a smaller load needs no more.
    assert not [one for one in stays.connections if one.ended and one.ended - one.since < patient(0.5) and one.served]
    print(f"{rounds} reloads, {total.answered} GETs, {stays.opened} connections to the one that stayed")


class Crowd(Askers):
    """POSTs, which may not be sent twice, and whose every status is kept."""

    def __init__(self, sluice, count):
        self.statuses = set()
        super().__init__(lambda: sluice.connect(), count)

    def _run(self, tally):
        with self.connect() as client:
            while not self.ending.is_set():
                self.statuses.add(client.ask("POST", body=b"x" * 1000).status)

    def stop(self):
        super().stop()
        return self.statuses


@pytest.mark.slow
def test_upstreams_come_and_go_under_load(serve, start, needs):
    needs("wrk")
    server = named(serve, "x")

    def with_names(*names):
        routes = [configs.proxy(name, f"/{name}") for name in names] + [configs.HELLO]
        return configs.config(configs.listener(routes=routes, max_requests_per_connection=0),
                              upstreams=[configs.upstream(name, server) for name in names])

    sluice = start(with_names("a"))
    with Wrk(sluice.url() + "/a", connections=8, seconds=scaled(2, 30)) as wrk:
        while wrk.running:
            for names in (("a", "b"), ("a", "b", "c"), ("a",)):
                sluice.apply(with_names(*names))
                time.sleep(0.05)
        outcome = wrk.result()
    assert outcome["requests"] > 100 / PATIENCE
    assert (outcome["bad"], outcome["read"], outcome["write"], outcome["timeout"]) == (0,) * 4, outcome["output"]


def test_a_daemon_that_ends_says_goodbye(serve, start):
    """SIGTERM: running requests are finished, then connections are closed, HTTP/2 with a GOAWAY."""
    one, two = serve(hold), serve(protocol="http2")
    sluice = start(configs.config(configs.listener(routes=[configs.proxy("one", "/one"), configs.proxy("two", "/two")]),
                                  upstreams=[configs.upstream("one", one), configs.upstream("two", two)]))
    assert ask(sluice, path="/two").status == 200
    client = sluice.connect()
    client.send(b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
    one.wait_requests(1)
    sluice.signal(15)
    releasing = threading.Timer(0.3, one.release)
    releasing.start()
    assert client.response().status == 200
    assert sluice.wait_exit() == 0
    wait_until(lambda: one.open == two.open == 0)
    assert two.connections[0].goaways == [0]
