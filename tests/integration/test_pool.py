"""The keys of `pool` for http, one by one: the right answer, the right reason, and live on an open connection."""

import threading
import time

import pytest

from support import configs, names
from support.http import Closed, chunked, request
from support.load import Askers
from support.settings import PATIENCE, patient
from support.waiting import wait_until

# Lower bounds are hard: nothing may end early. A tick of the timer wheel is allowed.
TICK = 0.15
# What a client must do in time; it and the daemon may each be late, by as much as patience has room for.
IN_TIME = patient(0.9)


def ms(seconds):
    return f"{seconds * 1000:.0f}ms"


def pool_of(**pool):
    return configs.config(configs.listener(**pool))


def is_refusal(response):
    return response.status == 503 and response.closes and response.get("retry-after") is not None


def took(action):
    """With what begins the time in it, so that a delay of ours only makes it longer."""
    began = time.monotonic()
    result = action()
    return result, time.monotonic() - began


def drip(client, pieces, pause):
    """Sends the pieces one by one from a thread, until the peer hangs up."""
    def run():
        for piece in pieces:
            if not client.try_send(piece):
                return
            time.sleep(pause)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


class TestMaxConnections:
    def test_exact(self, start):
        sluice = start(pool_of(max_connections=5, at_limit="refuse", keep_alive_timeout="60s"))
        kept = [sluice.connect() for _ in range(5)]
        assert all(client.ask().status == 200 for client in kept)
        over = sluice.connect()
        over.send(request())
        assert is_refusal(over.response())
        assert over.ending() in ("fin", "reset")
        pool = sluice.pool()
        assert (pool["active"], pool["accepted"]) == (5, 5)
        assert names.count(pool["rejected"], names.REJECTED_MAX) == 1
        kept.pop().close()
        wait_until(lambda: sluice.pool()["active"] == 4)
        assert sluice.ask().status == 200

    def test_live(self, start):
        sluice = start(pool_of(max_connections=2, at_limit="refuse", keep_alive_timeout="60s"))
        kept = [sluice.connect() for _ in range(2)]
        assert all(client.ask().status == 200 for client in kept)
        assert is_refusal(sluice.ask())
        sluice.apply(pool_of(max_connections=4, at_limit="refuse", keep_alive_timeout="60s"))
        kept += [sluice.connect() for _ in range(2)]
        assert all(client.ask().status == 200 for client in kept)
        assert is_refusal(sluice.ask())
        sluice.apply(pool_of(max_connections=1, at_limit="refuse", keep_alive_timeout="60s"))
        # Nobody is thrown out; newcomers are refused until there is room.
        assert all(client.ask().status == 200 for client in kept)
        assert is_refusal(sluice.ask())

    def test_never_passed_in_a_rush(self, start):
        sluice = start(pool_of(max_connections=10, at_limit="refuse"))
        address = sluice.addr()
        statuses, told = [], threading.Event()

        def come():
            try:
                with sluice.connect(address=address) as client:
                    statuses.append(client.ask().status)
                    told.wait(patient(20))
            except (OSError, Closed):
                statuses.append(None)

        threads = [threading.Thread(target=come) for _ in range(60)]
        for thread in threads:
            thread.start()
        while len(statuses) < 60:
            assert sluice.pool()["active"] <= 10
        told.set()
        for thread in threads:
            thread.join()
        assert statuses.count(200) >= 10
        assert statuses.count(503) >= 1
        pool = sluice.pool()
        assert pool["accepted"] == statuses.count(200)

    def test_limit_reached_is_an_event(self, start):
        sluice = start(pool_of(max_connections=1, at_limit="refuse"))
        kept = sluice.connect()
        assert kept.ask().status == 200
        assert is_refusal(sluice.ask())
        assert any(event["type"] == "limit_reached" for event in sluice.events())


def test_max_connections_per_client(start):
    sluice = start(pool_of(max_connections_per_client=2, at_limit="refuse", keep_alive_timeout="60s"))
    kept = [sluice.connect() for _ in range(2)]
    assert all(client.ask().status == 200 for client in kept)
    assert is_refusal(sluice.ask())
    assert sluice.rejected(names.REJECTED_PER_CLIENT) == 1
    assert sluice.connect(source="127.0.0.2").ask().status == 200
    sluice.apply(pool_of(max_connections_per_client=3, at_limit="refuse", keep_alive_timeout="60s"))
    assert sluice.connect().ask().status == 200
    assert is_refusal(sluice.ask())
    sluice.apply(pool_of(max_connections_per_client=0, at_limit="refuse", keep_alive_timeout="60s"))
    assert sluice.ask().status == 200


class TestAtLimit:
    def test_shed_idle_takes_the_oldest(self, start):
        sluice = start(pool_of(max_connections=3, at_limit="shed_idle", keep_alive_timeout="60s"))
        kept = []
        for _ in range(3):
            kept.append(sluice.connect())
            assert kept[-1].ask().status == 200
            time.sleep(0.05)
        assert sluice.connect().ask().status == 200
        assert kept[0].ending() == "fin"
        assert kept[1].ask().status == 200 and kept[2].ask().status == 200
        assert sluice.closed(names.SHED) == 1
        pool = sluice.pool()
        assert (pool["accepted"], pool["active"]) == (4, 3)

    def test_busy_ones_are_never_shed(self, start):
        sluice = start(pool_of(max_connections=2, at_limit="shed_idle"))
        busy = [sluice.connect() for _ in range(2)]
        for client in busy:
            client.send(request("POST", "/echo", headers={"Content-Length": "5"}) + b"he")
        wait_until(lambda: sluice.pool()["active"] == 2 and sluice.pool()["idle"] == 0)
        assert is_refusal(sluice.ask())
        for client in busy:
            client.send(b"llo")
            assert client.response().body == b"hello"
        assert sluice.closed(names.SHED) == 0

    def test_live(self, start):
        sluice = start(pool_of(max_connections=1, at_limit="refuse", keep_alive_timeout="60s"))
        idle = sluice.connect()
        assert idle.ask().status == 200
        assert is_refusal(sluice.ask())
        sluice.apply(pool_of(max_connections=1, at_limit="shed_idle", keep_alive_timeout="60s"))
        assert sluice.ask().status == 200
        assert idle.ending() == "fin"


class TestKeepAliveTimeout:
    def test_ends_an_idle_one(self, start):
        sluice = start(pool_of(keep_alive_timeout="500ms"))
        client = sluice.connect()
        (response, ending), seconds = took(lambda: (client.ask(), client.ending()))
        assert response.status == 200 and ending == "fin" and client.buffer == b""
        assert 0.5 - TICK <= seconds <= 0.5 + patient(1.0)
        sluice.wait_closed(names.KEEP_ALIVE)

    def test_each_request_begins_it_anew(self, start):
        sluice = start(pool_of(keep_alive_timeout=ms(IN_TIME * 1.2)))
        client = sluice.connect()
        for _ in range(6):
            assert client.ask().status == 200
            time.sleep(IN_TIME * 0.3)
        assert client.ask().status == 200

    def test_does_not_touch_a_busy_one(self, start):
        sluice = start(pool_of(keep_alive_timeout=ms(IN_TIME)))
        client = sluice.connect()
        assert client.ask().status == 200
        client.send(request("POST", "/echo", headers={"Content-Length": "5"}))
        time.sleep(IN_TIME + 0.5)
        client.send(b"hello")
        assert client.response().body == b"hello"

    def test_live(self, start):
        sluice = start(pool_of(keep_alive_timeout="1h"))
        client = sluice.connect()
        assert client.ask().status == 200
        sluice.apply(pool_of(keep_alive_timeout="300ms"))
        assert client.ending() == "fin"
        sluice.wait_closed(names.KEEP_ALIVE)

    def test_live_longer(self, start):
        sluice = start(pool_of(keep_alive_timeout=ms(IN_TIME)))
        client = sluice.connect()
        assert client.ask().status == 200
        sluice.apply(pool_of(keep_alive_timeout="60s"))
        time.sleep(IN_TIME + 0.5)
        assert client.ask().status == 200


class TestHeadersTimeout:
    def test_silent_from_the_start(self, start):
        sluice = start(pool_of(headers_timeout="500ms", keep_alive_timeout="500ms"))
        ending, seconds = took(lambda: sluice.connect().ending())
        assert ending == "fin" and 0.5 - TICK <= seconds <= 0.5 + patient(1.0)

    def test_bytes_do_not_extend_it(self, start):
        sluice = start(pool_of(headers_timeout="700ms", request_timeout="60s", keep_alive_timeout="60s"))
        client = sluice.connect()
        pieces = [b"GET / HTTP/1.1\r\nHost: x\r\n"] + [b"X-A: b\r\n"] * 200
        (sender, response), seconds = took(lambda: (drip(client, pieces, 0.05), client.response()))
        assert response.status == 408 and response.closes
        assert 0.7 - TICK <= seconds <= 0.7 + patient(1.0)
        client.ending()
        sender.join()
        sluice.wait_closed(names.HEADERS_TIMEOUT)

    def test_counts_from_the_first_byte_of_a_later_request(self, start):
        sluice = start(pool_of(headers_timeout=ms(IN_TIME), keep_alive_timeout="60s"))
        client = sluice.connect()
        assert client.ask().status == 200
        time.sleep(IN_TIME + 0.5)
        assert client.ask().status == 200
        response, seconds = took(lambda: client.send(b"GET / HT").response())
        assert response.status == 408 and IN_TIME - TICK <= seconds <= IN_TIME + patient(1.0)

    def test_live(self, start):
        sluice = start(pool_of(headers_timeout="1h"))
        client = sluice.connect()
        client.send(b"GET / HTTP/1.1\r\nHo")
        wait_until(lambda: sluice.pool()["active"] == 1)
        sluice.apply(pool_of(headers_timeout="300ms"))
        assert client.response().status == 408
        sluice.wait_closed(names.HEADERS_TIMEOUT)


class TestRequestTimeout:
    def test_ends_a_body_that_does_not_come(self, start):
        sluice = start(pool_of(request_timeout="700ms", min_data_rate=0))
        client = sluice.connect()
        raw = request("POST", "/", headers={"Content-Length": "100"}) + b"x" * 10
        response, seconds = took(lambda: client.send(raw).response())
        assert response.status == 408 and response.closes
        assert 0.7 - TICK <= seconds <= 0.7 + patient(1.0)
        client.ending()
        sluice.wait_closed(names.REQUEST_TIMEOUT)

    def test_is_extended_while_the_rate_is_met(self, start):
        sluice = start(pool_of(request_timeout=ms(IN_TIME), min_data_rate="100B/s", min_data_rate_grace=ms(IN_TIME)))
        client = sluice.connect()
        client.send(request("POST", "/echo", headers={"Content-Length": "3000"}))
        drip(client, [b"x" * 100] * 30, IN_TIME / 15).join()
        response = client.response()
        assert response.status == 200 and len(response.body) == 3000

    def test_is_not_extended_without_a_rate(self, start):
        sluice = start(pool_of(request_timeout="500ms", min_data_rate=0))
        client = sluice.connect()
        client.send(request("POST", "/", headers={"Content-Length": "10000"}))
        sender = drip(client, [b"x" * 100] * 100, 0.06)
        assert client.response().status == 408
        client.ending()
        sender.join()
        sluice.wait_closed(names.REQUEST_TIMEOUT)

    def test_never_counts_the_answer(self, start):
        sluice = start(pool_of(request_timeout="300ms", min_data_rate=0, write_timeout="10s"))
        client = sluice.connect(receive_buffer=8192)
        client.send(request(path="/big") * 8)
        time.sleep(1.0)
        assert all(len(client.response().body) == configs.BIG_SIZE for _ in range(8))

    def test_live(self, start):
        sluice = start(pool_of(request_timeout="1h", min_data_rate=0))
        client = sluice.connect()
        client.send(request("POST", "/", headers={"Content-Length": "100"}) + b"x")
        wait_until(lambda: sluice.pool()["active"] == 1)
        sluice.apply(pool_of(request_timeout="300ms", min_data_rate=0))
        assert client.response().status == 408
        sluice.wait_closed(names.REQUEST_TIMEOUT)


class TestWriteTimeout:
    def stuck(self, sluice):
        """A client that asks for much and reads nothing."""
        client = sluice.connect(receive_buffer=4096)
        client.send(request(path="/big") * 16)
        return client

    def test_ends_a_client_that_does_not_read(self, start):
        sluice = start(pool_of(write_timeout="700ms", min_data_rate=0))
        _, seconds = took(lambda: (self.stuck(sluice), sluice.wait_closed(names.WRITE_TIMEOUT)))
        assert 0.7 - TICK <= seconds

    def test_any_progress_is_enough(self, start):
        sluice = start(pool_of(write_timeout=ms(IN_TIME), min_data_rate=0))
        client = self.stuck(sluice)
        ending = time.monotonic() + 2 * IN_TIME
        while time.monotonic() < ending:
            client._fill()
            time.sleep(0.05)
        assert sluice.closed(names.WRITE_TIMEOUT) == 0 and sluice.pool()["active"] == 1

    def test_live(self, start):
        sluice = start(pool_of(write_timeout="1h", min_data_rate=0))
        self.stuck(sluice)
        wait_until(lambda: sluice.pool()["active"] == 1)
        time.sleep(0.3)
        sluice.apply(pool_of(write_timeout="300ms", min_data_rate=0))
        sluice.wait_closed(names.WRITE_TIMEOUT)


class TestMinDataRate:
    SLOW = dict(request_timeout="1h", write_timeout="1h")

    def test_slow_body(self, start):
        sluice = start(pool_of(**self.SLOW, min_data_rate="1000B/s", min_data_rate_grace="600ms"))
        client = sluice.connect()
        client.send(request("POST", "/", headers={"Content-Length": "10000"}))
        (sender, response), seconds = took(lambda: (drip(client, [b"x" * 5] * 100, 0.05), client.response()))
        assert response.status == 408 and 0.6 - TICK <= seconds <= 0.6 + patient(2.0)
        client.ending()
        sender.join()
        sluice.wait_closed(names.MIN_DATA_RATE)

    def test_slow_reader(self, start):
        sluice = start(pool_of(**self.SLOW, min_data_rate="10MiB/s", min_data_rate_grace="500ms"))
        client = sluice.connect(receive_buffer=4096)
        client.send(request(path="/big") * 16)
        ending = time.monotonic() + patient(5)
        while not sluice.closed(names.MIN_DATA_RATE):
            assert time.monotonic() < ending, sluice.pool()["closed"]
            try:
                client.sock.recv(1024)
            except ConnectionResetError:
                break
            time.sleep(0.02)
        sluice.wait_closed(names.MIN_DATA_RATE)

    def test_off(self, start):
        sluice = start(pool_of(**self.SLOW, min_data_rate=0, min_data_rate_grace="100ms"))
        client = sluice.connect()
        client.send(request("POST", "/echo", headers={"Content-Length": "20"}))
        drip(client, [b"x"] * 20, 0.05).join()
        assert client.response().status == 200

    def test_idle_time_does_not_count(self, start):
        sluice = start(pool_of(min_data_rate="1MiB/s", min_data_rate_grace="200ms", keep_alive_timeout="60s"))
        client = sluice.connect()
        for _ in range(3):
            assert client.ask().status == 200
            time.sleep(0.5)
        assert client.ask("POST", "/echo", body=b"x").body == b"x"

    def test_live(self, start):
        sluice = start(pool_of(**self.SLOW, min_data_rate=0, min_data_rate_grace="300ms"))
        client = sluice.connect()
        client.send(request("POST", "/", headers={"Content-Length": "10000"}))
        sender = drip(client, [b"x"] * 100, 0.05)
        time.sleep(0.5)
        sluice.apply(pool_of(**self.SLOW, min_data_rate="1000B/s", min_data_rate_grace="300ms"))
        assert client.response().status == 408
        client.ending()
        sender.join()
        sluice.wait_closed(names.MIN_DATA_RATE)


class TestMaxRequests:
    @staticmethod
    def served(client):
        count = 0
        while True:
            response = client.ask()
            assert response.status == 200
            count += 1
            if response.closes:
                assert client.ending() == "fin"
                return count

    def test_within_a_tenth(self, start):
        sluice = start(pool_of(max_requests_per_connection=20))
        counts = [self.served(sluice.connect()) for _ in range(20)]
        assert all(18 <= count <= 22 for count in counts), counts
        assert len(set(counts)) > 1, "no spread"
        sluice.wait_closed(names.MAX_REQUESTS, 20)

    def test_pipelined_ones_are_answered_up_to_it(self, start):
        sluice = start(pool_of(max_requests_per_connection=10))
        client = sluice.connect()
        client.send(request() * 30)
        answers = []
        while not answers or not answers[-1].closes:
            answers.append(client.response())
        assert 9 <= len(answers) <= 11
        client.ending()
        assert client.buffer == b""

    def test_zero_is_no_limit(self, start):
        sluice = start(pool_of(max_requests_per_connection=0))
        client = sluice.connect()
        client.send(request() * 2000)
        assert not any(client.response().closes for _ in range(2000))

    def test_live(self, start):
        sluice = start(pool_of(max_requests_per_connection=10000))
        client = sluice.connect()
        for _ in range(10):
            assert not client.ask().closes
        sluice.apply(pool_of(max_requests_per_connection=5))
        assert self.served(client) <= 2
        sluice.wait_closed(names.MAX_REQUESTS)


class TestSizes:
    LONG_FIELD = {"X-Long": "x" * 3000}

    def test_max_header_size(self, start):
        sluice = start(pool_of(max_header_size="2KiB"))
        assert sluice.ask(headers={"X-Long": "x" * 1500}).status == 200
        client = sluice.connect()
        response = client.ask(headers=self.LONG_FIELD)
        assert response.status == 431 and response.closes
        client = sluice.connect()
        response = client.ask(path="/" + "x" * 3000)
        assert response.status == 414 and response.closes
        sluice.wait_closed(names.BY_STATUS[431])
        sluice.wait_closed(names.BY_STATUS[414])

    def test_max_header_size_live(self, start):
        sluice = start(pool_of(max_header_size="32KiB"))
        client = sluice.connect()
        assert client.ask(headers=self.LONG_FIELD).status == 200
        sluice.apply(pool_of(max_header_size="2KiB"))
        assert client.ask().status == 200
        assert client.ask(headers=self.LONG_FIELD).status == 431
        client = sluice.connect()
        assert client.ask().status == 200
        sluice.apply(pool_of(max_header_size="32KiB"))
        assert client.ask(headers=self.LONG_FIELD).status == 200

    @pytest.mark.parametrize("path", ["/echo", "/"])
    def test_max_body_size(self, start, path):
        sluice = start(pool_of(max_body_size="1KiB"))
        client = sluice.connect()
        assert client.ask("POST", path, body=b"x" * 1024).status == 200
        client.send(request("POST", path, headers={"Transfer-Encoding": "chunked"}) + chunked(b"x" * 512, b"y" * 512))
        assert client.response().status == 200
        response = client.ask("POST", path, body=b"x" * 1025)
        assert response.status == 413 and response.closes
        client.ending()
        sluice.wait_closed(names.BY_STATUS[413])

    def test_max_body_size_live(self, start):
        sluice = start(pool_of(max_body_size="1KiB"))
        client = sluice.connect()
        assert client.ask().status == 200
        sluice.apply(pool_of(max_body_size=0))
        assert client.ask("POST", "/echo", body=b"x" * 10_000).status == 200
        sluice.apply(pool_of(max_body_size="2KiB"))
        assert client.ask("POST", "/echo", body=b"x" * 2048).status == 200
        assert client.ask("POST", "/echo", body=b"x" * 2049).status == 413


class TestDrainTimeout:
    def two(self, drain_timeout):
        return configs.config(configs.listener(drain_timeout=drain_timeout, headers_timeout="1h"),
                              configs.listener("other"))

    def test_cuts_what_does_not_end(self, start):
        sluice = start(self.two("800ms"))
        client = sluice.connect()
        client.send(b"GET / HTTP/1.1\r\nHo")
        wait_until(lambda: sluice.pool()["active"] == 1)
        _, seconds = took(lambda: (sluice.ctl("drain", "web", check=True), client.ending()))
        assert 0.8 * 0.8 - TICK <= seconds <= 0.8 + patient(1.5)
        wait_until(lambda: sluice.pool()["active"] == 0)
        assert sluice.closed(names.DRAIN_DEADLINE) == 1
        assert sluice.ask(name="other").status == 200

    def test_live_before_the_drain(self, start):
        sluice = start(self.two("1h"))
        client = sluice.connect()
        client.send(b"GET / HTTP/1.1\r\nHo")
        wait_until(lambda: sluice.pool()["active"] == 1)
        sluice.apply(self.two("500ms"))
        sluice.ctl("drain", "web")
        client.ending()
        wait_until(lambda: sluice.pool()["active"] == 0)


@pytest.mark.slow
def test_changes_of_every_key_disturb_nobody(start):
    """Traffic goes on while each key changes back and forth."""
    base = dict(max_connections=1000, keep_alive_timeout="60s", max_requests_per_connection=0)
    changes = [
        dict(max_connections=500), dict(max_connections_per_client=900), dict(handshake_timeout="5s"),
        dict(keep_alive_timeout="30s"), dict(headers_timeout="9s"), dict(request_timeout="29s"),
        dict(write_timeout="29s"), dict(min_data_rate="100B/s"), dict(min_data_rate_grace="19s"),
        dict(max_requests_per_connection=10_000_000), dict(max_header_size="16KiB"), dict(max_body_size="1MiB"),
        dict(at_limit="refuse"), dict(drain_timeout="3s"),
    ]
    sluice = start(pool_of(**base))
    address = sluice.addr()
    with Askers(lambda: sluice.connect(address=address), count=4) as askers:
        for change in changes:
            answer = sluice.apply(pool_of(**{**base, **change}))
            key = "listeners.web.pool." + next(iter(change))
            told = answer["changes"] or sluice.status()["last_reload"]["changes"]
            assert [entry["class"] for entry in told if entry["key"] == key] == ["live"], (key, told)
        total = askers.stop()
    assert not total.lost and not total.undecided and total.answered > 100 / PATIENCE
