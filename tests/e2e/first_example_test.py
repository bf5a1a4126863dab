#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The first example as Deployments over three nodes, before there is a mesh: what the mesh must not change."""
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "../netns"))
from capture import read_flows  # noqa: E402
from harness import TOP, Cluster, report  # noqa: E402

NS, CANARY = "shop", b"canary-7c1f3b2e"


def client(c, *command, **options):
    return c.exec(NS, "deploy/client", *command, container="client", **options)


def everything_rolls_out(c):
    c.images("nginx", "redis", "mariadb", "client")
    with open(os.path.join(TOP, "examples/kubernetes/first.yaml"), encoding="utf-8") as f:
        c.apply(f.read())
    for name in ("web", "admin", "cache", "db", "client"):
        c.rollout(NS, f"deploy/{name}")
    # A node with several pods of a Deployment is seen for each of them: where pods land is the scheduler's choice.
    places = {}
    for pod in c.get("pods", ns=NS):
        places.setdefault(pod["metadata"]["labels"]["app"], set()).add(pod["spec"]["nodeName"])
    assert len(set().union(*places.values())) == 3, places
    assert places["web"] - places["client"], places


def http_redis_and_mariadb_answer(c):
    seen = {client(c, "curl", "-sS", "http://web/").split()[2] for _ in range(20)}
    assert len(seen) == 2, seen
    assert client(c, "redis-cli", "-h", "cache", "set", "k", "v").strip() == "OK"
    assert client(c, "redis-cli", "-h", "cache", "get", "k").strip() == "v"
    assert client(c, "mariadb", "-hdb", "-P13306", "-uapp", "-papp", "--skip-ssl", "-Ne", "SELECT 6*7").strip() == "42"


def a_load_of_hey_loses_nothing(c):
    text = client(c, "hey", "-z", "3s", "-c", "4", "-q", "50", "http://web/")
    assert "[200]" in text and "[50" not in text and "Error distribution" not in text, text


def without_a_mesh_the_canary_is_seen(c):
    with c.capture("tcp port 8080") as capture:
        client(c, "curl", "-sS", "http://web/")
        flows = read_flows(capture.end())
    assert any(CANARY in flow.payload() for flow in flows), "the capture would find what is sent in the clear"


CASES = [everything_rolls_out, http_redis_and_mariadb_answer, a_load_of_hey_loses_nothing, without_a_mesh_the_canary_is_seen]


def main():
    cluster = Cluster()
    with cluster.namespace(NS):
        report(CASES, cluster, on_failure=lambda: cluster.describe(NS))


main()
