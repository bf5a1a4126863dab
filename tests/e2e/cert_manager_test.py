#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cert-manager, installed by Helm from its own chart, issues and renews: the ground for issuers that others own."""
import base64
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import Cluster, report, run, wait  # noqa: E402

NS = "trust"


def certificate(name, issuer, duration, renew_before=None, **spec):
    renewal = {"renewBefore": renew_before} if renew_before else {}
    return {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": name, "namespace": NS},
            "spec": {"isCA": True, "secretName": name, "duration": duration, **renewal, "issuerRef": issuer,
                     "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}, **spec}}


def helm_installs_it(c):
    c.install_cert_manager()
    pods = c.get("pods", ns="cert-manager")
    assert len(pods) == 3 and all(p["status"]["phase"] == "Running" for p in pods), [p["status"] for p in pods]


def a_cluster_issuer_signs(c):
    """The chain of the Linkerd documentation: a self-signed root in cert-manager's namespace, a ClusterIssuer over it, an issuer."""
    root = certificate("root", {"name": "self", "kind": "ClusterIssuer"}, "24h", commonName="root.linkerd.cluster.local")
    root["metadata"]["namespace"] = "cert-manager"
    c.apply({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "self"}, "spec": {"selfSigned": {}}}, root,
            {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "ca-issuer"}, "spec": {"ca": {"secretName": "root"}}},
            certificate("linkerd-identity-issuer", {"name": "ca-issuer", "kind": "ClusterIssuer", "group": "cert-manager.io"}, "1h", "59m45s",
                        commonName="identity.linkerd.cluster.local", dnsNames=["identity.linkerd.cluster.local"],
                        usages=["cert sign", "crl sign", "server auth", "client auth"]))
    c.kubectl("-n", NS, "wait", "--for=condition=Ready", "certificate/linkerd-identity-issuer", "--timeout=60s")
    secret = c.get("secret", "linkerd-identity-issuer", ns=NS)
    assert secret["type"] == "kubernetes.io/tls" and set(secret["data"]) == {"tls.crt", "tls.key", "ca.crt"}, secret["type"]
    text = run("openssl", "x509", "-noout", "-text", stdin=base64.b64decode(secret["data"]["tls.crt"]).decode())
    assert "CA:TRUE" in text and "identity.linkerd.cluster.local" in text and "prime256v1" in text, text


def certificates_renew_on_time(c):
    """A life of 1 h renewed 59 min 45 s before its end: a new one about every 15 s."""
    def revision():
        return c.get("certificate", "linkerd-identity-issuer", ns=NS)["status"].get("revision", 0)
    first = revision()
    wait(lambda: revision() > first, "the issuer is renewed", 40)


CASES = [helm_installs_it, a_cluster_issuer_signs, certificates_renew_on_time]


def main():
    cluster = Cluster()
    try:
        with cluster.namespace(NS):
            report(CASES, cluster, on_failure=lambda: cluster.describe("cert-manager"))
    finally:
        cluster.uninstall_cert_manager()


main()
