#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""curl, h2load and exact bytes over plain sockets against lib/http1, as server and as client.
usage: test_http1.py HTTP_PEER TLS_PEER WORK_DIR"""
import os
import socket
import sys
import threading
import time
import unittest

import peers
from peers import Program, Raw, RawServer, pattern, run

HELLO = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"


def get(path, *fields, method="GET"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""])


class OurHttp1Server(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Program([PEER, "serve"])

    @classmethod
    def tearDownClass(cls):
        assert cls.server.alive()
        cls.server.stop()

    def talk(self):
        raw = Raw(self.server.port)
        self.addCleanup(raw.tcp.close)
        return raw

    def test_keep_alive_and_pipelining(self):
        raw = self.talk()
        for _ in range(3):
            raw.send(get("/"))
            raw.expect(HELLO)
        raw.send(get("/") + get("/echo", "Content-Length: 4", method="POST") + "abcd" + get("/", "Connection: close"))
        self.assertEqual(raw.rest(), HELLO + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd" +
                         HELLO.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))

    def test_a_byte_at_a_time(self):
        raw = self.talk()
        for byte in (get("/sum", "Transfer-Encoding: chunked", method="POST") + "2;a=b\r\n\0\1\r\n0\r\nX-T: 1\r\n\r\n").encode():
            raw.send(bytes([byte]))
        self.assertEqual(raw.response()[2], b"2 same X-T=1")

    def test_old_clients(self):
        raw = self.talk().send("GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(raw.rest(), b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n"
                                     b"connection: close\r\n\r\nhello")
        raw = self.talk().send("GET /trailers HTTP/1.0\r\n\r\n")  # no length, no chunks: until the end
        self.assertTrue(raw.rest().endswith(b"connection: close\r\n\r\nwith trailers"))
        raw = self.talk().send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
        self.assertEqual(raw.rest().count(b"hello"), 2)
        raw = self.talk().send("GET /hints HTTP/1.0\r\n\r\n")  # RFC 9110 15.2: no 1xx for them
        self.assertTrue(raw.rest().startswith(b"HTTP/1.0 200"))

    def test_100_continue(self):
        raw = self.talk().send(get("/continue", "Content-Length: 3", "Expect: 100-continue", method="POST"))
        raw.expect("HTTP/1.1 100 Continue\r\n\r\n")
        raw.send(b"\0\1\2")
        self.assertEqual(raw.response()[2], b"3 same")
        raw.send(get("/"))
        raw.expect(HELLO)

    def test_other_informational_answers(self):
        raw = self.talk().send(get("/hints"))
        raw.expect("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
                   "HTTP/1.1 103 Early Hints\r\nLink: </b>; rel=preload\r\n\r\n", HELLO)
        raw = self.talk().send(get("/hint-204") + get("/", "Connection: close"))
        self.assertIn(b"\r\n\r\nHTTP/1.1 204 No Content\r\n", raw.rest())

    def test_early_answers(self):
        raw = self.talk().send(get("/early", "Content-Length: 10000000", method="POST"), b"x" * 1000)
        self.assertEqual(raw.response()[0], "HTTP/1.1 413 Content Too Large")
        self.assertEqual(raw.rest(), b"")  # the connection is of no use any more
        # What is left of a small body is read, and the connection goes on.
        raw = self.talk().send(get("/early", "Content-Length: 5", method="POST"))
        self.assertEqual(raw.response()[0], "HTTP/1.1 413 Content Too Large")
        raw.send("hello", get("/"))
        raw.expect(HELLO)

    def test_trailers_both_ways(self):
        raw = self.talk().send(get("/trailers"))
        expected = (b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
                    b"d\r\nwith trailers\r\n0\r\nX-Sum: 42\r\nX-Done: yes\r\n\r\n")
        raw.expect(expected)
        raw.send(get("/echo", "Transfer-Encoding: chunked", method="POST"), "3\r\nabc\r\n0\r\nX-A: 1\r\nContent-Length: 9\r\n\r\n")
        expected = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n"
        raw.expect(expected)
        raw.send(get("/"))
        raw.expect(HELLO)

    def test_upgrade(self):
        raw = self.talk().send(get("/upgrade", "Connection: Upgrade", "Upgrade: websocket"), "early")
        expected = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly"
        raw.expect(expected)
        raw.send(b"\x81\x05frame")
        self.assertEqual(raw.take(7), b"\x81\x05frame")
        raw.tcp.shutdown(socket.SHUT_WR)  # half-close passes through
        self.assertEqual(raw.rest(), b"")
        # With a body in front nobody is sure where the new protocol begins: an ordinary request.
        raw = self.talk().send(get("/upgrade", "Connection: Upgrade", "Upgrade: x", "Content-Length: 3", method="POST"), "abc")
        self.assertEqual(raw.response()[0], "HTTP/1.1 200 OK")

    def test_connect(self):
        raw = self.talk().send("CONNECT there:443 HTTP/1.1\r\nHost: there:443\r\n\r\n", "first")
        expected = b"HTTP/1.1 200 OK\r\n\r\nfirst"
        raw.expect(expected)
        raw.send(pattern(300_000))
        self.assertEqual(raw.take(300_000), pattern(300_000))

    def test_answers_without_body(self):
        raw = self.talk()
        raw.send(get("/sized/1000", method="HEAD"), get("/status/204"), get("/status/304"), get("/status/205"),
                 get("/bytes/1000", method="HEAD"), get("/"))
        self.assertEqual(raw.response(True)[1]["content-length"], "1000")
        raw.expect("HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n",
                   "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n")
        raw.expect(HELLO)

    def test_chunks_with_extensions(self):
        raw = self.talk().send(get("/sum", "Transfer-Encoding: Chunked", method="POST"),
                               b"003;name=\"va;lue\";x\r\n\0\1\2\r\n1 ; y\r\n\3\r\n000;last\r\n\r\n")
        self.assertEqual(raw.response()[2], b"4 same")

    def test_what_could_smuggle_is_refused(self):
        post = "POST / HTTP/1.1\r\nHost: a\r\n"
        hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
        vectors = {
            "CL and TE": post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
            "TE and CL": post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + hidden,
            "two CLs": post + "Content-Length: 0\r\nContent-Length: 31\r\n\r\n" + hidden,
            "CL list": post + "Content-Length: 0, 31\r\n\r\n" + hidden,
            "CL with sign": post + "Content-Length: +0\r\n\r\n" + hidden,
            "CL hex": post + "Content-Length: 0x0\r\n\r\n" + hidden,
            "CL beyond 2^63": post + "Content-Length: 9223372036854775808\r\n\r\n",
            "TE twice": post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
            "TE list": post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden,
            "TE quoted": post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
            "TE with VT": post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            "TE in 1.0": "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
            "space before colon": post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "folded": post + "X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
            "folded first": "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "bare LF": "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "bare LFs": "GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "bare CR": "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "NUL in value": "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            "control in value": "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
            "control in name": "GET / HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n\r\n",
            "no name": "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
            "no colon": "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n",
            "two Hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "no Host": "GET / HTTP/1.1\r\n\r\n" + hidden,
            "fragment": "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n" + hidden,
            "Host with two ports": "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n" + hidden,
            "Host with path": "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "Host list": "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "userinfo": "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "space in target": "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "tab for space": "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.2": "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "CONNECT with body": "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc",
            "chunk size overflow": post + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
            "chunk size sign": post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
            "chunk size 0x": post + "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            "chunk bare LF": post + "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            "chunk ext with LF": post + "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
            "chunk too long": post + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "chunk line too long": post + "Transfer-Encoding: chunked\r\n\r\n1;" + "x" * 2000 + "\r\na\r\n0\r\n\r\n",
            "folded trailer": post + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
        }
        for name, request in vectors.items():
            with self.subTest(name):
                got = self.talk().send(request.encode("latin-1")).rest()
                self.assertEqual(got, b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def test_codings_that_it_does_not_know(self):
        for coding in ("gzip", "gzip, chunked", "identity"):
            with self.subTest(coding):
                got = self.talk().send(get("/", f"Transfer-Encoding: {coding}", method="POST"), "0\r\n\r\n").rest()
                self.assertEqual(got, b"HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def test_limits(self):
        refused = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.assertEqual(self.talk().send(get("/", "X: " + "x" * 70_000)).rest(), refused)
        self.assertEqual(self.talk().send("GET /" + "x" * 70_000 + " HTTP/1.1\r\n\r\n").rest(), refused)
        self.assertEqual(self.talk().send(get("/", *["X: y"] * 120)).rest(), refused)
        raw = self.talk().send(get("/head", "X: " + "x" * 60_000))
        self.assertIn(b"X: " + b"x" * 60_000, raw.response()[2])
        small = Program([PEER, "serve", "--max-head", "1000"])
        self.addCleanup(small.stop)
        self.assertEqual(Raw(small.port).send(get("/", "X: " + "x" * 1000)).rest(), refused)

    def test_large_bodies(self):
        size = 20_000_000
        raw = self.talk().send(get("/sum", f"Content-Length: {size}", method="POST"), pattern(size))
        self.assertEqual(raw.response()[2], b"%d same" % size)
        for path in ("/bytes", "/sized"):
            raw.send(get(f"{path}/{size}"))
            self.assertTrue(raw.response()[2] == pattern(size))

    def test_a_slow_reader_stops_the_sender(self):
        with Raw(self.server.port) as slow:
            slow.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            slow.send(get("/bytes/1073741824"))
            made = []
            for _ in range(2):
                time.sleep(0.5)
                raw = self.talk().send(get("/made"))
                made.append(int(raw.response()[2]))
            self.assertEqual(made[0], made[1])  # it stands still
            self.assertLess(made[0], 8_000_000)  # what the kernel's buffers took, and a window

    def test_a_slow_handler_stops_the_client(self):
        raw = self.talk()
        raw.tcp.settimeout(0.3)
        raw.send(get("/held-sum", "Content-Length: 50000000", method="POST"))
        sent, data = 0, pattern(50_000_000)
        try:
            while sent < len(data):
                sent += raw.tcp.send(data[sent:sent + 65536])
        except TimeoutError:
            pass
        self.assertLess(sent, 20_000_000)
        self.assertEqual(self.talk().send(get("/let-go")).response()[2], b"hello")
        raw.tcp.settimeout(20)
        raw.send(data[sent:])
        self.assertEqual(raw.response()[2], b"50000000 same")

    def test_half_closed_clients_get_their_answers(self):
        raw = self.talk().send(get("/late-sum", "Content-Length: 1", method="POST"), b"\0")
        raw.tcp.shutdown(socket.SHUT_WR)
        self.assertEqual(raw.response()[2], b"1 same")
        self.assertEqual(raw.rest(), b"")

    def test_curl(self):
        upload = os.path.join(WORK, "upload")
        with open(upload, "wb") as out:
            out.write(pattern(3_000_000))
        base = f"http://127.0.0.1:{self.server.port}"
        done = run("curl", "-sS", "--http1.1", "-T", upload, "-X", "POST", base + "/sum")  # asks for 100
        self.assertEqual(done.stdout, b"3000000 same", done.stderr)
        done = run("curl", "-sS", "--http1.1", "-T", upload, "-H", "Transfer-Encoding: chunked", base + "/echo")
        self.assertTrue(done.stdout == pattern(3_000_000), done.stderr)
        done = run("curl", "-sS", "--http1.1", base + "/1", base + "/2", "-w", "%{num_connects} ", "-o", "/dev/null", "-o",
                   "/dev/null")
        self.assertEqual(done.stdout, b"1 0 ", done.stderr)
        done = run("curl", "-sS", "-i", "--http1.1", base + "/hints")
        self.assertEqual(done.stdout.count(b"HTTP/1.1 103 Early Hints"), 2)

    def test_h2load_speaks_http1_too(self):
        done = run("h2load", "--h1", "-n", 5000, "-c", 10, f"http://127.0.0.1:{self.server.port}/")
        self.assertIn(b"5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed", done.stdout)


class OurHttp1Client(unittest.TestCase):
    """Requests over plain sockets to our server, carried by our client to a server of exact bytes."""

    def through(self, script, *options):
        self.server = RawServer(script)
        self.addCleanup(self.server.stop)
        forward = Program([PEER, "forward", str(self.server.port), *options])
        self.addCleanup(forward.stop)
        raw = Raw(forward.port)
        self.addCleanup(raw.tcp.close)
        return raw

    def tearDown(self):
        if hasattr(self, "server"):
            self.assertEqual(self.server.errors, [])

    def test_requests_as_they_came(self):
        asked = []

        def script(raw):
            for _ in range(3):
                asked.append(raw.until("\r\n\r\n"))
                raw.send("HTTP/1.1 200 Fine\r\nX-Mixed: Yes\r\nContent-Length: 2\r\n\r\nok")

        raw = self.through(script)
        for path in ("/a?b=%20c", "http://other/x", "/"):
            raw.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Odd-CASE:  v \r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n")
            raw.expect("HTTP/1.1 200 Fine\r\nX-Mixed: Yes\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(asked[0], b"GET /a?b=%20c HTTP/1.1\r\nHost: a\r\nX-Odd-CASE: v\r\nTE: trailers\r\n\r\n")
        self.assertEqual(asked[1], b"GET http://other/x HTTP/1.1\r\nHost: a\r\nX-Odd-CASE: v\r\nTE: trailers\r\n\r\n")
        self.assertEqual(self.server.connections, 1)

    def test_answers_stream(self):
        go_on = threading.Event()

        def script(raw):
            raw.until("\r\n\r\n")
            raw.expect("abc").send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n")
            assert go_on.wait(10)
            raw.send("2\r\nde\r\n0\r\nX-T: 9\r\n\r\n")

        raw = self.through(script).send(get("/", "Content-Length: 3", method="POST"), "abc")
        raw.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        go_on.set()
        raw.expect("2\r\nde\r\n0\r\nX-T: 9\r\n\r\n")

    def test_chunked_uploads_with_trailers(self):
        asked = []

        def script(raw):
            asked.append(raw.until("\r\n\r\n"))
            asked.append(raw.until("0\r\nX-End: 1\r\n\r\n"))
            raw.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\nX-T: 9\r\n\r\n")
            asked.append(raw.until("\r\n\r\n"))
            raw.send("HTTP/1.1 204 No Content\r\n\r\n")

        raw = self.through(script)
        raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;e\r\nhello\r\n0\r\nX-End: 1\r\n\r\n")
        status, fields, body = raw.response()
        self.assertEqual((status, body, fields["trailer:x-t"]), ("HTTP/1.1 200 OK", b"a", "9"))
        self.assertEqual(asked, [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                                 b"5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n"])
        raw.send(get("/next"))
        self.assertEqual(raw.take(27), b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertEqual(self.server.connections, 1)

    def test_100_continue_and_hints_pass(self):
        def script(raw):
            raw.until("\r\n\r\n")
            raw.send("HTTP/1.1 100 Continue\r\n\r\n")
            assert raw.take(4) == b"body"
            raw.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n",
                     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            raw.rest()

        raw = self.through(script)
        raw.send(get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"))
        raw.expect("HTTP/1.1 100 Continue\r\n\r\n")
        raw.send("body")
        raw.expect("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def test_answers_without_body(self):
        """Whose answer speaks of a body that it must not have may send it later: its connection is not used again."""
        answers = iter(("200 OK\r\nContent-Length: 77", "304 Not Modified\r\nContent-Length: 12", "204 No Content",
                        "200 OK\r\nTransfer-Encoding: chunked", "200 OK\r\nContent-Length: 3"))

        def script(raw):
            answer = ""
            while "204" in answer or not answer:
                raw.until("\r\n\r\n")
                answer = next(answers)
                raw.send(f"HTTP/1.1 {answer}\r\n\r\n", "late" if "77" in answer else "end" if "h: 3" in answer else "")
            raw.rest()

        raw = self.through(script)
        for method in ("HEAD", "GET", "GET", "HEAD", "GET"):
            raw.send(get("/", method=method))
            status, fields, body = raw.response(method == "HEAD")
        self.assertEqual(body, b"end")
        self.assertEqual(self.server.connections, 4)

    def test_bodies_until_the_connection_ends(self):
        def script(raw):
            raw.until("\r\n\r\n")
            raw.send("HTTP/1.1 200 OK\r\n\r\n", pattern(100_000))

        raw = self.through(script)
        for _ in range(2):
            raw.send(get("/"))
            self.assertTrue(raw.response()[2] == pattern(100_000))
        self.assertEqual(self.server.connections, 2)

    def test_cut_bodies_are_seen_to_be_cut(self):
        def script(raw):
            raw.until("\r\n\r\n")
            raw.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

        raw = self.through(script).send(get("/"))
        self.assertEqual(raw.rest(), b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    def test_early_answers_end_the_connection_to_the_server(self):
        def script(raw):
            raw.until("\r\n\r\n")
            raw.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            raw.rest()

        raw = self.through(script)
        raw.send(get("/", "Content-Length: 3000000", method="POST"), b"x" * 1000)
        self.assertEqual(raw.response()[0], "HTTP/1.1 413 Too Large")
        with Raw(raw.tcp.getpeername()[1]) as other:
            other.send(get("/"))
            self.assertEqual(other.response()[0], "HTTP/1.1 413 Too Large")
        self.assertEqual(self.server.connections, 2)

    def test_upgrade(self):
        def script(raw):
            head = raw.until("\r\n\r\n")
            assert b"\r\nUpgrade: websocket\r\n" in head and b"\r\nconnection: upgrade\r\n" in head, head
            raw.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi")
            got = raw.take(100_000)
            assert got == pattern(100_000)
            raw.send(got)

        raw = self.through(script)
        raw.send(get("/", "Upgrade: websocket", "Connection: keep-alive, Upgrade"))
        head = raw.until("\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"), head)
        self.assertEqual(raw.take(2), b"hi")
        raw.send(pattern(100_000))
        self.assertTrue(raw.take(100_000) == pattern(100_000))
        self.assertEqual(raw.rest(), b"")

    def test_connect(self):
        def script(raw):
            assert raw.until("\r\n\r\n") == b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n"
            raw.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")  # RFC 9110 9.3.6: a length means nothing here
            raw.send(raw.take(4))

        raw = self.through(script).send("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n")
        self.assertEqual(raw.until("\r\n\r\n"), b"HTTP/1.1 200 OK\r\n\r\n")
        raw.send("ping")
        self.assertEqual(raw.rest(), b"ping")

    def test_bad_answers_are_not_passed_on(self):
        for answer in ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\nab",
                       "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n",
                       "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "SSH-2.0-other\r\n\r\n",
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
                       "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 200 + "\r\n", "HTTP/1.1 200 OK\r\nX: " + "y" * 70_000 + "\r\n\r\n"):
            with self.subTest(answer[:60]):
                raw = self.through(lambda raw, answer=answer: (raw.until("\r\n\r\n"), raw.send(answer)))
                raw.send(get("/"))
                status, _, body = raw.response()
                self.assertEqual(status, "HTTP/1.1 502 Bad Gateway", body)


if __name__ == "__main__":
    PEER, TLS_PEER, WORK = sys.argv[1:4]
    del sys.argv[1:4]
    os.makedirs(WORK, exist_ok=True)
    peers.need("curl", "h2load")
    unittest.main()
