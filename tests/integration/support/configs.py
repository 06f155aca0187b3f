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
