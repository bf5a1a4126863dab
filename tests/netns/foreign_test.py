#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Our proxies beside proxies of others (tests/support/foreign.py), in both directions: what only works between two of ours fails here.

usage: foreign_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SUPPORT = os.path.join(os.path.dirname(HERE), "support")
sys.path[:0] = [HERE, SUPPORT]
from cases import Cases, PYTHON, run_in  # noqa: E402
from mesh import Mesh, run, wait_port  # noqa: E402

# A client that says each byte itself: `[seconds to wait before]bytes` pieces, then everything that comes until the end or 3 s of silence.
CLIENT = r"""
import json, socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
time.sleep(float(sys.argv[3]))
got = b""
s.settimeout(3)
def until(mark):
    global got
    while mark not in got:
        data = s.recv(65536)
        if not data:
            raise SystemExit("ended before " + repr(mark) + ": " + repr(got))
        got += data
for piece in sys.argv[4:]:
    if piece.startswith("wait:"):
        until(piece[5:].encode("latin-1").decode("unicode_escape").encode("latin-1"))
    else:
        s.sendall(piece.encode("latin-1").decode("unicode_escape").encode("latin-1"))
s.shutdown(socket.SHUT_WR)
try:
    while data := s.recv(65536):
        got += data
except TimeoutError:
    got += b"<silence>"
print(json.dumps(got.decode("latin-1")))
"""


class World:
    """`web` and `client` have our proxies, `fweb` and `fclient` those of others; each `web` runs the same application."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.web, self.client, self.fweb, self.fclient = (mesh.pod(name) for name in ("web", "client", "fweb", "fclient"))
        for pod in mesh.pods[1:]:
            pod.meshed = True
        self.web.ports = self.fweb.ports = [8080, 6379]
        self.service = {"web": mesh.service("web", self.web, 80, 8080), "fweb": mesh.service("fweb", self.fweb, 80, 8080)}
        mesh.service("fcache", self.fweb, 6379)
        mesh.write_manifests()
        mesh.start_control()
        self.web.popen(PYTHON, os.path.join(SUPPORT, "raw_app.py"), "8080", log="app.log")
        self.fweb.popen(PYTHON, os.path.join(SUPPORT, "raw_app.py"), "9000", log="app.log")
        self.foreign(self.fweb, "inbound", "--port", "8080", "--app", "9000", "--direct", "4143")
        self.foreign(self.fclient, "outbound", "--port", "7000", "--to", f"{self.web.ip}:8080", "--name", self.web.identity,
                     "--default", "web.shop.svc.cluster.local:80")
        self.foreign(self.fclient, "outbound", "--port", "7001", "--to", f"{self.web.ip}:8080", "--name", self.web.identity,
                     "--default", "web.shop.svc.cluster.local:80", "--direct", "4143")
        for pod in (self.web, self.client):
            mesh.start_proxy(pod)
        for pod, port in ((self.web, 8080), (self.fweb, 9000), (self.fweb, 8080), (self.fclient, 7000), (self.fclient, 7001)):
            wait_port(pod, port)
        # The three ways: (name, pod of the client, where it connects, is the client's proxy ours?)
        self.ways = [("ours to theirs", self.client, self.service["fweb"]["ip"], 80, True),
                     ("theirs to ours", self.fclient, "127.0.0.1", 7000, False),
                     ("theirs to ours by transport header", self.fclient, "127.0.0.1", 7001, False)]

    def foreign(self, pod, side, *args):
        """A proxy of the others, with a leaf of the mesh's issuer."""
        at = lambda name: os.path.join(pod.files, name)  # noqa: E731
        if not os.path.exists(at("leaf.crt")):
            run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at("leaf.key"))
            run("openssl", "req", "-new", "-key", at("leaf.key"), "-subj", f"/CN={pod.identity[:64]}", "-out", at("leaf.csr"))
            with open(at("leaf.ext"), "w") as f:
                f.write(f"subjectAltName=DNS:{pod.identity}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n")
            issuer = self.mesh.issuer
            run("openssl", "x509", "-req", "-in", at("leaf.csr"), "-CA", f"{issuer}/{self.issuer_file('.crt')}", "-CAkey",
                f"{issuer}/{self.issuer_file('.key')}", "-CAcreateserial", "-CAserial", at("serial"), "-days", "1", "-extfile", at("leaf.ext"),
                "-out", at("only.crt"))
            with open(at("leaf.crt"), "w") as out:
                for name in (at("only.crt"), f"{issuer}/{self.issuer_file('.crt')}"):
                    with open(name) as f:
                        out.write(f.read())
        pod.popen(PYTHON, os.path.join(SUPPORT, "foreign.py"), side, *args, "--cert", at("leaf.crt"), "--key", at("leaf.key"), "--ca",
                  f"{self.mesh.issuer}/ca.crt", log="foreign.log")

    def issuer_file(self, end):
        return next(name for name in ("tls.crt", "tls.key", "crt.pem", "key.pem")
                    if os.path.exists(os.path.join(self.mesh.issuer, name)) and name.startswith(("tls", end[1:])) and
                    (name.endswith(end) or name == f"{end[1:]}.pem"))

    def say(self, way, *pieces, wait=0.0):
        _, pod, host, port, _ = way
        return json.loads(run_in(pod, CLIENT, host, port, wait, *pieces))

    def asked(self, way, *pieces, wait=0.0):
        """What the application saw of a request: its line, fields, body, trailers."""
        return told(self.say(way, *pieces, wait=wait))


def told(text):
    head, _, body = text.partition("\r\n\r\n")
    while head.split(" ")[1].startswith("1"):
        head, _, body = body.partition("\r\n\r\n")
    assert head.split(" ")[1] == "200", text
    if "chunked" in head.lower():
        body = body.split("\r\n", 1)[1]
    return json.JSONDecoder().raw_decode(body)[0]


def values(seen, name):
    return [value for key, value in seen["fields"] if key.lower() == name]


def host_stands_beside_authority(w):
    for way in w.ways:
        seen = w.asked(way, "GET /a?b=c HTTP/1.1\\r\\nHost: web.example:8080\\r\\nX-FOO: 1\\r\\nConnection: close\\r\\n\\r\\n")
        assert seen["line"] == "GET /a?b=c HTTP/1.1", (way, seen)
        assert values(seen, "host") == ["web.example:8080"] and values(seen, "x-foo") == ["1"], (way, seen)
        assert not values(seen, "l5d-orig-proto"), (way, seen)
        assert values(seen, "l5d-client-id") == [way[1].identity], (way, seen)
        assert not way[4] or values(seen, "x-foreign-carried") == ["h2"], (way, seen)


def requests_without_host_are_served(w):
    for way in w.ways:
        for head in ("GET /health HTTP/1.0\\r\\n\\r\\n", "GET /health HTTP/1.0\\r\\nUser-Agent: check\\r\\n\\r\\n"):
            seen = w.asked(way, head)
            assert seen["line"] == "GET /health HTTP/1.0", (way, seen)
            assert not way[4] or not values(seen, "host"), (way, seen)


def an_empty_host_passes(w):
    for way in w.ways:
        assert w.asked(way, "GET / HTTP/1.0\\r\\nHost:\\r\\n\\r\\n")["line"] == "GET / HTTP/1.0", way


def expect_is_answered(w):
    """Toward proxies that keep interim answers to themselves the client's own says 100, once, also to applications that say it."""
    for way in w.ways:
        for path in ("/continue", "/silent"):
            text = w.say(way, f"POST {path} HTTP/1.1\\r\\nHost: web\\r\\nContent-Length: 5\\r\\nExpect: 100-continue\\r\\nConnection: close\\r\\n\\r\\n",
                         "wait:HTTP/1.1 100", "hello")
            assert text.count("HTTP/1.1 100") == 1, (way, text)
            assert told(text)["body"] == "hello", (way, text)


def trailers_pass(w):
    for way in w.ways:
        text = w.say(way, "POST /trailers HTTP/1.1\\r\\nHost: web\\r\\nTE: trailers\\r\\nTransfer-Encoding: chunked\\r\\nTrailer: X-Sent\\r\\n"
                     "Connection: close\\r\\n\\r\\n5\\r\\nhello\\r\\n0\\r\\nX-Sent: 7\\r\\n\\r\\n")
        assert "x-sum: 42" in text.lower().rsplit("\r\n0\r\n", 1)[1], (way, text)
        seen = told(text)
        assert seen["body"] == "hello" and [[k.lower(), v] for k, v in seen["trailers"]] == [["x-sent", "7"]], (way, seen)


def head_and_early_hints_pass(w):
    for way in w.ways:
        text = w.say(way, "HEAD / HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n")
        assert text.split(" ")[1] == "200" and "content-length: " in text.lower() and text.endswith("\r\n\r\n"), (way, text)
        assert w.asked(way, "GET /hints HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n")["line"] == "GET /hints HTTP/1.1", way


def upgrades_pass(w):
    for way in w.ways:
        text = w.say(way, "GET /upgrade HTTP/1.1\\r\\nHost: web\\r\\nConnection: upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n", "wait:\\r\\n\\r\\n",
                     "to and fro", "wait:to and fro")
        assert text.startswith("HTTP/1.1 101") and text.endswith("to and fro"), (way, text)


GRPC = """
import h2.connection, h2.events, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
c = h2.connection.H2Connection()
c.initiate_connection()
c.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":authority", "greeter:80"), (":path", "/a.B/C"),
                   ("content-type", "application/grpc"), ("te", "trailers")])
for _ in range(6):
    c.send_data(1, b"m" * 10000)
c.send_data(1, b"", end_stream=True)
s.sendall(c.data_to_send())
size, status, seen = 0, "", ""
while True:
    for event in c.receive_data(s.recv(65536)):
        if isinstance(event, h2.events.ResponseReceived):
            seen = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            size += len(event.data)
            c.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, h2.events.TrailersReceived):
            status = dict(event.headers)[b"grpc-status"]
        elif isinstance(event, h2.events.StreamReset):
            raise SystemExit(f"reset {event.error_code}")
        elif isinstance(event, h2.events.StreamEnded):
            print(size, status.decode(), seen[b"x-authority"].decode())
            raise SystemExit(0)
    s.sendall(c.data_to_send())
"""


def calls_pass(w):
    for way in w.ways:
        assert run_in(way[1], GRPC, way[2], way[3]) == "60000 0 greeter:80", way


def bodies_pass(w):
    size = 300_000
    for way in w.ways:
        text = w.say(way, f"POST / HTTP/1.1\\r\\nHost: web\\r\\nContent-Length: {size}\\r\\nConnection: close\\r\\n\\r\\n", *["y" * 100_000] * 3)
        assert len(told(text)["body"]) == size, way


def kept_connections_go_on(w):
    for way in w.ways:
        text = w.say(way, "GET /1 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", "wait:/1 HTTP", "GET /2 HTTP/1.1\\r\\nHost: b\\r\\n\\r\\n", "wait:/2 HTTP")
        assert text.count(" 200 ") == 2, (way, text)


def the_target_names_the_host(w):
    """An absolute target beside another Host; and a proxy of others carries both as they came, host and authority."""
    for way in w.ways:
        seen = w.asked(way, "GET http://web.example/a HTTP/1.1\\r\\nHost: other.example\\r\\nConnection: close\\r\\n\\r\\n")
        assert seen["line"] == "GET http://web.example/a HTTP/1.1", (way, seen)
        assert values(seen, "host") == ["web.example"], (way, seen)


def two_names_of_one_host_pass(w):
    for way in w.ways:
        for target, host in (("http://web.example", "WEB.example."), ("http://web.example:80", "web.example"), ("http://web.example", "web.example:80")):
            seen = w.asked(way, f"GET {target}/a HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n")
            assert values(seen, "host") == [host], (way, target, host, seen)


def who_is_silent_first_is_served(w):
    """Silence is no word, nor are a peer's session tickets and SETTINGS: several times, as the first may have taught something."""
    for way in w.ways:
        for pause in (0.05, 0.0, 0.05, 0.005, 0.2):
            seen = w.asked(way, "GET /late HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n", wait=pause)
            assert seen["line"] == "GET /late HTTP/1.1" and values(seen, "l5d-client-id") == [way[1].identity], (way, pause, seen)


def bytes_pass(w):
    """What is no HTTP passes as it is, at once and after a pause, both ways."""
    everything = bytes(range(256)).decode("latin-1").encode("unicode_escape").decode()
    for way in w.ways:
        for pause in (0.0, 0.05):
            text = w.say(way, "echo\\n", everything, "to and fro", "wait:to and fro", wait=pause)
            assert text == bytes(range(256)).decode("latin-1") + "to and fro", (way, pause, text)


def our_pair_keeps_heads(w):
    """Two of ours know each other before the first request: names, order and places come out as they went in."""
    way = ("ours to ours", w.client, w.service["web"]["ip"], 80, True)
    seen = w.asked(way, "GET / HTTP/1.1\\r\\nX-FOO: 1\\r\\nhOsT: web\\r\\nx-bar: 2\\r\\nConnection: close\\r\\n\\r\\n")
    assert seen["fields"][:3] == [["X-FOO", "1"], ["hOsT", "web"], ["x-bar", "2"]], seen
    text = w.say(way, "GET / HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n")
    assert "\r\nX-MiXed: 1\r\n" in text, text


CASES = [host_stands_beside_authority, requests_without_host_are_served, an_empty_host_passes, expect_is_answered, trailers_pass,
         head_and_early_hints_pass, upgrades_pass, calls_pass, bodies_pass, kept_connections_go_on, the_target_names_the_host, two_names_of_one_host_pass,
         who_is_silent_first_is_served, bytes_pass, our_pair_keeps_heads]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="f") as mesh:
        w = World(mesh)

        def logs():
            for pod in (w.client, w.web):
                print("# --- " + pod.name + "\n" + "\n".join("# " + line for line in pod.log()[-1500:].splitlines()))
            for pod in (w.fweb, w.fclient):
                with open(os.path.join(pod.files, "foreign.log"), errors="replace") as f:
                    print("# --- " + pod.name + "\n" + "\n".join("# " + line for line in f.read()[-1500:].splitlines()))

        for case in CASES:
            cases.check(case, w, details=logs)
    cases.end()


main()
