"""A real browser, and a scanner of TLS servers. Each is skipped where it is not installed."""

import contextlib
import json
import subprocess

import pytest

from support import configs
from support.settings import LONG, patient
from support.waiting import wait_until
from support.websocket_backends import NodeWs, has_node_ws

pytestmark = pytest.mark.slow

PAGE = configs.respond("<!doctype html><title>t</title><p id=p>hello browser</p><script>p.textContent += '!'</script>",
                       headers={"content-type": "text/html"}, path="/")
# From the mildest to the worst, as testssl.sh has them.
SEVERITIES = ["DEBUG", "INFO", "OK", "LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"]


def chromium(directory, *args):
    return ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--ignore-certificate-errors", f"--user-data-dir={directory / 'profile'}", *args]


@pytest.mark.parametrize("version", ["h2", "http/1.1"])
def test_chromium(start, needs, tmp_path, version):
    needs("chromium")
    make = {"h2": configs.http2, "http/1.1": configs.https}[version]
    listener = make(tls=configs.SELF_SIGNED, routes=[PAGE])
    sluice = start(configs.config(listener))
    done = subprocess.run(chromium(tmp_path, "--dump-dom", sluice.url() + "/"), capture_output=True, text=True,
                          timeout=patient(60))
    assert "hello browser!" in done.stdout, done.stderr[-2000:]
    shown = sluice.listener()
    if version == "h2":
        assert shown["http2"]["sessions"]["total"] >= 1 and shown["http2"]["streams"]["total"] >= 1
        assert not any(shown["http2"]["session_errors"].values())
    assert shown["pool"]["requests"] >= 1
    assert shown["tls"]["handshakes"]["full"] >= 1
    wait_until(lambda: sluice.pool()["active"] == 0)


@pytest.mark.skipif(not LONG, reason="takes most of a minute: only in a long run")
@pytest.mark.parametrize("protocol", ["https", "http2"])
def test_testssl(start, needs, tmp_path, certificates, protocol):
    """Protocols, ciphers, forward secrecy, vulnerabilities: nothing worse than LOW on the defaults."""
    needs("testssl")
    make = {"https": configs.https, "http2": configs.http2}[protocol]
    listener = make(tls=certificates.server(algorithm="rsa").tls(certificates=[certificates.server().tls()]))
    sluice, report = start(configs.config(listener)), tmp_path / "out.json"
    host, port = sluice.addr()
    subprocess.run(["testssl", "-p", "-s", "-f", "-U", "--quiet", "--color", "0", "--warnings", "off", "--ip", host,
                    "--jsonfile", report, f"localhost:{port}"], capture_output=True, timeout=patient(400))
    findings = json.loads(report.read_text())
    assert {"TLS1_2", "TLS1_3", "PFS", "cipherlist_STRONG", "heartbleed", "LUCKY13"} <= {row["id"] for row in findings}
    worse = [(row["id"], row["severity"], row["finding"]) for row in findings
             if SEVERITIES.index(row["severity"]) > SEVERITIES.index("LOW")]
    assert not worse
    assert sluice.ask().status == 200


# Texts, bytes, both large; then a Close, whose echo is told; one stays open and is looked at from outside.
WEBSOCKETS = """<!doctype html><title>t</title><script>
const wishes = ['hello', 'caf\\u00e9 \\u4f60\\u597d', 'x'.repeat(300000), new Uint8Array(100000).fill(7), ''];
const same = (a, b) => typeof a === 'string' ? a === b :
    b instanceof ArrayBuffer && b.byteLength === a.length && new Uint8Array(b).every((byte, at) => byte === a[at]);
const open = (path) => new WebSocket(location.origin.replace('http', 'ws') + path, ['chat.v2', 'chat.v1']);
const talk = (path) => new Promise((resolve) => {
  const told = { path, echoes: [] }, socket = open(path);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    Object.assign(told, { protocol: socket.protocol, extensions: socket.extensions });
    next();
  };
  const next = () => {
    if (told.echoes.length === wishes.length) socket.close(4321, 'that was all');
    else socket.send(wishes[told.echoes.length]);
  };
  socket.onmessage = (event) => {
    told.echoes.push(same(wishes[told.echoes.length], event.data));
    next();
  };
  socket.onerror = () => { told.error = true; };
  socket.onclose = (event) => {
    resolve(Object.assign(told, { code: event.code, reason: event.reason, clean: event.wasClean }));
  };
});
(async () => {
  const told = [await talk('/echo'), await talk('/chat'), await talk('/nowhere')];
  const kept = open('/chat');
  kept.onopen = () => fetch('/report', { method: 'POST', body: JSON.stringify(
      { told, hop: performance.getEntriesByType('navigation')[0].nextHopProtocol }) });
})();
</script>"""


@pytest.fixture
def browse(tmp_path):
    """browse(url): a browser that stays on a page until the test ends."""
    running = []

    def browse_one(url):
        running.append(subprocess.Popen(chromium(tmp_path, "--remote-debugging-port=0", url),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    yield browse_one
    for browser in running:
        browser.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            browser.wait(10)
        browser.kill()
        browser.wait()


@pytest.mark.skipif(not LONG, reason="browsers take long to begin: only in a long run")
@pytest.mark.parametrize("way", ["ws", "wss", "wss-over-h2"])
def test_chromium_websockets(serve, start, needs, tmp_path, browse, way):
    """With the echo, and through a relay to Node's ws; over HTTP/2 by an extended CONNECT on the page's own session."""
    needs("chromium", "node")
    if not has_node_ws():
        pytest.skip("Node's ws is not installed")
    make = {"ws": configs.listener, "wss": configs.https, "wss-over-h2": configs.http2}[way]
    keys = {} if way == "ws" else {"tls": configs.SELF_SIGNED}
    page = configs.respond(WEBSOCKETS, headers={"content-type": "text/html"}, path="/")
    reports = serve()
    with NodeWs(tmp_path, compress=True) as node:
        sluice = start(configs.config(
            make(routes=[page, configs.ws_echo(subprotocols=["chat.v1"]), configs.ws_relay(),
                         configs.proxy("reports", match={"path": "/report", "method": "POST"})], **keys),
            upstreams=[configs.upstream("chat", node), configs.upstream("reports", reports)]))
        browse(sluice.url() + "/")
        wait_until(lambda: reports.requests and reports.last.whole, 30, what="the browser's report")
        report = json.loads(bytes(reports.last.body))
        echo, relay, nowhere = report["told"]
        for told in (echo, relay):
            assert told["echoes"] == [True] * 5 and told["protocol"] == "chat.v1", told
            assert (told["code"], told["reason"], told["clean"]) == (4321, "that was all", True) or \
                (told["path"] == "/echo" and told["code"] == 4321), told
            assert "permessage-deflate" in told["extensions"]
        assert (nowhere["code"], nowhere["clean"], nowhere["error"]) == (1006, False, True)
        assert report["hop"] == {"wss-over-h2": "h2"}.get(way, "http/1.1")
        kept = [row for row in sluice.get("/v1/connections")["connections"] if row.get("websocket")]
        assert len(kept) == 1 and (kept[0]["connection"] is not None) == (way == "wss-over-h2")
        assert sluice.listener()["websocket"]["total"] == 3
