"""Flow control: each stream waits for its own reader only, and what a session may hold is bounded."""

import time

import pytest
from hyperframe import frame as frames

from support import configs, names
from support.h2client import (INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, Code,
                              connect, raw_frame)
from support.settings import SANITIZED, patient, scaled
from support.waiting import wait_until

PATIENT = dict(request_timeout="1h", write_timeout="1h", min_data_rate=0)
CONFIG = configs.config(configs.http2(**PATIENT), configs.http2("web_tls", configs.SELF_SIGNED, **PATIENT))
BOTH = pytest.mark.parametrize("name", ["web", "web_tls"])
MIB = 1024 * 1024


def paused_echo(session):
    """An upload whose echo nobody takes; gives the stream and how much the window let through."""
    stream = session.begin("POST", "/echo", end=False)
    stream.held = True
    return stream, session.fill_window(stream)


@BOTH
def test_one_paused_upload_does_not_hold_up_others(web, name):
    session = connect(web, name, window=0)  # no answer may send a byte of body until its window is opened
    session.until(lambda: session.settings is not None)
    paused, sent = paused_echo(session)
    assert sent >= 65535
    others = [session.begin("POST", "/echo", end=False) for _ in range(99)]
    body = b"y" * 30_000
    for stream in others:
        session.open_window(len(body), stream)
        session.send_data(stream, body, end=True)
    session.wait(*others)
    assert all(bytes(stream.body) == body for stream in others)
    assert not paused.body and not paused.done
    session.open_window(sent + 5, paused)
    session.send_data(paused, b"after", end=True)
    assert len(session.wait(paused).body) == sent + 5


@BOTH
def test_a_paused_upload_gets_no_more_window(web, name):
    session = connect(web, name, window=0)
    session.until(lambda: session.settings is not None)
    stream, sent = paused_echo(session)
    for _ in range(5):
        session.sync()
    assert stream.window < 65536, f"{stream.window} more may be sent though nobody has taken the {sent} bytes"
    session.open_window(sent + 1, stream)  # nghttp2 sends even an empty last frame only into an open window
    session.until(lambda: len(stream.body) == sent and stream.window >= 32768)
    session.send_data(stream, b"", end=True)
    session.until(lambda: stream.ended)


def test_a_paused_handler_goes_on(start):
    """More comes within the window while the handler is paused and a part of its answer has left meanwhile."""
    sluice = start(configs.config(configs.http2(initial_window_size="128KiB", **PATIENT)))
    session = connect(sluice, window=0)
    session.until(lambda: session.settings is not None)
    stream = session.begin("POST", "/echo", end=False)
    stream.held = True
    session.send_data(stream, b"a" * 65536)  # now the answer has as much in store as it may
    session.sync().open_window(32768, stream)
    session.until(lambda: len(stream.body) == 32768)
    session.send_data(stream, b"b" * 16384)
    session.sync().open_window(MIB, stream)
    session.until(lambda: len(stream.body) == 65536 + 16384)
    session.until(lambda: stream.window >= 65536)
    session.send_data(stream, b"c" * 200_000, end=True)
    session.until(lambda: stream.ended)
    assert stream.body == b"a" * 65536 + b"b" * 16384 + b"c" * 200_000


@BOTH
def test_uploads_without_end(web, name):
    """Much is sent back while it comes, with both windows open."""
    body = b"0123456789abcdef" * 65536
    for _ in range(scaled(10, 200)):
        with connect(web, name) as session:
            assert session.ask("POST", "/echo", body=body).body == body


@BOTH
def test_a_client_that_does_not_read_stops_only_itself(web, name):
    deaf = connect(web, name, receive_buffer=4096, window=MIB * 16)
    for _ in range(50):
        deaf.begin(path="/big")
    other = connect(web, name)
    began = time.monotonic()
    for _ in range(50):
        assert other.ask("POST", "/echo", body=b"x" * 10_000).status == 200
    assert time.monotonic() - began < patient(5)
    pool = web.listener(name)["http2"]
    assert pool["streams"]["active"] >= 1
    deaf.client.close()


@BOTH
def test_who_has_left_is_not_waited_for(web, name):
    """After the client's FIN no WINDOW_UPDATE can come: what waits for one is over."""
    for path, body in (("/big", None), ("/echo", b"x" * 1000)):
        session = connect(web, name, window=0)
        stream = session.begin("POST", path, end=body is None)
        if body:
            session.send_data(stream, body, end=True)
        session.until(lambda: stream.headers).sync()
        session.client.close()
    wait_until(lambda: web.pool(name)["active"] == 0, 3, what="the end of sessions whose clients have left")


def test_stalls_are_counted(web):
    before = web.listener()["http2"]["stalls"]
    session = connect(web, window=1000)
    stream = session.begin(path="/big")
    stream.held = True
    session.until(lambda: len(stream.body) == 1000)
    session.sync()
    wait_until(lambda: web.listener()["http2"]["stalls"] > before)
    session.cancel(stream)
    session.sync()


@pytest.mark.parametrize("window", [1000, 16384, 65535, MIB])
def test_big_answers_through_small_windows(web, window):
    answer = connect(web, window=window).ask(path="/big")
    assert len(answer.body) == configs.BIG_SIZE


def test_a_window_that_shrinks_below_zero(web):
    """SETTINGS may take back what a stream had (RFC 9113, 6.9.2)."""
    session = connect(web, window=10_000)
    stream = session.begin(path="/big")
    stream.held = True
    session.until(lambda: len(stream.body) == 10_000)
    session.send_frame(frames.SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: 100}))
    session.open_window(9_899, stream)  # one short of zero
    session.sync()
    assert len(stream.body) == 10_000
    session.open_window(1001, stream)
    session.until(lambda: len(stream.body) == 11_000)
    session.cancel(stream)
    session.sync()


def test_many_uploads_in_turns(web):
    """More at once than the session's window holds."""
    session = connect(web, window=MIB)
    streams = [session.begin("POST", "/echo", end=False) for _ in range(50)]
    for _ in range(5):
        for stream in streams:
            session.send_data(stream, b"z" * 20_000)
    for stream in streams:
        session.send_data(stream, b"", end=True)
    session.wait(*streams)
    assert {len(stream.body) for stream in streams} == {100_000}


def test_settings_tell_the_pool(start):
    sluice = start(configs.config(configs.http2(
        initial_window_size="32KiB", connection_window_size="2MiB", max_concurrent_streams=7,
        max_header_list_size="4KiB")))
    session = connect(sluice)
    session.until(lambda: session.settings is not None).sync()
    assert session.settings[INITIAL_WINDOW_SIZE] == 32768 and session.settings[MAX_CONCURRENT_STREAMS] == 7
    assert session.settings[MAX_HEADER_LIST_SIZE] == 4096
    assert session.window == 2 * MIB and session.settings.get(MAX_FRAME_SIZE, 16384) == 16384


def test_max_session_memory(start):
    """Answers and uploads that nobody takes do not grow without end."""
    sluice = start(configs.config(configs.http2(max_session_memory="1MiB", connection_window_size="64MiB", **PATIENT)))
    before = sluice.rss()
    sessions = [connect(sluice, window=0) for _ in range(4)]
    for session in sessions:
        session.until(lambda: session.settings is not None)
        for _ in range(90):
            if session.goaways:
                break
            stream = session.begin("POST", "/echo", end=False)
            room = min(session.window, stream.window, 65535)
            for _ in range(room // 16384):
                session.data_frame(stream, b"x" * 16384)
        session.client.sock.settimeout(0.2)
    if not SANITIZED:
        wait_until(lambda: sluice.rss() < before + 16 * MIB, 3, what=f"{(sluice.rss() - before) / MIB:.1f} MiB held")
    assert connect(sluice).lives()


class TestTimeouts:
    def test_write_timeout_of_a_stuck_session(self, start):
        sluice = start(configs.config(configs.http2(write_timeout="600ms", min_data_rate=0)))
        session = connect(sluice, receive_buffer=4096, window=MIB * 16)
        for _ in range(20):
            session.begin(path="/big")
        sluice.wait_closed(names.WRITE_TIMEOUT)

    def test_request_timeout_costs_the_stream(self, start):
        sluice = start(configs.config(configs.http2(request_timeout="500ms", min_data_rate=0)))
        session, began = connect(sluice), time.monotonic()
        stream = session.begin("POST", "/", end=False)
        session.data_frame(stream, b"x")
        session.wait(stream)
        assert 0.35 <= time.monotonic() - began <= 0.5 + patient(1.0)
        assert stream.status == 408 or stream.reset in (Code.CANCEL, Code.NO_ERROR), stream
        assert session.lives()

    def test_a_slow_stream_beside_busy_ones(self, start):
        """The others' traffic is no excuse for the one that does not come."""
        sluice = start(configs.config(configs.http2(request_timeout="600ms", min_data_rate=0,
                                                    max_requests_per_connection=0)))
        session = connect(sluice)
        assert session.lives()
        slow = session.begin("POST", "/", end=False)
        ending = time.monotonic() + 0.6 + patient(2)
        while not slow.done:
            assert time.monotonic() < ending, "its time is long over"
            assert session.lives()
        assert slow.status == 408 or slow.reset is not None

    def test_an_unfinished_header_block(self, start):
        sluice = start(configs.config(configs.http2(headers_timeout="500ms")))
        session = connect(sluice).sync()
        session.client.send(raw_frame(1, 1, 1, b"\x82"))
        session.until_closed(0.5 + patient(2))
        sluice.wait_closed(names.HEADERS_TIMEOUT | names.PROTOCOL_ERROR)


def test_limits_of_connections(start):
    sluice = start(configs.config(configs.http2(max_connections=2, at_limit="refuse")))
    kept = [connect(sluice) for _ in range(2)]
    assert all(session.lives() for session in kept)
    client = sluice.connect()
    client.try_send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    client.ending()
    assert sluice.rejected(names.REJECTED_MAX) == 1 and sluice.pool()["accepted"] == 2


def test_an_idle_session_makes_room(start):
    sluice = start(configs.config(configs.http2(max_connections=2, at_limit="shed_idle")))
    busy, idle = connect(sluice), connect(sluice)
    stream = busy.begin("POST", "/echo", end=False)
    busy.sync()
    assert idle.lives()
    assert connect(sluice).lives()
    assert idle.until_closed() == "fin" and idle.goaways
    busy.send_data(stream, b"x", end=True)
    assert busy.wait(stream).body == b"x"
    assert sluice.closed(names.SHED) == 1
