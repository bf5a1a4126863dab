#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What happens in the life of a proxy, under load: draining, renewal of certificates, other numbers of workers, each address family.

usage: life_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import World  # noqa: E402
from cases import PYTHON, Cases, run_in, until  # noqa: E402
from mesh import Mesh, wait_port  # noqa: E402

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


ANCHOR = ["-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]


class Authority:
    """A trust anchor of its own with one issuer under it, as an administrator makes them."""

    def __init__(self, mesh, name):
        self.folder = os.path.join(mesh.dir, name)
        os.makedirs(self.folder)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self.openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", "-subj", "/CN=root.linkerd.cluster.local", *ANCHOR)
        self.openssl("req", *curve, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=identity.linkerd.cluster.local")
        with open(os.path.join(self.folder, "issuer.ext"), "w") as f:
            f.write("basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectAltName=DNS:identity.linkerd.cluster.local\n")
        self.openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "20", "-extfile", "issuer.ext",
                     "-out", "tls.crt")

    def bridge(self, anchor, key):
        """This anchor's name and key, signed by another anchor."""
        self.openssl("req", "-new", "-key", "ca.key", "-subj", "/CN=root.linkerd.cluster.local", "-out", "ca.csr")
        with open(os.path.join(self.folder, "ca.ext"), "w") as f:
            f.write("basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n")
        self.openssl("x509", "-req", "-in", "ca.csr", "-CA", anchor, "-CAkey", key, "-set_serial", "77", "-days", "20", "-extfile", "ca.ext", "-out", "bridge.crt")
        return self.read("bridge.crt")

    def openssl(self, *argv):
        subprocess.run(["openssl", *argv], cwd=self.folder, check=True, capture_output=True)

    def read(self, name):
        with open(os.path.join(self.folder, name)) as f:
            return f.read()


def anchors_follow_each_other_under_load(_):
    """A second anchor is announced, becomes the issuer's, and the first goes: running proxies hear of it with their next leaf; pods that
    know the first only, both, and the second only talk with each other all the while, and no request fails."""
    with Mesh(sys.argv[1], lifetime="20s", skew="0s", name="anchor") as mesh:
        # Leaves are renewed far more often than they end, so that the case is short.
        w = World(mesh, IDENTITY_MIN_REFRESH="2s", IDENTITY_MAX_REFRESH="3s")
        second = Authority(mesh, "second")

        def put(name, text):
            path = os.path.join(mesh.issuer, name)
            with open(path + ".new", "w") as f:
                f.write(text)
            os.rename(path + ".new", path)

        def all_have_renewed(pods, what):
            count = {pod.name: pod.metric("control_identity_cert_refreshes_total", result="ok") for pod in pods}
            # The second of two: the first may have been under way.
            until(lambda: all(pod.metric("control_identity_cert_refreshes_total", result="ok") >= count[pod.name] + 2 for pod in pods), what, 30)

        def newcomer(name):
            pod = mesh.pod(name)
            pod.ports = [8080]
            service = mesh.service(name, pod, 80, 8080)
            pod.meshed = True
            mesh.write_manifests()
            w.start_apps(pod, ("http",))
            mesh.start_proxy(pod, **w.env)
            for other in w.meshed:  # both ways, and with mutual TLS
                until(lambda other=other: w.ok(service, pod=other), f"{other.name} reaches {name}")
                assert pod.metric("request_total", direction="inbound", client_id=other.identity, tls="true") >= 1, other.name
            until(lambda: w.ok(w.single["http"], pod=pod), f"{name} reaches the others")
            assert w.a.metric("request_total", direction="inbound", client_id=pod.identity, tls="true") >= 1
            w.meshed.append(pod)

        with open(os.path.join(mesh.issuer, "ca.crt")) as f:
            first = f.read()
        bridge = second.bridge(os.path.join(mesh.issuer, "ca.crt"), os.path.join(mesh.issuer, "ca.key"))
        os.unlink(os.path.join(mesh.issuer, "ca.key"))  # nobody issues with the first any more
        loads = [w.load(w.pair["http"], rate=50), w.load(w.pair["echo"], "bytes", rate=20, fresh=True)]
        # An anchor that no trusted one has signed is offered, and not followed.
        stranger = Authority(mesh, "stranger")
        put("ca.crt", first + second.read("ca.crt") + bridge + stranger.read("ca.crt"))
        time.sleep(1.5)  # the folder is looked at every second
        all_have_renewed(w.meshed, "all know both anchors")
        newcomer("knows-both")
        put("tls.key", second.read("tls.key"))
        put("tls.crt", second.read("tls.crt"))
        time.sleep(1.5)
        all_have_renewed(w.meshed, "all have leaves of the second")
        for pod in (w.a, w.client):
            assert pod.log().count("a trust anchor is not followed") == 1, pod.log()[-3000:]
        put("ca.crt", second.read("ca.crt"))
        time.sleep(1.5)
        newcomer("knows-second")
        out = []
        for load in loads:
            load.end()
            out.append([load.result["done"], load.result["failed"]])
            assert load.result["done"] > 100 and load.result["failed"] == 0, load.result
    return {"h1_bytes_done_failed": out}


def an_endpoint_that_cannot_prove_its_identity_gets_nothing(w):
    """A Service whose pod shows another identity than the control plane tells, or none at all: the request is an error for the client,
    and not one byte of it reaches the application in plain text."""
    seen = ("import socket,sys,time\ns=socket.socket(socket.AF_INET6);s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);s.bind(('::',8080));s.listen(50)\n"
            "while True:\n c,_=s.accept();c.settimeout(3)\n try: d=c.recv(10000)\n except OSError: d=b''\n"
            " print(d[:200],flush=True)\n"
            " if d[:4] in (b'GET ',b'PRI ',b'POST'): c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n c.close()\n")
    out = {}
    for name in ("other-identity", "no-proxy"):
        pod = w.mesh.pod(name)
        pod.ports, pod.meshed = [8080], True
        service = w.mesh.service(name, pod, 80, 8080)
        w.mesh.write_manifests()
        pod.popen(PYTHON, "-c", seen, log="seen.log")
        wait_port(pod, 8080)
        if name == "other-identity":
            pod.sa = "somebody-else"
            w.mesh.write_manifests()
            w.mesh.start_proxy(pod, **w.env)
            pod.sa = name  # what the control plane tells from now on; its proxy remains somebody else
            w.mesh.write_manifests()
        time.sleep(1)
        codes = [w.get(service, "/secret").rpartition("\n")[2] for _ in range(3)]
        out[name] = codes
        assert all(code in ("502", "503", "504") for code in codes), (name, codes)
        with open(os.path.join(pod.files, "seen.log")) as f:
            text = f.read()
        assert "GET" not in text and "secret" not in text and "PRI" not in text, (name, text)
        # The application is there, and tells what it sees.
        assert w.plain.curl(f"http://{pod.ip}:8080/open") == "ok", name
        with open(os.path.join(pod.files, "seen.log")) as f:
            assert "GET /open" in f.read(), name
    return out


CASES = [every_family_inbound_and_outbound, draining_finishes_what_is_under_way, four_workers_count_as_one, leaves_are_renewed_under_load,
         anchors_follow_each_other_under_load, an_endpoint_that_cannot_prove_its_identity_gets_nothing]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="life") as mesh:
        w = World(mesh)
        for case in CASES:
            cases.check(case, w, details=w.logs)
    cases.end()


main()
