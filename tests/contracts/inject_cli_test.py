#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The program `tulle inject`, run as a person runs it; with --manual it asks a stand-in for the API server."""
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

# What starts the program, e.g. an emulator of its processor; and the program.
TULLE = [*os.environ.get("TULLE_EMULATOR", "").split(), sys.argv.pop(1)]
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}   # a comment
spec:
  template:
    spec:
      containers:
      - {image: b, name: a}
"""
VALUES = "clusterDomain: k8s.home\nproxy:\n  image: {name: reg/p, version: v5}\n"


class ApiServer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    minor = "34+"

    def do_GET(self):
        config_maps = "/api/v1/namespaces/linkerd/configmaps/"
        objects = {
            config_maps + "linkerd-config": {"kind": "ConfigMap", "data": {"values": VALUES}},
            config_maps + "linkerd-identity-trust-roots": {"kind": "ConfigMap", "data": {"ca-bundle.crt": "PEM\n"}},
            "/version": {"major": "1", "minor": self.minor},
        }
        found = objects.get(self.path)
        body = json.dumps(found or {"kind": "Status", "code": 404, "reason": "NotFound"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def tulle(*arguments, text=""):
    environment = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "LINKERD_NAMESPACE")}
    return subprocess.run([*TULLE, *arguments], input=text.encode(), capture_output=True, timeout=60, env=environment, check=False)


class Inject(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, text):
        path = os.path.join(self.folder.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def kubeconfig(self, minor):
        handler = type("Handler", (ApiServer,), {"minor": minor})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return self.file("kubeconfig", f"""apiVersion: v1
kind: Config
current-context: a
contexts: [{{name: a, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{server.server_port}"}}}}]
users: [{{name: u, user: {{}}}}]
""")

    def test_annotates_from_standard_input(self):
        done = tulle("inject", "--skip-outbound-ports", "443", "--ingress", "-", text=DEPLOYMENT)
        self.assertEqual(done.returncode, 0, done.stderr)
        added = ("    metadata:\n      annotations:\n        config.linkerd.io/skip-outbound-ports: \"443\"\n"
                 "        linkerd.io/inject: ingress\n    spec:\n      containers")
        self.assertEqual(done.stdout.decode(), DEPLOYMENT.replace("    spec:\n      containers", added))
        self.assertIn('deployment "web" injected', done.stderr.decode())

    def test_reads_folders_in_order(self):
        self.file("in/b/2.yml", "kind: ConfigMap\nmetadata: {name: two}\n")
        self.file("in/a.yaml", "kind: ConfigMap\nmetadata: {name: one}\n")
        self.file("in/not-a-manifest.txt", "{")
        done = tulle("inject", os.path.join(self.folder.name, "in"))
        self.assertEqual(done.stdout.decode(), "kind: ConfigMap\nmetadata: {name: one}\n---\nkind: ConfigMap\nmetadata: {name: two}\n")

    def test_host_network_fails_with_nothing_on_standard_output(self):
        done = tulle("inject", "-", text=DEPLOYMENT.replace("      containers", "      hostNetwork: true\n      containers"))
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn("Error transforming resources:\nfailed to inject deployment/web: hostNetwork is enabled\n", done.stderr.decode())

    def test_writes_the_proxy_as_the_cluster_says_and_takes_it_out(self):
        for minor, native in (("34+", True), ("28", False)):
            with self.subTest(minor=minor):
                done = tulle("inject", "--manual", "--kubeconfig", self.kubeconfig(minor), "-", text=DEPLOYMENT)
                self.assertEqual(done.returncode, 0, done.stderr)
                text = done.stdout.decode()
                self.assertIn("image: reg/p:v5", text)
                self.assertIn("linkerd-dst-headless.linkerd.svc.k8s.home.:8086", text)
                self.assertIn('value: "PEM\\n"', text)
                self.assertEqual("restartPolicy: Always" in text, native)
                undone = tulle("uninject", "-", text=text)
                self.assertEqual(undone.stdout.decode(), DEPLOYMENT)

    def test_says_what_is_missing(self):
        config = self.kubeconfig("34")
        done = tulle("inject", "--manual", "--kubeconfig", config, "-L", "elsewhere", "-", text=DEPLOYMENT)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn("no ConfigMap linkerd-config in the namespace elsewhere", done.stderr.decode())
        for arguments, reason in ((["--manual", "--ignore-cluster", "-"], "trust anchors"),
                                  (["--admin-port", "x", "-"], "expected a port"),
                                  (["https://example.com/a.yaml"], "fetch it first"),
                                  ([os.path.join(self.folder.name, "none.yaml")], "cannot be read")):
            done = tulle("inject", *arguments, text=DEPLOYMENT)
            self.assertEqual((done.returncode, done.stdout), (1, b""), arguments)
            self.assertIn(reason, done.stderr.decode())


if __name__ == "__main__":
    unittest.main(verbosity=2)
