"""How WebSockets live and end: pings, timeouts, changes of their rules while they are open, kill, drain, restart."""

import json
import re
import signal
import threading
import time
from socket import SO_RCVBUF, SOL_SOCKET

import pytest

from support import configs, names
from support.daemon import wait_ended_within
from support.herd import Herd
from support.settings import LONG, SANITIZED, patient, scaled
from support.waiting import still, wait_until
from support.websocket import Op, Ways, close_payload, connect, frame, open_stream, session_of, wish
from support.websocket_backends import deaf, quiet

BOTH = pytest.mark.parametrize("way", ["h1", "h2"])
EVERY_WAY = ["h1", "h2", "ws"]
EVERY = pytest.mark.parametrize("way", EVERY_WAY)
# What a client must do in time; it and the daemon may each be late, by as much as patience has room for.
IN_TIME = patient(0.9)


def ms(seconds):
    return f"{seconds * 1000:.0f}ms"


QUICK = {"ping_interval": "200ms", "pong_timeout": ms(IN_TIME)}
NEVER = {"ping_interval": "0s", "connection_timeout": "0s"}
TICK = 0.15  # of the timer wheel: nothing may end earlier than told, but for that


def fronts(rules=None, *, drain_timeout="2s", extra=(), **top):
    """The same rules on a websocket listener, and for an echo on the others."""
    rules = rules or {}
    routes = [configs.ws_echo(pool=rules), configs.HELLO]
    return configs.config(configs.listener("h1", routes=routes, drain_timeout=drain_timeout),
                          configs.http2("h2", routes=routes, drain_timeout=drain_timeout),
                          configs.websocket("ws", routes=[configs.ws_echo()], drain_timeout=drain_timeout, **rules),
                          *extra, **top)


def relaying(server, rules=None):
    rules = rules or {}
    return fronts(rules, upstreams=[configs.upstream("chat", server)], extra=[
        configs.listener("relay", routes=[configs.ws_relay(pool=rules)]),
        configs.http2("relay2", routes=[configs.ws_relay(pool=rules)])])


class Front(Ways):
    def open(self, way, path="/echo", headers=(), **more):
        if way in ("h2", "relay2"):
            return open_stream(self.session(way), path, headers, **more)
        return connect(self.sluice, path, headers, name=way, **more)


def rows(sluice, **filters):
    query = "&".join(f"{key}={value}" for key, value in filters.items())
    shown = sluice.get("/v1/connections" + (f"?{query}" if query else ""))["connections"]
    return [row for row in shown if row.get("websocket")]


def figures(sluice, way):
    return sluice.listener(way)["websocket"]


def at_once(ways, script):
    """script(way) for each of them, at the same time: most of it is waiting."""
    problems = []

    def run(way):
        try:
            script(way)
        except BaseException as problem:  # told where the test is
            problems.append((way, problem))

    threads = [threading.Thread(target=run, args=(way,), daemon=True) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))
        assert not thread.is_alive(), "a client never ended"
    for way, problem in problems:
        raise AssertionError(f"{way}: {problem!r}") from problem


class TestPings:
    def test_after_silence(self, start):
        """Who answers is not cut, however long it goes on."""
        sluice = start(fronts({**QUICK, "connection_timeout": ms(IN_TIME)}))

        def script(way):
            began = time.monotonic()
            socket = Front(sluice).open(way)
            socket.until(lambda: len(socket.pings) == 1)
            assert time.monotonic() - began > 0.2 - TICK
            socket.until(lambda: len(socket.pings) == 8)
            assert time.monotonic() - began > 1.2
            assert socket.echoes() and figures(sluice, way)["pings"] >= 8
            assert socket.shut() == (1000, "")

        at_once(EVERY_WAY, script)

    def test_more_often_than_the_timeout(self, start):
        """The answer is waited for longer than the interval is; who answers is asked again after the interval."""
        sluice = start(fronts({"ping_interval": "200ms", "pong_timeout": "5s"}))

        def script(way):
            began = time.monotonic()
            socket = Front(sluice).open(way)
            socket.until(lambda: len(socket.pings) == 4)
            assert 0.8 - TICK < time.monotonic() - began < 0.8 + patient(2)

        at_once(EVERY_WAY, script)

    def test_none_while_something_comes(self, start):
        sluice = start(fronts({"ping_interval": ms(IN_TIME), "pong_timeout": ms(IN_TIME)}))

        def script(way):
            socket = Front(sluice).open(way)
            began = time.monotonic()
            while time.monotonic() - began < IN_TIME + 0.3:
                assert socket.echoes()
                time.sleep(0.02)
            assert not socket.pings
            socket.until(lambda: socket.pings)
            socket.shut()

        at_once(EVERY_WAY, script)

    def test_pong_timeout(self, start):
        sluice = start(fronts(QUICK))

        def script(way):
            began = time.monotonic()
            socket = Front(sluice).open(way)
            socket.answers_pings = False
            told = socket.ended()
            took = time.monotonic() - began - 0.2 - IN_TIME
            assert told[0] in (1001, 1006), told
            assert len(socket.pings) == 1 and -TICK < took < patient(1)

        at_once(EVERY_WAY, script)
        for way in EVERY_WAY:
            wait_until(lambda: figures(sluice, way)["active"] == 0)
        for way in ("h1", "ws"):
            sluice.wait_closed(names.PONG_TIMEOUT, name=way)
        assert Front(sluice).session("h2").lives()

    @pytest.mark.parametrize("answer", ["message", "another-pong", "fragment"])
    def test_what_is_an_answer(self, start, answer):
        """Whoever sends is there, also if he never sends the pong; an unsolicited one is a sign of life as well (RFC
        6455, 5.5.3)."""
        sluice = start(fronts(QUICK))

        def script(way):
            socket = Front(sluice).open(way)
            socket.answers_pings = False
            if answer == "fragment":
                socket.send(Op.TEXT, b"begun", fin=False)
            for count in range(1, 5):
                while len(socket.pings) < count:
                    socket.read_one()
                if answer == "message":
                    assert socket.echoes()
                elif answer == "fragment":
                    socket.send(Op.CONTINUATION, b"and", fin=False)
                else:
                    socket.pong(b"something else")
            socket.shut()

        at_once(("h1", "h2"), script)

    def test_in_a_message(self, start):
        """A message that is not finished is no reason not to be asked, and the answer may come in the middle of it."""
        sluice = start(fronts(QUICK))

        def script(way):
            socket = Front(sluice).open(way)
            socket.send(Op.TEXT, b"begun", fin=False)
            while len(socket.pings) < 4:
                socket.read_one()
            socket.send(Op.CONTINUATION, b" and done")
            socket.skip_message()
            socket.shut()

        at_once(("h1", "h2"), script)

    def test_off(self, start):
        sluice = start(fronts(NEVER))
        sockets = [Front(sluice).open(way) for way in EVERY_WAY]
        probe = Front(start(fronts(QUICK))).open("ws")
        probe.until(lambda: len(probe.pings) == 4)  # so long it takes
        for socket in sockets:
            assert socket.echoes() and not socket.pings

    def test_connection_timeout(self, start):
        sluice = start(fronts({"ping_interval": "0s", "connection_timeout": ms(IN_TIME)}))

        def script(way):
            socket = Front(sluice).open(way)
            began = time.monotonic()
            assert socket.echoes()
            assert socket.ended()[0] in (1001, 1006)
            assert -TICK < time.monotonic() - began - IN_TIME < patient(1) and not socket.pings

        at_once(EVERY_WAY, script)
        sluice.wait_closed(names.CONNECTION_TIMEOUT, name="h1")

    def test_what_puts_the_connection_timeout_off(self, start):
        sluice = start(fronts({"ping_interval": "0s", "connection_timeout": ms(IN_TIME)}))

        def script(way):
            pongs, bits = Front(sluice).open(way), Front(sluice).open(way)
            bits.raw(bits.frame(Op.BINARY, b"", size=1000))
            began = time.monotonic()
            while time.monotonic() - began < IN_TIME + 0.5:
                pongs.pong(b"I am here")
                bits.raw(b"x")
                time.sleep(0.1)
            assert pongs.echoes() and bits.wire.is_open()

        at_once(("h1", "h2"), script)

    def test_relays_ping_both_sides(self, serve, start):
        """And answers to these do not go through."""
        server = serve(protocol="websocket", talk=quiet)
        sluice = start(relaying(server, QUICK))
        for number, way in enumerate(("relay", "relay2"), 1):
            client = Front(sluice).open(way, "/chat")
            far = server.wait_sockets(number)
            for count in range(1, 4):
                client.until(lambda: len(client.pings) >= count)
                far.until(lambda: len(far.pings) >= count)
            client.text("now")
            assert far.message() == "now" and not far.pongs and not client.pongs
            far.text("then")
            assert client.message() == "then"

    def test_an_upstream_that_does_not_answer(self, serve, start):
        server = serve(protocol="websocket", talk=deaf)
        sluice = start(relaying(server, QUICK))
        # They answer their own pings meanwhile.
        at_once(("relay", "relay2"), lambda way: Front(sluice).open(way, "/chat").ends_with(1001))
        wait_until(lambda: sluice.upstream("chat")["busy"] == 0)

    def test_a_client_that_does_not_answer(self, serve, start):
        server = serve(protocol="websocket", talk=quiet)
        sluice = start(relaying(server, QUICK))
        clients = [Front(sluice).open(way, "/chat") for way in ("relay", "relay2")]
        server.wait_sockets(2)
        at_once((0, 1), lambda number: check_gone(server.sockets[number]))
        for client in clients:
            client.answers_pings = False
            client.ended()

    def test_close_timeout(self, start):
        """A closing handshake that the client does not finish."""
        sluice = start(fronts({"close_timeout": "300ms"}))
        sockets = [Front(sluice).open(way) for way in EVERY_WAY]
        for row in rows(sluice):
            sluice.ctl("kill", row["id"], check=True)
        began = time.monotonic()
        for socket in sockets:
            assert socket.until_close()[0] == 1008
        for way in EVERY_WAY:
            wait_until(lambda: figures(sluice, way)["active"] == 0)
        assert time.monotonic() - began < patient(1.5)


def unhurried(rules, listener=configs.listener):
    """An echo behind a listener that lets everybody take his time."""
    return configs.config(listener("slow", routes=[configs.ws_echo(pool=rules)], write_timeout="0s", min_data_rate=0))


FLOOD = frame(Op.BINARY, b"x" * 65_000) * 1000  # more than all buffers hold


class TestHeldBack:
    def test_a_client_that_reads_nothing(self, start):
        """It is not read either, and pinged nevertheless."""
        sluice = start(unhurried(QUICK))
        socket = connect(sluice, "/echo", name="slow", receive_buffer=16384)
        assert not socket.try_raw(FLOOD)
        sluice.wait_closed(names.PONG_TIMEOUT, name="slow")
        assert figures(sluice, "slow")["pings"] > 0 and figures(sluice, "slow")["active"] == 0

    def test_a_stream_whose_window_stays_shut(self, start):
        sluice = start(unhurried(QUICK, configs.http2))
        socket = open_stream(session_of(sluice, "slow", window=65_535), "/echo", held=True)
        socket.try_raw(frame(Op.BINARY, b"x" * 60_000) * 3)
        wait_until(lambda: figures(sluice, "slow")["active"] == 0)
        assert figures(sluice, "slow")["pings"] > 0

    def test_kill_of_one(self, start):
        """close_timeout ends it, whatever waits for it."""
        sluice = start(unhurried({**NEVER, "close_timeout": "300ms"}))
        socket = connect(sluice, "/echo", name="slow", receive_buffer=16384)
        thread = threading.Thread(target=socket.try_raw, args=(FLOOD,), daemon=True)
        thread.start()
        still(lambda: sluice.pool("slow")["bytes_in"])
        sluice.ctl("kill", rows(sluice)[0]["id"], check=True)
        wait_until(lambda: figures(sluice, "slow")["active"] == 0)
        thread.join(patient(10))
        sluice.wait_closed(names.KILLED, name="slow")

    def test_an_upstream_that_reads_slowly(self, serve, start):
        """Our ping stands behind what it has not read yet."""
        size, read = 256 * 1024, [0]

        def slow(far):
            while data := far.wire.sock.recv(2048):
                read[0] += len(data)
                time.sleep(IN_TIME / 20)

        server = serve(protocol="websocket", talk=slow)
        server.listening.setsockopt(SOL_SOCKET, SO_RCVBUF, 8192)
        client = Front(start(relaying(server, QUICK))).open("relay", "/chat")
        for _ in range(4):
            client.binary(b"x" * (size // 4))
        client.until(lambda: read[0] >= size)
        assert len(client.pings) > 3
        client.wire.close()


def check_gone(socket):
    assert socket.ended()[0] in (1001, 1006)


class TestLiveChanges:
    def test_pings_switched_on(self, start):
        """Also for those that are open, and off again."""
        sluice = start(fronts(NEVER))
        sockets = {way: Front(sluice).open(way) for way in EVERY_WAY}
        assert all(socket.echoes() for socket in sockets.values())
        sluice.apply(fronts({"ping_interval": "200ms", "pong_timeout": "10s"}))
        for socket in sockets.values():
            socket.until(lambda: socket.pings)
        sluice.apply(fronts({"ping_interval": "1h", "connection_timeout": "0s"}))
        assert all(socket.echoes() for socket in sockets.values())
        before = {way: len(socket.pings) for way, socket in sockets.items()}
        other = Front(start(fronts(QUICK))).open("ws")
        other.until(lambda: len(other.pings) == 4)
        assert all(socket.echoes() for socket in sockets.values())
        assert {way: len(socket.pings) for way, socket in sockets.items()} == before

    @EVERY
    def test_sizes(self, start, way):
        sluice = start(fronts({"max_message_size": "2000B"}))
        first, second = Front(sluice).open(way), Front(sluice).open(way)
        assert first.echoes(b"x" * 2000)
        sluice.apply(fronts({"max_message_size": "1000B"}))
        first.binary(b"x" * 1001)
        first.ends_with(1009)
        sluice.apply(fronts({"max_message_size": "4000B"}))
        assert second.echoes(b"x" * 4000)

    @EVERY
    def test_rates(self, start, way):
        sluice = start(fronts())
        socket = Front(sluice).open(way)
        socket.raw(frame(Op.PING, b"") * 50)
        socket.until(lambda: len(socket.pongs) == 50)
        sluice.apply(fronts({"max_messages_per_second": 5}))
        socket.try_raw(frame(Op.PING, b"") * 50)
        socket.ends_with(1008)

    def test_connection_timeout(self, start):
        sluice = start(fronts(NEVER))
        sockets = [Front(sluice).open(way) for way in EVERY_WAY]
        assert all(socket.echoes() for socket in sockets)
        sluice.apply(fronts({"ping_interval": "0s", "connection_timeout": "300ms"}))
        for socket in sockets:
            assert socket.ended()[0] in (1001, 1006)

    @EVERY
    def test_are_told_as_live(self, start, way):
        sluice = start(fronts(QUICK))
        answer = sluice.apply(fronts({**QUICK, "max_frame_size": "77KiB"}))
        changes = sluice.changes(answer)
        assert changes and {change["class"] for change in changes.values()} == {"live"}, changes

    def test_other_rules_of_a_route(self, start):
        """Those of the handshake hold for who comes."""
        def guarded(**keys):
            return configs.config(configs.listener(routes=[configs.ws_echo(**keys)]))

        sluice = start(guarded())
        first = connect(sluice, "/echo")
        sluice.apply(guarded(origins=["https://good.example"]))
        assert first.echoes()
        with sluice.connect() as client:
            assert client.send(wish("/echo", {"Origin": "https://bad.example"})).response().status == 403

    @BOTH
    def test_a_route_that_goes(self, start, way):
        """Open WebSockets of it stay, with its last rules."""
        sluice = start(fronts(QUICK))
        socket = Front(sluice).open(way)
        changed = configs.config(configs.listener("h1", routes=[configs.HELLO]),
                                 configs.http2("h2", routes=[configs.HELLO]))
        sluice.apply(changed)
        assert socket.echoes()
        socket.until(lambda: len(socket.pings) >= 3)
        with sluice.connect("h1") as client:
            assert client.send(wish("/echo")).response().status == 200

    def test_a_listener_that_goes(self, start):
        sluice = start(fronts())
        sockets = [Front(sluice).open(way) for way in ("h1", "h2", "ws")]
        sluice.apply(configs.config(configs.listener("other")))
        for socket in sockets:
            socket.ends_with(1001)

    def test_an_upstream_that_goes(self, serve, start):
        """Its relays go on, until they end by themselves."""
        server, other = serve(protocol="websocket"), serve(protocol="websocket")
        sluice = start(relaying(server))
        client = Front(sluice).open("relay", "/chat")
        sluice.apply(relaying(other))
        assert client.echoes()
        fresh = Front(sluice).open("relay", "/chat")
        assert fresh.echoes() and len(other.requests) == 1
        assert client.shut(1000)[0] == 1000


class TestAdmin:
    def test_connections(self, start):
        sluice = start(fronts(NEVER))
        front = Front(sluice)
        sockets = [front.open(way) for way in ("h1", "h2", "h2", "ws")]
        for socket in sockets:
            socket.raw(frame(Op.TEXT, b"one") + frame(Op.BINARY, b"two!"))
            assert socket.message() == "one" and socket.message() == b"two!"
        shown = rows(sluice)
        assert len(shown) == 4 and len({row["id"] for row in shown}) == 4
        for row in shown:
            told = row["websocket"]
            assert row["state"] == "open" and told["id"] == row["id"]
            assert [told[key] for key in ("messages_in", "messages_out", "bytes_in", "bytes_out")] == [2, 2, 7, 7]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["connected_at"])
            assert told["trace_id"] and row["peer"].startswith("127.0.0.1")
        assert {row["listener"] for row in shown} == {"h1", "h2", "ws"}
        assert len(rows(sluice, listener="h2")) == 2 and len(rows(sluice, listener="h1")) == 1
        assert len(rows(sluice, state="open")) == 4 and not rows(sluice, state="idle")
        text = sluice.ctl("connections", check=True).stdout
        assert all(str(row["id"]) in text for row in shown)
        assert len([row for row in json.loads(sluice.ctl("connections", "--json", check=True).stdout)["connections"]
                    if row["websocket"]]) == 4

    def test_last_activity(self, start):
        sluice = start(fronts(NEVER))
        socket = Front(sluice).open("h1")
        assert socket.echoes()
        wait_until(lambda: rows(sluice)[0]["websocket"]["last_activity_ms"] >= 1000 * IN_TIME)
        assert socket.echoes()
        assert rows(sluice)[0]["websocket"]["last_activity_ms"] < 1000 * IN_TIME

    def test_trace_id_is_that_of_the_log(self, start):
        sluice = start(fronts(log={"access": {"format": "json"}}))
        socket = Front(sluice).open("h1")
        assert socket.echoes()
        trace = rows(sluice)[0]["websocket"]["trace_id"]
        wait_until(lambda: sluice.log_line(str(trace), "/echo"), what=f"{trace} in {sluice.log[-1000:]}")

    @EVERY
    def test_kill(self, start, way):
        sluice = start(fronts())
        killed, other = Front(sluice).open(way), Front(sluice).open(way)
        assert killed.echoes("x") and other.echoes("y" * 50)
        number = next(row["id"] for row in rows(sluice) if row["websocket"]["bytes_in"] == 1)
        sluice.ctl("kill", number, check=True)
        killed.ends_with(1008)
        assert other.echoes()
        wait_until(lambda: len(rows(sluice)) == 1)
        assert figures(sluice, way)["closed"]["1008"] == 1
        if way != "h2":
            sluice.wait_closed(names.KILLED, name=way)
        assert sluice.ctl("kill", number).returncode == 1

    def test_kill_of_a_session(self, start):
        """The connection's own id, not that of a WebSocket on it."""
        sluice = start(fronts())
        front = Front(sluice)
        sockets = [front.open("h2") for _ in range(2)]
        number = rows(sluice)[0].get("connection") or next(
            row["id"] for row in sluice.get("/v1/connections")["connections"] if not row["websocket"])
        sluice.ctl("kill", number, check=True)
        for socket in sockets:
            assert socket.ended()[0] in (1001, 1006, 1008)
        wait_until(lambda: figures(sluice, "h2")["active"] == 0)

    @pytest.mark.parametrize("way", ["relay", "relay2"])
    def test_kill_of_a_relay(self, serve, start, way):
        server = serve(protocol="websocket", talk=quiet)
        sluice = start(relaying(server))
        client = Front(sluice).open(way, "/chat")
        far = server.wait_sockets()
        sluice.ctl("kill", rows(sluice)[0]["id"], check=True)
        client.ends_with(1008)
        assert far.ended()[0] in (1001, 1006, 1008)

    def test_status_and_metrics(self, start):
        sluice = start(fronts())
        sockets = [Front(sluice).open(way) for way in ("h1", "h2", "ws")]
        assert all(socket.echoes("abc") for socket in sockets)
        sockets[0].shut(1000)
        with sluice.connect("h1") as client:
            assert client.send(wish("/echo", version="8")).response().status == 426
        wait_until(lambda: figures(sluice, "h1")["closed"].get("1000") == 1)
        metrics = sluice.admin.ask("GET", "/metrics").body.decode()
        for line in ('connections{listener="h1"} 0', 'connections{listener="h2"} 1', 'opened_total{listener="ws"} 1',
                     'refused_total{listener="h1"} 1'):
            assert f"sluice_websocket_{line}" in metrics, [one for one in metrics.splitlines() if "websocket" in one]
        for pattern in (r'messages_total\{.*listener="h1".*\} 1', r"bytes_total\{.*\} 3", r"pings_total",
                        r"closed_total\{.*1000.*\} 1"):
            assert re.search(f"sluice_websocket_{pattern}", metrics), pattern
        text = sluice.ctl("status", check=True).stdout
        assert "websocket" in text.lower()


class TestDrain:
    def test_shown_by_5_sigterm(self, start):
        """All see 1001, and it ends in time."""
        count = scaled(50, 1000)
        sluice = start(fronts(drain_timeout="5s"))
        herds = [Herd(sluice, count // 2, name=name) for name in ("h1", "ws")]
        session = session_of(sluice, "h2")
        streams = [open_stream(session, "/echo") for _ in range(count // 10)]
        for herd in herds:
            herd.talk()
        sluice.signal(signal.SIGTERM)
        began = time.monotonic()
        assert [herd.closing(1001) for herd in herds] == [len(herd) or count // 2 for herd in herds]
        for stream in streams:
            assert stream.until_close()[0] == 1001
            stream.try_raw(frame(Op.CLOSE, close_payload(1001)))
        sluice.close_clients()
        code, _ = wait_ended_within(sluice, 5)
        assert code == 0 and time.monotonic() - began < patient(5)

    def test_a_client_that_does_not_answer(self, start):
        """It is cut at the deadline, and no later."""
        sluice = start(fronts({"close_timeout": "30s"}, drain_timeout="1s"))
        sockets = [Front(sluice).open(way) for way in EVERY_WAY]
        assert all(socket.echoes() for socket in sockets)
        began = time.monotonic()
        sluice.signal(signal.SIGTERM)
        for socket in sockets:
            assert socket.until_close()[0] == 1001
        code, _ = wait_ended_within(sluice, 3)
        assert code == 0 and 0.7 < time.monotonic() - began < 1 + patient(1)

    @EVERY
    def test_a_message_on_its_way(self, start, way):
        """What the client had sent before it heard of it is answered, or lost with the connection, but not garbled."""
        sluice = start(fronts(drain_timeout="3s"))
        socket = Front(sluice).open(way)
        socket.raw(frame(Op.TEXT, b"x" * 50_000) * 20)
        sluice.signal(signal.SIGTERM)
        assert socket.ending()[0] == 1001
        sluice.close_clients()
        assert sluice.wait_exit() == 0

    @pytest.mark.parametrize("way", ["relay", "relay2"])
    def test_relays(self, serve, start, way):
        server = serve(protocol="websocket", talk=quiet)
        sluice = start(relaying(server))
        client = Front(sluice).open(way, "/chat")
        far = server.wait_sockets()
        sluice.signal(signal.SIGTERM)
        client.ends_with(1001)
        assert far.ended()[0] == 1001
        sluice.close_clients()
        assert sluice.wait_exit() == 0

    def test_of_one_listener(self, start):
        sluice = start(fronts())
        gone, stays = Front(sluice).open("ws"), Front(sluice).open("h1")
        sluice.ctl("drain", "ws", check=True)
        gone.ends_with(1001)
        assert stays.echoes()

    def test_nobody_comes_in_meanwhile(self, start):
        sluice = start(fronts(drain_timeout="3s"))
        idle = sluice.connect("h1")
        assert idle.ask().status == 200
        socket = Front(sluice).open("h1")
        sluice.signal(signal.SIGTERM)
        socket.ends_with(1001)
        assert idle.ending() == "fin"
        sluice.close_clients()
        assert sluice.wait_exit() == 0

    def test_restart_of_an_http2_listener(self, start):
        """The old generation says 1001 to its WebSockets; who comes anew is served at once."""
        sluice = start(fronts())
        session = session_of(sluice, "h2")
        sockets = [open_stream(session, "/echo") for _ in range(3)]
        assert all(socket.echoes() for socket in sockets)
        sluice.ctl("restart", "h2", check=True)
        for socket in sockets:
            assert socket.until_close()[0] == 1001
            socket.try_raw(frame(Op.CLOSE, close_payload(1001)))
        assert session.until_closed() == "fin" and session.goaways
        assert Front(sluice).open("h2").echoes()

    def test_a_restart_leaves_the_others(self, start):
        sluice = start(fronts())
        other = Front(sluice).open("h1")
        sluice.ctl("restart", "h2", check=True)
        assert other.echoes()


WARM = 25


class Talkers(threading.Thread):
    """A few clients that never stop talking."""

    def __init__(self, sockets):
        super().__init__(daemon=True)
        self.sockets, self.ending, self.problems, self.rounds = sockets, threading.Event(), [], 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join(10)

    def run(self):
        try:
            while not self.ending.is_set():
                assert all(socket.echoes(f"round {self.rounds}") for socket in self.sockets)
                self.rounds += 1
        except Exception as problem:
            self.problems.append(repr(problem))


def test_shown_by_3_reloads(start):
    """With many open and messages flowing: none is closed, new values hold for all, and memory does not grow."""
    count, reloads, seconds = scaled(200, 10_000), scaled(10, 136), scaled(0, 600)

    def config(turn):
        rules = {"max_connections": 20_000, "ping_interval": f"{60 + turn}s", "connection_timeout": "0s",
                 "max_message_size": f"{100 + turn}KiB"}
        return configs.config(configs.websocket("ws", routes=[configs.ws_echo()], **rules),
                              configs.http2("h2", routes=[configs.ws_echo(pool=rules), configs.respond(f"{turn}\n")]),
                              configs.listener("h1", routes=[configs.ws_echo(pool=rules)]))

    sluice = start(config(0))
    with Herd(sluice, count - count // 10, name="ws") as herd, Herd(sluice, count // 10, name="h1") as others:
        session = session_of(sluice, "h2")
        streams = [open_stream(session, "/echo") for _ in range(10)]
        with Talkers(streams) as talkers:
            for turn in range(1, WARM + 1):  # what allocators keep after the first reloads is no growth
                sluice.apply(config(turn))
            herd.talk()
            before, began = sluice.rss(), time.monotonic()
            for turn in range(WARM + 1, WARM + 1 + reloads):
                sluice.apply(config(turn))
                herd.talk(0.1 if LONG else 1)
                others.talk()
                herd.answer_pings()
                wait_until(lambda: time.monotonic() - began >= (turn - WARM) * seconds / reloads, seconds or 1)
            herd.talk()
            grown = sluice.rss() / before - 1
        assert not talkers.problems and talkers.rounds > reloads, (talkers.problems, talkers.rounds)
        assert figures(sluice, "ws")["active"] == len(herd) and figures(sluice, "ws")["total"] == len(herd)
        assert sluice.status()["revision"] > reloads
        assert not any(sluice.pool(name)["closed"].values() for name in ("ws", "h1", "h2"))
        if not SANITIZED:
            assert grown < 0.05, f"memory grew by {grown:.1%}"
        print(f"{count} open, {reloads} reloads in {time.monotonic() - began:.1f} s, memory {grown:+.1%}")
