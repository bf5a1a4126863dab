# SPDX-License-Identifier: Apache-2.0
"""A steady load that counts every failure: `load.py KIND HOST PORT [--connections N] [--rate R] [--timeout S] [--method M]
[--path P] [--fresh] [--body N]`, KIND one of h1, h2, bytes. Runs until its standard input ends (or --seconds), then prints one JSON
object: done, failed, failures [[seconds since the epoch of the monotonic clock, why], …], p50, p99, max (ms), and
`gap`, the longest time without a success, and `calm`, the p99 of the calmest fifth of the time (a machine that others use too has
bad seconds). Nothing is tried again: what fails is counted, but a kept connection that was seen
closed before anything was sent on it is opened anew, as any client does."""
import argparse
import json
import select
import socket
import sys
import threading
import time


class Http1:
    def __init__(self, args):
        self.args, self.sock, self.file = args, None, None

    def close(self):
        if self.sock:
            self.file.close()
            self.sock.close()
        self.sock = self.file = None

    def connect(self):
        self.sock = socket.create_connection((self.args.host, self.args.port), self.args.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def once(self, number):
        if self.sock and select.select([self.sock], [], [], 0)[0]:
            self.close()  # the end, or bytes nobody asked for
        if not self.sock:
            self.connect()
        body = b"x" * self.args.body
        head = f"{self.args.method} {self.args.path} HTTP/1.1\r\nHost: {self.args.authority}\r\nX-Number: {number}\r\n"
        if body:
            head += f"Content-Length: {len(body)}\r\n"
        self.sock.sendall(head.encode() + b"\r\n" + body)
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed before the answer")
        status, length, keep = line.split(b" ")[1].decode(), 0, True
        reason = ""
        while (h := self.file.readline()) not in (b"\r\n", b""):
            low = h.lower()
            if low.startswith(b"content-length:"):
                length = int(h.split(b":")[1])
            elif low.startswith(b"connection:") and b"close" in low:
                keep = False
            elif low.startswith(b"l5d-proxy-error:"):
                reason = " " + h.split(b":", 1)[1].strip().decode()
        if h == b"":
            raise ConnectionError("closed in the head")
        left = length
        while left:
            got = self.file.read(min(left, 65536))
            if not got:
                raise ConnectionError("closed in the body")
            left -= len(got)
        if not keep or self.args.fresh:
            self.close()
        if status != "200":
            raise ValueError(status + reason)


class Http2(Http1):
    def connect(self):
        import h2.config
        import h2.connection
        self.sock = socket.create_connection((self.args.host, self.args.port), self.args.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.sock.sendall(self.h2.data_to_send())
        self.gone = False

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def once(self, number):
        import h2.events
        while self.sock and select.select([self.sock], [], [], 0)[0]:
            data = self.sock.recv(65536)
            if not data or any(isinstance(e, h2.events.ConnectionTerminated) for e in self.h2.receive_data(data)):
                self.close()
        if not self.sock or self.gone:
            self.close()
            self.connect()
        stream = self.h2.get_next_available_stream_id()
        body = b"x" * self.args.body
        self.h2.send_headers(stream, [(":method", self.args.method), (":scheme", "http"), (":path", self.args.path),
                                      (":authority", self.args.authority), ("x-number", str(number))], end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        self.sock.sendall(self.h2.data_to_send())
        status, reason = "", ""
        while True:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("closed")
            done = False
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    headers = dict(event.headers)
                    status, reason = headers[":status"], headers.get("l5d-proxy-error", "")
                elif isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionError(f"reset {event.error_code}")
                elif isinstance(event, h2.events.ConnectionTerminated):
                    self.gone = True
                elif isinstance(event, h2.events.StreamEnded):
                    done = True
            out = self.h2.data_to_send()
            if out:
                self.sock.sendall(out)
            if done:
                break
            if self.gone and not status:
                raise ConnectionError("GOAWAY")
        if status != "200":
            raise ValueError(f"{status} {reason}")


class Bytes(Http1):
    """An echo; one message and its answer is a request."""

    def once(self, number):
        if self.sock and select.select([self.sock], [], [], 0)[0]:
            self.close()
        if not self.sock:
            self.connect()
        message = b"\x01%07d" % (number % 10**7)  # the first byte cannot begin a method
        self.sock.sendall(message)
        got = self.file.read(len(message))
        if got != message:
            raise ConnectionError(f"closed after {len(got)} bytes")
        if self.args.fresh:
            self.close()


class Load:
    def __init__(self, args):
        self.args, self.stop = args, False
        self.lock = threading.Lock()
        self.done, self.failures, self.times, self.successes = 0, [], [], []
        self.number = 0
        self.began, self.windows = time.monotonic(), {}

    def run(self, index):
        client = {"h1": Http1, "h2": Http2, "bytes": Bytes}[self.args.kind](self.args)
        pause = self.args.connections / self.args.rate
        due = time.monotonic() + pause * index / self.args.connections
        while not self.stop:
            now = time.monotonic()
            if now < due:
                time.sleep(min(due - now, 0.2))
                continue
            due = max(due + pause, now - 1)  # late by more than a second: that time is not made up for
            with self.lock:
                self.number += 1
                number = self.number
            began = time.monotonic()
            why = None
            try:
                client.once(number)
            except Exception as error:  # noqa: BLE001 - whatever it was, the request failed
                client.close()
                why = f"{type(error).__name__}: {error}"
                time.sleep(0.005)
            ended = time.monotonic()
            with self.lock:
                self.done += 1
                if why is None:
                    self.times.append((ended - began) * 1000)
                    self.windows.setdefault(int((ended - self.began) * 2), []).append((ended - began) * 1000)
                    self.successes.append(ended)
                else:
                    self.failures.append([ended, why])
        client.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--timeout", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--method", default="GET")
    parser.add_argument("--path", default="/")
    parser.add_argument("--authority", default="web")
    parser.add_argument("--body", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    load = Load(args)
    threads = [threading.Thread(target=load.run, args=(i,), daemon=True) for i in range(args.connections)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    if args.seconds:
        time.sleep(args.seconds)
    else:
        sys.stdin.read()
    load.stop = True
    for thread in threads:
        thread.join(args.timeout + 5)
    times = sorted(load.times)
    marks = [began] + sorted(load.successes)
    gaps = [(b - a, a) for a, b in zip(marks, marks[1:])] or [(0.0, began)]
    at = lambda q: round(times[min(len(times) - 1, int(len(times) * q))], 2) if times else None  # noqa: E731
    windows = sorted(sorted(w)[min(len(w) - 1, int(len(w) * 0.99))] for w in load.windows.values() if len(w) >= 20)
    calm = round(windows[len(windows) // 5], 2) if windows else None
    print(json.dumps({"calm": calm, "done": load.done, "failed": len(load.failures), "failures": load.failures[:2000], "p50": at(0.5), "p99": at(0.99),
                      "max": at(1.0), "gap": round(max(gaps)[0], 3), "seconds": round(time.monotonic() - began, 2)}))


main()
