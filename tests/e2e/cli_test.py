#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The command line from an empty cluster to an empty cluster: check, install, what runs, uninstall; also under the name linkerd."""
import json
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
from harness import Cluster, container, deployment, report, server, service, wait  # noqa: E402
from mesh import MESH  # noqa: E402

NS = "cli"
LOAD = "while :; do wget -qO- http://web/ >/dev/null; sleep 0.05; done"


def before_it_may_be_installed(c):
    _, said, _ = c.shell("linkerd check --pre")
    assert "Status check results are √" in said, said
    code, _, why = c.shell("tulle install", check=False)
    assert code == 1 and "tulle install --crds" in why, why


def it_installs_and_check_waits_until_all_is_well(c):
    c.shell("tulle install --crds | kubectl apply -f -")
    c.shell("tulle install --set imagePullPolicy=IfNotPresent | kubectl apply -f -")
    _, said, _ = c.shell("tulle check --wait 120s")
    assert "√ control plane pods are ready" in said and "Status check results are √" in said, said
    _, said, _ = c.shell("linkerd version")
    assert "Server version: 0.1.0" in said, said


def the_data_plane_is_seen(c):
    mesh = {"linkerd.io/inject": "enabled"}
    c.apply(deployment("web", NS, server(), annotations=mesh), service("web", NS),
            deployment("client", NS, container(command=["sh", "-c", LOAD]), annotations=mesh))
    for name in ("web", "client"):
        c.rollout(NS, f"deploy/{name}")
    _, said, _ = c.shell(f"tulle check --proxy -n {NS} --wait 60s -o json")
    report_of = json.loads(said)
    assert report_of["success"], said
    assert any(category["categoryName"] == "linkerd-data-plane" for category in report_of["categories"]), said

    def loaded():
        rows = c.shell(f"tulle stat deploy -n {NS} -o json")[1]
        return '"web"' in rows and "100" in c.shell(f"linkerd viz stat deploy/web -n {NS}")[1]
    wait(loaded, "stat shows the requests", 60, 1)
    _, said, _ = c.shell(f"tulle edges deploy -n {NS}")
    assert "client" in said and "web" in said and "√" in said, said
    _, said, _ = c.shell(f"tulle diagnostics proxy-metrics -n {NS} deploy/web")
    assert "# POD web-" in said and "request_total" in said, said[:500]


def pods_prove_who_they_are(c):
    _, said, _ = c.shell(f"tulle identity -n {NS} -o json")
    pods = json.loads(said)
    assert len(pods) == 2, said
    for pod in pods:
        leaf = pod["certificates"][0]
        assert leaf["names"] == [pod["identity"]] == [f"default.{NS}.serviceaccount.identity.linkerd.cluster.local"], said
    web = next(pod["pod"] for pod in pods if pod["pod"].startswith("web-"))
    _, said, _ = c.shell(f"linkerd identity -n {NS} {web}")
    assert f"POD {web} (1 of 1)" in said and "Not After" in said and "BEGIN CERTIFICATE" in said, said
    code, said, why = c.shell(f"tulle identity -n {MESH}", check=False)
    assert code == 1 and not said and f"no pod in the namespace {MESH} has a proxy" in why, why
    code, said, why = c.shell(f"tulle identity -n {NS} none", check=False)
    assert code == 1 and not said and 'pods "none" not found' in why, why


def the_control_plane_says_what_it_tells_proxies(c):
    address = c.get("pods", ns=NS, selector="app=web")[0]["status"]["podIP"]
    authority = f"web.{NS}.svc.cluster.local:80"
    _, said, _ = c.shell(f"tulle diagnostics endpoints {authority} -o json")
    rows = json.loads(said)
    assert [(row["namespace"], row["ip"], row["service"]) for row in rows] == [(NS, address, f"web.{NS}")], said
    assert rows[0]["pod"].startswith("web-"), said
    _, said, _ = c.shell(f"linkerd diagnostics endpoints {authority}")
    assert said.split()[:5] == ["NAMESPACE", "IP", "PORT", "POD", "SERVICE"] and address in said, said
    code, said, _ = c.shell(f"tulle dg ep none.{NS}.svc.cluster.local:80")
    assert code == 0 and not said
    code, said, why = c.shell(f"tulle dg ep web.{NS}", check=False)
    assert code == 1 and not said and "a name and a port are wanted" in why, why
    port = rows[0]["port"]
    _, said, _ = c.shell(f"tulle diagnostics policy -n {NS} po/{rows[0]['pod']} {port} -o json")
    policy = json.loads(said)
    assert "detect" in policy["protocol"] and policy["authorizations"], said
    _, said, _ = c.shell(f"tulle diagnostics policy -n {NS} svc/web 80")
    assert "protocol:" in said and "name: web" in said, said
    code, said, why = c.shell(f"tulle diagnostics policy -n {NS} po/none 80", check=False)
    assert code == 1 and not said and "does not know it" in why, why
    _, said, _ = c.shell(f"tulle diagnostics profile {authority}")
    assert json.loads(said)["fully_qualified_name"] == f"web.{NS}.svc.cluster.local", said
    c.kubectl("create", "serviceaccount", "visitor", "-n", NS)
    c.kubectl("create", "role", "sees-pods", "-n", MESH, "--verb=get,list", "--resource=pods")
    c.kubectl("create", "rolebinding", "visitor", "-n", MESH, "--role=sees-pods", f"--serviceaccount={NS}:visitor")
    code, said, why = c.shell(f"tulle dg ep {authority} --as system:serviceaccount:{NS}:visitor", check=False)
    assert code == 1 and not said and "pods/portforward" in why, why
    c.kubectl("delete", "rolebinding/visitor", "role/sees-pods", "-n", MESH)


def a_pod_that_should_be_meshed_and_is_not_is_named(c):
    c.apply(deployment("bare", NS, server()))
    c.rollout(NS, "deploy/bare")
    c.kubectl("annotate", "namespace", NS, "linkerd.io/inject=enabled")
    _, said, _ = c.shell("tulle check -o short --wait 5s", check=False)
    assert "bare-" in said and "pods that should be meshed are" in said, said
    c.kubectl("annotate", "namespace", NS, "linkerd.io/inject-")
    c.kubectl("-n", NS, "delete", "deploy/bare")


def it_goes_only_when_nobody_needs_it_and_leaves_nothing(c):
    code, out, why = c.shell("tulle uninstall", check=False)
    assert code == 1 and not out and f"{NS}/web-" in why, why
    assert c.shell("tulle prune")[1] == "", "nothing of it is left over"
    for name in ("web", "client"):
        c.kubectl("-n", NS, "delete", f"deploy/{name}")
    wait(lambda: not c.get("pods", ns=NS), "no pod is left", 60, 0.5)
    c.shell("tulle uninstall | kubectl delete -f -")
    _, said, _ = c.shell("tulle check --pre")
    assert "Status check results are √" in said, said
    left = c.kubectl("get", "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,crds", "-l",
                     "linkerd.io/control-plane-ns", "-o", "name")
    assert left == "", left


CASES = [before_it_may_be_installed, it_installs_and_check_waits_until_all_is_well, the_data_plane_is_seen,
         pods_prove_who_they_are, the_control_plane_says_what_it_tells_proxies, a_pod_that_should_be_meshed_and_is_not_is_named,
         it_goes_only_when_nobody_needs_it_and_leaves_nothing]


def main():
    cluster = Cluster()
    with cluster.namespace(NS):
        try:
            report(CASES, cluster, on_failure=lambda: (cluster.describe(NS), cluster.describe(MESH)))
        finally:
            cluster.shell("tulle uninstall --force | kubectl delete -f - --ignore-not-found", check=False)
            cluster.delete_namespace(MESH)


main()
