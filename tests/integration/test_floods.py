"""Clients that do too much of something: each kind ends in ENHANCE_YOUR_CALM, is counted by name, and costs nobody."""

import collections
import threading
import time

import pytest
from hyperframe import frame as frames

from support import configs, names
from support.h2client import INITIAL_WINDOW_SIZE, Code, connect, raw_frame
from support.http import Closed
from support.load import Tally
from support.settings import PATIENCE, patient, scaled
from support.waiting import wait_until

CONFIG = configs.config(configs.http2(max_requests_per_connection=0))
END_STREAM, END_HEADERS = 1, 4
ROUND = 200


def forever(piece):
    while True:
        yield piece


def rapid_reset(session):
    """CVE-2023-44487: a request and its end, again and again."""
    number = 1
    while True:
        wire = b""
        for _ in range(ROUND):
            block = session.encoder.encode(session.fields())
            wire += frames.HeadersFrame(number, block, flags=["END_HEADERS", "END_STREAM"]).serialize()
            wire += frames.RstStreamFrame(number, error_code=8).serialize()
            number += 2
        yield wire


def made_reset(session):
    """The same where the server is made to send the RST_STREAM (CVE-2025-8671): requests without a path."""
    number = 1
    while True:
        wire = b""
        for _ in range(50):
            block = session.encoder.encode([(":method", "GET"), (":scheme", "http"), (":authority", "x")])
            wire += frames.HeadersFrame(number, block, flags=["END_HEADERS", "END_STREAM"]).serialize()
            number += 2
        yield wire
        session.reading.wait_for(frames.RstStreamFrame, (number - 1) // 2)  # no more at once than are allowed


def continuation(session):
    """A header block without end (CVE-2024-27316)."""
    yield raw_frame(1, END_STREAM, 1, b"\x82")
    yield from forever(raw_frame(9, 0, 1, b"\x00\x01a\x01b") * ROUND)


def empty_continuation(session):
    yield raw_frame(1, END_STREAM, 1, b"\x82")
    yield from forever(raw_frame(9, 0, 1) * ROUND)


def settings(session):
    return forever(raw_frame(4) * ROUND)


def ping(session):
    return forever(raw_frame(6, 0, 0, b"12345678") * ROUND)


def priority(session):
    return forever(raw_frame(2, 0, 1, b"\0\0\0\0\x10") * ROUND)


def unknown_frames(session):
    return forever(raw_frame(0x99, 0, 0, b"x") * ROUND)


def empty_data(session):
    yield frames.HeadersFrame(1, session.encoder.encode(session.fields("POST", "/echo")),
                              flags=["END_HEADERS"]).serialize()
    yield from forever(raw_frame(0, 0, 1) * ROUND)


def window_update(session):
    return forever(raw_frame(8, 0, 0, b"\0\0\0\1") * ROUND)


def tiny_window(session):
    """Answers in crumbs: each byte of window is a frame of one byte."""
    streams = [frames.HeadersFrame(number, session.encoder.encode(session.fields(path="/big")),
                                   flags=["END_HEADERS", "END_STREAM"]) for number in range(1, 41, 2)]
    yield frames.SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: 1}).serialize() + \
        b"".join(stream.serialize() for stream in streams)
    rounds = 0
    while True:
        rounds += 1
        session.reading.wait_for(frames.DataFrame, rounds * len(streams))  # else the windows would add up
        yield b"".join(raw_frame(8, 0, stream.stream_id, b"\0\0\0\1") for stream in streams)


def header_list(session):
    """One field of 3,900 bytes in the table, then blocks that name it by its index thousands of times."""
    number, plain = 1, session.encoder.encode([*session.fields(), ("x", "y" * 3900)])
    while True:
        yield frames.HeadersFrame(number, plain, flags=["END_HEADERS", "END_STREAM"]).serialize()
        plain = session.encoder.encode(session.fields()) + b"\xbe" * 16000
        number += 2


FLOODS = {
    "rapid_reset": rapid_reset, "rapid_reset-made": made_reset, "continuation": continuation,
    "continuation-empty": empty_continuation, "settings": settings, "ping": ping, "priority": priority,
    "priority-unknown": unknown_frames, "empty_data": empty_data, "window_update": window_update,
    "tiny_window": tiny_window, "header_list": header_list,
}


class Reading(threading.Thread):
    """Takes what comes all the while, so that a flood is not stopped by its own answers."""

    def __init__(self, session):
        super().__init__(daemon=True)
        self.session, self.counts, self.goaway, self.ending = session, collections.Counter(), None, None
        self.start()

    def run(self):
        try:
            while True:
                frame = self.session.read_frame()
                self.counts[type(frame)] += 1
                if isinstance(frame, frames.GoAwayFrame):
                    self.goaway = Code(frame.error_code)
        except (OSError, Closed) as ending:
            self.ending = ending

    def wait_for(self, kind, count):
        wait_until(lambda: self.counts[kind] >= count or not self.is_alive(), 5)


def pour(session, flood, seconds):
    """Sends as long as the peer takes it; gives the reader, which ends with the session."""
    ending = time.monotonic() + seconds
    session.client.sock.settimeout(max(seconds, 0.01))  # the time may be over already
    reading = session.reading = Reading(session)
    pieces = FLOODS[flood](session)
    try:
        while reading.is_alive() and time.monotonic() < ending:
            session.client.send(next(pieces))
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass
    reading.join(patient(5))
    session.client.close()
    return reading


@pytest.mark.parametrize("flood", FLOODS)
def test_ends_in_enhance_your_calm(web, flood):
    name = flood.partition("-")[0]
    before, closed = web.listener()["http2"], web.closed(names.FLOOD)
    bystander = connect(web)
    assert bystander.lives()
    reading = pour(connect(web).sync(), flood, 3)
    assert isinstance(reading.ending, Closed), f"it was not stopped: {reading.ending!r}"
    assert bystander.lives()
    assert reading.goaway == Code.ENHANCE_YOUR_CALM, (reading.goaway, web.listener()["http2"])
    web.wait_closed(names.FLOOD, closed + 1)
    after = web.listener()["http2"]
    assert after["floods"] == {**before["floods"], name: before["floods"].get(name, 0) + 1}
    assert after["session_errors"]["ENHANCE_YOUR_CALM"] == before["session_errors"].get("ENHANCE_YOUR_CALM", 0) + 1


class Bystander:
    """A client of another session that asks every few milliseconds."""

    def __init__(self, sluice):
        self.session, self.tally = connect(sluice), Tally()
        self.ending, self.problem = threading.Event(), None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self._ask_on()
        except Exception as problem:  # a thread's own would be lost
            self.problem = problem

    def _ask_on(self):
        while not self.ending.is_set():
            began = time.monotonic()
            assert self.session.lives()
            self.tally.latencies.append(time.monotonic() - began)
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(10)
        self.session.client.close()
        assert self.problem is None, f"the bystander was not served: {self.problem!r}"


def watched(sluice, seconds, act):
    """p99 of a bystander during `act` and as long after it, and the share of a core that the daemon used after it."""
    with Bystander(sluice) as bystander:
        act(seconds)
        before, began = sluice.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        share = (sluice.cpu_seconds() - before) / (time.monotonic() - began)
    assert bystander.tally.latencies
    return bystander.tally.p99(), share


@pytest.mark.slow
@pytest.mark.bench
@pytest.mark.parametrize("flood", scaled(["rapid_reset", "ping"], list(FLOODS)))
def test_costs_others_nothing(start, flood):
    """One flooder after the other, each until it is stopped, then silence: the daemon's share stays that of before."""
    sluice = start(configs.config(configs.http2(max_requests_per_connection=0, request_timeout="1h")))
    seconds = scaled(1, 10)
    alone_p99, alone_share = watched(sluice, seconds, lambda _: None)
    sessions = []

    def attack(seconds):
        session = connect(sluice).sync()
        sessions.append(session)
        pour(session, flood, seconds)

    beside_p99, share = watched(sluice, seconds, attack)
    wait_until(lambda: sluice.closed(names.FLOOD) == 1)
    print(f"p99 {alone_p99 * 1000:.2f} -> {beside_p99 * 1000:.2f} ms, share {alone_share:.3f} -> {share:.3f}")
    assert share - alone_share <= 0.05 * PATIENCE
    assert beside_p99 <= alone_p99 * 1.5 * PATIENCE + patient(0.02)


@pytest.mark.slow
@pytest.mark.bench
def test_flooders_that_come_again(start):
    """Each connection has its budget; a client that comes again and again must still leave room for others."""
    sluice = start(configs.config(configs.http2(max_requests_per_connection=0)))
    seconds = scaled(1, 10)

    def attack(seconds):
        ending = time.monotonic() + seconds
        while time.monotonic() < ending:
            with connect(sluice) as session:
                pour(session, "rapid_reset", ending - time.monotonic())

    p99, _ = watched(sluice, seconds, attack)
    assert sluice.closed(names.FLOOD) >= 1 and p99 < 0.1 * PATIENCE


def test_a_normal_client_is_no_flood(web):
    """Much of everything, but at a pace and in a measure that clients have."""
    session = connect(web, window=1 << 20)
    for _ in range(30):
        session.cancel(session.begin("POST", "/echo", end=False))
    for _ in range(50):
        session.sync()
        session.send_frame(frames.SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: 1 << 20}))
        session.open_window(1)
    assert session.ask("POST", "/echo", headers=[(f"x-{n}", "v" * 200) for n in range(80)], body=b"x").status == 200
    for _ in range(3):
        session.wait(*[session.begin(path="/big") for _ in range(20)])
    assert session.lives() and not session.goaways
