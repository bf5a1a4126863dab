#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""curl, nghttp, h2load and exact bytes against lib/h2 as server; its client against nghttpd.
usage: test_http2.py HTTP_PEER TLS_PEER WORK_DIR"""
import os
import subprocess
import sys
import time
import unittest

import peers
from peers import Program, Raw, pattern, run


def get(path, *fields, method="GET"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""])


class OurHttp2Server(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Program([PEER, "serve"])
        cls.secure = Program([PEER, "serve", "--tls", WORK, "server.ns"])
        cls.upload = os.path.join(WORK, "upload2")
        with open(cls.upload, "wb") as out:
            out.write(pattern(3_000_000))

    @classmethod
    def tearDownClass(cls):
        for one in (cls.server, cls.secure):
            assert one.alive()
            one.stop()

    def nghttp(self, path, *options, verbose=False):
        done = run("nghttp", *(["-v"] if verbose else []), *options, f"http://127.0.0.1:{self.server.port}{path}")
        return peers.frames(done.stdout.decode("latin-1")) if verbose else done.stdout

    def test_requests(self):
        self.assertEqual(self.nghttp("/"), b"hello")
        head = self.nghttp("/head?x", "-H", "X-Mixed: 1", "-H", "cookie: a=b")
        self.assertTrue(head.startswith(b"GET http 127.0.0.1:%d /head?x\n" % self.server.port), head)
        self.assertIn(b"\nx-mixed: 1\n", head)
        self.assertIn(b"\ncookie: a=b\n", head)

    def test_bodies(self):
        self.assertEqual(self.nghttp("/sum", "-d", self.upload), b"3000000 same")
        self.assertTrue(self.nghttp("/echo", "-d", self.upload) == pattern(3_000_000))
        self.assertTrue(self.nghttp("/bytes/5000000") == pattern(5_000_000))

    def test_small_windows_of_the_client(self):
        for bits in (1, 10):
            size = 2000 if bits == 1 else 200_000
            self.assertTrue(self.nghttp(f"/bytes/{size}", "-w", bits) == pattern(size), bits)

    def test_trailers_both_ways(self):
        self.assertEqual(self.nghttp("/sum", "-d", self.upload, "--trailer", "x-end: 7"), b"3000000 same x-end=7")
        seen = self.nghttp("/trailers", verbose=True)
        self.assertRegex(seen, r"(?s)recv DATA frame <length=13, flags=0x00.*recv \(stream_id=\d+\) x-sum: 42\n"
                               r".*x-done: yes\n.*recv HEADERS frame <length=\d+, flags=0x05")

    def test_informational_answers(self):
        seen = self.nghttp("/hints", verbose=True)
        self.assertRegex(seen, r"(?s):status: 103\n.*link: </a>; rel=preload.*:status: 103\n.*link: </b>.*:status: 200")

    def test_continuation_and_padding(self):
        # 32 KiB of fields in continuations: the block is taken apart, and the list is more than we take.
        self.assertIn(":status: 431", self.nghttp("/", "--continuation", verbose=True))
        self.assertEqual(self.nghttp("/sum", "-d", self.upload, "-b", "200"), b"3000000 same")
        self.assertEqual(self.nghttp("/", "--header-table-size", "0"), b"hello")
        self.assertEqual(self.nghttp("/", "--encoder-header-table-size", "0"), b"hello")
        self.assertEqual(self.nghttp("/", "-m", "50"), b"hello" * 50)

    def test_resets_and_goaway(self):
        self.assertIn("recv RST_STREAM frame <length=4, flags=0x00, stream_id=13>\n          (error_code=INTERNAL_ERROR(0x02))",
                      self.nghttp("/reset", verbose=True))
        last = "(last_stream_id=13, error_code=NO_ERROR(0x00)"
        for _ in range(10):  # nghttp leaves when it has its answer, at times before the second GOAWAY has come
            seen = self.nghttp("/close", verbose=True)
            self.assertIn("(last_stream_id=2147483647, error_code=NO_ERROR(0x00)", seen)
            if last in seen:
                break
        self.assertIn(last, seen)
        self.assertIn("bye", seen)

    def test_an_early_answer_resets_the_upload(self):
        seen = self.nghttp("/early", "-d", self.upload, verbose=True)
        self.assertRegex(seen, r"(?s):status: 413.*recv RST_STREAM frame <length=4, flags=0x00, stream_id=\d+>\n +"
                               r"\(error_code=NO_ERROR\(0x00\)\)")

    def test_answers_without_body(self):
        seen = self.nghttp("/sized/1000", "-H", ":method: HEAD", verbose=True)
        self.assertRegex(seen, r"recv HEADERS frame <length=\d+, flags=0x05")
        self.assertNotIn("recv DATA", seen)
        for status in (204, 304):
            seen = self.nghttp(f"/status/{status}", verbose=True)
            self.assertIn(f":status: {status}", seen)
            self.assertNotIn("recv DATA", seen)

    def test_limits(self):
        seen = self.nghttp("/", "-H", "x-large: " + "x" * 30_000, verbose=True)
        self.assertIn(":status: 431", seen)
        many = [one for i in range(600) for one in ("-H", f"x-{i}: y")]
        self.assertIn(":status: 431", self.nghttp("/", *many, verbose=True))

    def test_curl(self):
        base = f"http://127.0.0.1:{self.server.port}"
        done = run("curl", "-sS", "--http2-prior-knowledge", "-T", self.upload, "-X", "POST", base + "/sum")
        self.assertEqual(done.stdout, b"3000000 same", done.stderr)
        done = run("curl", "-sS", "--http2-prior-knowledge", "-w", " %{http_version}", base + "/sized/1000")
        self.assertEqual(done.stdout, pattern(1000) + b" 2", done.stderr)
        # h2c by upgrade is not spoken: the answer comes in HTTP/1.1.
        done = run("curl", "-sS", "--http2", "-w", " %{http_version}", base + "/")
        self.assertEqual(done.stdout, b"hello 1.1", done.stderr)

    def test_curl_over_tls(self):
        port = self.secure.port
        base = f"https://server.ns:{port}"
        common = ["curl", "-sS", "--resolve", f"server.ns:{port}:127.0.0.1", "--cacert", f"{WORK}/anchors.pem", "--cert",
                  f"{WORK}/client.ns.crt", "--key", f"{WORK}/client.ns.key", "-w", " %{http_version}"]
        for option, version in (("--http2", b" 2"), ("--http1.1", b" 1.1")):
            self.assertEqual(run(*common, option, base + "/").stdout, b"hello" + version)
            self.assertEqual(run(*common, option, "-T", self.upload, "-X", "POST", base + "/sum").stdout,
                             b"3000000 same" + version)
            self.assertTrue(run(*common, option, base + "/bytes/3000000").stdout == pattern(3_000_000) + version)

    def test_a_slow_reader_stops_the_sender(self):
        slow = subprocess.Popen(["curl", "-sS", "--http2-prior-knowledge", "--limit-rate", "32k", "-o", "/dev/null",
                                 f"http://127.0.0.1:{self.server.port}/bytes/1073741824"])
        try:
            time.sleep(1.5)
            made = int(self.nghttp("/made"))
        finally:
            slow.kill()
            slow.wait()
        # curl's window is 32 MiB; we make no more than that and what waits for it.
        self.assertGreater(made, 100_000)
        self.assertLess(made, 50_000_000)

    def test_h2load(self):
        done = run("h2load", "-n", 20_000, "-c", 10, "-m", 50, f"http://127.0.0.1:{self.server.port}/")
        self.assertIn(b"20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored", done.stdout)
        self.assertIn(b"20000 2xx", done.stdout)
        done = run("h2load", "-n", 300, "-c", 3, "-m", 10, "-d", self.upload, f"http://127.0.0.1:{self.server.port}/sum")
        self.assertIn(b"300 succeeded, 0 failed", done.stdout)


class OurHttp2ClientAndNghttpd(unittest.TestCase):
    def serve(self, *options):
        files = os.path.join(WORK, "www")
        os.makedirs(files, exist_ok=True)
        for name, size in (("hello", 5), ("large", 5_000_000)):
            with open(os.path.join(files, name), "wb") as out:
                out.write(pattern(size))
        port = peers.free_port()
        server = Program([peers.need("nghttpd"), "--no-tls", "-v", "-d", files, "-a", "127.0.0.1", *options, str(port)], port=port,
                         log=os.path.join(WORK, "nghttpd.log"))
        self.addCleanup(server.stop)
        forward = Program([PEER, "forward", str(port), "--to-h2"])
        self.addCleanup(forward.stop)
        self.base = f"http://127.0.0.1:{forward.port}"
        return forward.port

    def log(self):
        with open(os.path.join(WORK, "nghttpd.log")) as log:
            return peers.frames(log.read())

    def test_files_and_trailers(self):
        port = self.serve("--trailer", "x-t: 1", "--trailer", "x-u: 2")
        with Raw(port) as raw:
            raw.send(get("/hello"))
            status, fields, body = raw.response()
            self.assertEqual((status, body), ("HTTP/1.1 200 OK", pattern(5)))
        with Raw(port) as raw:
            raw.send(get("/large"))
            self.assertTrue(raw.response()[2] == pattern(5_000_000))
        done = run("nghttp", "-v", self.base + "/hello")
        self.assertRegex(peers.frames(done.stdout.decode("latin-1")), r"(?s)recv DATA.*x-t: 1\n.*x-u: 2\n")

    def test_uploads_with_trailers(self):
        upload = os.path.join(WORK, "upload4")
        with open(upload, "wb") as out:
            out.write(pattern(2_000_000))
        self.serve("--echo-upload")
        done = run("curl", "-sS", "--http1.1", "-T", upload, "-X", "POST", self.base + "/")
        self.assertTrue(done.stdout == pattern(2_000_000), done.stderr)
        with Raw(int(self.base.rsplit(":", 1)[1])) as raw:
            raw.send(get("/", "Transfer-Encoding: chunked", method="POST"), "3\r\nabc\r\n0\r\nX-End: 5\r\n\r\n")
            self.assertEqual(raw.response()[2], b"abc")
        self.assertIn("x-end: 5", self.log())

    def test_small_windows_and_frames_of_the_server(self):
        upload = os.path.join(WORK, "upload5")
        with open(upload, "wb") as out:
            out.write(pattern(100_000))
        self.serve("--echo-upload", "-w", "10", "-W", "12")
        done = run("curl", "-sS", "--http1.1", "-T", upload, "-X", "POST", self.base + "/")
        self.assertTrue(done.stdout == pattern(100_000), done.stderr)

    def test_no_header_table(self):
        self.serve("--header-table-size", "0", "--encoder-header-table-size", "0")
        for _ in range(3):
            self.assertEqual(run("curl", "-sS", self.base + "/hello").stdout, pattern(5))

    def test_stream_limits(self):
        self.serve("-m", "2")
        done = run("h2load", "-n", 500, "-c", 5, "-m", 10, self.base + "/hello")
        self.assertIn(b"500 succeeded, 0 failed", done.stdout)

    def test_large_heads_take_continuations(self):
        self.serve()
        with Raw(int(self.base.rsplit(":", 1)[1])) as raw:
            raw.send(get("/hello", "X-Large: " + "!" * 40_000))
            self.assertEqual(raw.response()[2], pattern(5))
        # nghttp2 tells of the block as a whole; a frame takes 16,384 bytes at most.
        self.assertRegex(self.log(), r"recv HEADERS frame <length=400\d\d")


if __name__ == "__main__":
    PEER, TLS_PEER, WORK = sys.argv[1:4]
    del sys.argv[1:4]
    os.makedirs(WORK, exist_ok=True)
    subprocess.run([TLS_PEER, "mint", WORK], check=True)
    peers.need("curl", "nghttp", "h2load", "nghttpd")
    unittest.main()
