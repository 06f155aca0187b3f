"""Endpoints by name: which address is meant, what is told of a name that has none, and name servers that are silent."""

import signal

import pytest

from support import configs
from support.daemon import wait_ended_within
from support.proxying import ask
from support.resolving import Names
from support.upstreams import answering
from support.waiting import wait_until


@pytest.fixture
def names(tmp_path_factory):
    return Names(tmp_path_factory.mktemp("names"))


@pytest.fixture
def addressed(serve):
    """A port and its servers at three addresses, each of which says its own."""
    port = configs.free_port()
    for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        serve(answering(body=host.encode()), address=(host, port))
    return port


def lines(sluice, *words):
    return [line for line in sluice.log.splitlines() if all(word in line for word in words)]


def test_a_name_is_its_first_address_for_as_long_as_it_has_it(names, addressed, start):
    names.set(api="127.0.0.2 127.0.0.1")
    sluice = start(configs.proxying(f"api.test:{addressed}", dns_refresh="1s"), env=names.env)
    wait_until(lambda: ask(sluice).body == b"127.0.0.2")
    names.set(api="127.0.0.1 127.0.0.2")
    names.wait_asked("api", 2)
    assert ask(sluice).body == b"127.0.0.2"
    names.set(api="127.0.0.3 127.0.0.1")
    wait_until(lambda: ask(sluice).body == b"127.0.0.3")


def test_an_answer_in_another_order_moves_no_endpoint(names, addressed, start):
    names.set(api="127.0.0.2 127.0.0.1 127.0.0.2")
    sluice = start(configs.proxying(f"dns:api.test:{addressed}", dns_refresh="1s"), env=names.env)
    wait_until(lambda: len(sluice.upstream()["endpoints"]) == 2)
    before = [(one["id"], one["address"]) for one in sluice.upstream()["endpoints"]]
    names.set(api="127.0.0.1 127.0.0.2")
    names.wait_asked("api", 2)
    assert [(one["id"], one["address"]) for one in sluice.upstream()["endpoints"]] == before


def test_what_cannot_be_resolved_is_told_once(names, addressed, start):
    names.set(api="")
    sluice = start(configs.proxying(f"api.test:{addressed}", dns_refresh="1s"), env=names.env)
    names.wait_asked("api", 3)
    assert len(lines(sluice, "cannot resolve api.test")) == 1
    names.set(api="127.0.0.1")
    wait_until(lambda: ask(sluice).status == 200)
    assert len(lines(sluice, "api.test can be resolved again")) == 1
    names.set(api="")
    wait_until(lambda: len(lines(sluice, "cannot resolve api.test")) == 2)
    assert ask(sluice).status == 200  # the last address counts


def test_silent_name_servers_hold_up_no_other_name(names, addressed, start):
    silent = [f"silent{n}" for n in range(7)]
    names.set(api="127.0.0.1", **{name: "silence" for name in silent})
    upstreams = [configs.upstream(name, f"{name}.test:80") for name in silent]
    sluice = start(configs.config(configs.listener(routes=[configs.proxy("z-api")]),
                                  upstreams=[*upstreams, configs.upstream("z-api", f"api.test:{addressed}")]),
                   env=names.env)
    wait_until(lambda: ask(sluice).status == 200)


def test_a_silent_name_server_does_not_hold_up_the_end(names, start):
    names.set(api="silence")
    sluice = start(configs.proxying("api.test:80"), env=names.env)
    wait_until(lambda: names.asked("api") == 1)
    sluice.signal(signal.SIGTERM)
    code, _ = wait_ended_within(sluice, 3)
    assert code == 0
    assert lines(sluice, "stopped")
    assert not sluice.socket_path.exists()


@pytest.mark.parametrize("name", ["drain", "undrain", "decisions", "upstream", "status"])
def test_an_upstream_may_have_the_name_of_a_command(serve, start, name):
    server = serve()
    sluice = start(configs.config(configs.listener(routes=[configs.proxy(name)]),
                                  upstreams=[configs.upstream(name, server)]))
    assert server.endpoint in sluice.ctl("upstream", name, check=True).stdout
    sluice.ctl("upstream", name, "drain", server.endpoint, check=True)
    assert sluice.endpoint(name=name)["state"] == "draining"
    sluice.ctl("upstream", name, "undrain", server.endpoint, "--json", check=True)
    assert sluice.endpoint(name=name)["state"] == "serving"
    assert "SEQ" in sluice.ctl("upstream", name, "decisions", check=True).stdout or not sluice.decisions(name)
    for wrong in (["drain"], ["nonsense"], ["decisions", server.endpoint]):
        answer = sluice.ctl("upstream", name, *wrong)
        assert answer.returncode == 1 and answer.stderr
