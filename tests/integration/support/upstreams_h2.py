"""The HTTP/2 server behind the proxy, with python3-h2, which is strict about what it is sent."""

import queue
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe import frame as frames

from .upstreams import Connection, Exchange, Gone, Received, Server

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings", "host"}
CODES = h2.errors.ErrorCodes


def encoded(fields):
    """Nothing is checked or mended, so that a test may send what is wrong."""
    return [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in fields]


class H2Exchange(Exchange):
    def __init__(self, server, connection, request, stream):
        super().__init__(server, connection, request)
        self.stream = stream
        self.coming = queue.Queue()  # pieces with their flow-controlled sizes, then None
        self.read = self.done = False

    # The request

    def pieces(self, size=None):
        """Its window is opened piece by piece."""
        while not self.read:
            piece = self.coming.get()
            if self.request.given_up:
                raise Gone
            if piece is None:
                self.read = self.request.whole = True
                return
            data, flow = piece
            self.request.body += data
            self.connection.acknowledge(self.stream, flow)
            yield data

    # The answer

    def _headers(self, status, headers, *, end=False):
        fields = encoded([(":status", status), *headers])
        self.connection.act(lambda conn: conn.send_headers(self.stream, fields, end_stream=end), self)

    def interim(self, status, headers=()):
        self._headers(status, headers)

    def answer(self, status=200, headers=(), body=b"", *, trailers=None, read=True):
        if read:
            self.body()
        if trailers is not None:
            self.head(status, headers)
            self.data(body)
            return self.end(trailers)
        if status in (204, 304):
            return self._headers(status, headers, end=True)
        bodiless = not body or self.request.method == "HEAD"
        self._headers(status, [*headers, ("content-length", len(body))], end=bodiless)
        if not bodiless:
            self.connection.send_data(self, body, end=True)

    def head(self, status=200, headers=(), *, length=None):
        self._headers(status, [*headers, *([("content-length", length)] if length is not None else [])])

    def data(self, data):
        self.connection.send_data(self, data)

    def end(self, trailers=()):
        if trailers:
            self.connection.act(lambda conn: conn.send_headers(self.stream, encoded(trailers), end_stream=True), self)
        else:
            self.connection.act(lambda conn: conn.end_stream(self.stream), self)

    def abort(self, code=CODES.INTERNAL_ERROR):
        """RST_STREAM."""
        self.connection.act(lambda conn: conn.reset_stream(self.stream, code), self)
        raise Gone

    def refuse(self):
        """Provably not looked at."""
        self.abort(CODES.REFUSED_STREAM)

    def close(self):
        self.connection.drop()
        raise Gone

    def reset(self):
        self.connection.drop(reset=True)
        raise Gone

    def wait_gone(self):
        with self.connection.changed:
            self.connection.changed.wait_for(lambda: self.request.given_up)
        raise Gone


class H2Connection(Connection):
    def serve(self):
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.exchanges, self.most_streams, self.highest = {}, 0, 0
        self.last_wanted = 2**31 - 1  # of streams above it nothing is heard
        self.goaways, self.pongs, self.dead = [], 0, False
        wish = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.server.options.get("max_streams", 100),
                **self.server.options.get("settings", {})}
        self.conn.local_settings = h2.settings.Settings(client=False, initial_values=wish)
        try:
            self.act(lambda conn: conn.initiate_connection())
            if window := self.server.options.get("connection_window"):
                self.act(lambda conn: conn.increment_flow_control_window(window - 65535))
            self.read_all()
        finally:
            with self.lock:
                self.dead = True
                for exchange in self.exchanges.values():
                    self.lose(exchange)

    def read_all(self):
        while data := self.sock.recv(65536):
            with self.lock:
                for event in self.conn.receive_data(data):
                    handle = self.HANDLERS.get(type(event))
                    if handle:
                        handle(self, event)
                self.flush()
                self.changed.notify_all()

    # Sending

    def flush(self):
        if data := self.conn.data_to_send():
            self.sock.sendall(data)

    def act(self, what, exchange=None):
        with self.lock:
            if self.dead or (exchange and exchange.request.given_up):
                raise Gone
            try:
                what(self.conn)
                self.flush()
            except (OSError, h2.exceptions.StreamClosedError):
                raise Gone from None
            except h2.exceptions.ProtocolError:
                if self.goaways:
                    raise Gone from None
                raise

    def send_data(self, exchange, data, *, end=False):
        data = memoryview(data)
        while data or end:
            with self.changed:
                room = self.wait_room(exchange) if data else 0
                piece, data = bytes(data[:room]), data[room:]
                last = end and not data
                self.act(lambda conn: conn.send_data(exchange.stream, piece, end_stream=last), exchange)
                if last:
                    return

    def wait_room(self, exchange):
        def room():
            if self.dead or exchange.request.given_up:
                raise Gone
            return min(self.conn.local_flow_control_window(exchange.stream), self.conn.max_outbound_frame_size)

        self.changed.wait_for(lambda: room() > 0)
        return room()

    def acknowledge(self, stream, size):
        with self.lock:
            if size and not self.dead:
                try:
                    self.conn.acknowledge_received_data(size, stream)
                    self.flush()
                except (OSError, h2.exceptions.ProtocolError):
                    pass  # the stream has ended

    def goaway(self, last=None, code=CODES.NO_ERROR):
        """Streams above `last` (all that are known, if not given) are not looked at; the others go on."""
        with self.lock:
            self.last_wanted = self.highest if last is None else last
            self.sock.sendall(frames.GoAwayFrame(0, self.last_wanted, error_code=code).serialize())

    def ping(self):
        self.act(lambda conn: conn.ping(b"12345678"))

    # Events

    def on_request(self, event):
        fields = event.headers
        pseudo = {name: value for name, value in fields if name.startswith(":")}
        headers = [(name, value) for name, value in fields if not name.startswith(":")]
        wrong = [name for name, value in headers if name in HOP_BY_HOP - {"host"} or (name, value) == ("te", "gzip")]
        if wrong:
            self.server.problems.append(f"fields that HTTP/2 forbids: {wrong}")
        request = Received(pseudo[":method"], pseudo[":path"], "2", pseudo.get(":authority", ""), headers, self.number)
        request.scheme = pseudo[":scheme"]
        if event.stream_id > self.last_wanted:
            return
        exchange = self.exchanges[event.stream_id] = H2Exchange(self.server, self, request, event.stream_id)
        self.served += 1
        self.highest = event.stream_id
        self.most_streams = max(self.most_streams, len(self.exchanges))
        self.server.record(request)
        threading.Thread(target=self.handle, args=(exchange,), daemon=True).start()

    def handle(self, exchange):
        try:
            self.server.handler(exchange)
        except (Gone, OSError):
            pass
        except Exception as problem:
            self.server.problems.append(f"{type(problem).__name__}: {problem}")
        finally:
            with self.lock:
                exchange.done = True
                self.exchanges.pop(exchange.stream, None)
            self.acknowledge_rest(exchange)

    def acknowledge_rest(self, exchange):
        while not exchange.coming.empty():
            if piece := exchange.coming.get():
                self.acknowledge(exchange.stream, piece[1])

    def of(self, event):
        return self.exchanges.get(event.stream_id)

    def on_data(self, event):
        if exchange := self.of(event):
            exchange.coming.put((event.data, event.flow_controlled_length))
        else:
            self.acknowledge(event.stream_id, event.flow_controlled_length)

    def on_trailers(self, event):
        if exchange := self.of(event):
            exchange.request.trailers = list(event.headers)

    def on_request_end(self, event):
        if exchange := self.of(event):
            exchange.coming.put(None)

    def on_reset(self, event):
        if exchange := self.of(event):
            exchange.request.reset_code = event.error_code
            self.lose(exchange)

    def lose(self, exchange):
        exchange.request.given_up = True
        exchange.coming.put(None)
        self.changed.notify_all()

    def on_goaway(self, event):
        self.goaways.append(event.error_code)

    def on_pong(self, event):
        self.pongs += 1

    HANDLERS = {
        h2.events.RequestReceived: on_request, h2.events.DataReceived: on_data,
        h2.events.TrailersReceived: on_trailers, h2.events.StreamEnded: on_request_end,
        h2.events.StreamReset: on_reset, h2.events.ConnectionTerminated: on_goaway,
        h2.events.PingAckReceived: on_pong,
    }


class H2Server(Server):
    """`max_streams`, `settings`, `connection_window`: what it allows."""

    connection_class = H2Connection
    protocol = "http2"
