"""Resumed sessions: by ticket and by id, over reloads, and never past a listener's rules for client certificates."""

import ssl

import pytest

from support import configs
from support.http import Closed
from support.tls import V12, V13, SClient, client_context

REFUSED = (ssl.SSLError, ConnectionResetError, BrokenPipeError, Closed)


def secure(pair, name="web", **keys):
    return configs.https(name, tls={**pair.tls(), **keys})


def id_only(**options):
    """A client that knows no tickets."""
    context = client_context(only=V12, **options)
    context.options |= ssl.OP_NO_TICKET
    return context


KINDS = {"ticket_1_2": lambda **more: client_context(only=V12, **more),
         "ticket_1_3": lambda **more: client_context(only=V13, **more), "id": id_only}


def session_of(sluice, context, name="web"):
    """A session as the client knows it after an answer; tickets of TLS 1.3 come after the handshake."""
    with sluice.connect(name, tls=context) as client:
        assert client.ask().status == 200 and not client.sock.session_reused
        assert client.sock.session is not None
        return client.sock.session


def resumes(sluice, context, session, name="web"):
    with sluice.connect(name, tls=context, session=session) as client:
        assert client.ask().status == 200
        return client.sock.session_reused


@pytest.fixture
def pair(certificates):
    return certificates.server()


@pytest.mark.parametrize("kind", KINDS)
class TestKinds:
    def test_resumed(self, start, pair, kind):
        sluice, context = start(configs.config(secure(pair))), KINDS[kind]()
        session = session_of(sluice, context)
        assert all(resumes(sluice, context, session) for _ in range(3))
        handshakes = sluice.listener()["tls"]["handshakes"]
        assert (handshakes["full"], handshakes["resumed"]) == (1, 3)

    def test_over_a_reload(self, start, pair, certificates, kind):
        sluice, context = start(configs.config(secure(pair))), KINDS[kind]()
        session = session_of(sluice, context)
        for changed in (secure(pair, min_version="1.2", groups="P-256"),
                        secure(certificates.server(number=2), groups="P-256"),
                        {**secure(pair), "routes": [configs.respond("x")]}):
            sluice.apply(configs.config(changed))
            assert resumes(sluice, context, session)

    def test_over_a_restart_of_the_listener(self, start, pair, kind):
        sluice, context = start(configs.config(secure(pair))), KINDS[kind]()
        session = session_of(sluice, context)
        sluice.ctl("restart", "web", check=True)
        assert resumes(sluice, context, session)

    def test_not_over_changed_client_certificates(self, start, pair, certificates, kind):
        """Got while nobody had to show a certificate: must not be a way around one."""
        sluice, context = start(configs.config(secure(pair))), KINDS[kind]()
        session = session_of(sluice, context)
        sluice.apply(configs.config(secure(pair, client_ca=str(certificates.authority().certificate),
                                           client_auth="require")))
        with pytest.raises(REFUSED):
            resumes(sluice, context, session)

    def test_not_of_another_listener(self, start, pair, certificates, kind):
        strict = secure(pair, "strict", client_ca=str(certificates.authority().certificate), client_auth="optional")
        sluice, context = start(configs.config(secure(pair), strict)), KINDS[kind]()
        session = session_of(sluice, context)
        assert not resumes(sluice, context, session, "strict")

    def test_not_over_a_changed_authority(self, start, pair, certificates, kind):
        def asking(ca):
            return configs.config(secure(pair, client_ca=str(certificates.authority(ca).certificate),
                                         client_auth="optional"))

        sluice, context = start(asking("Test Root")), KINDS[kind](identity=certificates.client("alice"))
        session = session_of(sluice, context)
        sluice.apply(asking("Another Root"))
        with pytest.raises(REFUSED):
            resumes(sluice, context, session)

    def test_keeps_the_client_certificate(self, start, pair, certificates, kind):
        sluice = start(configs.config(secure(pair, client_ca=str(certificates.authority().certificate),
                                             client_auth="require")))
        context = KINDS[kind](identity=certificates.client("alice"))
        session = session_of(sluice, context)
        client = sluice.connect(tls=context, session=session)
        assert client.ask().status == 200 and client.sock.session_reused
        rows = [row["tls"] for row in sluice.get("/v1/connections")["connections"] if row["tls"]]
        assert [(row["resumed"], row["client_subject"]) for row in rows] == [(True, "CN=alice")]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(start, pair, tmp_path, version):
    sluice, file = start(configs.config(secure(pair))), tmp_path / "session.pem"
    first = SClient(sluice.addr(), version, "-sess_out", file)
    assert first.answered and not first.resumed
    second = SClient(sluice.addr(), version, "-sess_in", file)
    assert second.answered and second.resumed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tickets", [True, False])
@pytest.mark.parametrize("cache", [100, 0])
def test_switches(start, pair, kind, tickets, cache):
    sluice, context = start(configs.config(secure(pair, session_tickets=tickets, session_cache=cache))), KINDS[kind]()
    with sluice.connect(tls=context) as client:
        assert client.ask().status == 200
        session, has_ticket = client.sock.session, client.sock.session.has_ticket
    if kind == "ticket_1_2":
        assert has_ticket == tickets
    if kind == "ticket_1_3" and not tickets and not cache:
        return  # there is no session that could be offered
    assert resumes(sluice, context, session) == (cache > 0 if kind == "id" or not tickets else True)


def test_the_cache_is_bounded(start, pair):
    sluice, context = start(configs.config(secure(pair, session_cache=10))), id_only()
    sessions = [session_of(sluice, context) for _ in range(30)]
    assert not resumes(sluice, context, sessions[0])
    assert resumes(sluice, context, sessions[-1])


def test_sessions_end(start, pair):
    """A server's word on how long a ticket is good."""
    sluice = start(configs.config(secure(pair, session_timeout="10m")))
    assert "hint: 600 (seconds)" in SClient(sluice.addr(), "-tls1_2").output


def test_no_early_data(start, pair):
    assert "Max Early Data: 0" in SClient(start(configs.config(secure(pair))).addr(), "-tls1_3").output


def test_a_full_handshake_for_junk(start, pair):
    """A ticket of another server is no reason to fail."""
    one, other = start(configs.config(secure(pair))), start(configs.config(secure(pair)))
    for context in (KINDS["ticket_1_2"](), KINDS["ticket_1_3"](), id_only()):
        session = session_of(one, context)
        assert not resumes(other, context, session)
