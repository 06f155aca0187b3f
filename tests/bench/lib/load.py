"""Load generators: each measures one running server in one scenario and returns its figures.

wrk, h2load: requests as fast as they are answered. handshakes: a TLS connection for each request. idle: open
connections that do nothing.
"""

import contextlib
import json
import pathlib
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from .scenario import Unfit
from .server import end_with_parent, on_core

HERE = pathlib.Path(__file__).parent
WARM_UP_SECONDS = 1
SETTLE_SECONDS = 2          # before the memory of idle connections is read, if the scenario names no other time
SPARE_SECONDS = 30          # how much longer than asked a generator may take
MOST_FAILED = 1 / 1000
SPARE_FILES = 100


def run(command, core, seconds):
    if not shutil.which(command[0]):
        raise Unfit(f"{command[0]} is not installed")
    try:
        done = subprocess.run(on_core(core, command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=seconds + SPARE_SECONDS,
                              preexec_fn=end_with_parent)
    except subprocess.TimeoutExpired:
        raise Unfit(f"{command[0]} did not end") from None
    return done.stdout


def url(server, scenario):
    scheme = "https" if scenario.listener == "https" else "http"
    return f"{scheme}://127.0.0.1:{server.ports[scenario.listener]}{scenario.path}"


def header(scenario):
    return ["-H", scenario.options["header"]] if "header" in scenario.options else []


def wrk(server, scenario, core, seconds):
    output = run(["wrk", "-t1", f"-c{scenario.options['connections']}", f"-d{seconds}s", "--timeout", "10s",
                  *header(scenario), "-s", str(HERE / "wrk.lua"), url(server, scenario), "--", str(len(scenario.body))],
                 core, seconds)
    figures = re.search(r"^FIGURES (.*)$", output, re.MULTILINE)
    if not figures:
        raise Unfit(f"wrk: {output.strip()[-300:]}")
    return json.loads(figures[1])


def h2load(server, scenario, core, seconds):
    with tempfile.TemporaryDirectory(prefix="bench-h2load-") as folder:
        log, body = pathlib.Path(folder, "log"), pathlib.Path(folder, "body")
        body.write_bytes(scenario.body)
        output = run(["h2load", "-t1", "-c", scenario.options["connections"],
                      "-m", scenario.options.get("in_flight", "1"), "-D", str(seconds), "--log-file", str(log),
                      *header(scenario), *(["-d", str(body)] if scenario.body else []),
                      *shlex.split(scenario.options.get("options", "")), url(server, scenario)], core, seconds)
        # A line for each request: when it began, its status, how many microseconds it took.
        took = sorted(int(line.split()[2]) for line in log.read_text().splitlines()) if log.exists() else []
    counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed", output)
    if not counts or not took:
        raise Unfit(f"h2load: {output.strip()[-300:]}")
    return {"requests": int(counts[1]), "errors": int(counts[2]), "seconds": seconds,
            "p50_us": took[len(took) // 2], "p99_us": took[len(took) * 99 // 100]}


def handshakes(server, scenario, core, seconds):
    output = run([sys.executable, str(HERE / "handshakes.py"), str(server.ports[scenario.listener]), scenario.path,
                  str(seconds), scenario.options["kind"]], core, seconds)
    try:
        return json.loads(output)
    except ValueError:
        raise Unfit(f"handshakes: {output.strip()[-300:]}") from None


def checked(result):
    if not result["requests"] or result["errors"] > result["requests"] * MOST_FAILED:
        raise Unfit(f"{result['requests']} requests, {result['errors']} errors")
    return result


def requests_with(generator):
    def measure(server, scenario, core, seconds):
        generator(server, scenario, core, min(WARM_UP_SECONDS, seconds))
        before = server.cpu_seconds()
        result = checked(generator(server, scenario, core, seconds))
        cpu = server.cpu_seconds() - before
        return {"cpu_us": cpu / result["requests"] * 1e6, "rps": result["requests"] / result["seconds"],
                "p50_us": result["p50_us"], "p99_us": result["p99_us"], "errors": result["errors"],
                "peak_mib": server.memory_kib("VmHWM") / 1024}
    return measure


@contextlib.contextmanager
def idle_connections(server, scenario, core, count):
    """A pinned process that holds them; asked by `lost()`, it lets them go."""
    command = [sys.executable, str(HERE / "idle.py"), str(server.ports[scenario.listener]), scenario.path, str(count),
               scenario.listener]
    holder = subprocess.Popen(on_core(core, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              preexec_fn=end_with_parent)
    try:
        opened = json.loads(holder.stdout.readline() or '{"held": 0}')["held"]
        if opened < count:
            raise Unfit(f"{opened} of {count} connections were opened")
        yield lambda: json.loads(holder.communicate(timeout=SPARE_SECONDS)[0])["lost"]
    finally:
        holder.kill()
        holder.communicate()


def idle(server, scenario, core, seconds):
    """Memory is read twice, with few and with many connections: what the server needs for itself cancels out."""
    count = int(scenario.options["connections"])
    settle = float(scenario.options.get("settle_seconds", SETTLE_SECONDS))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < count + SPARE_FILES:
        raise Unfit(f"a process may open only {hard} files")
    with idle_connections(server, scenario, core, SPARE_FILES):
        pass
    time.sleep(settle)
    rss, cpu = server.memory_kib("VmRSS"), server.cpu_seconds()
    with idle_connections(server, scenario, core, count) as lost:
        cpu = server.cpu_seconds() - cpu
        time.sleep(settle)
        held = server.memory_kib("VmRSS")
        gone = lost()
    if gone:
        raise Unfit(f"{gone} idle connections were closed")
    return {"kib_per_connection": (held - rss) / count, "cpu_us": cpu / count * 1e6,
            "peak_mib": server.memory_kib("VmHWM") / 1024}


GENERATORS = {"wrk": requests_with(wrk), "h2load": requests_with(h2load), "handshakes": requests_with(handshakes),
              "idle": idle}
