#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clients of lib/http1 and lib/h2, behind a server of ours, against nginx.
usage: test_nginx.py HTTP_PEER TLS_PEER WORK_DIR"""
import functools
import os
import subprocess
import sys
import unittest

import peers
from peers import Program, pattern, run


def every_way(test):
    """Runs a test with each version of HTTP in front of our proxy and each way from it to nginx."""
    @functools.wraps(test)
    def run_all(self):
        for name, forward in self.ways.items():
            for version in ("--http1.1", "--http2-prior-knowledge"):
                with self.subTest(f"{version} then {name}"):
                    test(self, name, f"http://127.0.0.1:{forward.port}", ["curl", "-sS", version])
    return run_all


class OurClientsAndNginx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.echo = Program([PEER, "serve"])
        cls.nginx = peers.Nginx(WORK, cls.echo.port)
        tls = ["--to-tls", WORK, "server.ns"]
        cls.ways = {
            "HTTP/1.1": Program([PEER, "forward", str(cls.nginx.plain)]),
            "HTTP/2.0": Program([PEER, "forward", str(cls.nginx.h2c), "--to-h2"]),
            "HTTP/1.1 TLS": Program([PEER, "forward", str(cls.nginx.tls), *tls]),
            "HTTP/2.0 TLS": Program([PEER, "forward", str(cls.nginx.tls), "--to-h2", *tls]),
        }
        cls.upload = os.path.join(WORK, "upload3")
        with open(cls.upload, "wb") as out:
            out.write(pattern(2_000_000))

    @classmethod
    def tearDownClass(cls):
        for one in (cls.nginx, cls.echo, *cls.ways.values()):
            assert one.alive(), one.process.args
            one.stop()

    @every_way
    def test_who(self, name, base, curl):
        done = run(*curl, "-H", "X-Test: yes", base + "/who")
        protocol, tls = name[:8], "TLS" in name
        self.assertRegex(done.stdout.decode(), rf"^GET {protocol} {'.*client.ns' if tls else ''}.* yes\n$", done.stderr)

    @every_way
    def test_files(self, _, base, curl):
        self.assertTrue(run(*curl, base + "/large").stdout == pattern(5_000_000))
        done = run(*curl, "-I", base + "/large")
        self.assertRegex(done.stdout.decode().lower(), r"content-length: 5000000\r\n")
        self.assertTrue(run(*curl, "-r", "100-299", base + "/large").stdout == pattern(300)[100:])
        self.assertIn(b" 204", run(*curl, "-i", base + "/none").stdout.split(b"\r\n")[0])
        self.assertIn(b" 404", run(*curl, "-i", base + "/missing").stdout.split(b"\r\n")[0])

    @every_way
    def test_uploads(self, _, base, curl):
        done = run(*curl, "-T", self.upload, "-X", "POST", base + "/body")
        self.assertTrue(done.stdout == pattern(2_000_000), done.stderr)
        with open(self.upload, "rb") as data:  # no length beforehand
            done = run(*curl, "-T", "-", "-X", "POST", base + "/body", stdin=data)
        self.assertTrue(done.stdout == pattern(2_000_000), done.stderr)

    @every_way
    def test_early_answers(self, _, base, curl):
        done = run(*curl, "-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect:", "-T", self.upload, "-X", "POST",
                   base + "/small")
        self.assertEqual(done.stdout, b"413", done.stderr)
        self.assertEqual(run(*curl, base + "/hello").stdout, b"hello from nginx\n")  # it goes on

    def test_many(self):
        for name, forward in self.ways.items():
            with self.subTest(name):
                done = run("h2load", "-n", 3000, "-c", 5, "-m", 20, f"http://127.0.0.1:{forward.port}/hello")
                self.assertIn(b"3000 succeeded, 0 failed", done.stdout)


if __name__ == "__main__":
    PEER, TLS_PEER, WORK = sys.argv[1:4]
    del sys.argv[1:4]
    os.makedirs(WORK, exist_ok=True)
    subprocess.run([TLS_PEER, "mint", WORK], check=True)
    peers.need("curl", "h2load", "nginx")
    unittest.main()
