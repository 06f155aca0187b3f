"""HTTP/2 load whose every stream is accounted for: answered whole, refused so that it can be tried again, or lost."""

from dataclasses import dataclass, field

from .h2client import INITIAL_WINDOW_SIZE, LAST_OF_ALL, Code, connect
from .http import Closed
from .load import Crew

WIDE = 2**31 - 1


@dataclass
class Books:
    answered: int = 0
    refused: int = 0  # by REFUSED_STREAM, or by a GOAWAY with a smaller last stream: nothing has happened with it
    unmade: list = field(default_factory=list)  # connections that failed before a stream was begun
    lost: list = field(default_factory=list)
    farewells: list = field(default_factory=list)  # the GOAWAYs of each session that got any

    def add(self, other):
        self.answered += other.answered
        self.refused += other.refused
        self.unmade += other.unmade
        self.lost += other.lost
        self.farewells += other.farewells


class Streams(Crew):
    """Threads with one session each, which keep `width` streams in flight, and connect anew after a GOAWAY."""

    def __init__(self, sluice, *, sessions=4, width=8, path="/", size=6, name="web", reconnect=True):
        self.address = sluice.addr(name)
        self.connect = lambda: connect(sluice, name, address=self.address, settings={INITIAL_WINDOW_SIZE: WIDE},
                                       window=WIDE)
        self.width, self.path, self.size, self.reconnect = width, path, size, reconnect
        self.all_books = [Books() for _ in range(sessions)]
        super().__init__(self.all_books)

    def stop(self):
        self.ending.set()
        return self.wait()

    def wait(self):
        """Until all have ended by themselves."""
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a session never ended"
        return self.total()

    def total(self):
        total = Books()
        for books in self.all_books:
            total.add(books)
        return total

    def _run(self, books):
        while not self.ending.is_set():
            try:
                session = self.connect()
            except (OSError, Closed) as problem:
                books.unmade.append(repr(problem))
                return
            session.held = True
            with session:
                self._one_session(session, books)
            if not self.reconnect:
                return

    def _one_session(self, session, books):
        ended = False
        while not ended:
            try:
                if not session.goaways and not self.ending.is_set():
                    self._begin_more(session)
                elif not session.streams:
                    break
                session.handle(session.read_frame())
            except (Closed, BrokenPipeError, ConnectionResetError, TimeoutError) as end:
                ended = self._read_rest(session, end)
            self._settle(session, books, ended)
        if session.goaways:
            books.farewells.append(session.goaways)

    def _begin_more(self, session):
        while len(session.streams) < self.width:
            session.begin(path=self.path).held = True

    @staticmethod
    def _read_rest(session, end):
        """A failed send is no end: what the peer had sent before is still read."""
        if isinstance(end, (Closed, TimeoutError)):
            return repr(end)
        try:
            session.until_closed()
        except (OSError, AssertionError) as problem:
            return repr(problem)
        return repr(end)

    def _settle(self, session, books, ended):
        last = session.goaways[-1][0] if session.goaways else LAST_OF_ALL
        for number, stream in list(session.streams.items()):
            verdict = self._verdict(stream, last, ended)
            if verdict is None:
                continue
            del session.streams[number]
            if verdict == "answered":
                books.answered += 1
            elif verdict == "refused":
                books.refused += 1
            else:
                books.lost.append(verdict)

    def _verdict(self, stream, last, ended):
        if stream.ended and stream.status == 200 and len(stream.body) == self.size:
            return "answered"
        if stream.reset == Code.REFUSED_STREAM or stream.number > last:
            return "refused"
        if stream.done or ended:
            got = f"{stream.status}, {len(stream.body)} bytes, reset {stream.reset}"
            return f"stream {stream.number} of {last}: {got}; {ended}"
        return None
