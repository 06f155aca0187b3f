"""Our established sockets to some ports, counted by a process of its own, each millisecond or as often as it can.

Run as a program it counts until its standard input ends: sockets.py PID PORT...
"""

import json
import pathlib
import subprocess
import sys
import time

ESTABLISHED, SYN_SENT = "01", "02"
EVERY = 0.001


def count(pid, ports):
    """How many sockets of the process's network lead to the ports, from the table that the kernel shows."""
    total = 0
    for name in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] in (ESTABLISHED, SYN_SENT) and fields[2].rpartition(":")[2] in ports:
                total += 1
    return total


def main(pid, *ports):
    import select

    wanted = {"%04X" % int(port) for port in ports}
    most = looks = 0
    print("counting", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        began = time.monotonic()
        most = max(most, count(pid, wanted))
        looks += 1
        time.sleep(max(0, EVERY - (time.monotonic() - began)))
    print(json.dumps({"most": most, "looks": looks}))


class Watch:
    """`most` of them at the same time and how many `looks` were taken, when it has ended."""

    def __init__(self, sluice, *servers):
        ports = [str(server.address[1]) for server in servers]
        self.process = subprocess.Popen([sys.executable, __file__, str(sluice.pid), *ports], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "counting\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        output, _ = self.process.communicate(timeout=30)
        figures = json.loads(output)
        self.most, self.looks = figures["most"], figures["looks"]


if __name__ == "__main__":
    main(*sys.argv[1:])
