"""Certificates: which one a client gets, client certificates, OCSP, and files that cannot be used."""

import re
import ssl
import subprocess

import pytest

from support import configs
from support.daemon import run_sluiced
from support.http import Closed
from support.settings import scaled
from support.tls import V12, V13, SClient, client_context
from support.waiting import wait_until

REFUSED = (ssl.SSLError, ConnectionResetError, BrokenPipeError, Closed)


def serving(main, *more, **keys):
    return configs.config(configs.https(tls={**main.tls(), **keys, "certificates": [pair.tls() for pair in more]}))


def given(sluice, sni, **options):
    """The fingerprint of what a client that names this host is shown."""
    with sluice.connect(tls=client_context(**options), sni=sni) as client:
        assert client.ask().status == 200
        return client.fingerprint


class TestChoice:
    def test_by_name(self, start, certificates):
        main, one, two, wild, sub = (certificates.server(*names) for names in (
            ("localhost",), ("one.example", "also-one.example"), ("two.example",), ("*.wild.example",),
            ("exact.wild.example",)))
        sluice = start(serving(main, one, two, wild, sub))
        expected = {
            "localhost": main, "one.example": one, "also-one.example": one, "ONE.example": one, "two.example": two,
            "a.wild.example": wild, "exact.wild.example": sub, "a.b.wild.example": main, "wild.example": main,
            "unknown.example": main}
        assert {sni: given(sluice, sni) for sni in expected} == {sni: pair.fingerprint for sni, pair in
                                                                 expected.items()}
        assert given(sluice, None) == main.fingerprint

    def test_verified_by_name(self, start, certificates):
        sluice = start(serving(certificates.server(), certificates.server("one.example")))
        trusting = client_context(trust=certificates.authority())
        for name in ("localhost", "one.example"):
            assert sluice.connect(tls=trusting, sni=name).ask().status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            sluice.connect(tls=trusting, sni="unknown.example")

    @pytest.mark.parametrize("first", ["rsa", "ecdsa"])
    def test_by_what_the_client_supports(self, start, certificates, first):
        pairs = {algorithm: certificates.server(algorithm=algorithm) for algorithm in ("rsa", "ecdsa")}
        sluice = start(serving(*sorted(pairs.values(), key=lambda pair: pair is not pairs[first])))
        for algorithm, ciphers in (("rsa", "ECDHE-RSA-AES128-GCM-SHA256"), ("ecdsa", "ECDHE-ECDSA-AES128-GCM-SHA256")):
            shown = given(sluice, "localhost", only=V12, ciphers=ciphers)
            assert shown == pairs[algorithm].fingerprint
        for algorithm, schemes in (("rsa", "RSA-PSS+SHA256"), ("ecdsa", "ECDSA+SHA256")):
            peer = SClient(sluice.addr(), "-tls1_3", "-sigalgs", schemes)
            assert peer.answered and f"Peer signature type: {schemes.split('+')[0]}" in peer.output

    def test_ed25519(self, start, certificates):
        pair = certificates.server(algorithm="ed25519")
        sluice = start(serving(pair))
        assert given(sluice, "localhost") == pair.fingerprint
        assert sluice.listener()["tls"]["certificates"][0]["algorithm"] == "ED25519"

    @pytest.mark.parametrize("version", [V12, V13])
    def test_chain(self, start, certificates, version):
        sluice = start(serving(certificates.chained()))
        trusting = client_context(trust=certificates.authority(), only=version)
        assert sluice.connect(tls=trusting).ask().status == 200

    def test_key_in_the_certificates_file(self, start, certificates, tmp_path):
        pair, both = certificates.server(), tmp_path / "both.pem"
        both.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
        both.chmod(0o600)
        sluice = start(configs.config(configs.https(tls={"certificate": str(both)})))
        assert given(sluice, "localhost") == pair.fingerprint

    def test_shown_in_the_status(self, start, certificates):
        pairs = [certificates.server(), certificates.server("one.example", "*.two.example", algorithm="rsa")]
        sluice = start(serving(*pairs))
        shown = sluice.listener()["tls"]["certificates"]
        assert [row["fingerprint"] for row in shown] == [pair.fingerprint for pair in pairs]
        assert [row["file"] for row in shown] == [str(pair.certificate) for pair in pairs]
        assert shown[1]["names"] == ["one.example", "*.two.example"] and "RSA" in shown[1]["algorithm"]
        assert shown[0]["subject"] == "CN=localhost" and shown[0]["expires"].startswith("20")
        assert all(88 <= row["days_left"] <= 90 for row in shown)
        for command in (["status"], ["--json", "status"]):
            assert sluice.ctl(*command, check=True).stdout


class TestSelfSigned:
    def test_serves(self, start):
        sluice = start(configs.config(configs.https()))
        shown = given(sluice, "localhost")
        row, = sluice.listener()["tls"]["certificates"]
        assert (row["file"], row["fingerprint"]) == ("self-signed", shown)
        assert {"localhost", "127.0.0.1", "::1"} <= set(row["names"]) and row["days_left"] > 300

    def test_stays_over_reloads_and_restarts_of_the_listener(self, start):
        sluice = start(configs.config(configs.https()))
        before = given(sluice, "localhost")
        sluice.apply(configs.config(configs.https(keep_alive_timeout="7s", tls={**configs.SELF_SIGNED,
                                                                               "min_version": "1.3"})))
        assert given(sluice, "localhost") == before
        sluice.ctl("restart", "web", check=True)
        assert given(sluice, "localhost") == before


class TestClientCertificates:
    def start(self, start, certificates, mode):
        ca = certificates.authority().certificate
        return start(serving(certificates.server(), client_ca=str(ca), client_auth=mode))

    def try_with(self, sluice, version, identity):
        """Under TLS 1.3 the client learns of a refusal only with the first read."""
        with sluice.connect(tls=client_context(only=version, identity=identity)) as client:
            return client.ask().status

    def failures(self, sluice):
        return sluice.listener()["tls"]["handshakes"]["failed"].get("client_certificate", 0)

    def subjects(self, sluice):
        return [row["tls"]["client_subject"] for row in sluice.get("/v1/connections")["connections"] if row["tls"]]

    @pytest.mark.parametrize("version", [V12, V13])
    @pytest.mark.parametrize("mode", ["none", "optional", "require"])
    def test_modes(self, start, certificates, mode, version):
        sluice = self.start(start, certificates, mode)
        alice = certificates.client("alice")
        assert self.try_with(sluice, version, alice) == 200
        client = sluice.connect(tls=client_context(only=version, identity=alice))
        assert client.ask().status == 200
        assert self.subjects(sluice) == ["" if mode == "none" else "CN=alice"]
        client.close()
        cases = [(None, mode == "require"), (certificates.client("eve", "Another Root"), mode != "none")]
        for number, (identity, is_refused) in enumerate(cases):
            if is_refused:
                before = self.failures(sluice)
                with pytest.raises(REFUSED):
                    self.try_with(sluice, version, identity)
                wait_until(lambda: self.failures(sluice) == before + 1,
                           what=f"case {number} counted, got {sluice.listener()['tls']['handshakes']}")
            else:
                assert self.try_with(sluice, version, identity) == 200

    def test_curl(self, start, certificates, needs):
        needs("curl")
        sluice = self.start(start, certificates, "require")
        alice = certificates.client("alice")
        command = ["curl", "-s", "--cacert", certificates.authority().certificate, "--resolve",
                   f"localhost:{sluice.addr()[1]}:127.0.0.1", f"https://localhost:{sluice.addr()[1]}/"]
        with_it = subprocess.run([*command, "--cert", alice.certificate, "--key", alice.key], capture_output=True)
        assert with_it.stdout == b"hello\n"
        assert subprocess.run(command, capture_output=True).returncode != 0

    def test_the_authority_is_named_to_clients(self, start, certificates):
        sluice = self.start(start, certificates, "optional")
        assert "CN = Test Root" in re.search(r"Acceptable client certificate CA names\n(.*)\n",
                                             SClient(sluice.addr()).output)[1]

    def test_mode_changes_for_new_handshakes(self, start, certificates):
        ca, pair = certificates.authority().certificate, certificates.server()
        sluice = start(serving(pair))
        kept = sluice.connect()
        assert kept.ask().status == 200
        changes = sluice.changes(sluice.apply(serving(pair, client_ca=str(ca), client_auth="require")))
        assert changes["listeners.web.tls.client_auth"]["class"] == "new_connections"
        with pytest.raises(REFUSED):
            self.try_with(sluice, V12, None)
        assert kept.ask().status == 200
        assert self.try_with(sluice, V13, certificates.client("alice")) == 200


class TestOcsp:
    def test_stapled(self, start, certificates):
        pair = certificates.server(number=2)
        response = certificates.ocsp_response(pair)
        sluice = start(serving(pair, ocsp_response=str(response)))
        for version in ("-tls1_2", "-tls1_3"):
            peer = SClient(sluice.addr(), "-status", version)
            assert "OCSP Response Status: successful" in peer.output and "Cert Status: good" in peer.output
        assert SClient(sluice.addr()).answered
        assert SClient(start(serving(pair)).addr(), "-status").output.count("OCSP response: no response sent") == 1

    def test_of_another_certificate(self, certificates, tmp_path):
        response = certificates.ocsp_response(certificates.server(number=2))
        assert "ocsp_response" in refused(tmp_path, certificates.server().tls(ocsp_response=str(response)))

    def test_not_one_at_all(self, certificates, tmp_path):
        junk = tmp_path / "junk.der"
        junk.write_bytes(b"junk")
        assert "ocsp_response" in refused(tmp_path, certificates.server().tls(ocsp_response=str(junk)))


def bad_pairs(certificates, tmp_path):
    """What is wrong -> the tls section, the key that the message must name, and words of it."""
    good, other = certificates.server(), certificates.server("one.example")
    junk, empty = tmp_path / "junk.pem", tmp_path / "empty.pem"
    junk.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    empty.write_text("")
    crt, key = str(good.certificate), str(good.key)
    return {
        "mismatch": ({"certificate": crt, "key": str(other.key)}, "key", "does not belong"),
        "encrypted": ({"certificate": crt, "key": str(certificates.encrypted_key(good))}, "key", "encrypted"),
        "no_file": ({"certificate": "/nonexistent/tls.crt", "key": key}, "certificate", "No such file"),
        "no_key_file": ({"certificate": crt, "key": "/nonexistent/tls.key"}, "key", "No such file"),
        "junk": ({"certificate": str(junk), "key": key}, "certificate", str(junk)),
        "empty": ({"certificate": str(empty), "key": key}, "certificate", str(empty)),
        "no_key_in_it": ({"certificate": crt}, "certificate", "private key"),
        "weak": (certificates.server(algorithm="rsa1024").tls(), "certificate", ""),
        "no_client_ca": (good.tls(client_ca="/nonexistent/ca.pem", client_auth="require"), "client_ca", "No such file"),
        "ciphers": (good.tls(ciphers="NO-SUCH-CIPHER"), "ciphers", ""),
        "cipher_suites": (good.tls(cipher_suites="NO_SUCH"), "cipher_suites", ""),
        "groups": (good.tls(groups="no-such-group"), "groups", ""),
        "second": (good.tls(certificates=[{"certificate": crt, "key": str(other.key)}]), "certificates[0]",
                   "does not belong"),
    }


KINDS = ["mismatch", "encrypted", "no_file", "no_key_file", "junk", "empty", "no_key_in_it", "weak", "no_client_ca",
         "ciphers", "cipher_suites", "groups", "second"]
PLACED = r"{file}:(\d+):(\d+): listeners\[0\]\.tls\.{key}"


def refused(tmp_path, tls):
    """What --check says about it."""
    file = tmp_path / "bad.yaml"
    file.write_text(configs.text_of({"admin": {"socket": str(tmp_path / "a.sock")},
                                     "listeners": [configs.https(tls=tls)]}))
    done = run_sluiced("--config", file, "--check")
    assert done.returncode == 1, (done.stdout, done.stderr)
    return done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_unusable(certificates, tmp_path, kind):
    tls, key, words = bad_pairs(certificates, tmp_path)[kind]
    told = refused(tmp_path, tls)
    place = re.search(PLACED.format(file=re.escape(str(tmp_path / "bad.yaml")), key=re.escape(key)), told)
    assert place and words in told, told
    assert int(place[1]) > 1 and int(place[2]) >= 1
    assert "-----" not in told and "secret" not in told


@pytest.mark.parametrize("kind", scaled(["mismatch", "encrypted", "ciphers"], KINDS))
def test_unusable_at_a_reload(start, certificates, tmp_path, kind):
    sluice = start(serving(certificates.server()))
    tls, key, words = bad_pairs(certificates, tmp_path)[kind]
    sluice.write_config(configs.config(configs.https(tls=tls)))
    answer = sluice.reload()
    assert not answer["ok"] and words in answer["error"] and f"tls.{key}" in answer["error"]
    assert re.search(r"sluice\.yaml:\d+:\d+: ", answer["error"])
    assert given(sluice, "localhost") == certificates.server().fingerprint
    sluice.apply(serving(certificates.server("one.example")))
    assert given(sluice, "localhost") == certificates.server("one.example").fingerprint


@pytest.mark.parametrize("days,words", [(-1, "expired"), (5, "expires")])
def test_expired_and_soon_expiring_are_warnings(start, certificates, tmp_path, days, words):
    pair = certificates.server(days=days)
    sluice = start(serving(pair))
    assert given(sluice, "localhost") == pair.fingerprint
    assert any(words in warning and str(pair.certificate) in warning for warning in sluice.status()["warnings"])
    assert sluice.log_line(words, str(pair.certificate))
    row, = sluice.listener()["tls"]["certificates"]
    assert row["days_left"] in ({-1: (-2, -1, 0), 5: (4, 5)}[days])
    done = run_sluiced("--config", sluice.file, "--check")
    assert done.returncode == 0 and words in done.stderr

