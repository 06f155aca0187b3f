"""Certificate files that are replaced while traffic flows: picked up like a change of the YAML, or refused whole."""

import os
import signal
import ssl
import threading
import time

import pytest

from support import configs
from support.certificates import Pair
from support.http import Closed
from support.load import Askers
from support.settings import PATIENCE, scaled
from support.tls import V12, SClient, client_context
from support.waiting import wait_until

WITHIN = 1.0


def in_place(live, fresh):
    live.certificate.write_bytes(fresh.certificate.read_bytes())
    live.key.write_bytes(fresh.key.read_bytes())


def key_first(live, fresh):
    live.key.write_bytes(fresh.key.read_bytes())
    live.certificate.write_bytes(fresh.certificate.read_bytes())


def by_rename(live, fresh):
    for target, source in ((live.certificate, fresh.certificate), (live.key, fresh.key)):
        new = target.with_suffix(".new")
        new.write_bytes(source.read_bytes())
        new.rename(target)


def certificate_then_key_later(live, fresh):
    live.certificate.write_bytes(fresh.certificate.read_bytes())
    time.sleep(0.4)
    live.key.write_bytes(fresh.key.read_bytes())


def removed_and_created(live, fresh):
    for path in (live.certificate, live.key):
        path.unlink()
    in_place(live, fresh)


MANNERS = [in_place, key_first, by_rename, certificate_then_key_later, removed_and_created]


def shown(sluice, **options):
    with sluice.connect(tls=client_context(**options)) as client:
        return client.fingerprint


def wait_shown(sluice, pair, timeout=WITHIN):
    wait_until(lambda: shown(sluice) == pair.fingerprint, timeout, what=f"{pair.certificate}: {sluice.log[-2000:]}")


@pytest.fixture
def live(certificates, tmp_path):
    return certificates.server(number=1).copy_to(tmp_path / "tls")


@pytest.fixture
def served(start, live):
    return start(configs.config(configs.https(tls=live.tls(), keep_alive_timeout="60s", max_requests_per_connection=0)))


@pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.__name__)
def test_replaced(served, live, certificates, manner):
    fresh = certificates.server(number=2)
    kept = served.connect()
    assert kept.ask().status == 200
    manner(live, fresh)
    wait_shown(served, fresh)
    assert kept.ask().status == 200 and kept.fingerprint == certificates.server(number=1).fingerprint
    status = served.status()
    assert status["last_reload"]["ok"] is True, status["last_reload"]
    change, = status["last_reload"]["changes"]
    assert change["class"] == "new_connections" and change["key"].startswith("listeners.web.tls")
    assert str(live.certificate) in change["new"] and change["old"] != change["new"]
    assert status["listeners"][0]["tls"]["certificates"][0]["fingerprint"] == fresh.fingerprint
    assert served.log_line("listeners.web.tls")


def test_swapped_directory(start, certificates, tmp_path):
    """As Kubernetes mounts a secret: the files are links into ..data, which is a link that is swapped."""
    mount = tmp_path / "mount"

    def generation(number):
        certificates.server(number=number).copy_to(mount / f"..gen{number}")
        link = mount / "..data_tmp"
        link.symlink_to(f"..gen{number}")
        link.rename(mount / "..data")
        return certificates.server(number=number)

    first = generation(1)
    live = Pair(mount / "tls.crt", mount / "tls.key")
    for path in (live.certificate, live.key):
        path.symlink_to(f"..data/{path.name}")
    sluice = start(configs.config(configs.https(tls=live.tls())))
    assert shown(sluice) == first.fingerprint
    for number in (2, 3):
        wait_shown(sluice, generation(number))


def test_a_link_to_another_file(start, certificates, tmp_path):
    """As certbot does: live/ holds links into archive/."""
    pairs = [certificates.server(number=number) for number in (1, 2)]
    live = Pair(tmp_path / "fullchain.pem", tmp_path / "privkey.pem")

    def point_to(pair):
        for path, target in ((live.certificate, pair.certificate), (live.key, pair.key)):
            new = path.with_suffix(".new")
            new.symlink_to(target)
            new.rename(path)

    point_to(pairs[0])
    sluice = start(configs.config(configs.https(tls=live.tls())))
    point_to(pairs[1])
    wait_shown(sluice, pairs[1])


def test_each_of_several(start, certificates, tmp_path):
    """One of those chosen by SNI, in a directory of its own."""
    main, second = certificates.server().copy_to(tmp_path / "a"), certificates.server("one.example").copy_to(
        tmp_path / "b")
    sluice = start(configs.config(configs.https(tls=main.tls(certificates=[second.tls()]))))
    fresh = certificates.server("one.example", number=2)
    by_rename(second, fresh)

    def second_shown():
        with sluice.connect(sni="one.example") as client:
            return client.fingerprint

    wait_until(lambda: second_shown() == fresh.fingerprint, WITHIN)
    assert shown(sluice) == certificates.server().fingerprint


def test_client_ca(start, certificates, tmp_path):
    ca = tmp_path / "clients.pem"
    ca.write_bytes(certificates.authority("Another Root").certificate.read_bytes())
    tls = certificates.server().tls(client_ca=str(ca), client_auth="require")
    sluice = start(configs.config(configs.https(tls=tls)))
    alice = client_context(only=V12, identity=certificates.client("alice"))
    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError)):
        sluice.connect(tls=alice)
    ca.write_bytes(certificates.authority().certificate.read_bytes())

    def welcome():
        try:
            return sluice.connect(tls=alice).ask().status == 200
        except (OSError, Closed):
            return False

    wait_until(welcome, WITHIN)


def test_ocsp_response(start, certificates, tmp_path):
    pair, staple = certificates.server(number=2), tmp_path / "staple.der"
    answer = certificates.ocsp_response(pair)
    staple.write_bytes(answer.read_bytes())
    sluice = start(configs.config(configs.https(tls=pair.tls(ocsp_response=str(staple)))))
    produced = SClient(sluice.addr(), "-status").output.partition("Produced At")[2][:40]
    time.sleep(1.1)  # the response tells its time in whole seconds
    staple.write_bytes(certificates.ocsp_response(pair).read_bytes())
    wait_until(lambda: SClient(sluice.addr(), "-status").output.partition("Produced At")[2][:40] != produced, 2)


@pytest.mark.parametrize("kind", ["junk", "mismatch"])
def test_a_broken_one_is_refused(served, live, certificates, kind):
    first = certificates.server(number=1)
    broken = b"junk" if kind == "junk" else certificates.server("one.example").certificate.read_bytes()
    live.certificate.write_bytes(broken)
    wait_until(lambda: served.status()["last_reload"] and not served.status()["last_reload"]["ok"], 4)
    told = served.status()["last_reload"]["error"]
    assert str(live.certificate) in told or str(live.key) in told, told
    assert "listeners[0].tls." in told and "sluice.yaml:" in told
    assert shown(served) == first.fingerprint
    fresh = certificates.server(number=2)
    in_place(live, fresh)
    wait_shown(served, fresh)
    assert served.status()["last_reload"]["ok"] is True


def test_the_same_content_changes_nothing(served, live, certificates):
    before = served.status()["revision"]
    for _ in range(3):
        in_place(live, certificates.server(number=1))
        by_rename(live, certificates.server(number=1))
    fresh = certificates.server(number=2)
    in_place(live, fresh)
    wait_shown(served, fresh)
    assert served.status()["revision"] == before + 1, "only the last one is a change"


class Newcomers:
    """A thread that shakes hands anew all the time, and remembers what it was shown and when; also one that resumes."""

    def __init__(self, sluice, session_of):
        self.sluice, self.address, self.session_of = sluice, sluice.addr(), session_of
        self.ending = threading.Event()
        self.seen, self.failures, self.resumed, self.full = [], [], 0, 0
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(20)

    def run(self):
        context, session = self.session_of
        while not self.ending.is_set():
            try:
                with self.sluice.connect(address=self.address, tls=client_context()) as client:
                    self.seen.append((time.monotonic(), client.fingerprint))
                    assert client.ask().status == 200
                with self.sluice.connect(address=self.address, tls=context, session=session) as client:
                    assert client.ask().status == 200
                    self.resumed += client.sock.session_reused
                    self.full += not client.sock.session_reused
            except (OSError, Closed, AssertionError) as failure:
                self.failures.append(repr(failure))


@pytest.mark.slow
def test_under_load(served, live, certificates):
    """New handshakes have the new one within a second, nobody fails, running connections stay, old tickets resume."""
    address = served.addr()
    context = client_context(only=V12)
    client = served.connect(tls=context)
    assert client.ask().status == 200
    session = client.sock.session
    with Askers(lambda: served.connect(address=address), count=4) as askers, \
            Newcomers(served, (context, session)) as newcomers:
        for number in range(2, 2 + scaled(4, 40)):
            fresh = certificates.server(number=2 + number % 2)
            MANNERS[number % 4](live, fresh)
            began = time.monotonic()
            wait_until(lambda: newcomers.seen and newcomers.seen[-1][1] == fresh.fingerprint, WITHIN,
                       what=f"{fresh.certificate} by {MANNERS[number % 4].__name__}")
            assert time.monotonic() - began < WITHIN * PATIENCE
        accepted = served.pool()["accepted"]
        total = askers.stop()
    assert not total.lost and not total.undecided and not newcomers.failures, (total.lost, newcomers.failures[:3])
    assert total.answered > 100 / PATIENCE and accepted > 20
    assert newcomers.resumed > 0 and newcomers.full == 0, (newcomers.resumed, newcomers.full)
    assert client.ask().status == 200


def test_unreadable_then_readable(served, live, certificates):
    """Taken away for longer than a torn pair is waited for: told, and the old one stays."""
    kept = live.key.read_bytes()
    live.key.unlink()
    served.signal(signal.SIGHUP)
    wait_until(lambda: served.status()["last_reload"] and not served.status()["last_reload"]["ok"], 4)
    assert shown(served) == certificates.server(number=1).fingerprint
    live.key.write_bytes(kept)
    os.chmod(live.key, 0o600)
    wait_until(lambda: served.status()["last_reload"]["ok"], 2)


@pytest.mark.parametrize("folder_too", [False, True])
def test_one_that_comes_long_after_the_yaml_that_names_it(start, certificates, tmp_path, folder_too):
    """Refused while it is missing, for a client CA and for that of an upstream alike; then picked up by itself."""
    pair = certificates.server(number=1).copy_to(tmp_path / "live")
    folder = tmp_path / "later" if folder_too else tmp_path
    client_ca, upstream_ca = folder / "clients.pem", folder / "upstream.pem"
    upstream = configs.upstream("api", "127.0.0.1:9", tls={"ca": str(upstream_ca)})
    sluice = start(configs.config(configs.https(tls=pair.tls())))
    sluice.write_config(configs.config(configs.https(tls=pair.tls(client_ca=str(client_ca), client_auth="optional")),
                                       upstreams=[upstream]))
    wait_until(lambda: sluice.log_line("reload refused"), 4)
    folder.mkdir(exist_ok=True)
    content = certificates.authority().certificate.read_bytes()
    upstream_ca.write_bytes(content)
    wait_until(lambda: "clients.pem" in str(sluice.status()["last_reload"]) and
               "upstream.pem" not in str(sluice.status()["last_reload"]), 4)
    client_ca.write_bytes(content)
    wait_until(lambda: sluice.status()["last_reload"]["ok"], 4)
    assert sluice.upstream()["tls"]
