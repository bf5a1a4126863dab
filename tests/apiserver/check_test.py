#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tulle check` against a real API server: an installation that is well, and many that are not.

usage: check_test.py BIN_DIR      (root; prints TAP; everything runs in a network and pid namespace of its own)

No kubelet and no controller runs: what they would write, the test writes, so that every state can be had.
"""
import base64
import contextlib
import hashlib
import http.server
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import yaml

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from apiserver import ApiServer, Certificates, Pki, run  # noqa: E402
from kubernetes_test import kube_node, pod, running, service  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
NS = "linkerd"
PARTS = ("proxy-injector", "sp-validator", "policy-validator")


def b64(text):
    return base64.b64encode(text.encode()).decode()


class World:
    def __init__(self, binaries, folder):
        self.tulle = os.path.join(binaries, "tulle")
        self.folder = folder
        self.path = folder + "/path"  # of programs of extensions
        os.makedirs(self.path)
        self.pki = Pki(folder + "/pki")
        self.server = ApiServer(kube_node(), self.pki, folder + "/server")
        self.server.start()
        self.certificates = Certificates(folder + "/certificates")
        self.version = run(self.tulle, "--version").split()[-1]

    def install(self):
        helm = run(os.path.join(HERE, "..", "e2e", "cluster", "build"), "helm").split()[1]
        link = os.path.join(self.folder, "helm")
        if not os.path.exists(link):
            os.symlink(helm, link)
        self.server.kubectl("create", "namespace", NS)
        root, _ = self.certificates.make("root", days=3650)
        for chart in ("linkerd-crds", "linkerd-control-plane"):
            text = run(link, "template", "linkerd", f"{TOP}/charts/{chart}", "-n", NS, "--kube-version", "1.34.0", *(("--set", f"linkerdVersion={self.version}") if chart != "linkerd-crds" else ()))
            self.server.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
        # What the control plane makes at run time.
        self.server.apply(self.roots(root), self.issuer(*self.certificates.make("issuer", by="root")))
        for part in PARTS:
            self.serve(part)
        for name in ("a", "b"):
            self.server.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{name}"}, "spec": {"podCIDRs": [f"10.{ord(name)}.0.0/24"]}})
        # What controllers and kubelets make.
        deployment = json.loads(self.server.kubectl("-n", NS, "get", "deploy", "linkerd-control-plane", "-o", "json"))
        template = deployment["spec"]["template"]
        labels = {**template["metadata"]["labels"], "pod-template-hash": "abc"}
        self.server.apply({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "linkerd-control-plane-abc", "namespace": NS, "labels": labels},
                           "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {**template, "metadata": {"labels": labels}}}},
                          {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "linkerd-control-plane-abc-1", "namespace": NS, "labels": labels},
                           "spec": {"nodeName": "na", "containers": [{"name": "control", "image": f"tulle/controller:{self.version}", "ports": [{"name": "admin-http", "containerPort": 9990}]}]}})
        self.status(True)

    def status(self, ready):
        self.server.patch_status("rs", NS, "linkerd-control-plane-abc", {"replicas": 1, "readyReplicas": 1 if ready else 0})
        status = running("10.97.0.5")
        if not ready:
            status["conditions"][0]["status"] = "False"
            status["containerStatuses"] = [{"name": "control", "image": "i", "imageID": "", "ready": False, "restartCount": 4,
                                            "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
        self.server.patch_status("pod", NS, "linkerd-control-plane-abc-1", {**status, **({"containerStatuses": []} if ready else {})})

    def roots(self, pem):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "linkerd-identity-trust-roots", "namespace": NS}, "data": {"ca-bundle.crt": pem}}

    def issuer(self, certificate, key, **annotations):
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "linkerd-identity-issuer", "namespace": NS, "annotations": annotations},
                "data": {"crt.pem": b64(certificate), "key.pem": b64(key)}}

    @contextlib.contextmanager
    def values(self, **given):
        """The chart's values are these, too."""
        config = json.loads(self.server.kubectl("-n", NS, "get", "configmap", "linkerd-config", "-o", "json"))["data"]["values"]
        text = yaml.safe_dump({**yaml.safe_load(config), **given})
        self.server.kubectl("-n", NS, "patch", "configmap", "linkerd-config", "--type=merge", "-p", json.dumps({"data": {"values": text}}))
        try:
            yield
        finally:
            self.server.kubectl("-n", NS, "patch", "configmap", "linkerd-config", "--type=merge", "-p", json.dumps({"data": {"values": config}}))

    def program(self, name, text):
        with open(f"{self.path}/{name}", "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n" + text)
        os.chmod(f.name, 0o755)

    def serve(self, part, bundle=None):
        certificate, key = self.certificates.make(part, by="root", ca=False, san=f"DNS:linkerd-{part}.{NS}.svc")
        self.server.apply({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": f"linkerd-{part}-k8s-tls", "namespace": NS},
                           "data": {"tls.crt": b64(certificate), "tls.key": b64(key)}})
        self.trust(part, bundle or self.certificates.read("root")[0])

    def trust(self, part, pem):
        kind = "mutatingwebhookconfiguration" if part == "proxy-injector" else "validatingwebhookconfiguration"
        name = f"linkerd-{part}-webhook-config"
        entries = json.loads(self.server.kubectl("get", kind, name, "-o", "json"))["webhooks"]
        # Never called in this test: nothing serves it.
        patch = [{"op": "add", "path": f"/webhooks/{i}/clientConfig/caBundle", "value": b64(pem)} for i in range(len(entries))]
        patch += [{"op": "add", "path": f"/webhooks/{i}/failurePolicy", "value": "Ignore"} for i in range(len(entries))]
        self.server.kubectl("patch", kind, name, "--type=json", "-p", json.dumps(patch))

    def check(self, *flags, kubeconfig=None, wait="0s"):
        """exit code, and of each check that did not succeed its result and error, by description"""
        done = subprocess.run((self.tulle, "check", "-o", "json", "--wait", wait, "--kubeconfig", kubeconfig or self.server.admin, *flags), capture_output=True, text=True,
                              env={**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}"})
        assert done.returncode in (0, 1), f"exit {done.returncode}: {done.stderr}"
        report = json.loads(done.stdout)
        assert report["success"] == (done.returncode == 0), report
        self.report = report
        return done.returncode, {c["description"]: c for category in report["categories"] for c in category["checks"] if c["result"] != "success"}

    @contextlib.contextmanager
    def without(self, kind, name, namespace=None):
        """The object is not there; afterwards it is again."""
        place = ("-n", namespace) if namespace else ()
        kept = json.loads(self.server.kubectl(*place, "get", kind, name, "-o", "json"))
        for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"):
            kept["metadata"].pop(field, None)
        self.server.kubectl(*place, "delete", kind, name, "--wait=true", "--timeout=30s")
        try:
            yield
        finally:
            kept.pop("status", None)
            self.server.apply(kept)

    def broken(self, description, *words, result="error", flags=(), hint=None):
        code, bad = self.check(*flags)
        assert description in bad, f"{description} should be wrong: {json.dumps(bad, indent=1, ensure_ascii=False)}"
        found = bad[description]
        assert found["result"] == result, found
        assert code == (1 if result == "error" else 0), (code, bad)
        for word in words:
            assert word in found["error"], f"{word} is not in: {found['error']}"
        if hint:
            assert found["hint"] == f"https://linkerd.io/2/checks/#{hint}", found

    def well(self, *flags):
        code, bad = self.check(*flags)
        assert code == 0 and not bad, json.dumps(bad, indent=1, ensure_ascii=False)


def before(w):
    """--pre: all is well for an administrator, and a nobody is told what is missing; without --pre nothing is found."""
    w.well("--pre")
    assert [c["categoryName"] for c in w.report["categories"]] == ["kubernetes-api", "kubernetes-version", "pre-kubernetes-setup"], w.report
    code, bad = w.check("--pre", "--as", "nobody", "--as-group", "system:authenticated")
    assert code == 1 and "create customresourcedefinitions" in bad["can create non-namespaced resources"]["error"], bad
    assert bad["can read Secrets"]["hint"].endswith("#pre-k8s"), bad
    w.broken("'linkerd-config' config map exists", 'configmaps "linkerd-config" not found', "-L", hint="l5d-existence-linkerd-config")
    assert w.report["categories"][-1]["categoryName"] == "linkerd-existence", "a fatal failure ends the run"
    assert len(w.report["categories"][-1]["checks"]) == 1
    w.broken("control plane CustomResourceDefinitions exist", "missing servers.policy.linkerd.io", "linkerd-crds", flags=("--crds",))


def healthy(w):
    """An installation that is well: every check succeeds, in the order of the reference, in every format."""
    w.install()
    w.well()
    names = [c["categoryName"] for c in w.report["categories"]]
    assert names == ["kubernetes-api", "kubernetes-version", "linkerd-existence", "linkerd-config", "linkerd-identity", "linkerd-webhooks-and-apisvc-tls",
                     "control-plane-version", "linkerd-identity-data-plane", "tulle-mesh", "linkerd-extension-checks"], names
    w.well("--proxy")
    w.well("--crds")
    code, bad = w.check("--pre")
    assert code == 1 and "already exists" in bad["control plane namespace does not already exist"]["error"], bad
    text = run(w.tulle, "check", "--kubeconfig", w.server.admin)
    assert text.startswith("kubernetes-api\n--------------\n√ can initialize the client\n√ can query the Kubernetes API\n\nkubernetes-version\n"), text
    assert text.endswith("\n\nStatus check results are √\n"), text
    assert run(w.tulle, "check", "-o", "basic", "--kubeconfig", w.server.admin) == text
    assert run(w.tulle, "check", "-o", "short", "--kubeconfig", w.server.admin) == "Status check results are √\n"
    w.broken("cli is up-to-date", "edge-99", result="warning", flags=("--expected-version", "edge-99"), hint="l5d-version-cli")


def unreachable(w):
    """No kubeconfig, and no API server."""
    code, bad = w.check(kubeconfig="/nowhere")
    assert code == 1 and "/nowhere" in bad["can initialize the client"]["error"] and "--kubeconfig" in bad["can initialize the client"]["error"], bad
    code, bad = w.check(kubeconfig=w.pki.kubeconfig(9))
    assert code == 1 and "https://127.0.0.1:9" in bad["can query the Kubernetes API"]["error"], bad


def parts(w):
    """What belongs to the installation is missing."""
    with w.without("crd", "servers.policy.linkerd.io"):
        w.broken("control plane CustomResourceDefinitions exist", "missing servers.policy.linkerd.io", hint="l5d-existence-crd")
    with w.without("clusterrole", "linkerd-linkerd-control-plane"):
        w.broken("control plane ClusterRoles exist", "linkerd-linkerd-control-plane", "helm upgrade", hint="l5d-existence-cr")
    with w.without("clusterrolebinding", "linkerd-linkerd-control-plane"):
        w.broken("control plane ClusterRoleBindings exist", "linkerd-linkerd-control-plane", hint="l5d-existence-crb")
    with w.without("serviceaccount", "linkerd-control-plane", NS):
        w.broken("control plane ServiceAccounts exist", "linkerd-control-plane", hint="l5d-existence-sa")
    with w.without("mutatingwebhookconfiguration", "linkerd-proxy-injector-webhook-config"):
        w.broken("control plane MutatingWebhookConfigurations exist", "linkerd-proxy-injector-webhook-config", hint="l5d-existence-mwc")
    with w.without("rolebinding", "linkerd-control-plane", NS):
        w.broken("control plane has the rights it needs", "watch secrets", "update leases")
    w.well()


def row_1_10(w, root):
    """The issuer as cert-manager writes it, good for 48 hours: a warning and nothing else, exit 0, also with --proxy."""
    certificate, key = w.certificates.read("short")
    # The type of a Secret cannot be changed: cert-manager's own is there before the mesh.
    w.server.kubectl("-n", NS, "delete", "secret", "linkerd-identity-issuer")
    made = w.issuer(certificate, key, **{"cert-manager.io/certificate-name": "linkerd-identity-issuer", "cert-manager.io/issuer-name": "ca-issuer"})
    w.server.apply({**made, "type": "kubernetes.io/tls", "data": {"tls.crt": b64(certificate), "tls.key": b64(key), "ca.crt": b64(root)}})
    for flags in ((), ("--proxy",)):
        code, bad = w.check(*flags)
        assert code == 0 and w.report["success"] and list(bad) == ["issuer cert is valid for at least 60 days"], bad
        told = bad["issuer cert is valid for at least 60 days"]
        assert told["result"] == "warning" and "cert-manager renews it" in told["error"], told
    text = run(w.tulle, "check", "--kubeconfig", w.server.admin)
    assert "‼ issuer cert is valid for at least 60 days\n" in text and text.endswith("Status check results are √\n"), text
    w.server.kubectl("-n", NS, "delete", "secret", "linkerd-identity-issuer")


def certificates(w):
    """Anchors, issuer and webhooks: missing, ended, of others, soon over."""
    root, _ = w.certificates.read("root")
    good = w.issuer(*w.certificates.read("issuer"))
    with w.without("secret", "linkerd-identity-issuer", NS):
        w.broken("certificate config is valid", "linkerd-identity-issuer is not there", hint="l5d-identity-cert-config-valid")
    with w.without("configmap", "linkerd-identity-trust-roots", NS):
        w.broken("certificate config is valid", "linkerd-identity-trust-roots", "externalCA")
    w.server.apply(w.issuer(*w.certificates.make("ended", by="root", days=-1)))
    w.broken("issuer cert is within its validity period", "ended on", "renew", hint="l5d-identity-issuer-cert-is-time-valid")
    w.server.apply(w.issuer(*w.certificates.make("short", by="root", days=2)))
    w.broken("issuer cert is valid for at least 60 days", "renew it", result="warning", hint="l5d-identity-issuer-cert-not-expiring-soon")
    row_1_10(w, root)
    w.certificates.make("other")
    w.server.apply(w.issuer(*w.certificates.make("stranger", by="other")))
    w.broken("issuer cert is issued by the trust anchor", "not signed by any trust anchor", hint="l5d-identity-issuer-cert-issued-by-trust-anchor")
    w.server.apply(w.issuer(w.certificates.read("issuer")[0], w.certificates.read("other")[1]))
    w.broken("certificate config is valid", "do not belong together")
    w.server.apply(w.issuer(*w.certificates.make("rsa", by="root", kind=("rsa:2048",))))
    w.broken("issuer cert is using supported crypto algorithm", "RSA 2048")
    w.server.apply(good, w.roots("no certificate"))
    w.broken("certificate config is valid", "cannot be read as PEM")
    w.server.apply(w.roots(root))
    w.trust("sp-validator", w.certificates.read("other")[0])
    w.broken("sp-validator webhook has valid cert", "caBundle does not lead", hint="l5d-sp-validator-webhook-cert-valid")
    w.trust("sp-validator", root)
    with w.without("secret", "linkerd-policy-validator-k8s-tls", NS):
        w.broken("policy-validator webhook has valid cert", "linkerd-policy-validator-k8s-tls is not there")
    w.well()


def pods(w):
    """The control plane does not run; and it is waited for."""
    w.status(False)
    w.broken("control plane replica sets are ready", "0 of 1 ready", hint="l5d-existence-replicasets")
    waiting = subprocess.Popen((w.tulle, "check", "--wait", "60s", "--kubeconfig", w.server.admin, "-o", "short"), stdout=subprocess.PIPE, text=True)
    time.sleep(2)
    w.status(True)
    assert waiting.communicate(timeout=120)[0] == "Status check results are √\n" and waiting.returncode == 0
    w.server.patch_status("pod", NS, "linkerd-control-plane-abc-1", {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [
        {"name": "control", "image": "i", "imageID": "", "ready": False, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]})
    w.broken("control plane pods are ready", "linkerd-control-plane-abc-1", "control: CrashLoopBackOff", hint="l5d-api-control-ready")
    w.status(True)
    w.server.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "far"}, "spec": {"podCIDRs": ["198.18.3.0/24"]}})
    w.broken("cluster networks contains all node podCIDRs", "198.18.3.0/24", "clusterNetworks", hint="l5d-cluster-networks-cidr")
    w.server.kubectl("delete", "node", "far")
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "na", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "na", "renewTime": "2037-01-01T00:00:00.000000Z"}}
    w.server.apply(lease)
    w.broken("no clock skew detected", "na is", "ahead", "NTP", result="warning")
    w.server.kubectl("-n", "kube-node-lease", "delete", "lease", "na")
    w.well()


def data_plane(w):
    """Pods that should have a proxy, have an old one, old anchors, or settings that have no effect."""
    w.server.kubectl("create", "namespace", "shop")
    w.server.kubectl("annotate", "namespace", "shop", "linkerd.io/inject=enabled")
    w.broken("injector knows every annotated namespace", "shop", result="warning")
    injector = ("patch", "mutatingwebhookconfiguration", "linkerd-proxy-injector-webhook-config", "--type=json", "-p")
    w.server.kubectl(*injector, json.dumps([{"op": "replace", "path": "/webhooks/0/namespaceSelector/matchExpressions/1/values", "value": ["shop"]}]))
    w.well()
    root, _ = w.certificates.read("root")

    def meshed(name, anchors=root, **more):
        made = pod(name, "web")
        proxy = made["spec"]["containers"][1]
        proxy["env"].append({"name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "value": anchors})
        proxy["image"] = f"tulle/proxy:{w.version}"
        made["metadata"]["annotations"] = {"linkerd.io/proxy-version": w.version, **more}
        w.server.apply(made)
        status = running("10.97.1.1")
        status["containerStatuses"] = [{"name": n, "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}} for n in ("app", "linkerd-proxy")]
        w.server.patch_status("pod", "shop", name, status)

    def gone(name):
        w.server.kubectl("-n", "shop", "delete", "pod", name, "--force", "--grace-period=0")

    meshed("web-0")
    w.well("--proxy")
    w.well("--proxy", "-n", "shop")
    w.broken("data plane proxies are ready", "no pod in the namespace default has a proxy", flags=("--proxy", "-n", "default"))
    w.broken("data plane namespace exists", "nowhere", flags=("--proxy", "-n", "nowhere"), hint="l5d-data-plane-exists")
    w.server.apply(pod("plain", "plain", meshed=False))
    w.broken("pods that should be meshed are", "kubectl delete -n shop pod/plain", "and create it again", result="warning")
    gone("plain")
    meshed("old", w.certificates.read("other")[0])
    w.broken("data plane proxies certificate match CA", "kubectl delete -n shop pod/old", result="warning", hint="l5d-identity-data-plane-proxies-certs-match-ca")
    # The bundle of a rotation holds both.
    w.server.apply(w.roots(root + w.certificates.read("other")[0]))
    w.well()
    w.server.apply(w.roots(root))
    gone("old")
    meshed("aged", **{"linkerd.io/proxy-version": "edge-1"})
    w.broken("data plane and cli versions match", "shop/aged (edge-1)", result="warning", flags=("--proxy",), hint="l5d-data-plane-cli-version")
    gone("aged")
    # Probes beside attached routes, on a node that does not say where its kubelet comes from.
    w.server.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mute"}, "spec": {}})
    w.server.apply({"apiVersion": "policy.linkerd.io/v1beta3", "kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "shop"}, "spec": {
        "parentRefs": [{"group": "policy.linkerd.io", "kind": "Server", "name": "s"}], "rules": [{"matches": [{"path": {"value": "/"}}]}]}})
    probed = pod("probed", "web")
    probed["spec"]["nodeName"] = "mute"
    probed["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}}
    probed["spec"]["containers"][1]["image"] = f"tulle/proxy:{w.version}"
    probed["spec"]["containers"][1]["env"].append({"name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "value": root})
    probed["metadata"]["annotations"] = {"linkerd.io/proxy-version": w.version}
    w.server.apply(probed)
    status = running("10.97.1.2")
    status["conditions"] = [{"type": "Ready", "status": "False"}]
    status["containerStatuses"] = [{"name": n, "image": "i", "imageID": "", "ready": n != "app", "restartCount": 0, "state": {"running": {}}} for n in ("app", "linkerd-proxy")]
    w.server.patch_status("pod", "shop", "probed", status)
    w.broken("probes pass beside attached routes", "pod shop/probed on node mute", "config.tulle.io/probe-addresses", result="warning")
    w.server.kubectl("annotate", "node", "mute", "config.tulle.io/probe-addresses=10.97.1.1")
    w.well()
    gone("probed")
    w.server.kubectl("delete", "node", "mute")
    w.server.kubectl("-n", "shop", "delete", "httproutes.policy.linkerd.io", "r")
    misplaced = service("web", "10.96.7.7")
    misplaced["metadata"]["labels"] = {"config.linkerd.io/opaque-ports": "80"}
    w.server.apply(misplaced)
    w.broken("data plane service labels are configured correctly", "shop/web", result="warning", flags=("--proxy",))
    del misplaced["metadata"]["labels"]
    misplaced["metadata"]["annotations"] = {"config.linkerd.io/opaque-ports": "80"}
    w.server.apply(misplaced)
    w.broken("opaque ports are properly annotated", "shop/web has opaque port 80", "target port 8080 of pod web-0 is not", result="warning", flags=("--proxy",))
    w.server.kubectl("-n", "shop", "delete", "service", "web")
    config = json.loads(w.server.kubectl("-n", NS, "get", "configmap", "linkerd-config", "-o", "json"))["data"]["values"]
    w.server.kubectl("-n", NS, "patch", "configmap", "linkerd-config", "--type=merge", "-p", json.dumps({"data": {"values": config + "\nclusterNetwork: 10.0.0.0/8"}}))
    w.broken("Helm values are known", "clusterNetwork (is clusterNetworks meant?)", result="warning")
    w.server.kubectl("-n", NS, "patch", "configmap", "linkerd-config", "--type=merge", "-p", json.dumps({"data": {"values": "[1, 2"}}))
    w.broken("'linkerd-config' config map exists", "no Helm values")
    w.server.kubectl("-n", NS, "patch", "configmap", "linkerd-config", "--type=merge", "-p", json.dumps({"data": {"values": config}}))
    w.well("--proxy")


def on_terminal(*argv):
    """What a program writes to a terminal, standard output and standard error."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    out = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # nobody holds the other end any more
            break
        if not block:
            break
        out += block
    os.close(ours)
    return process.wait(), out.decode().replace("\r\n", "\n")


def terminal(w):
    """On a terminal signs have colors, and one line tells what is waited for and goes; -o basic and others have no colors."""
    code, text = on_terminal(w.tulle, "check", "--kubeconfig", w.server.admin)
    assert code == 0 and text.startswith("kubernetes-api\n--------------\n\033[32m√\033[0m can initialize the client\n"), text
    assert text.endswith("\nStatus check results are √\n"), text
    for form in ("basic", "short", "json"):
        code, text = on_terminal(w.tulle, "check", "-o", form, "--kubeconfig", w.server.admin)
        assert code == 0 and "\033[3" not in text, text
    w.status(False)
    threading.Timer(2, w.status, (True,)).start()
    code, text = on_terminal(w.tulle, "check", "--wait", "60s", "--kubeconfig", w.server.admin)
    assert code == 0, text
    waited = "\r\033[K… control plane replica sets are ready: replica sets are not ready"
    assert waited in text and "\r\033[K\033[32m√\033[0m control plane replica sets are ready\n" in text, repr(text)
    done = subprocess.run((w.tulle, "check", "--kubeconfig", w.server.admin), capture_output=True, text=True)
    assert done.stderr == "" and "\033" not in done.stdout, done


def gateway_api(w):
    """Kinds of the Gateway API: none are needed, those that are there must be of a version that is read."""
    def crd(*versions):
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "httproutes.gateway.networking.k8s.io", "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/0"}},
                "spec": {"group": "gateway.networking.k8s.io", "scope": "Namespaced", "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
                         "versions": [{"name": name, "served": True, "storage": i == 0, "schema": schema} for i, name in enumerate(versions)]}}
    w.server.apply(crd("v1alpha2"))
    description = "Gateway API kinds are of a version that is read"
    w.broken(description, "httproutes.gateway.networking.k8s.io serves none of v1,v1beta1", "installGatewayAPI", hint="gateway-api-crd")
    w.broken(description, flags=("--pre",))
    w.server.kubectl("delete", "crd", "httproutes.gateway.networking.k8s.io", "--wait=true", "--timeout=30s")
    w.server.apply(crd("v1"))
    w.well()
    assert w.report["categories"][2] == {"categoryName": "gateway-api-crd", "checks": [{"description": description, "result": "success"}]}, w.report["categories"][2]
    w.server.kubectl("delete", "crd", "httproutes.gateway.networking.k8s.io", "--wait=true", "--timeout=30s")


def extensions(w):
    """A program for each labelled namespace is asked; one that is not there, or says nothing of use, is told of."""
    w.server.kubectl("create", "namespace", "metrics")
    w.server.kubectl("label", "namespace", "metrics", "linkerd.io/extension=hello")
    w.broken("Linkerd extension command linkerd-hello exists", "linkerd-hello", "install its command line", result="warning", hint="extensions")
    w.program("linkerd-hello", f"""echo "$@" > {w.path}/said
if [ "$1" = check ]; then echo '{{"success": true, "categories": [{{"categoryName": "hello", "checks": [
  {{"description": "is polite", "result": "success"}}, {{"description": "knows names", "hint": "https://example.org/#names", "error": "no name", "result": "warning"}}]}}]}}'; exit 0; fi
echo "hello $2"; exit 3
""")
    w.broken("knows names", "no name", result="warning", flags=("--proxy",))
    assert w.report["categories"][-1]["checks"][0] == {"description": "is polite", "result": "success"}, w.report["categories"][-1]
    assert w.report["categories"][-1]["checks"][1]["hint"] == "https://example.org/#names"
    with open(w.path + "/said", encoding="utf-8") as f:
        assert f.read() == f"check --kubeconfig={w.server.admin} --proxy --wait=0s --output=json\n"
    environment = {**os.environ, "PATH": f"{w.path}:{os.environ['PATH']}"}
    text = subprocess.run((w.tulle, "check", "--kubeconfig", w.server.admin, "-o", "short"), capture_output=True, text=True, env=environment).stdout
    assert text == "hello\n-----\n‼ knows names\n    no name\n    see https://example.org/#names for hints\n\nStatus check results are √\n", text
    # The core is not well: extensions are asked all the same, as they may be why somebody looks.
    with w.without("configmap", "linkerd-config", NS):
        code, bad = w.check()
        assert code == 1 and {"'linkerd-config' config map exists", "knows names"} <= set(bad), bad
    code, bad = w.check("--crds")
    assert code == 0 and not bad, bad
    w.program("linkerd-hello", "echo no such thing >&2; exit 2\n")
    w.broken("Running: linkerd-hello check", "ended with 2", "no such thing")
    w.program("linkerd-hello", "echo '{\"success\": false, \"categories\": [{\"categoryName\": \"hello\", \"checks\": [{\"description\": \"is there\", \"error\": \"gone\", \"result\": \"error\"}]}]}'; exit 1\n")
    w.broken("is there", "gone")
    # Of no namespace, but it wants to be asked; and one that never says what it is.
    w.program("linkerd-ever", "if [ \"$1\" = _extension-metadata ]; then echo '{\"name\": \"linkerd-ever\", \"checks\": \"always\"}'; else echo '{\"categories\": [{\"categoryName\": \"ever\", \"checks\": "
              "[{\"description\": \"is asked\", \"error\": \"always\", \"result\": \"warning\"}]}]}'; fi\n")
    w.program("linkerd-silent", "exec sleep 1000\n")
    began = time.monotonic()
    code, bad = w.check()
    assert code == 1 and {"is asked", "is there"} == set(bad) and 4 < time.monotonic() - began < 20, (bad, time.monotonic() - began)
    w.server.kubectl("label", "namespace", "metrics", "linkerd.io/extension-")
    w.broken("is asked", "always", result="warning")
    # Its other commands, too.
    w.program("linkerd-hello", "echo \"hello $2\"; exit 3\n")
    done = subprocess.run((w.tulle, "hello", "to", "you"), capture_output=True, text=True, env=environment)
    assert done.returncode == 3 and done.stdout == "hello you\n", done
    done = subprocess.run((w.tulle, "helo"), capture_output=True, text=True, env=environment)
    assert done.returncode == 64, done
    for name in ("hello", "ever", "silent"):
        os.remove(f"{w.path}/linkerd-{name}")
    w.well()


def high_availability(w):
    """With highAvailability: two replicas, and an injector that does not hold kube-system up."""
    with w.values(highAvailability=True):
        w.server.patch_status("deploy", NS, "linkerd-control-plane", {"replicas": 1, "availableReplicas": 1, "readyReplicas": 1})
        w.broken("multiple replicas of control plane pods", "linkerd-control-plane: 1 available", result="warning", hint="l5d-control-plane-replicas")
        w.server.patch_status("deploy", NS, "linkerd-control-plane", {"replicas": 2, "availableReplicas": 2, "readyReplicas": 2})
        w.well()
        assert [c["description"] for category in w.report["categories"] if category["categoryName"] == "linkerd-ha-checks" for c in category["checks"]] == [
            "multiple replicas of control plane pods", "pod injection disabled on kube-system"], w.report
        name = "linkerd-proxy-injector-webhook-config"
        entries = json.loads(w.server.kubectl("get", "mutatingwebhookconfiguration", name, "-o", "json"))["webhooks"]

        def entry(failure, *more):
            selector = {"matchExpressions": [{"key": "config.linkerd.io/admission-webhooks", "operator": "NotIn", "values": ["disabled"]}, *more]}
            w.server.kubectl("patch", "mutatingwebhookconfiguration", name, "--type=json", "-p", json.dumps(
                [{"op": "replace", "path": "/webhooks/2/failurePolicy", "value": failure}, {"op": "replace", "path": "/webhooks/2/namespaceSelector", "value": selector}]))
        entry("Fail", *entries[2]["namespaceSelector"]["matchExpressions"][1:])
        w.well()
        entry("Fail")
        told = ("kubectl label namespace kube-system config.linkerd.io/admission-webhooks=disabled", "excludedNamespaces")
        w.broken("pod injection disabled on kube-system", *told, result="warning", hint="l5d-injection-disabled")
        w.server.kubectl("label", "namespace", "kube-system", "config.linkerd.io/admission-webhooks=disabled")
        w.well()
        w.server.kubectl("label", "namespace", "kube-system", "config.linkerd.io/admission-webhooks-")
        entry("Ignore")
        w.well()
        entry("Ignore", *entries[2]["namespaceSelector"]["matchExpressions"][1:])
    w.well()
    assert "linkerd-ha-checks" not in [c["categoryName"] for c in w.report["categories"]]


def cni(w):
    """The CNI plugin: looked at with cniEnabled, and with --pre --linkerd-cni-enabled; each part is named that is not there."""
    ns = "linkerd-cni"
    meta = {"name": "linkerd-cni", "namespace": ns}
    template = {"metadata": {"labels": {"k8s-app": "linkerd-cni"}}, "spec": {"containers": [{"name": "install-cni", "image": "i"}]}}
    rbac = "rbac.authorization.k8s.io"
    w.server.kubectl("create", "namespace", ns)
    objects = (
        ("cni plugin ConfigMap exists", "cni-plugin-cm-exists", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "linkerd-cni-config"}}),
        ("cni plugin ClusterRole exists", "cni-plugin-cr-exists", {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": "linkerd-cni"}, "rules": []}),
        ("cni plugin ClusterRoleBinding exists", "cni-plugin-crb-exists", {
            "apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "linkerd-cni"}, "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "linkerd-cni"},
            "subjects": [{"kind": "ServiceAccount", **meta}]}),
        ("cni plugin ServiceAccount exists", "cni-plugin-sa-exists", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
        ("cni plugin DaemonSet exists", "cni-plugin-ds-exists", {
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": {"selector": {"matchLabels": {"k8s-app": "linkerd-cni"}}, "template": template}}))
    with w.values(cniEnabled=True):
        for description, hint, made in objects:
            w.broken(description, made["metadata"]["name"], "cniEnabled", ns, hint=hint)
            code, bad = w.check("--pre", "--linkerd-cni-enabled")
            assert code == 1 and description in bad, bad
            w.server.apply(made)
        ready = "cni plugin pod is running on all nodes"
        w.server.patch_status("ds", ns, "linkerd-cni", {"currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 1})
        w.broken(ready, "1 of 2 pods are ready", hint="cni-plugin-ready")
        w.broken("cni plugin ConfigMap exists", "namespace elsewhere", flags=("--cni-namespace", "elsewhere"))
        w.server.patch_status("ds", ns, "linkerd-cni", {"currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2})
        w.well()
        assert len(next(c for c in w.report["categories"] if c["categoryName"] == "linkerd-cni-plugin")["checks"]) == 6, w.report
        code, bad = w.check("--pre", "--linkerd-cni-enabled")
        assert ready not in bad, bad
    w.well()
    assert "linkerd-cni-plugin" not in [c["categoryName"] for c in w.report["categories"]]


METRICS = """# HELP response_total …
response_total{{direction="inbound",tls="true",classification="success"}} {n}
response_latency_ms_bucket{{direction="inbound",le="5"}} {n}
response_latency_ms_bucket{{direction="inbound",le="+Inf"}} {n}
tcp_open_connections{{direction="inbound",peer="src",tls="true"}} 3
tcp_open_total{{direction="outbound",peer="dst",tls="true",dst_namespace="shop",dst_pod="web-0",dst_deployment="web",server_id="web.shop.serviceaccount.identity.linkerd.cluster.local"}} 2
tcp_open_total{{direction="outbound",peer="dst",tls="no_identity",no_tls_reason="not_provided_by_service_discovery",dst_namespace="shop",dst_pod="plain",authority="db.shop"}} 1
"""


class Proxy(http.server.BaseHTTPRequestHandler):
    """The admin port of a proxy that serves ten requests a second."""
    began = time.monotonic()

    def do_GET(self):  # noqa: N802
        body = METRICS.format(n=int((time.monotonic() - self.began) * 10) + 1000).encode()
        self.send_response(200 if self.path == "/metrics" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def proxies(w):
    """stat, edges, diagnostics and version reach proxies through the API server, and say which they do not reach."""
    run("ip", "addr", "add", "10.97.1.1/32", "dev", "lo")
    server = http.server.ThreadingHTTPServer(("10.97.1.1", 4191), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    w.server.kubectl("-n", "shop", "label", "pod", "web-0", "linkerd.io/proxy-deployment=web")

    def tulle(*argv, error=""):
        done = subprocess.run((w.tulle, *argv), capture_output=True, text=True, env={**os.environ, "KUBECONFIG": w.server.admin})
        assert done.returncode == 0 and error in done.stderr, (argv, done)
        return done.stdout

    for words in (("stat", "deploy"), ("viz", "stat", "deploy/web"), ("stat", "deployment", "web")):
        rows = json.loads(tulle(*words, "-n", "shop", "-t", "2s", "-o", "json"))
        assert len(rows) == 1 and rows[0]["name"] == "web" and rows[0]["meshed"] == "1/1" and rows[0]["success"] == 1, rows
        assert 5 < rows[0]["rps"] < 15 and rows[0]["tcp_open_connections"] == 3, rows
    table = tulle("stat", "pod", "-A", "-t", "1s").splitlines()
    assert table[0].split()[:4] == ["NAMESPACE", "NAME", "STATUS", "MESHED"] and "100.00%" in table[1], table
    edges = json.loads(tulle("viz", "edges", "deploy", "-n", "shop", "-o", "json"))
    assert [(e["src"], e["dst"], e["no_tls_reason"]) for e in edges] == [("web", "web", "")], edges
    edges = {e["dst"]: e["no_tls_reason"] for e in json.loads(tulle("edges", "po", "-n", "shop", "-o", "json"))}
    assert edges == {"web-0": "", "plain": "not_provided_by_service_discovery"}, edges
    assert "√" in tulle("edges", "deploy", "-n", "shop")
    text = tulle("diagnostics", "proxy-metrics", "-n", "shop", "deploy/web")
    assert text.startswith("#\n# POD web-0 (1 of 1)\n#\n# HELP") and 'authority="db.shop"' in text, text
    text = tulle("dg", "proxy-metrics", "-n", "shop", "--obfuscate", "po", "web-0")
    assert "db.shop" not in text and 'direction="inbound"' in text and 'authority="' + hashlib.sha256(b"db.shop").hexdigest()[:8] + '"' in text, text
    told, = json.loads(tulle("diagnostics", "proxy-metrics", "-n", "shop", "deploy/web", "-o", "json"))
    assert (told["namespace"], told["pod"]) == ("shop", "web-0") and "problem" not in told, told
    assert [s["value"] for s in told["samples"] if s["labels"].get("authority") == "db.shop"], told
    told = json.loads(tulle("diagnostics", "controller-metrics", "-o", "json"))
    assert [(t["pod"], t["container"], t["samples"]) for t in told if t["container"] == "control"][:1] == [("linkerd-control-plane-abc-1", "control", [])], told
    assert all(t["problem"] for t in told), told
    text = tulle("diagnostics", "controller-metrics")
    assert "# POD linkerd-control-plane-abc-1" in text and "# CONTAINER control \n#\n# ERROR" in text, text
    assert tulle("version", "--proxy") == f"Client version: {w.version}\nServer version: {w.version}\nProxy versions:\n\t{w.version} (1 pods)\n"
    assert tulle("version", "--client", "--short") == w.version + "\n"
    assert json.loads(tulle("version", "-o", "json", "--proxy")) == {"client": w.version, "server": w.version, "proxies": {w.version: 1}}
    assert "unavailable" in tulle("version", "-L", "nowhere", error="linkerd-config")
    server.shutdown()
    server.server_close()
    tulle("stat", "deploy", "-n", "shop", "-t", "1s", error="the proxy of shop/web-0 does not answer")
    assert "# ERROR" in tulle("diagnostics", "proxy-metrics", "-n", "shop", "deploy/web")
    link = os.path.join(w.folder, "linkerd")
    os.symlink(w.tulle, link)
    assert "Usage: linkerd" in run(link, "check", "--help")
    words = run("bash", "-c", f"source <({link} completion bash); COMP_WORDS=(linkerd viz st); COMP_CWORD=2; _linkerd; echo ${{COMPREPLY[*]}}")
    assert words == "stat\n", words
    assert "complete -c linkerd" in run(link, "completion", "fish")


CASES = [before, healthy, unreachable, terminal, gateway_api, parts, certificates, pods, extensions, high_availability, cni, data_plane, proxies]


def inside(binaries):
    run("ip", "link", "set", "lo", "up")
    folder = tempfile.mkdtemp(prefix="tulle-check-")
    run("mount", "-t", "tmpfs", "tmpfs", folder)  # in our own mount namespace
    print(f"1..{len(CASES)}", flush=True)
    failed, w = 0, None
    try:
        w = World(binaries, folder)
        for number, case in enumerate(CASES, 1):
            began = time.monotonic()
            try:
                case(w)
                print(f"ok {number} - {case.__name__}: {case.__doc__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                if isinstance(error, subprocess.CalledProcessError):
                    print(f"# {error.stderr}")
                print(f"not ok {number} - {case.__name__}: {case.__doc__}\n{traceback.format_exc()}", flush=True)
    finally:
        if w is not None:
            w.server.stop()
        run("umount", "--lazy", folder)
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


def main():
    if os.environ.get("TULLE_INSIDE") == "1":
        sys.exit(inside(sys.argv[1]))
    # Whatever happens, everything ends with this process, and no packet leaves.
    argv = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, os.path.abspath(__file__), *sys.argv[1:])
    os.execvpe(argv[0], argv, {**os.environ, "TULLE_INSIDE": "1"})


if __name__ == "__main__":
    main()
