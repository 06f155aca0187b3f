"""Header fields on their way through: what is taken off, what is added, and who is believed."""

import re

import pytest

from support import configs
from support.h2client import connect
from support.http import request
from support.proxying import ask
from support.upstreams import answering, hello, raw

TRUSTED = "127.0.0.2"
LISTENER = {"trusted_proxies": [TRUSTED]}
EDITS = {
    "set_request_headers": {"X-Set": "ours", "Accept": "text/plain"}, "add_request_headers": {"X-Add": "more"},
    "remove_request_headers": ["X-Remove", "Cookie"],
    "set_response_headers": {"Server": "hidden", "Cache-Control": "no-store"},
    "add_response_headers": {"X-Added": "yes"}, "remove_response_headers": ["X-Powered-By"],
}
ROUTES = {
    "/": {}, "/replace": {"x_forwarded": "replace", "forwarded": "replace"},
    "/append": {"x_forwarded": "append", "forwarded": "append"}, "/off": {"x_forwarded": "off", "forwarded": "off"},
    "/host": {"host": "internal.example:8080"}, "/strip": {"strip_prefix": "/strip"}, "/edit": EDITS,
    "/strip/twice": {"strip_prefix": "/strip/twice"}, "/id": {"request_id": "make"},
    "/underscores": {"allow_underscores": True}, "/novia": {"via": False},
}
TOLD = [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example"),
        ("Forwarded", "for=192.0.2.7;proto=https;host=shop.example")]


def forwarded_of(request_):
    return {name: request_.get(name) for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
                                                  "forwarded")}


def elements(forwarded):
    """Of RFC 7239, each as a dict."""
    pairs = [[part.strip().partition("=") for part in element.split(";")] for element in forwarded.split(",")]
    return [{name.lower(): value.strip('"') for name, _, value in element} for element in pairs]


# Forwarding

class TestWhoAsked:
    def test_from_anyone(self, link):
        """What he claims is replaced."""
        link.ask(headers=TOLD, source="127.0.0.1", host="example.com")
        assert forwarded_of(link.last) == {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http",
                                           "x-forwarded-host": "example.com", "forwarded": None}

    def test_from_a_trusted_proxy(self, link):
        link.ask(headers=TOLD, source=TRUSTED)
        told = forwarded_of(link.last)
        assert told["x-forwarded-for"].replace(" ", "") == f"192.0.2.7,{TRUSTED}"
        assert (told["x-forwarded-proto"], told["x-forwarded-host"]) == ("https", "shop.example")
        assert link.last.all("x-forwarded-proto") == ["https"]

    def test_from_a_trusted_proxy_that_tells_nothing(self, link):
        link.ask(source=TRUSTED, host="example.com")
        told = forwarded_of(link.last)
        assert (told["x-forwarded-for"], told["x-forwarded-proto"], told["x-forwarded-host"]) == \
            (TRUSTED, "http", "example.com")

    @pytest.mark.parametrize("source", ["127.0.0.1", TRUSTED])
    def test_replaced(self, link, source):
        link.ask(path="/replace", headers=TOLD, source=source, host="example.com")
        told = forwarded_of(link.last)
        assert (told["x-forwarded-for"], told["x-forwarded-proto"], told["x-forwarded-host"]) == \
            (source, "http", "example.com")
        assert elements(told["forwarded"]) == [{"for": source, "proto": "http", "host": "example.com"}]

    def test_appended_to_forwarded(self, link):
        ours = {"proto": "http", "host": "example.com"}
        link.ask(path="/append", headers=TOLD, source=TRUSTED, host="example.com")
        first, second = elements(link.last.get("forwarded"))
        assert first == {"for": "192.0.2.7", "proto": "https", "host": "shop.example"}
        assert second == {"for": TRUSTED, **ours}
        link.ask(path="/append", headers=TOLD, source="127.0.0.1", host="example.com")
        assert elements(link.last.get("forwarded")) == [{"for": "127.0.0.1", **ours}]

    def test_off(self, link):
        link.ask(path="/off", source="127.0.0.1")
        assert set(forwarded_of(link.last).values()) == {None}
        link.ask(path="/off", headers=TOLD, source="127.0.0.1")
        assert set(forwarded_of(link.last).values()) == {None}
        link.ask(path="/off", headers=TOLD, source=TRUSTED)
        assert forwarded_of(link.last) == {name.lower(): value for name, value in TOLD}

    def test_several_fields_are_one_list(self, h1_link):
        several = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.2, 192.0.2.3")]
        h1_link.ask(headers=several, source=TRUSTED)
        assert h1_link.last.get("x-forwarded-for").replace(" ", "") == f"192.0.2.1,192.0.2.2,192.0.2.3,{TRUSTED}"

    @pytest.mark.parametrize("named", ["x-forwarded-for", "X-Forwarded-For, via, host, x-request-id, content-length"])
    def test_a_connection_field_takes_nothing_of_ours(self, h1_link, named):
        body = b"still whole"
        h1_link.ask("POST", headers=[("Connection", named), *TOLD], body=body, source=TRUSTED)
        last = h1_link.last
        assert TRUSTED in last.get("x-forwarded-for") and last.get("via") and last.get("host") == "localhost"
        assert last.body == body

    def test_over_tls(self, serve, start):
        server = serve()
        sluice = start(configs.proxying(server, front=configs.https, route={"forwarded": "append"}))
        assert ask(sluice).status == 200
        assert server.last.get("x-forwarded-proto") == "https"
        assert elements(server.last.get("forwarded"))[0]["proto"] == "https"

    def test_ipv6(self, serve, start):
        server = serve()
        sluice = start(configs.proxying(server, route={"forwarded": "append"}, listener_keys={"bind": "[::1]:0"}))
        assert ask(sluice).status == 200
        assert server.last.get("x-forwarded-for") == "::1"
        assert re.search(r'for="\[::1\]"', server.last.get("forwarded"))

    def test_a_unix_client_is_trusted_where_it_is_said(self, serve, start, tmp_path):
        server = serve()
        path = str(tmp_path / "front.sock")
        configuration = configs.proxying(server, listener_keys={"bind": f"unix:{path}"})
        configuration["listeners"][0]["trusted_proxies"] = ["unix"]
        sluice = start(configuration)
        with sluice.connect(address=path) as client:
            assert client.ask(headers=TOLD).status == 200
        assert server.last.get("x-forwarded-for").startswith("192.0.2.7")
        assert server.last.get("x-forwarded-proto") == "https"

    def test_networks(self, serve, start):
        server = serve()
        configuration = configs.proxying(server)
        configuration["listeners"][0]["trusted_proxies"] = ["127.0.1.0/24", "10.0.0.0/8", "::1"]
        sluice = start(configuration)
        for source, trusted in (("127.0.1.77", True), ("127.0.2.1", False), ("127.0.0.1", False)):
            with sluice.connect(source=source) as client:
                client.ask(headers=TOLD)
            assert ("192.0.2.7" in server.last.get("x-forwarded-for")) == trusted, source


class TestVia:
    def test_both_ways(self, link):
        answer = link.ask()
        assert link.last.get("via") == f"{'1.1' if link.front == 'http' else '2'} sluice"
        assert answer.get("via") == f"{'1.1' if link.back == 'http' else '2'} sluice"

    def test_appended(self, link):
        link.handle(answering(headers=[("via", "1.0 fred")]))
        answer = link.ask(headers=[("via", "1.1 p.example (a comment, with a comma)")])
        assert link.last.get("via").startswith("1.1 p.example (a comment, with a comma), ")
        assert answer.get("via").startswith("1.0 fred, ") and answer.get("via").endswith(" sluice")

    def test_off(self, link):
        answer = link.ask(path="/novia")
        assert link.last.get("via") is None and answer.get("via") is None


# Host and path

class TestHost:
    @pytest.mark.parametrize("host", ["example.com", "example.com:8080", "[::1]:80", "EXAMPLE.com"])
    def test_kept(self, link, host):
        link.ask(host=host)
        assert link.last.authority.lower() == host.lower()

    def test_rewritten(self, link):
        link.ask(path="/host", host="example.com")
        assert link.last.authority == "internal.example:8080"
        assert link.last.get("x-forwarded-host") == "example.com"


@pytest.mark.parametrize("sent, forwarded", [
    ("/strip", "/"), ("/strip/", "/"), ("/strip/a/b", "/a/b"), ("/strip?q=1", "/?q=1"), ("/strip/a?q", "/a?q"),
    ("/stripped", "/stripped"), ("/strip/twice/a", "/a"), ("/strip/strip/a", "/strip/a"), ("/strip/%2Fa", "/%2Fa"),
    ("/strip/../strip/a", "/a"), ("/strip//a", "//a"),
])
def test_a_stripped_prefix(link, sent, forwarded):
    link.ask(path=sent)
    assert link.last.target == forwarded


# What does not go on

class TestHopByHop:
    def test_of_requests(self, h1_link):
        h1_link.handle(hello)
        hop = [("Connection", "x-mine, keep-alive"), ("X-Mine", "1"), ("Keep-Alive", "timeout=5"),
               ("Proxy-Connection", "keep-alive"), ("TE", "gzip, trailers;q=0.5"), ("Upgrade", "foo"),
               ("X-Theirs", "2")]
        h1_link.ask(headers=hop)
        names = set(h1_link.last.names)
        assert not names & {"x-mine", "keep-alive", "proxy-connection", "upgrade"} and "x-theirs" in names
        assert h1_link.last.get("te") in (None, "trailers")
        assert (h1_link.last.get("connection") or "TE").lower() == "te"

    def test_of_answers(self, to_h1):
        to_h1.handle(raw(b"HTTP/1.1 200 OK\r\nConnection: x-mine, keep-alive\r\nX-Mine: 1\r\n"
                         b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Theirs: 2\r\n"
                         b"Content-Length: 2\r\n\r\nok"))
        answer = to_h1.ask()
        names = {name for name, _ in answer.headers}
        assert not names & {"x-mine", "keep-alive", "proxy-connection", "upgrade"} and "x-theirs" in names
        assert "keep-alive" not in (answer.get("connection") or "")

    def test_answers_of_which_everything_is_named(self, to_h1):
        """What frames the answer, and what we add, is not for a Connection field to take."""
        to_h1.handle(raw(b"HTTP/1.1 200 OK\r\nConnection: content-length, via, date\r\nContent-Length: 2\r\n\r\nok"))
        answer = to_h1.ask()
        assert answer.body == b"ok" and answer.get("via") and answer.get("date")

    def test_authentication_goes_on(self, link):
        link.handle(answering(407, [("proxy-authenticate", "Basic")]))
        answer = link.ask(headers=[("Proxy-Authorization", "Basic eDp5"), ("Authorization", "Bearer z")])
        assert link.last.get("proxy-authorization") == "Basic eDp5" and link.last.get("authorization") == "Bearer z"
        assert (answer.status, answer.get("proxy-authenticate")) == (407, "Basic")


def test_underscores(link):
    """X_Forwarded_For is X-Forwarded-For to many a server behind."""
    fields = [("X_Forwarded_For", "192.0.2.1"), ("x_y", "1"), ("x-z", "2")]
    link.ask(headers=fields)
    assert not any("_" in name for name in link.last.names) and link.last.get("x-z") == "2"
    link.ask(path="/underscores", headers=fields)
    assert link.last.get("x_y") == "1"


# What is added

class TestRequestId:
    ID = re.compile(r"[0-9a-f]{32}")

    def test_passed(self, link):
        link.ask(headers=[("X-Request-Id", "mine-1")])
        assert link.last.get("x-request-id") == "mine-1"
        link.ask()
        assert link.last.get("x-request-id") is None

    def test_made(self, link):
        made = set()
        for _ in range(20):
            link.ask(path="/id")
            assert len(link.last.all("x-request-id")) == 1
            made.add(link.last.get("x-request-id"))
        assert len(made) == 20 and all(self.ID.fullmatch(one) for one in made)

    def test_believed_of_trusted_ones_only(self, link):
        link.ask(path="/id", headers=[("X-Request-Id", "mine")], source=TRUSTED)
        assert link.last.get("x-request-id") == "mine"
        link.ask(path="/id", headers=[("X-Request-Id", "mine")], source="127.0.0.1")
        assert self.ID.fullmatch(link.last.get("x-request-id"))


def test_traces_are_passed(link):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    link.ask(headers=[("traceparent", parent), ("tracestate", "a=1,b=2")])
    assert (link.last.get("traceparent"), link.last.get("tracestate")) == (parent, "a=1,b=2")


def test_edits(link):
    link.handle(answering(headers=[("server", "secret/1.0"), ("x-powered-by", "php"), ("x-added", "theirs"),
                                   ("cache-control", "a"), ("cache-control", "b")]))
    sent = [("X-Set", "a"), ("x-set", "b"), ("X-Add", "first"), ("X-Remove", "x"), ("Cookie", "a=b")]
    answer = link.ask(path="/edit", headers=sent)
    last = link.last
    assert last.all("x-set") == ["ours"] and last.all("accept") == ["text/plain"]
    assert last.get("x-add").replace(" ", "") == "first,more"
    assert last.get("x-remove") is None and last.get("cookie") is None
    assert answer.all("server") == ["hidden"] and answer.all("cache-control") == ["no-store"]
    assert answer.get("x-added").replace(" ", "") == "theirs,yes" and answer.get("x-powered-by") is None


# Fields as they are

def test_fields_are_kept_in_order(link):
    fields = [("a-field", "1"), ("b-field", "x, y"), ("a-field", "2"), ("c-field", ""), ("a-field", "3")]
    link.handle(answering(headers=fields))
    answer = link.ask(headers=fields)
    theirs = [(name.lower(), value) for name, value in link.last.headers if name.lower().endswith("-field")]
    assert theirs == fields
    assert [pair for pair in answer.headers if pair[0].endswith("-field")] == fields


def test_cookies(link):
    link.handle(answering(headers=[("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2")]))
    cookies = [("cookie", "a=1; b=2")] if link.front == "http" else [("cookie", "a=1"), ("cookie", "b=2")]
    answer = link.ask(headers=cookies)
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2"]
    assert "; ".join(link.last.all("cookie")) == "a=1; b=2"
    if link.back == "http":
        assert len(link.last.all("cookie")) == 1


def test_bytes_above_ascii(link):
    with link.open() as client:
        if link.front == "http":
            link.handle(answering(headers=[("x-name", "Grüße")]))
            client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Name: Grüße\r\n\r\n".encode("latin-1"))
            assert client.response().get("x-name") == "Grüße"
        else:
            stream = client.wait(client.begin(headers=[(b"x-name", "Grüße".encode("latin-1"))], scheme="http"))
            assert stream.status == 200
    assert link.last.get("x-name") == "Grüße"


def test_one_date(link):
    date = "Tue, 15 Nov 1994 08:12:31 GMT"
    assert link.handle(answering(headers=[("date", date)])).ask().all("date") == [date]
    assert len(link.handle(hello).ask().all("date")) == 1


def test_large_heads_both_ways(link):
    """Below the limits they go through."""
    value = "v" * 1000
    fields = [(f"x-{n}", value) for n in range(20)]
    link.handle(answering(headers=fields))
    answer = link.ask(headers=fields)
    assert [link.last.get(name) for name, _ in fields] == [value] * 20
    assert [answer.get(name) for name, _ in fields] == [value] * 20


def test_many_fields_of_an_answer(link):
    link.handle(answering(headers=[(f"x-{n}", "v" * 290) for n in range(180)]))
    answer = link.ask()
    assert answer.status == 200 and answer.get("x-179") == "v" * 290


def test_scheme(serve, start, certificates):
    """An HTTP/2 upstream is told what the client used."""
    server = serve(protocol="http2")
    secure = configs.http2("secure", configs.SELF_SIGNED, routes=[configs.proxy("api")])
    sluice = start(configs.config(configs.listener(routes=[configs.proxy("api")]), secure,
                                  upstreams=[configs.upstream("api", server)]))
    assert ask(sluice).status == 200 and server.last.scheme == "http"
    with connect(sluice, "secure") as session:
        assert session.ask().status == 200
    assert server.last.scheme == "https"


def test_the_first_of_several_routes_does_not_count(h1_link):
    """The longest prefix does: one connection of a client, many routes."""
    with h1_link.open() as client:
        for path, forwarded in (("/strip/a", "/a"), ("/host", "/host"), ("/strip", "/"), ("/", "/")):
            client.send(request(path=path))
            assert client.response().status == 200
            assert h1_link.last.target == forwarded
