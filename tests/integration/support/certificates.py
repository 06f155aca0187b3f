"""Certificates of an authority of our own, made with the openssl command and kept for the whole run."""

import functools
import hashlib
import pathlib
import shutil
import ssl
import subprocess
from dataclasses import dataclass

KEYS = {
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "ed25519": ["-algorithm", "ED25519"],
}


def openssl(*args, data=None):
    done = subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, (args, done.stderr.decode(errors="replace"))
    return done.stdout


@dataclass(frozen=True)
class Pair:
    certificate: pathlib.Path
    key: pathlib.Path

    def tls(self, **more):
        """As it stands in a configuration."""
        return {"certificate": str(self.certificate), "key": str(self.key), **more}

    @property
    def fingerprint(self):
        leaf = self.certificate.read_text().partition("-----END CERTIFICATE-----")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf[0] + leaf[1])).hexdigest()

    def copy_to(self, folder):
        """The same under neutral names, for tests that replace it there."""
        folder.mkdir(parents=True, exist_ok=True)
        copy = Pair(folder / "tls.crt", folder / "tls.key")
        shutil.copyfile(self.certificate, copy.certificate)
        shutil.copyfile(self.key, copy.key)
        copy.key.chmod(0o600)
        return copy


class Certificates:
    """A folder of them; each is made when it is first asked for."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.made = 0

    def _new(self, kind):
        self.made += 1
        stem = self.folder / f"{self.made}-{kind}"
        return Pair(stem.with_suffix(".pem"), stem.with_suffix(".key"))

    def _make_key(self, pair, algorithm):
        openssl("genpkey", *KEYS[algorithm], "-out", pair.key)
        pair.key.chmod(0o600)

    def _sign(self, pair, subject, extensions, issuer, days):
        options = [option for extension in extensions for option in ("-addext", extension)]
        wish = openssl("req", "-new", "-key", pair.key, "-subj", f"/CN={subject}", *options)
        openssl("x509", "-req", "-CA", issuer.certificate, "-CAkey", issuer.key, "-days", days, "-sha256",
                "-copy_extensions", "copy", "-out", pair.certificate, data=wish)
        return pair

    def authority(self, name="Test Root"):
        return self._authority(name)

    @functools.cache
    def _authority(self, name):
        pair = self._new("authority")
        self._make_key(pair, "ecdsa")
        openssl("req", "-x509", "-key", pair.key, "-subj", f"/CN={name}", "-days", 3650, "-out", pair.certificate)
        return pair

    @functools.cache
    def intermediate(self):
        pair = self._new("intermediate")
        self._make_key(pair, "ecdsa")
        return self._sign(pair, "Test Intermediate", ["basicConstraints=critical,CA:TRUE"], self.authority(), 365)

    @functools.cache
    def server(self, *names, algorithm="ecdsa", days=90, number=1):
        """For these names, signed by the authority; another `number` is another one of the same kind."""
        pair = self._new(f"server{number}")
        self._make_key(pair, algorithm)
        names = names or ("localhost",)
        alternatives = ",".join(f"DNS:{name}" for name in names)
        return self._sign(pair, names[0], [f"subjectAltName={alternatives}"], self.authority(), days)

    @functools.cache
    def chained(self):
        """A server's certificate, followed by that of the intermediate authority that signed it."""
        pair, issuer = self._new("chained"), self.intermediate()
        self._make_key(pair, "ecdsa")
        self._sign(pair, "localhost", ["subjectAltName=DNS:localhost"], issuer, 90)
        pair.certificate.write_text(pair.certificate.read_text() + issuer.certificate.read_text())
        return pair

    @functools.cache
    def client(self, name="alice", authority="Test Root"):
        pair = self._new("client")
        self._make_key(pair, "ecdsa")
        return self._sign(pair, name, ["extendedKeyUsage=clientAuth"], self.authority(authority), 90)

    def encrypted_key(self, pair):
        path = pair.key.with_suffix(".encrypted")
        openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret", "-out", path)
        return path

    def ocsp_response(self, pair):
        """The authority's word that the certificate is good, as a DER file."""
        issuer, index = self.authority(), pair.key.with_suffix(".index")
        query, answer = pair.key.with_suffix(".query"), pair.key.with_suffix(".ocsp")
        serial = openssl("x509", "-in", pair.certificate, "-noout", "-serial").decode().strip().partition("=")[2]
        index.write_text(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=localhost\n")
        openssl("ocsp", "-issuer", issuer.certificate, "-cert", pair.certificate, "-reqout", query)
        openssl("ocsp", "-index", index, "-CA", issuer.certificate, "-rsigner", issuer.certificate, "-rkey", issuer.key,
                "-reqin", query, "-respout", answer, "-ndays", 7)
        return answer
