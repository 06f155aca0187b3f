"""As a service of a real systemd: start, stop, reload, watchdog, log files, and the sandbox."""

import signal
import socket
import time

import pytest

from support import configs
from support.http import request
from support.service_load import WEB, bound
from support.settings import patient
from support.systemd import CONFIG, STALL, Service, security
from support.waiting import wait_until

pytestmark = pytest.mark.slow

UNITS = ["sluice.service", "sluice@.service"]
WATCHDOG = patient(4)  # seconds: a busy machine takes its time for a ping, too


def hello(body="hello\n", **top):
    return configs.config(configs.listener(bind=bound(WEB), routes=[configs.ECHO, configs.respond(body)]), **top)


@pytest.fixture
def service(machine):
    return Service(machine, hello())


# Start and stop

def test_start_and_stop(service):
    assert service.ask().body == b"hello\n"
    main = service.main_pid
    assert service.pids == [main] and service.status()["pid"] == main
    assert service.show("StatusText") and service.show("ActiveState") == "active"
    service.stop()
    assert service.show("ExecMainStatus") == "0" and service.pids == []


def test_start_means_ready(service):
    """Not one moment earlier: whoever comes when systemctl is back is served."""
    for _ in range(5):
        service.machine.systemctl("stop", service.unit)
        service.start()
        assert service.ask().status == 200
    service.stop()


def test_stop_is_over_at_the_deadline(service):
    """With a request that never becomes whole, and an idle connection."""
    stuck = service.connect().send(request("POST", "/echo", headers={"Content-Length": "5"}) + b"he")
    idle = service.connect()
    assert idle.ask().status == 200
    wait_until(lambda: service.pool()["active"] == 2)
    began = time.monotonic()
    service.machine.systemctl("stop", service.unit)
    took = time.monotonic() - began
    assert service.show("Result") == "success"
    assert 1.5 < took < 2 + patient(1), took
    assert stuck.ending() and idle.ending()


def test_broken_configuration_does_not_start(machine):
    """Nor is it tried again and again."""
    machine.write(CONFIG, "listeners:\n  - name: web\n    protokol: http\n    bind: 127.0.0.1:8080\n")
    service = Service(machine, start=False)
    assert machine.systemctl("start", service.unit, check=False).returncode != 0
    assert service.show("Result") == "exit-code" and service.show("ExecMainStatus") == "78"
    assert service.show("ActiveState") == "failed" and service.show("NRestarts") == "0"
    assert f"{CONFIG}:3:5" in service.log, service.log
    service.write_config(hello())
    assert service.start().ask().status == 200
    service.stop()


def test_missing_configuration_does_not_start(machine):
    service = Service(machine, start=False)
    assert machine.systemctl("start", service.unit, check=False).returncode != 0
    assert service.show("ExecMainStatus") == "78" and service.show("ActiveState") == "failed"
    assert CONFIG in service.log


def test_what_time_mends_is_tried_again(service):
    """An address that another program has."""
    other = socket.create_server(("127.0.0.1", 8081))
    service.machine.systemctl("stop", service.unit)
    service.write_config(configs.config(configs.listener(bind="127.0.0.1:8081")))
    done = service.machine.systemctl("start", service.unit, check=False)
    assert done.returncode != 0 and service.show("ExecMainStatus") == "1"
    wait_until(lambda: int(service.show("NRestarts")) > 1)
    assert "127.0.0.1:8081" in service.log
    other.close()
    wait_until(lambda: service.ready() and service.alive)
    assert service.ask().status == 200
    service.stop()


# Reload

def test_reload(service):
    before = service.main_pid
    for body in ("one", "two", "three"):
        service.write_config(hello(body))
        service.machine.systemctl("reload", service.unit)
        assert service.ask().body == body.encode()  # when the command is back, not some time later
    assert service.main_pid == before and service.alive and service.show("NRestarts") == "0"
    service.stop()


def test_refused_reload(service):
    before = service.main_pid
    service.write_config("listeners:\n  - name: web\n    protocol: http\n    bind: 127.0.0.1:8080\n    pol: {}\n")
    done = service.machine.systemctl("reload", service.unit, check=False)
    assert done.returncode != 0
    assert service.ask().body == b"hello\n" and service.main_pid == before
    assert service.show("ActiveState") == "active" and service.show("NRestarts") == "0"
    wait_until(lambda: any(f"{CONFIG}:5:5" in record["MESSAGE"] and int(record["PRIORITY"]) <= 4
                           for record in service.journal()), what=service.log)
    service.write_config(hello("mended"))
    service.machine.systemctl("reload", service.unit)
    assert service.ask().body == b"mended"
    service.stop()


def test_reload_after_the_watcher(service):
    """The file may have been taken already when the command comes; it succeeds, too."""
    service.write_config(hello("soon"))
    wait_until(lambda: service.ask().body == b"soon")
    service.machine.systemctl("reload", service.unit)
    service.stop()


def test_notify_reload(start, tmp_path):
    """What systemd 253 and newer wants of Type=notify-reload."""
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(tmp_path / "notify"))
    ear.settimeout(patient(10))

    def told(wanted):
        while True:
            message = ear.recv(4096).decode()
            if wanted in message.split("\n"):
                return dict(line.split("=", 1) for line in message.split("\n") if line)

    sluice = start(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert told("READY=1")
    for _ in range(2):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        sluice.signal(signal.SIGHUP)
        reloading = told("RELOADING=1")
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert told("READY=1")


def test_notify_reload_of_systemd(service):
    version = int(service.machine.run("systemctl", "--version").stdout.split()[1])
    if version < 253:
        pytest.skip(f"systemd {version} has no Type=notify-reload; 253 has")
    service.machine.drop_in(service.unit, "reload", "[Service]\nType=notify-reload\nExecReload=\n")
    service.restart()
    service.write_config(hello("notified"))
    service.machine.systemctl("reload", service.unit)
    assert service.ask().body == b"notified"
    service.stop()


# The admin socket

@pytest.mark.parametrize("instance", [None, "1"])
def test_another_admin_socket(machine, instance):
    """Moved where daemon and sluicectl both look."""
    service = Service(machine, hello(), instance=instance, start=False)
    machine.drop_in(service.unit, "socket", "[Service]\nEnvironment=SLUICE_ADMIN_SOCKET=/run/sluice/other.sock\n")
    service.move_admin_socket("/run/sluice/other.sock")
    service.start()
    service.write_config(hello("moved"))
    machine.systemctl("reload", service.unit)
    assert service.ask().body == b"moved"
    before = service.main_pid
    assert service.upgrade() == service.status()["pid"] != before
    machine.systemctl("reload", service.unit)
    assert not list(machine.path("/run/sluice").glob("admin*"))
    service.stop()


def test_admin_socket_of_the_file(service):
    """Has no effect, and the journal says so."""
    service.file.write_text(service.text_for({**hello("here"), "admin": {"socket": "/run/sluice/other.sock"}}))
    service.machine.systemctl("reload", service.unit)
    assert service.ask().body == b"here" and not service.machine.path("/run/sluice/other.sock").exists()
    told = wait_until(lambda: [record for record in service.journal("PRIORITY=4")
                               if record.get("CONFIG_KEY") == "admin.socket"])
    assert "has no effect" in told[0]["MESSAGE"], service.log
    service.stop()


def test_wrong_option_is_not_tried_again(machine):
    service = Service(machine, hello(), start=False)
    machine.drop_in(service.unit, "option", "[Service]\nExecStart=\nExecStart=/usr/bin/sluiced --unheard-of\n")
    assert machine.systemctl("start", service.unit, check=False).returncode != 0
    assert service.show("ExecMainStatus") == "64"
    assert service.show("ActiveState") == "failed" and service.show("NRestarts") == "0"


# Watchdog

@pytest.fixture
def watched(service):
    service.machine.drop_in(service.unit, "watchdog", f"[Service]\nWatchdogSec={WATCHDOG}\nTimeoutAbortSec=2s\n")
    service.restart()
    return service


def test_watchdog_is_content(watched):
    """Of a daemon that has nothing to do."""
    before = watched.main_pid
    watched.pings_for(2 * WATCHDOG)
    assert watched.main_pid == before and watched.alive and watched.show("NRestarts") == "0"
    assert watched.ask().status == 200
    watched.stop()


@pytest.mark.parametrize("how", ["the loop's thread", "all threads"])
def test_watchdog_on_a_stuck_loop(watched, how):
    """Pings come from the loop itself: that other threads live does not help."""
    before = watched.main_pid
    stall = None
    if how == "all threads":
        watched.kill("STOP")
    else:
        stall = watched.machine.popen("python3", "-c", STALL, str(before))
    watched.wait_back(before, WATCHDOG + 20)
    if stall:
        assert stall.wait(patient(10)) == 0
    assert watched.show("NRestarts") == "1" and watched.ask().status == 200
    assert "Watchdog timeout" in watched.log and "Failed with result 'watchdog'" in watched.log
    watched.stop()


# Log files

def test_sigusr1_reopens_the_access_log(service):
    """As logrotate does it: rename, then tell."""
    path = "/var/log/sluice/access.log"
    service.apply(hello(log={"access": {"format": "json", "path": path}}))
    file = service.machine.path(path)

    def lines(which):
        return which.read_text().splitlines() if which.exists() else []

    assert service.ask(path="/first").status == 200
    wait_until(lambda: lines(file))
    old = file.rename(file.with_suffix(".1"))
    assert service.ask(path="/second").status == 200
    wait_until(lambda: len(lines(old)) == 2)
    service.machine.systemctl("kill", "--kill-whom=main", "-s", "USR1", service.unit)
    wait_until(file.exists)
    assert service.ask(path="/third").status == 200
    wait_until(lambda: lines(file))
    assert len(lines(old)) == 2 and "/third" in lines(file)[0]
    assert file.stat().st_mode == old.stat().st_mode and file.stat().st_uid == old.stat().st_uid
    service.stop()


# The sandbox

def test_units_are_correct(machine):
    for unit in [*UNITS, "sluice@1.service"]:
        done = machine.run("systemd-analyze", "verify", "--man=no", unit)
        assert done.stdout + done.stderr == "", unit


@pytest.mark.parametrize("unit", ["sluice.service", "sluice@1.service"])
def test_exposure(machine, unit):
    assert security(machine, unit) <= 1.5


def test_privileges(service):
    told = service.machine.status_of(service.main_pid)
    bind = 1 << 10  # CAP_NET_BIND_SERVICE
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(told[kind], 16) == bind, (kind, told[kind])
    assert told["NoNewPrivs"] == "1" and told["Seccomp"] == "2"
    user = service.machine.run("id", "-u", "sluice").stdout.strip()
    assert set(told["Uid"].split()) == {user} and user != "0"
    service.stop()


def test_low_port(machine):
    service = Service(machine, configs.config(configs.listener(bind="127.0.0.1:80")))
    assert service.ask().status == 200
    service.stop()


def test_files_are_out_of_reach(service):
    """Seen from in there, as its own user: nothing can be written but its own directories."""
    main = service.main_pid

    def inside(*words):
        return service.machine.run("nsenter", f"--target={main}", "--mount", "--", "setpriv", "--reuid=sluice",
                                   "--regid=sluice", "--clear-groups", *words, check=False).returncode == 0

    assert inside("touch", "/run/sluice/probe") and inside("touch", "/var/log/sluice/probe")
    assert inside("cat", CONFIG)
    service.machine.run("nsenter", f"--target={main}", "--mount", "--", "true")
    for path in ("/etc/sluice/probe", "/usr/probe", "/var/lib/probe", "/home/probe", "/root/probe", "/dev/probe"):
        # As root: it is the mounts that forbid it, not only the owner.
        done = service.machine.run("nsenter", f"--target={main}", "--mount", "--", "touch", path, check=False)
        assert done.returncode != 0, path
    service.machine.write("/tmp/secret", "x")
    assert not inside("cat", "/tmp/secret"), "its /tmp is not its own"
    service.stop()


def test_upstream_by_name(service, serve):
    """The sandbox lets names be looked up."""
    server = serve(address=("127.0.0.1", 0))
    service.machine.path("/etc/hosts").open("a").write("127.0.0.1 backend.test\n")
    port = server.address[1]
    service.apply(configs.config(configs.listener(bind=bound(WEB), routes=[configs.proxy("api")]),
                                 upstreams=[configs.upstream("api", f"dns:backend.test:{port}")]))
    wait_until(lambda: service.ask().status == 200)
    service.stop()
