"""What takes part in restarts without loss: the role of systemd, and processes that follow others in an upgrade."""

import array
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time

from .settings import patient
from .waiting import wait_until

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Successors leave their parents: they become children of this process, which then sees how they end."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Successor:
    """A process that is ours by adoption; as subprocess.Popen has it."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # its parent in between has not ended yet
                return None
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout):
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class ServiceManager:
    """Hears what a service tells, keeps what it stores, and gives it to the next process as LISTEN_FDS."""

    def __init__(self, folder):
        self.path = folder / "notify.sock"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(str(self.path))
        self.messages = []  # (pid, {key: value})
        self.store = []     # (name, descriptor)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            text, extra, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4 * 16))
            if text == b"end":
                return
            fds, pid = array.array("i"), 0
            for level, kind, data in extra:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(data)
                elif kind == socket.SCM_CREDENTIALS:
                    pid = int.from_bytes(data[:4], "little")
            told = dict(line.split("=", 1) for line in text.decode().split("\n") if line)
            self._keep(told, list(fds))
            self.messages.append((pid, told))

    def _keep(self, told, fds):
        if "FDSTORE" in told:
            same = [fd for name, fd in self.store if os.path.sameopenfile(fd, fds[0])]
            if same:
                os.close(fds[0])
            else:
                self.store.append((told["FDNAME"], fds[0]))
        if "FDSTOREREMOVE" in told:
            for entry in [entry for entry in self.store if entry[0] == told["FDNAME"]]:
                self.store.remove(entry)
                os.close(entry[1])

    @property
    def names(self):
        return sorted(name for name, _ in self.store)

    def told(self, key, value=None, pid=None):
        """The first message with this key (and value, of this process), or None."""
        return next((message for sender, message in self.messages
                     if key in message and value in (None, message[key]) and pid in (None, sender)), None)

    def wait_told(self, *args, **more):
        return wait_until(lambda: self.told(*args, **more), 10, what=(args, more))

    def wait_names(self, *names):
        wait_until(lambda: self.names == sorted(names), 10, what=f"{sorted(names)} stored")

    def keywords(self, store=None):
        """How the next process is to be started: with what is stored, in order, from descriptor 3 on."""
        store = self.store if store is None else store
        moves = " ".join(f"{3 + i}<&{fd}" for i, (_, fd) in enumerate(store))
        closes = " ".join(f"{fd}<&-" for _, fd in store)
        script = f'export LISTEN_PID=$$; exec {moves}; exec "$@" {closes}'
        env = {"NOTIFY_SOCKET": str(self.path)}
        if store:
            env.update(LISTEN_FDS=str(len(store)), LISTEN_FDNAMES=":".join(name for name, _ in store))
        return {"env": env, "before": ["bash", "-c", script, "bash"], "pass_fds": [fd for _, fd in store]}

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.sendto(b"end", str(self.path))
        self.thread.join(patient(5))
        self.sock.close()
        for _, fd in self.store:
            os.close(fd)
