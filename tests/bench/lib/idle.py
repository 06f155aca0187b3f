#!/usr/bin/env python3
"""Opens connections, sends one request on each, holds them until its standard input ends.

    idle.py PORT PATH COUNT    prints {"held": n} when all are open, and {"lost": n} at the end
"""

import json
import re
import select
import socket
import sys

AT_ONCE = 64


def answered(connection):
    """Reads one answer with a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(4096)
        if not piece:
            return False
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)\ncontent-length: *(\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(4096)
    return head.split()[1] == b"200"


def open_some(port, request, count):
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(count)]
    for connection in connections:
        connection.sendall(request)
    return [connection for connection in connections if answered(connection)]


def lost(connections):
    """An idle connection can be read only when the server has closed it."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    return len(poll.poll(0))


def main():
    port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    held = []
    for first in range(0, count, AT_ONCE):
        held += open_some(port, request, min(AT_ONCE, count - first))
    print(json.dumps({"held": len(held)}), flush=True)
    sys.stdin.read()
    print(json.dumps({"lost": lost(held)}))


if __name__ == "__main__":
    main()
