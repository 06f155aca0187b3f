"""TLS clients: contexts, and the raw HTTP/1 client over TLS, which takes an end without close_notify for a reset."""

import hashlib
import re
import socket
import ssl
import subprocess

from .http import Client, Closed
from .settings import patient

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def client_context(*, trust=None, only=None, alpn=None, identity=None, ciphers=None):
    """`trust`: the authority's Pair, else nothing is verified; `only`: one version; `identity`: a client's Pair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = trust is not None
    context.verify_mode = ssl.CERT_REQUIRED if trust else ssl.CERT_NONE
    if trust:
        context.load_verify_locations(trust.certificate)
    if only:
        context.minimum_version = context.maximum_version = only
    if alpn:
        context.set_alpn_protocols(alpn)
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def server_tls(pair, *, alpn=None, client_ca=None, versions=None):
    """A context for `tls=` of a server; what clients name by SNI is kept in its `last_server_name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if alpn:
        context.set_alpn_protocols(alpn)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca.certificate)
    if versions:
        context.minimum_version, context.maximum_version = versions
    context.last_server_name = None

    def named(_, name, this):
        this.last_server_name = name

    context.sni_callback = named
    return context


class TlsClient(Client):
    def __init__(self, plain, context, sni="localhost", session=None):
        """Takes the plain client's socket over and shakes hands; raises ssl.SSLError where that fails."""
        sock = context.wrap_socket(plain.sock, server_hostname=sni, suppress_ragged_eofs=False, session=session)
        timeout = sock.gettimeout()
        super().__init__(sock)
        sock.settimeout(timeout)

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            raise Closed(self.buffer, reset=True) from None
        if not data:
            raise Closed(self.buffer, reset=False)
        self.buffer += data

    def try_send(self, data):
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return False

    def finish(self):
        """A FIN without close_notify."""
        socket.socket.shutdown(self.sock, socket.SHUT_WR)

    def is_open(self):
        self.sock.setblocking(False)
        try:
            self._fill()
            return True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except Closed:
            return False
        finally:
            self.sock.settimeout(patient(10.0))

    @property
    def fingerprint(self):
        return hashlib.sha256(self.sock.getpeercert(binary_form=True)).hexdigest()


def server_hello_wish(sni="localhost", **options):
    """The first bytes of a client: a ClientHello that no answer follows."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    wish = client_context(**options).wrap_bio(incoming, outgoing, server_hostname=sni)
    try:
        wish.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


class SClient:
    """What one `openssl s_client` run found out: a request is sent, and the answer read to its end."""

    def __init__(self, address, *args, sni="localhost", path="/"):
        host, port = address
        wish = f"GET {path} HTTP/1.1\r\nHost: {sni}\r\nConnection: close\r\n\r\n"
        done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", sni, "-ign_eof",
                               *map(str, args)], input=wish.encode(), capture_output=True, timeout=patient(20))
        self.code = done.returncode
        self.output = done.stdout.decode(errors="replace")
        self.errors = done.stderr.decode(errors="replace")

    @property
    def answered(self):
        return "HTTP/1.1 200" in self.output

    @property
    def resumed(self):
        return re.search(r"^Reused, ", self.output, re.MULTILINE) is not None

    @property
    def cipher(self):
        return re.search(r"Cipher is (\S+)", self.output)[1]
