"""The journal: priorities, fields to ask by, nothing for each connection, and bursts that are counted instead."""

import pytest

from support import configs
from support.service_load import WEB, bound, connected
from support.systemd import CONFIG, DEBUG, ERROR, INFO, NOTICE, WARNING, Service
from support.waiting import wait_until

pytestmark = pytest.mark.slow

OTHER = ("127.0.0.1", 8081)
NOBODY = "127.0.0.1:9"


def hello(body="hello\n", **top):
    return configs.config(configs.listener("web", bound(WEB), [configs.respond(body)]),
                          configs.listener("other", bound(OTHER), [configs.respond(body)]), **top)


@pytest.fixture
def service(machine):
    return Service(machine, hello())


def messages(records):
    return [record["MESSAGE"] for record in records]


def test_every_line_has_a_priority_and_a_place(service):
    service.apply(hello("changed"))
    service.file.write_text("listeners: [\n")
    assert not service.reload()["ok"]
    service.write_config(hello("changed"))
    service.stop()
    records = service.journal()
    assert len(records) > 5
    for record in records:
        assert ERROR <= int(record["PRIORITY"]) <= DEBUG, record
        assert record["SYSLOG_IDENTIFIER"] == "sluiced" and record["_TRANSPORT"] == "journal", record
        assert record["CODE_FILE"] and not record["CODE_FILE"].startswith("/") and int(record["CODE_LINE"]) > 0, record
    assert [record for record in records if int(record["PRIORITY"]) <= WARNING], "the refused file"


def test_lines_of_one_listener(service):
    """journalctl -u sluice LISTENER=web"""
    wait_until(lambda: service.journal("LISTENER=web") and service.journal("LISTENER=other"))
    found = service.machine.read_journal("-u", service.unit, "-o", "cat", "LISTENER=web").splitlines()
    assert found and all("other" not in line for line in found), found
    assert any(bound(WEB) in line for line in found), found
    assert service.journal("LISTENER=other") and not service.journal("LISTENER=nobody")
    service.stop()


def test_changes_by_key(service):
    """journalctl CONFIG_KEY=..."""
    service.apply(hello("changed"))
    keys = wait_until(lambda: {record["CONFIG_KEY"]: record for record in service.journal() if "CONFIG_KEY" in record})
    assert any("web" in key and "respond.body" in key for key in keys), keys
    for record in keys.values():
        assert int(record["PRIORITY"]) in (NOTICE, INFO)
    service.stop()


def test_refused_file_by_place(service):
    """All mistakes, each with file, line and column."""
    service.file.write_text("listeners:\n  - nam: web\n    protokol: http\n")
    assert not service.reload()["ok"]
    wanted = [f"{CONFIG}:2:5", f"{CONFIG}:3:5"]
    wait_until(lambda: all(any(place in text for text in messages(service.journal("PRIORITY=3"))) for place in wanted),
               what=f"{wanted} at priority 3 in:\n{service.log}")
    service.write_config(hello())
    service.stop()


def talk(address, count=200):
    for _ in range(count):
        with connected(address) as client:
            assert client.ask().status == 200
    with connected(address) as client:
        client.send(b"nonsense\r\n\r\n")
        client.ending()


def test_no_line_for_a_connection(service):
    wait_until(lambda: sum(text.startswith("listening") for text in messages(service.journal())) == 2)
    before = len(service.journal())
    talk(WEB)
    service.check_books()
    assert service.pool()["accepted"] == 201
    assert len(service.journal()) == before, messages(service.journal()[before:])
    service.stop()


def test_a_line_for_a_connection_at_debug(service):
    service.apply(hello(log={"level": "debug"}))
    before = len(service.journal("LISTENER=web"))
    talk(WEB, 3)
    wait_until(lambda: len(service.journal("LISTENER=web")) >= before + 4)
    ends = [record for record in service.journal("LISTENER=web") if "CONNECTION_ID" in record and "REASON" in record]
    assert len({record["CONNECTION_ID"] for record in ends}) == 4, ends
    assert all(int(record["PRIORITY"]) == DEBUG for record in ends)
    one = ends[0]["CONNECTION_ID"]
    assert service.journal(f"CONNECTION_ID={one}")
    service.stop()


def test_access_lines_are_found_by_fields(service):
    """They have the format that was chosen: what they are about stands beside it."""
    routes = {"routes": [configs.proxy("api")]}
    service.apply(configs.config(configs.listener("web", bound(WEB), **routes), configs.listener("other", bound(OTHER)),
                                 upstreams=[configs.upstream("api", NOBODY)], log={"access": {"format": "combined"}}))
    for address, status in (WEB, 502), (OTHER, 200):
        with connected(address) as client:
            assert client.ask().status == status

    def requests(*fields):
        return [record for record in service.journal(*fields) if '"GET / HTTP/1.1"' in record["MESSAGE"]]

    wait_until(lambda: len(requests()) == 2, what=service.log)
    failed, = requests("LISTENER=web", "UPSTREAM=api", "REASON=connect_error")
    answered, = requests("LISTENER=other")
    assert "UPSTREAM" not in answered and "REASON" not in answered
    for record in failed, answered:
        assert int(record["PRIORITY"]) == INFO and int(record["CONNECTION_ID"]) > 0, record
        assert "LISTENER" not in record["MESSAGE"]
    service.stop()


def test_lines_of_one_upstream(service):
    keys = {"passive_health": {"consecutive_errors": 2}}
    service.apply(configs.config(configs.listener("web", bound(WEB), [configs.proxy("api")]),
                                 upstreams=[configs.upstream("api", NOBODY, "127.0.0.1:19", **keys)]))
    for _ in range(10):
        assert service.ask().status in (502, 503)
    wait_until(lambda: service.journal("UPSTREAM=api", "ENDPOINT=" + NOBODY), what=service.log)
    assert not service.journal("UPSTREAM=another")
    service.stop()


def test_bursts_are_counted(service):
    """What a peer can cause at will: connections from where no PROXY protocol is taken."""
    entry = {**configs.listener("web", bound(WEB)), "proxy_protocol": "v1", "trusted_proxies": ["10.0.0.0/8"]}
    service.apply(configs.config(entry))
    total = 1000
    for _ in range(total):
        with connected(WEB) as client:
            client.ending()
    service.stop()
    lines = [record for record in service.journal("LISTENER=web") if "PROXY" in record["MESSAGE"]]
    left_out = [int(record["LEFT_OUT"]) for record in service.journal() if "LEFT_OUT" in record]
    assert 0 < len(lines) < total / 2, f"{len(lines)} lines"
    assert len(lines) + sum(left_out) == total, (len(lines), left_out)


def test_upgrade_is_told(service):
    """Both processes say what they do, each under its own process id."""
    old = service.main_pid
    new = service.upgrade()
    service.wait_alone()
    wait_until(lambda: {old, new} <= {int(record["_PID"]) for record in service.journal()})
    service.stop()
