"""The Debian package of this build, a newer one made of it, and machines to install them on."""

import functools
import pathlib
import re
import subprocess

import pytest

from .daemon import clean_environment
from .settings import BUILD, REPO, patient
from .systemd import Machine, Service

CONFIG = "/etc/sluice/sluice.yaml"
NEWER = "+newer"
UNTOUCHED = "# The default of the newer package.\n"


def run(*words, timeout=120, **more):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=patient(timeout),
                          env=clean_environment({"DEB_BUILD_OPTIONS": "noautodbgsym"}), **more)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def build(directory):
    """Of the programs that are tested: compiling them again would take minutes."""
    if not (BUILD / "cmake_install.cmake").exists():
        pytest.skip(f"{BUILD} is no build folder of CMake")
    run(REPO / "packaging" / "build-deb", "--built", BUILD, directory)
    return next(directory.glob("sluice_*.deb"))


def newer_than(package, directory):
    """The same with a higher version and another default configuration."""
    tree = directory / "tree"
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", rf"\g<1>{NEWER}", control.read_text()))
    config = tree / CONFIG.lstrip("/")
    config.write_text(UNTOUCHED + config.read_text())
    newer = directory / "newer.deb"
    run("dpkg-deb", "--root-owner-group", "-b", tree, newer)
    return newer


def dependencies(package):
    """Names alone: the first where there is a choice."""
    field = run("dpkg-deb", "-f", package, "Depends")
    return [re.match(r"\s*([a-z0-9.+-]+)", one)[1] for one in field.split(",")]


def clean_root(package, directory):
    """A Debian with nothing but what the package needs, and what the tests ask there."""
    release = re.search(r"VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text())[1]
    simulated = subprocess.run(["mmdebstrap", "--simulate", "--variant=apt", release, "/dev/null"], capture_output=True,
                               text=True, timeout=patient(120))
    if simulated.returncode != 0:
        pytest.skip(f"no Debian mirror can be reached: {simulated.stderr.strip().splitlines()[-1]}")
    root = directory / "root"
    run("mmdebstrap", "--variant=minbase", "--include=" + ",".join(["systemd", "logrotate", *dependencies(package)]),
        release, root, timeout=900)
    return root


class Host(Machine):
    """One that has dpkg, and the service where it is installed."""

    def __init__(self, root=None):
        super().__init__(*(["-r", root] if root else []))
        # An image of a container forbids to start what is installed, and man-db takes its time for all the pages there.
        self.run("rm", "-f", "/usr/sbin/policy-rc.d", "/var/lib/man-db/auto-update")
        self.service = Service(self, start=False)

    def dpkg(self, *words, **more):
        return self.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *words, timeout=120, **more)

    def install(self, package, *words):
        """As an upgrade does that nobody looks at: who has edited a file keeps it."""
        there = f"/var/tmp/{package.name}"
        self.copy(package, there)
        return self.dpkg("--force-confold", *words, "--install", there)

    def state(self, what="db:Status-Status"):
        return self.dpkg_query(f"${{{what}}}")

    def dpkg_query(self, form):
        return self.run("dpkg-query", "--show", f"--showformat={form}", "sluice", check=False).stdout

    def exists(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def owner(self, path):
        return self.run("stat", "-c", "%A %U %G", path).stdout.strip()

    def has(self, program):
        return self.run("which", program, check=False).returncode == 0

    @functools.cached_property
    def config(self):
        return self.path(CONFIG)

    def program_of(self, pid):
        """What it runs: `(deleted)` stands behind what dpkg has replaced."""
        return self.run("readlink", f"/proc/{pid}/exe").stdout.strip()
