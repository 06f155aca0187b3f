"""Which endpoint gets a request, and which endpoints get any: balancing, weights, checks, ejection and the way back."""

import collections
import threading
import time

import pytest

from support import configs
from support.backends import Backend
from support.http import Closed
from support.load import Crew
from support.proxying import Link, ask
from support.settings import PATIENCE, patient, scaled
from support.upstreams import answering, closing, hello, hold
from support.waiting import wait_until

BOTH = pytest.mark.parametrize("back", ["http", "http2"])
ALL_MODES = pytest.mark.parametrize("balance", ["least_requests", "round_robin", "consistent_hash"])
SWIFT = {"interval": "100ms", "timeout": "5s", "rise": 2, "fall": 2}


def several(serve, count, handler=hello, **more):
    return [serve(handler, **more) for _ in range(count)]


def ask_many(sluice, count, headers_of=lambda n: {}, method="GET"):
    with sluice.connect() as client:
        return [client.ask(method, headers=headers_of(n)).status for n in range(count)]


def spread(servers):
    return [len(server.requests) for server in servers]


def health(sluice, server):
    return sluice.endpoint(server)["health"]


def wait_health(sluice, server, wanted, timeout=5.0):
    wait_until(lambda: health(sluice, server) == wanted, timeout, what=f"{server.endpoint} is {wanted}")


# Balancing

def test_round_robin(start, serve):
    servers = several(serve, 3)
    sluice = start(configs.proxying(*servers, balance="round_robin"))
    assert ask_many(sluice, 30) == [200] * 30
    assert spread(servers) == [10, 10, 10]


def test_round_robin_with_weights(start, serve):
    one, two = several(serve, 2)
    sluice = start(configs.proxying(f"{one.endpoint} weight=3", two, balance="round_robin"))
    ask_many(sluice, 40)
    assert spread([one, two]) == [30, 10]
    # Smooth: never more than three in a row.
    order = sorted([(request.when, 1) for request in one.requests] + [(request.when, 2) for request in two.requests])
    assert "1111" not in "".join(str(which) for _, which in order)


def test_least_requests_is_even_where_all_are_alike(start, serve):
    servers = several(serve, 3)
    sluice = start(configs.proxying(*servers, balance="least_requests"))
    ask_many(sluice, 300)
    assert min(spread(servers)) > 50, spread(servers)


def test_least_requests_avoids_the_busy(start, serve):
    """Of two endpoints one is stuck: whenever the other has fewer requests, it is chosen."""
    stuck, free = serve(hold), serve()
    sluice = start(configs.proxying(stuck, free, balance="least_requests"))
    clients = []
    while not stuck.requests:
        clients.append(sluice.connect())
        clients[-1].send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: len(stuck.requests) + len(free.requests) == len(clients))
    assert ask_many(sluice, 100) == [200] * 100
    assert len(stuck.requests) == 1 and len(free.requests) >= 100
    stuck.release()
    assert [client.response().status for client in clients] == [200] * len(clients)


def test_weights_with_least_requests(start, serve):
    one, two = several(serve, 2)
    sluice = start(configs.proxying(f"{one.endpoint} weight=9", two, balance="least_requests"))
    ask_many(sluice, 500)
    share = len(one.requests) / 500
    assert 0.8 < share < 0.98, share


class TestConsistentHash:
    KEYS = [f"user-{n}" for n in range(60)]

    def placed(self, sluice, servers, headers_of):
        """Which server each key goes to; always the same one."""
        for server in servers:
            server.forget()
        places = collections.defaultdict(set)
        with sluice.connect() as client:
            for key in self.KEYS * 3:
                assert client.ask(headers={**headers_of(key), "X-Key": key}).status == 200
        for number, server in enumerate(servers):
            for one in server.requests:
                if one.get("x-key"):  # else it is a check
                    places[one.get("x-key")].add(number)
        assert all(len(place) == 1 for place in places.values())
        return {key: place.copy().pop() for key, place in places.items()}

    @pytest.mark.parametrize("key, headers_of", [
        ("header:X-User", lambda key: {"X-User": key}),
        ("cookie:session", lambda key: {"Cookie": f"a=b; session={key}; c=d"}),
    ])
    def test_by_key(self, start, serve, key, headers_of):
        servers = several(serve, 4)
        sluice = start(configs.proxying(*servers, balance="consistent_hash", hash=key))
        before = self.placed(sluice, servers, headers_of)
        assert len(set(before.values())) == 4
        # One less: only its keys move.
        sluice.apply(configs.proxying(*servers[:3], balance="consistent_hash", hash=key))
        after = self.placed(sluice, servers, headers_of)
        assert all(after[key] == place for key, place in before.items() if place != 3)
        assert 3 not in after.values()
        # And back: all are where they were.
        sluice.apply(configs.proxying(*servers, balance="consistent_hash", hash=key))
        assert self.placed(sluice, servers, headers_of) == before

    def test_the_same_in_another_process(self, start, serve):
        servers = several(serve, 3)
        configuration = configs.proxying(*servers, balance="consistent_hash", hash="header:x-user")
        places = [self.placed(start(configuration), servers, lambda key: {"X-User": key}) for _ in range(2)]
        assert places[0] == places[1]

    def test_by_client(self, start, serve):
        servers = several(serve, 3)
        sluice = start(configs.proxying(*servers, balance="consistent_hash", hash="client"))
        used = set()
        for n in range(1, 21):
            before = spread(servers)
            with sluice.connect(source=f"127.0.3.{n}") as client:
                for _ in range(3):
                    assert client.ask().status == 200
            grown = [now - was for now, was in zip(spread(servers), before)]
            assert sorted(grown) == [0, 0, 3]
            used.add(grown.index(3))
        assert len(used) == 3

    def test_a_lost_one_s_keys_go_on(self, start, serve):
        servers = several(serve, 3)
        sluice = start(configs.proxying(*servers, balance="consistent_hash", hash="header:x-user", health_check=SWIFT))
        before = self.placed(sluice, servers, lambda key: {"X-User": key})
        servers[0].refuse()
        servers[0].drop()
        wait_health(sluice, servers[0], "unhealthy")
        after = self.placed(sluice, servers, lambda key: {"X-User": key})
        assert all(after[key] == place for key, place in before.items() if place != 0)
        assert {after[key] for key, place in before.items() if place == 0} <= {1, 2}

    def test_without_a_key(self, start, serve):
        """Who sends none is served, too."""
        servers = several(serve, 3)
        sluice = start(configs.proxying(*servers, balance="consistent_hash", hash="header:x-user"))
        assert ask_many(sluice, 10) == [200] * 10


# Active checks

class TestChecks:
    @BOTH
    def test_http(self, start, serve, back):
        servers = [serve(protocol=back) for _ in range(2)]
        check = {"type": "http", "path": "/healthz?x=1", "host": "check.example", **SWIFT}
        sluice = start(configs.proxying(*servers, health_check=check, slow_start="0s"))
        request = servers[0].wait_requests(1)
        assert (request.method, request.target, request.authority) == ("GET", "/healthz?x=1", "check.example")
        servers[0].handler = answering(500)
        wait_health(sluice, servers[0], "unhealthy")
        served = len([one for one in servers[0].requests if one.target == "/"])
        assert ask_many(sluice, 20) == [200] * 20
        assert len([one for one in servers[0].requests if one.target == "/"]) == served
        servers[0].handler = hello
        wait_health(sluice, servers[0], "healthy")
        wait_until(lambda: ask(sluice).status == 200 and any(one.target == "/" for one in servers[0].requests))
        entry = sluice.endpoint(servers[0])
        assert entry["checks"]["passed"] >= 2 and entry["checks"]["failed"] >= 2

    @pytest.mark.parametrize("status, healthy", [(200, True), (204, True), (302, True), (400, False), (503, False)])
    def test_which_status_is_good(self, start, serve, status, healthy):
        server = serve(answering(status))
        sluice = start(configs.proxying(server, health_check={**SWIFT, "rise": 1, "fall": 1}))
        wait_until(lambda: sluice.endpoint()["checks"]["passed" if healthy else "failed"] >= 3)
        assert health(sluice, server) == ("healthy" if healthy else "unhealthy")

    def test_the_expected_status_is_given(self, start, serve):
        server = serve(answering(418))
        sluice = start(configs.proxying(server, health_check={**SWIFT, "status": "418"}))
        wait_until(lambda: sluice.endpoint()["checks"]["passed"] >= 3)
        sluice.apply(configs.proxying(server, health_check={**SWIFT, "status": "200-299"}))
        wait_health(sluice, server, "unhealthy")

    @BOTH
    def test_no_answer_in_time(self, start, serve, back):
        server = serve(hold, protocol=back)
        sluice = start(configs.proxying(server, health_check={**SWIFT, "timeout": "100ms"}))
        wait_health(sluice, server, "unhealthy")

    def test_tcp(self, start, serve):
        server = serve()
        sluice = start(configs.proxying(server, health_check={"type": "tcp", **SWIFT}))
        wait_until(lambda: sluice.endpoint()["checks"]["passed"] >= 3)
        assert not server.requests
        server.refuse()
        wait_health(sluice, server, "unhealthy")
        server.listen()
        wait_health(sluice, server, "healthy")

    def test_rise_and_fall(self, start, serve):
        """So many in a row, and not fewer."""
        results = collections.deque([200, 500, 500, 200, 500, 500, 500, 200, 200, 500, 200, 200, 200])
        seen = []

        def scripted(exchange):
            seen.append(health(sluice, server) if ready.wait(10) else None)
            exchange.answer(results.popleft() if results else 200)

        ready = threading.Event()
        server = serve(scripted)
        sluice = start(configs.proxying(server, health_check={**SWIFT, "timeout": "5s", "rise": 3, "fall": 3}))
        ready.set()
        wait_until(lambda: not results and len(seen) >= 14, 20)
        # What was known when each check came: it falls with the third failure in a row, rises with the third success.
        assert seen[:14] == ["healthy"] * 7 + ["unhealthy"] * 6 + ["healthy"]

    def test_checks_count_against_the_limit(self, start, serve):
        server = serve(hold)
        sluice = start(configs.proxying(server, pool={"max_connections": 1, "pending_timeout": "30s"},
                                        health_check={**SWIFT, "timeout": "10s"}))
        server.wait_requests(1)
        clients = [sluice.connect() for _ in range(3)]
        for client in clients:
            client.send(b"GET /client HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: sluice.upstream()["waiting"] >= 2)
        assert server.open == 1
        server.release()
        assert [client.response().status for client in clients] == [200] * 3

    def test_they_are_spread_in_time(self, start, serve):
        server = serve()
        began = time.monotonic()
        sluice = start(configs.proxying(server, health_check={**SWIFT, "interval": "200ms"}))
        wait_until(lambda: sluice.endpoint()["checks"]["passed"] >= 8, 10)
        count = len(server.requests)
        assert time.monotonic() - began > (count - 1) * 0.15, count

    def test_switched_off(self, start, serve):
        """What checks had found counts no more without checks."""
        server = serve(answering(500))
        sluice = start(configs.proxying(server, health_check=SWIFT))
        wait_health(sluice, server, "unhealthy")
        sluice.apply(configs.proxying(server))
        assert health(sluice, server) == "healthy"
        count = len(server.requests)
        time.sleep(0.4)
        assert len(server.requests) <= count + 1


# Ejection

def ejected_after(sluice, bad):
    """Asks once more; when that was begun, if it was ejected by it."""
    began = time.monotonic()
    return ask(sluice).status == 200 and health(sluice, bad) == "ejected" and began


def rising(lengths):
    return len(lengths) == 3 and lengths[0] < lengths[1] - 0.2 < lengths[2] - 0.4


class TestEjection:
    RULES = {"consecutive_errors": 3, "ejection_time": "500ms", "max_ejection_time": "10s"}
    IN_TIME = patient(0.7)  # in which a good server answers, however busy the machine is

    @pytest.mark.parametrize("how", ["closing", "status", "refusing", "silent"])
    def test_errors_in_a_row(self, start, serve, how):
        good, bad = serve(), serve()
        bad.handler = {"closing": closing, "status": answering(503), "silent": hold}.get(how, hello)
        # Longer than the few requests take, each of which finds it ejected.
        rules = {**self.RULES, "ejection_time": f"{1500 * self.IN_TIME:.0f}ms"}
        sluice = start(configs.proxying(good, bad, balance="round_robin", passive_health=rules, slow_start="0s",
                                        route={"first_byte_timeout": f"{1000 * self.IN_TIME:.0f}ms",
                                               "retry": {"count": 0}}))
        if how == "refusing":
            bad.refuse()
        if how == "closing":  # what may be repeated goes elsewhere, but it counts
            wait_until(lambda: ask(sluice).status in (200, 502) and health(sluice, bad) == "ejected")
            return
        statuses = ask_many(sluice, 6)
        if how == "refusing":  # it is not even tried again so soon
            assert statuses.count(200) >= 3 and set(statuses) == {200, 502}
            assert sluice.endpoint(bad)["backoff"]["failures"] >= 1
            bad.listen()
            wait_until(lambda: ask(sluice).status == 200 and bad.requests)
            return
        assert sorted(statuses)[:3] == [200] * 3 and min(sorted(statuses)[3:]) >= 502, statuses
        assert health(sluice, bad) == "ejected" and health(sluice, good) == "healthy"
        assert ask_many(sluice, 10) == [200] * 10
        wait_health(sluice, bad, "healthy")

    def test_for_longer_each_time(self, start, serve):
        good, bad = serve(), serve(closing)
        sluice = start(configs.proxying(good, bad, balance="round_robin", passive_health=self.RULES, slow_start="0s"))
        lengths = []
        # It is forgiven in time, so where a request comes late, the next one may not be for longer.
        while not rising(lengths[-3:]):
            assert len(lengths) < 9, lengths
            began = wait_until(lambda: ejected_after(sluice, bad))
            wait_health(sluice, bad, "healthy")
            lengths.append(time.monotonic() - began)
            assert 0.4 < lengths[-1]
        assert sluice.endpoint(bad)["ejections"] >= 3

    def test_a_success_begins_anew(self, start, serve):
        bad = serve()
        results = [503, 503, 200] * 5
        bad.handler = lambda exchange: exchange.answer(results.pop(0))
        sluice = start(configs.proxying(bad, serve(), balance="round_robin", passive_health=self.RULES))
        ask_many(sluice, 30)
        assert not results and health(sluice, bad) == "healthy"

    def test_not_more_than_half(self, start, serve):
        """When all fail they are used anyway: an error of the upstream's is better than one of ours."""
        servers = several(serve, 4, closing)
        sluice = start(configs.proxying(*servers, passive_health={**self.RULES, "ejection_time": "60s"}))
        ask_many(sluice, 60)
        states = [health(sluice, server) for server in servers]
        assert states.count("ejected") == 2, states
        assert sluice.upstream()["failures"].get("no_endpoint", 0) == 0

    def test_a_clients_fault_is_not_the_endpoints(self, start, serve):
        server = serve(answering(400))
        sluice = start(configs.proxying(server, serve(), passive_health=self.RULES, balance="round_robin"))
        ask_many(sluice, 20)
        server.handler = lambda exchange: exchange.wait_gone()
        link = Link(sluice, "http-http", server)
        link.name = "web"
        for _ in range(10):
            before = sluice.upstream()["requests"]
            with link.open() as client:
                link.begin(client)
                wait_until(lambda: sluice.upstream()["active"] == 1 or sluice.upstream()["requests"] > before)
                link.cut(client, None, reset=True)
            wait_until(lambda: sluice.upstream()["active"] == 0)
        assert sluice.upstream()["failures"]["client_gone"] >= 3
        assert health(sluice, server) == "healthy"


class TestPanic:
    def test_all_checks_fail(self, start, serve):
        """Then all are used all the same, and it is logged."""
        servers = several(serve, 2)

        def sick(exchange):
            exchange.answer(500 if exchange.request.target == "/check" else 200)

        for server in servers:
            server.handler = sick
        check = {"type": "http", "path": "/check", **SWIFT}
        sluice = start(configs.proxying(*servers, health_check=check))
        for server in servers:
            wait_health(sluice, server, "unhealthy")
        wait_until(lambda: sluice.upstream()["health"] == "panic")
        assert ask_many(sluice, 20) == [200] * 20
        assert sluice.upstream()["panics"] >= 20
        assert all(any(one.target == "/" for one in server.requests) for server in servers)
        assert sluice.log_line("api", "all are used"), sluice.log
        for server in servers:
            server.handler = hello
        wait_until(lambda: sluice.upstream()["health"] == "healthy")


def test_slow_start(start, serve):
    """Who comes back gets little at first."""
    servers = several(serve, 2)
    sluice = start(configs.proxying(*servers, balance="round_robin", slow_start="10s",
                                    health_check={"type": "tcp", **SWIFT}))
    servers[0].refuse()
    servers[0].drop()
    wait_health(sluice, servers[0], "unhealthy")
    servers[0].listen()
    wait_health(sluice, servers[0], "healthy")
    share = sluice.endpoint(servers[0])["share"]
    assert share < 0.5 * sluice.endpoint(servers[1])["share"], share
    for server in servers:
        server.forget()
    assert ask_many(sluice, 60) == [200] * 60
    assert 0 < len(servers[0].requests) < 25, spread(servers)


# A process that dies

class TestShownBy2KillOfOneOfThree:
    @pytest.mark.slow
    @BOTH
    def test_shown_by_2_kill_and_return(self, start, tmp_path, back):
        """Requests that can be repeated are all answered; it is out within two checks, and back warm."""
        backends = [Backend(tmp_path, protocol=back).start() for _ in range(3)]
        try:
            self.kill_and_return(start, backends)
        finally:
            for backend in backends:
                backend.stop()

    def kill_and_return(self, start, backends):
        interval = scaled(0.3, 2.0)
        check = {"type": "http", "interval": f"{int(interval * 1000)}ms", "timeout": "1s", "rise": 2, "fall": 2}
        sluice = start(configs.proxying(*backends, health_check=check, slow_start=scaled("500ms", "10s"),
                                        passive_health={"ejection_time": scaled("500ms", "10s")},
                                        pool={"min_connections": 2}))
        victim = backends[0]
        with Load(sluice, 6) as load:
            time.sleep(scaled(0.5, 5))
            killed = time.monotonic()
            victim.kill()
            wait_until(lambda: health(sluice, victim) != "healthy", 2 * interval * 1.1 + 1)
            out = time.monotonic() - killed
            wait_until(lambda: victim.name not in load.since(0.3), 5)
            time.sleep(scaled(0.5, 5))
            assert load.since(0.3) <= {backend.name for backend in backends[1:]}
            victim.start()
            returned = time.monotonic()
            wait_until(lambda: health(sluice, victim) == "healthy" and sluice.endpoint(victim)["idle"] +
                       sluice.endpoint(victim)["busy"] >= 2, 30)
            wait_until(lambda: victim.name in load.since(0.3), 30)
            back = time.monotonic() - returned
            wait_until(lambda: sluice.endpoint(victim)["share"] == sluice.endpoint(backends[1])["share"], 30)
            time.sleep(scaled(0.3, 3))
        # An answer that had begun can only break off.
        assert set(load.failed["GET"]) <= {"cut off"} and len(load.failed["GET"]) <= 6, load.failed
        assert load.answered["GET"] > 100 / PATIENCE
        # A POST may have been worked on: those that were in flight on it, and no others.
        assert len(load.failed["POST"]) <= 6, load.failed
        assert set(load.failed["POST"]) <= {"closed", "unreplayable", "reset", "cut off"}
        assert out < 2 * interval * 1.1 + patient(1) and back < 30
        print(f"out after {out:.2f} s, back after {back:.2f} s, {load.answered} answered, {load.failed} failed")


class Load(Crew):
    """GETs and POSTs by turns; who answered when, and why what failed did."""

    def __init__(self, sluice, count):
        self.sluice, self.answers = sluice, collections.deque(maxlen=20_000)
        self.answered = collections.Counter()
        self.failed = {"GET": [], "POST": []}
        super().__init__(range(count))

    def _run(self, number):
        client = None
        while not self.ending.is_set():
            for method in ("GET", "POST"):
                client = client or self.sluice.connect()
                try:
                    response = client.ask(method, body=b"x" if method == "POST" else None)
                except Closed:
                    self.failed[method].append("cut off")
                    client = None
                    continue
                if response.status == 200:
                    self.answered[method] += 1
                    self.answers.append((time.monotonic(), response.body))
                else:
                    self.failed[method].append(response.get("x-sluice-reason"))
            time.sleep(0.005)

    def since(self, seconds):
        """Who answered in the last seconds."""
        now = time.monotonic()
        return {body for when, body in list(self.answers) if when > now - seconds}

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)


@ALL_MODES
def test_with_any_balancer_failures_are_gone_around(start, serve, balance):
    """One of three is not there: retries find another, and soon it is left out."""
    servers = several(serve, 2)
    missing = f"127.0.0.1:{configs.free_port()}"
    keys = {"hash": "header:x-user"} if balance == "consistent_hash" else {}
    sluice = start(configs.proxying(*servers, missing, balance=balance, **keys))
    assert ask_many(sluice, 60, lambda n: {"X-User": str(n)}) == [200] * 60
    entry = sluice.endpoint(missing)
    assert entry["health"] == "ejected" or entry["backoff"]["failures"] > 0
    assert entry["connects"]["begun"] < 20
