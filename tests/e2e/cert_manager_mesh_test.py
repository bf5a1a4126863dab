#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cert-manager owns the mesh's issuer, as the Linkerd documentation has it: the rows 1.x and 0.x of the acceptance list, line by line."""
import base64
import glob
import os
import sys
import tempfile
import time

import yaml

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
sys.path.append(os.path.join(HERE, "../netns"))  # behind: it has a mesh.py, too
from capture import read_flows  # noqa: E402
from harness import Cluster, container, deployment, pod, report, run, server, service, wait  # noqa: E402
from mesh import CONTROL, MESH, Load, Registry, Repository, describe, events, install, metrics, ready_pods, total, uninstall  # noqa: E402

NS, SOAK = "certified", bool(os.environ.get("TULLE_SOAK"))
ISSUER = "identity.linkerd.cluster.local"
# The manifest of a namespace as the documentation has it.
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata:
  name: linkerd
  annotations:
    linkerd.io/inject: disabled
  labels:
    linkerd.io/is-control-plane: "true"
    config.linkerd.io/admission-webhooks: disabled
    linkerd.io/control-plane-ns: linkerd
"""
ROOT = """
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: root-ca, namespace: cert-manager}
spec:
  isCA: true
  commonName: root.linkerd.cluster.local
  secretName: root-ca
  duration: 87600h
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: self-signed, kind: ClusterIssuer}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: ca-issuer}
spec: {ca: {secretName: root-ca}}
"""
CERTIFICATE = """
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {{name: linkerd-identity-issuer, namespace: linkerd}}
spec:
  secretName: linkerd-identity-issuer
  duration: {duration}
  renewBefore: {renew}
  issuerRef: {{name: ca-issuer, kind: ClusterIssuer, group: cert-manager.io}}
  commonName: identity.linkerd.cluster.local
  dnsNames: [identity.linkerd.cluster.local]
  isCA: true
  privateKey: {{algorithm: ECDSA, rotationPolicy: Always}}
  usages: [cert sign, crl sign, server auth, client auth]
"""


class Test:
    """The cluster, the form under test, and the folder in which a user would work."""

    def __init__(self, cluster, folder, form):
        self.c, self.folder, self.form = cluster, folder, form


def revision(c):
    return c.get("certificate", "linkerd-identity-issuer", ns=MESH)["status"].get("revision", 0)


def issuer_secret(c):
    return {key: base64.b64decode(value).decode() for key, value in c.get("secret", "linkerd-identity-issuer", ns=MESH)["data"].items()}


def row_1_1_the_repository_has_the_charts(t):
    with Repository(t.c) as repository:
        found = {line.split()[0] for line in repository.helm("search", "repo", "linkerd").splitlines()[1:]}
    assert found >= {"linkerd/linkerd2", "linkerd/linkerd-crds", "linkerd/linkerd-control-plane"}, found


def row_1_1_the_same_charts_are_taken_as_oci(t):
    """Pushed to a registry and rendered from there, they say what they say from the repository."""
    with Repository(t.c) as repository, Registry(t.c) as registry:
        for name in ("linkerd-crds", "linkerd-control-plane", "linkerd2"):
            package, = glob.glob(os.path.join(repository.folder.name, f"{name}-[0-9]*.tgz"))
            repository.helm("push", package, registry.url, "--plain-http")
            options = (name, "-n", MESH, "--kube-version", "1.34.0")
            expected = repository.helm("template", f"linkerd/{name}", "--name-template", *options)
            assert "kind:" in expected and repository.helm("template", f"{registry.url}/{name}", "--plain-http", "--name-template", *options) == expected, name


def row_1_2_the_namespace_is_made_by_its_manifest(t):
    t.c.apply(NAMESPACE)


def row_1_3_a_cluster_issuer_has_the_root(t):
    t.c.install_cert_manager()
    t.c.apply(ROOT)
    t.c.kubectl("wait", "--for=condition=Ready", "clusterissuer/ca-issuer", "--timeout=90s")


def rows_1_4_and_1_5_the_certificate_is_ready(t):
    t.c.apply(CERTIFICATE.format(duration="48h", renew="25h"))
    t.c.kubectl("-n", MESH, "wait", "--for=condition=Ready", "certificate/linkerd-identity-issuer", "--timeout=60s")
    secret = t.c.get("secret", "linkerd-identity-issuer", ns=MESH)
    assert secret["type"] == "kubernetes.io/tls" and set(secret["data"]) == {"tls.crt", "tls.key", "ca.crt"}, secret["type"]


def row_1_6_the_root_is_read_from_the_secret(t):
    text = t.c.kubectl("-n", MESH, "get", "secret", "linkerd-identity-issuer", "-o", r"jsonpath={.data.ca\.crt}")
    with open(os.path.join(t.folder, "ca.crt"), "wb") as f:
        f.write(base64.b64decode(text))
    assert "CN = root.linkerd.cluster.local" in run("openssl", "x509", "-noout", "-subject", "-in", f.name)


def row_1_7_it_installs_with_these_values(t):
    seconds = install(t.c, "--set-file", f"identityTrustAnchorsPEM={t.folder}/ca.crt", "--set", "identity.issuer.scheme=kubernetes.io/tls",
                      "--set", "identity.issuer.issuanceLifetime=60s,identity.issuer.clockSkewAllowance=5s", form=t.form)
    print(f"# install time: {seconds:.1f} s until the control plane is ready")
    names = {s["metadata"]["name"] for s in t.c.get("secrets", ns=MESH)}
    assert "linkerd-identity-rotation" not in names, "the mesh makes nothing where cert-manager does"
    kept = t.c.get("namespace", MESH)["metadata"]
    assert kept["annotations"]["linkerd.io/inject"] == "disabled" and kept["labels"]["config.linkerd.io/admission-webhooks"] == "disabled"


def row_1_8_its_pods_are_running_and_ready(t):
    pods = t.c.get("pods", ns=MESH)
    assert pods and all(s["ready"] for p in pods for s in p["status"]["containerStatuses"]), [p["status"] for p in pods]


def row_1_9_the_values_are_in_the_config_map(t):
    text = t.c.get("configmap", "linkerd-config", ns=MESH)["data"]["values"]
    with open(os.path.join(t.folder, "ca.crt"), encoding="ascii") as f:
        anchor = f.read()
    assert yaml.safe_load(text)["identityTrustAnchorsPEM"].strip() == anchor.strip()
    assert "identityTrustAnchorsPEM: |" in text, "a literal block"


def row_0_2_between_meshed_pods_all_is_mutual_tls(t):
    c = t.c
    c.apply(deployment("web", NS, server(), replicas=2), service("web", NS), deployment("client", NS, container(command=["sleep", "infinity"])))
    for name in ("web", "client"):
        c.rollout(NS, f"deploy/{name}")
    for _ in range(5):
        c.exec(NS, "deploy/client", "/testd", "get", "http://web/", container="app")
    text = metrics(c, NS, ready_pods(c, NS, "app=client")[0]["metadata"]["name"])
    assert total(text, "tcp_open_total", r'direction="outbound",peer="dst".*tls="true"') > 0
    assert total(text, "tcp_open_total", r'direction="outbound",peer="dst".*tls="(?!true)') == 0


def row_0_3_toward_the_control_plane_as_well(t):
    c = t.c
    text = metrics(c, NS, ready_pods(c, NS, "app=client")[0]["metadata"]["name"])
    secured = [line for line in text.splitlines() if line.startswith("control_") and 'tls="true"' in line and 'server_id="linkerd-' in line]
    assert secured, [line for line in text.splitlines() if line.startswith("control_")][:20]
    assert not [line for line in text.splitlines() if line.startswith("control_") and 'tls="no' in line]
    # What passes between the control plane and a pod on another node, from its first packet on, is TLS.
    control = ready_pods(c, MESH, CONTROL)[0]
    address = control["status"]["podIP"]
    other = next(n for n in c.nodes if f"node{n}" != control["spec"]["nodeName"])
    with c.capture(f"tcp and host {address}") as capture:
        c.apply(pod("late", NS, container(command=["sleep", "infinity"]), nodeName=f"node{other}"))
        c.kubectl("-n", NS, "wait", "--for=condition=Ready", "pod/late", "--timeout=60s")
        late = c.get("pod", "late", ns=NS)["status"]["podIP"]
        flows = [f for f in read_flows(capture.end()) if f.client[0] == late and f.server[0] == address and f.payload()]
    c.kubectl("-n", NS, "delete", "pod", "late", "--wait=false")
    assert flows and all(f.is_tls() for f in flows), [(f.server, f.payload()[:40]) for f in flows]


def row_1_10_check_is_green(t):
    """An issuer that lives two days is somebody's decision: a warning at most."""
    for flags in ("", f"--proxy -n {NS}"):
        _, said, _ = t.c.shell(f"linkerd check {flags} --wait 60s")
        assert "Status check results are √" in said, said
    assert "issuer cert is valid for at least 60 days" in said, said


def row_0_4_a_leaf_is_renewed_with_no_restart(t):
    c = t.c
    p = ready_pods(c, NS, "app=client")[0]
    name = p["metadata"]["name"]

    def refreshed():
        return total(metrics(c, NS, name), "control_identity_cert_refreshes_total")
    first = refreshed()
    load = Load(c, NS, "http://web/")
    wait(lambda: refreshed() >= first + 1, "the leaf is renewed", 90, 2)
    load.nothing_failed()
    again = c.get("pod", name, ns=NS)
    assert [s["restartCount"] for s in again["status"]["initContainerStatuses"]] == [s["restartCount"] for s in p["status"]["initContainerStatuses"]]


def rows_0_5_and_1_11_the_issuer_is_renewed_every_30_s_and_nothing_fails(t):
    c, rounds = t.c, 10 if SOAK else 1
    load = Load(c, NS, "http://web/")
    first, before = revision(c), issuer_secret(c)["tls.crt"]
    c.apply(CERTIFICATE.format(duration="1h", renew="59m30s"))
    wait(lambda: revision(c) >= first + rounds + 1, "the issuer was renewed", 60 + 60 * rounds, 2)
    wait(lambda: len(events(c, MESH, "IssuerUpdated")) > 0, "an Event tells of the new issuer", 60)
    ends = issuer_secret(c)["tls.crt"]
    assert ends != before
    # A leaf that was made since chains to an issuer of now: one life of a leaf later the old ones are gone.
    time.sleep(45)
    load.nothing_failed()
    c.apply(CERTIFICATE.format(duration="48h", renew="25h"))
    control = ready_pods(c, MESH, CONTROL)
    assert len(control) == 1 and control[0]["status"]["containerStatuses"][0]["restartCount"] == 0


def row_1_7m_the_anchors_are_in_a_config_map_of_others(t):
    """externalCA: something else (trust-manager) writes the bundle. A second anchor in it is taken without a restart."""
    c = t.c
    with open(os.path.join(t.folder, "ca.crt"), encoding="ascii") as f:
        anchor = f.read()
    uninstall(c, t.form)
    t.form = "helm"
    c.apply(NAMESPACE)
    c.apply(CERTIFICATE.format(duration="48h", renew="25h"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "linkerd-identity-trust-roots", "namespace": MESH},
                                                              "data": {"ca-bundle.crt": anchor}})
    c.kubectl("-n", MESH, "wait", "--for=condition=Ready", "certificate/linkerd-identity-issuer", "--timeout=60s")
    install(c, "--set", "identity.externalCA=true,identity.issuer.scheme=kubernetes.io/tls", form=t.form)
    c.kubectl("-n", NS, "rollout", "restart", "deploy/web", "deploy/client")
    for name in ("web", "client"):
        c.rollout(NS, f"deploy/{name}")
    assert c.exec(NS, "deploy/client", "/testd", "get", "http://web/", container="app").startswith("200 {")
    other = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", os.path.join(t.folder, "other.key"),
                "-days", "10", "-subj", "/CN=other")
    c.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "linkerd-identity-trust-roots", "namespace": MESH}, "data": {"ca-bundle.crt": anchor + other}})
    wait(lambda: "anchors=2" in c.logs(MESH, "deploy/linkerd-control-plane") or '"anchors":2' in c.logs(MESH, "deploy/linkerd-control-plane"),
         "the control plane has both anchors", 60)


CASES = [row_1_1_the_repository_has_the_charts, row_1_1_the_same_charts_are_taken_as_oci,
         row_1_2_the_namespace_is_made_by_its_manifest, row_1_3_a_cluster_issuer_has_the_root, rows_1_4_and_1_5_the_certificate_is_ready,
         row_1_6_the_root_is_read_from_the_secret, row_1_7_it_installs_with_these_values, row_1_8_its_pods_are_running_and_ready,
         row_1_9_the_values_are_in_the_config_map, row_0_2_between_meshed_pods_all_is_mutual_tls, row_0_3_toward_the_control_plane_as_well, row_1_10_check_is_green,
         row_0_4_a_leaf_is_renewed_with_no_restart, rows_0_5_and_1_11_the_issuer_is_renewed_every_30_s_and_nothing_fails,
         row_1_7m_the_anchors_are_in_a_config_map_of_others]


def main():
    cluster = Cluster()
    with tempfile.TemporaryDirectory(prefix="tulle-e2e-") as folder, cluster.namespace(NS, annotations={"linkerd.io/inject": "enabled"}):
        test = Test(cluster, folder, os.environ.get("TULLE_E2E_FORM", "umbrella"))
        try:
            report(CASES, test, on_failure=lambda: describe(cluster, NS, "cert-manager"))
        finally:
            uninstall(cluster, test.form)
            cluster.kubectl("delete", "clusterissuer", "self-signed", "ca-issuer", "--ignore-not-found", check=False)
            cluster.uninstall_cert_manager()


main()
