"""Configurations as dicts. JSON is YAML, so json.dumps makes the file."""

import copy
import json

ECHO = {"match": {"path": "/echo"}, "echo": {}}
BIG_SIZE = 512 * 1024


def respond(body, *, status=200, headers=None, **match):
    action = {"status": status, "body": body}
    action["headers"] = headers if headers is not None else {"content-type": "text/plain"}
    return {"match": match or {"path": "/"}, "respond": action}


HELLO = respond("hello\n", path="/")
BIG = respond("x" * BIG_SIZE, path="/big")


def listener(name="web", bind="127.0.0.1:0", routes=None, **pool):
    # A short drain, so that a test which leaves a request half sent does not make its teardown wait.
    settings = {"drain_timeout": "2s", **pool}
    return {"name": name, "protocol": "http", "bind": bind, "pool": settings,
            "routes": copy.deepcopy(routes if routes is not None else [ECHO, BIG, HELLO])}


SELF_SIGNED = {"certificate": "self-signed"}


def https(name="web", tls=None, **more):
    return {**listener(name, **more), "protocol": "https", "tls": tls or SELF_SIGNED}


def http2(name="web", tls=None, *, allow_http1=None, on_pool_change=None, **more):
    """Without `tls` it speaks with clients that know it (h2c)."""
    keys = {"tls": tls, "allow_http1": allow_http1, "on_pool_change": on_pool_change}
    given = {key: value for key, value in keys.items() if value is not None}
    return {**listener(name, **more), "protocol": "http2", **given}


def websocket(name="web", tls=None, **more):
    return {**listener(name, **more), "protocol": "websocket", **({"tls": tls} if tls else {})}


def ws_echo(path="/echo", *, match=None, pool=None, **keys):
    """`pool`: of the route, on another listener than a websocket one."""
    own = {**keys, **({"pool": pool} if pool else {})}
    return {"match": match or {"path": path}, "websocket": {"echo": {}, **own}}


def ws_relay(upstream_name="chat", path="/chat", *, match=None, pool=None, relay=None, **keys):
    """`relay`: more keys of it."""
    own = {**keys, **({"pool": pool} if pool else {})}
    to = {"upstream": upstream_name, "expose_reason": True, **(relay or {})}
    return {"match": match or {"path": path}, "websocket": {"relay": to, **own}}


def every_front(routes, **pool):
    """Listeners by which a WebSocket can come, each named as what it is: see support.websocket.WAYS."""
    return [listener("h1", routes=routes, **pool), https("h1s", routes=routes, **pool),
            http2("h2", routes=routes, **pool), http2("h2s", tls=SELF_SIGNED, routes=routes, **pool)]


def upstream(name, *endpoints, protocol=None, **more):
    """`endpoints`: as they stand in the file, or servers of support.upstreams."""
    texts = [getattr(endpoint, "endpoint", endpoint) for endpoint in endpoints]
    protocol = protocol or next((one.protocol for one in endpoints if hasattr(one, "protocol")), "http")
    return {"name": name, "protocol": protocol, "endpoints": texts, **more}


def proxy(upstream_name, path="/", *, match=None, **more):
    return {"match": match or {"path": path}, "proxy": {"upstream": upstream_name, "expose_reason": True, **more}}


def proxying(*endpoints, route=None, listener_keys=None, front=listener, top=None, **upstream_keys):
    """One listener whose every request goes to one upstream."""
    return config(front(routes=[proxy("api", **(route or {}))], **(listener_keys or {})), **(top or {}),
                  upstreams=[upstream("api", *endpoints, **upstream_keys)])


def over_tls(configuration, tls):
    """Every http listener as an https one."""
    listeners = [{**entry, "protocol": "https", "tls": tls} if entry["protocol"] == "http" else entry
                 for entry in configuration["listeners"]]
    return {**configuration, "listeners": listeners}


def config(*listeners, **top):
    return {**top, "listeners": list(listeners) or [listener()]}


def text_of(configuration):
    return configuration if isinstance(configuration, str) else json.dumps(configuration, indent=2) + "\n"


def free_port(host="127.0.0.1"):
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, 0))
        return probe.getsockname()[1]
