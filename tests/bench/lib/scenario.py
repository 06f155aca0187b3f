"""Scenarios: what is asked, what a right answer is, and which load is put on. One INI file each."""

import configparser
import pathlib
from dataclasses import dataclass

FOLDER = pathlib.Path(__file__).parent.parent / "scenarios"
PATTERN = b"0123456789abcdef"  # what bodies consist of; wrk.lua makes the same


class Unfit(Exception):
    """Why a server or a tool cannot be measured in a scenario."""


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    needs: str               # what a server must provide: a key of [provides] in its file
    load: str                # the generator: a key of load.GENERATORS
    options: dict            # for the generator
    path: str
    listener: str = "http"   # which port of the server, @http_port@ in its configuration: http, https or h2c
    status: int = 200
    answer: bytes = b""
    body: bytes = b""        # sent with POST; the answer is then the same
    compare: str = "cpu_us"  # the figure that servers are compared by
    behind: str = ""         # the server that is proxied to: a file in upstreams/

    @property
    def method(self):
        return "POST" if self.body else "GET"


def pattern(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def read(path):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(path.read_text(), str(path))
    keys = dict(parser["scenario"])
    body = pattern(int(keys.pop("body_bytes", 0)))
    answer = keys.pop("answer", "").encode() or pattern(int(keys.pop("answer_bytes", 0))) or body
    status = int(keys.pop("status", 200))
    return Scenario(name=path.stem, body=body, answer=answer, status=status, options=dict(parser["load"]), **keys)


def read_all():
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.ini"))}
