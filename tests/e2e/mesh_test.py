#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The mesh as a user gets it: installed by Helm with no certificate given, the first example meshed by one annotation."""
import os
import re
import sys
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.append(os.path.join(HERE, "../netns"))  # behind: it has a mesh.py, too
from capture import read_flows  # noqa: E402
from harness import TOP, Cluster, Failed, container, deployment, job, pod, report, server, wait  # noqa: E402
from mesh import CONTROL, MESH, describe, install, kill_container, ready_pods, uninstall  # noqa: E402

NS, CANARY = "shop", b"canary-7c1f3b2e"
LIFETIME, SKEW = 60 if os.environ.get("TULLE_SOAK") else 600, 5  # seconds, of certificates: short, so that anchors can be replaced while one looks
# Some values of a Linkerd installation as it is, some to make the test quick.
VALUES = ["--set", f"identity.issuer.issuanceLifetime={LIFETIME}s,identity.issuer.clockSkewAllowance={SKEW}s",
          "--set", "proxy.logLevel=warn\\,linkerd=info"]


def client(c, *command, **options):
    return c.exec(NS, "deploy/client", *command, container="client", **options)


def metric(c, name, pattern):
    """The sum of a family's samples that match, in the client's proxy."""
    text = c.exec(NS, "deploy/client", "curl", "-s", "http://localhost:4191/metrics", container="client")
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{") and re.search(pattern, line))


class Load:
    """hey from the client, counted: 200 requests a second until it is asked for."""

    def __init__(self, c, seconds):
        self.text = ""
        self.thread = threading.Thread(target=self.work, args=(c, seconds))
        self.thread.start()
        self.seconds = seconds
        time.sleep(1)

    def work(self, c, seconds):
        # In the background: the API server, over which we run it, may be away meanwhile.
        client(c, "sh", "-c", f"hey -z {seconds}s -c 4 -q 50 http://web/ > /tmp/hey.txt 2>&1 &")
        time.sleep(seconds + 2)
        self.text = wait(lambda: client(c, "cat", "/tmp/hey.txt"), "the load has ended", 90)

    def end(self):
        """(answered with 200, everything else)"""
        self.thread.join()
        codes = dict(re.findall(r"\[(\d+)\]\s+(\d+) responses", self.text))
        errors = sum(map(int, re.findall(r"^\s+\[(\d+)\]\t", self.text.partition("Error distribution")[2], re.M)))
        good = int(codes.pop("200", 0))
        return good, errors + sum(map(int, codes.values()))


def nothing_failed(load):
    good, bad = load.end()
    print(f"# {good} requests, {bad} failed")
    assert good > load.seconds * 20 and bad == 0, load.text


def it_installs(c):
    print(f"# the control plane is ready after {install(c, *VALUES):.1f} s")
    for name in ("linkerd-identity-issuer", "linkerd-identity-rotation", "linkerd-proxy-injector-k8s-tls"):
        assert c.get("secret", name, ns=MESH)["data"], name


def one_annotation_meshes_the_first_example(c):
    c.images("nginx", "redis", "mariadb", "client")
    c.kubectl("annotate", "namespace", NS, "linkerd.io/inject=enabled", "--overwrite")
    with open(os.path.join(TOP, "examples/kubernetes/first.yaml"), encoding="utf-8") as f:
        c.apply(f.read())
    for name in ("web", "admin", "cache", "db", "client"):
        c.rollout(NS, f"deploy/{name}")
    for p in c.get("pods", ns=NS):
        names = [i["name"] for i in p["spec"].get("initContainers", [])]
        assert names[:2] == ["linkerd-init", "linkerd-proxy"], (p["metadata"]["name"], names)
        assert p["metadata"]["labels"]["linkerd.io/control-plane-ns"] == MESH


def everything_works_as_before_and_is_mutual_tls(c):
    assert {client(c, "curl", "-sS", "http://web/").split()[0] for _ in range(10)} == {"hello"}
    assert client(c, "redis-cli", "-h", "cache", "set", "k", "v").strip() == "OK"
    assert client(c, "mariadb", "-hdb", "-P13306", "-uapp", "-papp", "--skip-ssl", "-Ne", "SELECT 6*7").strip() == "42"
    secured = metric(c, "tcp_open_total", r'direction="outbound",peer="dst".*tls="true"')
    plain = metric(c, "tcp_open_total", r'direction="outbound",peer="dst".*tls="(?!true)')
    assert secured >= 3 and plain == 0, (secured, plain)


def between_nodes_everything_is_tls(c):
    c.apply(pod("plain", NS, container(image="local/client", command=["sleep", "3600"]), annotations={"linkerd.io/inject": "disabled"}))
    c.kubectl("-n", NS, "wait", "--for=condition=Ready", "pod/plain", "--timeout=60s")
    pods = {p["status"]["podIP"]: p for p in c.get("pods", ns=NS)}
    meshed = {ip for ip, p in pods.items() if p["metadata"]["name"] != "plain"}
    with c.capture() as capture:
        for _ in range(4):
            client(c, "curl", "-sS", "-H", "X-Canary: canary-7c1f3b2e-request", "http://web/")
        client(c, "redis-cli", "-h", "cache", "set", "k", "canary-7c1f3b2e")
        for _ in range(6):
            c.exec(NS, "plain", "curl", "-sS", "http://web/")
        flows = read_flows(capture.end())
    # Connections that were open before the capture begin in the middle of a record: what is in them still must not be readable.
    between = [f for f in flows if f.client[0] in meshed and f.server[0] in meshed and f.payload()]
    assert between and not [f for f in between if CANARY in f.payload()], len(between)
    plain = {ip for ip, p in pods.items() if p["metadata"]["name"] == "plain"}
    assert [f for f in flows if (f.client[0] in plain or f.server[0] in plain) and CANARY in f.payload()], "the unmeshed pod's canary is found"


def jobs_complete_with_their_own_exit_code(c):
    c.apply(job("good", NS, container(args=["get", "http://web/"])), job("bad", NS, container(command=["sh", "-c", "wget -qO- http://web/ >/dev/null && exit 3"])))
    c.kubectl("-n", NS, "wait", "--for=condition=Complete", "job/good", "--timeout=60s")
    c.kubectl("-n", NS, "wait", "--for=condition=Failed", "job/bad", "--timeout=60s")
    ended = c.get("pods", ns=NS, selector="app=bad")[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 3, ended
    for p in c.get("pods", ns=NS, selector="app=good"):
        assert p["status"]["initContainerStatuses"][1]["state"]["terminated"]["exitCode"] == 0, p["status"]


def policies_deny_and_allow(c):
    # Not the path of the probe: that one is open to whoever may be a kubelet.
    def status(pod_name):
        return c.exec(NS, pod_name, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://admin/private", container="client" if "client" in pod_name else None)
    assert status("deploy/client") == "200" and status("plain") == "200"
    with open(os.path.join(TOP, "examples/first/policy.yaml"), encoding="utf-8") as f:
        policy = f.read()
    c.apply(policy)
    try:
        wait(lambda: status("plain") == "403", "the unmeshed pod is denied", 10)
        assert status("deploy/client") == "200"
        # Probes of the kubelet still come in: the pod stays ready.
        time.sleep(3)
        assert ready_pods(c, NS, "app=admin")
    finally:
        c.kubectl("delete", "-f", "-", stdin=policy)
    wait(lambda: status("plain") == "200", "everybody is admitted again", 10)


def a_bad_policy_is_refused_by_name(c):
    bad = {"apiVersion": "policy.linkerd.io/v1alpha1", "kind": "AuthorizationPolicy", "metadata": {"name": "bad", "namespace": NS},
           "spec": {"targetRef": {"group": "policy.linkerd.io", "kind": "Nonsense", "name": "x"}, "requiredAuthenticationRefs": []}}
    try:
        c.apply(bad)
    except RuntimeError as error:
        assert "linkerd-policy-validator.linkerd.io" in str(error), error
        return
    raise AssertionError("a policy that targets nothing known was taken")


def a_rolling_restart_loses_no_request(c):
    load = Load(c, 25)
    c.kubectl("-n", NS, "rollout", "restart", "deploy/web")
    c.rollout(NS, "deploy/web")
    nothing_failed(load)


def a_killed_control_plane_loses_no_request(c):
    load = Load(c, 60)
    for _ in range(5):
        killed = wait(lambda: ready_pods(c, MESH, CONTROL), "the control plane is ready", 60)[0]
        kill_container(c, killed, "control")
        # The kubelet starts a container at once only the first time: the next one is killed in a pod of its own.
        c.kubectl("-n", MESH, "delete", "pod", killed["metadata"]["name"], "--force", "--grace-period=0")
    c.rollout(MESH, "deploy/linkerd-control-plane")
    nothing_failed(load)


def an_absent_api_server_loses_no_request(c):
    away = 40 if os.environ.get("TULLE_SOAK") else 10
    load = Load(c, away + 12)
    with c.hold("apiserver"):
        time.sleep(away)
    nothing_failed(load)
    wait(lambda: c.get("namespaces"), "the API server is back", 60)


def the_anchor_is_replaced_under_load(c):
    def anchors():
        return c.get("configmap", "linkerd-identity-trust-roots", ns=MESH)["data"]["ca-bundle.crt"]
    before = anchors()
    c.apply(pod("bystander", NS, server()))
    # After the API server was away the scheduler looks again only when its own pause is over.
    c.kubectl("-n", NS, "wait", "--for=condition=Ready", "pod/bystander", "--timeout=150s", timeout=160)
    load = Load(c, 150)
    c.kubectl("-n", MESH, "annotate", "secret", "linkerd-identity-rotation", "linkerd.io/replace-anchor=now", "--overwrite")
    wait(lambda: anchors().count("BEGIN") == 2, "the new anchor is announced", 30)
    kill_container(c, c.get("pod", "bystander", ns=NS), "linkerd-proxy")
    wait(lambda: anchors().count("BEGIN") == 1 and before not in anchors(), "the new anchor is alone", 145)
    nothing_failed(load)
    # A pod that knows the old anchor only comes back when its containers are started again.
    for p in (ready_pods(c, NS, "app=client")[0], c.get("pod", "bystander", ns=NS)):
        kill_container(c, p, "linkerd-proxy")
    assert client(c, "curl", "-sS", "http://web/").startswith("hello")


def unmeshed_pods(c, ns):
    """How many pods of the namespace should have a proxy and have none, by the control plane's metrics."""
    text = c.shell("tulle diagnostics controller-metrics")[1]
    return [int(n) for n in re.findall(rf'^tulle_unmeshed_pods{{namespace="{ns}"}} (\d+)$', text, re.M)]


def with_the_injector_down_nothing_starts_unmeshed_unnoticed(c):
    load = Load(c, 25)
    c.kubectl("-n", MESH, "scale", "deploy/linkerd-control-plane", "--replicas=0")
    wait(lambda: not c.get("pods", ns=MESH, selector="linkerd.io/control-plane-component=control-plane"), "the control plane is gone", 60)
    with c.namespace("outside"):
        try:
            c.apply(deployment("web", "outside", server()))
            c.rollout("outside", "deploy/web")
            try:
                c.apply(pod("late", NS, server()))
            except RuntimeError as error:
                assert "namespaces.linkerd-proxy-injector.linkerd.io" in str(error), error
            else:
                raise AssertionError("a pod that should be meshed started without its proxy")
            # Nobody is there who would take this namespace into the webhook's selector.
            c.kubectl("annotate", "namespace", "outside", "linkerd.io/inject=enabled")
            c.apply(pod("early", "outside", server()))
        finally:
            c.kubectl("-n", MESH, "scale", "deploy/linkerd-control-plane", "--replicas=1")
            c.rollout(MESH, "deploy/linkerd-control-plane")
        nothing_failed(load)  # what runs goes on
        wait(lambda: unmeshed_pods(c, "outside") == [2], "both pods without a proxy are counted", 30)
        if os.environ.get("TULLE_SOAK"):
            wait(lambda: {e["involvedObject"]["name"] for e in c.get("events", ns="outside") if e["reason"] == "NotInjected"} == {"web", "early"},
                 "Events tell of both", 90)
    wait(lambda: not unmeshed_pods(c, "outside"), "none is counted any more", 30)


def uninstalling_leaves_nothing(c):
    c.helm("uninstall", "linkerd-control-plane", "-n", MESH, "--wait")
    c.helm("uninstall", "linkerd-crds", "-n", MESH, "--wait")

    def left():
        text = ""
        for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations", "clusterroles", "clusterrolebindings", "crds"):
            text += c.kubectl("get", kind, "-o", "name", "-l", "linkerd.io/control-plane-ns", check=False)
        for kind in ("secrets", "configmaps", "services", "deployments", "roles", "rolebindings", "serviceaccounts"):
            text += c.kubectl("-n", MESH, "get", kind, "-o", "name", "-l", "linkerd.io/control-plane-ns", check=False)
        # Made by the control plane itself, as its Secrets are.
        text += c.kubectl("-n", MESH, "get", "lease", "linkerd-control-plane-write", "-o", "name", "--ignore-not-found", check=False)
        return text
    try:
        wait(lambda: not left(), "every object of the mesh is gone", 150)
    except Failed as error:
        raise Failed(f"{error}: {left()}") from error


CASES = [it_installs, one_annotation_meshes_the_first_example, everything_works_as_before_and_is_mutual_tls, between_nodes_everything_is_tls,
         jobs_complete_with_their_own_exit_code, policies_deny_and_allow, a_bad_policy_is_refused_by_name, a_rolling_restart_loses_no_request,
         a_killed_control_plane_loses_no_request, an_absent_api_server_loses_no_request, with_the_injector_down_nothing_starts_unmeshed_unnoticed,
         uninstalling_leaves_nothing]
if os.environ.get("TULLE_SOAK"):
    CASES.insert(-2, the_anchor_is_replaced_under_load)  # three minutes


def main():
    cluster = Cluster()
    with cluster.namespace(NS):
        try:
            report(CASES, cluster, on_failure=lambda: describe(cluster, NS))
        finally:
            uninstall(cluster)


main()
