# SPDX-License-Identifier: Apache-2.0
"""Clients that nobody knows and that want nothing but to be a burden: a program for a pod.

    strangers.py KIND HOST PORT COUNT SECONDS [SOURCE]

Opens COUNT connections, sends on each what KIND says, again as soon as it is closed, and holds them for SECONDS. Prints
"begun" when all of them have been opened once, and at the end how often it had to open one.

    idle    nothing
    head    60,000 bytes of a header line of HTTP/1
    block   HTTP/2 whose first header block has no end
    hello   8,000 bytes of a ClientHello of 16,000
    review  TLS, then HTTP/1 with 3,900,000 of 4,000,000 bytes
    grpc    TLS, then HTTP/2 with 40 calls, each with most of a message of 60,000 bytes
"""
import resource
import select
import socket
import ssl
import struct
import sys
import time

KIND, HOST, PORT, COUNT, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
SOURCE = (sys.argv[6], 0) if len(sys.argv) > 6 else None
resource.setrlimit(resource.RLIMIT_NOFILE, (min(COUNT + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = b"\x82\x86\x84\x41\x01a"  # GET http / a


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def calls(count):
    """Calls of the identity service whose messages do not end."""
    path = b"/io.linkerd.proxy.identity.Identity/Certify"
    head = b"\x83\x87\x41\x01a" + b"\x04" + bytes([len(path)]) + path + literal(b"content-type", b"application/grpc")
    out = PREFACE + frame(4, 0, 0, b"") + frame(8, 0, 0, struct.pack(">I", 1 << 30))
    for i in range(count):
        message = b"\0" + struct.pack(">I", 60_000) + b"x" * 50_000
        out += frame(1, 4, 2 * i + 1, head)
        for at in range(0, len(message), 16_000):
            out += frame(0, 0, 2 * i + 1, message[at:at + 16_000])
    return out


def burden():
    if KIND == "head":
        return b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 60_000
    if KIND == "block":
        return PREFACE + frame(4, 0, 0, b"") + frame(1, 0, 1, GET + b"".join(literal(b"x", b"y" * 100) for _ in range(130)))
    if KIND == "hello":
        return b"\x16\x03\x01" + struct.pack(">H", 16_000) + b"\x01\0\x3e\x7c\x03\x03" + b"\0" * 8_000
    if KIND == "review":
        return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n" + b"{" + b" " * 3_900_000
    if KIND == "grpc":
        return calls(40)
    return b""


DATA = burden()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_alpn_protocols(["h2" if KIND == "grpc" else "http/1.1"])


def begin():
    try:
        sock = socket.create_connection((HOST, PORT), 5, SOURCE)
        if KIND in ("grpc", "review"):
            sock = context.wrap_socket(sock, server_hostname="linkerd-identity.linkerd.serviceaccount.identity.linkerd.cluster.local")
        sock.settimeout(0.2)
        try:
            sock.sendall(DATA)
        except TimeoutError:
            pass  # what it does not read it does not hold
        sock.setblocking(False)
        return sock
    except OSError:
        return None


opened, held, end = 0, [None] * COUNT, time.monotonic() + SECONDS
first = True
while time.monotonic() < end:
    for at, sock in enumerate(held):
        if sock is None:
            held[at] = begin()
            opened += 1
    if first:
        print("begun", flush=True)
    first = False
    poll = select.poll()
    where = {}
    for at, sock in enumerate(held):
        if sock is not None:
            where[sock.fileno()] = at
            poll.register(sock, select.POLLIN)
    for fd, _ in poll.poll(100):
        sock = held[where[fd]]
        try:
            while (got := sock.recv(65536)):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            continue
        except OSError:
            got = b""
        sock.close()
        held[where[fd]] = None
print(opened, flush=True)
