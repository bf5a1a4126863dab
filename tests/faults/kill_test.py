#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that end without a word, under load; the count of failed requests is the result.

usage: kill_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import PORTS, World  # noqa: E402
from cases import Cases, run_in, until  # noqa: E402
from mesh import Mesh  # noqa: E402

CONNECTIONS = 8  # of a load: no more requests than that are in flight


def figures(load, at):
    first, last = [f[0] - at for f in load.result["failures"][:1]], [f[0] - at for f in load.result["failures"][-1:]]
    return {"done": load.result["done"], "failed": load.result["failed"], "longest_gap_s": load.result["gap"],
            "first_failure_s": round(first[0], 3) if first else None, "last_failure_s": round(last[0], 3) if last else None}


def one_of_two_server_proxies(w):
    """In flight there: lost, for they may have been processed. All others go to the other endpoint."""
    loads = [w.load(w.pair["http"]), w.load(w.pair["h2"], "h2"), w.load(w.pair["http"], method="POST", body=1000)]
    time.sleep(2)
    killed = time.monotonic()
    w.mesh.kill(w.b.proxy)
    time.sleep(4)
    w.mesh.start_proxy(w.b)
    ready = time.monotonic()
    before = w.b.metric("request_total", direction="inbound")
    back = until(lambda: w.b.metric("request_total", direction="inbound") > before + 5, "requests come to the new proxy", 5)
    time.sleep(1)
    out = {}
    for name, load in zip(("h1", "h2", "post"), loads):
        load.end()
        out[name] = figures(load, killed)
        assert load.result["done"] > 500 and load.result["failed"] <= CONNECTIONS, load.result
        assert not load.failures(after=killed + 1), load.result
        assert load.result["gap"] < 1, load.result
    return {**out, "served_again_s": round(back, 2), "proxy_start_s": round(ready - w.b.proxy_started, 2)}


def the_only_server_proxy(w):
    """Requests wait for its successor, up to fail-fast (3 s)."""
    load = w.load(w.single["http"])
    time.sleep(2)
    killed = time.monotonic()
    w.mesh.kill(w.a.proxy)
    w.mesh.start_proxy(w.a)
    time.sleep(3)
    load.end()
    assert load.result["failed"] <= CONNECTIONS and not load.failures(after=killed + 1), load.result
    return figures(load, killed)


def the_client_proxy(w):
    load = w.load(w.pair["http"])
    time.sleep(2)
    killed = time.monotonic()
    w.mesh.kill(w.client.proxy)
    time.sleep(0.5)
    w.mesh.start_proxy(w.client)
    ready = time.monotonic()
    time.sleep(3)
    load.end()
    assert not load.failures(before=killed - 0.1) and not load.failures(after=ready + 0.5), (ready - killed, load.result)
    return {**figures(load, killed), "ready_s": round(ready - w.client.proxy_started, 2)}


def one_of_two_applications(w):
    """Its proxy is refused and says so; what was not processed goes to the other one."""
    loads = [w.load(w.pair["http"]), w.load(w.pair["h2"], "h2")]
    time.sleep(2)
    killed = time.monotonic()
    for kind in ("http", "h2"):
        w.mesh.kill(w.apps[w.b.name, kind])
    time.sleep(3)
    w.start_apps(w.b, ("http", "h2"))
    before = w.b.metric("response_total", direction="inbound", status_code="200")
    back = until(lambda: w.b.metric("response_total", direction="inbound", status_code="200") > before + 5, "it serves again", 5)
    out = {}
    for name, load in zip(("h1", "h2"), loads):
        load.end()
        out[name] = figures(load, killed)
        assert load.result["failed"] <= CONNECTIONS and not load.failures(after=killed + 0.5), load.result
    assert w.client.metric("tulle_redispatched_total", reason="application") > 0
    return {**out, "served_again_s": round(back, 2)}


def the_only_application(w):
    """Told with 502 at once while it is gone; served within a second of its return."""
    load = w.load(w.single["http"])
    time.sleep(1.5)
    killed = time.monotonic()
    w.mesh.kill(w.apps[w.a.name, "http"])
    time.sleep(1.5)
    w.start_apps(w.a, ("http",))
    back = time.monotonic()
    time.sleep(2)
    load.end()
    assert not load.failures(before=killed - 0.1) and not load.failures(after=back + 1), load.result
    told = [f for f in load.failures(after=killed + 0.2, before=back - 0.5) if "502" not in f[1]]
    assert not told, told
    return figures(load, killed)


def the_control_plane_for_40_s(w):
    """First it hangs, then it is gone. Known targets are served, also those that were idle meanwhile; nothing is evicted; a target
    never seen fails within 3 s with a reason; then everything goes on."""
    seen = w.mesh.service("seen", [w.a], 30001, PORTS["http"])
    idle_bytes = w.mesh.service("seen-bytes", [w.b], 30002, PORTS["echo"])
    unseen = w.mesh.service("unseen", [w.b], 30003, PORTS["http"])
    w.mesh.write_manifests()
    until(lambda: w.ok(seen), "the new service is known")
    echo = ("import socket,sys;s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(5);s.sendall(bytes(5));"
            "assert s.recv(9)==bytes(5);print('ok')")
    assert run_in(w.client, echo, idle_bytes["ip"], idle_bytes["port"]) == "ok"
    loads = [w.load(w.pair["http"], rate=100), w.load(w.pair["h2"], "h2", rate=50), w.load(w.pair["echo"], "bytes", rate=30, fresh=True),
             w.load(w.pair["http"], rate=30, fresh=True)]
    time.sleep(2)
    os.kill(w.mesh.control_process.pid, signal.SIGSTOP)
    time.sleep(14)
    w.mesh.kill(w.mesh.control_process)
    time.sleep(22)
    began = time.monotonic()
    answer = w.get(unseen, "/", "-D", "-")
    took = time.monotonic() - began
    assert took < 3.0 and "504" in answer and "control plane" in answer.lower(), (took, answer)
    assert w.ok(seen) and w.ok(w.single["http"]), "targets that were idle meanwhile"
    assert run_in(w.client, echo, idle_bytes["ip"], idle_bytes["port"]) == "ok"
    w.mesh.start_control()
    known = until(lambda: w.ok(unseen), "the new target is known", 15)
    time.sleep(2)
    out = {}
    for name, load in zip(("h1", "h2", "bytes", "h1_fresh"), loads):
        load.end()
        out[name] = [load.result["done"], load.result["failed"], load.result["gap"]]
        assert load.result["failed"] == 0 and load.result["gap"] < 1.5, load.result
    return {"done_failed_gap": out, "unseen_failed_s": round(took, 2), "unseen_known_s": round(known, 2)}


def the_control_plane_after_targets_went_idle(w):
    """Targets are used once and let go of (idle for 5 s); then the control plane ends. They are served from their last known state, HTTP
    and bytes; a target never seen fails within 3 s."""
    seen = w.mesh.service("once", [w.a], 30011, PORTS["http"])
    seen_bytes = w.mesh.service("once-bytes", [w.b], 30012, PORTS["echo"])
    unseen = w.mesh.service("never", [w.b], 30013, PORTS["http"])
    w.mesh.write_manifests()
    until(lambda: w.ok(seen), "the new service is known")
    echo = ("import socket,sys;s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5);s.settimeout(5);s.sendall(bytes(5));"
            "assert s.recv(9)==bytes(5);print('ok')")
    assert run_in(w.client, echo, seen_bytes["ip"], seen_bytes["port"]) == "ok"
    time.sleep(12)
    w.mesh.kill(w.mesh.control_process)
    time.sleep(10)
    took = {}
    for name, use in (("first", lambda: w.ok(seen)), ("again", lambda: w.ok(seen)),
                      ("bytes", lambda: run_in(w.client, echo, seen_bytes["ip"], seen_bytes["port"]) == "ok")):
        began = time.monotonic()
        assert use(), name
        took[name] = round(time.monotonic() - began, 2)
    began = time.monotonic()
    answer = w.get(unseen, "/", "-D", "-")
    took["unseen"] = round(time.monotonic() - began, 2)
    assert took["unseen"] < 3.0 and "504" in answer and "control plane" in answer.lower(), (took, answer)
    assert took["first"] < 2.8 and took["again"] < 0.5, took
    w.mesh.start_control()
    until(lambda: w.ok(unseen), "the new target is known", 15)
    return took


def endpoints_are_replaced_one_by_one(w):
    """As a rolling update does it: a new pod is ready, the old one leaves the set and is told to go at the same time."""
    service = w.pair["http"]
    load = w.load(service)
    posts = w.load(service, method="POST", body=2000, rate=80)
    h2 = w.load(w.pair["h2"], "h2", rate=80)
    time.sleep(1)
    began = time.monotonic()
    new = []
    for old in (w.a, w.b):
        pod = w.mesh.pod(old.name + "-new")
        pod.labels, pod.ports, pod.meshed = old.labels, old.ports, True
        w.start_apps(pod)
        w.mesh.write_manifests()
        w.mesh.start_proxy(pod)
        for s in w.mesh.services:
            s["pods"] = [pod if p is old else p for p in s["pods"]]
        w.mesh.write_manifests()
        old.proxy.send_signal(signal.SIGTERM)
        assert old.proxy.wait(timeout=15) == 0
        for kind in PORTS:
            w.mesh.kill(w.apps[old.name, kind])
        new.append(pod)
        time.sleep(1)
    w.a, w.b = new
    w.meshed = [*new, w.client]
    out = {}
    for name, each in (("h1", load), ("post", posts), ("h2", h2)):
        each.end()
        out[name] = figures(each, began)
        assert each.result["failed"] == 0, each.result
    return out


CASES = [one_of_two_server_proxies, the_only_server_proxy, the_client_proxy, one_of_two_applications, the_only_application,
         the_control_plane_for_40_s, the_control_plane_after_targets_went_idle, endpoints_are_replaced_one_by_one]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="kill") as mesh:
        w = World(mesh)
        assert all(w.ok(s) for s in (w.pair["http"], w.single["http"]))
        for case in CASES:
            cases.check(case, w, details=w.logs)
    cases.end()


main()
