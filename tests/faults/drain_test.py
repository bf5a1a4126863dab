#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TERM in every state that a connection can be in, both directions: the proxy ends with 0 within its grace, whatever is open.

usage: drain_test.py BIN_DIR [CASE...]      (root; prints TAP). TULLE_SOAK=1: also each state alone."""
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import World  # noqa: E402
from cases import PYTHON, Cases, until  # noqa: E402
from mesh import Mesh  # noqa: E402

GRACE = 2
PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0\0\0\4\0\0\0\0\0"


def h2_get(path):
    """PREFACE and a request on stream 1: GET http://a PATH."""
    block = "\x82\x86\x41\1a\x44" + chr(len(path)) + path
    return PREFACE + "\0\0" + chr(len(block)) + "\1\5\0\0\0\1" + block


# Opens every connection that standard input names, and holds it in the state that it is in then.
HOLD = """
import json,socket,ssl,sys,time
held=[]
for name,host,port,text,what in json.load(sys.stdin):
    s=socket.socket(socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET,socket.SO_RCVBUF,4096)
    s.settimeout(5)
    s.connect((host,port))
    if what=='hello':
        context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname,context.verify_mode=False,ssl.CERT_NONE
        out=ssl.MemoryBIO()
        tls=context.wrap_bio(ssl.MemoryBIO(),out,server_hostname=text)
        try: tls.do_handshake()
        except ssl.SSLWantReadError: pass
        s.sendall(out.read())
    elif text:
        s.sendall(text.encode('latin1'))
    if what=='more':
        s.setblocking(False)
        end=time.monotonic()+1
        while time.monotonic()<end:
            try: s.send(b'x'*65536)
            except BlockingIOError: time.sleep(0.01)
    if what=='answer':
        got=s.recv(2000)
        assert got, name
        if text.startswith('GET /tunnel'):
            assert b' 101 ' in got, got
            s.sendall(b'ping')
            assert b'ping' in s.recv(100), name
    held.append(s)
print('held',flush=True)
time.sleep(600)
"""


def request(line, more=""):
    return f"{line} HTTP/1.1\r\nHost: a\r\n{more}\r\n"


def states(w, address):
    """(name, host, port, what is said first, what is waited for). `address(kind)`: where the application of that kind is reached."""
    upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n"
    http, h2, bytes_, banner = (address(kind) for kind in ("http", "h2", "bytes", "banner"))
    return [
        ["silent", *http, "", ""],
        ["silent toward bytes", *bytes_, "", ""],
        ["part of a request line", *http, "GET / HT", ""],
        ["part of a head", *http, "GET / HTTP/1.1\r\nHost: a\r\nX-A: b", ""],
        ["part of a preface", *h2, PREFACE[:20], ""],
        ["part of a ClientHello", *http, "\x16\3\1\2\0\1\0", ""],
        ["shaking hands", *http, w.a.identity, "hello"],
        ["kept alive", *http, request("GET /"), "answer"],
        ["waiting for an answer", *http, request("GET /slow?seconds=30"), ""],
        ["uploading", *http, request("POST /read?rate=10000", "Content-Length: 1000000000\r\n"), "more"],
        ["uploading in part", *http, request("POST /read?rate=10000", "Content-Length: 1000000\r\n") + "begun", ""],
        ["reading slowly", *http, request("GET /flood?bytes=1000000000"), "answer"],
        ["tunnelling", *http, request("GET /tunnel", upgrade), "answer"],
        ["HTTP/2 at rest", *h2, PREFACE, "answer"],
        ["HTTP/2 reading slowly", *h2, h2_get("/flood?bytes=1000000000"), "answer"],
        ["HTTP/2 under way", *h2, h2_get("/slow?seconds=30"), ""],
        ["bytes", *bytes_, "echo\nhello", "answer"],
        ["bytes that nobody reads", *bytes_, "flood 1000000000\n", "answer"],
        ["bytes that the application does not read", *bytes_, "read 1000\n", "more"],
        ["server speaks first", *banner, "", "answer"],
    ]


def hold(pod, wanted):
    process = pod.popen(PYTHON, "-c", HOLD, pipes=True)
    process.stdin.write(json.dumps(wanted))
    process.stdin.close()
    said = process.stdout.readline()
    assert said.strip() == "held", process.stderr.read()[-2000:]
    return process


def term(w, pod, wanted, pause=0.3):
    """TERM at `pod` with these states open: [(pod that opens them, states)]."""
    holders = [hold(where, some) for where, some in wanted]
    try:
        time.sleep(pause)
        began = time.monotonic()
        pod.proxy.send_signal(signal.SIGTERM)
        code = pod.proxy.wait(timeout=GRACE + 60)
        took = time.monotonic() - began
    finally:
        for holder in holders:
            w.mesh.kill(holder)
    assert code == 0, f"exit {code}\n{pod.log()[-3000:]}"
    w.mesh.start_proxy(pod, **w.env)
    return round(took, 1)


def all_states(w, pod, wanted):
    out = {"s": term(w, pod, wanted)}
    if os.environ.get("TULLE_SOAK"):
        for where, some in wanted:
            for state in some:
                try:
                    term(w, pod, [(where, [state])])
                except AssertionError as error:
                    raise AssertionError(state[0]) from error
    return out


def the_servers_proxy_in_every_state(w):
    """From a pod without a proxy, and over mesh TLS."""
    until(lambda: w.ok(w.single["http"]), "served")
    ports = {"http": 8080, "h2": 8082, "bytes": 6379, "banner": 13306}
    plain = states(w, lambda kind: (w.a.ip, ports[kind]))
    meshed = states(w, lambda kind: (w.single[kind]["ip"], w.single[kind]["port"]))
    return all_states(w, w.a, [(w.plain, plain), (w.client, meshed)])


def the_clients_proxy_in_every_state(w):
    until(lambda: w.ok(w.single["http"]), "served")
    service = lambda kind: (w.single[kind]["ip"], w.single[kind]["port"])  # noqa: E731
    to_nowhere = [["dialling", "10.244.0.250", 8080, request("GET /"), ""], ["dialling for bytes", "10.244.0.251", 6379, "hello\n", ""]]
    return all_states(w, w.client, [(w.client, states(w, service) + to_nowhere)])


REQUESTS_ONLY = """
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web-http, namespace: shop}
spec: {podSelector: {matchLabels: {app: web-a}}, port: 8080, accessPolicy: all-unauthenticated}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: {name: web-http, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: web-http}
  total: {requestsPerSecond: 5000}
"""


def who_is_silent_holds_nobody_up(w):
    """A grace of a minute, and connections that have said nothing, or nothing whole: wherever they wait, also on a port where bytes are
    refused and requests are waited for long, they end with the drain."""
    w.mesh.replace("requests-only.yaml", REQUESTS_ONLY)
    try:
        until(lambda: w.ok(w.single["http"]) and 'srv_name="web-http"' in w.a.metrics(), "the rules are there")
        begun = lambda kind, *where: [[f"silent toward {kind}", *where, "", ""], [f"begun toward {kind}", *where, "GET / HT", ""]]  # noqa: E731
        plain = begun("http", w.a.ip, 8080)
        to_http, to_echo = (begun(kind, w.single[kind]["ip"], w.single[kind]["port"]) for kind in ("http", "echo"))
        more = begun("echo", w.a.ip, 7000) + [["part of a ClientHello", w.a.ip, 8080, "\x16\3\1\2\0\1\0", ""]]
        out = {}
        # Shortly after they came, and once all of detection is over (who was silent toward it has become bytes by then).
        for pod, pause, wanted in ((w.a, 0.3, [(w.plain, plain + more), (w.client, to_http + to_echo)]),
                                   (w.a, 11, [(w.plain, plain), (w.client, to_http)]),
                                   (w.client, 0.3, [(w.client, to_http + to_echo)])):
            w.mesh.kill(pod.proxy)
            w.mesh.start_proxy(pod, SHUTDOWN_GRACE_PERIOD="60s")
            until(lambda: w.ok(w.single["http"]), "served")
            out[f"{pod.name} {pause}"] = took = term(w, pod, wanted, pause)
            assert took < 8, out
        return out
    finally:
        os.unlink(os.path.join(w.mesh.manifests, "requests-only.yaml"))


def while_policy_is_not_known(w):
    """The control plane does not answer: what was never asked for waits, on both sides, as do handshakes of renewals."""
    os.kill(w.mesh.control_process.pid, signal.SIGSTOP)
    try:
        unknown = [["waiting for policy", w.pair["http"]["ip"], w.pair["http"]["port"], request("GET /"), ""],
                   ["silent, waiting for policy", w.pair["bytes"]["ip"], w.pair["bytes"]["port"], "", ""]]
        inbound = [["waiting for policy", w.a.ip, 8083, request("GET /"), ""], ["silent, waiting for policy", w.a.ip, 8084, "", ""]]
        holders = [hold(w.client, unknown), hold(w.plain, inbound)]
        time.sleep(0.3)
        for pod in (w.client, w.a):
            pod.proxy.send_signal(signal.SIGTERM)
        codes = [pod.proxy.wait(timeout=GRACE + 25) for pod in (w.client, w.a)]
    finally:
        os.kill(w.mesh.control_process.pid, signal.SIGCONT)
    for holder in holders:
        w.mesh.kill(holder)
    assert codes == [0, 0], codes
    for pod in (w.client, w.a):
        w.mesh.start_proxy(pod, **w.env)


def before_it_is_ready(w):
    """TERM right after the start, before there is a certificate."""
    w.mesh.kill(w.client.proxy)
    for pause in (0.0, 0.02, 0.1, 0.3):
        begun = w.client.log().count("Policies come from")
        w.mesh.start_proxy(w.client, wait=False, **w.env)
        until(lambda: w.client.log().count("Policies come from") > begun, "it has begun")
        time.sleep(pause)
        w.client.proxy.send_signal(signal.SIGTERM)
        assert w.client.proxy.wait(timeout=GRACE + 25) == 0, w.client.log()[-3000:]
    w.mesh.start_proxy(w.client, **w.env)


CASES = [the_servers_proxy_in_every_state, the_clients_proxy_in_every_state, who_is_silent_holds_nobody_up, while_policy_is_not_known, before_it_is_ready]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="drain") as mesh:
        w = World(mesh, SHUTDOWN_GRACE_PERIOD=f"{GRACE}s", OUTBOUND_CONNECT_TIMEOUT="30s")
        for case in CASES:
            cases.check(case, w, details=w.logs)
    cases.end()


if __name__ == "__main__":
    main()
