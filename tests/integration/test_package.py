"""The Debian package: what is in it, and its life on a machine, from the installation to the purge.

It is made of the programs under test, not compiled with Debian's flags: `packaging/build-deb` alone does that. In the
long run it lives in a clean Debian as well, made from a mirror.
"""

import os
import re
import subprocess

import pytest
import yaml

from support import package as packages
from support.http import request
from support.service_load import CALLS, SECURE, WEB, Chat, Kept, Load, Single, SlowPost, Streams, Stubborn, connected
from support.settings import LONG, REPO
from support.systemd import why_not
from support.waiting import wait_until

pytestmark = pytest.mark.slow

DIRECTORY = re.compile(r"^d")
FILES = {
    "/etc/logrotate.d/sluice", "/etc/sluice/sluice.yaml", "/lib/systemd/system/sluice.service",
    "/lib/systemd/system/sluice@.service", "/usr/bin/sluicectl", "/usr/bin/sluiced", "/usr/lib/sysusers.d/sluice.conf",
    "/usr/lib/tmpfiles.d/sluice.conf", "/usr/share/bash-completion/completions/sluicectl",
    "/usr/share/bash-completion/completions/sluiced", "/usr/share/doc/sluice/README.md.gz",
    "/usr/share/doc/sluice/changelog.gz", "/usr/share/doc/sluice/copyright",
    "/usr/share/doc/sluice/examples/sluice.socket.example", "/usr/share/man/man1/sluicectl.1.gz",
    "/usr/share/man/man5/sluice.yaml.5.gz", "/usr/share/man/man8/sluiced.8.gz"}
ACCESS_LOG = "/var/log/sluice/access.log"

# Edits: how lines begin, and what that becomes.
GREETING = ('          body: "Hello, World!', '          body: "Hello, edits!')
SHARED = ("    protocol:", "    reuse_port: true\n    protocol:")
LOGGED = ("    format: off", f"    format: json\n    path: {ACCESS_LOG}\n    #")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    if subprocess.run(["which", "dpkg-buildpackage", "dh"], capture_output=True).returncode != 0:
        pytest.skip("debhelper is not installed")
    return packages.build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def newer(package, tmp_path_factory):
    return packages.newer_than(package, tmp_path_factory.mktemp("newer"))


@pytest.fixture(scope="module", params=["own", "clean"] if LONG else ["own"])
def root(request, package, tmp_path_factory):
    """None: an overlay of this machine's own. The clean one has to be fetched: only in a long run."""
    if why_not():
        pytest.skip(why_not())
    if request.param == "own":
        return None
    return packages.clean_root(package, tmp_path_factory.mktemp("clean"))


@pytest.fixture
def host(root):
    booted = packages.Host(root)
    try:
        with booted.network():
            yield booted
    finally:
        booted.stop()


@pytest.fixture
def installed(host, package):
    host.install(package)
    return host


def asked(path="/"):
    with connected(WEB) as client:
        client.send(request("GET", path, headers={"Connection": "close"}))
        return client.response()


def edit(host, *replacements):
    """Edits lines of the configuration that begin so, and waits until the daemon has it."""
    text = host.config.read_text()
    for old, new in replacements:
        text, count = re.subn(f"(?m)^{old}", new, text)
        assert count, f"no line begins with {old!r}"
    host.config.write_text(text)
    host.systemctl("reload", "sluice")


# What is in it

def test_contents(package):
    lines = [line.split() for line in packages.run("dpkg-deb", "-c", package).splitlines()]
    assert {line[1] for line in lines} == {"root/root"}
    files = {line[5].lstrip("."): line[0] for line in lines if not DIRECTORY.match(line[0])}
    assert set(files) == FILES
    assert {path for path, mode in files.items() if "x" in mode} == {"/usr/bin/sluicectl", "/usr/bin/sluiced"}


def test_every_file_in_etc_is_kept_when_edited(package):
    listed = packages.run("dpkg-deb", "-I", package, "conffiles").split()
    assert sorted(listed) == sorted(path for path in FILES if path.startswith("/etc/"))


def test_version_is_that_of_the_build(package):
    version = packages.run("dpkg-deb", "-f", package, "Version").strip()
    assert f"project(sluice VERSION {version} " in (REPO / "CMakeLists.txt").read_text()
    assert packages.run(packages.BUILD / "sluiced", "--version").split()[-1] == version


def test_lintian_has_nothing_to_say(package, needs):
    needs("lintian")
    rootly = ["--allow-root"] if os.geteuid() == 0 else []
    said = packages.run("lintian", *rootly, "--fail-on", "error,warning", package)
    assert not said.strip()


def test_build_dependencies_are_those_of_every_build():
    """Those of packaging/packages, but for what a Debian always has to build with, and what only speeds it up."""
    control = (REPO / "packaging/debian/control").read_text()
    field = re.search(r"(?ms)^Build-Depends:(.*?)^\S", control)[1]
    wanted = set(re.findall(r"^ ([a-z0-9+.-]+)", field, re.M))
    lines = re.findall(r"(?m)^build:(.*)$", (REPO / "packaging/packages").read_text())
    assert wanted - {"debhelper-compat", "dh-sequence-installsysusers"} == \
        set(" ".join(lines).split()) - {"g++", "ccache", "curl", "ca-certificates"}


def test_default_configuration_is_fit_for_a_service():
    config = yaml.safe_load((REPO / "config/default.yaml").read_text())
    assert config["admin"] == {"socket": "/run/sluice/admin.sock"}
    assert {entry["bind"].rpartition(":")[0] for entry in config["listeners"]} == {"127.0.0.1"}


ALONE = "# Of this service alone: without --instance it would be of all instances too.\n"


def test_units_differ_in_the_instance_alone():
    plain, template = ((REPO / "systemd" / name).read_text() for name in ("sluice.service", "sluice@.service"))
    template = template[template.index("[Unit]"):]
    for words in (", instance %i", " --instance %i", "DefaultInstance=1\n"):
        assert words in template
        template = template.replace(words, "")
    for words in (ALONE, ' --instance ""'):
        assert words in plain
        plain = plain.replace(words, "")
    assert template == plain


# Its life

def test_install(installed):
    host, service = installed, installed.service
    assert host.state() == "installed"
    assert host.systemctl("is-enabled", "sluice").stdout.strip() == "enabled"
    assert service.alive
    assert asked().body == b"Hello, World!\n"
    assert host.owner("/run/sluice") == "drwxr-xr-x sluice sluice"
    assert host.owner("/var/log/sluice") == "drwxr-x--- sluice sluice"
    assert host.owner("/run/sluice/admin.sock") == "srw-rw---- sluice sluice"
    assert host.owner(packages.CONFIG) == "-rw-r--r-- root root"
    assert host.owner(f"/proc/{service.main_pid}").endswith("sluice sluice")
    service.ctl("status", check=True)


def test_upgrade_under_load(installed, newer):
    """Nobody is refused or cut, an instance included; a stubborn WebSocket holds the old process, and nobody else."""
    host, service = installed, installed.service
    edit(host, GREETING, SHARED, ("    pool:", "    pool:\n      drain_timeout: 5s"))
    host.systemctl("enable", "--now", "sluice@1")
    other = packages.Service(host, instance="1", start=False)
    before = {one: (one.main_pid, one.show("InvocationID")) for one in (service, other)}
    stubborn = Stubborn(WEB)
    load = Load(short=Single(WEB), short2=Single(WEB), post=SlowPost(WEB), kept=Kept(WEB), chat=Chat(WEB),
                http2=Streams(SECURE, tls=True), grpc=Streams(CALLS, grpc=True))
    with load:
        load.moved_on()
        said = host.install(newer)
        load.moved_on()
    stubborn.close()
    load.check("upgrade of the package")
    assert host.state("Version").endswith(packages.NEWER)
    for one, (pid, invocation) in before.items():
        assert one.alive and one.main_pid != pid, said
        assert host.program_of(one.main_pid) == "/usr/bin/sluiced"
        assert (one.show("InvocationID"), one.show("NRestarts")) == (invocation, "0")
    assert asked().body == b"Hello, edits!\n"
    assert packages.UNTOUCHED not in host.config.read_text()
    assert packages.UNTOUCHED in host.path(packages.CONFIG + ".dpkg-dist").read_text()


def test_upgrade_replaces_a_configuration_that_nobody_edited(installed, newer):
    before = installed.service.main_pid
    installed.install(newer)
    assert installed.config.read_text().startswith(packages.UNTOUCHED)
    assert installed.service.main_pid != before
    assert asked().body == b"Hello, World!\n"


def test_upgrade_that_the_daemon_refuses(installed, newer):
    """The package is installed all the same; the old process goes on, and the administrator is told."""
    host, service = installed, installed.service
    before = service.main_pid
    host.config.write_text("listeners: [\n")
    said = host.install(newer).stderr
    assert "sluicectl upgrade" in said and "journalctl" in said
    assert host.state() == "installed"
    assert service.main_pid == before and service.alive
    assert asked().body == b"Hello, World!\n"
    host.config.write_text((REPO / "config/default.yaml").read_text())
    service.upgrade()
    assert host.program_of(service.main_pid) == "/usr/bin/sluiced"


def test_upgrade_leaves_alone_what_policy_forbids(host, package, newer):
    """policy-rc.d, as in images that are being made."""
    host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
    host.path("/usr/sbin/policy-rc.d").chmod(0o755)
    host.install(package)
    assert host.systemctl("is-enabled", "sluice").stdout.strip() == "enabled"
    assert not host.service.alive
    host.service.start()
    before = host.service.main_pid
    host.install(newer)
    assert host.service.main_pid == before and host.service.alive


def beside(host):
    """An instance on the ports of the plain service."""
    edit(host, SHARED)
    host.systemctl("enable", "--now", "sluice@1")
    return packages.Service(host, instance="1", start=False)


def test_upgrade_asks_policy_for_each_unit(installed, newer):
    host, service = installed, installed.service
    other = beside(host)
    before, others = service.main_pid, other.main_pid
    host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\n[ \"$1\" != sluice@1.service ] || exit 101\n")
    host.path("/usr/sbin/policy-rc.d").chmod(0o755)
    assert "upgraded: sluice.service." in host.install(newer).stdout
    wait_until(lambda: service.main_pid != before, what="systemd knows the new process")
    assert other.main_pid == others and other.alive


def test_upgrade_leaves_alone_who_is_not_heard(installed, newer):
    """Systemd takes no word from a masked unit, so an upgrade of it would end the service."""
    host, service = installed, installed.service
    other = beside(host)
    before, others = service.main_pid, other.main_pid
    host.systemctl("mask", "sluice")
    said = host.install(newer)
    assert "sluice.service" in said.stderr and "by hand" in said.stderr
    assert service.main_pid == before and host.program_of(before) == "/usr/bin/sluiced (deleted)"
    wait_until(lambda: other.main_pid != others, what="systemd knows the new process of the other")
    assert "upgraded: sluice@1.service." in said.stdout
    host.systemctl("unmask", "sluice")
    assert service.alive and asked().body == b"Hello, World!\n"
    service.upgrade()
    assert host.program_of(service.main_pid) == "/usr/bin/sluiced"


def test_upgrade_of_a_daemon_with_another_socket(installed, newer):
    host, service = installed, installed.service
    host.drop_in("sluice.service", "socket", "[Service]\nEnvironment=SLUICE_ADMIN_SOCKET=/run/sluice/other.sock\n")
    service.restart()
    before = service.main_pid
    said = host.install(newer)
    wait_until(lambda: service.main_pid != before, what=said.stderr)
    assert "upgraded: sluice.service." in said.stdout and not host.exists("/run/sluice/admin.sock")


def test_remove_and_purge(installed):
    host, service = installed, installed.service
    edit(host, SHARED, LOGGED)
    host.systemctl("enable", "--now", "sluice@1")
    asked()
    wait_until(lambda: host.exists(ACCESS_LOG), what="an access log")

    host.dpkg("--remove", "sluice")
    assert host.state() == "config-files"
    assert not service.alive and host.show("sluice@1", "ActiveState") == "inactive"
    assert host.run("sh", "-c", "grep -lx sluiced /proc/[0-9]*/comm", check=False).stdout == ""
    assert not host.exists("/run/sluice") and not host.exists("/usr/bin/sluiced")
    assert host.exists(packages.CONFIG) and host.exists(ACCESS_LOG)

    host.dpkg("--purge", "sluice")
    assert host.state() in ("", "not-installed")
    left = host.run("find", "/etc", "/usr", "/lib/", "/var", "/run", "-xdev", "-name", "*sluice*", "-not", "-path",
                    "*/dpkg/*", "-not", "-path", "/var/tmp/*", check=False).stdout.split()
    assert not left
    assert host.run("id", "sluice").returncode == 0, "the user stays, for files of its own may be anywhere"


def test_installed_again_after_removal(installed, package):
    """What was edited is there again."""
    edit(installed, GREETING)
    installed.dpkg("--remove", "sluice")
    installed.install(package)
    assert installed.service.alive
    assert asked().body == b"Hello, edits!\n"


def test_log_rotation(installed):
    host = installed
    if not host.has("logrotate"):
        pytest.skip("logrotate is not installed")
    edit(host, LOGGED)
    asked("/before")
    log = host.path(ACCESS_LOG)
    wait_until(lambda: log.exists() and "/before" in log.read_text(), what="a line of the first request")
    host.run("logrotate", "--force", "/etc/logrotate.d/sluice")
    wait_until(lambda: log.exists(), what="a new file")
    asked("/after")
    wait_until(lambda: "/after" in log.read_text(), what="lines in the new file")
    assert "/before" not in log.read_text()
    assert host.owner(ACCESS_LOG) == "-rw-r----- sluice sluice"
    assert "/before" in host.path(ACCESS_LOG + ".1").read_text()
