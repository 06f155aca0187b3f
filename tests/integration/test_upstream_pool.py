"""Pools of connections to upstreams: exact, warm, reused, and of the size that the load asks for."""

import threading
import time

import pytest

from support import configs
from support.backends import Nginx
from support.load import Askers, Wrk
from support.proxying import ask
from support.settings import PATIENCE, patient, scaled
from support.sockets import Watch
from support.tls import server_tls
from support.upstreams import hello, hold
from support.waiting import wait_until

BOTH = pytest.mark.parametrize("back", ["http", "http2"])
KINDS = pytest.mark.parametrize("kind", ["http", "http2", "tls", "http2_tls"])


@pytest.fixture
def make(serve, certificates):
    """make(kind, ...): a server of the kind, and what the upstream must say of it."""
    def make_one(kind="http", handler=hello, **more):
        protocol = "http2" if "http2" in kind else "http"
        if "tls" not in kind:
            return serve(handler, protocol=protocol, **more), {}
        alpn = ["h2"] if protocol == "http2" else ["http/1.1"]
        server = serve(handler, protocol=protocol, tls=server_tls(certificates.server(), alpn=alpn), **more)
        return server, {"tls": {"ca": str(certificates.authority().certificate), "server_name": "localhost"}}

    return make_one


def counts(sluice, which=None):
    entry = sluice.endpoint(which)
    return {key: entry[key] for key in ("open", "busy", "idle", "connecting")}


def load(sluice, count, seconds, pause=0.0):
    """Requests for a while; nothing may fail."""
    with Askers(lambda: sluice.connect(), count=count, pause=pause) as askers:
        time.sleep(seconds)
        total = askers.stop()
    assert not total.lost and not total.undecided, total.lost[:5]
    return total


def several_at_once(sluice, server, count):
    """Requests that are all held at the server, then let go."""
    server.handler = hold
    clients = [sluice.connect() for _ in range(count)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.wait_requests(count)
    server.release()
    for client in clients:
        assert client.response().status == 200
    server.handler = hello


# The limit

class TestLimit:
    def test_shown_by_4_max_connections_is_exact(self, start, serve):
        """Far more clients than connections, which end all the time."""
        server = serve()
        sluice = start(configs.proxying(server, pool={
            "max_connections": 8, "max_requests_per_connection": 20, "max_pending": 10_000, "pending_timeout": "30s"}))
        with Watch(server) as watch:
            total = load(sluice, 32, scaled(2, 20))
        assert watch.looks > 50 / PATIENCE
        assert watch.most <= 8, f"{watch.most} at once in {watch.looks} looks"
        assert total.answered > 100 / PATIENCE
        print(f"{total.answered} requests, {server.opened} connections, at most {watch.most}, {watch.looks} looks")

    @pytest.mark.slow
    def test_shown_by_4_exact_and_reused(self, start, needs, tmp_path):
        needs("nginx", "wrk")
        with Nginx(tmp_path, http="keepalive_requests 1000;") as server:
            sluice = start(configs.proxying(server, pool={
                "max_connections": 20, "max_pending": 10_000, "pending_timeout": "30s"}))
            with Watch(server) as watch, Wrk(sluice.url() + "/hello", connections=100,
                                                     seconds=scaled(2, 20)) as wrk:
                outcome = wrk.result()
            stats = sluice.endpoint()
        assert outcome["bad"] == outcome["read"] == 0, outcome["output"]
        assert watch.most <= 20 and watch.looks > 50
        assert stats["reuse_rate"] >= 0.99, stats
        print(f"{outcome['requests']} requests, at most {watch.most} of 20, reuse {stats['reuse_rate']:.4f}")

    def test_with_streams(self, start, serve):
        """So many connections times so many streams, and not one more."""
        server = serve(hold, protocol="http2")
        sluice = start(configs.proxying(server, pool={
            "max_connections": 2, "max_concurrent_streams": 5, "pending_timeout": "30s"}))
        clients = [sluice.connect() for _ in range(13)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: sluice.upstream()["waiting"] == 3)
        server.wait_requests(10)
        assert len(server.requests) == 10 and server.opened == 2
        assert all(connection.most_streams <= 5 for connection in server.connections)
        server.release()
        assert [client.response().status for client in clients] == [200] * 13

    def test_the_peers_limit_of_streams(self, start, serve):
        server = serve(hold, protocol="http2", max_streams=3)
        sluice = start(configs.proxying(server, pool={"max_connections": 3, "pending_timeout": "30s"}))
        clients = [sluice.connect() for _ in range(9)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_requests(9)
        assert server.opened == 3
        server.release()
        assert [client.response().status for client in clients] == [200] * 9

    def test_streams_share_a_connection(self, start, serve):
        server = serve(protocol="http2")
        sluice = start(configs.proxying(server, pool={"max_connections": 1}))
        several_at_once(sluice, server, 20)
        assert server.opened == 1 and server.connections[0].most_streams == 20


# Reuse

class TestReuse:
    @KINDS
    def test_one_connection_for_one_after_another(self, start, make, kind):
        server, keys = make(kind)
        sluice = start(configs.proxying(server, **keys))
        with sluice.connect() as client:
            for _ in range(200):
                assert client.ask().status == 200
        assert server.opened <= 2  # the second one ahead of demand
        stats = sluice.endpoint()
        assert stats["requests"] == 200 and stats["reuse_rate"] >= 198 / 200

    def test_posts_too(self, start, serve):
        server = serve()
        sluice = start(configs.proxying(server))
        with sluice.connect() as client:
            for _ in range(50):
                assert client.ask("POST", body=b"x").status == 200
        assert server.opened <= 2

    def test_the_last_used_first(self, start, serve):
        """So that the others can end when they are not needed."""
        server = serve()
        sluice = start(configs.proxying(server, pool={"idle_timeout": "1h"}))
        several_at_once(sluice, server, 5)
        wait_until(lambda: counts(sluice)["idle"] >= 5)
        server.forget()
        for _ in range(20):
            assert ask(sluice).status == 200
        assert len({one.connection for one in server.requests}) == 1

    def test_a_front_that_comes_and_goes(self, start, serve):
        """Clients without keep-alive do not cost connections behind."""
        server = serve()
        sluice = start(configs.proxying(server))
        for _ in range(50):
            assert ask(sluice, headers={"Connection": "close"}).status == 200
        assert server.opened <= 2

    def test_what_an_upstream_closes_is_not_kept(self, start, serve):
        server = serve(lambda exchange: exchange.answer(headers=[("connection", "close")], body=b"x"))
        sluice = start(configs.proxying(server))
        for _ in range(5):
            assert ask(sluice).status == 200
        assert len(server.used) == 5
        wait_until(lambda: all(server.connections[number - 1].ended for number in server.used))


# Warmth

def warm_within_a_second(server, sluice, count):
    """Connected, TLS done, SETTINGS acknowledged, and no client anywhere."""
    began = time.monotonic()
    wait_until(lambda: server.open >= count and counts(sluice)["idle"] == count, 3)
    took = time.monotonic() - began
    assert took < patient(1), f"{took:.2f} s"
    server.wait_open(count)  # a check may have one of its own for a moment


class TestWarmth:
    @KINDS
    def test_from_the_start(self, start, make, kind):
        server, keys = make(kind)
        sluice = start(configs.proxying(server, pool={"min_connections": 5}, **keys))
        warm_within_a_second(server, sluice, 5)
        assert not server.requests
        assert ask(sluice).status == 200 and server.opened == 5

    @KINDS
    def test_after_they_were_lost(self, start, make, kind):
        server, keys = make(kind)
        sluice = start(configs.proxying(server, pool={"min_connections": 3}, **keys))
        warm_within_a_second(server, sluice, 3)
        server.drop()
        wait_until(lambda: server.opened == 6, 3)
        warm_within_a_second(server, sluice, 3)

    @BOTH
    def test_after_the_endpoint_came_back(self, start, serve, back):
        server = serve(protocol=back)
        sluice = start(configs.proxying(server, pool={"min_connections": 3}, slow_start="0s",
                                        health_check={"type": "tcp", "interval": "100ms", "timeout": "1s"}))
        warm_within_a_second(server, sluice, 3)
        server.refuse()
        server.drop()
        wait_until(lambda: sluice.endpoint()["health"] == "unhealthy")
        assert counts(sluice)["idle"] == 0
        server.listen()
        wait_until(lambda: sluice.endpoint()["health"] == "healthy")
        began = time.monotonic()
        wait_until(lambda: counts(sluice)["idle"] >= 3)
        assert time.monotonic() - began < patient(1)

    @BOTH
    def test_after_a_reload(self, start, serve, back):
        server, second = serve(protocol=back), serve(protocol=back)
        sluice = start(configs.proxying(server, pool={"min_connections": 1}))
        warm_within_a_second(server, sluice, 1)
        sluice.apply(configs.proxying(server, pool={"min_connections": 4}))
        warm_within_a_second(server, sluice, 4)
        sluice.apply(configs.proxying(server, second, pool={"min_connections": 4}))
        wait_until(lambda: second.open == 4, 3)
        assert server.opened == 4
        sluice.apply(configs.proxying(server, second, pool={"min_connections": 4, "max_connections": 6}))
        assert server.opened == second.opened == 4

    def test_a_server_that_is_not_there_is_not_stormed(self, start, serve):
        """Failed connects wait longer each time."""
        server = serve(address=("127.0.0.1", configs.free_port()))
        server.refuse()
        sluice = start(configs.proxying(server, pool={"min_connections": 5}, passive_health={"consecutive_errors": 0}))
        time.sleep(1)
        stats = sluice.endpoint()
        assert 1 <= stats["connects"]["failed"] <= 40, stats
        assert stats["open"] == 0
        server.listen()
        wait_until(lambda: server.open == 5, 15)


# The end of connections

class TestEnd:
    @BOTH
    def test_idle_timeout(self, start, serve, back):
        """Those above the minimum end, those of the minimum stay."""
        server = serve(protocol=back)
        one = {"max_concurrent_streams": 1} if back == "http2" else {}
        sluice = start(configs.proxying(server, pool={"min_connections": 2, "idle_timeout": "500ms", **one}))
        wait_until(lambda: server.open == 2)
        several_at_once(sluice, server, 6)
        assert server.most_open >= 6
        server.wait_open(2)
        ending = time.monotonic() + 0.8
        while time.monotonic() < ending:
            assert server.open == 2
            time.sleep(0.05)
        assert sluice.endpoint()["connects"]["failed"] == 0

    @BOTH
    def test_max_requests(self, start, serve, back):
        server = serve(protocol=back)
        sluice = start(configs.proxying(server, pool={"max_requests_per_connection": 10}))
        with sluice.connect() as client:
            for _ in range(100):
                assert client.ask().status == 200
        served = [connection.served for connection in server.connections if connection.served]
        assert max(served) <= 11 and sum(served) == 100 and 9 <= len(served) <= 14, served
        wait_until(lambda: all(one.ended for one in server.connections if one.served >= 11))

    @BOTH
    def test_max_lifetime(self, start, serve, back):
        server = serve(protocol=back)
        sluice = start(configs.proxying(server, pool={"max_lifetime": "1s"}))
        with Askers(lambda: sluice.connect(), count=2, pause=0.005) as askers:
            wait_until(lambda: server.opened >= 5, 10)
            total = askers.stop()
        assert not total.lost and not total.undecided, total.lost[:5]
        ages = [(one.ended or time.monotonic()) - one.since for one in server.connections]
        assert max(ages) < 1.2 + patient(0.5), ages

    def test_max_lifetime_lets_what_runs_finish(self, start, serve):
        server = serve(hold)
        sluice = start(configs.proxying(server, pool={"max_lifetime": "1s"}))
        client = sluice.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_requests(1)
        wait_until(lambda: time.monotonic() - server.connections[0].since > 1.3)
        server.release()
        assert client.response().status == 200
        server.wait_open(0)

    def test_a_spread(self, start, serve):
        """Connections that were made together do not end together."""
        rounds = [self.ends_of_some(serve(), start) for _ in range(2)]
        # Where all are late together, they cannot be told apart.
        assert any(ends[-1] - ends[0] > 0.05 for ends in rounds), rounds

    @staticmethod
    def ends_of_some(server, start):
        begin = time.monotonic()  # the server may come late to see a connection: its own `since` is no lower bound
        start(configs.proxying(server, pool={"min_connections": 20, "max_lifetime": "1s"}))
        wait_until(lambda: server.opened >= 20)
        first = server.connections[:20]
        wait_until(lambda: len([one for one in first if one.ended]) == 20, 5)
        ends = sorted(one.ended - begin for one in first)
        assert 0.85 < ends[0], ends
        assert max(one.ended - one.since for one in first) < 1.15 + patient(0.5), ends
        return ends


# The size

def turns(steps):
    """How often a row of (from, to) changes its direction."""
    ways = [step["to"] > step["from"] for step in steps]
    return sum(one != other for one, other in zip(ways, ways[1:]))


class TestSize:
    POOL = {"min_connections": 2, "max_connections": 50, "scale_down_hold": "300ms", "idle_timeout": "1h"}

    def test_grows_ahead_and_shrinks_in_steps(self, start, serve):
        server = serve()
        sluice = start(configs.proxying(server, pool=self.POOL))
        wait_until(lambda: server.open == 2)
        several_at_once(sluice, server, 20)
        grown = [one for one in sluice.decisions() if one["rule"] in ("demand", "waiting")]
        assert grown and all(one["to"] > one["from"] for one in grown)
        assert grown[-1]["to"] >= 20 / 0.8 * 0.9
        wait_until(lambda: counts(sluice)["open"] == 2, 20)
        server.wait_open(2)
        quiet = [one for one in sluice.decisions() if one["rule"] == "quiet"]
        assert len(quiet) >= 3 and quiet[-1]["to"] == 2
        for one in quiet:
            assert one["to"] >= one["from"] - max(1, one["from"] // 4), one

    def test_never_below_nor_above(self, start, serve):
        server = serve()
        pool = {**self.POOL, "min_connections": 3, "max_connections": 10, "max_pending": 1000}
        sluice = start(configs.proxying(server, pool=pool))
        wait_until(lambda: server.open == 3)
        several_at_once_over(sluice, server, 40, 10)
        wait_until(lambda: counts(sluice)["open"] == 3, 20)
        assert all(3 <= one["to"] <= 10 for one in sluice.decisions())
        assert server.most_open <= 11  # the server learns of an end after us

    def test_decisions_are_told(self, start, serve):
        server = serve()
        sluice = start(configs.proxying(server, pool=self.POOL))
        wait_until(lambda: server.open == 2)
        first = sluice.decisions()[0]
        assert (first["rule"], first["to"], first["endpoint"]) == ("minimum", 2, server.endpoint)
        assert {"seq", "time", "open", "used", "waiting", "from"} <= set(first)
        several_at_once(sluice, server, 10)
        numbers = [one["seq"] for one in sluice.decisions()]
        assert numbers == sorted(set(numbers))
        shown = sluice.ctl("upstream", "api", "decisions", check=True).stdout
        assert "minimum" in shown and ("demand" in shown or "waiting" in shown) and server.endpoint in shown

    def test_shown_by_3_noise_does_not_make_it_flap(self, start, serve):
        """A load that varies by a fifth, for a minute in full size: at most two changes of direction."""
        server = serve(lambda exchange: (time.sleep(0.02), hello(exchange)))
        sluice = start(configs.proxying(server, pool={**self.POOL, "scale_down_hold": scaled("1s", "5s")}))
        ending, statuses = threading.Event(), set()

        def noise():
            base = [sluice.connect() for _ in range(12)]
            for step in [10, 12, 8, 11, 9, 12, 10, 8] * 1000:
                if ending.is_set():
                    return
                for client in base[:step]:
                    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                statuses.update(client.response().status for client in base[:step])

        thread = threading.Thread(target=noise)
        thread.start()
        time.sleep(scaled(3, 60))
        seen = sluice.decisions()
        ending.set()
        thread.join()
        assert statuses == {200}
        assert turns([one for one in seen if one["rule"] != "minimum"]) <= 2, seen

    @pytest.mark.bench
    def test_shown_by_3_a_step_of_load(self, start, serve, certificates):
        """From few requests to many, where a connect costs 50 ms: after a second hardly any waits for one. (Fewer come,
        and later, than are meant to while other tests run beside: the long run has the figure.)"""
        server = serve(handshake_delay=0.05, tls=server_tls(certificates.server()))
        sluice = start(configs.proxying(
            server, tls={"ca": str(certificates.authority().certificate), "server_name": "localhost"},
            pool={"min_connections": 2, "max_connections": 100, "scale_down_hold": scaled("300ms", "5s"),
                  "idle_timeout": "1h"}))
        wait_until(lambda: counts(sluice)["idle"] == 2, 3)
        calm, storm = scaled((25, 250), (50, 1000))
        pace(sluice, calm, scaled(0.5, 2))
        pace(sluice, storm, 1)
        before = sluice.upstream()
        pace(sluice, storm, scaled(1.5, 20))
        after = sluice.upstream()
        requests = after["requests"] - before["requests"]
        waited = after["waited"] - before["waited"]
        assert requests > storm and waited < requests * scaled(0.1, 0.01), (waited, requests)
        wait_until(lambda: counts(sluice)["open"] == 2, scaled(30, 120), what="size back at the minimum")


def several_at_once_over(sluice, server, count, limit):
    """As several_at_once, with more than the pool may have."""
    server.handler = hold
    clients = [sluice.connect() for _ in range(count)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.wait_requests(limit)
    wait_until(lambda: sluice.upstream()["waiting"] == count - limit)
    assert counts(sluice)["open"] == limit
    server.release()
    for client in clients:
        assert client.response().status == 200
    server.handler = hello


def pace(sluice, per_second, seconds, clients=10):
    """So many requests a second, evenly, from a few clients that keep their connections."""
    def run(number):
        with sluice.connect() as client:
            for n in range(number, int(per_second * seconds), clients):
                time.sleep(max(0, began + n / per_second - time.monotonic()))
                statuses.append(client.ask().status)

    statuses = []

    began = time.monotonic()
    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(seconds + 30))
    assert statuses == [200] * int(per_second * seconds)
