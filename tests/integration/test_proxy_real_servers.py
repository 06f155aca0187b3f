"""In front of nginx and Node, which did not read our tests."""

import pytest

from support import configs
from support.backends import Nginx, Node
from support.load import H2load, Wrk
from support.proxying import ask
from support.settings import scaled
from support.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture
def run(start, needs, tmp_path):
    """run(kind, ...): the server, and a daemon with an HTTP/1 and an HTTP/2 listener in front of it."""
    running = []

    def run_one(kind, upstream_keys=None, **more):
        needs({Nginx: "nginx", Node: "node"}[kind])
        running.append(kind(tmp_path, **more).start())
        routes = [configs.proxy("api")]
        sluice = start(configs.config(configs.listener(routes=routes, max_requests_per_connection=0),
                                      configs.http2("h2c", routes=routes, max_requests_per_connection=0),
                                      upstreams=[configs.upstream("api", running[-1], **(upstream_keys or {}))]))
        return running[-1], sluice

    yield run_one
    for program in running:
        program.stop()


BOTH = pytest.mark.parametrize("protocol", ["http", "http2"])


@BOTH
class TestNginx:
    def test_requests(self, run, protocol):
        server, sluice = run(Nginx, protocol=protocol)
        assert ask(sluice, path="/hello").body == b"hello\n"
        answer = ask(sluice, path="/64k.bin")
        assert len(answer.body) == 65536 and answer.get("accept-ranges") == "bytes"
        part = ask(sluice, path="/64k.bin", headers={"Range": "bytes=10-19"})
        assert part.status == 206 and len(part.body) == 10
        again = ask(sluice, path="/64k.bin", headers={"If-None-Match": answer.get("etag")})
        assert (again.status, again.body) == (304, b"")
        assert ask(sluice, path="/none").status == 404
        assert ask(sluice, "HEAD", "/64k.bin").get("content-length") == "65536"
        assert ask(sluice, "POST", "/hello", body=b"x" * MIB).status == 200

    @pytest.mark.parametrize("front", ["web", "h2c"])
    def test_under_load(self, run, needs, protocol, front):
        needs("wrk", "h2load")
        server, sluice = run(Nginx, protocol=protocol)
        seconds = scaled(1, 10)
        if front == "web":  # which ends in the middle of its last requests
            with Wrk(sluice.url() + "/hello", connections=32, seconds=seconds) as wrk:
                outcome = wrk.result()
            assert (outcome["bad"], outcome["read"], outcome["timeout"]) == (0, 0, 0), outcome["output"]
        else:
            with H2load(sluice.url("h2c") + "/64k.bin", connections=4, streams=16, requests=1000 * seconds) as load:
                outcome = load.result()
            assert (outcome["bad"], outcome["failed"], outcome["errored"]) == (0, 0, 0), outcome["output"]
        stats = sluice.upstream()
        assert set(stats["failures"]) <= {"client_gone"} and stats["reuse_rate"] > 0.9
        wait_until(lambda: sluice.upstream()["busy"] == 0)

    def test_connections_that_nginx_ends(self, run, needs, protocol):
        """It ends each after some requests, with a FIN or a GOAWAY."""
        needs("wrk")
        server, sluice = run(Nginx, protocol=protocol, http="keepalive_requests 50;")
        with Wrk(sluice.url() + "/hello", connections=8, seconds=scaled(1, 10)) as wrk:
            outcome = wrk.result()
        assert (outcome["bad"], outcome["read"], outcome["timeout"]) == (0, 0, 0), outcome["output"]
        assert outcome["requests"] > 200 and set(sluice.upstream()["failures"]) <= {"client_gone"}
        assert sluice.upstream()["reuse_rate"] > 0.9

    def test_a_restart(self, run, protocol):
        server, sluice = run(Nginx, protocol=protocol)
        assert ask(sluice, path="/hello").status == 200
        server.stop()
        assert ask(sluice, path="/hello").status == 502
        server.start()
        wait_until(lambda: ask(sluice, path="/hello").status == 200, 10)


@BOTH
class TestNode:
    def test_requests(self, run, protocol):
        server, sluice = run(Node, protocol=protocol)
        assert ask(sluice, path="/hello").body == b"hello\n"
        answer = ask(sluice, "POST", headers={"TE": "trailers"}, body=b"x" * 300_000)
        assert answer.body == b"x" * 300_000 and ("x-last", "yes") in answer.trailers
        hinted = ask(sluice, path="/hints")
        assert [status for status, _ in hinted.interim] == [103]

    def test_curl(self, run, needs, protocol):
        import subprocess

        needs("curl")
        server, sluice = run(Node, protocol=protocol)
        for name, args in (("web", []), ("h2c", ["--http2-prior-knowledge"])):
            done = subprocess.run(["curl", "-s", *args, "--data-binary", "@-", sluice.url(name) + "/echo"],
                                  input=b"0123456789" * 50_000, capture_output=True, timeout=30)
            assert done.returncode == 0 and done.stdout == b"0123456789" * 50_000


def test_node_tells_its_time(run):
    server, sluice = run(Node)
    assert ask(sluice, path="/hello").status == 200
    assert sluice.endpoint()["keep_alive"]["timeout_ms"] == 5000
    assert 2500 <= sluice.endpoint()["keep_alive"]["retire_after_ms"] < 5000
