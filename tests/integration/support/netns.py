"""A network namespace on the other end of a cable that can be pulled. Needs root and `ip`."""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading

CLONE_NEWNET = 0x40000000
PREFIX = "198.18"  # for tests of networks (RFC 2544)


def run(*words, check=True):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=check)


def why_not():
    """What is missing here; None = nothing."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "needs root and ip"
    name = f"sluice-probe-{os.getpid()}"
    done = run("ip", "netns", "add", name, check=False)
    if done.returncode:
        return f"no network namespaces here: {done.stderr.strip()}"
    try:
        done = run("ip", "-n", name, "link", "add", "probe0", "type", "veth", "peer", "name", "probe1", check=False)
        return f"no veth here: {done.stderr.strip()}" if done.returncode else None
    finally:
        run("ip", "netns", "del", name, check=False)


def enter_network(file):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside_network(path):
    """For this thread, those that it makes, and their programs. `path`: the namespace's file."""
    with open(f"/proc/self/task/{threading.get_native_id()}/ns/net") as home, open(path) as there:
        enter_network(there)
        try:
            yield
        finally:
            enter_network(home)


class Cable:
    """This side has the address `here`, the namespace `there`."""

    def __init__(self, number=0):
        own = os.getpid() % 200
        self.name, self.device = f"sluice-{os.getpid()}-{number}", f"sl{os.getpid() % 100000}-{number}"
        self.here, self.there = f"{PREFIX}.{own}.{4 * number + 1}", f"{PREFIX}.{own}.{4 * number + 2}"

    def __enter__(self):
        try:
            run("ip", "netns", "add", self.name)
            run("ip", "link", "add", self.device, "type", "veth", "peer", "name", "far", "netns", self.name)
            run("ip", "address", "add", f"{self.here}/30", "dev", self.device)
            run("ip", "link", "set", self.device, "up")
            run("ip", "-n", self.name, "address", "add", f"{self.there}/30", "dev", "far")
            for device in ("lo", "far"):
                run("ip", "-n", self.name, "link", "set", device, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        run("ip", "link", "del", self.device, check=False)
        run("ip", "netns", "del", self.name, check=False)

    def cut(self):
        """Nothing gets through any more, and nobody is told."""
        run("ip", "-n", self.name, "link", "set", "far", "down")

    def socket(self):
        """A TCP socket that lives in the namespace."""
        with self.inside():
            return socket.socket()

    def inside(self):
        """This thread makes its sockets there; those that it makes stay there."""
        return inside_network(f"/run/netns/{self.name}")
