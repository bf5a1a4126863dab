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
from cases import PYTHON, Cases, run_in  # noqa: E402
from mesh import Mesh, wait_port  # noqa: E402

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


SPEAKS = """
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web-a}}, port: 8080, proxyProtocol: %s, accessPolicy: all-unauthenticated}
"""

PAUSING = """
import socket,sys,threading,time
host,port=sys.argv[1],int(sys.argv[2]);pauses=[float(p) for p in sys.argv[3:]]
bad=[];lock=threading.Lock()
def go(pause):
    try:
        s=socket.create_connection((host,port),10);s.settimeout(10)
        time.sleep(pause)
        s.sendall(b'POST /a.B/C HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n')
        got=s.recv(1000)
        if b' 200 ' not in got: bad.append((pause,got[:60]))
    except OSError as e: bad.append((pause,str(e)))
ts=[threading.Thread(target=go,args=(p,)) for p in pauses]
[t.start() for t in ts];[t.join() for t in ts]
print(len(bad),bad[:3])
"""
PAUSES = (0, 0.001, 0.002, 0.004, 0.01, 0.02, 0.05, 0.05, 0.1, 0.2, 0.2) * 2


def who_pauses_is_served_whatever_the_server_says(w):
    """The first requests of a target, pauses of 0 to 200 ms before the first byte, each proxyProtocol in turn."""
    try:
        for protocol in ("HTTP/1", "HTTP/2", "gRPC", "unknown"):
            w.mesh.replace("speaks.yaml", SPEAKS % protocol)
            time.sleep(1)
            out = run_in(w.client, PAUSING, w.single["http"]["ip"], w.single["http"]["port"], *PAUSES)
            assert out.startswith("0 "), (protocol, out)
            out = run_in(w.client, PAUSING, w.a.ip, PORTS["http"], *PAUSES)
            assert out.startswith("0 "), (protocol, "the pod's address", out)
    finally:
        os.unlink(os.path.join(w.mesh.manifests, "speaks.yaml"))


H2_LATE = """
import socket,sys,time
import h2.connection,h2.config,h2.events
for i in range(int(sys.argv[3])):
    s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(10)
    time.sleep(0.05)
    c=h2.connection.H2Connection(h2.config.H2Configuration(client_side=True));c.initiate_connection()
    c.send_headers(1,[(':method','GET'),(':path','/'),(':scheme','http'),(':authority','a'),('l5d-client-id','forged')],end_stream=True)
    s.sendall(c.data_to_send());status=None
    while status is None:
        data=s.recv(65536)
        assert data,'ended'
        for e in c.receive_data(data):
            if isinstance(e,h2.events.ResponseReceived): status=dict(e.headers)[b':status']
    assert status==b'200',status
    s.close()
print('ok')
"""


def an_http2_server_is_none_that_speaks_first(w):
    """It greets with SETTINGS while its client waits 50 ms: meshed or not, its requests are requests."""
    for pod, host, port in ((w.client, w.single["h2"]["ip"], w.single["h2"]["port"]), (w.plain, w.a.ip, PORTS["h2"])):
        before = w.a.metric("inbound_http_authz_allow_total", target_port=str(PORTS["h2"]))
        assert run_in(pod, H2_LATE, host, port, 5) == "ok", pod.name
        assert w.a.metric("inbound_http_authz_allow_total", target_port=str(PORTS["h2"])) == before + 5, pod.name
    assert w.a.metric("inbound_tcp_authz_allow_total", target_port=str(PORTS["h2"])) == 0


HALF = """
import socket,sys,time
t=time.monotonic()
for text in (b'hello',b'a',b'ruok'):
    s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(15)
    s.sendall(text)
    got=b''
    while len(got)<len(text): got+=s.recv(100)
    assert got==text,got
print(time.monotonic()-t)
"""


def half_a_line_is_answered_soon(w):
    """An echo of text without an end of line; 10 s each where detection waits for it."""
    took = [float(run_in(pod, HALF, host, port)) for pod, host, port in
            ((w.client, w.single["echo"]["ip"], w.single["echo"]["port"]), (w.plain, w.a.ip, PORTS["echo"]))]
    assert max(took) < 5, took
    return {"seconds_for_three": [round(t, 3) for t in took]}


COUNTER = """
import socket,sys
l=socket.socket();l.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);l.bind(('',int(sys.argv[1])));l.listen(64)
n=0
while True:
    s,_=l.accept();got=0
    try:
        while True:
            data=s.recv(1000)
            if not data: break
            got+=len(data)
        n+=1
        s.sendall(b'%d bytes, number %d' % (got,n))
    except OSError: pass
    s.close()
"""
NOTHING = """
import socket,sys,time
s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(8)
time.sleep(float(sys.argv[3]))
s.shutdown(socket.SHUT_WR)
got=b''
while (data:=s.recv(1000)): got+=data
print(got.decode())
"""


def the_end_of_a_silent_client_reaches_its_server(w):
    """An upload of nothing: the server hears the end once, and its answer comes back."""
    server = w.a.popen(PYTHON, "-c", COUNTER, "7777")
    try:
        wait_port(w.a, 7777)
        number = int(run_in(w.a, NOTHING, "127.0.0.1", 7777, 0).rsplit(" ", 1)[1])  # wait_port's are counted, too
        for pod in (w.client, w.plain):
            for pause in (0, 0.1):
                number += 1
                assert run_in(pod, NOTHING, w.a.ip, 7777, pause) == f"0 bytes, number {number}", (pod.name, pause)
    finally:
        w.mesh.kill(server)


CASES = [ten_thousand_connections_cause_one_dial, a_server_that_speaks_first_costs_nothing, the_unauthorized_never_hear_the_application,
         who_pauses_is_served_whatever_the_server_says, an_http2_server_is_none_that_speaks_first, half_a_line_is_answered_soon,
         the_end_of_a_silent_client_reaches_its_server]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="detect") as mesh:
        w = World(mesh)
        for case in CASES:
            cases.check(case, w, details=w.logs)
    cases.end()


main()
