"""A real browser, and a scanner of TLS servers, on the default settings. Each is skipped where it is not installed."""

import json
import subprocess

import pytest

from support import configs
from support.settings import LONG, patient
from support.waiting import wait_until

pytestmark = pytest.mark.slow

PAGE = configs.respond("<!doctype html><title>t</title><p id=p>hello browser</p><script>p.textContent += '!'</script>",
                       headers={"content-type": "text/html"}, path="/")
# From the mildest to the worst, as testssl.sh has them.
SEVERITIES = ["DEBUG", "INFO", "OK", "LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"]


@pytest.mark.parametrize("version", ["h2", "http/1.1"])
def test_chromium(start, needs, tmp_path, version):
    needs("chromium")
    make = {"h2": configs.http2, "http/1.1": configs.https}[version]
    listener = make(tls=configs.SELF_SIGNED, routes=[PAGE])
    sluice = start(configs.config(listener))
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--ignore-certificate-errors", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", sluice.url() + "/"],
        capture_output=True, text=True, timeout=patient(60))
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
