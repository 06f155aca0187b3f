"""HTTP/2 with real clients, under TLS and without, and every kind of exchange."""

import hashlib
import ssl
import subprocess

import pytest
from hyperframe import frame as frames

from support import configs
from support.h2client import MAX_CONCURRENT_STREAMS, Code, connect, raw_frame
from support.http import request
from support.load import H2load
from support.settings import SANITIZED, scaled
from support.tls import client_context
from support.waiting import wait_until

ROUTES = [configs.ECHO, configs.BIG, configs.respond("", status=204, headers={}, path="/empty"),
          configs.respond("", status=304, headers={"etag": '"a"'}, path="/same"),
          {"match": {"path": "/old"}, "redirect": {"status": 307, "location": "/new"}},
          configs.respond("only here\n", host="named.example", path="/"),
          configs.HELLO]
CONFIG = configs.config(
    configs.http2("web", configs.SELF_SIGNED, routes=ROUTES), configs.http2("clear", routes=ROUTES),
    configs.http2("modern", configs.SELF_SIGNED, allow_http1=False),
    configs.http2("none", routes=[configs.respond("x", path="/only")]))
BOTH = pytest.mark.parametrize("name", ["web", "clear"])
SIZES = [0, 1, 100, 16383, 16384, 16385, 65535, 65536, 100_000, scaled(1, 32) * 1024 * 1024 + 7]


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=60)
    assert done.returncode == 0, (command, done.returncode, done.stderr[-2000:])
    return done.stdout


class TestClients:
    @pytest.mark.parametrize("name,option,version", [
        ("web", "--http2", "2"), ("web", "--http1.1", "1.1"), ("clear", "--http2-prior-knowledge", "2"),
        ("web", "--http2-prior-knowledge", "2"), ("modern", "--http2", "2")])
    def test_curl(self, web, needs, name, option, version):
        needs("curl")
        assert run("curl", "-sk", option, "-w", "%{http_version} %{http_code}", web.url(name) + "/") == \
            b"hello\n" + version.encode() + b" 200"

    @BOTH
    def test_curl_uploads(self, web, needs, name, tmp_path):
        needs("curl")
        file = tmp_path / "body"
        file.write_bytes(bytes(range(256)) * 4096)
        how = "--http2" if name == "web" else "--http2-prior-knowledge"
        back = run("curl", "-sk", how, "--data-binary", f"@{file}", web.url(name) + "/echo")
        assert hashlib.sha256(back).digest() == hashlib.sha256(file.read_bytes()).digest()

    def test_curl_many_at_once(self, web, needs):
        needs("curl")
        urls = [web.url() + "/big" for _ in range(20)]
        out = run("curl", "-skZ", "--http2", "-w", "%{http_code} %{size_download}\\n", "-o", "/dev/null", *urls[:1],
                  *[word for url in urls[1:] for word in ("-o", "/dev/null", url)])
        assert out.decode().split("\n")[:-1] == [f"200 {configs.BIG_SIZE}"] * 20

    @BOTH
    def test_nghttp(self, web, needs, name, tmp_path):
        needs("nghttp")
        (tmp_path / "body").write_bytes(b"x" * 100_000)
        out = run("nghttp", "-y", "-v", "-d", tmp_path / "body", "--trailer=x-check: 1", web.url(name) + "/echo")
        assert b":status: 200" in out and out.count(b"x-check: 1") == 2 and b"[ERROR]" not in out
        assert len(run("nghttp", "-y", "-m", 20, web.url(name) + "/big")) == 20 * configs.BIG_SIZE

    @BOTH
    def test_h2load(self, web, needs, name):
        needs("h2load")
        requests = 4_000 if SANITIZED else 20_000
        with H2load(web.url(name) + "/", connections=20, streams=32, requests=requests) as load:
            result = load.result()
        assert result["failed"] == 0 and result["2xx"] == result["total"], result["output"]

    def test_h2load_with_bodies(self, web, needs, tmp_path):
        needs("h2load")
        (tmp_path / "body").write_bytes(b"0123456789abcdef" * 5000)
        with H2load(web.url() + "/echo", "-d", tmp_path / "body", connections=4, streams=20, requests=400) as load:
            result = load.result()
        assert result["failed"] == 0 and result["2xx"] == 400, result["output"]

    @BOTH
    def test_python_h2(self, web, name):
        h2 = pytest.importorskip("h2.connection")
        from h2 import events

        client = web.connect(name, tls=client_context(alpn=["h2"]) if name == "web" else False)
        session = h2.H2Connection()
        session.initiate_connection()
        session.send_headers(1, [(":method", "POST"), (":path", "/echo"), (":scheme", "https"), (":authority", "x")])
        session.send_data(1, b"hello", end_stream=True)
        client.send(session.data_to_send())
        seen, body = [], b""
        while not any(isinstance(event, events.StreamEnded) for event in seen):
            for event in session.receive_data(client.sock.recv(65536)):
                seen.append(event)
                body += event.data if isinstance(event, events.DataReceived) else b""
            client.send(session.data_to_send())
        assert body == b"hello" and any(isinstance(event, events.SettingsAcknowledged) for event in seen)


class TestChoiceOfProtocol:
    @pytest.mark.parametrize("offer,chosen", [(["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"),
                                              (["http/1.1"], "http/1.1"), (["h2"], "h2"), (None, None)])
    def test_alpn(self, web, offer, chosen):
        client = web.connect(tls=client_context(alpn=offer))
        assert client.sock.selected_alpn_protocol() == chosen
        if chosen != "h2":
            assert client.ask().body == b"hello\n"

    def test_no_http1(self, web):
        for offer in (["http/1.1"], ["http/1.0"]):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                web.connect("modern", tls=client_context(alpn=offer))
        assert connect(web, "modern").lives()

    def test_http1_beside_http2(self, web):
        old, new = web.connect(), connect(web)
        assert old.ask("POST", "/echo", body=b"hi").body == b"hi" and new.lives()
        rows = [row["tls"]["alpn"] for row in web.get("/v1/connections")["connections"] if row["tls"]]
        assert sorted(rows) == ["", "h2"]

    def test_http1_on_a_port_without_tls(self, web):
        """It cannot be answered in HTTP/2: a plain 400, or a GOAWAY, and the end."""
        client = web.connect("clear")
        client.send(request())
        client.ending()
        assert client.buffer[:12] == b"HTTP/1.1 400" or b"\x07\x00\x00\x00\x00\x00" in client.buffer, client.buffer
        assert connect(web, "clear").lives()

    def test_http1_live(self, start):
        sluice = start(configs.config(configs.http2(tls=configs.SELF_SIGNED)))
        kept = sluice.connect()
        assert kept.ask().status == 200
        sluice.apply(configs.config(configs.http2(tls=configs.SELF_SIGNED, allow_http1=False)))
        with pytest.raises(OSError):
            sluice.connect(tls=client_context(alpn=["http/1.1"]))
        assert kept.ask().status == 200 and connect(sluice).lives()


@BOTH
class TestExchanges:
    @pytest.mark.parametrize("size", SIZES)
    def test_echo(self, web, name, size):
        body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        session = connect(web, name)
        answer = session.ask("POST", "/echo", body=body)
        assert answer.status == 200 and bytes(answer.body) == body
        assert session.lives()

    def test_many_in_turn(self, web, name):
        session = connect(web, name)
        for number in range(200):
            answer = session.ask("POST", "/echo", body=b"%d" % number)
            assert answer.status == 200 and answer.body == b"%d" % number

    def test_concurrent(self, web, name):
        session = connect(web, name, window=1 << 20)
        streams = [session.begin("POST", "/echo", end=False) for _ in range(100)]
        for stream in reversed(streams):
            session.send_data(stream, b"%d " % stream.number * 100, end=True)
        session.wait(*streams)
        assert [bytes(stream.body) for stream in streams] == [b"%d " % stream.number * 100 for stream in streams]

    def test_trailers_both_ways(self, web, name):
        answer = connect(web, name).ask("POST", "/echo", body=b"x" * 100, trailers=[("x-sum", "abc")])
        assert answer.body == b"x" * 100 and ("x-sum", "abc") in answer.trailers

    def test_head(self, web, name):
        answer = connect(web, name).ask("HEAD")
        assert (answer.status, answer.get("content-length"), answer.body) == (200, "6", b"")

    def test_empty_answers(self, web, name):
        session = connect(web, name)
        for path, status in (("/empty", 204), ("/same", 304)):
            answer = session.ask(path=path)
            assert answer.status == status and answer.ended and answer.body == b""
        assert answer.get("etag") == '"a"'

    def test_expect_continue(self, web, name):
        session = connect(web, name)
        stream = session.begin("POST", "/echo", [("expect", "100-continue"), ("content-length", "2")], end=False)
        session.until(lambda: stream.interim or stream.done)
        assert stream.interim == [[(":status", "100")]]
        session.send_data(stream, b"hi", end=True)
        assert session.wait(stream).body == b"hi" and stream.status == 200

    def test_another_expectation(self, web, name):
        session = connect(web, name)
        assert session.ask("POST", "/echo", [("expect", "the unexpected")], body=b"x").status == 417
        assert session.lives()

    def test_redirect_and_not_found(self, web, name):
        answer = connect(web, name).ask(path="/old")
        assert (answer.status, answer.get("location")) == (307, "/new")
        session = connect(web, "none")
        assert session.ask(path="/nothing").status == 404 and session.ask(path="/only").status == 200

    def test_headers_of_an_answer(self, web, name):
        answer = connect(web, name).ask()
        fields = [key for key, _ in answer.headers]
        assert fields == [key.lower() for key in fields] and answer.get("date") and answer.get("content-length") == "6"
        assert not {"connection", "keep-alive", "transfer-encoding", "upgrade"} & set(fields)

    def test_routes_by_authority(self, web, name):
        session = connect(web, name)
        assert session.ask(authority="named.example").body == b"only here\n"
        assert session.ask(authority="named.example:8443").body == b"only here\n"
        assert session.ask(authority="other.example").body == b"hello\n"
        fields = [(":method", "GET"), (":scheme", "https"), (":path", "/"), ("host", "named.example")]
        assert session.wait(session.open(fields)).body == b"only here\n"

    def test_cookie_crumbs_are_joined(self, start, name):
        """A route sees one Cookie, as RFC 9113, 8.2.3 asks."""
        route = configs.respond("cookies\n", path="/", headers={})
        route["match"]["headers"] = {"cookie": "a=1; b=2; c=3"}
        tls = configs.SELF_SIGNED if name == "web" else None
        sluice = start(configs.config(configs.http2(name, tls, routes=[route, configs.HELLO])))
        crumbs = [("cookie", "a=1"), ("x-between", "y"), ("cookie", "b=2"), ("cookie", "c=3")]
        assert connect(sluice, name).ask(headers=crumbs).body == b"cookies\n"

    def test_settings_and_ping(self, web, name):
        session = connect(web, name)
        session.until(lambda: session.settings is not None and session.settings_acks)
        assert session.settings[MAX_CONCURRENT_STREAMS] == 100
        session.sync()
        assert session.pongs

    def test_a_cancelled_stream_is_forgotten(self, web, name):
        session = connect(web, name)
        before = web.listener(name)["http2"]["resets"]["received"]
        for _ in range(20):
            stream = session.begin("POST", "/echo", end=False)
            session.data_frame(stream, b"x")
            session.cancel(stream)
        assert session.sync().lives()
        wait_until(lambda: web.listener(name)["http2"]["streams"]["active"] == 0)
        assert web.listener(name)["http2"]["resets"]["received"] == before + 20

    def test_priorities_are_ignored(self, web, name):
        session = connect(web, name)
        session.send_frame(frames.PriorityFrame(1, depends_on=0, stream_weight=200))
        stream = session.begin(headers=[("priority", "u=1, i")])
        assert session.wait(stream).status == 200
        session.send_frame(frames.PriorityFrame(99, depends_on=1, stream_weight=1, exclusive=True))
        assert session.lives()

    def test_padding(self, web, name):
        session = connect(web, name)
        stream = session.begin("POST", "/echo", end=False)
        for _ in range(40):
            data = frames.DataFrame(stream.number, b"x" * 1000, pad_length=200, flags=["PADDED"])
            session.send_frame(data)
        session.data_frame(stream, b"y", end=True)
        assert session.wait(stream).body == b"x" * 40000 + b"y" and session.lives()

    def test_unknown_frames_are_ignored(self, web, name):
        session = connect(web, name)
        session.client.send(raw_frame(0xBE, 0xFF, 0, b"whatever") + raw_frame(0x77, 0, 1, b""))
        assert session.lives()


@BOTH
@pytest.mark.parametrize("knows", [False, True], ids=["before_the_settings", "after_the_settings"])
def test_one_stream_too_many(start, name, knows):
    """Refused, and the others go on. Where the client knew of the limit the session may end instead (RFC 9113, 5.1.2
    and 5.4.1), as nghttp2 has it: told with the number of the last stream that was looked at."""
    tls = configs.SELF_SIGNED if name == "web" else None
    sluice = start(configs.config(configs.http2(name, tls, max_concurrent_streams=10)))
    session = connect(sluice, name)
    if knows:
        session.until(lambda: session.settings is not None).sync()
    streams = [session.begin("POST", "/echo", end=False) for _ in range(11)]
    session.until(lambda: streams[10].done or session.goaways)
    if knows and session.goaways:
        assert session.goaways == [(streams[9].number, Code.PROTOCOL_ERROR)]
        return
    assert not session.goaways and streams[10].reset == Code.REFUSED_STREAM
    for stream in streams[:10]:
        session.send_data(stream, b"x", end=True)
    session.wait(*streams[:10])
    assert all(stream.body == b"x" for stream in streams[:10]) and session.lives()


def test_counters(start):
    sluice = start(configs.config(configs.http2()))
    sessions = [connect(sluice) for _ in range(3)]
    for session in sessions:
        for _ in range(5):
            assert session.lives()
    held = sessions[0].begin("POST", "/echo", end=False)
    sessions[0].sync()
    shown = sluice.listener()["http2"]
    assert shown["sessions"] == {"active": 3, "total": 3} and shown["streams"] == {"active": 1, "total": 16}
    assert sluice.pool()["requests"] == 15 and sluice.pool()["idle"] == 2
    sessions[0].send_data(held, b"", end=True)
    sessions[0].wait(held)
    for session in sessions:
        session.client.close()
    wait_until(lambda: sluice.listener()["http2"]["sessions"]["active"] == 0)
    metrics = sluice.admin.ask("GET", "/metrics").body.decode()
    assert 'sluice_http2_sessions_active{listener="web"} 0' in metrics
    assert "sluice_http2_sessions_total" in metrics and "sluice_http2_streams_total" in metrics
    assert sluice.ctl("connections", check=True).stdout


def test_access_log(start):
    sluice = start(configs.config(configs.http2(), log={"access": {"format": "combined"}}))
    connect(sluice).ask(path="/echo", headers=[("user-agent", "tester")])
    wait_until(lambda: sluice.log_line('"GET /echo HTTP/2', " 200 ", "tester"), what=sluice.log[-500:])
