"""Configurations that are refused: every problem at once, with its place, and without harm to a running daemon."""

import json
import re
import socket

import pytest

from support import configs
from support.daemon import run_sluiced
from support.settings import SLUICED

HEAD = """\
admin: {socket: SOCKET}
listeners:
  - name: web
    bind: 127.0.0.1:0
"""
ROUTES = """\
    routes:
      - match: {path: /}
        respond: {status: 200, body: fine}
"""

# name, text, [(line, words that its message must hold)]
BAD = [
    ("wrong_yaml", HEAD + "    pool: {max_connections: 5\n" + "x: [", [(None, ())]),
    ("tab", HEAD + "\tpool: {}\n", [(None, ())]),
    ("unknown_key", HEAD + "    pool:\n      keepalive_timeout: 5s\n" + ROUTES,
     [(6, ("listeners[0].pool", "keepalive_timeout", "keep_alive_timeout"))]),
    ("unknown_top_key", HEAD + ROUTES + "limit: {}\n", [(8, ("limit", "limits"))]),
    ("unknown_route_key", HEAD + "    routes:\n      - mach: {path: /}\n        respond: {status: 200}\n",
     [(6, ("mach", "match"))]),
    ("duplicate_key", HEAD + "    name: again\n" + ROUTES, [(5, ("name",))]),
    ("wrong_type_map_for_number", HEAD + "    pool: {max_connections: {a: 1}}\n" + ROUTES,
     [(5, ("listeners[0].pool.max_connections",))]),
    ("wrong_type_list_for_map", HEAD + "    pool: [1]\n" + ROUTES, [(5, ("listeners[0].pool",))]),
    ("wrong_type_text_for_number", HEAD + "    pool: {max_connections: many}\n" + ROUTES, [(5, ("max_connections",))]),
    ("listeners_not_a_list", "listeners: 5\n", [(1, ("listeners",))]),
    ("negative", HEAD + "    pool: {max_connections: -1}\n" + ROUTES, [(5, ("max_connections",))]),
    ("zero", HEAD + "    pool: {max_connections: 0}\n" + ROUTES, [(5, ("max_connections",))]),
    ("overflow", HEAD + "    pool: {max_connections: 99999999999999999999999}\n" + ROUTES, [(5, ("max_connections",))]),
    ("bad_duration", HEAD + "    pool: {keep_alive_timeout: 5 parsecs}\n" + ROUTES, [(5, ("keep_alive_timeout",))]),
    ("bare_duration", HEAD + "    pool: {keep_alive_timeout: 5}\n" + ROUTES, [(5, ("keep_alive_timeout",))]),
    ("too_long_duration", HEAD + "    pool: {keep_alive_timeout: 1000d}\n" + ROUTES, [(5, ("keep_alive_timeout",))]),
    ("bad_size", HEAD + "    pool: {max_header_size: 32Kb}\n" + ROUTES, [(5, ("max_header_size",))]),
    ("bad_enum", HEAD + "    pool: {at_limit: panic}\n" + ROUTES, [(5, ("at_limit", "shed_idle", "refuse"))]),
    ("bad_protocol", HEAD + "    protocol: gopher\n" + ROUTES, [(5, ("protocol", "http"))]),
    ("missing_name", "listeners:\n  - bind: 127.0.0.1:0\n", [(2, ("name",))]),
    ("missing_bind", "listeners:\n  - name: web\n", [(2, ("bind",))]),
    ("bad_name", "listeners:\n  - name: We b\n    bind: 127.0.0.1:0\n", [(2, ("name",))]),
    ("bad_bind_host", "listeners:\n  - name: web\n    bind: localhost:80\n", [(3, ("bind",))]),
    ("bad_bind_port", "listeners:\n  - name: web\n    bind: 127.0.0.1:99999\n", [(3, ("bind",))]),
    ("duplicate_names", HEAD + ROUTES + "  - name: web\n    bind: 127.0.0.1:0\n", [(8, ("web", "name"))]),
    ("same_address", "listeners:\n  - {name: a, bind: '127.0.0.1:8099'}\n  - {name: b, bind: '127.0.0.1:8099'}\n",
     [(3, ("127.0.0.1:8099",))]),
    ("overlapping_address", "listeners:\n  - {name: a, bind: '0.0.0.0:8099'}\n  - {name: b, bind: '127.0.0.1:8099'}\n",
     [(3, ("8099",))]),
    ("empty_file", "", [(None, ())]),
    ("only_comments", "# nothing\n", [(None, ())]),
    ("no_listener", "listeners: []\n", [(None, ("listeners",))]),
    ("two_actions", HEAD + "    routes:\n      - respond: {status: 200}\n        echo: {}\n", [(7, ("routes[0]",))]),
    ("no_action", HEAD + "    routes:\n      - match: {path: /}\n", [(6, ("routes[0]",))]),
    ("path_without_slash", HEAD + "    routes:\n      - match: {path: a}\n        echo: {}\n", [(6, ("path",))]),
    ("both_paths", HEAD + "    routes:\n      - match: {path: /a, exact_path: /b}\n        echo: {}\n",
     [(6, ("path",))]),
    ("status_1xx", HEAD + "    routes:\n      - respond: {status: 101}\n", [(6, ("status",))]),
    ("body_with_204", HEAD + "    routes:\n      - respond: {status: 204, body: x}\n", [(6, ("body",))]),
    ("header_not_a_token", HEAD + "    routes:\n      - respond: {headers: {'a b': c}}\n", [(6, ("a b",))]),
    ("header_with_newline", HEAD + "    routes:\n      - respond: {headers: {a: \"b\\r\\nc\"}}\n", [(6, ("headers",))]),
    ("framing_header", HEAD + "    routes:\n      - respond: {headers: {Content-Length: '5'}}\n",
     [(6, ("ontent-",))]),
    ("redirect_status", HEAD + "    routes:\n      - redirect: {status: 200, location: /}\n", [(6, ("status",))]),
    ("redirect_newline", HEAD + "    routes:\n      - redirect: {location: \"/a\\nb\"}\n", [(6, ("location",))]),
    ("not_utf8", HEAD + ROUTES + "# \xff", [(None, ())]),
    ("nul", HEAD + ROUTES + "# \0\n", [(None, ())]),
    ("protocol_of_a_later_release", HEAD + "    protocol: http3\n" + ROUTES, [(5, ("protocol", "http"))]),
    ("three_at_once",
     HEAD + "    pool:\n      max_connections: none\n      keep_alive_timeout: 5\n      at_limit: never\n",
     [(6, ("max_connections",)), (7, ("keep_alive_timeout",)), (8, ("at_limit",))]),
]
IDS = [row[0] for row in BAD]
PLACE = re.compile(r":(\d+):(\d+): ")


def write(path, text, socket_path):
    path.write_bytes(text.replace("SOCKET", str(socket_path)).encode("latin-1"))
    return path


def check_messages(text, file, expected):
    """Every expected problem is told with its line, and places look like places."""
    assert str(file) in text, text
    for line, words in expected:
        found = [message for message in text.splitlines() if all(word in message for word in words)]
        assert found, (words, text)
        if line is None:
            continue
        places = [PLACE.search(message) for message in found]
        assert any(place and int(place[1]) == line and int(place[2]) >= 1 for place in places), (line, found)


@pytest.mark.parametrize("text,expected", [row[1:] for row in BAD], ids=IDS)
def test_check_and_start(tmp_path, text, expected):
    file = write(tmp_path / "bad.yaml", text, tmp_path / "admin.sock")
    for args, code in (["--check"], 1), ([], 78):
        done = run_sluiced("--config", file, *args)
        assert done.returncode == code, (args, done.stdout, done.stderr)
        check_messages(done.stderr, file, expected)
    assert not (tmp_path / "admin.sock").exists()


@pytest.mark.parametrize("text,expected", [row[1:] for row in BAD], ids=IDS)
def test_reload_keeps_the_running_one(web, text, expected):
    good = web.text_for(configs.config())
    before = web.status()
    write(web.file, text, web.socket_path)
    try:
        done = web.ctl("reload")
        assert done.returncode == 1
        check_messages(done.stderr, web.file, expected)
        after = web.status()
        assert after["revision"] == before["revision"]
        assert after["last_reload"]["ok"] is False
        check_messages(after["last_reload"]["error"], web.file, expected)
        assert web.listener()["bind"] == before["listeners"][0]["bind"]
        assert web.ask().status == 200
    finally:
        web.write_config(good)
    assert web.reload()["ok"]
    assert web.status()["last_reload"]["ok"] is True


@pytest.mark.parametrize("text,expected", [row[1:] for row in BAD], ids=IDS)
def test_plan_refuses(web, tmp_path, text, expected):
    file = write(tmp_path / "planned.yaml", text, web.socket_path)
    done = web.ctl("plan", file)
    assert done.returncode == 1
    check_messages(done.stderr, file, expected)


def test_too_large(tmp_path):
    file = tmp_path / "large.yaml"
    file.write_text(configs.text_of(configs.config()) + "#" * 4_200_000)
    done = run_sluiced("--config", file, "--check")
    assert done.returncode == 1 and str(file) in done.stderr


def test_alias_bomb(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]" for i in range(1, 12)]
    file = tmp_path / "bomb.yaml"
    file.write_text("\n".join(lines) + "\n")
    done = run_sluiced("--config", file, "--check")
    assert done.returncode == 1 and str(file) in done.stderr


def test_deep_nesting(tmp_path):
    file = tmp_path / "deep.yaml"
    file.write_text("listeners: " + "[" * 100_000)
    done = run_sluiced("--config", file, "--check")
    assert done.returncode == 1 and str(file) in done.stderr


def test_missing_file(tmp_path):
    for args, code in ([], 78), (["--check"], 1):
        done = run_sluiced("--config", tmp_path / "none.yaml", *args)
        assert done.returncode == code and "none.yaml" in done.stderr and "No such file" in done.stderr


def test_unreadable_file(tmp_path):
    """As a user who may not read it."""
    file = tmp_path / "secret.yaml"
    file.write_text(configs.text_of(configs.config()))
    file.chmod(0)
    import os
    if os.geteuid() != 0:
        done = run_sluiced("--config", file, "--check")
    else:
        try:
            done = run_sluiced("--config", file, "--check", user="nobody", group="nogroup", extra_groups=[])
        except (PermissionError, LookupError):
            pytest.skip(f"nobody may not run {SLUICED}")
    assert done.returncode == 1 and "secret.yaml" in done.stderr and "ermission" in done.stderr


def test_directory_for_a_file(tmp_path):
    done = run_sluiced("--config", tmp_path, "--check")
    assert done.returncode == 1 and str(tmp_path) in done.stderr


def test_file_that_vanishes_from_a_running_daemon(sluice):
    text = sluice.file.read_text()
    sluice.file.unlink()
    assert sluice.reload()["ok"] is False
    assert sluice.status()["last_reload"]["ok"] is False
    assert sluice.ask().status == 200
    sluice.file.write_text(text)
    assert sluice.reload()["ok"] is True


class TestAddressInUse:
    @pytest.fixture
    def taken(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            yield f"127.0.0.1:{sock.getsockname()[1]}"

    def test_start(self, tmp_path, taken):
        file = tmp_path / "sluice.yaml"
        file.write_text(f"admin: {{socket: {tmp_path}/admin.sock}}\nlisteners:\n  - name: web\n    bind: {taken}\n")
        done = run_sluiced("--config", file)
        assert done.returncode == 1
        assert taken in done.stderr and f"{file}:4:" in done.stderr and "in use" in done.stderr

    def test_reload(self, sluice, taken):
        sluice.write_config(configs.config(configs.listener(keep_alive_timeout="7s"), configs.listener("new", taken)))
        answer = sluice.reload()
        assert answer["ok"] is False and taken in answer["error"] and "in use" in answer["error"]
        status = sluice.status()
        assert [entry["name"] for entry in status["listeners"]] == ["web"], "half a file must not be applied"
        assert "keep_alive_timeout: 7s" not in sluice.get("/v1/config")["yaml"]
        assert sluice.ask().status == 200

    def test_reload_to_a_taken_address(self, sluice, taken):
        client = sluice.connect()
        sluice.write_config(configs.config(configs.listener(bind=taken)))
        assert sluice.reload()["ok"] is False
        assert client.ask().status == 200 and sluice.ask().status == 200

    def test_second_daemon_on_one_admin_socket(self, sluice, tmp_path):
        """The socket of a living daemon is not stolen."""
        file = tmp_path / "second.yaml"
        file.write_text(sluice.text_for(configs.config()))
        done = run_sluiced("--config", file)
        assert done.returncode == 1 and str(sluice.socket_path) in done.stderr
        assert sluice.status()["pid"] == sluice.pid


class TestPrinted:
    def test_defaults_are_a_configuration(self, tmp_path):
        done = run_sluiced("--print-defaults")
        assert done.returncode == 0 and "keep_alive_timeout" in done.stdout
        file = tmp_path / "defaults.yaml"
        file.write_text(done.stdout)
        checked = run_sluiced("--config", file, "--check")
        assert checked.returncode == 0, checked.stderr

    def test_schema(self):
        schema = json.loads(run_sluiced("--print-schema").stdout)
        pool = schema["properties"]["listeners"]["items"]["properties"]["pool"]
        assert "max_connections" in pool["properties"] and pool["additionalProperties"] is False

    def test_reference(self):
        done = run_sluiced("--print-reference")
        assert done.returncode == 0
        for word in (".TH", "max_connections", "keep_alive_timeout", "drain_timeout", "restart"):
            assert word.replace("_", "") in done.stdout.replace("_", "").replace("\\", ""), word

    def test_version_and_help(self):
        assert re.search(r"\d+\.\d+", run_sluiced("--version").stdout)
        assert "--check" in run_sluiced("--help").stdout

    def test_running_configuration_is_a_configuration(self, sluice, tmp_path):
        file = tmp_path / "running.yaml"
        file.write_text(sluice.get("/v1/config")["yaml"])
        checked = run_sluiced("--config", file, "--check")
        assert checked.returncode == 0, checked.stderr

    def test_default_file(self):
        from support.settings import REPO
        checked = run_sluiced("--config", REPO / "config" / "default.yaml", "--check")
        assert checked.returncode == 0, checked.stderr
        assert "127.0.0.1" in (REPO / "config" / "default.yaml").read_text()
