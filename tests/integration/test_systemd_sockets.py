"""Listening sockets in systemd's hands: its store, socket units, and a port that instances share."""

import json
import time

import pytest

from support import configs
from support.http import request
from support.service_load import WEB, Kept, Load, Single, SlowPost, bound, connected
from support.settings import scaled
from support.systemd import Machine, Service
from support.waiting import wait_until

pytestmark = pytest.mark.slow

OTHER = ("127.0.0.1", 8081)
LOCAL = "/run/sluice/local.sock"
SOCKET = f"""\
[Socket]
ListenStream={bound(WEB)}
FileDescriptorName=web
Service=sluice.service
"""


def hello(*listeners, **keys):
    made = [{**configs.listener(name, bound(address)), **keys} for name, address in listeners or [("web", WEB)]]
    return configs.config(*made)


def inodes(service):
    """The listening sockets of its main process, by address."""
    text = service.machine.run("ss", "-Hltnpe").stdout
    return {line.split()[3]: line.split("ino:")[1].split()[0] for line in text.splitlines()
            if f"pid={service.main_pid}," in line}


def refuses(address):
    try:
        connected(address).close()
        return False
    except ConnectionRefusedError:
        return True


# The store

def test_what_is_stored(machine):
    """One for each listener while it runs; what is gone from the file leaves the store."""
    service = Service(machine, hello(("web", WEB), ("other", OTHER), ("local", LOCAL)))
    wait_until(lambda: service.stored == 3)
    service.apply(hello(("web", WEB)))
    wait_until(lambda: service.stored == 1)
    assert refuses(OTHER)
    service.restart()
    assert service.stored == 1 and refuses(OTHER)
    service.stop()
    assert service.stored == 0


def test_tickets_are_stored(machine):
    service = Service(machine, configs.config(configs.https(bind=bound(WEB))))
    wait_until(lambda: service.stored == 2)  # the socket and the keys
    service.restart()
    assert service.stored == 2
    service.apply(hello())
    wait_until(lambda: service.stored == 1)
    service.stop()


def test_another_address(machine):
    """By a reload: the new socket takes the old one's place in the store."""
    service = Service(machine, hello())
    before = inodes(service)[bound(WEB)]
    service.apply(hello(("web", OTHER)))
    wait_until(lambda: service.stored == 1 and refuses(WEB))
    moved = inodes(service)[bound(OTHER)]
    assert moved != before
    service.restart()
    assert inodes(service) == {bound(OTHER): moved} and refuses(WEB) and service.stored == 1
    assert service.ask().status == 200
    service.stop()


def test_same_socket_after_a_restart_and_a_crash(machine):
    service = Service(machine, hello())
    before = inodes(service)
    service.restart()
    assert inodes(service) == before
    main = service.main_pid
    service.kill()
    service.wait_back(main)
    assert inodes(service) == before
    service.upgrade()
    assert inodes(service) == before
    service.stop()


def test_file_changed_before_a_restart(machine):
    """What is in the store and no more in the file is thrown out, and the journal says so."""
    service = Service(machine, hello(("web", WEB), ("other", OTHER)))
    kept = inodes(service)[bound(WEB)]
    service.kill("STOP")  # so that it does not take the new file before it is restarted
    service.write_config(hello(("web", WEB), ("third", ("127.0.0.1", 8082))))
    service.kill("KILL")
    main = service.main_pid
    wait_until(lambda: service.ready() and service.main_pid not in (0, main))
    assert inodes(service).keys() == {bound(WEB), "127.0.0.1:8082"}
    assert inodes(service)[bound(WEB)] == kept
    wait_until(lambda: service.stored == 2)
    assert refuses(OTHER)
    wait_until(lambda: any("other" in record["MESSAGE"] + record.get("LISTENER", "") and "8081" in json.dumps(record)
                           for record in service.journal()), what=service.log)
    service.stop()


def test_address_changed_before_a_restart(machine):
    service = Service(machine, hello())
    service.kill("STOP")
    service.write_config(hello(("web", OTHER)))
    main = service.main_pid
    service.kill("KILL")
    wait_until(lambda: service.ready() and service.main_pid not in (0, main))
    assert service.ask().status == 200 and refuses(WEB)
    wait_until(lambda: service.stored == 1)
    service.stop()


def test_unix_listener(machine):
    """Its file is the same through restart, crash and upgrade; after a stop nothing of it is in the way."""
    service = Service(machine, hello(("local", LOCAL)))
    path = machine.path(LOCAL)
    with Load(unix=Single(str(path))) as load:
        load.moved_on()
        inode = path.stat().st_ino
        service.restart()
        load.moved_on()
        service.upgrade()
        load.moved_on()
        service.wait_alone()
        assert path.stat().st_ino == inode
    load.check("a unix listener")
    service.stop()
    service.start()
    with connected(str(path)) as client:
        assert client.ask().status == 200
    service.stop()


# Socket units

@pytest.fixture
def socket_unit(machine):
    machine.write("/etc/systemd/system/sluice-web.socket", SOCKET)
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "sluice-web.socket")
    return "sluice-web.socket"


def test_activation(machine, socket_unit):
    """Who comes first starts the daemon, and is answered by it."""
    service = Service(machine, hello(("web", WEB)) | {"listeners": [configs.listener(bind="systemd:web")]}, start=False)
    assert service.show("ActiveState") == "inactive"
    with connected(WEB) as client:
        assert client.ask().status == 200
    wait_until(lambda: service.alive)
    # Stopped, it is started again by the next one; the port was never closed.
    service.machine.systemctl("stop", service.unit)
    with connected(WEB) as client:
        assert client.ask().status == 200
    wait_until(lambda: service.alive)
    machine.systemctl("stop", socket_unit)
    service.stop()


def test_socket_unit_under_load(machine, socket_unit):
    service = Service(machine, configs.config(configs.listener(bind="systemd:web")))
    with Load(short=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB)) as load:
        load.moved_on()
        for _ in range(3):
            service.restart()
            load.moved_on()
            service.upgrade()
            load.moved_on()
            service.wait_alone()
        service.apply(configs.config(configs.listener(bind="systemd:web", max_connections=500)))
        load.moved_on()
    load.check("a socket of systemd's, 3 restarts, 3 upgrades and a reload")
    main = service.main_pid
    service.kill()
    service.wait_back(main)
    assert service.ask(path="/").status == 200
    machine.systemctl("stop", socket_unit)
    service.stop()


def test_socket_unit_that_is_missing(machine):
    """The daemon says what it wants for."""
    service = Service(machine, configs.config(configs.listener(bind="systemd:web")), start=False)
    assert machine.systemctl("start", service.unit, check=False).returncode != 0
    assert any("web" in record["MESSAGE"] and "systemd" in record["MESSAGE"] and int(record["PRIORITY"]) <= 3
               for record in service.journal()), service.log


# Instances

@pytest.fixture
def two(machine):
    """Two instances of the template, with one file and one port."""
    first = Service(machine, hello(reuse_port=True), instance="1")
    return first, Service(machine, instance="2")


def test_both_get_connections(two):
    first, second = two
    for _ in range(200):
        with connected(WEB) as client:
            assert client.ask().status == 200
    shares = [service.pool()["accepted"] for service in two]
    assert sum(shares) == 200 and min(shares) > 20, shares
    for name, service in zip("12", two):
        service.machine.systemctl("reload", service.unit)
        status = service.status()
        assert status["instance"] == name and status["pid"] == service.main_pid
        service.stop()


def test_sluicectl_sums(two):
    """Without --instance it asks both."""
    first, second = two
    clients = [connected(WEB) for _ in range(40)]
    for client in clients:
        assert client.ask().status == 200
    machine = first.machine
    both = json.loads(machine.run("sluicectl", "--json", "status").stdout)
    assert [entry["instance"] for entry in both["instances"]] == ["1", "2"]
    held = [entry["listeners"][0]["pool"]["active"] for entry in both["instances"]]
    assert sum(held) == 40 and min(held) > 0, held
    text = machine.run("sluicectl", "status").stdout
    assert "40" in text and str(first.main_pid) in text and str(second.main_pid) in text, text
    # And steers both.
    first.write_config({**hello(reuse_port=True), "log": {"level": "debug"}})
    machine.run("sluicectl", "reload")
    assert all(service.status()["revision"] == 2 for service in two)
    before = [service.main_pid for service in two]
    machine.run("sluicectl", "upgrade")
    wait_until(lambda: not {service.main_pid for service in two} & set(before))
    for client in clients:
        client.close()
    for service in two:
        service.stop()


@pytest.fixture
def migration(two):
    """The kernel's own remedy: connections to a socket that is closed go to another one of the same port."""
    name = "net.ipv4.tcp_migrate_req"
    try:
        Machine.sysctl(name, 1)
    except OSError as error:
        pytest.skip(f"this kernel does not migrate connections: {error}")
    yield
    Machine.sysctl(name, 0)


def alone_under_load(two, act, what, resets=False):
    """Each of two acts by itself. With the socket of one, unless the kernel migrates, end the connections that are just
    being made to it: `resets` allows one for each time, of all clients."""
    rounds = scaled(3, 10)
    load = Load(short=Single(WEB), short2=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB))
    with load:
        load.moved_on()
        for _ in range(rounds):
            for service in two:
                act(service)
                load.moved_on()
    load.check(what, resets=resets * rounds * len(two))
    for service in two:
        assert service.show("NRestarts") == "0"
        service.stop()


def test_each_restarts_alone(two):
    alone_under_load(two, Service.restart, "two instances, restarts of one of them", resets=True)


def test_each_restarts_alone_where_the_kernel_migrates(two, migration):
    alone_under_load(two, Service.restart, "two instances, restarts of one of them, tcp_migrate_req=1")


def test_each_upgrades_alone(two):
    def upgrade(service):
        service.upgrade()
        service.wait_alone()

    alone_under_load(two, upgrade, "two instances, upgrades of one of them")


def test_both_restart_at_once(two):
    """One of them keeps its socket, or nobody would listen: those who come meanwhile wait for it, and none is refused."""
    rounds = scaled(3, 10)
    load = Load(short=Single(WEB), short2=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB))
    with load:
        load.moved_on()
        for _ in range(rounds):
            two[0].machine.systemctl("restart", *(service.unit for service in two))
            load.moved_on()
    load.check("two instances, both restarted at once", resets=rounds)
    for service in two:
        service.stop()


def stop_one(two, times=1):
    """While many connect. Whoever comes after it is answered."""
    first, second = two
    load = Load(pause=0.001, **{f"short{number}": Single(WEB) for number in range(6)})
    with load:
        for _ in range(times):
            first.start()
            load.moved_on(50)
            first.machine.systemctl("stop", first.unit)
            stopped = time.monotonic()
            load.moved_on(50)
            late = [failure for failure in load.failures if failure[0] > stopped]
            assert not late, late
    assert second.ask().status == 200
    return load


def test_one_stops(two):
    """With it ends its socket, and the kernel resets those who are just connecting to it: less than one of six clients
    each time."""
    times = scaled(5, 20)
    stop_one(two, times).check(f"one of two instances stopped, {times} times", resets=times)
    two[1].stop()


def test_one_stops_where_the_kernel_migrates(two, migration):
    """All but who is being put into the queue of the socket at the very moment at which it is closed."""
    times = scaled(5, 20)
    stop_one(two, times).check(f"one of two instances stopped, {times} times, tcp_migrate_req=1", resets=times // 2)
    two[1].stop()


def test_nobody_waits_for_one_that_stops(two):
    """It may take its time to drain: new connections are the other one's from the beginning."""
    first, _ = two
    raw = request("POST", "/echo", headers={"Content-Length": "4"}) + b"he"
    begun = []
    while not begun or not first.pool()["active"]:
        begun.append(connected(WEB).send(raw))
        wait_until(lambda: sum(service.pool()["active"] for service in two) == len(begun))
    assert stop_one(two).longest() < 1


def test_one_stops_for_good_and_comes_back(two):
    first, second = two
    first.stop()
    for _ in range(20):
        assert second.ask().status == 200
    first.start()
    wait_until(lambda: second.ask().status == 200 and first.pool()["accepted"] > 0)
    first.stop()
    second.stop()


def test_crash_of_one(two):
    """Systemd keeps its socket, so those who come to it wait until it is back."""
    first, second = two
    load = Load(short=Single(WEB), short2=Single(WEB), short3=Single(WEB))
    with load:
        load.moved_on()
        main = first.main_pid
        first.kill()
        first.wait_gone(main)
        gone = time.monotonic()
        first.wait_back(main)
        load.moved_on()
    late = [failure for failure in load.failures if failure[0] > gone or "refused" in failure[2].lower()]
    load.report("crash of one of two instances")
    assert not late, late
    for service in two:
        service.stop()
