"""The rules for connections of grpc listeners: pings both ways, idle ones, old ones; and how calls fare with them."""

import threading
import time

import pytest

from support import grpc
from support.grpc import Callers, Chat, listener
from support.grpc_wire import Session, Site, Status, by_method, deaf, status_of, told
from support.h2client import LAST_OF_ALL, Code
from support.http import Closed
from support.settings import patient, scaled
from support.waiting import wait_until

# What a client must do in time; it and the daemon may each be late, by as much as patience has room for.
ANSWER = patient(0.9)
IDLE = patient(0.8)
AGE = patient(0.6)


def ms(seconds):
    return f"{seconds * 1000:.0f}ms"


QUICK = {"keepalive_time": "300ms", "keepalive_timeout": ms(ANSWER), "min_client_ping_interval": "0s"}
AGED = {"max_connection_age": ms(AGE), "max_connection_age_grace": "200ms", "min_client_ping_interval": "0s"}
LISTENERS = [
    listener("calls", min_client_ping_interval="0s"),
    listener("alive", **QUICK),
    listener("quiet", **{**QUICK, "keepalive_permit_without_calls": False, "min_client_ping_interval": "50ms"}),
    listener("strict", min_client_ping_interval="1h"),
    listener("spaced", min_client_ping_interval="100ms"),
    listener("idle", max_connection_idle=ms(IDLE), headers_timeout="100ms", min_client_ping_interval="0s"),
    listener("often", max_connection_idle="300ms", min_client_ping_interval="0s"),
    listener("aged", **AGED),
    listener("forced", **AGED, max_connection_age_force=True),
    listener("lenient", **{**AGED, "max_connection_age_grace": "1h"}, max_connection_age_force=True),
    listener("ages", max_connection_age="200ms", max_connection_age_grace="10s"),
]


@pytest.fixture(scope="module")
def site_of_file(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("rules"), *LISTENERS) as site:
        yield site


@pytest.fixture
def site(site_of_file):
    yield from site_of_file.one_test()


def aging(site, name, **more):
    """A session whose age counts from before its beginning, so that a delay of ours only makes it older."""
    began = time.monotonic()
    session = site.connect(name, **more)
    session.began = began
    return session


class TestKeepalive:
    def test_a_ping_after_silence(self, site):
        session = site.connect("alive")
        active = session.age
        assert session.lives()
        session.pings.clear()
        session.until(lambda: session.pings)
        assert 0.25 < session.pings[0] - active < 0.3 + patient(1)

    def test_answered_pings_keep_it_for_ever(self, site):
        before = site.closed("keepalive_timeout", "alive")
        session = site.connect("alive")
        session.until(lambda: len(session.pings) >= 4)
        assert session.lives() and not session.goaways
        assert site.closed("keepalive_timeout", "alive") == before

    def test_an_unanswered_one_ends_it(self, site):
        before = site.closed("keepalive_timeout", "alive")
        session = aging(site, "alive", answers_pings=False)
        held = session.call()
        session.until_closed()
        assert 0.25 + ANSWER < session.age < 0.3 + ANSWER + patient(1) and len(session.pings) == 1
        session.client.close()
        site.wait_closed("keepalive_timeout", "alive", before + 1)
        assert not held.ended
        wait_until(lambda: site.server.last.given_up, what="the call's end at the upstream")

    def test_whatever_comes_is_an_answer(self, site):
        session = site.connect("alive", answers_pings=False)
        for number in range(1, 4):
            session.until(lambda: len(session.pings) >= number)
            assert session.lives()
        assert not session.goaways

    def test_not_without_calls_where_so_told(self, site):
        session = site.connect("quiet")
        assert session.lives() and not session.listen(1.0).pings
        held = session.hold()
        session.until(lambda: len(session.pings) >= 2)
        assert session.finish(held)

    def test_a_client_of_grpcio(self, site):
        """It answers them: the call goes on for longer than the timeout, on its first connection."""
        accepted = site.sluice.pool("alive")["accepted"]
        with site.client("alive") as client:
            chat = Chat(client)
            chat.send(b"one")
            assert chat.read() == b"one"
            began = time.monotonic()
            wait_until(lambda: time.monotonic() - began > 0.5 + ANSWER)
            chat.send(b"two")
            assert chat.read() == b"two" and chat.end().ok
        assert site.sluice.pool("alive")["accepted"] == accepted + 1


def ping_to_death(session, most=10):
    """Each is answered before the next one is sent; tells how many were, until it was one too many."""
    with pytest.raises(Closed):
        for _ in range(most):
            session.sync()
    assert session.goaways[-1][1] == Code.ENHANCE_YOUR_CALM and session.farewell == b"too_many_pings"
    session.client.close()
    return len(session.pongs)


class TestPingsOfClients:
    def test_three_strikes(self, site):
        before = site.closed("too_many_pings", "strict")
        session = site.connect("strict")
        assert session.lives()
        assert ping_to_death(session) == 3, "the first one is free, then two strikes are"
        site.wait_closed("too_many_pings", "strict", before + 1)

    def test_all_at_once(self, site):
        session = site.connect("strict")
        session.client.send(b"\0\0\x08\x06\0\0\0\0\0PingPong" * 50)
        session.ends_with(Code.ENHANCE_YOUR_CALM)
        assert session.farewell == b"too_many_pings"

    def test_calls_end_with_it(self, site):
        session = site.connect("strict")
        held = session.call()
        site.server.wait_requests()
        ping_to_death(session)
        assert status_of(held) != Status.OK
        wait_until(lambda: site.server.last.given_up)

    def test_answers_clear_them(self, site):
        """Clients measure the path with pings while data flows."""
        session = site.connect("strict")
        for _ in range(10):
            assert session.lives()
            session.sync().sync()
        assert not session.goaways

    def test_who_keeps_the_interval(self, site):
        session = site.connect("spaced")
        for _ in range(6):
            session.sync().listen(0.11)
        assert not session.goaways
        assert ping_to_death(session, 50) >= 8

    def test_any_number_where_there_is_no_interval(self, site):
        session = site.connect()
        for _ in range(50):
            session.sync()
        assert session.lives() and not session.goaways

    def test_without_calls_where_that_is_not_permitted(self, site):
        session = site.connect("quiet")
        held = session.call()
        for _ in range(5):
            session.sync().listen(0.06)
        assert session.finish(held), "with a call they are welcome"
        with pytest.raises(Closed):
            for _ in range(8):
                session.sync().listen(0.06)
        assert session.goaways[-1][1] == Code.ENHANCE_YOUR_CALM and session.farewell == b"too_many_pings"

    def test_a_client_of_grpcio_that_pings(self, site):
        """Its keepalive is well-behaved by the interval that it is given."""
        options = [("grpc.keepalive_time_ms", 150), ("grpc.keepalive_timeout_ms", 5000),
                   ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0)]
        accepted, before = site.sluice.pool("spaced")["accepted"], site.closed("too_many_pings", "spaced")
        with site.client("spaced", options=options) as client:
            chat = Chat(client)
            chat.send(b"one")
            assert chat.read() == b"one"
            began = time.monotonic()
            wait_until(lambda: time.monotonic() - began > 1.2)
            assert chat.end().ok and client.unary().ok
        assert site.sluice.pool("spaced")["accepted"] == accepted + 1
        assert site.closed("too_many_pings", "spaced") == before


class TestIdle:
    def test_ends_in_two_steps(self, site):
        before = site.closed("max_connection_idle", "idle")
        session = site.connect("idle")
        active = session.age
        assert session.lives()
        assert session.until_closed() == "fin"
        assert IDLE - 0.05 < session.age - active < IDLE + patient(1)
        session.client.close()
        assert session.goaways == [(LAST_OF_ALL, Code.NO_ERROR), (1, Code.NO_ERROR)]
        site.wait_closed("max_connection_idle", "idle", before + 1)

    def test_a_channel_that_was_never_used(self, site):
        """Many are opened long before their first call."""
        session = aging(site, "idle")
        assert session.until_closed() == "fin"
        assert IDLE - 0.05 < session.age < IDLE + patient(1) and session.goaways[-1] == (0, Code.NO_ERROR)

    def test_a_call_is_not_idle(self, site):
        session = site.connect("idle")
        held = session.hold()
        assert not session.listen(IDLE + 0.5).goaways
        assert session.finish(held)
        assert session.until_closed() == "fin" and session.goaways[-1] == (held.number, Code.NO_ERROR)

    def test_a_call_that_crosses_the_announcement(self, site):
        def crosses():
            session = site.connect("idle", answers_pings=False)
            assert session.lives()
            session.until(lambda: session.goaways)
            try:
                crossing = session.hold()
            except Closed:
                return False  # the machine was so slow that the last word had come
            session.answer_pings()
            assert session.finish(crossing), "begun before the last word"
            return session.until_closed() == "fin"

        wait_until(crosses)

    def test_calls_just_when_it_ends(self, site):
        """Clients that call again after about the time: none of their calls fails."""
        failed = []

        def calls(client, pause):
            for _ in range(scaled(5, 100)):
                reply = client.unary()
                if not reply.ok:
                    failed.append(reply)
                time.sleep(pause)

        clients = [site.client("often") for _ in range(10)]
        threads = [threading.Thread(target=calls, args=(client, 0.29 + number * 0.003))
                   for number, client in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed, failed[:3]


class TestAge:
    def test_two_steps_and_calls_finish(self, site):
        before = site.closed("max_connection_age", "aged")
        session = aging(site, "aged")
        held = session.hold()
        session.until(lambda: session.goaways)
        assert AGE * 0.9 - 0.05 < session.age < AGE * 1.1 + patient(1)
        assert session.goaways == [(LAST_OF_ALL, Code.NO_ERROR)]
        crossing = session.call()
        session.until(lambda: len(session.goaways) == 2)
        assert session.goaways[1] == (crossing.number, Code.NO_ERROR)
        session.listen(0.5)  # longer than the grace, which ends no call if it is not to be forced
        assert session.finish(held) and session.finish(crossing)
        assert session.until_closed() == "fin"
        session.client.close()
        site.wait_closed("max_connection_age", "aged", before + 1)

    def test_new_streams_after_the_last_word(self, site):
        session = site.connect("aged")
        held = session.hold()
        session.until(lambda: len(session.goaways) == 2)
        late = session.call(end=True)
        assert session.finish(held)
        session.until_closed()
        assert late.number > session.goaways[-1][0] and not late.headers
        assert len(site.server.requests) == 1

    def test_cut_at_the_end_of_the_grace_where_forced(self, site):
        """At whatever moment the call is."""
        before = site.closed("max_connection_age", "forced")

        site.handle(by_method(Unary=deaf))
        session = aging(site, "forced")
        calls = [session.hold(), session.hold("/test.Echo/Begun")]
        session.until(lambda: calls[1].headers)
        assert session.until_closed() == "fin"
        assert AGE * 0.9 + 0.15 < session.age < AGE * 1.1 + 0.2 + patient(1)
        session.client.close()
        assert [told(call) for call in calls] == [Status.UNAVAILABLE] * 2
        site.wait_closed("max_connection_age", "forced", before + 1)
        wait_until(lambda: all(request.given_up for request in site.server.requests))

    def test_the_grace_is_for_calls_only(self, site):
        session = site.connect("lenient")
        assert session.lives() and session.until_closed() == "fin"

    def test_spread(self, site):
        """By at most a tenth, and not all at the same time."""
        rounds = [ages_of_some(site) for _ in range(2)]
        for ages in rounds:
            assert len(ages) == 12 and AGE * 0.9 - 0.05 < min(ages) and max(ages) < AGE * 1.1 + patient(1), ages
        # Where all are late together, they cannot be told apart.
        assert any(max(ages) - min(ages) > 0.02 for ages in rounds), rounds

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["Unary", "Bidi"])
    def test_calls_flow_for_many_ages(self, site, kind):
        """Ten minutes' worth of ages, and not one failed call."""
        count = 4
        before = site.closed("max_connection_age", "ages")
        act = {"Unary": grpc.GrpcClient.unary, "Bidi": grpc.GrpcClient.bidi}[kind]
        with Callers(lambda: site.client("ages"), count, act) as callers:
            wait_until(lambda: site.closed("max_connection_age", "ages") - before >= count * scaled(6, 150), 120,
                       what="many ages")
            replies = callers.stop()
        assert not callers.failed, callers.failed[:3]
        print(f"{len(replies)} calls, {site.closed('max_connection_age', 'ages') - before} connections aged")


def ages_of_some(site):
    """How old each of a dozen was at its first GOAWAY."""
    ages = []
    threads = [threading.Thread(target=lambda one: ages.append(age_at_goaway(one)), args=(aging(site, "aged"),))
               for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ages


def age_at_goaway(session: Session):
    session.until(lambda: session.goaways)
    return session.age
