#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Opens connections, has each carry some requests, says "held" and keeps them open and idle until its input ends.

usage: hold.py plain|mtls HOST PORT CONNECTIONS REQUESTS [PEM SNI ALPN]

plain is HTTP/1.1 in plain text, mtls HTTP/2 over mutual TLS with the client certificate of PEM. SNI and ALPN may be "-".
Frames are written by hand: a library's connection would cost more than what is measured.
"""
import resource
import socket
import ssl
import struct
import sys

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)


def fail(why):
    sys.exit(f"hold: {why}")


class Plain:
    def __init__(self, sock, host):
        self.sock = sock
        self.ask = f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()

    def request(self):
        self.sock.sendall(self.ask)
        data = b""
        while b"\r\n\r\n" not in data or len(data) < self.size(data):
            got = self.sock.recv(65536)
            if not got:
                fail(f"closed after {data[:200]}")
            data += got
        if not data.startswith(b"HTTP/1.1 200"):
            fail(data[:200])

    @staticmethod
    def size(data):
        head, _, _ = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                return len(head) + 4 + int(line.split(b":")[1])
        return fail(f"no content-length: {head}")


class Http2:
    def __init__(self, sock, host):
        self.sock, self.stream, self.data = sock, 1, b""
        name = host.encode()
        # :method GET, :scheme http, :path / are in the static table; :authority is literal.
        self.block = b"\x82\x86\x84\x01" + bytes([len(name)]) + name
        sock.sendall(PREFACE)

    def frame(self):
        while True:
            if len(self.data) >= 9:
                size = int.from_bytes(self.data[:3], "big")
                if len(self.data) >= 9 + size:
                    kind, flags = self.data[3], self.data[4]
                    stream = int.from_bytes(self.data[5:9], "big")
                    payload, self.data = self.data[9:9 + size], self.data[9 + size:]
                    return kind, flags, stream, payload
            got = self.sock.recv(65536)
            if not got:
                fail("the HTTP/2 connection was closed")
            self.data += got

    def request(self):
        self.sock.sendall(len(self.block).to_bytes(3, "big") + b"\x01\x05" + self.stream.to_bytes(4, "big") + self.block)
        while True:
            kind, flags, stream, payload = self.frame()
            if kind == 4 and not flags & 1:
                self.sock.sendall(b"\0\0\0\x04\x01\0\0\0\0")
            elif kind in (3, 7):
                fail(f"frame {kind}: {payload}")
            elif kind == 6 and not flags & 1:
                self.sock.sendall(b"\0\0\x08\x06\x01\0\0\0\0" + payload)
            elif kind in (0, 1) and stream == self.stream and flags & 1:
                break
        self.stream += 2


def main():
    form, host, port, connections, requests = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    context = None
    if form == "mtls":
        pem, sni, alpn = sys.argv[6:9]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the server's proof is not the subject here
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(pem)
        if alpn != "-":
            context.set_alpn_protocols([alpn])
    held = []
    for _ in range(connections):
        sock = socket.create_connection((host, port), timeout=30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=None if sni == "-" else sni)
        held.append((Http2 if context else Plain)(sock, host))
        for _ in range(requests):
            held[-1].request()
    print("held", flush=True)
    sys.stdin.read()


main()
