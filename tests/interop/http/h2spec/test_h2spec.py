#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""h2spec 2.2.1 with its strict cases against lib/h2, in plain text and over TLS.
usage: test_h2spec.py HTTP_PEER TLS_PEER WORK_DIR

h2spec is built from its Go module once into the cache. All cases must run and pass: none failed, none skipped, and as many
as the suite has.
"""
import os
import subprocess
import sys
import unittest
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.realpath(__file__))
VERSION = "2.2.1"
CASES = 146


def build():
    cache = os.environ.get("TULLE_CACHE") or os.path.expanduser("~/.cache/tulle")
    binary = os.path.join(cache, "tools", f"h2spec-{VERSION}")
    if not os.path.exists(binary):
        os.makedirs(os.path.dirname(binary), exist_ok=True)
        environment = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly", CGO_ENABLED="0")
        subprocess.run(["go", "build", "-trimpath", "-ldflags", f"-s -w -X main.VERSION={VERSION}", "-o", binary + ".new",
                        "github.com/summerwind/h2spec/cmd/h2spec"], cwd=HERE, env=environment, check=True)
        os.rename(binary + ".new", binary)
    return binary


class H2spec(unittest.TestCase):
    def run_against(self, name, server_options, client_options):
        server = subprocess.Popen([PEER, "serve", *server_options], stdout=subprocess.PIPE, text=True)
        try:
            port = server.stdout.readline().strip()
            report = os.path.join(WORK, name + ".xml")
            if os.path.exists(report):
                os.remove(report)
            done = subprocess.run([H2SPEC, "-S", "-p", port, "-j", report, *client_options], capture_output=True, text=True,
                                  timeout=280)
            self.assertIsNone(server.poll(), "the server ended")
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
        suites = xml.etree.ElementTree.parse(report).getroot().iter("testsuite")
        bad, cases = [], 0
        for suite in suites:
            for case in suite.iter("testcase"):
                cases += 1
                if any(case.find(kind) is not None for kind in ("failure", "error", "skipped")):
                    bad.append(f"{suite.get('name')}: {case.get('classname')}")
        print(f"{name}: {cases} cases, {len(bad)} bad")
        self.assertEqual(bad, [], done.stdout[-6000:])
        self.assertEqual(done.returncode, 0, done.stdout[-6000:])
        self.assertEqual(cases, CASES)
        self.assertIn(f"{CASES} tests, {CASES} passed, 0 skipped, 0 failed", done.stdout)

    # A limit of streams is announced, or h2spec would skip the case that goes beyond it.
    def test_plain(self):
        self.run_against("plain", ["--h2", "--streams", "100"], [])

    def test_tls(self):
        self.run_against("tls", ["--tls", WORK, "server.ns", "--streams", "100"], ["-t", "-k"])


if __name__ == "__main__":
    PEER, TLS_PEER, WORK = sys.argv[1:4]
    del sys.argv[1:4]
    os.makedirs(WORK, exist_ok=True)
    subprocess.run([TLS_PEER, "mint", WORK], check=True)
    H2SPEC = build()
    unittest.main()
