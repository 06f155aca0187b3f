"""Which route a request takes, and what respond and redirect answer."""

import pytest

from support import configs
from support.http import request


def named(name, **match):
    return {"match": match, "respond": {"body": name}}


CONFIG = configs.config(configs.listener(routes=[
    named("host", host="api.example.com", path="/"),
    named("wild", host="*.example.com", path="/"),
    named("exact", exact_path="/v1/exact"),
    named("v1", path="/v1"),
    named("v1-long", path="/v1/long/path"),
    named("posted", path="/method", method="POST"),
    named("either", path="/methods", method=["PUT", "DELETE"]),
    named("header", path="/header", headers={"x-version": "2"}),
    named("any-header", path="/header", headers={"x-present": ""}),
    named("no-header", path="/header"),
    named("encoded", path="/a%20b"),
    {"match": {"path": "/old"}, "redirect": {"status": 301, "location": "https://{host}{path}"}},
    {"match": {"path": "/moved"}, "redirect": {"location": "/new"}},
    {"match": {"path": "/teapot"}, "respond": {
        "status": 418, "headers": {"content-type": "text/tea", "x-one": "1", "x-two": "a, b"}, "body": "short\nstout"}},
    {"match": {"path": "/nothing"}, "respond": {"status": 204}},
]))

CASES = [
    # (host, method, target, headers, expected body; None = 404)
    ("api.example.com", "GET", "/", {}, "host"),
    ("API.Example.COM", "GET", "/", {}, "host"),
    ("api.example.com:8080", "GET", "/", {}, "host"),
    ("api.example.com.", "GET", "/", {}, "host"),
    ("other.example.com", "GET", "/x", {}, "wild"),
    ("a.b.example.com", "GET", "/x", {}, "wild"),
    ("example.com", "GET", "/x", {}, None),
    ("notexample.com", "GET", "/x", {}, None),
    ("x", "GET", "/v1", {}, "v1"),
    ("x", "GET", "/v1/", {}, "v1"),
    ("x", "GET", "/v1?a=/v1/exact", {}, "v1"),
    ("x", "GET", "/v1/other", {}, "v1"),
    ("x", "GET", "/v10", {}, None),
    ("x", "GET", "/v1x/y", {}, None),
    ("x", "GET", "/V1", {}, None),
    ("x", "GET", "/v1/long/path", {}, "v1-long"),
    ("x", "GET", "/v1/long/path/more", {}, "v1-long"),
    ("x", "GET", "/v1/long/pathology", {}, "v1"),
    ("x", "GET", "/v1/exact", {}, "exact"),
    ("x", "GET", "/v1/exact?q=1", {}, "exact"),
    ("x", "GET", "/v1/exact/more", {}, "v1"),
    ("x", "POST", "/method", {}, "posted"),
    ("x", "GET", "/method", {}, None),
    ("x", "PUT", "/methods", {}, "either"),
    ("x", "DELETE", "/methods/x", {}, "either"),
    ("x", "POST", "/methods", {}, None),
    ("x", "GET", "/header", {"X-Version": "2"}, "header"),
    ("x", "GET", "/header", {"X-Version": "3"}, "no-header"),
    ("x", "GET", "/header", {"X-Present": "whatever"}, "any-header"),
    ("x", "GET", "/header", {}, "no-header"),
    ("x", "GET", "/none", {}, None),
    ("x", "GET", "/", {}, None),
    # Normalised paths
    ("x", "GET", "/v1/./long/path", {}, "v1-long"),
    ("x", "GET", "/v1/long/../exact", {}, "exact"),
    ("x", "GET", "/other/../v1/exact", {}, "exact"),
    ("x", "GET", "/v1/..", {}, None),
    ("x", "GET", "/v1/../../v1/exact", {}, "exact"),
    ("x", "GET", "/%76%31/exact", {}, "exact"),
    ("x", "GET", "/v1/%2e%2e/v1/exact", {}, "exact"),
    ("x", "GET", "/v1/%2E/exact", {}, "exact"),
    ("x", "GET", "/v1/long/.%2e/exact", {}, "exact"),
    ("x", "GET", "/v1%2Fexact", {}, None),
    ("x", "GET", "/v1%2fexact", {}, None),
    ("x", "GET", "/v1/long%2Fpath", {}, "v1"),
    ("x", "GET", "/none/..%2fv1", {}, None),
    ("x", "GET", "http://api.example.com/", {}, "host"),
    ("api.example.com", "GET", "http://x/v1/exact", {}, "exact"),
]


@pytest.mark.parametrize("host,method,target,headers,expected", CASES)
def test_route(web, host, method, target, headers, expected):
    response = web.ask(method, target, host=host, headers=headers, body=None if method == "GET" else b"")
    if expected is None:
        assert response.status == 404
    else:
        assert (response.status, response.body.decode()) == (200, expected)


def test_404_keeps_the_connection(web):
    client = web.connect()
    response = client.ask("GET", "/none", host="x")
    assert response.status == 404 and not response.closes
    assert client.ask("GET", "/v1", host="x").status == 200


def test_404_reads_the_body_away(web):
    client = web.connect()
    client.send(request("POST", "/none", host="x", body=b"b" * 1000) + request("GET", "/v1", host="x"))
    assert client.response().status == 404
    assert client.response().body == b"v1"


def test_redirect_with_placeholders(web):
    response = web.ask("GET", "/old/place", host="Shop.Example.org")
    assert response.status == 301
    assert response.get("location").lower() == "https://shop.example.org/old/place"


def test_redirect_cannot_be_split(web):
    """What a peer sends never ends a header line of ours."""
    response = web.ask("GET", "/old/a%0d%0aSet-Cookie:%20x=1", host="x")
    assert response.get("set-cookie") is None
    assert response.status in (301, 400)


def test_plain_redirect(web):
    response = web.ask("GET", "/moved", host="x")
    assert response.status == 302 and response.get("location") == "/new"


def test_respond(web):
    response = web.ask("GET", "/teapot", host="x")
    assert response.status == 418 and response.body == b"short\nstout"
    assert response.get("content-type") == "text/tea"
    assert response.get("x-one") == "1" and response.get("x-two") == "a, b"
    assert web.ask("GET", "/nothing", host="x").status == 204
