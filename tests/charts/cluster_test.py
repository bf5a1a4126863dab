#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tulle install`, `upgrade`, `prune` and `uninstall` with a real API server: what they ask it, and what their output does to it.

usage: cluster_test.py BIN_DIR      (prints TAP; the API server is on the loopback interface, with no controllers)
"""
import os
import subprocess
import sys
import tempfile
import time
import traceback

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "apiserver"))
from apiserver import ApiServer, Certificates, Pki, until  # noqa: E402

BIN = sys.argv[1]


class World:
    def __init__(self, folder):
        build = os.path.join(HERE, "..", "e2e", "cluster", "build")
        program = subprocess.run([build, "kube-node"], check=True, capture_output=True, text=True).stdout.split()[1]
        self.server = ApiServer(program, Pki(os.path.join(folder, "pki")), os.path.join(folder, "server"))
        self.server.start()
        self.certificates = Certificates(os.path.join(folder, "certificates"))

    def tulle(self, *args, status=0):
        done = subprocess.run((os.path.join(BIN, "tulle"), *args, "--kubeconfig", self.server.admin), capture_output=True, text=True)
        assert done.returncode == status, f"tulle {' '.join(args)}: {done.returncode}: {done.stderr}"
        return done

    def apply(self, manifests):
        return self.server.kubectl("apply", "--server-side", "-f", "-", text=manifests)

    def may(self, *argv):
        """Does kubectl do this? What is gone meanwhile is no error."""
        return subprocess.run(self.server.kubectl_argv(*argv), capture_output=True).returncode == 0

    def delete(self, manifests):
        return self.server.kubectl("delete", "--wait=false", "-f", "-", text=manifests)


def objects(text):
    return [(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]) for d in yaml.safe_load_all(text) if d]


def story(world):
    """One installation from its beginning to its end; each step is a case."""
    def no_crds():
        done = world.tulle("install", status=1)
        assert done.stdout == "" and "tulle install --crds" in done.stderr and "servers.policy.linkerd.io" in done.stderr, done.stderr

    def not_reachable():
        done = subprocess.run((os.path.join(BIN, "tulle"), "install", "--kubeconfig", "/nowhere"), capture_output=True, text=True)
        assert done.returncode == 1 and "--ignore-cluster" in done.stderr, done.stderr

    def verifies_what_others_bring():
        """With --identity-external-issuer the Secret, with --identity-external-ca the ConfigMap, if they are there."""
        world.apply(world.tulle("install", "--crds", "--set", "installGatewayAPI=true").stdout)
        world.server.kubectl("create", "namespace", "brought")
        certificates = world.certificates
        san = "DNS:identity.brought.cluster.local"
        root, _ = certificates.make("root")
        other, _ = certificates.make("other")
        issuer = certificates.make("issuer", by="root", san=san)
        external = ("install", "-L", "brought", "--identity-external-issuer")
        where = "Secret brought/linkerd-identity-issuer"

        def bring(certificate, key, anchors):
            world.server.apply({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "linkerd-identity-issuer", "namespace": "brought"},
                                "stringData": {"tls.crt": certificate, "tls.key": key, "ca.crt": anchors}})

        assert f"{where} is not there yet" in world.tulle(*external).stderr
        bring(*issuer, other)
        done = world.tulle(*external, status=1)
        assert done.stdout == "" and f"{where}, tls.crt is not signed by any trust anchor" in done.stderr and f"{where}, ca.crt" in done.stderr, done.stderr
        with open(certificates.path("given"), "w", encoding="utf-8") as f:
            f.write(root)
        done = world.tulle(*external, "--identity-trust-anchors-file", certificates.path("given"))
        assert "linkerd-identity" not in done.stderr and "kind: Deployment" in done.stdout, done.stderr
        bring(*certificates.make("ended", by="root", san=san, days=-1), root)
        assert "tls.crt ended on" in world.tulle(*external, status=1).stderr
        bring(*issuer, root)
        done = world.tulle(*external)
        assert "linkerd-identity" not in done.stderr and "kind: Deployment" in done.stdout, done.stderr
        files = ("install", "-L", "brought", "--identity-external-ca", "--identity-issuer-certificate-file", certificates.path("issuer.crt"),
                 "--identity-issuer-key-file", certificates.path("issuer.key"))
        where = "ConfigMap brought/linkerd-identity-trust-roots"
        assert f"{where} is not there yet" in world.tulle(*files).stderr
        for anchors, status in ((other, 1), (other + root, 0)):
            world.server.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "linkerd-identity-trust-roots", "namespace": "brought"}, "data": {"ca-bundle.crt": anchors}})
            done = world.tulle(*files, status=status)
            assert (f"{where}, ca-bundle.crt" in done.stderr) == (status != 0), done.stderr

    def installs():
        done = world.tulle("install", "--set", "controllerReplicas=2")
        world.apply(done.stdout)
        names = world.server.kubectl("-n", "linkerd", "get", "deploy,secret,configmap", "-o", "name")
        for name in ("deployment.apps/linkerd-control-plane", "secret/linkerd-config-overrides", "configmap/linkerd-config"):
            assert name in names, names
        # Nothing was given that has no effect, so nothing is warned of.
        assert "WARNING" not in done.stderr and "no effect" not in done.stderr, done.stderr

    def twice():
        done = world.tulle("install", status=1)
        assert "already installed" in done.stderr and "tulle upgrade" in done.stderr, done.stderr

    def upgrades():
        done = world.tulle("upgrade")
        assert "replicas: 2" in done.stdout
        world.apply(done.stdout)
        diff = subprocess.run(world.server.kubectl_argv("diff", "--server-side", "-f", "-"), input=world.tulle("upgrade").stdout, capture_output=True, text=True)
        assert diff.returncode == 0, diff.stdout
        assert "replicas: 3" in world.tulle("upgrade", "--set", "controllerReplicas=3").stdout
        assert "linkerd-config-overrides" in world.tulle("upgrade", "-L", "elsewhere", status=1).stderr

    def prunes():
        first = world.tulle("prune").stdout
        assert first == "", first
        old = "".join(f"---\n{text}" for text in (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: left, namespace: linkerd, labels: {linkerd.io/control-plane-ns: linkerd}}\n",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: left, labels: {linkerd.io/control-plane-ns: linkerd}}\n",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: not-ours, namespace: linkerd}\n",
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: made\n  namespace: linkerd\n  labels: {linkerd.io/control-plane-ns: linkerd}\n"
            "  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: linkerd-control-plane, uid: \"1\"}]\n"))
        world.apply(old)
        done = world.tulle("prune")
        assert objects(done.stdout) == [("ConfigMap", "linkerd", "left"), ("ClusterRole", "", "left")], done.stdout
        world.delete(done.stdout)
        assert world.tulle("prune").stdout == ""

    def refuses_while_used():
        world.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: Pod\n"
                    "metadata: {name: web, namespace: shop, labels: {linkerd.io/control-plane-ns: linkerd}}\nspec: {containers: [{name: linkerd-proxy, image: x}]}\n")
        done = world.tulle("uninstall", status=1)
        assert done.stdout == "" and "shop/web" in done.stderr and "--force" in done.stderr, done.stderr
        assert world.tulle("uninstall", "--force").stdout
        world.server.kubectl("-n", "shop", "delete", "pod", "web", "--force", "--grace-period=0")
        world.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: linkerd-viz, labels: {linkerd.io/extension: viz}}\n")
        assert "linkerd-viz" in world.tulle("uninstall", status=1).stderr
        world.server.kubectl("label", "namespace", "linkerd-viz", "linkerd.io/extension-")

    def uninstalls():
        done = world.tulle("uninstall")
        kinds = {kind for kind, _, _ in objects(done.stdout)}
        assert {"Namespace", "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} <= kinds, kinds
        assert not any(ns == "linkerd" for _, ns, _ in objects(done.stdout)), done.stdout
        import json
        lines = world.tulle("uninstall", "-o", "json").stdout.splitlines()
        assert [json.loads(line) for line in lines] == list(yaml.safe_load_all(done.stdout))
        # A kind that is seconds old may not be listed yet, and an API server that is to end it then tries again after a pause that
        # doubles each time, or when the kind changes.
        crds = [name for kind, _, name in objects(done.stdout) if kind == "CustomResourceDefinition"]
        assert crds
        for name in crds:
            until(f"{name} are listed", lambda name=name: world.may("get", name, "-A"), 60)
        world.delete(done.stdout)
        # No controller empties the namespace here; what is of the cluster is gone.
        left = []

        def gone():
            left[:] = [one for one in objects(world.tulle("uninstall").stdout) if one[0] != "Namespace"]
            for kind, _, name in left:
                if kind == "CustomResourceDefinition":
                    world.may("annotate", "crd", name, f"test/asked-at={time.monotonic():.0f}", "--overwrite")
            return not left
        try:
            # A CustomResourceDefinition goes when the API server has closed its watches, which takes its time on a busy machine.
            until("nothing is left", gone, 150)
        except AssertionError as e:
            raise AssertionError(f"{left}: {world.server.kubectl('get', 'crds', '-o', 'jsonpath={.items[*].status.conditions} {.items[*].metadata}')}") from e
        # Marked to be kept: neither uninstall nor prune ever named them.
        assert world.server.kubectl("get", "crd", "-o", "name", "-l", "linkerd.io/control-plane-ns").split() == [
            f"customresourcedefinition.apiextensions.k8s.io/{plural}.gateway.networking.k8s.io" for plural in ("grpcroutes", "httproutes", "tcproutes", "tlsroutes")]

    return [no_crds, not_reachable, verifies_what_others_bring, installs, twice, upgrades, prunes, refuses_while_used, uninstalls]


def main():
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        try:
            steps = story(world)
            print(f"1..{len(steps)}")
            for number, step in enumerate(steps, 1):
                try:
                    step()
                    print(f"ok {number} - {step.__name__}", flush=True)
                except Exception:  # pylint: disable=broad-except
                    failed = True
                    print(f"not ok {number} - {step.__name__}\n# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
        finally:
            world.server.stop()
    sys.exit(1 if failed else 0)


main()
