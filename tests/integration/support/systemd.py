"""A machine of its own for the service: a systemd in namespaces (tests/support/with-systemd) with the shipped units,
and the daemon that it runs. A test lives in the machine's network, so its clients are made as everywhere else."""

import functools
import json
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from . import configs
from .daemon import ALARMING, Sluice
from .http import Closed, UnixHttp
from .netns import inside_network
from .settings import REPO, SLUICECTL, SLUICED, patient, scaled
from .waiting import wait_until

RUNNER = REPO / "tests" / "support" / "with-systemd"
UNITS = REPO / "systemd"
CONFIG = "/etc/sluice/sluice.yaml"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
               "LANG": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
ERROR, WARNING, NOTICE, INFO, DEBUG = range(3, 8)  # PRIORITY in the journal

# A program that stops one thread of a process, whose others run on, until it dies. Who traces a process must also take
# notice of its death, or nobody else can.
STALL = """
import ctypes, os, sys
PTRACE_SEIZE, PTRACE_INTERRUPT, ALL = 0x4206, 0x4207, 0x40000000
libc, pid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
for wish in (PTRACE_SEIZE, PTRACE_INTERRUPT):
    if libc.ptrace(wish, pid, None, None):
        sys.exit(os.strerror(ctypes.get_errno()))
while True:
    _, status = os.waitpid(pid, ALL)
    if not os.WIFSTOPPED(status):
        break
"""


@functools.cache
def why_not():
    """Why no systemd can be had here, or None."""
    done = subprocess.run([RUNNER, "true"], capture_output=True, text=True, timeout=patient(60))
    assert done.returncode in (0, 125), done
    return done.stderr.strip() if done.returncode else None


class Machine:
    """Booted and running until stop(). Its files are seen from here below `root`."""

    def __init__(self, *options):
        # What it says first is the process id of its systemd; it lives until the end of its input.
        self.runner = subprocess.Popen([RUNNER, "-t", str(scaled(600, 3600)), *map(str, options), "--", "sh", "-c",
                                        "echo $SYSTEMD_PID; exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.runner.stdout.readline()
        assert line, self.runner.communicate()[1]
        self.pid = int(line)
        self.root = pathlib.Path(f"/proc/{self.pid}/root")
        self.began = 0.0

    def stop(self):
        """All that runs there is killed."""
        try:
            self.runner.communicate(timeout=patient(30))
        except subprocess.TimeoutExpired:
            self.runner.kill()  # its systemd dies with it, and with that all
            self.runner.communicate()
            raise

    def network(self):
        return inside_network(f"/proc/{self.pid}/ns/net")

    # Programs

    def command(self, *words):
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--",
                *map(str, words)]

    def run(self, *words, check=True, timeout=60, **more):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=patient(timeout),
                              env=ENVIRONMENT, **more)
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def popen(self, *words, **more):
        return subprocess.Popen(self.command(*words), env=ENVIRONMENT, text=True, **more)

    def systemctl(self, *words, **more):
        return self.run("systemctl", *words, **more)

    def show(self, unit, name):
        return self.systemctl("show", "-P", name, unit).stdout.strip()

    # Files

    def path(self, path):
        return self.root / str(path).lstrip("/")

    def write(self, path, text):
        there = self.path(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)

    def copy(self, source, path, mode=None):
        there = self.path(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        fresh = there.with_name(f".{there.name}.new")  # a program that runs cannot be written to
        shutil.copy(source, fresh)
        if mode is not None:
            fresh.chmod(mode)
        fresh.rename(there)

    def drop_in(self, unit, name, text):
        self.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
        self.systemctl("daemon-reload")

    def status_of(self, pid):
        """What /proc tells of a process there."""
        text = self.run("cat", f"/proc/{pid}/status").stdout
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    @staticmethod
    def sysctl(name, value):
        """A setting of the network that this thread is in."""
        pathlib.Path("/proc/sys", name.replace(".", "/")).write_text(str(value))

    # Journal

    def begin_test(self):
        """What was before is not shown any more. (systemd 252's --after-cursor leaves out too much.)"""
        self.began = time.time()

    def read_journal(self, *words):
        self.run("journalctl", "--sync")
        return self.run("journalctl", "-q", "--no-pager", f"--since=@{self.began:.6f}", *words).stdout

    def journal(self, *matches):
        """Records, the oldest first; `matches` as for journalctl."""
        return [json.loads(line) for line in self.read_journal("--all", "-o", "json", *matches).splitlines()]


def install_programs(machine):
    for program in (SLUICED, SLUICECTL):
        machine.copy(program, f"/usr/bin/{program.name}", 0o755)


def install(machine):
    """What the package does, from this build and the files that are shipped."""
    install_programs(machine)
    for unit in sorted(UNITS.glob("*.service")):
        machine.copy(unit, f"/usr/lib/systemd/system/{unit.name}", 0o644)
    for kind in ("sysusers", "tmpfiles"):
        if (UNITS / f"sluice.{kind}").exists():
            machine.copy(UNITS / f"sluice.{kind}", f"/usr/lib/{kind}.d/sluice.conf", 0o644)
    machine.run("systemd-sysusers", "sluice.conf")
    machine.run("systemd-tmpfiles", "--create", "sluice.conf")


TIDY = """
systemctl stop --no-block 'sluice*'
systemctl kill -s KILL 'sluice*'
systemctl stop 'sluice*'
systemctl reset-failed
rm -rf /etc/sluice /run/sluice/* /var/log/sluice/* /etc/systemd/system/*
systemctl daemon-reload
"""


def tidy(machine):
    """As it was after install(), whatever the test left."""
    machine.run("sh", "-c", TIDY)
    install_programs(machine)


class Service(Sluice):
    """The daemon as a unit of a machine: that of the plain unit, or of the template's instance."""

    def __init__(self, machine, configuration=None, *, instance=None, start=True):
        self.machine, self.instance = machine, instance
        self.unit = f"sluice@{instance}.service" if instance else "sluice.service"
        self.move_admin_socket("/run/sluice/admin.sock")
        self.file = machine.path(CONFIG)
        self.clients, self.secured, self.secure_names = [], None, set()
        if configuration is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.write_config(configuration)
        if start:
            self.start()

    def move_admin_socket(self, path):
        """To where the unit has it: SLUICE_ADMIN_SOCKET."""
        self.admin_socket = path
        suffix = f"@{self.instance}" if self.instance else ""
        self.socket_path = self.machine.path(path.replace(".sock", f"{suffix}.sock"))
        self.admin = UnixHttp(self.socket_path)

    def text_for(self, configuration):
        if not isinstance(configuration, str):
            configuration = {"admin": {"socket": "/run/sluice/admin.sock"}, **configuration}
            self.secure_names = {entry["name"] for entry in configuration["listeners"] if "tls" in entry}
        return configs.text_of(configuration)

    # Life

    def start(self):
        done = self.machine.systemctl("start", self.unit, check=False)
        assert done.returncode == 0, done.stderr + self.log
        return self

    def restart(self):
        self.machine.systemctl("restart", self.unit)

    def stop(self):
        """As every other test ends: the books balance, and it stops well. Only of one that runs."""
        self.check_books()
        self.close_clients()
        self.machine.systemctl("stop", self.unit)
        assert self.show("Result") == "success", self.log[-4000:]
        self.check_log()

    def ctl(self, *args, check=False, timeout=60):
        own = ["--instance", self.instance] if self.instance else []
        return self.machine.run("/usr/bin/sluicectl", "--socket", self.admin_socket, *own, *args, check=check, timeout=timeout)

    def upgrade(self):
        """The new main process's id."""
        before = self.main_pid
        self.ctl("upgrade", check=True)
        wait_until(lambda: self.main_pid != before, what="systemd knows the new main process")
        return self.main_pid

    def wait_alone(self, timeout=10):
        """Until no predecessor drains any more."""
        wait_until(lambda: self.status()["predecessor_pid"] == 0, timeout, what="the end of the predecessor")

    def kill(self, signal="KILL", pid=None):
        self.machine.run("kill", f"-{signal}", pid or self.main_pid)

    def wait_gone(self, pid):
        """Until nothing is left of a process that was killed: its sockets are open for a moment after kill(2)."""
        there = self.machine.path(f"/proc/{pid}")
        wait_until(lambda: not there.exists(), interval=0.001, what=f"the end of {pid}")

    def wait_back(self, before, timeout=15):
        """Until another main process than `before` says that it is ready."""
        wait_until(lambda: self.main_pid not in (0, before) and self.show("ActiveState") == "active", timeout,
                   what=f"back after {before}; log:\n{self.log[-2000:]}")

    def pings_for(self, seconds):
        """Until the watchdog's last ping came so long after the one that was the last now; or until it has struck."""
        def last():
            return int(self.show("WatchdogTimestampMonotonic")) / 1e6

        began, main = last(), self.main_pid
        wait_until(lambda: last() - began > seconds or self.main_pid != main, 2 * seconds, interval=0.2,
                   what="pings of the watchdog")

    @property
    def alive(self):
        return self.show("ActiveState") == "active"

    # Looking

    def show(self, name):
        return self.machine.show(self.unit, name)

    @property
    def main_pid(self):
        return int(self.show("MainPID"))

    @property
    def pids(self):
        """Of all processes of the unit."""
        group = self.show("ControlGroup")
        text = self.machine.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").stdout if group else ""
        return sorted(map(int, text.split()))

    @property
    def stored(self):
        """How many file descriptors systemd keeps for it."""
        return int(self.show("NFileDescriptorStore"))

    def journal(self, *matches):
        """Its own records, not systemd's about it."""
        return self.machine.journal(f"_SYSTEMD_UNIT={self.unit}", *matches)

    @property
    def log(self):
        """All that the journal says about the unit, as text."""
        return self.machine.read_journal("-u", self.unit, "-o", "short-precise")

    def check_log(self):
        found = ALARMING.search(self.log)
        assert not found, f"alarming log: {self.log[max(0, found.start() - 500):found.start() + 4000]}"

    def unix_address(self, name):
        """Of a unix listener, as it is reached from here."""
        return str(self.machine.path(self.addr(name)))

    def ready(self):
        try:
            return self.admin.ask("GET", "/readyz").status == 200
        except (OSError, Closed):
            return False


def security(machine, unit):
    """The exposure that systemd-analyze finds: 0 to 10."""
    text = machine.run("systemd-analyze", "security", "--no-pager", unit).stdout
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)[1])


# Fixtures, which conftest.py makes known.

@pytest.fixture(scope="module")
def booted():
    """One for each test file: to boot takes longer than most tests."""
    if why_not():
        pytest.skip(why_not())
    machine = Machine()
    try:
        install(machine)
        yield machine
    finally:
        machine.stop()


@pytest.fixture
def machine(booted):
    """With the service installed, and not started. The test is in its network; pids are those of in there."""
    booted.begin_test()
    with booted.network():
        yield booted
    tidy(booted)
