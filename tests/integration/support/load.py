"""Load from outside: wrk, and clients in threads whose every request is accounted for."""

import re
import subprocess
import threading
import time
from dataclasses import dataclass, field

from .http import Closed, request


class Wrk:
    """A running wrk; `result()` waits for its end."""

    def __init__(self, url, *, connections=64, seconds=5, threads=1):
        self.process = subprocess.Popen(
            ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", url],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    @property
    def running(self):
        return self.process.poll() is None

    def result(self, timeout=120):
        output, _ = self.process.communicate(timeout=timeout)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        total = re.search(r"(\d+) requests in", output)
        assert total, output
        connect, read, write, timeouts = map(int, errors.groups()) if errors else (0, 0, 0, 0)
        return {"requests": int(total[1]), "connect": connect, "read": read, "write": write, "timeout": timeouts,
                "bad": int(bad[1]) if bad else 0, "output": output}


@dataclass
class Tally:
    answered: int = 0
    undecided: int = 0  # the end came before or while the request was sent
    lost: list = field(default_factory=list)
    latencies: list = field(default_factory=list)

    def p99(self):
        ordered = sorted(self.latencies)
        return ordered[int(len(ordered) * 0.99)] if ordered else 0.0


def ask_once(client, tally, raw=request()):
    """One request. Lost is only what had reached the daemon before its FIN and was not answered.

    On loopback a send delivers at once: where no FIN has arrived when it returns, the request was readable first.
    """
    began = time.monotonic()
    if not client.try_send(raw):
        tally.undecided += 1
        return None
    in_time = client.is_open()
    try:
        response = client.response()
    except Closed as closed:
        if in_time:
            tally.lost.append(str(closed))
        else:
            tally.undecided += 1
        return None
    if response.status != 200:
        tally.lost.append(f"status {response.status}")
    tally.answered += 1
    tally.latencies.append(time.monotonic() - began)
    return response


class Crew:
    """A thread for each of `shares`, which `_run` fills until `ending` is set; subclasses say how to `stop`."""

    def __init__(self, shares):
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(share,), daemon=True) for share in shares]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()


class Askers(Crew):
    """Threads that ask on kept connections until stopped, and connect anew when told to close."""

    def __init__(self, connect, count=4, pause=0.0):
        self.connect = connect
        self.pause = pause
        self.tallies = [Tally() for _ in range(count)]
        super().__init__(self.tallies)

    def _run(self, tally):
        client = None
        while not self.ending.is_set():
            if client is None:
                try:
                    client = self.connect()
                except OSError:
                    return
            response = ask_once(client, tally)
            if response is None or response.closes:
                client.close()
                client = None
            if self.pause:
                time.sleep(self.pause)
        if client:
            client.close()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)
        return self.total()

    def total(self):
        total = Tally()
        for tally in self.tallies:
            total.answered += tally.answered
            total.undecided += tally.undecided
            total.lost += tally.lost
            total.latencies += tally.latencies
        return total


class H2load:
    """A running h2load; `result()` waits for its end. It does not come back after a GOAWAY: see h2load's own counts."""

    def __init__(self, url, *args, connections=10, streams=10, seconds=None, requests=None):
        amount = ["-D", str(seconds)] if seconds else ["-n", str(requests)]
        self.process = subprocess.Popen(
            ["h2load", "-t1", f"-c{connections}", f"-m{streams}", *amount, *map(str, args), url],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    __enter__, __exit__, running = Wrk.__enter__, Wrk.__exit__, Wrk.running

    def result(self, timeout=120):
        output, _ = self.process.communicate(timeout=timeout)
        words = "total started done succeeded failed errored timeout".split()
        counts = re.search("requests: " + ", ".join(rf"(\d+) {word}" for word in words), output)
        good = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
        assert counts and good, output
        return {**dict(zip(words, map(int, counts.groups()))), "2xx": int(good[1]),
                "bad": sum(map(int, good.groups()[1:])), "output": output}
