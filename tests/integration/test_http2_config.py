"""The configuration of an http2 listener: pool changes are stored until it restarts, everything else is live."""

import pytest

from support import configs, names
from support.h2client import MAX_CONCURRENT_STREAMS, connect
from support.load import H2load
from support.settings import PATIENCE, scaled
from support.streams import Streams
from support.waiting import wait_until

CHANGED = dict(
    max_connections=500, max_connections_per_client=900, handshake_timeout="5s", keep_alive_timeout="30s",
    headers_timeout="9s", request_timeout="29s", write_timeout="29s", min_data_rate="100B/s", min_data_rate_grace="19s",
    max_requests_per_connection=77, max_header_size="16KiB", max_body_size="1MiB", at_limit="refuse",
    max_concurrent_streams=20, initial_window_size="32KiB", connection_window_size="2MiB", max_session_memory="5MiB",
    max_header_list_size="16KiB", session_idle_timeout="99s")


def of(tls=None, on_pool_change=None, routes=None, **pool):
    return configs.config(configs.http2(tls=tls, on_pool_change=on_pool_change, routes=routes,
                                        **{"max_concurrent_streams": 10, **pool}))


def limit(sluice):
    """What a new session is told."""
    with connect(sluice) as session:
        session.until(lambda: session.settings is not None)
        return session.settings[MAX_CONCURRENT_STREAMS]


def pending(sluice):
    rows = sluice.listener()["pending_restart"]
    return {row["key"].removeprefix("pool."): (row["running"], row["configured"]) for row in rows}


class TestStored:
    def test_shown_and_told(self, start):
        sluice = start(of())
        changes = sluice.changes(sluice.apply(of(max_concurrent_streams=20)))
        change = changes["listeners.web.pool.max_concurrent_streams"]
        assert (change["old"], change["new"], change["class"]) == ("10", "20", "restart")
        assert pending(sluice) == {"max_concurrent_streams": ("10", "20")}
        assert limit(sluice) == 10
        assert sluice.log_line("listeners.web.pool.max_concurrent_streams", "10", "20", "sluicectl restart web")
        shown = sluice.ctl("status", check=True).stdout
        assert "max_concurrent_streams" in shown and "20" in shown

    def test_applied_by_a_restart(self, start):
        sluice = start(of())
        old = connect(sluice)
        assert old.lives()
        sluice.apply(of(max_concurrent_streams=20))
        assert old.lives() and not old.goaways, "a stored change disturbs nobody"
        sluice.ctl("restart", "web", check=True)
        assert pending(sluice) == {} and limit(sluice) == 20
        assert old.until_closed() == "fin" and old.goaways
        assert sluice.listener()["generation"] == 2

    def test_taken_back(self, start):
        sluice = start(of())
        sluice.apply(of(max_concurrent_streams=20))
        sluice.apply(of())
        assert pending(sluice) == {} and limit(sluice) == 10 and sluice.listener()["generation"] == 1

    def test_every_key(self, start):
        sluice = start(of())
        sluice.apply(of(drain_timeout="3s", **CHANGED))
        shown = pending(sluice)
        assert set(shown) == set(CHANGED)
        assert shown["session_idle_timeout"] == ("180s", "99s") or shown["session_idle_timeout"] == ("3m", "99s")
        sluice.ctl("restart", "web", check=True)
        assert pending(sluice) == {} and limit(sluice) == 20 and sluice.pool()["max_connections"] == 500

    def test_several_changes_add_up(self, start):
        sluice = start(of())
        sluice.apply(of(max_concurrent_streams=20))
        sluice.apply(of(max_concurrent_streams=30, max_body_size="1KiB"))
        assert pending(sluice)["max_concurrent_streams"] == ("10", "30")
        assert connect(sluice).ask("POST", "/echo", body=b"x" * 2000).status == 200
        sluice.ctl("restart", "web", check=True)
        assert limit(sluice) == 30 and connect(sluice).ask("POST", "/echo", body=b"x" * 2000).status == 413

    def test_a_restart_of_the_daemon_applies_them(self, start):
        sluice = start(of())
        sluice.apply(of(max_concurrent_streams=20))
        sluice.stop()
        again = start(of(max_concurrent_streams=20))
        assert pending(again) == {} and limit(again) == 20

    def test_drain_timeout_is_live(self, start):
        sluice = start(of(drain_timeout="1h"))
        session = connect(sluice)
        session.begin("POST", "/echo", end=False)
        session.sync()
        sluice.apply(of(drain_timeout="500ms"))
        assert pending(sluice) == {}
        sluice.ctl("drain", "web", check=True)
        session.until_closed()
        sluice.wait_closed(names.DRAIN_DEADLINE)


class TestRestartByReload:
    def test_at_once(self, start):
        sluice = start(of(on_pool_change="restart"))
        old = connect(sluice)
        held = old.begin("POST", "/echo", end=False)
        old.sync()
        sluice.apply(of(on_pool_change="restart", max_concurrent_streams=20))
        assert pending(sluice) == {} and limit(sluice) == 20 and sluice.listener()["generation"] == 2
        assert sluice.log_line("listeners.web.pool.max_concurrent_streams", "restarted")
        old.until(lambda: old.goaways)
        old.send_data(held, b"still here", end=True)
        assert old.wait(held).body == b"still here" and old.until_closed() == "fin"

    def test_not_for_other_changes(self, start):
        sluice = start(of(on_pool_change="restart"))
        sluice.apply(of(on_pool_change="restart", routes=[configs.respond("other")], drain_timeout="3s"))
        assert sluice.listener()["generation"] == 1 and connect(sluice).ask().body == b"other"

    def test_switched_on_with_values_waiting(self, start):
        sluice = start(of())
        sluice.apply(of(max_concurrent_streams=20))
        sluice.apply(of(max_concurrent_streams=20, on_pool_change="restart"))
        assert pending(sluice) == {} and limit(sluice) == 20


class TestLive:
    def test_routes(self, start):
        sluice = start(of())
        session = connect(sluice)
        assert session.ask().body == b"hello\n"
        sluice.apply(of(routes=[configs.respond("other")]))
        assert session.ask().body == b"other" and not session.goaways
        assert sluice.listener()["generation"] == 1

    def test_certificates(self, start, certificates):
        one, two = certificates.server(), certificates.server(number=2)
        sluice = start(of(tls=one.tls()))
        old = connect(sluice)
        assert old.lives() and old.client.fingerprint == one.fingerprint
        sluice.apply(of(tls=two.tls()))
        assert connect(sluice).client.fingerprint == two.fingerprint
        assert old.lives() and not old.goaways and pending(sluice) == {}

    def test_to_another_protocol_and_back(self, start):
        sluice = start(of())
        session = connect(sluice)
        assert session.lives()
        sluice.apply(configs.config(configs.listener()))
        sluice.ctl("restart", "web")
        assert sluice.ask().status == 200
        sluice.apply(of())
        sluice.ctl("restart", "web")
        assert connect(sluice).lives()


REFUSED = {
    "http2_key_for_http": ({"max_concurrent_streams": 5}, {}, "http2"),
    "http2_key_for_https": ({"session_idle_timeout": "5s"}, {"protocol": "https", "tls": configs.SELF_SIGNED}, "http2"),
    "on_pool_change_for_http": ({}, {"on_pool_change": "restart"}, "on_pool_change"),
    "allow_http1_for_https": ({}, {"protocol": "https", "tls": configs.SELF_SIGNED, "allow_http1": True},
                              "allow_http1"),
    "https_without_tls": ({}, {"protocol": "https"}, "tls"),
    "http_with_tls": ({}, {"tls": configs.SELF_SIGNED}, "https"),
    "versions": ({}, {"protocol": "https", "tls": {**configs.SELF_SIGNED, "min_version": "1.3", "max_version": "1.2"}},
                 "version"),
    "old_version": ({}, {"protocol": "https", "tls": {**configs.SELF_SIGNED, "min_version": "1.1"}}, "min_version"),
    "client_auth_without_ca": ({}, {"protocol": "https", "tls": {**configs.SELF_SIGNED, "client_auth": "require"}},
                               "client_ca"),
    "window_too_large": ({"initial_window_size": "2GiB"}, {"protocol": "http2"}, "initial_window_size"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(sluice, kind):
    pool, more, word = REFUSED[kind]
    sluice.write_config(configs.config({**configs.listener(**pool), **more}))
    answer = sluice.reload()
    assert not answer["ok"] and word in answer["error"] and "sluice.yaml:" in answer["error"]
    assert sluice.ask(tls=False).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("tls", [None, configs.SELF_SIGNED], ids=["clear", "tls"])
def test_restarts_under_load(start, tls):
    """Every stream that was begun is answered; none has to be tried again."""
    sluice = start(of(tls=tls, max_concurrent_streams=100, drain_timeout="20s", max_requests_per_connection=0))
    with Streams(sluice, sessions=scaled(6, 50), width=scaled(16, 32)) as streams:
        for number in range(2, 2 + scaled(4, 10)):
            answered = streams.total().answered
            wait_until(lambda: streams.total().answered > answered + 200 / PATIENCE, 20)
            sluice.ctl("restart", "web", check=True)
            assert sluice.listener()["generation"] == number
        books = streams.stop()
    assert not books.lost, books.lost[:5]
    assert books.refused == 0 and not books.unmade, books.unmade
    assert len(books.farewells) >= scaled(4, 10)
    assert sluice.pool()["error_rate"] == 0
    print(f"{books.answered} answered, {len(books.farewells)} sessions sent on")


@pytest.mark.slow
def test_restarts_under_h2load(start, needs):
    """h2load gives up what it has not sent when it gets a GOAWAY, so the daemon's own books decide."""
    needs("h2load")
    sluice = start(of(max_concurrent_streams=100, drain_timeout="20s", max_requests_per_connection=0))
    for _ in range(scaled(2, 10)):
        with H2load(sluice.url() + "/", connections=50, streams=32, seconds=scaled(1, 3)) as load:
            wait_until(lambda: sluice.pool()["requests_per_second"] > 0)
            sluice.ctl("restart", "web", check=True)
            result = load.result()
        assert result["bad"] == 0 and result["2xx"] > 0, result["output"]
    wait_until(lambda: sluice.pool()["active"] == 0)
    shown = sluice.listener()
    assert shown["pool"]["error_rate"] == 0 and shown["http2"]["stream_errors"].get("INTERNAL_ERROR", 0) == 0
    assert {reason for reason, count in shown["pool"]["closed"].items() if count} <= names.PEER | names.DRAIN | \
        names.COMPLETED
