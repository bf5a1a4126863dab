#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What passes from a client through two proxies of ours to real programs, and what does not: big heads, hosts with a port, CONNECT.

usage: hop_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SUPPORT = os.path.join(os.path.dirname(HERE), "support")
sys.path[:0] = [HERE, SUPPORT]
from cases import Cases, PYTHON, run_in, until  # noqa: E402
from mesh import Mesh, wait_port  # noqa: E402

LIMIT = "SERVER_HTTP2_MAX_HEADER_LIST_SIZE"
RAW, GO = 8080, 8081

# A request with fields of that many bytes together, over HTTP/1 or HTTP/2: the status, and how many the application saw of them.
BIG = r"""
import json, socket, sys
host, port, version, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
fields = [(f"x-big-{i}", "x" * min(16384, size - i * 16384)) for i in range((size + 16383) // 16384)]
s = socket.create_connection((host, port), 10)
s.settimeout(10)
if version == "1":
    head = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields) + "\r\n"
    s.sendall(head.encode())
    got = b""
    while data := s.recv(65536):
        got += data
    head, _, body = got.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    print(status, sum(len(v) for k, v in json.loads(body)["fields"] if k.startswith("x-big")) if status == 200 else 0)
else:
    import h2.connection, h2.events
    c = h2.connection.H2Connection()
    c.initiate_connection()
    c.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":authority", "web"), (":path", "/a.B/C"), *fields], end_stream=True)
    s.sendall(c.data_to_send())
    status, seen, over = 0, 0, False
    while not over:
        for event in c.receive_data(s.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                headers = {k.decode(): v.decode() for k, v in event.headers}
                status, seen = int(headers[":status"]), int(headers.get("x-big", 0))
            over = over or isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated))
        s.sendall(c.data_to_send())
    print(status, seen)
"""

# HTTP/2 with any pseudo-header fields and others: status and authority that the application saw.
ASK = r"""
import json, socket, sys
import h2.config, h2.connection, h2.events, h2.exceptions
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(2)
c = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False))
c.initiate_connection()
c.send_headers(1, json.loads(sys.argv[3]), end_stream=sys.argv[4] == "")
if sys.argv[4]:
    c.send_data(1, sys.argv[4].encode(), end_stream=True)
s.sendall(c.data_to_send())
status, seen = "none", ""
try:
    while data := s.recv(65536):
        for event in c.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                headers = {k.decode(): v.decode() for k, v in event.headers}
                status, seen = headers[":status"], headers.get("x-authority", "")
            if isinstance(event, h2.events.StreamReset):
                status = "reset"
            if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                print(status, seen)
                raise SystemExit
        s.sendall(c.data_to_send())
except (TimeoutError, ConnectionError, h2.exceptions.ProtocolError):
    pass
print(status, seen)
"""

# Requests one after the other, each on a connection of its own: those whose answer was not their own path.
ASKED = r"""
import http.client, json, sys
wrong = []
for i in range(int(sys.argv[3])):
    c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
    c.request("GET", f"/{i}")
    answer = c.getresponse()
    body = answer.read().decode()
    if (answer.status, body) != (200, f"/{i}"):
        wrong.append([i, answer.status, body[:100]])
    c.close()
print(json.dumps(wrong))
"""

# WINDOW_UPDATE frames, for the connection and for each of 50 streams that stay open, as fast as they are taken, until told to end;
# then the number of bytes.
FLOOD = r"""
import select, socket, struct, sys, time
import h2.connection
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
c = h2.connection.H2Connection()
c.initiate_connection()
for i in range(50):
    c.send_headers(1 + 2 * i, [(":method", "POST"), (":scheme", "http"), (":authority", "web"), (":path", "/a.B/C")])
s.sendall(c.data_to_send())
frames = b"".join(struct.pack(">HBBBII", 0, 4, 8, 0, stream, 1) for stream in [0] * 1000 + [1 + 2 * i for i in range(50)])
print("flooding", flush=True)
s.setblocking(False)
sent, rest = 0, b""
while not select.select([sys.stdin], [], [], 0)[0]:
    readable, writable, _ = select.select([s], [s], [], 0.1)
    try:
        if readable and not s.recv(65536):
            break
        if writable:
            rest = rest or frames
            n = s.send(rest)
            sent, rest = sent + n, rest[n:]
    except BlockingIOError:
        pass
    except OSError:
        break
print(sent, flush=True)
"""

CONNECT1 = r"""
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(0.3)
s.sendall(sys.argv[3].encode().decode("unicode_escape").encode())
try:
    while s.recv(65536):
        pass
except (TimeoutError, ConnectionError):
    pass
"""


class World:
    def __init__(self, mesh):
        self.mesh = mesh
        self.web, self.client, self.plain = (mesh.pod(name) for name in ("web", "client", "plain"))
        for pod in (self.web, self.client):
            pod.meshed = True
        self.web.ports = [RAW, GO]
        self.raw, self.go = mesh.service("web", self.web, 80, RAW), mesh.service("go", self.web, 81, GO)
        mesh.write_manifests()
        mesh.start_control()
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/bin")
        binary = os.path.join(mesh.dir, "connect")
        environment = dict(os.environ, GOTOOLCHAIN="local", CGO_ENABLED="0", GO111MODULE="off", GOFLAGS="")
        environment.setdefault("HOME", mesh.dir)
        subprocess.run([go, "build", "-o", binary, os.path.join(SUPPORT, "connect.go")], env=environment, check=True)
        self.web.popen(PYTHON, os.path.join(SUPPORT, "raw_app.py"), str(RAW), log="app.log")
        self.web.popen(binary, str(GO), log="go.log")
        for port in (RAW, GO):
            wait_port(self.web, port)
        self.start()
        # Where a client comes in: through two proxies, through the server's only.
        self.ways = lambda service, port: ((self.client, service["ip"], service["port"]), (self.plain, self.web.ip, port))

    def start(self, **env):
        for pod in (self.web, self.client):
            if getattr(pod, "proxy", None):
                self.mesh.kill(pod.proxy)
            self.mesh.start_proxy(pod, **env)
        until(lambda: self.client.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{self.raw['ip']}/") == "200", "served")

    def big(self, way, version, size):
        return run_in(way[0], BIG, way[1], way[2], version, size)


def heads_of_64_kib_pass(w):
    for way in w.ways(w.raw, RAW):
        for version in ("1", "2"):
            for size in (20 * 1024, 60 * 1024):
                assert w.big(way, version, size) == f"200 {size}", (way, version, size)
            assert w.big(way, version, 80 * 1024) == "431 0", (way, version)


def heads_of_a_mib_pass_where_they_may(w):
    w.start(**{f"INBOUND_{LIMIT}": "1048576", f"OUTBOUND_{LIMIT}": "1048576"})
    try:
        for way in w.ways(w.raw, RAW):
            for version in ("1", "2"):
                for size in (60 * 1024, 900 * 1024):
                    assert w.big(way, version, size) == f"200 {size}", (way, version, size)
                assert w.big(way, version, 1100 * 1024) == "431 0", (way, version)
    finally:
        w.start()


def a_host_with_the_schemes_port_is_the_host(w):
    """:authority and host beside each other, over HTTP/2."""
    for way in w.ways(w.raw, RAW):
        for authority, host, expected in (("greeter:80", "greeter", "200"), ("greeter", "GREETER:80", "200"), ("greeter.", "greeter", "200"),
                                          ("greeter", "", "reset"), ("greeter:80", "greeter:81", "reset"), ("greeter:80", "admin", "reset")):
            fields = [[":method", "POST"], [":scheme", "http"], [":authority", authority], [":path", "/a.B/C"], ["host", host]]
            said = run_in(way[0], ASK, way[1], way[2], json.dumps(fields), "")
            assert said == (f"200 {authority}" if expected == "200" else "reset"), (way, authority, host, said)


def what_a_connect_leaves_behind_answers_nobody(w):
    """CONNECT in every form, toward a server that says 200 and goes on writing: other requests of the same clients get their own answers."""
    carried = [[":method", "CONNECT"], [":authority", "go:81"], ["l5d-orig-proto", "HTTP/1.1"], ["content-length", "4"]]
    whole = [[":method", "CONNECT"], [":scheme", "http"], [":path", "/"], [":authority", "go:81"], ["l5d-orig-proto", "HTTP/1.1"]]
    wrong = []
    for way in w.ways(w.go, GO):
        for _ in range(2):
            for fields, body in ((carried, "GET "), (carried[:3], ""), (whole, ""), (carried[:2], "GET ")):
                run_in(way[0], ASK, way[1], way[2], json.dumps(fields), body)
                wrong += json.loads(run_in(way[0], ASKED, way[1], way[2], 3))
            for head in ("CONNECT go:81 HTTP/1.1\\r\\nHost: go:81\\r\\n\\r\\n", "CONNECT go:81 HTTP/1.0\\r\\n\\r\\n",
                         "CONNECT / HTTP/1.1\\r\\nHost: go\\r\\n\\r\\n"):
                run_in(way[0], CONNECT1, way[1], way[2], head)
                wrong += json.loads(run_in(way[0], ASKED, way[1], way[2], 3))
    assert not wrong, wrong


def a_flood_of_window_updates_keeps_nobody_waiting(w):
    """From another client, through each proxy: requests go on, each in its time. (A walk over all streams for each frame made one wait 6 s.)"""
    out = {}
    for way in w.ways(w.raw, RAW):
        flood = way[0].popen(PYTHON, "-c", FLOOD, way[1], str(way[2]), pipes=True)
        try:
            assert flood.stdout.readline() == "flooding\n", flood.stderr.read()
            slow = 0
            for i in range(20):
                took = float(way[0].curl("-o", "/dev/null", "-m", "5", "-w", "%{time_total}", f"http://{way[1]}:{way[2]}/{i}"))
                slow += took > 2
            try:
                flood.stdin.write("end\n")
                flood.stdin.flush()
            except BrokenPipeError:
                pass  # it was cut before
            # Not communicate(): a flood that was cut at once has its number in what readline() has read ahead.
            out[way[0].name] = sent = int(flood.stdout.readline())
        finally:
            if flood.poll() is None:
                w.mesh.kill(flood)
        assert slow <= 1, (way, slow)
        assert sent > 10_000, (way, sent)  # it was a flood, until it was perhaps cut
    return out


CASES = [heads_of_64_kib_pass, heads_of_a_mib_pass_where_they_may, a_host_with_the_schemes_port_is_the_host,
         what_a_connect_leaves_behind_answers_nobody, a_flood_of_window_updates_keeps_nobody_waiting]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="hop") as mesh:
        w = World(mesh)

        def logs():
            for pod in (w.client, w.web):
                print("# --- " + pod.name + "\n" + "\n".join("# " + line for line in pod.log()[-1500:].splitlines()))

        for case in CASES:
            cases.check(case, w, details=logs)
    cases.end()


main()
