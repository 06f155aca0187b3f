"""Fixtures: `start` runs a daemon on any configuration, `sluice` on the usual one, `web` shares one per file."""

import resource
import shutil

import pytest

from support import configs, service_load, settings
from support.certificates import Certificates
from support.daemon import Sluice
from support.succession import adopt_orphans
from support.proxying import Link, shared_links
from support.systemd import booted, machine  # noqa: F401 (fixtures)
from support.upstreams import H1Server
from support.upstreams_h2 import H2Server
from support.websocket_backends import RawServer


def pytest_collection_modifyitems(items):
    for item in items:
        if settings.SANITIZED and item.get_closest_marker("bench"):
            item.add_marker(pytest.mark.skip(reason="means nothing in a sanitizer build"))


def pytest_sessionstart():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    adopt_orphans()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    yield
    item.user_properties += [("figures", line) for line in service_load.figures]
    service_load.figures.clear()


def pytest_terminal_summary(terminalreporter):
    """What a load has met, which is of interest although all went well. tests/run shows these lines too."""
    reports = [report for group in terminalreporter.stats.values() for report in group
               if getattr(report, "when", "") == "call"]
    lines = [line for report in reports for name, line in report.user_properties if name == "figures"]
    if lines:
        terminalreporter.section("figures")
    for line in lines:
        terminalreporter.line(f"figures: {line}")


SERVERS = {"http": H1Server, "http2": H2Server}


@pytest.fixture
def serve():
    """serve(handler, ...) runs a server for upstreams. What it could not understand fails the test at its end."""
    running = []

    def serve_one(*args, protocol="http", **more):
        running.append({**SERVERS, "websocket": RawServer}[protocol](*args, **more))
        return running[-1]

    yield serve_one
    for server in running:
        server.stop()
    for server in running:
        server.check()


@pytest.fixture
def start(serve, tmp_path):
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


@pytest.fixture(scope="module")
def links(request, tmp_path_factory):
    """A daemon for a whole file with each listener protocol on each upstream protocol; see support.proxying."""
    servers = {name: kind() for name, kind in SERVERS.items()}
    sluice = Sluice(tmp_path_factory.mktemp("links"), shared_links(servers, request.module))
    try:
        sluice.wait_ready()
        yield {name: Link(sluice, name, servers[name.split("-")[1]]) for name in LINKS}
    finally:
        sluice.stop()
        for server in servers.values():
            server.stop()


LINKS = [f"{front}-{back}" for front in SERVERS for back in SERVERS]


@pytest.fixture(params=LINKS)
def link(request, links):
    """Requests through one of the four, whose books are checked after each test."""
    yield from using(links[request.param])


@pytest.fixture
def h1_link(links):
    yield from using(links["http-http"])


@pytest.fixture(params=["http-http", "http2-http"])
def to_h1(request, links):
    yield from using(links[request.param])


@pytest.fixture(params=["http-http2", "http2-http2"])
def to_h2(request, links):
    yield from using(links[request.param])


def using(link):
    link.server.begin_test()
    yield link
    link.server.release()
    sluice = link.sluice
    assert sluice.alive, f"ended with {sluice.process.returncode}; log:\n{sluice.log[-4000:]}"
    sluice.close_clients()
    sluice.check_books()
    sluice.check_log()
    link.server.check()


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
