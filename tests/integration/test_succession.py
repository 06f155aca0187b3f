"""Sockets and ticket keys go from process to process: through the fd store, and in an upgrade."""

import json
import os
import pathlib
import shutil
import signal
import socket
import threading

import pytest

from support import configs
from support.daemon import Sluice
from support.http import Closed, request
from support.settings import SLUICED, patient, scaled
from support.succession import ServiceManager
from support.tls import V12, V13, client_context
from support.waiting import wait_until


@pytest.fixture
def manager(tmp_path):
    made = ServiceManager(tmp_path)
    yield made
    made.close()


@pytest.fixture
def run(manager, start):
    """run(config, ...) starts a process of the service with what is stored; the file may be that of the one before."""

    def run_one(configuration=None, store=None, **more):
        return start(configuration, **manager.keywords(store), **more)

    return run_one


def replace(sluice, manager, **more):
    """Another process in its place, as systemd starts one after a crash."""
    sluice.process = sluice._start(**manager.keywords(), **more)
    return sluice.wait_ready()


def crash(sluice):
    sluice.process.kill()
    sluice.process.wait()
    sluice.clients.clear()


def half_sent(sluice):
    """A client in the middle of its request, of which the daemon knows."""
    client = sluice.connect()
    client.send(request("POST", "/echo", headers={"Content-Length": "2"}) + b"a")
    wait_until(lambda: sluice.pool()["active"] == 1)
    return client


def finish(client):
    client.send(b"b")
    assert client.response().body == b"ab"


BOTH = configs.config(configs.listener("web"), configs.https("safe"))


@pytest.fixture
def sluice(run, manager):
    """A process of BOTH, all of which is in the store."""
    sluice = run(BOTH)
    manager.wait_names("web", "safe", "tickets.safe")
    return sluice


class TestStore:
    def test_what_is_stored(self, run, manager):
        run(BOTH)
        manager.wait_names("web", "safe", "tickets.safe")

    def test_comes_back_after_a_crash(self, sluice, manager):
        address = sluice.addr("web")
        crash(sluice)
        with socket.create_connection(address) as early:
            early.sendall(request())
            replace(sluice, manager)
            early.settimeout(patient(10))
            assert b"hello" in early.recv(65536)
        assert sluice.addr("web") == address
        assert not manager.told("FDSTOREREMOVE")

    def test_after_a_stop(self, sluice, manager):
        address = sluice.addr("web")
        sluice.signal(signal.SIGTERM)
        assert sluice.wait_exit() == 0
        with socket.create_connection(address) as early:
            early.sendall(request())
            replace(sluice, manager)
            early.settimeout(patient(10))
            assert b"hello" in early.recv(65536)

    def test_a_removed_listener(self, sluice, manager):
        sluice.apply(configs.config(configs.listener("web")))
        manager.wait_names("web")
        sluice.apply(BOTH)
        manager.wait_names("web", "safe", "tickets.safe")

    def test_another_address(self, sluice, manager):
        sluice.apply(configs.config(configs.listener("web", bind="127.0.0.2:0"), configs.https("safe")))
        wait_until(lambda: manager.told("FDSTOREREMOVE", pid=sluice.pid))
        manager.wait_names("web", "safe", "tickets.safe")
        address = sluice.addr("web")
        crash(sluice)
        assert replace(sluice, manager).addr("web") == address and address[0] == "127.0.0.2"

    def test_another_name(self, sluice, manager):
        """The address decides: nobody could bind it beside a socket that is still in the store."""
        address = sluice.addr("web")
        crash(sluice)
        sluice.write_config(configs.config(configs.listener("front", bind="%s:%d" % address)))
        replace(sluice, manager)
        manager.wait_names("front")
        assert sluice.addr("front") == address
        crash(sluice)
        assert replace(sluice, manager).ask(name="front").status == 200

    def test_addresses_change_places(self, run, manager):
        first, second = ("127.0.0.%d:0" % i for i in (1, 2))
        sluice = run(configs.config(configs.listener("a", bind=first), configs.listener("b", bind=second)))
        manager.wait_names("a", "b")
        first, second = ("%s:%d" % sluice.addr(name) for name in "ab")
        fixed = configs.config(configs.listener("a", bind=first), configs.listener("b", bind=second))
        sluice.apply(fixed)
        sluice.apply(configs.config(configs.listener("a", bind=second), configs.listener("b", bind=first)))
        wait_until(lambda: [told.get("FDNAME") for _, told in manager.messages if "FDSTOREREMOVE" in told][-2:]
                   == ["a", "b"])
        manager.wait_names("a", "b")
        crash(sluice)
        replace(sluice, manager)
        assert ["%s:%d" % sluice.addr(name) for name in "ab"] == [second, first]
        assert not sluice.log_line("fits no listener")

    def test_drained_by_hand(self, sluice, manager):
        """Who is not served is refused, and does not wait in a queue that nobody looks at."""
        address = sluice.addr("web")
        sluice.ctl("drain", "web", check=True)
        manager.wait_names("safe", "tickets.safe")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        sluice.ctl("restart", "web", check=True)
        manager.wait_names("web", "safe", "tickets.safe")

    def test_what_fits_no_listener(self, sluice, manager):
        address = sluice.addr("safe")
        crash(sluice)
        sluice.write_config(configs.config(configs.listener("web")))
        replace(sluice, manager)
        manager.wait_names("web")
        assert sluice.log_line("fits no listener", "safe")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    def test_two_under_one_name(self, run, manager):
        """Only one of them can be the listener's: the other leaves the store."""
        one, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        manager.store += [("web", os.dup(one.fileno())), ("web", os.dup(other.fileno()))]
        sluice = run(configs.config(configs.listener("web", bind="127.0.0.1:%d" % other.getsockname()[1])))
        manager.wait_names("web")
        assert os.fstat(manager.store[0][1]).st_ino == os.fstat(other.fileno()).st_ino
        one.close(), other.close()
        assert sluice.ask().status == 200

    def test_what_does_not_listen(self, run, manager, tmp_path):
        plain = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        manager.store += [("web", plain), ("web", os.dup(datagrams.fileno())), ("web", os.dup(bound.fileno()))]
        assert run(BOTH).ask().status == 200
        manager.wait_names("web", "safe", "tickets.safe")
        datagrams.close(), bound.close()

    def test_a_unix_listener(self, run, manager, tmp_path):
        sluice = run(configs.config(configs.listener("web", bind=f"unix:{tmp_path}/web.sock")))
        manager.wait_names("web")
        sluice.signal(signal.SIGTERM)
        assert sluice.wait_exit() == 0
        with socket.socket(socket.AF_UNIX) as early:
            early.connect(f"{tmp_path}/web.sock")
            early.sendall(request())
            replace(sluice, manager)
            early.settimeout(patient(10))
            assert b"hello" in early.recv(65536)
        crash(sluice)
        os.unlink(tmp_path / "web.sock")
        assert replace(sluice, manager).ask().status == 200

    @pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
    def test_tickets(self, sluice, manager, version):
        context = client_context(only=version)

        def session_of(session=None):
            with sluice.connect("safe", tls=context, session=session) as client:
                assert client.ask().status == 200
                return client.sock.session_reused, client.sock.session

        reused, session = session_of()
        assert not reused
        crash(sluice)
        replace(sluice, manager)
        reused, session = session_of(session)
        assert reused
        sluice.upgrade().wait(patient(10))
        assert session_of(session)[0]

    def test_tickets_are_sealed_and_garbage_is_not_taken(self, sluice, manager):
        kept = next(fd for name, fd in manager.store if name == "tickets.safe")
        with pytest.raises(PermissionError):
            os.pwrite(kept, b"x", 0)
        crash(sluice)
        manager.store = [entry for entry in manager.store if entry[0] != "tickets.safe"]
        os.close(kept)
        garbage = os.memfd_create("garbage")
        os.write(garbage, b"sluice tickets 1" + bytes(10))
        manager.store.append(("tickets.safe", garbage))
        assert replace(sluice, manager).ask(name="safe").status == 200
        wait_until(lambda: os.fstat(next(fd for name, fd in manager.store if name == "tickets.safe")).st_size > 100)


class TestSocketUnit:
    PASSED = configs.config(configs.listener("web", bind="systemd:front"))

    @pytest.fixture
    def front(self, manager):
        server = socket.create_server(("127.0.0.1", 0))
        manager.front = [("front", os.dup(server.fileno()))]
        address = server.getsockname()
        server.close()
        yield address
        os.close(manager.front[0][1])

    def test_is_taken(self, run, manager, front):
        sluice = run(self.PASSED, store=manager.front)
        assert sluice.addr("web") == front and sluice.ask().status == 200
        sluice.upgrade().wait(patient(10))
        assert sluice.addr("web") == front and sluice.ask().status == 200
        assert manager.names == [], "systemd passes it again each time"

    def test_its_file_stays(self, run, manager, tmp_path):
        """A unix socket of systemd is at its path also when no listener has it any more."""
        path = tmp_path / "front.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()
        sluice = run(configs.config(configs.listener("web", bind="systemd:front"), configs.listener("more")),
                     store=[("front", server.fileno())])
        assert sluice.ask(name="web").status == 200
        sluice.apply(configs.config(configs.listener("web", bind="127.0.0.1:0"), configs.listener("more")))
        assert sluice.ask(name="web").status == 200 and path.exists()
        answer = (sluice.write_config(self.PASSED), sluice.reload())[1]
        assert not answer["ok"] and "FileDescriptorName=front" in answer["error"]
        server.close()

    def test_none_was_passed(self, manager, tmp_path):
        sluice = Sluice(tmp_path, self.PASSED, **manager.keywords())
        assert sluice.wait_exit() == 1
        assert sluice.log_line("sluice.yaml:", "systemd:front", "FileDescriptorName=front")

    def test_a_name_that_cannot_be(self, start):
        sluice = start(BOTH)
        sluice.write_config(configs.config(configs.listener("web", bind="systemd:a b")))
        answer = sluice.reload()
        assert not answer["ok"] and "FileDescriptorName" in answer["error"]


class TestUpgrade:
    def test_in_all(self, run, manager):
        sluice = run(BOTH)
        manager.wait_told("READY")
        old, address = sluice.pid, sluice.addr("web")
        kept = sluice.connect("web")
        assert kept.ask().status == 200
        busy = sluice.connect("web")
        busy.send(request("POST", "/echo", headers={"Content-Length": "4"}) + b"ab")
        wait_until(lambda: sluice.pool()["active"] == 2)
        before = sluice.upgrade()
        assert sluice.pid != old and sluice.addr("web") == address and sluice.ask().status == 200
        assert sluice.status()["predecessor_pid"] == old
        busy.send(b"cd")
        assert busy.response().body == b"abcd"
        assert before.wait(patient(10)) == 0
        wait_until(lambda: sluice.status()["predecessor_pid"] == 0)
        assert sluice.log_line("took over") and sluice.log_line("the process before has ended")
        # What systemd heard: the new main process first, and from the old one nothing afterwards.
        pids = [pid for pid, _ in manager.messages]
        handed = next(i for i, (_, told) in enumerate(manager.messages) if told.get("MAINPID") == str(sluice.pid))
        assert old not in pids[handed + 1:] and sluice.pid not in pids[:handed]
        assert manager.told("READY", pid=sluice.pid)
        assert manager.names == ["safe", "tickets.safe", "web"]

    def test_nobody_need_look_away(self, start):
        """The port is served already: the old process accepts no longer, however long the delay of a stop is."""
        sluice = start(configs.config(configs.listener("web"), drain_delay="1h"))
        before = sluice.upgrade()
        assert before.wait(patient(10)) == 0
        assert sluice.ask().status == 200
        sluice.apply(configs.config(configs.listener("web")))

    def test_under_load(self, start):
        """New connections and kept ones, over one upgrade after the other: each request is answered."""
        sluice = start(BOTH)
        address, failures, answered, over = sluice.addr("web"), [], [0], threading.Event()

        def ask_for_ever():
            client = None
            while not over.is_set():
                try:
                    client = client or sluice.connect(address=address)
                    answer = client.ask("POST", "/echo", body=b"some bytes")
                    answered[0] += 1
                    if answer.body != b"some bytes":
                        failures.append(answer)
                    if answer.closes:
                        client.close()
                        client = None
                except (OSError, Closed) as problem:
                    failures.append(problem)
                    client = None

        threads = [threading.Thread(target=ask_for_ever) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(scaled(5, 30)):
                mark = answered[0]
                before = sluice.upgrade()
                assert before.wait(patient(10)) == 0
                wait_until(lambda: answered[0] > mark + 20)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert not failures, failures[:5]

    def test_twice_while_the_first_drains(self, start):
        sluice = start(configs.config(configs.listener("web", drain_timeout="1h")))
        held, processes = [], []
        for _ in range(2):
            held.append(half_sent(sluice))
            processes.append(sluice.upgrade())
        assert sluice.ask().status == 200
        for client in held:
            finish(client)
        assert [process.wait(patient(10)) for process in processes] == [0, 0]

    def test_a_stop_waits_for_the_predecessor(self, start):
        sluice = start(configs.config(configs.listener("web", drain_timeout="1h")))
        client = half_sent(sluice)
        before = sluice.upgrade()
        sluice.signal(signal.SIGTERM)
        wait_until(lambda: sluice.log.count("stopping: draining") == 2)
        assert sluice.alive and before.poll() is None
        finish(client)
        assert before.wait(patient(10)) == 0 and sluice.wait_exit() == 0

    def test_a_second_signal_hurries_both(self, start):
        sluice = start(configs.config(configs.listener("web", drain_timeout="1h")))
        client = half_sent(sluice)
        before = sluice.upgrade()
        sluice.signal(signal.SIGTERM)
        wait_until(lambda: sluice.log.count("stopping: draining") == 2)
        sluice.signal(signal.SIGTERM)
        assert before.wait(patient(10)) == 0 and sluice.wait_exit() == 0

    @pytest.mark.parametrize("how", ["wrong", "gone", "certificate"])
    def test_a_configuration_that_cannot_be(self, run, manager, how):
        sluice = run(BOTH)
        manager.wait_told("READY")
        good = sluice.file.read_text()
        broken = {"wrong": "listeners: [", "certificate": good.replace("self-signed", "/nowhere")}
        if how == "gone":
            sluice.file.rename(sluice.file.with_suffix(".kept"))
        else:
            sluice.file.write_text(broken[how])
        answer = sluice.admin.ask("POST", "/v1/upgrade")
        assert answer.status == 500 and "sluice.yaml" in json.loads(answer.body)["error"], answer.body
        wait_until(lambda: sluice.log_line("upgrade failed"))
        sluice.file.write_text(good)
        assert sluice.ask().status == 200 and sluice.ask(name="safe").status == 200
        assert not manager.told("MAINPID")
        wait_until(lambda: sluice.reload()["ok"])
        sluice.upgrade().wait(patient(10))
        assert sluice.ask().status == 200

    def test_the_predecessor_dies_before_it_is_over(self, start):
        """A successor that is not the service yet leaves; one that is goes on."""
        sluice = start(configs.config(configs.listener("web", drain_timeout="1h")))
        client = half_sent(sluice)
        before = sluice.upgrade()
        before.kill()
        before.wait()
        client.ending()
        wait_until(lambda: sluice.status()["predecessor_pid"] == 0)
        assert sluice.ask().status == 200

    def test_leaves_nothing_open(self, start):
        """Each generation has as many descriptors as the one before."""
        sluice = start(BOTH)

        def descriptors():
            sluice.wait_no_connections()
            return len(os.listdir(f"/proc/{sluice.pid}/fd"))

        counts = []
        for _ in range(4):
            sluice.upgrade().wait(patient(10))
            wait_until(lambda: sluice.status()["predecessor_pid"] == 0)
            counts.append(descriptors())
        assert max(counts) - min(counts) <= 1, counts
        environment = pathlib.Path(f"/proc/{sluice.pid}/environ").read_bytes()
        assert environment.count(b"SLUICE_HANDOVER") == 1, "what was given is given on, and no more"

    def test_a_unix_listener(self, start, tmp_path):
        sluice = start(configs.config(configs.listener("web", bind=f"unix:{tmp_path}/web.sock")))
        sluice.upgrade().wait(patient(10))
        assert sluice.ask().status == 200
        sluice.signal(signal.SIGTERM)
        assert sluice.wait_exit() == 0
        assert not (tmp_path / "web.sock").exists()

    def test_the_file_is_read_anew(self, start):
        sluice = start(configs.config(configs.listener("web")))
        address = sluice.addr()
        sluice.write_config(configs.config(configs.listener("web", routes=[configs.respond("new\n", path="/")]),
                                           configs.listener("more")))
        sluice.upgrade().wait(patient(10))
        assert sluice.addr() == address and sluice.ask().body == b"new\n" and sluice.ask(name="more").status == 200

    def test_a_new_address_at_the_same_time(self, start):
        """The watcher sees the file that the successor reads: only one of the two processes may bind what is new."""
        sluice = start(configs.config(configs.listener("web")))
        for number in range(scaled(5, 30)):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            sluice.write_config(configs.config(configs.listener("web"),
                                               configs.listener(f"more{number}", bind=f"127.0.0.1:{port}")))
            assert sluice.upgrade().wait(patient(10)) == 0
            assert sluice.ask(name=f"more{number}").status == 200

    def test_reloads_go_on(self, start):
        sluice = start(configs.config(configs.listener("web")))
        sluice.upgrade().wait(patient(10))
        sluice.apply(configs.config(configs.listener("web", routes=[configs.respond("new\n", path="/")])))
        assert sluice.ask().body == b"new\n"


FAKE = """#!/usr/bin/python3
import os, socket, sys, time
line = socket.socket(fileno=3 + os.environ["SLUICE_HANDOVER"].count(":"))
def say(text): line.send(text.encode())
def hear(): line.setblocking(True); return line.recv(100)
"""

BAD_SUCCESSORS = {
    "ends at once": "sys.exit(3)",
    "is no program": None,
    "says that it fails": "say('failed for a reason')",
    "ends when it is ready": "say(f'pid {os.getpid()}'); say('ready')",
    "ends instead of serving": "say(f'pid {os.getpid()}'); say('ready'); hear()",
    "serves before it may": "say(f'pid {os.getpid()}'); say('serving'); hear()",
    "wants the end of the other": "say(f'pid {os.getpid()}'); say('hurry'); hear()",
    "babbles": "say('x' * 10000); hear()",
}


class TestBadSuccessor:
    """The daemon goes on as if nothing had been, and systemd hears that it does."""

    @pytest.mark.parametrize("name", BAD_SUCCESSORS)
    def test_does_no_harm(self, run, manager, tmp_path, name):
        program = tmp_path / "program"
        shutil.copy(SLUICED, program)
        sluice = run(configs.config(configs.listener("web"), configs.listener("file", bind=f"unix:{tmp_path}/web.sock")),
                     program=program)
        manager.wait_names("web", "file")
        client = sluice.connect()
        assert client.ask().status == 200
        program.rename(tmp_path / "before")
        if BAD_SUCCESSORS[name] is not None:
            program.write_text(FAKE + BAD_SUCCESSORS[name] + "\n")
            program.chmod(0o755)
        answer = sluice.admin.ask("POST", "/v1/upgrade")
        assert answer.status == 500, answer.body
        assert client.ask().status == 200 and sluice.ask().status == 200 and sluice.ask(name="file").status == 200
        told = lambda: [message["MAINPID"] for _, message in manager.messages if "MAINPID" in message]
        wait_until(lambda: not told() or told()[-1] == str(sluice.pid))
        assert sluice.reload()["ok"] and sluice.status()["state"] == "running"
        (tmp_path / "before").rename(program)
        assert sluice.upgrade().wait(patient(10)) == 0
        assert sluice.ask().status == 200 and sluice.ask(name="file").status == 200

    def test_refused_in_its_turn(self, start):
        """409 is for what was not tried."""
        sluice = start(configs.config(configs.listener("web", drain_timeout="1h")))
        client = half_sent(sluice)
        sluice.ctl("drain", check=True)
        assert sluice.admin.ask("POST", "/v1/upgrade").status == 409
        finish(client)
        assert sluice.wait_exit() == 0


def test_early_signals(start, tmp_path_factory):
    """What is meant for a running daemon does not end one that is about to run."""
    folder = tmp_path_factory.mktemp("early")
    sluice = Sluice(folder, BOTH)
    try:
        wait_until(lambda: "SigBlk:\t0000000000000000" not in pathlib.Path(f"/proc/{sluice.pid}/status").read_text()
                   or sluice.log, interval=0.0005)
        sluice.signal(signal.SIGUSR1)
        sluice.signal(signal.SIGHUP)
        sluice.wait_ready()
        assert sluice.ask().status == 200
    finally:
        sluice.stop()


class TestInstances:
    def test_own_names(self, run, manager, tmp_path):
        sluice = Sluice(tmp_path, BOTH, options=["--instance", "2"], **manager.keywords())
        sluice.admin.path = str(tmp_path / "admin@2.sock")
        try:
            sluice.wait_ready()
            manager.wait_names("web@2", "safe@2", "tickets.safe@2")
            assert sluice.status()["instance"] == "2"
            address = sluice.addr("web")
            crash(sluice)
            assert replace(sluice, manager, options=["--instance", "2"]).addr("web") == address
            sluice.upgrade().wait(patient(10))
            assert sluice.addr("web") == address and sluice.status()["instance"] == "2"
        finally:
            sluice.stop()

    def test_share_a_port(self, start):
        first = start(configs.config({**configs.listener("web"), "reuse_port": True}))
        bind = "%s:%d" % first.addr()
        second = start(configs.config({**configs.listener("web", bind=bind), "reuse_port": True}))

        def both_have_some():
            assert first.ask().status == 200
            return first.pool()["accepted"] and second.pool()["accepted"]

        wait_until(both_have_some, 20)

    def test_drained_and_restarted(self, start):
        """By hand: the new socket shares as the old one did."""
        first = start(configs.config({**configs.listener("web"), "reuse_port": True}))
        shared = {**configs.listener("web", bind="%s:%d" % first.addr()), "reuse_port": True}
        second = start(configs.config(shared))
        for sluice in (second, second):
            sluice.ctl("drain", "web", check=True)
            assert first.ask().status == 200
            sluice.ctl("restart", "web", check=True)
        assert second.listener()["state"] == "listening"

    def test_the_port_is_shared_by_a_reload(self, start, tmp_path_factory):
        first = start(configs.config(configs.listener("web")))
        shared = {**configs.listener("web", bind="%s:%d" % first.addr()), "reuse_port": True}
        second = Sluice(tmp_path_factory.mktemp("second"), configs.config(shared))
        assert second.wait_exit() == 1 and second.log_line("cannot listen", "in use")
        first.apply(configs.config({**configs.listener("web"), "reuse_port": True}))
        second.process = second._start()
        try:
            assert second.wait_ready().ask().status == 200
        finally:
            second.stop()
