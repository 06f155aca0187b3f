"""Very many WebSockets from one thread: opened, spoken on and ended in batches."""

import random
import selectors
import socket

from .http import Client
from .settings import patient
from .websocket import Op, WebSocket, frame, wish

BATCH = 200


class Herd:
    """Clients of an echo. Each has its own frame, so that a mix-up would show."""

    def __init__(self, sluice, count, path="/echo", name="web"):
        self.sluice, self.path, self.name = sluice, path, name
        self.address = sluice.addr(name)
        self.sockets, self.rounds = [], 0
        self.open(count)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()

    def __len__(self):
        return len(self.sockets)

    def open(self, count):
        """So many more, no more at a time than a listener's backlog takes."""
        for begin in range(0, count, BATCH):
            self._open(min(BATCH, count - begin))

    def _open(self, count):
        fresh = []
        for _ in range(count):
            one = socket.create_connection(self.address, timeout=patient(10))
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.sendall(wish(self.path))
            fresh.append(one)
        for one in fresh:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                data = one.recv(4096)
                assert data, f"ended after {head!r}"
                head += data
            assert head.startswith(b"HTTP/1.1 101 "), head
        self.sockets += fresh

    def talk(self, share=1.0):
        """A message on some of them, each of which is echoed. Pings that come meanwhile are answered."""
        chosen = self.sockets if share == 1 else random.sample(self.sockets, int(len(self.sockets) * share))
        self.rounds += 1
        for begin in range(0, len(chosen), BATCH):
            batch = chosen[begin:begin + BATCH]
            texts = [b"message %d of round %d" % (begin + at, self.rounds) for at in range(len(batch))]
            for one, text in zip(batch, texts):
                one.sendall(frame(Op.TEXT, text))
            for one, text in zip(batch, texts):
                self.expect(one, bytes([0x81, len(text)]) + text)
        return len(chosen)

    @staticmethod
    def expect(one, wanted):
        got = b""
        while len(got) < len(wanted):
            data = one.recv(len(wanted) - len(got))
            assert data, f"ended after {got!r}"
            got += data
            while len(got) >= 2 and got[0] == 0x89:  # a ping, which stands before
                if len(got) < 2 + got[1]:
                    break
                one.sendall(frame(Op.PONG, got[2:2 + got[1]]))
                got = got[2 + got[1]:]
        assert got == wanted, (got, wanted)

    def answer_pings(self):
        """Those that have come."""
        with selectors.DefaultSelector() as selector:
            for one in self.sockets:
                selector.register(one, selectors.EVENT_READ)
            answered = 0
            while ready := selector.select(0):
                for key, _ in ready:
                    head = key.fileobj.recv(2)
                    assert head and head[0] == 0x89, head
                    key.fileobj.sendall(frame(Op.PONG, key.fileobj.recv(head[1]) if head[1] else b""))
                    answered += 1
            return answered

    def closing(self, code):
        """Reads each one's Close, answers it, and waits for its end; gives how many saw it with this code."""
        seen = 0
        for one in self.sockets:
            client = WebSocket(Client(one))
            seen += client.ending()[0] == code
        self.sockets = []
        return seen
