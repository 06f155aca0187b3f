"""The end of HTTP/2 sessions: announced in two steps, streams first, and nothing that was begun is lost in silence."""

import signal
import time

import pytest
from hyperframe import frame as frames

from support import configs, names
from support.h2client import LAST_OF_ALL, Code, connect
from support.settings import patient, scaled
from support.streams import Streams
from support.waiting import wait_until

MIB = 1024 * 1024
BOTH = pytest.mark.parametrize("tls", [None, configs.SELF_SIGNED], ids=["clear", "tls"])


def draining(tls=None, **pool):
    quiet = {"drain_timeout": "5s", "max_requests_per_connection": 0, **pool}
    return configs.config(configs.http2(tls=tls, **quiet), configs.listener("other"))


def held_stream(session):
    stream = session.begin("POST", "/echo", end=False)
    session.sync()
    return stream


@BOTH
class TestAnnouncement:
    def test_two_steps(self, start, tls):
        sluice = start(draining(tls))
        session = connect(sluice)
        assert session.lives()
        stream = held_stream(session)
        sluice.ctl("drain", "web", check=True)
        session.until(lambda: session.goaways)
        assert session.goaways[0] == (LAST_OF_ALL, Code.NO_ERROR)
        session.send_data(stream, b"bye", end=True)
        assert session.wait(stream).body == b"bye"
        assert session.until_closed() == "fin"
        assert len(session.goaways) == 2 and session.goaways[1] == (stream.number, Code.NO_ERROR), session.goaways

    def test_what_crosses_the_first_one_is_served(self, start, tls):
        """The client has not read the GOAWAY yet: its streams are answered, or refused by the second one."""
        sluice = start(draining(tls))
        session = connect(sluice)
        held = held_stream(session)
        sluice.ctl("drain", "web", check=True)
        crossing = [session.begin() for _ in range(5)]
        session.send_data(held, b"x", end=True)
        assert session.until_closed() == "fin"
        last = session.goaways[-1][0]
        for stream in crossing:
            assert stream.number > last or stream.status == 200
        assert crossing[0].status == 200, "it was on its way before the second GOAWAY could be sent"

    def test_idle_sessions_end_at_once(self, start, tls):
        sluice = start(draining(tls))
        session = connect(sluice)
        assert session.lives()
        sluice.ctl("drain", "web", check=True)
        assert session.until_closed(2) == "fin"
        session.client.close()
        assert session.goaways[-1] == (1, Code.NO_ERROR)
        sluice.wait_closed(names.DRAIN)

    def test_new_streams_after_the_last_word(self, start, tls):
        """Begun in spite of the GOAWAY: not answered, and no reason to cut the others."""
        sluice = start(draining(tls))
        session = connect(sluice)
        held = held_stream(session)
        sluice.ctl("drain", "web", check=True)
        session.until(lambda: len(session.goaways) == 2)
        late = session.begin()
        session.send_data(held, b"x", end=True)
        assert session.wait(held).body == b"x"
        session.until_closed()
        assert late.number > session.goaways[-1][0] and late.status is None

    def test_a_session_without_preface(self, start, tls):
        sluice = start(draining(tls, drain_timeout="1s"))
        session = connect(sluice, preface=False)
        wait_until(lambda: sluice.pool()["active"] == 1)
        sluice.ctl("drain", "web", check=True)
        session.client.ending(4)
        session.client.close()
        wait_until(lambda: sluice.listener()["state"] == "stopped")


def test_a_client_that_does_not_answer_pings(start):
    """The second GOAWAY comes all the same."""
    sluice = start(draining())
    session = connect(sluice)
    held = held_stream(session)
    session.HANDLERS = {**session.HANDLERS, frames.PingFrame: lambda *_: None}
    sluice.ctl("drain", "web", check=True)
    session.until(lambda: len(session.goaways) == 2)
    session.send_data(held, b"x", end=True)
    assert session.wait(held).body == b"x"


def test_how_many_are_left(start):
    sluice = start(draining(drain_timeout="20s"))
    sessions = [connect(sluice) for _ in range(2)]
    streams = [(sessions[0], held_stream(sessions[0])), (sessions[0], held_stream(sessions[0])),
               (sessions[1], held_stream(sessions[1]))]

    def left():
        return tuple(sluice.listener()["draining"][step] for step in ("streams", "sessions", "connections"))

    assert left() == (0, 0, 0)  # running is not draining
    sluice.ctl("drain", "web", check=True)
    assert left() == (3, 2, 2)
    assert "draining: connections 2, sessions 2, streams 3" in sluice.ctl("status", check=True).stdout
    for (session, stream), expected in zip(streams, ((2, 2, 2), (1, 1, 1), (0, 0, 0))):
        session.send_data(stream, b"", end=True)
        session.wait(stream)
        if expected != (2, 2, 2):
            session.until_closed()
            session.client.close()
        wait_until(lambda: left() == expected, what=f"{expected} left, not {left()}")
    wait_until(lambda: sluice.listener()["state"] == "stopped")


def test_deadline_cuts(start):
    sluice = start(draining(drain_timeout="1s"))
    session = connect(sluice)
    held_stream(session)
    began = time.monotonic()
    sluice.signal(signal.SIGTERM)
    assert sluice.wait_exit(4) == 0 and time.monotonic() - began >= 0.6
    session.until_closed()
    assert session.goaways


def test_http1_beside_it(start):
    """Sessions of both kinds of one listener end together."""
    sluice = start(draining(configs.SELF_SIGNED))
    old, new = sluice.connect(), connect(sluice)
    assert old.ask().status == 200 and new.lives()
    sluice.ctl("drain", "web", check=True)
    assert old.ending() == "fin" and new.until_closed() == "fin"


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("number", range(scaled(1, 10)))
def test_sigterm_under_load_with_big_bodies(start, tls, number):
    """Every stream that was begun is answered whole, or refused with a GOAWAY so that the client may try again."""
    big = configs.respond("x" * MIB, path="/mib")
    sluice = start(configs.config(configs.http2(tls=tls, drain_timeout="20s", max_requests_per_connection=0,
                                                routes=[big, configs.HELLO])))
    with Streams(sluice, sessions=scaled(6, 50), width=scaled(16, 32), path="/mib", size=MIB, reconnect=False) as load:
        wait_until(lambda: load.total().answered > 20, 20)
        sluice.signal(signal.SIGTERM)
        began = time.monotonic()
        books = load.wait()
    assert sluice.wait_exit(25) == 0 and time.monotonic() - began < patient(20)
    assert not books.lost, books.lost[:5]
    assert len(books.farewells) == scaled(6, 50)
    for goaways in books.farewells:
        # A client that has all its answers may be the first to close: then it hears no second one.
        assert goaways[0] == (LAST_OF_ALL, Code.NO_ERROR), goaways
        assert all(last < LAST_OF_ALL and code == Code.NO_ERROR for last, code in goaways[1:]), goaways
    print(f"{books.answered} answered, {books.refused} refused")
