"""What an idle WebSocket costs."""

import pytest

from support import configs
from support.herd import Herd
from support.settings import scaled
from support.waiting import wait_until
from support.websocket import open_stream, session_of

pytestmark = pytest.mark.bench

COUNT, WARM = scaled(2_000, 10_000), 500


def test_shown_by_3_idle(start):
    """At most 2 KiB of resident memory each, after each has spoken and been pinged."""
    sluice = start(configs.config(configs.websocket(
        routes=[configs.ws_echo()], max_connections=COUNT + WARM, ping_interval="1s", connection_timeout="0s",
        pong_timeout="60s")))
    with Herd(sluice, WARM) as herd:
        herd.talk()
        before = sluice.rss()
        herd.open(COUNT)
        herd.talk()
        wait_until(lambda: sluice.listener()["websocket"]["pings"] >= len(herd), 10)
        herd.answer_pings()
        assert sluice.listener()["websocket"]["active"] == COUNT + WARM
        each = (sluice.rss() - before) / COUNT
        print(f"{COUNT} idle WebSockets: {each:.0f} B of resident memory each")
        assert each <= 2048


def test_of_streams(start):
    """Over HTTP/2 they are streams, with nghttp2's share; some KiB, but no more."""
    count, each_session = scaled(1_000, 5_000), 100
    sluice = start(configs.config(configs.http2(routes=[configs.ws_echo(pool={"max_connections": count + 200})])))
    sessions = []

    def open_some(number):
        for _ in range(number // each_session):
            sessions.append(session_of(sluice))
            for socket in [open_stream(sessions[-1], "/echo") for _ in range(each_session)]:
                assert socket.echoes()

    open_some(200)
    before = sluice.rss()
    open_some(count)
    each = (sluice.rss() - before) / count
    print(f"{count} idle WebSockets over HTTP/2: {each:.0f} B of resident memory each")
    assert each <= 6 * 1024


def test_what_is_given_back(start):
    """Many come and go: the memory does not grow from one wave to the next."""
    sluice = start(configs.config(configs.websocket(routes=[configs.ws_echo()], max_connections=COUNT)))
    figures = []
    for _ in range(4):
        with Herd(sluice, COUNT // 2) as herd:
            herd.talk()
        wait_until(lambda: sluice.pool()["active"] == 0)
        figures.append(sluice.rss())
    assert figures[-1] < figures[0] * 1.05 + 512 * 1024, figures
