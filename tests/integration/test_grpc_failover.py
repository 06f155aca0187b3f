"""Servers that go while calls are on them: only calls that they had may fail, and the next ones go elsewhere."""

import collections
import threading
import time

import pytest

from support.grpc import Callers, Chat, Code, GrpcBackend, GrpcClient, GrpcProgram, connect, relaying
from support.settings import patient, scaled
from support.waiting import wait_until

NO_WAIT = {"balance": "round_robin", "slow_start": "0s",
           "passive_health": {"ejection_time": "200ms", "max_ejection_time": "1s"}}


@pytest.fixture
def two(tmp_path):
    """Two servers in processes of their own."""
    with GrpcProgram(tmp_path) as one, GrpcProgram(tmp_path) as other:
        yield one, other


def callers_of(sluice, count=8, **more):
    target = "%s:%d" % sluice.addr("calls")
    return Callers(lambda: GrpcClient(target), count, **more)


def spread(replies):
    return collections.Counter(reply.get("server") for reply in replies)


@pytest.mark.parametrize("times", [pytest.param(scaled(1, 10), id="kills")])
def test_kill_under_load(start, two, times):
    """Only calls that begin before it is dead may fail, and not many: a client has one at a time."""
    one, other = two
    sluice = start(relaying(one, other, **NO_WAIT))
    with callers_of(sluice) as callers:
        callers.wait_more(200)
        assert set(spread(callers.replies)) == {one.name, other.name} and not callers.failed
        for _ in range(times):
            failed = len(callers.failed)
            one.kill()
            dead = time.monotonic()
            callers.wait_more(300)
            assert len(callers.failed) - failed <= 16, callers.failed[failed:]
            assert not [reply for reply in callers.failed[failed:] if reply.began > dead]
            one.start()
            count = spread(callers.replies)[one.name]
            wait_until(lambda: spread(callers.replies)[one.name] > count + 10, 30, what="the killed one is back")
    assert {reply.code for reply in callers.failed} <= {Code.UNAVAILABLE}


def test_calls_in_flight(start, two):
    """Those of the killed server end at once; those of the other know nothing of it."""
    one, other = two
    sluice = start(relaying(one, other, **NO_WAIT, pool={"min_connections": 1}))
    wait_until(lambda: sluice.upstream()["idle"] == 2)
    client = connect(sluice)
    chats = [Chat(client, timeout=patient(30), metadata=[("echo-x", "y")]) for _ in range(10)]
    for chat in chats:
        chat.send(b"hello")
        assert chat.read() == b"hello"
    wait_until(lambda: sluice.upstream()["active"] == 10)
    count = sluice.endpoint(one)["active"]
    assert 0 < count < 10
    one.kill()
    wait_until(lambda: sum(chat.call.done() for chat in chats) == count)
    lost = [chat for chat in chats if chat.call.done()]
    assert [chat.call.code() for chat in lost] == [Code.UNAVAILABLE] * count
    for chat in chats:
        if chat not in lost:
            chat.send(b"still here")
            assert chat.read() == b"still here"
            reply = chat.end()
            assert reply.ok and reply.get("server") == other.name
    for chat in lost:
        chat.half_close()
    assert all(client.unary().ok for _ in range(20))


def test_waiting_calls(start, two):
    """Calls that no server has seen go to the one that is left."""
    one, other = two
    sluice = start(relaying(one, other, **NO_WAIT, pool={"max_connections": 1, "max_concurrent_streams": 1,
                                                         "pending_timeout": "60s"}))
    client = connect(sluice)
    held = [Chat(client, timeout=patient(30)) for _ in range(2)]
    for chat in held:
        chat.send(b"held")
        assert chat.read() == b"held"
    waiting = [client.open("Unary", b"%d" % n, timeout=patient(30)) for n in range(10)]
    wait_until(lambda: sluice.upstream()["waiting"] == 10)
    one.kill()
    wait_until(lambda: any(chat.call.done() for chat in held))
    lost, kept = sorted(held, key=lambda chat: not chat.call.done())
    assert lost.call.code() is Code.UNAVAILABLE and not kept.call.done()
    lost.half_close()
    assert kept.end().ok
    assert [call.result() for call in waiting] == [b"%d" % n for n in range(10)]
    assert {dict(call.trailing_metadata())["server"] for call in waiting} == {other.name}


def test_kill_of_an_idle_one(start, two):
    """Its connections are known to be dead before the next call, or the call is tried again: it was never sent."""
    one, other = two
    sluice = start(relaying(one, other, **NO_WAIT))
    client = connect(sluice)
    for _ in range(scaled(2, 20)):
        wait_until(lambda: set(spread([client.unary() for _ in range(4)])) == {one.name, other.name}, 30)
        one.kill()
        assert all(client.unary().ok for _ in range(20))
        one.start()


def test_the_only_one(start, tmp_path):
    """Without another, calls fail until it is back."""
    with GrpcProgram(tmp_path) as one:
        sluice = start(relaying(one, passive_health={"consecutive_errors": 0}))
        client = connect(sluice)
        assert client.unary().ok
        one.kill()
        reply = client.unary()
        assert reply.code is Code.UNAVAILABLE and reply.details
        one.start()
        wait_until(lambda: client.unary().ok)


@pytest.mark.parametrize("kind", ["unary", "bidi"])
def test_connections_that_grow_old(start, kind):
    """GOAWAY by the server: what it took it finishes, what it did not take goes over a new one; nobody notices."""
    rules = [("grpc.max_connection_age_ms", 300), ("grpc.max_connection_age_grace_ms", 20_000)]
    with GrpcBackend(options=rules) as server:
        sluice = start(relaying(server))
        with callers_of(sluice, act=getattr(GrpcClient, kind)) as callers:
            wait_until(lambda: sluice.endpoint()["connects"]["begun"] >= scaled(5, 100), scaled(20, 120))
        assert not callers.failed, callers.failed[:3]


def test_a_server_that_leaves_politely(start):
    """grpcio cancels what reaches it just then; the relay adds no failure of its own, and nothing fails later."""
    with GrpcBackend() as stay:
        leave = GrpcBackend()
        sluice = start(relaying(stay, leave, **NO_WAIT))
        with callers_of(sluice) as callers:
            callers.wait_more(100)
            leave.stop(grace=patient(5))
            callers.wait_more(8)
            failed = len(callers.failed)
            callers.wait_more(300)
        assert len(callers.failed) == failed <= 8
        assert {reply.code for reply in callers.failed} <= {Code.CANCELLED}
        assert set(spread(callers.replies)) >= {str(stay.address[1]), str(leave.address[1])}


def test_calls_on_one_session(start, two):
    """Many at once of one client, all on one connection to it: that one lives on."""
    one, other = two
    sluice = start(relaying(one, other, **NO_WAIT))
    client, stop, codes = connect(sluice), threading.Event(), collections.Counter()

    def run():
        while not stop.is_set():
            calls = [client.open("Unary", b"x" * 1000, timeout=patient(20)) for _ in range(20)]
            codes.update(call.code() for call in calls)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: codes[Code.OK] > 200)
        one.kill()
        good = codes[Code.OK]
        wait_until(lambda: codes[Code.OK] > good + 500)
    finally:
        stop.set()
        thread.join(patient(30))
    assert set(codes) <= {Code.OK, Code.UNAVAILABLE} and codes[Code.UNAVAILABLE] <= 20, codes
    assert sluice.pool("calls")["accepted"] == 1
