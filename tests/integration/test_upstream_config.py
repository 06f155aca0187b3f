"""Upstreams and proxy routes that are refused: with their place, and without harm to a running daemon."""

import json

import pytest

from support import configs
from support.daemon import run_sluiced
from test_bad_config import check_messages, write

HEAD = """\
admin: {socket: SOCKET}
listeners:
  - name: web
    bind: 127.0.0.1:0
"""
ROUTES = """\
    routes:
      - proxy: {upstream: api}
"""
UPSTREAM = """\
upstreams:
  - name: api
"""
ENDPOINT = "    endpoints: [127.0.0.1:9001]\n"
GOOD = HEAD + ROUTES + UPSTREAM + ENDPOINT


def route(text):
    return HEAD + f"    routes:\n      - proxy: {{upstream: api, {text}}}\n" + UPSTREAM + ENDPOINT


def upstream(text):
    """More keys of the upstream, from line 10 on."""
    return GOOD + "".join(f"    {line}\n" for line in text.splitlines())


def endpoints(text):
    return HEAD + ROUTES + UPSTREAM + f"    endpoints: {text}\n"


# name, text, [(line, words that its message must hold)]
BAD = [
    ("no_such_upstream", GOOD.replace("upstream: api", "upstream: apo"), [(6, ("apo", "api", "upstream"))]),
    ("no_upstreams_at_all", HEAD + ROUTES, [(6, ("api",))]),
    ("route_without_upstream", GOOD.replace("{upstream: api}", "{via: true}"), [(6, ("upstream",))]),
    ("unknown_key", upstream("endpiont: x"), [(10, ("upstreams[0]", "endpiont", "endpoints"))]),
    ("unknown_pool_key", upstream("pool: {max_conections: 5}"), [(10, ("max_conections", "max_connections"))]),
    ("no_name", HEAD + ROUTES + "upstreams:\n  - endpoints: [127.0.0.1:1]\n", [(8, ("name",))]),
    ("bad_name", GOOD.replace("name: api", "name: A pi"), [(8, ("name",))]),
    ("same_name", GOOD + "  - name: api\n" + ENDPOINT, [(10, ("api",))]),
    ("no_endpoints", HEAD + ROUTES + UPSTREAM, [(8, ("endpoints",))]),
    ("empty_endpoints", endpoints("[]"), [(9, ("endpoints",))]),
    ("same_endpoint", endpoints("[127.0.0.1:1, 127.0.0.1:1 weight=2]"), [(9, ("127.0.0.1:1",))]),
    ("no_port", endpoints("[127.0.0.1]"), [(9, ("endpoints", "127.0.0.1"))]),
    ("port_0", endpoints("['127.0.0.1:0']"), [(9, ("port",))]),
    ("port_too_large", endpoints("['127.0.0.1:65536']"), [(9, ("65536",))]),
    ("bad_v6", endpoints("['[::z]:80']"), [(9, ("::z",))]),
    ("weight_0", endpoints("[127.0.0.1:1 weight=0]"), [(9, ("weight",))]),
    ("weight_too_large", endpoints("[127.0.0.1:1 weight=101]"), [(9, ("weight", "100"))]),
    ("words_behind", endpoints("[127.0.0.1:1 backup]"), [(9, ("backup",))]),
    ("dns_address", endpoints("['dns:127.0.0.1:80']"), [(9, ("127.0.0.1",))]),
    ("relative_path", endpoints("['unix:app.sock']"), [(9, ("app.sock",))]),
    ("url", endpoints("['http://127.0.0.1:80/']"), [(9, ("upstreams[0].endpoints[0]", "80/"))]),
    ("balance", upstream("balance: random"), [(10, ("random", "least_requests", "round_robin", "consistent_hash"))]),
    ("hash_without_its_balance", upstream("hash: client"), [(10, ("hash",))]),
    ("bad_hash", upstream("balance: consistent_hash\nhash: path"), [(11, ("hash", "path"))]),
    ("protocol", upstream("protocol: ftp"), [(10, ("ftp", "http2"))]),
    ("min_above_max", upstream("pool: {min_connections: 11, max_connections: 10}"), [(10, ("min_connections",))]),
    ("no_connections", upstream("pool: {max_connections: 0}"), [(10, ("max_connections",))]),
    ("threshold_above_1", upstream("pool: {scale_up_threshold: 1.5}"), [(10, ("scale_up_threshold",))]),
    ("thresholds", upstream("pool:\n  scale_up_threshold: 0.4\n  scale_down_threshold: 0.5"),
     [(12, ("scale_down_threshold",))]),
    ("bare_duration", upstream("pool: {idle_timeout: 5}"), [(10, ("idle_timeout",))]),
    ("rise_0", upstream("health_check: {rise: 0}"), [(10, ("rise",))]),
    ("no_interval", upstream("health_check: {interval: 0s}"), [(10, ("interval",))]),
    ("status", upstream("health_check: {status: 399-200}"), [(10, ("status",))]),
    ("check_path", upstream("health_check: {path: healthz}"), [(10, ("path",))]),
    ("check_type", upstream("health_check: {type: grpc}"), [(10, ("type", "grpc"))]),
    ("ejected_share", upstream("passive_health: {max_ejected: 2}"), [(10, ("max_ejected",))]),
    ("tls_versions", upstream("tls: {min_version: 1.3, max_version: 1.2}"), [(10, ("min_version",))]),
    ("tls_key_alone", upstream("tls: {key: /x.key}"), [(10, ("key", "certificate"))]),
    ("tls_missing_ca", upstream("tls: {ca: /none/ca.pem}"), [(10, ("/none/ca.pem",))]),
    ("tls_nameless", endpoints("['unix:/run/x.sock']") + "    tls: {}\n", [(10, ("server_name",))]),
    ("proxy_protocol", upstream("proxy_protocol: v3"), [(10, ("v3", "v1", "v2"))]),
    ("proxy_protocol_warm", upstream("proxy_protocol: v2\npool: {min_connections: 1}"), [(11, ("min_connections",))]),
    ("retry_on", route("retry: {on: [http_500]}"), [(6, ("http_500", "http_502"))]),
    ("retry_count", route("retry: {count: 11}"), [(6, ("count",))]),
    ("retry_budget", route("retry: {budget: 20%}"), [(6, ("budget",))]),
    ("strip_prefix", route("strip_prefix: api"), [(6, ("strip_prefix",))]),
    ("host", route("host: 'a b'"), [(6, ("host",))]),
    ("forwarded_mode", route("x_forwarded: maybe"), [(6, ("maybe", "append", "replace", "off"))]),
    ("set_framing", route("set_request_headers: {Content-Length: '5'}"), [(6, ("ontent-",))]),
    ("set_host", route("set_request_headers: {Host: x}"), [(6, ("ost",))]),
    ("remove_framing", route("remove_response_headers: [Transfer-Encoding]"), [(6, ("ransfer-",))]),
    ("header_with_newline", route("add_response_headers: {a: \"b\\r\\nc\"}"), [(6, ("add_response_headers",))]),
    ("header_not_a_token", route("add_request_headers: {'a b': c}"), [(6, ("a b",))]),
    ("trusted", GOOD.replace("    routes:", "    trusted_proxies: [10.0.0.0/33]\n    routes:"), [(5, ("33",))]),
    ("trusted_name", GOOD.replace("    routes:", "    trusted_proxies: [example.com]\n    routes:"),
     [(5, ("example.com",))]),
    ("trusted_bits", GOOD.replace("    routes:", "    trusted_proxies: [10.0.0.1/8]\n    routes:"),
     [(5, ("10.0.0.1/8",))]),
    ("nobody_trusted", GOOD.replace("    routes:", "    proxy_protocol: v1\n    routes:"),
     [(5, ("proxy_protocol", "trusted_proxies"))]),
    ("several_at_once", GOOD.replace("upstream: api", "upstream: apo, host: 'a b'") +
     "    balance: x\n    pool: {max_connections: -1}\n",
     [(6, ("host",)), (10, ("balance",)), (11, ("max_connections",))]),
]
IDS = [row[0] for row in BAD]


@pytest.mark.parametrize("text,expected", [row[1:] for row in BAD], ids=IDS)
def test_check(tmp_path, text, expected):
    file = write(tmp_path / "bad.yaml", text, tmp_path / "admin.sock")
    done = run_sluiced("--config", file, "--check")
    assert done.returncode == 1, (done.stdout, done.stderr)
    check_messages(done.stderr, file, expected)


def test_reload_keeps_the_running_one(serve, start):
    server = serve()
    sluice = start(configs.proxying(server))
    for name, text, expected in BAD:
        if name == "tls_missing_ca":  # files are looked for again for a while
            continue
        write(sluice.file, text, sluice.socket_path)
        answer = sluice.reload()
        assert not answer["ok"], text
        check_messages(answer["error"], sluice.file, expected)
        with sluice.connect() as client:
            assert client.ask().status == 200
    assert server.opened <= 2 and sluice.endpoint()["address"] == server.endpoint


def test_warnings(tmp_path):
    for text, words in (
            (GOOD + "  - name: idle\n" + ENDPOINT, ("upstreams[1]", "nothing uses it")),
            (route("strip_prefix: /x"), ("strip_prefix",)),
            (upstream("tls: {verify: false, ca: /etc/ssl/certs/ca-certificates.crt}"), ("ca",)),
    ):
        file = write(tmp_path / "warned.yaml", text, tmp_path / "admin.sock")
        done = run_sluiced("--config", file, "--check")
        assert done.returncode == 0, done.stderr
        told = done.stderr + done.stdout
        assert all(word in told for word in words), told


class TestPrinted:
    def test_all_keys_are_documented(self):
        defaults = run_sluiced("--print-defaults").stdout
        for key in ("upstreams:", "min_connections", "scale_up_threshold", "dns_refresh", "consecutive_errors",
                    "first_byte_timeout", "strip_prefix", "trusted_proxies"):
            assert key in defaults, key

    def test_schema(self):
        schema = json.loads(run_sluiced("--print-schema").stdout)
        pool = schema["properties"]["upstreams"]["items"]["properties"]["pool"]
        assert "max_pending" in pool["properties"] and pool["additionalProperties"] is False

    def test_a_running_configuration_is_a_configuration(self, serve, start, tmp_path):
        server = serve()
        sluice = start(configs.proxying(
            f"{server.endpoint} weight=7", "dns:localhost:9", balance="consistent_hash", hash="cookie:session",
            health_check={"status": "200-204"}, pool={"scale_up_threshold": 0.75},
            route={"retry": {"on": ["timeout", "http_503"], "budget": 0.35}, "set_request_headers": {"x-a": "b c"}}))
        text = sluice.get("/v1/config")["yaml"]
        for word in ("weight=7", "dns:localhost:9", "cookie:session", "200-204", "0.75", "0.35", "http_503",
                     "x-a: (hidden)"):
            assert word in text, text
        assert "b c" not in text
        file = tmp_path / "running.yaml"
        file.write_text(text)
        checked = run_sluiced("--config", file, "--check")
        assert checked.returncode == 0, checked.stderr


def test_a_listener_may_be_proxied_to_itself(start):
    """Silly, but not a crash: it ends when the connections, or the waiting ones, are too many."""
    port = configs.free_port()
    sluice = start(configs.proxying(f"127.0.0.1:{port}",
                                    listener_keys={"bind": f"127.0.0.1:{port}", "keep_alive_timeout": "1s"},
                                    pool={"max_connections": 5, "max_pending": 5, "pending_timeout": "300ms"}))
    with sluice.connect() as client:
        assert client.ask().status in (502, 503, 504)
