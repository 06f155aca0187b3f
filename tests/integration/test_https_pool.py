"""The keys of `pool` for https. Most are the cases of http over TLS; in a short run only that each is live."""

import socket

import pytest

import test_pool as cases
from support import configs, names
from support.http import Closed, request
from support.settings import LONG
from support.tls import server_hello_wish
from support.waiting import wait_until


@pytest.fixture
def start(start):
    """Every http listener becomes an https one."""
    return lambda configuration=None, **more: start(configuration, secured=configs.SELF_SIGNED, **more)


def over_tls(case, *short):
    """All tests of the class in a long run, else the named ones."""
    left_out = [name for name in dir(case) if name.startswith("test_") and not LONG and name not in short]
    return type(case.__name__, (case,), dict.fromkeys(left_out))


TestKeepAliveTimeout = over_tls(cases.TestKeepAliveTimeout, "test_live")
TestHeadersTimeout = over_tls(cases.TestHeadersTimeout, "test_silent_from_the_start")
TestRequestTimeout = over_tls(cases.TestRequestTimeout)
TestWriteTimeout = over_tls(cases.TestWriteTimeout, "test_live")
TestMinDataRate = over_tls(cases.TestMinDataRate, "test_slow_reader")
TestMaxRequests = over_tls(cases.TestMaxRequests, "test_zero_is_no_limit")
TestSizes = over_tls(cases.TestSizes, "test_max_header_size_live", "test_max_body_size_live")
TestDrainTimeout = over_tls(cases.TestDrainTimeout, "test_live_before_the_drain")
if LONG:
    test_changes_of_every_key_disturb_nobody = cases.test_changes_of_every_key_disturb_nobody


class TestLimits:
    """Who comes over a limit is closed before the handshake: no answer could be read without one."""

    def keep(self, sluice, count):
        kept = [sluice.connect() for _ in range(count)]
        assert all(client.ask().status == 200 for client in kept)
        return kept

    def refused(self, sluice, source=None):
        """Closed without a byte of TLS, and not counted as a handshake."""
        before = sluice.listener()["tls"]["handshakes"]
        client = sluice.connect(tls=False, source=source)
        client.try_send(server_hello_wish())
        client.ending()
        assert sluice.listener()["tls"]["handshakes"] == before
        return client.buffer == b""

    def test_max_connections(self, start):
        sluice = start(cases.pool_of(max_connections=3, at_limit="refuse", keep_alive_timeout="60s"))
        kept = self.keep(sluice, 3)
        assert self.refused(sluice)
        pool = sluice.pool()
        assert (pool["active"], pool["accepted"], names.count(pool["rejected"], names.REJECTED_MAX)) == (3, 3, 1)
        sluice.apply(cases.pool_of(max_connections=4, at_limit="refuse", keep_alive_timeout="60s"))
        kept += self.keep(sluice, 1)
        assert self.refused(sluice)
        kept.pop().close()
        wait_until(lambda: sluice.pool()["active"] == 3)
        assert sluice.ask().status == 200

    def test_max_connections_per_client(self, start):
        sluice = start(cases.pool_of(max_connections_per_client=2, at_limit="refuse", keep_alive_timeout="60s"))
        self.keep(sluice, 2)
        assert self.refused(sluice)
        assert sluice.rejected(names.REJECTED_PER_CLIENT) == 1
        assert sluice.connect(source="127.0.0.2").ask().status == 200
        sluice.apply(cases.pool_of(max_connections_per_client=0, at_limit="refuse", keep_alive_timeout="60s"))
        assert sluice.ask().status == 200

    def test_shed_idle_takes_the_oldest(self, start):
        sluice = start(cases.pool_of(max_connections=3, at_limit="shed_idle", keep_alive_timeout="60s"))
        kept = self.keep(sluice, 3)
        assert sluice.connect().ask().status == 200
        assert kept[0].ending() == "fin"
        assert kept[1].ask().status == 200 and kept[2].ask().status == 200
        assert sluice.closed(names.SHED) == 1

    def test_at_limit_is_live(self, start):
        sluice = start(cases.pool_of(max_connections=1, at_limit="refuse", keep_alive_timeout="60s"))
        idle, = self.keep(sluice, 1)
        assert self.refused(sluice)
        sluice.apply(cases.pool_of(max_connections=1, at_limit="shed_idle", keep_alive_timeout="60s"))
        assert sluice.ask().status == 200
        assert idle.ending() == "fin"

    def test_many_over_the_limit(self, start):
        """More than the refusal lane holds."""
        sluice = start(cases.pool_of(max_connections=1, at_limit="refuse", keep_alive_timeout="60s"))
        self.keep(sluice, 1)
        crowd = []
        for _ in range(200):
            try:
                crowd.append(sluice.connect(tls=False))
            except (OSError, Closed):
                pass
        for client in crowd:
            client.sock.settimeout(10)
            try:
                assert client.sock.recv(100) == b""
            except ConnectionResetError:
                pass
        wait_until(lambda: sluice.rejected(names.REJECTED_MAX) == len(crowd))
        assert sluice.pool()["accepted"] == 1


def test_drain_is_announced_and_loses_nothing(start):
    sluice = start(cases.pool_of(drain_timeout="5s", keep_alive_timeout="60s"))
    half, idle, shaking = sluice.connect(), sluice.connect(), sluice.connect(tls=False)
    assert idle.ask().status == 200
    half.send(request("POST", "/echo", headers={"Content-Length": "5"}) + b"he")
    shaking.send(server_hello_wish()[:10])
    wait_until(lambda: sluice.pool()["active"] == 3)
    sluice.ctl("drain", "web", check=True)
    assert idle.ending() == "fin"
    half.send(b"llo")
    assert half.response().body == b"hello"
    assert half.ending() == "fin"
    shaking.ending(timeout=8)
    wait_until(lambda: sluice.listener()["state"] == "stopped")


def test_sockets_of_other_kinds(start, tmp_path):
    path = tmp_path / "web.sock"
    sluice = start(cases.pool_of(bind=f"unix:{path}"))
    assert sluice.connect(address=str(path)).ask().status == 200
    if socket.has_ipv6:
        try:
            other = start(cases.pool_of(bind="[::1]:0"))
        except AssertionError:
            pytest.skip("no IPv6")
        assert other.ask().status == 200
