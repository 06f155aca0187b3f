"""Ending: every request that was readable before our FIN is answered, and the end comes in time."""

import json
import signal
import socket
import threading
import time

import pytest

from support import configs, names
from support.daemon import wait_ended_within
from support.http import Closed, request
from support.load import Askers, Wrk
from support.settings import PATIENCE, patient, scaled
from support.waiting import wait_until

DRAIN_SECONDS = 5


def draining(seconds=DRAIN_SECONDS, **top):
    quiet = dict(max_requests_per_connection=0, keep_alive_timeout="60s", headers_timeout="60s")
    return configs.config(configs.listener(drain_timeout=f"{seconds}s", **quiet), **top)


def readyz(sluice):
    try:
        return sluice.admin.ask("GET", "/readyz").status
    except (OSError, Closed):
        return None


def read_slowly(client, outcome):
    """Takes the big answer in small bites over about a second."""
    try:
        response = client.head()
        left = int(response.get("content-length")) - len(client.buffer)
        while left > 0:
            data = client.sock.recv(16384)
            if not data:
                break
            left -= len(data)
            time.sleep(0.02)
        outcome.append(left)
    except (OSError, Closed) as error:
        outcome.append(error)


def one_round(sluice):
    """SIGTERM into full traffic. Gives how long the end took."""
    address = sluice.addr()
    half_body, half_head, idle = ([sluice.connect(address=address) for _ in range(5)] for _ in range(3))
    for client in half_body:
        client.send(request("POST", "/echo", headers={"Content-Length": "5"}) + b"he")
    for client in half_head:
        client.send(b"GET / HTTP/1.1\r\nHo")
    for client in idle:
        assert client.ask().status == 200
    slow, outcomes = [sluice.connect(address=address, receive_buffer=16384) for _ in range(5)], []
    for client in slow:
        client.send(request(path="/big"))
    readers = [threading.Thread(target=read_slowly, args=(client, outcomes), daemon=True) for client in slow]
    with Wrk(sluice.url() + "/", connections=16, seconds=2) as wrk, \
            Askers(lambda: sluice.connect(address=address), count=6) as askers:
        wait_until(lambda: sluice.pool()["active"] >= 36)
        for reader in readers:
            reader.start()
        time.sleep(0.2)
        sluice.signal(signal.SIGTERM)
        began = time.monotonic()
        for client in half_body:
            client.send(b"llo")
        for client in half_head:
            client.send(b"st: x\r\n\r\n")
        for client in half_body:
            response = client.response()
            assert response.body == b"hello"
        for client in half_head:
            assert client.response().status == 200
        for client in half_body + half_head + idle:
            assert client.ending() == "fin"
        code, _ = wait_ended_within(sluice, DRAIN_SECONDS + 2)
        took = time.monotonic() - began
        total = askers.stop()
        outcome = wrk.result()
    for reader in readers:
        reader.join(patient(10))
    assert code == 0
    assert outcomes == [0] * 5, "a slow reader lost its answer"
    assert not total.lost, total.lost
    assert total.answered > 0
    assert outcome["bad"] == 0 and outcome["timeout"] == 0, outcome["output"]
    assert outcome["requests"] > 0
    return took


@pytest.mark.slow
@pytest.mark.parametrize("number", range(scaled(3, 50)))
def test_under_load(start, needs, number):
    needs("wrk")
    sluice = start(draining())
    took = one_round(sluice)
    assert took < DRAIN_SECONDS
    print(f"round {number}: ended after {took:.2f} s")


def test_sigint_is_the_same(sluice):
    sluice.signal(signal.SIGINT)
    assert sluice.wait_exit() == 0


def test_nothing_to_do_ends_at_once(start):
    sluice = start(draining(30))
    idle = sluice.connect()
    assert idle.ask().status == 200
    sluice.signal(signal.SIGTERM)
    code, seconds = wait_ended_within(sluice, 3)
    assert code == 0 and seconds < patient(2)
    assert idle.ending() == "fin"


def test_answers_of_a_drain_say_close(start):
    sluice = start(draining())
    half = sluice.connect()
    half.send(request("POST", "/echo", headers={"Content-Length": "5"}) + b"he")
    wait_until(lambda: sluice.pool()["active"] == 1)
    sluice.signal(signal.SIGTERM)
    wait_until(lambda: readyz(sluice) != 200)
    half.send(b"llo" + request())
    response = half.response()
    assert response.status == 200
    # Either the answer ends the connection, or the request that was there already is answered too.
    if not response.closes:
        assert half.response().closes
    assert half.ending() in ("fin", "reset")
    assert sluice.wait_exit() == 0


def test_deadline_cuts(start):
    sluice = start(draining(1))
    half = sluice.connect()
    half.send(b"GET / HTTP/1.1\r\nHo")
    wait_until(lambda: sluice.pool()["active"] == 1)
    began = time.monotonic()
    sluice.signal(signal.SIGTERM)
    assert sluice.wait_exit(4) == 0
    assert 0.6 <= time.monotonic() - began
    half.ending()


def test_second_signal_ends_at_once(start):
    sluice = start(draining(60))
    half = sluice.connect()
    half.send(b"GET / HTTP/1.1\r\nHo")
    wait_until(lambda: sluice.pool()["active"] == 1)
    sluice.signal(signal.SIGTERM)
    wait_until(lambda: readyz(sluice) != 200)
    assert sluice.alive
    sluice.signal(signal.SIGTERM)
    code, seconds = wait_ended_within(sluice, 2)
    assert code >= 0, "ended by the signal itself"
    sluice.process.returncode = 0  # the code of a forced end is its own affair


def test_drain_delay(start):
    """First readyz says no while newcomers are still served, so that a balancer has time to look away."""
    delay = patient(1)
    sluice = start(draining(drain_delay=f"{delay * 1000:.0f}ms"))
    address = sluice.addr()
    began = time.monotonic()
    sluice.signal(signal.SIGTERM)
    wait_until(lambda: readyz(sluice) == 503, 1)
    for _ in range(3):
        with sluice.connect(address=address) as client:
            assert client.ask().status == 200
    assert sluice.wait_exit() == 0
    assert time.monotonic() - began >= delay - 0.1


def test_the_accept_queue_is_emptied(start):
    """Connections that were made before the end began are served, though nobody had accepted them yet."""
    sluice = start(draining())
    address = sluice.addr()
    for _ in range(3):
        assert sluice.ask().status == 200
    sluice.signal(signal.SIGSTOP)
    waiting = [sluice.connect(address=address) for _ in range(20)]
    for client in waiting:
        client.send(request())
    sluice.signal(signal.SIGTERM)
    sluice.signal(signal.SIGCONT)
    for client in waiting:
        assert client.response().status == 200
    assert sluice.wait_exit() == 0


class TestCommands:
    def two(self):
        return configs.config(configs.listener(drain_timeout="5s", keep_alive_timeout="60s"), configs.listener("other"))

    def test_drain_one(self, start):
        sluice = start(self.two())
        address = sluice.addr()
        half, idle = sluice.connect(), sluice.connect()
        half.send(request("POST", "/echo", headers={"Content-Length": "5"}) + b"he")
        assert idle.ask().status == 200
        sluice.ctl("drain", "web", check=True)
        assert sluice.listener()["state"] in ("draining", "stopped")
        assert idle.ending() == "fin"
        half.send(b"llo")
        assert half.response().body == b"hello"
        wait_until(lambda: sluice.pool()["active"] == 0)
        with pytest.raises(OSError):
            sluice.connect(address=address).ask()
        assert sluice.ask(name="other").status == 200
        wait_until(lambda: sluice.listener()["state"] == "stopped")
        assert sluice.listener()["health"] == "unavailable"

    def test_restart_brings_a_drained_one_back(self, start):
        sluice = start(self.two())
        sluice.ctl("drain", "web", check=True)
        wait_until(lambda: sluice.listener()["state"] == "stopped")
        done = sluice.ctl("restart", "web")
        if done.returncode == 0:
            wait_until(lambda: sluice.listener()["state"] == "listening")
            assert sluice.ask().status == 200
        else:
            assert done.returncode == 1 and done.stderr

    def test_restart_loses_nothing(self, start):
        sluice = start(self.two())
        address = sluice.addr()
        half = sluice.connect()
        half.send(request("POST", "/echo", headers={"Content-Length": "5"}) + b"he")
        wait_until(lambda: sluice.pool()["active"] == 1)
        with Askers(lambda: sluice.connect(address=address), count=4) as askers:
            for number in range(2, 5):
                assert json.loads(sluice.ctl("--json", "restart", "web", check=True).stdout)["generation"] == number
                assert sluice.listener()["generation"] == number
                time.sleep(0.2)
            total = askers.stop()
        assert not total.lost and total.answered > 50 / PATIENCE
        half.send(b"llo")
        assert half.response().body == b"hello"
        assert sluice.addr() == address

    def test_restart_never_refuses_a_newcomer(self, start):
        sluice = start(self.two())
        address = sluice.addr()
        ending = threading.Event()
        failures = []

        def come():
            while not ending.is_set():
                try:
                    with sluice.connect(address=address) as client:
                        assert client.ask().status == 200
                except (OSError, Closed, AssertionError) as failure:
                    failures.append(repr(failure))

        thread = threading.Thread(target=come)
        thread.start()
        for _ in range(5):
            sluice.ctl("restart", "web", check=True)
            time.sleep(0.1)
        ending.set()
        thread.join()
        assert not failures

    def test_drain_all(self, start):
        sluice = start(self.two())
        sluice.ctl("drain", check=True)
        assert sluice.wait_exit() == 0

    @pytest.mark.parametrize("verb", ["drain", "restart"])
    def test_unknown_listener(self, sluice, verb):
        done = sluice.ctl(verb, "nobody")
        assert done.returncode == 1 and "nobody" in done.stderr


def test_drained_connections_are_counted(start):
    sluice = start(configs.config(configs.listener(keep_alive_timeout="60s"), configs.listener("other")))
    idle = [sluice.connect() for _ in range(3)]
    assert all(client.ask().status == 200 for client in idle)
    sluice.ctl("drain", "web", check=True)
    assert all(client.ending() == "fin" for client in idle)
    sluice.wait_closed(names.DRAIN, 3)


def test_socket_file_is_removed(start):
    sluice = start(draining())
    sluice.signal(signal.SIGTERM)
    assert sluice.wait_exit() == 0
    assert not sluice.socket_path.exists()


def test_start_after_a_crash(start, tmp_path):
    """A socket file that nobody listens on does not stop a start."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "admin.sock"))
    assert start().ask().status == 200
