#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The cluster does what the other tests rely on: pods over three nodes, Services, DNS, Jobs, webhooks, captures, faults."""
import base64
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "../netns"))
from capture import read_flows  # noqa: E402
from harness import Cluster, container, deployment, job, pod, report, run, server, service, spread, wait  # noqa: E402

NS = "basics"


def pods_run_on_every_node(c):
    c.apply(deployment("web", NS, server(), replicas=3, topologySpreadConstraints=spread("web")), service("web", NS),
            pod("client", NS, container(command=["sleep", "3600"]), nodeName="node1"))
    c.rollout(NS, "deploy/web")
    c.kubectl("-n", NS, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    assert sorted(p["spec"]["nodeName"] for p in c.get("pods", ns=NS, selector="app=web")) == ["node1", "node2", "node3"]


def services_reach_all_their_pods(c):
    nodes = {json.loads(c.exec(NS, "client", "wget", "-qO-", "http://web/"))["node"] for _ in range(30)}
    assert nodes == {"node1", "node2", "node3"}, nodes


def names_resolve(c):
    ip = c.get("service", "web", ns=NS)["spec"]["clusterIP"]
    assert ip in c.exec(NS, "client", "nslookup", f"web.{NS}.svc.cluster.local")
    assert c.exec(NS, "client", "wget", "-qO-", f"http://web.{NS}/status/200") == ""


def jobs_end_with_their_own_exit_code(c):
    side = container("side", args=["serve", "-port=9000"], restartPolicy="Always")
    c.apply(job("good", NS, container(args=["get", "http://web/"]), initContainers=[side]),
            job("bad", NS, container(command=["sh", "-c", "exit 3"]), initContainers=[side]))
    c.kubectl("-n", NS, "wait", "--for=condition=Complete", "job/good", "--timeout=60s")
    c.kubectl("-n", NS, "wait", "--for=condition=Failed", "job/bad", "--timeout=60s")
    ended = c.get("pods", ns=NS, selector="app=bad")[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 3, ended
    assert c.logs(NS, "job/good", "-c", "app").startswith("200 "), "the job's own output"


def exec_and_logs_work_on_every_node(c):
    for p in c.get("pods", ns=NS, selector="app=web"):
        name = p["metadata"]["name"]
        assert c.exec(NS, name, "hostname").strip() == name
        c.logs(NS, name)


def captures_see_what_passes_between_nodes(c):
    there = next(p for p in c.get("pods", ns=NS, selector="app=web") if p["spec"]["nodeName"] == "node2")["status"]["podIP"]
    with c.capture() as capture:
        c.exec(NS, "client", "wget", "-qO-", "--header", "X-Canary: plain-canary", f"http://{there}:8080/")
        flows = [f for f in read_flows(capture.end()) if f.server == (there, 8080)]
    assert len(flows) >= 1, "no flow to the pod was captured"
    assert any(b"plain-canary" in f.payload() for f in flows), "what is sent in the clear is found"
    assert not any(f.is_tls() for f in flows if f.payload())


def nothing_leaves_the_machine(c):
    assert c.on(1, "curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "http://192.0.2.1/", check=False) == "000"
    routes = run("ip", "-n", c.fabric, "route").strip().splitlines()
    assert routes and all(line.startswith("172.30.0.0/24") for line in routes), routes


def webhooks_change_pods(c):
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = os.path.join(folder, "key"), os.path.join(folder, "crt")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
            "-subj", f"/CN=hook.{NS}.svc", "-addext", f"subjectAltName=DNS:hook.{NS}.svc")
        c.kubectl("-n", NS, "create", "secret", "tls", "hook", f"--cert={certificate}", f"--key={key}")
        with open(certificate, "rb") as f:
            bundle = base64.b64encode(f.read()).decode()
    hook = container(args=["webhook", "-cert=/tls/tls.crt", "-key=/tls/tls.key"], volumeMounts=[{"name": "tls", "mountPath": "/tls"}],
                     readinessProbe={"tcpSocket": {"port": 8443}, "periodSeconds": 1})
    c.apply(deployment("hook", NS, hook, volumes=[{"name": "tls", "secret": {"secretName": "hook"}}]), service("hook", NS, 443, 8443))
    c.rollout(NS, "deploy/hook")
    c.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": NS}, "webhooks": [{
        "name": f"hook.{NS}.svc", "clientConfig": {"service": {"name": "hook", "namespace": NS, "path": "/"}, "caBundle": bundle},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NS}}, "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "failurePolicy": "Fail", "timeoutSeconds": 5}]})
    try:
        def mutated():
            return c.kubectl("-n", NS, "run", "probe", "--image=localhost/busybox:1", "--dry-run=server", "-o", "jsonpath={.metadata.labels.mutated}") == "yes"
        wait(mutated, "the API server asks the webhook", 20)
    finally:
        c.kubectl("delete", "mutatingwebhookconfiguration", NS)


def a_load_counts_its_failures(c):
    good = json.loads(c.exec(NS, "client", "/testd", "load", "-rate=100", "-seconds=2", "http://web/"))
    assert good["failed"] == 0 and good["requests"] >= 150, good
    bad = json.loads(c.exec(NS, "client", "/testd", "load", "-rate=50", "-seconds=1", "http://web/status/503", check=False))
    assert bad["failed"] == bad["requests"] > 0 and any("503" in reason for reason in bad["reasons"]), bad


def proxy_image(c):
    images = c.on(1, "ctr", "-n", "k8s.io", "images", "ls", "-q").splitlines()
    image = next((line for line in images if line.startswith("docker.io/tulle/proxy:")), None)
    assert image, "the proxy's image is not loaded"
    return image


RESTRICTED = {"runAsNonRoot": True, "runAsUser": 65534, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
              "seccompProfile": {"type": "RuntimeDefault"}}


def init_starts_without_any_capability(c):
    """What the file may have it need not have: a container that drops everything still runs the program."""
    security = {**RESTRICTED, "capabilities": {"drop": ["ALL"]}}
    c.apply(job("rules", NS, container(image=proxy_image(c), command=["/usr/lib/linkerd/linkerd2-proxy-init"], securityContext=security,
                                       args=["-p", "4143", "-o", "4140", "--simulate"])))
    c.kubectl("-n", NS, "wait", "--for=condition=Complete", "job/rules", "--timeout=60s")
    assert "4143" in c.logs(NS, "job/rules")


def init_redirects_as_nobody(c):
    """The layer's file capabilities reach the node: the rules are set by uid 65534, and a connection to any port comes to 4143."""
    security = {**RESTRICTED, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}}
    init = container("init", proxy_image(c), command=["/usr/lib/linkerd/linkerd2-proxy-init"], args=["-p", "4143", "-o", "4140", "-u", "2102"],
                     securityContext=security)
    c.apply(pod("redirected", NS, container(args=["serve", "-port=4143"]), initContainers=[init]))
    c.kubectl("-n", NS, "wait", "--for=condition=Ready", "pod/redirected", "--timeout=60s")
    ip = c.get("pod", "redirected", ns=NS)["status"]["podIP"]
    answer = json.loads(c.exec(NS, "client", "wget", "-qO-", f"http://{ip}:8080/"))
    assert answer["pod"] == "redirected" and answer["port"] == 4143, answer


def a_killed_api_server_comes_back(c):
    ip = c.get("service", "web", ns=NS)["spec"]["clusterIP"]
    with c.hold("apiserver"):
        assert c.kubectl("get", "--raw=/readyz", check=False, timeout=30) == ""
        assert json.loads(c.on(2, "curl", "-s", "-m", "5", f"http://{ip}/"))["pod"], "Services work on without it"
    wait(lambda: c.kubectl("get", "--raw=/readyz") == "ok", "the API server answers again", 60)


def a_killed_node_comes_back(c):
    """Power cut and boot: its pods are the same and run again."""
    before = next(p for p in c.get("pods", ns=NS, selector="app=web") if p["spec"]["nodeName"] == "node3")
    name, ip = before["metadata"]["name"], before["status"]["podIP"]

    def reached(address):
        return "200" in c.exec(NS, "client", "/testd", "get", "-timeout=1s", f"http://{address}:8080/", check=False)
    assert reached(ip)
    c.kill_node(3)
    assert not reached(ip), "nothing answers on a node that is gone"
    c.start_node(3)

    def again():
        pod_now = c.get("pod", name, ns=NS)
        return pod_now["status"]["containerStatuses"][0]["restartCount"] == 1 and reached(pod_now["status"]["podIP"])
    wait(again, "its pod runs and answers again", 90)


CASES = [pods_run_on_every_node, services_reach_all_their_pods, names_resolve, jobs_end_with_their_own_exit_code, exec_and_logs_work_on_every_node,
         captures_see_what_passes_between_nodes, nothing_leaves_the_machine, webhooks_change_pods, a_load_counts_its_failures,
         init_starts_without_any_capability, init_redirects_as_nobody, a_killed_api_server_comes_back, a_killed_node_comes_back]


def main():
    cluster = Cluster()
    with cluster.namespace(NS):
        report(CASES, cluster, on_failure=lambda: cluster.describe(NS))


main()
