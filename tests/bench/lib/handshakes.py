#!/usr/bin/env python3
"""Connects over TLS 1.3, sends one request, closes, and does so again until the time is over, one at a time.

    handshakes.py PORT PATH SECONDS full|resumed    prints its figures as one line of JSON
"""

import json
import socket
import ssl
import sys
import time


def connect(port, context, session):
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost", session=session)


def ask(port, context, request, session):
    """Gives whether the session was resumed, and the session to resume next."""
    with connect(port, context, session) as client:
        client.sendall(request)
        answer = client.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise OSError(f"a wrong answer: {answer[:60]!r}")
        return client.session_reused, client.session


def main():
    port, path, seconds, kind = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    session = ask(port, context, request, None)[1] if kind == "resumed" else None
    took, errors, begin = [], 0, time.monotonic()
    while time.monotonic() < begin + seconds:
        start = time.monotonic()
        try:
            resumed, _ = ask(port, context, request, session)
        except OSError:
            errors += 1
            continue
        errors += resumed != (kind == "resumed")
        took.append((time.monotonic() - start) * 1e6)
    seconds, took = time.monotonic() - begin, sorted(took) or [0]
    print(json.dumps({"requests": len(took), "errors": errors, "seconds": seconds,
                      "p50_us": took[len(took) // 2], "p99_us": took[len(took) * 99 // 100]}))


if __name__ == "__main__":
    main()
