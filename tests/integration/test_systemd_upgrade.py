"""`sluicectl upgrade` under load: the new process serves before the old one drains, so nobody waits."""

import time

import pytest

from support.service_load import (STORED, WEB, Chat, Kept, Load, Single, SlowPost, Stubborn, every_client, every_kind,
                                  install_certificate)
from support.settings import LONG, SLUICED, patient, scaled
from support.systemd import CONFIG, Service
from support.waiting import wait_until

pytestmark = pytest.mark.slow

ROUNDS = scaled(10, 50)
DRAIN = 3  # seconds that a predecessor with a stubborn client takes


@pytest.fixture
def service(machine, certificates):
    install_certificate(machine, certificates.server())
    return Service(machine, every_kind(drain_timeout=f"{DRAIN}s"))


def upgrades_under(service, load, what, before_each=lambda: None):
    wait_until(lambda: service.stored == STORED)
    with load:
        load.moved_on()
        for _ in range(ROUNDS):
            old = service.main_pid
            before_each()
            new = service.upgrade()
            status = service.status()
            assert status["pid"] == new != old and status["predecessor_pid"] in (0, old), status
            load.moved_on()
    load.check(what)
    assert service.show("NRestarts") == "0"
    wait_until(lambda: service.stored == STORED)


def end(service):
    wait_until(lambda: service.pids == [service.main_pid], what="the end of all predecessors")
    assert service.show("NRestarts") == "0"
    service.stop()


def test_upgrades(service):
    clients = every_client(service.machine)
    upgrades_under(service, Load(**clients), f"{ROUNDS} upgrades")
    assert clients["tls"].full == 1, f"{clients['tls'].full} full handshakes"
    end(service)


def test_upgrades_with_a_websocket(service):
    """Its client does not close by itself, but answers Close."""
    load = Load(short=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB), chat=Chat(WEB))
    upgrades_under(service, load, f"{ROUNDS} upgrades with a WebSocket")
    end(service)


def test_upgrades_with_a_stubborn_websocket(service):
    """Its client ignores Close: the old process stays until its deadline, and nobody waits for that, nor does the next
    upgrade."""
    bound = patient(4)
    patience = f"{3 * bound:.0f}s"  # so long would somebody wait who waited for a drain
    service.apply(every_kind(drain_timeout=patience, close_timeout=patience))
    load, stubborn = Load(short=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB)), []

    def another():
        stubborn.append(Stubborn(WEB))

    upgrades_under(service, load, f"{ROUNDS} upgrades with a WebSocket that ignores Close", another)
    assert load.longest() < bound, "somebody waited for a drain"
    assert len(service.pids) > 1, "who is stubborn is still there"
    for one in stubborn:
        one.close()
    end(service)


def test_systemd_follows(service):
    old = service.main_pid
    new = service.upgrade()
    service.wait_alone()
    wait_until(lambda: service.pids == [new])
    text = service.machine.systemctl("status", service.unit).stdout
    assert "active (running)" in text and f"Main PID: {new}" in text, text
    assert service.show("StatusText") and service.show("NRestarts") == "0"
    assert f"Main PID: {old}" not in text
    service.apply(every_kind(drain_timeout="1s"))
    service.machine.systemctl("reload", service.unit)
    service.restart()
    assert service.main_pid != new and service.ask().status == 200
    service.stop()


def test_watchdog_after_an_upgrade(service):
    watchdog = patient(4)
    service.machine.drop_in(service.unit, "watchdog", f"[Service]\nWatchdogSec={watchdog}\n")
    service.restart()
    new = service.upgrade()
    service.pings_for(2 * watchdog)
    assert service.main_pid == new and service.show("NRestarts") == "0" and service.alive
    service.stop()


def refused_upgrade(service, spoil, mend):
    """Whatever is wrong with the new one, the old one goes on, and systemd sees no change."""
    with Load(short=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB)) as load:
        load.moved_on()
        before = service.main_pid
        spoil()
        done = service.ctl("upgrade")
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        assert service.main_pid == before and service.status()["pid"] == before
        assert service.alive
        wait_until(lambda: service.pids == [before], what="the end of the other process")
        load.moved_on()
        mend()
        assert service.upgrade() != before
        load.moved_on()
    load.check("a refused upgrade and a good one")
    assert service.show("NRestarts") == "0"
    service.wait_alone()
    service.stop()
    return done.stdout + done.stderr


def test_broken_configuration(service):
    good = service.file.read_text()
    told = refused_upgrade(service, lambda: service.file.write_text("listeners:\n  - nam: web\n"),
                           lambda: service.file.write_text(good))
    assert f"{CONFIG}:2:" in told or f"{CONFIG}:2:" in service.log, told


def replace_program(service, command):
    service.machine.write("/usr/bin/sluiced.wrong", f"#!/bin/sh\n{command}\n")
    service.machine.run("chmod", "755", "/usr/bin/sluiced.wrong")
    service.machine.run("mv", "/usr/bin/sluiced.wrong", "/usr/bin/sluiced")


def test_program_that_exits(service):
    refused_upgrade(service, lambda: replace_program(service, "exit 3"),
                    lambda: service.machine.copy(SLUICED, "/usr/bin/sluiced", 0o755))


def test_program_that_is_gone(service):
    refused_upgrade(service, lambda: service.machine.run("rm", "/usr/bin/sluiced"),
                    lambda: service.machine.copy(SLUICED, "/usr/bin/sluiced", 0o755))


def test_program_that_hangs(service):
    if not LONG:
        pytest.skip("takes a minute: with SLUICE_LONG=1")

    refused_upgrade(service, lambda: replace_program(service, "exec sleep 1000"),
                    lambda: service.machine.copy(SLUICED, "/usr/bin/sluiced", 0o755))


def test_twice_in_a_row(service):
    """While the first predecessor still drains, and the second one, too: each ends by itself."""
    stubborn, pids = Stubborn(WEB), [service.main_pid]
    with Load(short=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB)) as load:
        load.moved_on()
        for _ in range(2):
            pids.append(service.upgrade())
        assert service.pids[0] == pids[0] and pids[-1] in service.pids, (service.pids, pids)
        load.moved_on()
    load.check("two upgrades in a row")
    stubborn.ended()
    wait_until(lambda: service.pids == pids[-1:])
    service.stop()


@pytest.mark.parametrize("stays", [False, True], ids=["alone", "with a predecessor"])
def test_stop_right_after(service, stays):
    """It waits for the end of the predecessor, whose clients are its service's clients."""
    stubborn = [Stubborn(WEB)] if stays else []
    service.ctl("upgrade", check=True)
    began = time.monotonic()
    service.machine.systemctl("stop", service.unit)
    assert time.monotonic() - began < DRAIN + patient(3)
    assert service.show("Result") == "success" and service.show("ActiveState") == "inactive", service.log
    assert service.pids == []
    for one in stubborn:
        one.ended()
    service.check_log()


def test_a_stop_lets_the_requests_of_both_finish(service):
    """One that began before the upgrade, and one after it."""
    raw = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
    old = service.connect().send(raw + b"he")
    wait_until(lambda: service.pool()["active"] == 1)
    service.upgrade()
    new = service.connect().send(raw + b"he")
    wait_until(lambda: service.pool()["active"] == 1)
    stopping = service.machine.popen("systemctl", "stop", service.unit)
    wait_until(lambda: service.show("ActiveState") == "deactivating")
    for client in (old, new):
        assert client.send(b"re").response().body == b"here"
    assert stopping.wait(patient(20)) == 0 and service.show("Result") == "success"


def test_restart_right_after(service):
    stubborn = Stubborn(WEB)
    with Load(short=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB)) as load:
        load.moved_on()
        service.ctl("upgrade", check=True)
        service.restart()
        load.moved_on()
    load.check("a restart right after an upgrade")
    stubborn.close()
    service.stop()
