"""Changes of grpc listeners while calls flow, each by its class; their drains and restarts; and no call fails."""

import json
import signal
import time
from dataclasses import dataclass
from typing import Callable

import pytest

from support import configs
from support.daemon import run_sluiced
from support.grpc import Callers, GrpcClient, listener, proxy
from support.grpc_wire import Session, Site, Status, by_method, deaf, endless, told
from support.h2client import (INITIAL_WINDOW_SIZE, LAST_OF_ALL, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE, Code,
                              raw_frame)
from support.http import Closed
from support.settings import patient, scaled
from support.waiting import wait_until

KIB, MIB = 1024, 1024 * 1024
QUIET = {"min_client_ping_interval": "0s", "drain_timeout": "2s"}


# Every key of the pool: a probe looks at the listener before the change, yields for it, and looks again.

def is_refused(site, name):
    with Session(site.sluice.connect(name)) as session:
        return told(session.wait(session.call(end=True))) == Status.RESOURCE_EXHAUSTED


def refuses(reason):
    """Who comes after the change is one too many; who was there stays."""
    def probe(site, name):
        old = site.connect(name)
        assert old.lives()
        yield
        assert is_refused(site, name)
        wait_until(lambda: site.sluice.rejected({reason}, name) == 1)
        assert old.lives()
    return probe


def sheds(site, name):
    """It is full, with us and the load."""
    old = site.connect(name)
    assert old.lives()
    wait_until(lambda: site.sluice.pool(name)["active"] == 2, what="the load and one more")
    assert is_refused(site, name)
    yield
    fresh = site.connect(name)
    assert fresh.lives()
    assert old.until_closed() == "fin"
    old.client.close()
    site.wait_closed("shed", name)


def no_preface(site, name):
    client = site.sluice.connect(name)
    wait_until(lambda: site.sluice.pool(name)["active"] >= 2)
    yield
    client.ending()
    client.close()
    site.wait_closed("handshake_timeout", name)


def no_end_of_head(site, name):
    session = site.connect(name)
    assert session.lives()
    session.client.send(raw_frame(1, 0, session.next_number, session.encoder.encode(session.fields())))
    yield
    session.until_closed()
    session.client.close()
    site.wait_closed("headers_timeout", name)


def does_not_read(reason):
    def probe(site, name):
        session = site.connect(name, receive_buffer=4096, window=2**31 - 1)
        session.call("/test.Echo/Endless", end=True)
        session.client.exactly(100 * KIB)
        assert not site.closed(reason, name)
        yield
        site.wait_closed(reason, name)
        session.client.close()
    return probe


def pinged_sooner(site, name):
    session = site.connect(name)
    assert session.lives() and not session.pings
    yield
    session.until(lambda: len(session.pings) >= 2)
    assert session.lives()


def given_up_sooner(site, name):
    session = site.connect(name, answers_pings=False)
    session.until(lambda: session.pings)
    assert not session.listen(0.3).goaways and len(session.pings) == 1
    yield
    session.until_closed()
    session.client.close()
    site.wait_closed("keepalive_timeout", name)


def pinged_without_calls(site, name):
    session = site.connect(name)
    assert session.lives()
    session.pings.clear()  # of the time of the call
    assert not session.listen(0.4).pings
    yield
    session.until(lambda: session.pings)


def pings_too_often(site, name):
    session = site.connect(name)
    for _ in range(10):
        session.sync()
    yield
    assert session.lives()
    with pytest.raises(Closed):
        for _ in range(10):
            session.sync()
    assert session.goaways[-1][1] == Code.ENHANCE_YOUR_CALM
    session.client.close()
    site.wait_closed("too_many_pings", name)


def says_too_much(method):
    """Unary, which echoes: a message that is too long on its way in, or on its way out."""
    def probe(site, name):
        session = site.connect(name)
        ask = lambda: told(session.unary(b"x" * 2 * KIB, f"/test.Echo/{method}"))  # noqa: E731
        assert ask() == Status.OK
        yield
        assert ask() == Status.RESOURCE_EXHAUSTED and session.lives() and not session.goaways
    return probe


def ends(reason):
    def probe(site, name):
        session = site.connect(name)
        assert session.lives()
        yield
        assert session.until_closed() == "fin" and session.goaways[0] == (LAST_OF_ALL, Code.NO_ERROR)
        session.client.close()
        site.wait_closed(reason, name)
    return probe


def is_cut(site, name):
    """A call that went on in the grace of an old connection."""
    session = site.connect(name)
    held = session.hold()
    session.until(lambda: len(session.goaways) == 2)
    yield
    session.until_closed()
    session.client.close()
    assert told(held) == Status.UNAVAILABLE
    site.wait_closed("max_connection_age", name)


def drains_sooner(site, name):
    session = site.connect(name)
    session.hold()
    yield
    site.sluice.ctl("drain", name, check=True)
    session.until_closed()
    session.client.close()
    site.wait_closed("drain_deadline", name)


def tells(read, before, after):
    """New connections are told so; that which is there is not."""
    def probe(site, name):
        old = site.connect(name)
        assert read(old.sync()) == before
        yield
        fresh = site.connect(name).sync()
        assert read(fresh) == after and read(old.sync()) == before
        assert fresh.lives() and old.lives() and not old.goaways
    return probe


def holds_less(site, name):
    """Of answers that a client does not read."""
    def refused(most):
        with site.connect(name) as session:
            for _ in range(most):
                stream = session.call("/test.Echo/Endless", end=True)
                stream.held = True
                session.listen(0.1, lambda: stream.done)
                if stream.done:
                    return stream.reset
        return None

    assert refused(5) is None
    yield
    assert refused(20) == Code.REFUSED_STREAM


@dataclass
class Row:
    """A key's change; `more`: what its probe needs of other keys."""

    before: object
    after: object
    kind: str
    probe: Callable
    more: dict = None


def setting(number):
    return lambda session: session.settings[number]


SLOW = {"write_timeout": "1h", "min_data_rate": "0B/s", "min_data_rate_grace": "300ms"}
AGED = {"max_connection_age": "300ms", "max_connection_age_grace": "1h", "max_connection_age_force": True}
LIVE, FRESH = "live", "new_connections"
ROWS = {
    "max_connections": Row(50, 1, LIVE, refuses("max_connections"), {"at_limit": "refuse"}),
    "max_connections_per_client": Row(50, 1, LIVE, refuses("max_connections_per_client")),
    "at_limit": Row("refuse", "shed_idle", LIVE, sheds, {"max_connections": 2}),
    "handshake_timeout": Row("1h", "300ms", LIVE, no_preface),
    "headers_timeout": Row("1h", "300ms", LIVE, no_end_of_head),
    "write_timeout": Row("1h", "300ms", LIVE, does_not_read("write_timeout"), {"min_data_rate": "0B/s"}),
    "min_data_rate": Row("0B/s", "1MiB/s", LIVE, does_not_read("min_data_rate"), SLOW),
    "min_data_rate_grace": Row("1h", "300ms", LIVE, does_not_read("min_data_rate"),
                               {**SLOW, "min_data_rate": "1MiB/s"}),
    "keepalive_time": Row("1h", "200ms", LIVE, pinged_sooner, {"keepalive_timeout": "1h"}),
    "keepalive_timeout": Row("1h", f"{patient(700):.0f}ms", LIVE, given_up_sooner, {"keepalive_time": "100ms"}),
    "keepalive_permit_without_calls": Row(False, True, LIVE, pinged_without_calls, {"keepalive_time": "200ms"}),
    "min_client_ping_interval": Row("0s", "1h", LIVE, pings_too_often),
    "max_receive_message_length": Row("1MiB", "1KiB", LIVE, says_too_much("Unary")),
    "max_send_message_length": Row("1MiB", "1KiB", LIVE, says_too_much("Unary")),
    "max_connection_idle": Row("1h", "300ms", LIVE, ends("max_connection_idle")),
    "max_connection_age": Row("1h", "300ms", LIVE, ends("max_connection_age")),
    "max_connection_age_grace": Row("1h", "1s", LIVE, is_cut, AGED),
    "max_connection_age_force": Row(False, True, LIVE, is_cut, {**AGED, "max_connection_age_grace": "1s"}),
    "drain_timeout": Row("1h", "500ms", LIVE, drains_sooner),
    "max_concurrent_streams": Row(10, 20, FRESH, tells(setting(MAX_CONCURRENT_STREAMS), 10, 20)),
    "initial_window_size": Row("64KiB", "32KiB", FRESH, tells(setting(INITIAL_WINDOW_SIZE), 65536, 32768)),
    "max_header_list_size": Row("32KiB", "16KiB", FRESH, tells(setting(MAX_HEADER_LIST_SIZE), 32768, 16384)),
    "connection_window_size": Row("1MiB", "2MiB", FRESH, tells(lambda session: session.window, MIB, 2 * MIB)),
    "max_session_memory": Row("10MiB", "128KiB", FRESH, holds_less),
}


def changing(key, value):
    """The listener of a key, which has its name."""
    return listener(key, **{**QUIET, **(ROWS[key].more or {}), key: value})


def test_no_key_is_forgotten(tmp_path):
    """What the schema has and ROWS has not is no key of grpc listeners."""
    schema = json.loads(run_sluiced("--print-schema").stdout)
    keys = schema["properties"]["listeners"]["items"]["properties"]["pool"]["properties"]
    others = {key: value["default"] for key, value in keys.items() if key not in ROWS}
    assert set(ROWS) <= set(keys)
    path = tmp_path / "sluice.yaml"
    for key, default in others.items():
        entry = listener("calls", routes=[{"builtin": {}}], **{key: default})
        path.write_text(configs.text_of(configs.config(entry, admin={"socket": str(tmp_path / "admin.sock")})))
        done = run_sluiced("--check", "--config", path)
        assert done.returncode != 0 and key in done.stderr, f"{key} is not in this table: {done.stderr}"


def test_shown_by_3_every_key_under_load(tmp_path):
    """Each by its class, those that are live on connections that are open; and no call of the load fails."""
    def unhurried(client):
        time.sleep(0.1)
        return client.unary()

    with Site(tmp_path, *(changing(key, row.before) for key, row in ROWS.items())) as site:
        site.handle(by_method(Endless=endless))
        load = {key: Callers(lambda key=key: site.client(key), 1, unhurried) for key in ROWS}
        problems = {}
        try:
            for callers in load.values():
                callers.__enter__()
            wait_until(lambda: all(callers.count() for callers in load.values()), 20)
            probes = {key: row.probe(site, key) for key, row in ROWS.items()}
            run_all(probes, problems)
            after = [changing(key, row.after) for key, row in ROWS.items()]
            changes = site.sluice.changes(site.sluice.apply(site.config(*after)))
            kinds = {name: change["class"] for name, change in changes.items()}
            assert kinds == {f"listeners.{key}.pool.{key}": row.kind for key, row in ROWS.items()}
            before = {key: callers.count() for key, callers in load.items()}
            wait_until(lambda: all(callers.count() > before[key] + 1 for key, callers in load.items()), 20)
            load["drain_timeout"].stop()
            run_all(probes, problems)
        finally:
            for callers in load.values():
                callers.stop()
        assert not problems, problems
        failed = {key: callers.failed[:2] for key, callers in load.items() if callers.failed}
        assert not failed, failed


def run_all(probes, problems):
    """Each up to where it waits for the change, or to its end."""
    for key in [key for key in probes if key not in problems]:
        try:
            next(probes[key], None)
        except (AssertionError, OSError, Closed) as problem:
            problems[key] = repr(problem)


def test_routes_and_upstreams_under_load(tmp_path):
    """Calls go where the newest configuration says; those that run stay where they are."""
    with Site(tmp_path, listener("calls")) as site, Callers(lambda: site.client(), 4) as callers:
        session = site.connect()
        held = session.hold()
        other = {"match": {"exact_path": "/test.Echo/Other"}, "builtin": {"services": ["health"]}}
        for number in range(scaled(4, 20)):
            callers.wait_more(10)
            routes = [proxy(), *([other] if number % 2 else [])]
            limits = {"max_receive_message_length": f"{number + 1}MiB"}
            site.sluice.apply(site.config(listener("calls", routes=routes, **limits)))
        callers.wait_more(10)
        assert session.finish(held) and not session.goaways
        callers.stop()
        assert not callers.failed, callers.failed[:3]


# Drain

@pytest.fixture
def draining(tmp_path):
    def run(**pool):
        running.append(Site(tmp_path, listener("calls", **{**QUIET, "drain_timeout": "10s", **pool})))
        return running[-1]

    running = []
    yield run
    for site in running:
        site.stop()
        site.server.check()


class TestDrain:
    def test_calls_finish(self, draining):
        site = draining()
        session = site.connect()
        held = [session.hold() for _ in range(3)]
        site.sluice.signal(signal.SIGTERM)
        session.until(lambda: session.goaways)
        assert session.goaways == [(LAST_OF_ALL, Code.NO_ERROR)]
        crossing = session.call()
        session.until(lambda: len(session.goaways) == 2)
        assert session.goaways[1] == (crossing.number, Code.NO_ERROR)
        late = session.call(end=True)
        assert session.finish(crossing)
        assert [session.finish(call) for call in held] == [True] * 3
        assert session.until_closed() == "fin"
        session.client.close()
        assert not late.headers and late.number > session.goaways[-1][0], "the client may try it elsewhere"
        assert site.sluice.wait_exit(5) == 0 and len(site.server.requests) == 4

    def test_a_new_connection(self, draining):
        site = draining()
        session, address = site.connect(), site.sluice.addr("calls")
        held = session.hold()
        site.sluice.signal(signal.SIGTERM)
        session.until(lambda: session.goaways)
        with pytest.raises(OSError):
            site.sluice.connect(address=address, tls=False)
        assert session.finish(held)
        session.until_closed()
        session.client.close()
        assert site.sluice.wait_exit(5) == 0

    def test_the_deadline_cuts(self, draining):
        site = draining(drain_timeout="1s").handle(by_method(Unary=deaf))
        session = site.connect()
        calls = [session.hold(), session.call("/test.Echo/Begun")]
        session.until(lambda: calls[1].headers)
        began = time.monotonic()
        site.sluice.signal(signal.SIGTERM)
        assert site.sluice.wait_exit(4) == 0 and time.monotonic() - began >= 0.6
        session.until_closed()
        assert session.goaways
        assert [told(call) for call in calls] == [Status.UNAVAILABLE] * 2
        wait_until(lambda: all(request.given_up for request in site.server.requests))

    @pytest.mark.parametrize("by", ["restart", "kill"])
    def test_calls_that_we_end_are_told_and_counted(self, draining, by):
        site = draining(drain_timeout="1s").handle(by_method(Unary=deaf))
        session = site.connect()
        calls = [session.hold(), session.call("/test.Echo/Begun")]
        session.until(lambda: calls[1].headers)
        [connection] = site.sluice.get("/v1/connections")["connections"]
        site.sluice.ctl(*{"restart": ["restart", "calls"], "kill": ["kill", str(connection["id"])]}[by], check=True)
        session.until_closed()
        assert [told(call) for call in calls] == [Status.UNAVAILABLE] * 2
        wait_until(lambda: site.figures()["statuses"].get("UNAVAILABLE") == 2, what=lambda: site.figures()["statuses"])

    def test_a_call_s_own_deadline_comes_first(self, draining):
        site = draining().handle(deaf)
        session = site.connect()
        stream = session.call(timeout="700m")
        site.server.wait_requests()
        site.sluice.ctl("drain", "calls", check=True)
        session.wait(stream)
        assert told(stream) == Status.DEADLINE_EXCEEDED and session.until_closed() == "fin"

    def test_a_listener_that_is_removed(self, draining):
        site = draining()
        session = site.connect()
        held = session.hold()
        site.sluice.apply(site.config(listener("other")))
        session.until(lambda: len(session.goaways) == 2)
        assert session.finish(held) and session.until_closed() == "fin"
        assert site.connect("other").lives()

    def test_a_client_of_grpcio_moves_on(self, draining):
        """Its calls that run finish; the next ones find the new generation."""
        site = draining()
        with site.client() as client:
            assert client.unary().ok
            for number in range(2, 5):
                site.sluice.ctl("restart", "calls", check=True)
                assert site.sluice.listener("calls")["generation"] == number
                assert client.unary().ok

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["Unary", "Bidi"])
    def test_restarts_under_load(self, draining, kind):
        site = draining()
        act = {"Unary": GrpcClient.unary, "Bidi": GrpcClient.bidi}[kind]
        with Callers(lambda: site.client(), 8, act) as callers:
            for number in range(2, 2 + scaled(4, 20)):
                callers.wait_more(30)
                site.sluice.ctl("restart", "calls", check=True)
                assert site.sluice.listener("calls")["generation"] == number
            callers.wait_more(30)
            replies = callers.stop()
        assert not callers.failed, callers.failed[:3]
        assert site.closed("drain") >= scaled(4, 20)
        print(f"{len(replies)} calls")

    @pytest.mark.slow
    def test_sigterm_under_load(self, draining):
        """Whatever had begun is answered; what comes after finds nobody, and knows that nobody has seen it."""
        site = draining()
        address = "%s:%d" % site.sluice.addr("calls")
        with Callers(lambda: GrpcClient(address, options=[("grpc.enable_retries", 0)]), 8) as callers:
            callers.wait_more(50)
            site.sluice.signal(signal.SIGTERM)
            assert site.sluice.wait_exit(10) == 0
            callers.stop()
        served = len(site.server.requests)
        answered = sum(reply.ok for reply in callers.replies)
        assert answered == served, f"{answered} answered of {served} that reached the upstream"
        assert {reply.code.value[0] for reply in callers.failed} <= {int(Status.UNAVAILABLE)}
