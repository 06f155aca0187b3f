"""Changes of the configuration while traffic flows: by signal, by command, by saving in every manner."""

import os
import signal
import time

import pytest

from support import configs, names
from support.http import request
from support.load import Askers, Wrk
from support.settings import PATIENCE, patient, scaled
from support.waiting import wait_until

# No connection of a load test may end for any other reason.
HARMLESS = names.PEER | names.COMPLETED


def saying(body, **pool):
    return configs.config(configs.listener(routes=[configs.respond(body)], **pool))


def says(sluice, body, name="web"):
    return sluice.ask(name=name).body.decode() == body


def wait_says(sluice, body, timeout=3.0):
    wait_until(lambda: says(sluice, body), timeout, what=f"the configuration that says {body}")


@pytest.fixture
def told(start):
    return start(saying("one"))


class TestTriggers:
    def test_sighup(self, told):
        told.write_config(saying("two"))
        told.signal(signal.SIGHUP)
        wait_says(told, "two")

    def test_command(self, told):
        told.write_config(saying("two"))
        done = told.ctl("reload", check=True)
        assert done.stdout
        assert says(told, "two")

    def test_saved_by_rename(self, told):
        told.write_config(saying("two"))
        wait_says(told, "two")

    def test_saved_in_place(self, told):
        for body in ("two", "three", "four"):
            told.file.write_text(told.text_for(saying(body)))
            wait_says(told, body)

    def test_removed_and_created(self, told):
        told.file.unlink()
        time.sleep(0.2)
        assert says(told, "one")
        told.file.write_text(told.text_for(saying("two")))
        wait_says(told, "two")

    def test_moved_away_and_back(self, told):
        """As vim does with backups."""
        backup = told.file.with_suffix(".yaml~")
        told.file.rename(backup)
        told.file.write_text(told.text_for(saying("two")))
        wait_says(told, "two")
        backup.rename(told.file)
        wait_says(told, "one")

    def test_other_files_of_the_directory_do_nothing(self, told):
        before = told.status()["revision"]
        for name in ("other.yaml", "sluice.yaml.swp", "4913"):
            (told.directory / name).write_text("listeners: nonsense")
        time.sleep(0.5)
        status = told.status()
        assert status["revision"] == before and (not status["last_reload"] or status["last_reload"]["ok"] is not False)

    def test_saving_the_same_changes_nothing(self, told):
        client = told.connect()
        assert client.ask().status == 200
        for _ in range(5):
            told.write_config(saying("one"))
            assert told.reload()["ok"]
        assert client.ask().status == 200
        assert not told.status()["last_reload"]["changes"]


TWO_HALVES = """\
admin: {{socket: {socket}}}
listeners:
  - name: web
    bind: 127.0.0.1:0
    pool: {{drain_timeout: 2s}}
    routes:
      - match: {{path: /}}
        respond: {{status: 200, body: {body}}}
"""


@pytest.mark.parametrize("kind", ["broken_half", "valid_half"])
def test_saved_slowly_in_place(told, kind):
    """A file that is still open for writing is not read, whether its half is nonsense or, worse, makes sense."""
    text = TWO_HALVES.format(socket=told.socket_path, body="two")
    if kind == "valid_half":
        half, rest = TWO_HALVES.format(socket=told.socket_path, body="half"), \
            "  - name: second\n    bind: 127.0.0.1:0\n"
    else:
        cut = text.index("respond: {") + len("respond: {")
        half, rest = text[:cut], text[cut:]
    before = told.status()["revision"]
    with open(told.file, "w") as file:
        file.write(half)
        file.flush()
        os.fsync(file.fileno())
        ending = time.monotonic() + 1.0
        while time.monotonic() < ending:
            status = told.status()
            assert status["revision"] == before
            assert not status["last_reload"] or status["last_reload"]["ok"] is not False
            assert says(told, "one")
            time.sleep(0.05)
        file.write(rest)
    if kind == "valid_half":
        wait_until(lambda: len(told.status()["listeners"]) == 2, 3)
        wait_says(told, "half")
    else:
        wait_says(told, "two")
    assert told.status()["last_reload"]["ok"] is True


def test_through_a_swapped_directory(start, tmp_path):
    """As Kubernetes mounts a ConfigMap: the file is a link into ..data, which is a link that is swapped."""
    mount = tmp_path / "mount"
    socket = tmp_path / "admin.sock"

    def generation(number, body):
        folder = mount / f"..gen{number}"
        folder.mkdir(parents=True)
        (folder / "sluice.yaml").write_text(TWO_HALVES.format(socket=socket, body=body))
        link = mount / "..data_tmp"
        link.symlink_to(folder.name)
        link.rename(mount / "..data")
        return folder

    first = generation(1, "one")
    (mount / "sluice.yaml").symlink_to("..data/sluice.yaml")
    sluice = start(file=mount / "sluice.yaml")
    assert says(sluice, "one")
    generation(2, "two")
    wait_says(sluice, "two")
    (first / "sluice.yaml").unlink()
    first.rmdir()
    generation(3, "three")
    wait_says(sluice, "three")


def test_what_changed_is_told(told):
    told.write_config(saying("two", keep_alive_timeout="7s", max_connections=77))
    assert told.reload()["ok"]
    status = told.status()
    assert status["last_reload"]["ok"] is True and status["last_reload"]["error"] is None
    assert status["last_reload"]["time"].startswith("20")
    changes = {change["key"]: change for change in status["last_reload"]["changes"]}
    assert changes["listeners.web.pool.keep_alive_timeout"]["old"] == "5s"
    assert changes["listeners.web.pool.keep_alive_timeout"]["new"] == "7s"
    assert changes["listeners.web.pool.max_connections"]["old"] == "10000"
    assert changes["listeners.web.routes[0].respond.body"]["new"].strip('"') == "two"
    assert {change["class"] for change in changes.values()} == {"live"}
    for key, old, new in (("listeners.web.pool.keep_alive_timeout", "5s", "7s"),
                          ("listeners.web.routes[0].respond.body", "one", "two")):
        assert told.log_line(key, old, new, "live"), told.log
    assert status["listeners"][0]["pool"]["max_connections"] == 77


class TestListeners:
    """Beginning, ending and moving, while requests are half sent and askers ask."""

    def start_two(self, start):
        return start(configs.config(configs.listener(), configs.listener("other")))

    def test_added(self, start):
        sluice = start(configs.config(configs.listener()))
        with Askers(lambda: sluice.connect(), count=2) as askers:
            sluice.apply(configs.config(configs.listener(), configs.listener("new")))
            assert sluice.ask(name="new").status == 200
            total = askers.stop()
        assert not total.lost and not total.undecided
        assert sluice.status()["last_reload"]["changes"] or sluice.log_line("listeners.new")

    def test_removed(self, start):
        sluice = self.start_two(start)
        address = sluice.addr("other")
        half = sluice.connect("other")
        half.send(request("POST", "/echo", headers={"Content-Length": "5"}))
        idle = sluice.connect("other")
        assert idle.ask().status == 200
        with Askers(lambda: sluice.connect("web"), count=2) as askers:
            sluice.apply(configs.config(configs.listener()))
            assert idle.ending() == "fin"
            half.send(b"hello")
            response = half.response()
            assert response.body == b"hello" and response.closes
            wait_until(lambda: [entry["name"] for entry in sluice.status()["listeners"]] == ["web"])
            with pytest.raises(OSError):
                sluice.connect(address=address)
            total = askers.stop()
        assert not total.lost and not total.undecided

    def test_moved(self, start):
        sluice = start(configs.config(configs.listener(keep_alive_timeout="60s")))
        old = sluice.addr()
        half = sluice.connect()
        half.send(b"GET / HTTP/1.1\r\nHo")
        wait_until(lambda: sluice.pool()["active"] >= 1)
        answer = sluice.apply(configs.config(configs.listener(bind="127.0.0.2:0", keep_alive_timeout="60s")))
        told = answer["changes"] or sluice.status()["last_reload"]["changes"]
        assert [change["class"] for change in told if change["key"] == "listeners.web.bind"] == ["rebind"]
        assert sluice.addr()[0] == "127.0.0.2"
        assert sluice.ask().status == 200
        half.send(b"st: x\r\n\r\n")
        assert half.response().status == 200

        def refused():
            try:
                sluice.connect(address=old).close()
                return False
            except OSError:
                return True

        wait_until(refused)

    def test_moved_under_traffic(self, start):
        sluice = start(configs.config(configs.listener(keep_alive_timeout="60s")))
        holder = {"address": sluice.addr()}
        with Askers(lambda: sluice.connect(address=holder["address"]), count=3) as askers:
            for host in ("127.0.0.2", "127.0.0.3", "127.0.0.1"):
                sluice.apply(configs.config(configs.listener(bind=f"{host}:0", keep_alive_timeout="60s")))
                holder["address"] = sluice.addr()
                time.sleep(0.2)
            total = askers.stop()
        assert not total.lost and total.answered > 50 / PATIENCE

    def test_two_exchange_their_addresses(self, start):
        one, two = (f"127.0.0.1:{configs.free_port()}" for _ in range(2))

        def both(a, b):
            return configs.config(configs.listener("a", a, routes=[configs.respond("a")]),
                                  configs.listener("b", b, routes=[configs.respond("b")]))

        sluice = start(both(one, two))
        sluice.apply(both(two, one))
        assert says(sluice, "a", "a") and says(sluice, "b", "b")
        assert sluice.listener("a")["bind"] == two

    def test_counters_belong_to_the_name(self, start):
        sluice = self.start_two(start)
        sluice.ask(name="web")
        accepted = sluice.pool("web")["accepted"]
        sluice.apply(configs.config(configs.listener(bind="127.0.0.2:0")))
        assert sluice.pool("web")["accepted"] >= accepted >= 1

    def test_unchanged_ones_keep_socket_and_connections(self, start):
        sluice = self.start_two(start)
        address = sluice.addr()
        client = sluice.connect()
        assert client.ask().status == 200
        for n in range(5):
            sluice.apply(configs.config(configs.listener(), configs.listener("other", keep_alive_timeout=f"{n + 1}s")))
        assert sluice.addr() == address and client.ask().status == 200
        assert sluice.listener()["generation"] == 1


@pytest.mark.slow
def test_under_load(start, needs):
    """Saved again and again with changing routes and pools: nothing fails, nobody is closed, each is soon in force."""
    needs("wrk")
    rounds, bound = scaled(10, 100), patient(0.7)
    quiet = dict(max_requests_per_connection=0, keep_alive_timeout="60s")
    sluice = start(saying("v0", **quiet))
    prober = sluice.connect()
    worst = 0.0
    with Wrk(sluice.url() + "/", connections=64, seconds=scaled(6, 60)) as wrk:
        wait_until(lambda: sluice.pool()["active"] >= 65)
        before = sluice.pool()["closed"]  # wrk itself has tried the address with a connection
        for n in range(1, rounds + 1):
            began = time.monotonic()
            sluice.write_config(saying(f"v{n}", **{**quiet, "max_connections": 10000 + n, "headers_timeout": f"{n}s"}))
            while prober.ask().body != b"v%d" % n:
                assert time.monotonic() - began < patient(5), f"save {n} not in force; log:\n{sluice.log[-2000:]}"
                time.sleep(0.005)
            worst = max(worst, time.monotonic() - began)
            wait_until(lambda: sluice.status()["last_reload"]["ok"])
            time.sleep(0.1)
        assert wrk.running, "the load has to outlast the reloads"
        closed = sluice.pool()["closed"]
        assert closed == before, closed
        outcome = wrk.result()
    assert (outcome["bad"], outcome["read"], outcome["write"], outcome["timeout"], outcome["connect"]) == (0,) * 5, \
        outcome["output"]
    closed = {reason for reason, count in sluice.pool()["closed"].items() if count}
    assert closed <= HARMLESS, closed
    assert worst < bound, f"slowest change took {worst * 1000:.0f} ms"
    assert prober.ask().body == b"v%d" % rounds
    for n in range(1, rounds + 1):
        assert sluice.log_line("listeners.web.routes[0].respond.body", f"v{n - 1}", f"v{n}", "live"), n
        assert sluice.log_line("listeners.web.pool.max_connections", str(10000 + n), "live"), n
    print(f"{rounds} reloads, {outcome['requests']} requests, slowest in force after {worst * 1000:.1f} ms")


@pytest.mark.slow
def test_alternating_good_and_bad(start):
    """A bad file between good ones is refused, told, and forgotten with the next good one."""
    sluice = start(saying("v0"))
    with Askers(lambda: sluice.connect(), count=2) as askers:
        for n in range(1, 6):
            sluice.file.write_text("listeners: [")
            wait_until(lambda: sluice.status()["last_reload"] and sluice.status()["last_reload"]["ok"] is False)
            assert says(sluice, f"v{n - 1}")
            sluice.write_config(saying(f"v{n}"))
            wait_says(sluice, f"v{n}")
            assert sluice.status()["last_reload"]["ok"] is True
        total = askers.stop()
    assert not total.lost and not total.undecided


def test_many_signals_at_once(told):
    told.write_config(saying("two"))
    for _ in range(50):
        told.signal(signal.SIGHUP)
    wait_says(told, "two")
    assert told.alive


def test_a_reload_waits_for_who_writes_the_file(told):
    """Asked for in the middle of a write, by signal and by command: the half file must not come into force."""
    whole = TWO_HALVES.format(socket=told.socket_path, body="half") + "  - name: second\n    bind: 127.0.0.1:0\n"
    with open(told.file, "w") as file:
        file.write(whole[: whole.index("  - name: second")])
        file.flush()
        os.fsync(file.fileno())
        wait_until(lambda: told.status())  # a turn of the loop: it knows that the file is being written
        told.signal(signal.SIGHUP)
        ending = time.monotonic() + 0.5
        while time.monotonic() < ending:
            assert says(told, "one")
            time.sleep(0.05)
        file.write(whole[whole.index("  - name: second"):])
    wait_says(told, "half")
    assert len(told.status()["listeners"]) == 2


def test_a_replaced_directory_is_noticed(start, tmp_path):
    directory = tmp_path / "conf"
    directory.mkdir()
    file = directory / "sluice.yaml"
    text = TWO_HALVES.format(socket=tmp_path / "admin.sock", body="one")
    file.write_text(text)
    sluice = start(file=file)
    assert says(sluice, "one")
    directory.rename(tmp_path / "old")
    directory.mkdir()
    file.write_text(text.replace("body: one", "body: two"))
    wait_says(sluice, "two")
    file.write_text(text.replace("body: one", "body: three"))
    wait_says(sluice, "three")


def test_from_one_address_to_all_and_back(start):
    """The kernel takes a wildcard and a single address of one port only from somebody who says that he shares."""
    port = configs.free_port()
    sluice = start(configs.config(configs.listener(bind=f"127.0.0.1:{port}")))
    client = sluice.connect()
    assert client.ask().status == 200
    for bind in (f"0.0.0.0:{port}", f"127.0.0.1:{port}"):
        sluice.apply(configs.config(configs.listener(bind=bind)))
        assert sluice.listener()["bind"] == bind
        assert client.ask().status == 200 and sluice.connect(address=("127.0.0.1", port)).ask().status == 200


def test_a_listener_that_comes_back_keeps_its_counters(start):
    both = configs.config(configs.listener(drain_timeout="20s"), configs.listener("other"))
    sluice = start(both)
    busy = sluice.connect()
    busy.send(request("POST", "/echo", headers={"Content-Length": "5"}))
    wait_until(lambda: sluice.pool()["active"] == 1)
    accepted = sluice.pool()["accepted"]
    sluice.apply(configs.config(configs.listener("other")))
    sluice.apply(both)
    rows = [row for row in sluice.status()["listeners"] if row["name"] == "web"]
    assert len(rows) == 1 and rows[0]["state"] == "listening" and rows[0]["pool"]["accepted"] == accepted
    assert sluice.ask().status == 200
    busy.send(b"hello")
    assert busy.response().body == b"hello"


def test_nothing_is_taken_from_a_listener_that_stays(start):
    sluice = start(configs.config(configs.listener()))
    host, port = sluice.addr()
    sluice.write_config(configs.config(configs.listener(), configs.listener("thief", bind=f"{host}:{port}")))
    answer = sluice.reload()
    assert not answer["ok"] and "in use" in answer["error"]


def test_a_refused_reload_leaves_no_socket_file(start, tmp_path):
    sluice = start(configs.config(configs.listener()))
    taken = sluice.addr()
    path = tmp_path / "new.sock"
    sluice.write_config(configs.config(configs.listener(), configs.listener("one", bind=f"unix:{path}"),
                                       configs.listener("two", bind=f"{taken[0]}:{taken[1]}")))
    assert not sluice.reload()["ok"]
    assert not path.exists()
