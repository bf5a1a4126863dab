#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What happens in the life of a proxy, under load: draining, renewal of certificates, other numbers of workers, each address family.

usage: life_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import World  # noqa: E402
from cases import PYTHON, Cases, run_in, until  # noqa: E402
from mesh import Mesh  # noqa: E402

LIMIT = """
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web-http, namespace: shop}
spec: {podSelector: {matchLabels: {app: web-a}}, port: 8080, proxyProtocol: HTTP/1}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: {name: web-http, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: web-http}
  total: {requestsPerSecond: 50}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: web-http, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: web-http}
  requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: NetworkAuthentication, name: all}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: {name: all, namespace: shop}
spec: {networks: [{cidr: 0.0.0.0/0}, {cidr: "::/0"}]}
"""


def every_family_inbound_and_outbound(w):
    """HTTP and bytes to the v4 and the v6 address of a Service, and from a pod without a proxy to both of a pod."""
    echo = ("import socket,sys;s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(5);s.sendall(b'echo\\nhello');s.shutdown(1)\n"
            "r=b''\nwhile (d:=s.recv(99)): r+=d\nprint(r.decode())")
    for family in ("ip", "ip6"):
        assert w.ok(w.single["http"], family=family), family
        assert run_in(w.client, echo, w.single["bytes"][family], w.single["bytes"]["port"]) == "hello", family
        host = getattr(w.a, family)
        url = f"http://[{host}]:8080/" if family == "ip6" else f"http://{host}:8080/"
        assert w.plain.curl("-w", "%{http_code}", url).endswith("200"), url
        assert run_in(w.plain, echo, host, 6379) == "hello", host
    # Clients of IPv4 are seen as such, though the listener takes both.
    assert w.a.metric("request_total", direction="inbound", target_ip=w.a.ip, tls="no_identity") >= 1


def draining_finishes_what_is_under_way(w):
    """TERM at the server's proxy with slow requests in flight over HTTP/1 and HTTP/2, and at the client's: all are answered; connections
    end with GOAWAY or connection: close; the process ends soon after, with 0."""
    out = {}
    for name, pod in (("server", w.a), ("client", w.client)):
        slow = [w.client.popen("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", *flags, f"http://{s['ip']}:{s['port']}/slow?seconds=2",
                               pipes=True)
                for s, flags in ((w.single["http"], []), (w.single["h2"], ["--http2-prior-knowledge"])) for _ in range(4)]
        time.sleep(1)
        began = time.monotonic()
        pod.proxy.send_signal(signal.SIGTERM)
        assert pod.proxy.wait(timeout=15) == 0
        out[name + "_s"] = round(time.monotonic() - began, 2)
        codes = [each.communicate(timeout=20)[0] for each in slow]
        assert codes == ["200"] * 8, (name, codes)
        w.mesh.start_proxy(pod, **w.env)
        until(lambda: w.ok(w.single["http"]), "served again")
    # What a client of a draining proxy is told.
    keep = ("import socket,sys,time\ns=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(10)\n"
            "s.sendall(b'GET /slow?seconds=1.5 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')\nr=b''\nwhile (d:=s.recv(1000)): r+=d\nprint(r.lower().decode())")
    client = w.client.popen(PYTHON, "-c", keep, w.single["http"]["ip"], str(w.single["http"]["port"]), pipes=True)
    time.sleep(0.7)
    w.client.proxy.send_signal(signal.SIGTERM)
    said, err = client.communicate(timeout=20)
    assert "200 ok" in said and "connection: close" in said, (said, err)
    assert w.client.proxy.wait(timeout=10) == 0
    w.mesh.start_proxy(w.client, SHUTDOWN_ENDPOINT_ENABLED="true", **w.env)
    assert w.client.curl("-X", "POST", "http://127.0.0.1:4191/shutdown").strip() == "shutdown"
    assert w.client.proxy.wait(timeout=10) == 0
    w.mesh.start_proxy(w.client, **w.env)
    return out


def four_workers_count_as_one(w):
    """A limit of 50 requests a second admits as many, and the counters tell as many, with one worker and with four."""
    out = {}
    w.mesh.replace("limit.yaml", LIMIT)
    try:
        for cores in ("1", "4"):
            for pod in (w.a, w.client):
                w.mesh.kill(pod.proxy)
                w.mesh.start_proxy(pod, **{**w.env, "CORES": cores, "CORES_MAX": cores})
            until(lambda: w.ok(w.single["http"]), "served")
            time.sleep(1.5)
            names = ("request_total", "response_total", "inbound_http_authz_allow_total", "inbound_http_local_ratelimit_total")
            before = {n: w.a.metric(n, target_port="8080") for n in names}
            load = w.load(w.single["http"], rate=200, connections=16, seconds=5, fresh=True)
            load.end()
            told = {n: w.a.metric(n, target_port="8080") - before[n] for n in names}
            admitted = load.result["done"] - load.result["failed"]
            assert all("429" in f[1] for f in load.result["failures"]), load.result["failures"][:5]
            out[cores] = {"done": load.result["done"], "admitted": admitted, "limited": told["inbound_http_local_ratelimit_total"]}
            assert 0.75 * 250 <= admitted <= 50 * (load.result["seconds"] + 1) + 5, (cores, out, told)
            assert told["inbound_http_local_ratelimit_total"] == load.result["failed"], (told, load.result["failed"])
            assert told["request_total"] == admitted, (told, admitted)
    finally:
        os.unlink(os.path.join(w.mesh.manifests, "limit.yaml"))
        for pod in (w.a, w.client):
            w.mesh.kill(pod.proxy)
            w.mesh.start_proxy(pod, **w.env)
        until(lambda: w.ok(w.single["http"]), "served")
    return out


def leaves_are_renewed_under_load(_):
    """Leaves that live 15 s, over kept and over fresh connections, HTTP and bytes: no failed request, and both sides renew."""
    with Mesh(sys.argv[1], lifetime="15s", skew="0s", name="renew") as mesh:
        w = World(mesh)
        loads = [w.load(w.pair["http"], rate=60), w.load(w.pair["h2"], "h2", rate=40), w.load(w.pair["echo"], "bytes", rate=30, fresh=True)]
        until(lambda: all(pod.metric("control_identity_cert_refreshes_total", result="ok") >= 3 for pod in (w.client, w.a)), "both have renewed twice", 45)
        out = []
        for load in loads:
            load.end()
            out.append([load.result["done"], load.result["failed"]])
            assert load.result["done"] > 200 and load.result["failed"] == 0, load.result
    return {"h1_h2_bytes_done_failed": out}


CASES = [every_family_inbound_and_outbound, draining_finishes_what_is_under_way, four_workers_count_as_one, leaves_are_renewed_under_load]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="life") as mesh:
        w = World(mesh)
        for case in CASES:
            cases.check(case, w, details=w.logs)
    cases.end()


main()
