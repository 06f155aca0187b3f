"""Fixtures: `start` runs a daemon on any configuration, `sluice` on the usual one, `web` shares one per file."""

import resource
import shutil

import pytest

from support import configs, settings
from support.certificates import Certificates
from support.daemon import Sluice


def pytest_collection_modifyitems(items):
    for item in items:
        if settings.SANITIZED and item.get_closest_marker("bench"):
            item.add_marker(pytest.mark.skip(reason="means nothing in a sanitizer build"))


def pytest_sessionstart():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture
def start(tmp_path):
    """start(config, ...) runs a daemon and waits until it is ready; the first lives in tmp_path itself."""
    running = []

    def start_one(configuration=None, *, wait=True, **more):
        directory = tmp_path / f"sluice{len(running)}" if running else tmp_path
        directory.mkdir(exist_ok=True)
        if configuration is None and "file" not in more:
            configuration = configs.config()
        sluice = Sluice(directory, configuration, **more)
        running.append(sluice)
        return sluice.wait_ready() if wait else sluice

    yield start_one
    problems = []
    for sluice in running:
        try:
            sluice.stop()
        except Exception as problem:  # every daemon must be ended before the first problem is told
            problems.append(problem)
    if problems:
        raise problems[0]


@pytest.fixture
def sluice(start):
    return start()


@pytest.fixture(scope="module")
def shared(request, tmp_path_factory):
    """One daemon for a whole file, on the file's CONFIG."""
    sluice = Sluice(tmp_path_factory.mktemp("shared"), getattr(request.module, "CONFIG", None) or configs.config())
    try:
        sluice.wait_ready()
        yield sluice
    finally:
        sluice.stop()


@pytest.fixture
def web(shared):
    """The shared daemon, whose books are checked after each test."""
    yield shared
    assert shared.alive, f"ended with {shared.process.returncode}; log:\n{shared.log[-4000:]}"
    shared.close_clients()
    shared.check_books()
    shared.check_log()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def needs():
    def check(*programs):
        for program in programs:
            if not shutil.which(program):
                pytest.skip(f"{program} is not installed")

    return check
