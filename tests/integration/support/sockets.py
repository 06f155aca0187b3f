"""Our established sockets to some ports, counted by a process of its own, each millisecond or as often as it can.

Run as a program it counts until its standard input ends: sockets.py PORT...
"""

import json
import select
import socket
import struct
import subprocess
import sys
import time

EVERY = 0.001
SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, NLMSG_ERROR, NLMSG_DONE = 20, 0x301, 2, 3
ESTABLISHED_OR_SYN_SENT = 1 << 1 | 1 << 2


class Kernel:
    """Asks it by netlink, as ss does: /proc/net/tcp has every TIME_WAIT in it, and takes far too long."""

    def __init__(self):
        self.link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)

    def sockets(self, ports):
        """Those that lead to the ports, each by its own port and inode."""
        wish = struct.pack("=BBBxI48x", socket.AF_INET, socket.IPPROTO_TCP, 0, ESTABLISHED_OR_SYN_SENT)
        self.link.send(struct.pack("=IHHII", 16 + len(wish), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0) + wish)
        found = set()
        while True:
            data = self.link.recv(1 << 18)
            while data:
                size, kind = struct.unpack_from("=IH", data)
                if kind == NLMSG_DONE:
                    return found
                assert kind != NLMSG_ERROR, "the kernel does not tell its sockets"
                own, other = struct.unpack_from("!HH", data, 20)
                if other in ports:
                    found.add((own, struct.unpack_from("=I", data, 16 + 68)[0]))
                data = data[(size + 3) & ~3:]


def main(*ports):
    """A dump is no moment: an old socket may be in it, and the new one that took its place. But what is in two of them
    that follow each other was open in between."""
    kernel, wanted = Kernel(), {int(port) for port in ports}
    before, most, looks = kernel.sockets(wanted), 0, 0
    print("counting", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        began = time.monotonic()
        now = kernel.sockets(wanted)
        most = max(most, len(now & before))
        before = now
        looks += 1
        time.sleep(max(0, EVERY - (time.monotonic() - began)))
    print(json.dumps({"most": most, "looks": looks}))


class Watch:
    """`most` of them at the same time and how many `looks` were taken, when it has ended."""

    def __init__(self, *servers):
        ports = [str(server.address[1]) for server in servers]
        self.process = subprocess.Popen([sys.executable, __file__, *ports], stdin=subprocess.PIPE,
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
