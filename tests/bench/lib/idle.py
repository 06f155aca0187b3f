#!/usr/bin/env python3
"""Opens connections, sends one request on each, holds them until its standard input ends.

    idle.py PORT PATH COUNT http|https|h2c    prints {"held": n} when all are open, and {"lost": n} at the end
"""

import json
import re
import socket
import ssl
import sys

AT_ONCE = 64
DATA, HEADERS, SETTINGS, END_STREAM, END_HEADERS, ACK = 0, 1, 4, 1, 4, 1


def http1_request(path, port):
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def http1_answered(connection):
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


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def http2_request(path, port):
    """The preface and a request on stream 1: GET and http by their indices, path and authority as literals."""
    def literal(index, text):
        return bytes([index, len(text)]) + text.encode()

    fields = b"\x82\x86" + literal(4, path) + literal(1, f"127.0.0.1:{port}")
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + \
        frame(HEADERS, END_STREAM | END_HEADERS, 1, fields)


def exactly(connection, size):
    received = b""
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionResetError
        received += piece
    return received


def http2_answered(connection):
    """Reads until stream 1 has ended and our SETTINGS are acknowledged; acknowledges the server's."""
    status_200 = ended = acknowledged = False
    while not (ended and acknowledged):
        head = exactly(connection, 9)
        kind, flags = head[3], head[4]
        payload = exactly(connection, int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and flags & ACK:
            acknowledged = True
        elif kind == SETTINGS:
            connection.sendall(frame(SETTINGS, ACK, 0))
        elif kind == HEADERS:
            status_200 = b"\x88" in payload[:4]  # after a change of the table's size, at most
        ended = ended or (kind in (DATA, HEADERS) and bool(flags & END_STREAM))
    return status_200


def secured(connection):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname="localhost")


def opened(port, kind):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    return secured(connection) if kind == "https" else connection


def open_some(port, kind, request, count):
    connections = [opened(port, kind) for _ in range(count)]
    for connection in connections:
        connection.sendall(request)
    answered = http2_answered if kind == "h2c" else http1_answered
    return [connection for connection in connections if answered(connection)]


def has_ended(connection):
    """Past whatever the server has still said."""
    connection.setblocking(False)
    try:
        while socket.socket.recv(connection, 65536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def main():
    port, path, count, kind = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    request = (http2_request if kind == "h2c" else http1_request)(path, port)
    held = []
    for first in range(0, count, AT_ONCE):
        held += open_some(port, kind, request, min(AT_ONCE, count - first))
    print(json.dumps({"held": len(held)}), flush=True)
    sys.stdin.read()
    print(json.dumps({"lost": sum(map(has_ended, held))}))


if __name__ == "__main__":
    main()
