#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The mesh heals by itself, within three minutes: when everything had ended and an issuer comes, and when clocks were wrong and come right.

Issuers are minted by the test, clocks are set through the offset file that programs for tests read."""
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import Cluster, Failed, container, deployment, report, server, service, wait  # noqa: E402
from mesh import CONTROL, MESH, Authority, clock_values, describe, give_control_plane_a_clock, install, metrics, ready_pods, set_clocks, total, uninstall  # noqa: E402

NS, HOUR, PATIENCE = "cold", 3600, 180
LIFETIME, FIRST = 30, 60  # seconds: of leaves, of the first issuer


def answers(c):
    """Does a request by a new connection reach the server?"""
    try:
        return c.exec(NS, "deploy/client", "/testd", "get", "-timeout=4s", "http://web/", container="app", timeout=20).startswith("200 {")
    except Failed:
        return False


def heals(c, why):
    began = time.monotonic()
    # Three in a row, on connections of their own.
    wait(lambda: answers(c) and answers(c) and answers(c), f"the mesh has healed {why}", PATIENCE, 1)
    print(f"# healed after {time.monotonic() - began:.0f} s: {why}")


def secured(c):
    """Connections by mutual TLS that the client's proxy has opened."""
    name = ready_pods(c, NS, "app=client")[0]["metadata"]["name"]
    text = metrics(c, NS, name)
    assert total(text, "tcp_open_total", r'direction="outbound",peer="dst".*tls="(?!true)') == 0
    return total(text, "tcp_open_total", r'direction="outbound",peer="dst".*tls="true"')


def restarts(c):
    return {p["metadata"]["name"]: [s["restartCount"] for s in p["status"].get("initContainerStatuses", []) + p["status"]["containerStatuses"]]
            for p in c.get("pods", ns=NS) + c.get("pods", ns=MESH)}


class Test:
    def __init__(self, cluster, folder):
        self.c, self.authority, self.ends = cluster, Authority(folder), 0.0


def it_runs_on_an_issuer_that_ends_soon(t):
    c = t.c
    began = time.monotonic()
    install(c, *t.authority.values(-60, FIRST), "--set", f"identity.issuer.issuanceLifetime={LIFETIME}s,identity.issuer.clockSkewAllowance=5s", *clock_values())
    give_control_plane_a_clock(c)
    c.apply(deployment("web", NS, server(), replicas=2), service("web", NS), deployment("client", NS, container(command=["sleep", "infinity"], image="localhost/testd:1")))
    for name in ("web", "client"):
        c.rollout(NS, f"deploy/{name}")
    assert answers(c) and secured(c) > 0
    t.ends = began + FIRST


def when_everything_has_ended_nothing_passes_in_the_clear(t):
    c = t.c
    time.sleep(max(0.0, t.ends - time.monotonic()))
    wait(lambda: not answers(c), "leaves and issuer have ended", 60, 1)
    secured(c)
    # A pod that is made now waits for its certificate.
    c.kubectl("-n", NS, "scale", "deploy/web", "--replicas=3")
    time.sleep(10)
    assert not answers(c) and len(ready_pods(c, NS, "app=web")) <= 2


def a_valid_issuer_heals_it(t):
    c = t.c
    before = restarts(c)
    t.authority.replace(c, -60, 24 * HOUR)
    heals(c, "with a new issuer")
    c.rollout(NS, "deploy/web")
    now = restarts(c)
    assert all(now[name] == counts for name, counts in before.items() if name in now and len(counts) == len(now[name])), (before, now)


def everything_powered_off_until_all_has_ended(t):
    """All nodes lose their power, and come back when leaves and issuer have ended; then somebody issues anew."""
    c = t.c
    t.authority.replace(c, -60, 20)
    time.sleep(3)
    for node in c.nodes:
        c.kill_node(node)
    time.sleep(60)
    for node in c.nodes:
        c.start_node(node)
    wait(lambda: len([n for n in c.get("nodes") if any(s["type"] == "Ready" and s["status"] == "True" for s in n["status"]["conditions"])]) == len(c.nodes),
         "the nodes are back", 180)
    t.authority.replace(c, -60, 24 * HOUR)
    heals(c, "after a power cut and a new issuer")


def clocks(t, seconds, where):
    c = t.c
    pods = [p for ns, selector in where for p in c.get("pods", ns=ns, selector=selector)]
    before = restarts(c)
    set_clocks(c, seconds, *pods)
    time.sleep(LIFETIME)  # whatever was issued before is renewed, or ends
    ok = answers(c)
    set_clocks(c, 0, *pods)
    print(f"# with clocks off by {seconds} s: {'answers' if ok else 'no answer'}")
    heals(c, f"when {len(pods)} clocks came right, which were off by {seconds} s")
    # It stays so: a renewal later as well.
    time.sleep(LIFETIME)
    assert answers(c) and secured(c) > 0 and restarts(c) == before, (before, restarts(c))


ALL = [(MESH, CONTROL), (NS, None)]


def all_clocks_an_hour_ahead_and_right_again(t):
    clocks(t, HOUR, ALL)


def all_clocks_an_hour_behind_and_right_again(t):
    clocks(t, -HOUR, ALL)


def a_clock_of_the_control_plane_ahead(t):
    clocks(t, HOUR, ALL[:1])


def clocks_of_the_proxies_ahead(t):
    clocks(t, HOUR, ALL[1:])


def clocks_of_the_proxies_behind(t):
    clocks(t, -HOUR, ALL[1:])


CASES = [it_runs_on_an_issuer_that_ends_soon, when_everything_has_ended_nothing_passes_in_the_clear, a_valid_issuer_heals_it, all_clocks_an_hour_ahead_and_right_again]
if os.environ.get("TULLE_SOAK"):
    CASES += [all_clocks_an_hour_behind_and_right_again, a_clock_of_the_control_plane_ahead, clocks_of_the_proxies_ahead, clocks_of_the_proxies_behind,
              everything_powered_off_until_all_has_ended]


def main():
    cluster = Cluster()
    with tempfile.TemporaryDirectory(prefix="tulle-e2e-") as folder, cluster.namespace(NS, annotations={"linkerd.io/inject": "enabled"}):
        try:
            report(CASES, Test(cluster, folder), on_failure=lambda: describe(cluster, NS))
        finally:
            uninstall(cluster)


main()
