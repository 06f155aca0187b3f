"""Many handshakes at once must not starve those who are connected."""

import select
import signal
import subprocess
import threading
import time

import pytest

from support import configs, names
from support.daemon import wait_ended_within
from support.h2client import connect
from support.http import Closed, request
from support.load import Askers
from support.settings import PATIENCE, scaled
from support.tls import V12, V13, client_context, server_hello_wish
from support.waiting import wait_until

CROWD = 300


def test_a_turn_has_a_budget(start, certificates):
    """All hellos are there when the daemon wakes up, and before them in line. Who is connected is answered among the
    first all the same."""
    sluice = start(configs.config(configs.https(tls=certificates.server(algorithm="rsa").tls())))
    address = sluice.addr()
    bystander = sluice.connect()
    assert bystander.ask().status == 200
    crowd = [sluice.connect(address=address, tls=False) for _ in range(CROWD)]
    wait_until(lambda: sluice.pool()["active"] == CROWD + 1)
    hello = server_hello_wish()
    sluice.signal(signal.SIGSTOP)
    for client in crowd:
        client.send(hello)
    bystander.send(request())
    sluice.signal(signal.SIGCONT)
    assert bystander.response().status == 200
    readable, _, _ = select.select([client.sock for client in crowd], [], [], 0)
    assert len(readable) < CROWD / 2, f"{len(readable)} of {CROWD} handshakes went first"
    for client in crowd:  # and all get their turn
        assert client.exactly(3)[:2] == b"\x16\x03"


def test_who_leaves_the_line_is_forgotten(start, certificates):
    sluice = start(configs.config(configs.https(tls=certificates.server(algorithm="rsa").tls(),
                                                handshake_timeout="2s")))
    for _ in range(3):
        crowd = [sluice.connect(tls=False) for _ in range(100)]
        for number, client in enumerate(crowd):
            client.send(server_hello_wish())
            if number % 2:
                client.close()
        for client in crowd:
            client.close()
    wait_until(lambda: sluice.pool()["active"] == 0)
    assert sluice.ask().status == 200


@pytest.mark.parametrize("version", [V12, V13])
def test_a_crowd_gets_in(start, version):
    """None of many that come at once is too late for the handshake_timeout."""
    sluice = start(configs.config(configs.https()))
    address, count, answered = sluice.addr(), scaled(100, 1000), []

    def come():
        with sluice.connect(address=address, tls=client_context(only=version), timeout=20) as client:
            answered.append(client.ask().status)

    threads = [threading.Thread(target=come) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answered == [200] * count
    assert sluice.listener()["tls"]["handshakes"]["full"] == count


class Newcomers:
    """Threads that connect, ask once and leave, again and again; every failure is remembered."""

    def __init__(self, sluice, kind, count=6):
        self.sluice, self.address, self.kind = sluice, sluice.addr(), kind
        self.ending, self.served, self.failures = threading.Event(), 0, []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def _come(self):
        if self.kind == "http2":
            with connect(self.sluice, address=self.address) as session:
                return session.ask().status
        with self.sluice.connect(address=self.address) as client:
            return client.ask().status

    def _run(self):
        while not self.ending.is_set():
            try:
                assert self._come() == 200
                self.served += 1
            except (OSError, Closed, AssertionError) as failure:
                self.failures.append(repr(failure))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(20)


@pytest.mark.parametrize("kind", ["https", "http2"])
def test_a_restart_cuts_no_newcomer(start, kind):
    """Neither in the handshake nor before the first request: as without TLS, who has just come is served."""
    make = {"https": configs.https, "http2": configs.http2}[kind]
    sluice = start(configs.config(make(tls=configs.SELF_SIGNED, drain_timeout="5s")))
    with Newcomers(sluice, kind) as newcomers:
        for _ in range(scaled(5, 50)):
            served = newcomers.served
            wait_until(lambda: newcomers.served > served + 5)
            sluice.ctl("restart", "web", check=True)
    assert not newcomers.failures, (len(newcomers.failures), newcomers.failures[:3])


@pytest.mark.parametrize("kind", ["https", "http2"])
def test_a_drain_waits_for_no_silence(start, kind):
    """Who connects and says nothing, as balancers do that only look, gets the second that newcomers have."""
    make = {"https": configs.https, "http2": configs.http2}[kind]
    sluice = start(configs.config(make(tls=configs.SELF_SIGNED, drain_timeout="30s", handshake_timeout="30s")))
    silent = [sluice.connect(tls=False) for _ in range(3)]
    wait_until(lambda: sluice.pool()["active"] == len(silent))
    sluice.signal(signal.SIGTERM)
    code, seconds = wait_ended_within(sluice, 8)
    assert code == 0 and seconds < 8


@pytest.mark.slow
@pytest.mark.bench
def test_a_flood_beside_a_bystander(start, certificates, needs):
    needs("openssl")
    seconds = scaled(2, 10)
    sluice = start(configs.config(configs.https(tls=certificates.server(algorithm="rsa").tls(),
                                                max_requests_per_connection=0)))
    address = sluice.addr()
    with Askers(lambda: sluice.connect(address=address), count=1, pause=0.005) as askers:
        time.sleep(1)
        alone = askers.stop()
    command = ["openssl", "s_time", "-connect", f"{address[0]}:{address[1]}", "-new", "-time", str(seconds)]
    flood = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(4)]
    with Askers(lambda: sluice.connect(address=address), count=1, pause=0.005) as askers:
        for process in flood:
            process.wait(60)
        beside = askers.stop()
    assert not beside.lost and not beside.undecided
    print(f"p99 {alone.p99() * 1000:.2f} -> {beside.p99() * 1000:.2f} ms, "
          f"{sluice.listener()['tls']['handshakes']['full'] / seconds:.0f} handshakes a second")
    assert beside.p99() < alone.p99() * 5 + 0.05 * PATIENCE


@pytest.mark.slow
def test_half_handshakes_are_ended(start):
    """A thousand that say half a hello and wait: all are ended in time, and newcomers are served meanwhile."""
    sluice = start(configs.config(configs.https(handshake_timeout="1s", max_connections=10000)))
    count = scaled(300, 3000)
    hello = server_hello_wish()
    stuck = [sluice.connect(tls=False) for _ in range(count)]
    for client in stuck:
        client.send(hello[:100])
    assert sluice.ask().status == 200
    sluice.wait_closed(names.HANDSHAKE_TIMEOUT, count)
    assert sluice.ask().status == 200
