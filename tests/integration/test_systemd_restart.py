"""Restarts and crashes under load: the sockets stay, so nobody is refused, and no whole request goes unanswered."""

import time

import pytest

from support import configs
from support.service_load import (STORED, WEB, Chat, Kept, Load, Single, SlowPost, Stubborn, bound, every_client,
                                  every_kind, install_certificate)
from support.settings import patient, scaled
from support.systemd import Service
from support.waiting import wait_until

pytestmark = pytest.mark.slow

ROUNDS = scaled(10, 50)


@pytest.fixture
def service(machine, certificates):
    install_certificate(machine, certificates.server())
    return Service(machine, every_kind())


def restarts_under(service, load, what):
    wait_until(lambda: service.stored == STORED)
    with load:
        load.moved_on()
        before = service.main_pid
        for _ in range(ROUNDS):
            service.restart()
            assert service.main_pid != before
            before = service.main_pid
            load.moved_on()
    load.check(what)
    assert service.show("NRestarts") == "0"
    wait_until(lambda: service.stored == STORED)
    service.stop()


def test_restarts(service):
    clients = every_client(service.machine)
    restarts_under(service, Load(**clients), f"{ROUNDS} restarts")
    assert clients["tls"].full == 1, f"{clients['tls'].full} full handshakes"


def test_restarts_with_a_websocket(service):
    """Its client does not close by itself, but answers Close."""
    load = Load(short=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB), chat=Chat(WEB))
    restarts_under(service, load, f"{ROUNDS} restarts with a WebSocket")


def test_a_restart_waits_for_a_stubborn_websocket(service):
    """No longer than drain_timeout, and meanwhile clients wait in the backlog."""
    service.apply(every_kind(drain_timeout="2s"))
    stubborn = Stubborn(WEB)
    with Load(short=Single(WEB), kept=Kept(WEB)) as load:
        load.moved_on()
        began = time.monotonic()
        service.restart()
        took = time.monotonic() - began
        load.moved_on()
    load.check("restart with a WebSocket that ignores Close")
    assert 1 < took < 2 + patient(2), took
    stubborn.ended()
    service.stop()


def crash_under(service, load, how, what):
    """Those that were in it may fail; whoever comes after it is answered."""
    before = service.main_pid
    with load:
        load.moved_on()
        how()
        service.wait_gone(before)
        gone = time.monotonic()
        service.wait_back(before)
        load.moved_on()
    load.report(what)
    late = [failure for failure in load.failures if failure[0] > gone or "refused" in failure[2].lower()]
    assert not late, late
    assert service.show("NRestarts") == "1"


def test_sigkill(service):
    clients = every_client(service.machine)
    crash_under(service, Load(**clients), service.kill, "a crash")
    assert clients["tls"].full == 1, f"{clients['tls'].full} full handshakes"
    assert "status=9/KILL" in service.log
    service.stop()


def test_sigkill_during_the_drain_of_the_predecessor(service):
    """Both are gone with it, for systemd ends all of a unit whose main process died."""
    stubborn = Stubborn(WEB)
    old = service.main_pid
    service.upgrade()
    assert service.status()["predecessor_pid"] == old
    load = Load(short=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB))
    crash_under(service, load, service.kill, "a crash beside a predecessor")
    wait_until(lambda: service.pids == [service.main_pid])
    stubborn.close()
    service.stop()


def test_a_crash_loop_is_served_again(machine):
    """Several in a row, each as soon as it is back."""
    service = Service(machine, configs.config(configs.listener(bind=bound(WEB))))
    for count in range(1, scaled(3, 12) + 1):
        before = service.main_pid
        service.kill()
        service.wait_back(before)
        assert service.show("NRestarts") == str(count)
        assert service.ask().status == 200
    service.stop()
