#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Protocols found without configuration: how often a server is dialled for nothing, what that costs a server that speaks first.

usage: detect_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import PORTS, World  # noqa: E402
from cases import Cases, run_in  # noqa: E402
from mesh import Mesh  # noqa: E402

DENY = """
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: banner, namespace: shop}
spec: {podSelector: {matchLabels: {app: web-a}}, port: 13306}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: banner}
  requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: nobody}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: {name: nobody, namespace: shop}
spec: {identities: ["nobody.shop.serviceaccount.identity.linkerd.cluster.local"]}
"""

MANY = """
import socket,sys,threading,time
host,port,n=sys.argv[1],int(sys.argv[2]),int(sys.argv[3])
bad=[];lock=threading.Lock();left=[n]
def go():
    while True:
        with lock:
            if not left[0]: return
            left[0]-=1;i=left[0]
        try:
            s=socket.create_connection((host,port),10);s.settimeout(10)
            if i%25==0: time.sleep(0.05)
            s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n')
            if b' 200 ' not in s.recv(1000): bad.append(i)
            s.close()
        except OSError as e: bad.append(str(e))
ts=[threading.Thread(target=go) for _ in range(16)]
[t.start() for t in ts];[t.join() for t in ts]
print(len(bad),bad[:3])
"""


def early(pod):
    return int(pod.metric("tulle_early_dials_total"))


def ten_thousand_connections_cause_one_dial(w):
    """Every 25th client pauses 50 ms before it speaks, among the first of them several at once."""
    began = time.monotonic()
    out = run_in(w.client, MANY.replace("i%25==0", "i%25==0 or i>n-17"), w.single["http"]["ip"], w.single["http"]["port"], 10000, timeout=240)
    took = time.monotonic() - began
    assert out.startswith("0 "), out
    dials = {pod.name: early(pod) for pod in (w.client, w.a)}
    assert all(d <= 1 for d in dials.values()), dials
    return {"early_dials": dials, "seconds": round(took, 1)}


FIRST = ("import socket,sys,time\nts=[]\nfor i in range(int(sys.argv[3])):\n t=time.monotonic();s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5)\n"
         " s.settimeout(15)\n assert s.recv(100).startswith(b'5.5.5');ts.append((time.monotonic()-t)*1000);s.close()\n"
         "ts.sort();print(ts[len(ts)//2])")


def a_server_that_speaks_first_costs_nothing(w):
    """Also after HTTP came to its port; the median of connect and banner against that of a pod without a proxy."""
    run_in(w.client, FIRST, w.single["banner"]["ip"], w.single["banner"]["port"], 2)
    rounds = []
    for _ in range(3):  # the calmest round counts: the machine may be busy
        direct = float(run_in(w.a, FIRST, "127.0.0.1", PORTS["banner"], 30))
        meshed = float(run_in(w.client, FIRST, w.single["banner"]["ip"], w.single["banner"]["port"], 30))
        rounds.append(meshed - direct)
    assert min(rounds) < 5, rounds
    w.client.curl("--max-time", "2", f"http://{w.single['banner']['ip']}:{w.single['banner']['port']}/")
    after = float(run_in(w.client, FIRST, w.single["banner"]["ip"], w.single["banner"]["port"], 5))
    assert after < 200, after
    return {"added_ms": round(min(rounds), 2), "ms_after_http_came": round(after, 2)}


def the_unauthorized_never_hear_the_application(w):
    """A server that speaks first stands behind a policy that admits nobody: not one byte of it comes out, and it is not even dialled."""
    w.mesh.replace("deny.yaml", DENY)
    time.sleep(1)
    before = early(w.a)
    hear = ("import socket,sys\ngot=b''\nfor i in range(5):\n try:\n  s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(1.5)\n"
            "  got+=s.recv(1000)\n except (TimeoutError,ConnectionResetError): pass\nprint(len(got))")
    try:
        for pod, host, port in ((w.client, w.single["banner"]["ip"], w.single["banner"]["port"]), (w.plain, w.a.ip, PORTS["banner"])):
            assert run_in(pod, hear, host, port) == "0", pod.name
        assert early(w.a) == before, "the application was dialled for a client that may not come in"
    finally:
        os.unlink(os.path.join(w.mesh.manifests, "deny.yaml"))


CASES = [ten_thousand_connections_cause_one_dial, a_server_that_speaks_first_costs_nothing, the_unauthorized_never_hear_the_application]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="detect") as mesh:
        w = World(mesh)
        for case in CASES:
            cases.check(case, w, details=w.logs)
    cases.end()


main()
