#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Connections that end, stop and trickle as connections do; peers that die; bounds that are reached.

usage: chaos_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import PORTS, World  # noqa: E402
from cases import PYTHON, Cases, Gate, descriptors, memory, run_in, until  # noqa: E402
from mesh import Mesh, wait_port  # noqa: E402

CONNECT = "import socket,sys,time,json,struct\nHOST,PORT=sys.argv[1],int(sys.argv[2])\ns=socket.create_connection((HOST,PORT),5);s.settimeout(20)\n"


def talk(w, service, program, *arguments, pod=None, timeout=60):
    """A short client: `s` is its connection to the service."""
    return run_in(pod or w.client, CONNECT + program, service["ip"], service["port"], *arguments, timeout=timeout)


def half_closes_go_both_ways(w):
    said = talk(w, w.single["bytes"], "s.sendall(b'reply\\n'+b'x'*100000);s.shutdown(1)\nr=b''\nwhile (d:=s.recv(100)): r+=d\nprint(r.decode())")
    assert said == "100000", said
    # The server ends its side first; what the client says afterwards still arrives.
    said = talk(w, w.single["bytes"], "s.sendall(b'last\\n')\nr=b''\nwhile (d:=s.recv(100)): r+=d\nassert r==b'my last word',r\n"
                                      "time.sleep(.3)\ns.sendall(b'y'*50000);s.shutdown(1)\nprint('sent')")
    assert said == "sent"
    until(lambda: json.loads(talk(w, w.single["bytes"], "s.sendall(b'counted\\n');print(s.recv(1000).decode())")).get("last") == 50000,
          "the server has heard it all")
    # HTTP/1: a client that ends its side after the request gets its answer.
    said = talk(w, w.single["http"], "s.sendall(b'GET /slow?seconds=0.5 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n');s.shutdown(1)\nr=b''\n"
                                     "while (d:=s.recv(1000)): r+=d\nprint(r.split(b'\\r\\n')[0].decode())")
    assert said == "HTTP/1.1 200 OK", said


def one_byte_a_second(w):
    """Up and down, HTTP and bytes; nothing gathers, nothing times out."""
    up = ("for c in b'GET / HTTP/1.1\\r\\n': s.sendall(bytes([c]));time.sleep(.1)\ns.sendall(b'Host: a\\r\\n\\r\\n')\n"
          "print(s.recv(1000).split(b'\\r\\n')[0].decode())")
    assert talk(w, w.single["http"], up) == "HTTP/1.1 200 OK"
    down = ("s.sendall(b'GET /trickle?bytes=4&pause=1 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')\nr=b''\nt=[]\n"
            "while not r.endswith(b'....'):\n d=s.recv(1)\n assert d\n r+=d\n if d==b'.' and b'\\r\\n\\r\\n' in r: t.append(time.monotonic())\n"
            "print(min(b-a for a,b in zip(t,t[1:])), max(b-a for a,b in zip(t,t[1:])))")
    least, most = map(float, talk(w, w.single["http"], down).split())
    assert least > 0.7 and most < 1.4, (least, most)
    echo = ("s.sendall(b'echo\\n')\nm=0\nfor i in range(3):\n time.sleep(1);t=time.monotonic();s.sendall(b'z');assert s.recv(1)==b'z'\n m=max(m,time.monotonic()-t)\n"
            "print(m)")
    assert float(talk(w, w.single["bytes"], echo)) < 0.3


def resets_stay_resets(w):
    """A body that was cut is never taken for a whole one, whichever side cuts."""
    cut = ("s.sendall(b'GET /reset HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')\nr=b''\n"
           "try:\n while (d:=s.recv(1000)): r+=d\n print('end',r[-6:].decode())\nexcept ConnectionResetError: print('reset',r[-6:].decode())")
    assert talk(w, w.single["http"], cut) == "reset partly"
    raw = "s.sendall(b'reset\\n')\nr=b''\ntry:\n while (d:=s.recv(100)): r+=d\n print('end',r)\nexcept ConnectionResetError: print('reset',r.decode())"
    assert talk(w, w.single["bytes"], raw).startswith("reset")
    # A client that resets in the middle of an upload: the application sees no whole request.
    before = json.loads(w.get(w.single["http"], "/counts").rpartition("\n")[0])
    talk(w, w.single["http"], "s.sendall(b'POST / HTTP/1.1\\r\\nHost: a\\r\\nX-Number: cut\\r\\nContent-Length: 100000\\r\\n\\r\\n'+b'x'*1000);time.sleep(.2)\n"
                              "s.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack('ii',1,0));s.close()")
    assert w.ok(w.single["http"]) and before is not None
    for pod in (w.a, w.client):
        assert pod.metric("tcp_open_connections") < 100


def answers_that_break_off_end(w):
    """The application sends a part and ends in the same breath: nobody waits for the rest."""
    paths = [("http", "/broken"), ("http", "/broken?end=reset"), ("h2", "/broken")]
    for kind, path in paths:
        service = w.single[kind]
        flags = ["--http2-prior-knowledge"] if kind == "h2" else []
        clients = [w.client.popen("curl", "-s", "-o", "/dev/null", "-w", "%{exitcode} %{http_code} %{size_download}", "--max-time", "10", "--noproxy", "*",
                                  *flags, f"http://{service['ip']}:{service['port']}{path}", pipes=True) for _ in range(30)]
        said = [each.communicate(timeout=30)[0] for each in clients]
        # 28: still waiting. Any other error tells the end; a head that came before is passed on.
        assert all(each.split()[0] not in ("0", "28") for each in said), (kind, path, said)


def gates_between_proxy_and_application(w):
    """Slices of one byte, delay, a stop and a cut between the inbound proxy and the application."""
    gate = Gate(w.a, 8090, "127.0.0.1", PORTS["http"])
    if 8090 not in w.a.ports:
        w.a.ports.append(8090)
    service = w.mesh.service("gated", [w.a], 8090)
    w.mesh.write_manifests()
    until(lambda: w.ok(service), "through the gate")
    gate.order("slice 1")
    assert w.get(service, "/", "-d", "x" * 2000).endswith("200")
    gate.order("go")
    gate.order("delay 0.2")
    assert w.ok(service)
    gate.order("go")
    load = w.load(service, rate=50)
    time.sleep(1)
    gate.order("stop")
    time.sleep(2)
    gate.order("go")
    time.sleep(1)
    cut = time.monotonic()
    gate.order("cut")
    time.sleep(1)
    load.end()
    assert not load.failures(before=cut) and load.result["failed"] <= 8 and not load.failures(after=cut + 0.5), load.result
    return {"failed_at_cut": load.result["failed"], "longest_gap_s": load.result["gap"]}


def idle_connections_stay_and_cost_little(w):
    """300 clients that have sent a request and are silent; 15 s later each is served on the same connection."""
    before = memory(w.client.proxy.pid)
    program = ("import socket,sys,time\ncs=[]\nfor i in range(300):\n s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(10);cs.append(s)\n"
               "def ask(s):\n s.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n');r=b''\n while not r.endswith(b'ok'):\n  d=s.recv(1000);assert d;r+=d\n"
               "for s in cs: ask(s)\ntime.sleep(12)\nfor s in cs: ask(s)\nprint('all')")
    process = w.client.popen(PYTHON, "-c", program, w.single["http"]["ip"], str(w.single["http"]["port"]), pipes=True)
    time.sleep(9)
    grown = memory(w.client.proxy.pid) - before
    out, err = process.communicate(timeout=60)
    assert out.strip() == "all", err
    assert grown < 300 * 10 * 1024, grown
    return {"KiB_per_idle_connection": round(grown / 300 / 1024, 1)}


def dead_peers_are_noticed_and_left_aside(w):
    """The cable of one of two servers is pulled: PING tells after 10 + 3 s at most, and until it is back everything goes to the other."""
    loads = [w.load(w.pair["http"], rate=100, timeout=25), w.load(w.pair["echo"], "bytes", rate=20, fresh=True, timeout=25)]
    time.sleep(2)
    dead = time.monotonic()
    w.mesh.fab("ip", "link", "set", f"v{w.b.index}", "down")
    try:
        time.sleep(17)
        late = w.load(w.pair["http"], rate=100)
        late_bytes = w.load(w.pair["echo"], "bytes", rate=20, fresh=True)
        time.sleep(5)
        for each in (late, late_bytes):
            each.end()
    finally:
        w.mesh.fab("ip", "link", "set", f"v{w.b.index}", "up")
    time.sleep(1)
    for load in loads:
        load.end()
    out = {"h1": [loads[0].result["done"], loads[0].result["failed"]], "bytes": [loads[1].result["done"], loads[1].result["failed"]],
           "after_it_was_noticed": [late.result["done"], late.result["failed"], late_bytes.result["done"], late_bytes.result["failed"]],
           "last_failure_s": round(max([f[0] - dead for f in loads[0].result["failures"]] or [0]), 1)}
    assert loads[0].result["failed"] <= 8 and out["last_failure_s"] < 14.5, (out, loads[0].result["failures"])
    assert late.result["failed"] == 0 and late_bytes.result["failed"] == 0, (out, late.result, late_bytes.result)
    return out


def what_was_not_processed_goes_once_more(w):
    """REFUSED_STREAM, GOAWAY below the stream, connections kept by us and closed by the application: each request is processed exactly
    once; what may have been processed is not repeated."""
    load_numbers = {"/refuse": 0, "/goaway": 0}
    # Straight to an HTTP/2 application without a proxy of its own: the outbound proxy sees its frames.
    bare = w.mesh.pod("bare")
    bare.labels = {"app": "bare"}
    w.start_apps_bare(bare)
    h2 = w.mesh.service("bare-h2", [bare], 9082, PORTS["h2"])
    w.mesh.write_manifests()
    until(lambda: "200" in w.get(h2, "/", "--http2-prior-knowledge"), "the bare application is reached")
    out = {}
    for path in load_numbers:
        # One after the other where each is told to go elsewhere: what goes once more must not meet the GOAWAY of its neighbour.
        load = w.load(h2, "h2", path=path, rate=60, connections=1 if path == "/goaway" else 3, seconds=3)
        load.end()
        counts = json.loads(w.get(h2, "/counts", "--http2-prior-knowledge").rpartition("\n")[0])
        served = {k: v for k, v in counts.items() if k.isdigit() and k != "0"}
        out[path] = [load.result["done"], load.result["failed"]]
        assert load.result["done"] > 50 and load.result["failed"] == 0, (path, load.result)
        w.mesh.kill(w.apps[bare.name, "h2"])  # fresh counts
        w.apps[bare.name, "h2"] = bare.popen(PYTHON, os.path.join(os.path.dirname(__file__), "../support/apps.py"), "h2", str(PORTS["h2"]), "bare", log="h2.log")
        wait_port(bare, PORTS["h2"])
        assert len(served) >= load.result["done"] and set(served.values()) == {1}, (path, [k for k, v in served.items() if v != 1])
        until(lambda: "200" in w.get(h2, "/", "--http2-prior-knowledge"), "it is back")
    assert "200" not in w.get(h2, "/cancel", "--http2-prior-knowledge", "-f").split("\n")[0]
    # The application closes kept connections under us, again and again; requests without a body never notice.
    gate = Gate(w.a, 8091, "127.0.0.1", PORTS["http"])
    service = w.mesh.service("closing", [w.a], 8091)
    w.mesh.write_manifests()
    until(lambda: w.ok(service), "through the gate")
    load = w.load(service, rate=100, connections=2)
    for _ in range(20):
        time.sleep(0.1)
        gate.order("refuse on")
        gate.order("refuse off")
    load.end()
    assert load.result["failed"] == 0, load.result
    return out


def out_of_descriptors(w):
    """The listener backs off on a reserve: what is open goes on, new clients are turned away instead of left hanging, and all is
    well once there are descriptors again."""
    w.client.proxy.send_signal(signal.SIGKILL)
    w.client.proxy.wait()
    w.mesh.start_proxy(w.client, limits=("--nofile=160:160",))
    until(lambda: w.ok(w.single["http"]), "served")
    cpu = lambda: sum(map(int, open(f"/proc/{w.client.proxy.pid}/stat").read().rsplit(")")[1].split()[11:13]))  # noqa: E731
    load = w.load(w.single["http"], rate=50, connections=4)
    time.sleep(1)
    program = ("import socket,sys,time\ncs=[];told=0\nfor i in range(400):\n s=socket.socket();s.settimeout(3)\n"
               " try:\n  s.connect((sys.argv[1],int(sys.argv[2])));cs.append(s)\n except OSError: told+=1\n"
               "time.sleep(5)\nprint(len(cs),told)")
    before = cpu()
    run_in(w.client, program, w.single["http"]["ip"], w.single["http"]["port"])
    busy = (cpu() - before) / os.sysconf("SC_CLK_TCK")
    assert descriptors(w.client.proxy.pid) <= 160
    time.sleep(1)
    load.end()
    took = until(lambda: w.ok(w.single["http"]), "served again", 5)
    opened = load.result["failed"]
    assert opened == 0 and busy < 2.5, (load.result, busy)
    w.client.proxy.send_signal(signal.SIGKILL)
    w.client.proxy.wait()
    w.mesh.start_proxy(w.client, **w.env)
    return {"failed_on_open_connections": opened, "cpu_s": round(busy, 2), "served_again_s": round(took, 2)}


def out_of_memory_is_shed(w):
    """At 90 % of the cgroup's limit requests get 503 at once; when memory is there again they are served."""
    v1 = "/sys/fs/cgroup/memory"
    v2 = not os.path.exists(v1 + "/memory.limit_in_bytes")
    group = os.path.join("/sys/fs/cgroup" if v2 else v1, f"{w.mesh.prefix}shed")
    os.makedirs(group)
    limit = 96 << 20
    try:
        with open(group + ("/memory.max" if v2 else "/memory.limit_in_bytes"), "w") as f:
            f.write(str(limit))
        w.client.proxy.send_signal(signal.SIGKILL)
        w.client.proxy.wait()
        w.mesh.start_proxy(w.client, wait=False, cgroup=group)
        w.ready(w.client)
        assert w.ok(w.single["http"])
        hog = subprocess.Popen([PYTHON, "-c", "import os,sys,time\nopen(sys.argv[1]+'/cgroup.procs','w').write(str(os.getpid()))\n"
                                f"x=bytearray({limit} * 92 // 100 - (16 << 20))\nfor i in range(0,len(x),4096): x[i]=1\nprint('full',flush=True)\n"
                                "while True:\n x+=bytearray(1<<20)\n time.sleep(.05)\n"
                                f" if int(open(sys.argv[1]+'/{'memory.current' if v2 else 'memory.usage_in_bytes'}').read()) > {limit} * 94 // 100: break\n"
                                "print('brim',flush=True)\ntime.sleep(60)", group], stdout=subprocess.PIPE, text=True)
        w.mesh.processes.append(hog)
        assert hog.stdout.readline().strip() == "full" and hog.stdout.readline().strip() == "brim"
        until(lambda: w.get(w.single["http"], "/", "-D", "-").endswith("503"), "requests are shed", 3)
        answer = w.get(w.single["http"], "/", "-D", "-")
        assert "memory" in answer.lower(), answer
        assert w.client.metric("tulle_shed_total", reason="memory") >= 1
        hog.kill()
        hog.wait()
        back = until(lambda: w.ok(w.single["http"]), "served again", 5)
        w.client.proxy.send_signal(signal.SIGKILL)
        w.client.proxy.wait()
        w.mesh.start_proxy(w.client, **w.env)
        return {"served_again_s": round(back, 2)}
    finally:
        for _ in range(50):
            try:
                os.rmdir(group)
                break
            except OSError:
                time.sleep(0.1)


def many_hosts_and_targets_are_bounded(w):
    """3,000 names at one Service, twice 1,500 new addresses that serve nothing: the proxies stay small, since what is idle is forgotten."""
    pids = [w.client.proxy.pid, w.a.proxy.pid]
    before = [memory(pid) for pid in pids]
    hosts = ("for i in range(3000):\n s.sendall(b'GET / HTTP/1.1\\r\\nHost: h%d.example\\r\\n\\r\\n'%i);r=b''\n while not r.endswith(b'ok'):\n  d=s.recv(4096);assert d,i;r+=d\n"
             "print('done')")
    assert talk(w, w.single["http"], hosts) == "done"
    grown = []
    for first in (1, 11):
        scan = ("import socket\nfor i in range(1500):\n s=socket.socket();s.setblocking(False)\n"
                f" try: s.connect((f'10.244.{{i//250+{first}}}.{{i%250+1}}',80))\n except OSError: pass\n s.close()\nprint('done')")
        assert run_in(w.client, scan) == "done"
        time.sleep(1)
        # All 1,500 are asked for at the same time: two streams each, 14 KiB, of which the allocator reuses most later.
        grown.append([memory(pid) - b for pid, b in zip(pids, before)])
        assert max(grown[-1]) < 48 << 20, grown
        # 5 s after its last use, once the control plane has shown that it is there.
        until(lambda: w.client.metric("control_request_total") - w.client.metric("control_response_total") < 20, "targets are forgotten", 40)
    assert w.ok(w.single["http"])
    return {"grown_KiB_client_server": [[g // 1024 for g in one] for one in grown]}


def descriptors_return_to_the_start(w):
    """Run last: after all of the above no proxy holds a connection that nobody has."""
    out = {}
    def settle():
        now = {pod.name: descriptors(pod.proxy.pid) for pod in (w.a, w.b, w.client)}
        out.update(now)
        return all(count < 60 for count in now.values())
    # 60 s: HTTP/2 connections between proxies close after that long idle.
    until(settle, "descriptors are given back", 75, every=1)
    for pod in (w.a, w.b, w.client):
        open_now = [line for line in pod.metrics().splitlines() if line.startswith("tcp_open_connections") and not line.endswith(" 0")]
        assert len(open_now) <= 2, open_now
    return out


CASES = [half_closes_go_both_ways, one_byte_a_second, resets_stay_resets, answers_that_break_off_end, gates_between_proxy_and_application,
         idle_connections_stay_and_cost_little, dead_peers_are_noticed_and_left_aside, what_was_not_processed_goes_once_more,
         many_hosts_and_targets_are_bounded, out_of_descriptors, out_of_memory_is_shed, descriptors_return_to_the_start]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="chaos") as mesh:
        w = World(mesh)
        assert w.ok(w.single["http"]) and w.ok(w.pair["http"])
        for case in CASES:
            cases.check(case, w, details=w.logs)
    cases.end()


main()
