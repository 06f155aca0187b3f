"""Many slow clients of each kind at once: each is ended by its own rule, others notice nothing, memory comes back."""

import asyncio
import resource
import time

import pytest

from support import configs, names
from support.http import request
from support.load import Askers
from support.settings import PATIENCE, SANITIZED, patient, scaled
from support.waiting import wait_until

COUNT = scaled(100, 1000)
MIB = 1024 * 1024

pytestmark = pytest.mark.slow


def slow_config():
    return configs.config(configs.listener(
        max_connections=10000, headers_timeout="2s", request_timeout="2s", write_timeout="2s", min_data_rate="240B/s",
        keep_alive_timeout="60s", max_requests_per_connection=0))


async def drip(writer, pieces):
    for piece in pieces:
        writer.write(piece)
        try:
            await writer.drain()
        except ConnectionError:
            return
        await asyncio.sleep(0.25)


async def ended(reader):
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def slow_sender(address, first, piece):
    """Drips forever; gives what came back."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(first)
    dripping = asyncio.create_task(drip(writer, [piece] * 1000))
    answer = await ended(reader)
    dripping.cancel()
    writer.close()
    return answer


async def slow_reader(address):
    """Asks for much and reads nothing until the daemon has given up."""
    import socket

    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    await asyncio.get_running_loop().sock_sendall(sock, request(path="/big") * 8)
    return sock


async def attack(address, all_stuck_gone):
    headers = [slow_sender(address, b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n") for _ in range(COUNT)]
    bodies = [slow_sender(address, request("POST", "/", headers={"Content-Length": "100000"}), b"x")
              for _ in range(COUNT)]
    stuck = asyncio.gather(*[slow_reader(address) for _ in range(COUNT)])
    answers = await asyncio.gather(*headers, *bodies)
    socks = await stuck
    await asyncio.get_running_loop().run_in_executor(None, all_stuck_gone)
    for sock in socks:
        sock.close()
    return answers


def test_all_kinds_at_once(start):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < COUNT * 3 + 500:
        pytest.skip(f"needs {COUNT * 3 + 500} file descriptors, has {soft}")
    sluice = start(slow_config())
    address = sluice.addr()
    with Askers(lambda: sluice.connect(address=address), count=2) as askers:
        time.sleep(1)
        alone = askers.stop()
    before = sluice.rss()

    with Askers(lambda: sluice.connect(address=address), count=2, pause=0.002) as askers:
        answers = asyncio.run(attack(address, lambda: sluice.wait_closed(names.WRITE_TIMEOUT, COUNT, timeout=30)))
        beside = askers.stop()

    timed_out = sum(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert timed_out >= 0.98 * len(answers), f"{timed_out} of {len(answers)} were told 408"
    closed = sluice.pool()["closed"]
    assert names.count(closed, names.HEADERS_TIMEOUT) == COUNT, closed
    assert names.count(closed, names.REQUEST_TIMEOUT) == COUNT, closed
    assert names.count(closed, names.WRITE_TIMEOUT) == COUNT, closed
    assert not beside.lost and not beside.undecided
    print(f"p99 alone {alone.p99() * 1000:.2f} ms, beside {beside.p99() * 1000:.2f} ms, "
          f"RSS {before / MIB:.1f} -> {sluice.rss() / MIB:.1f} MiB")
    assert beside.p99() < 0.1 * PATIENCE + alone.p99() * 5
    if not SANITIZED:
        wait_until(lambda: sluice.rss() < before + scaled(8, 16) * MIB, 10,
                   what=f"memory back near {before / MIB:.1f} MiB")


@pytest.mark.parametrize("kind", ["header", "body"])
def test_each_is_told_at_its_time(start, kind):
    sluice = start(slow_config())
    first = b"GET / HTTP/1.1\r\n" if kind == "header" else request("POST", "/", headers={"Content-Length": "9"})
    began = time.monotonic()
    answer = asyncio.run(slow_sender(sluice.addr(), first, b"X" if kind == "header" else b"x"))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 1.8 <= time.monotonic() - began <= 2 + patient(1.5)
