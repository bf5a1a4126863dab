# SPDX-License-Identifier: Apache-2.0
"""grpcio against lib/grpc, in both directions. usage: test_grpcio.py GRPC_ECHO"""
import concurrent.futures
import subprocess
import sys
import threading
import time
import unittest

import grpc

import echo_pb2

GRPC_ECHO = sys.argv.pop(1)
PREFIX = "/tulle.test.echo.Echo/"
Request = echo_pb2.EchoRequest


class Stub:
    def __init__(self, channel):
        def make(kind, name):
            return kind(PREFIX + name, request_serializer=Request.SerializeToString,
                        response_deserializer=echo_pb2.EchoReply.FromString)
        self.unary = make(channel.unary_unary, "Unary")
        self.server_stream = make(channel.unary_stream, "ServerStream")
        self.client_stream = make(channel.stream_unary, "ClientStream")
        self.bidi = make(channel.stream_stream, "Bidi")
        self.running = make(channel.unary_unary, "Running")
        self.missing = make(channel.unary_unary, "Missing")


class GrpcioClient(unittest.TestCase):
    """Their client, our server."""

    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([GRPC_ECHO, "serve"], stdout=subprocess.PIPE, text=True)
        cls.target = "127.0.0.1:" + cls.server.stdout.readline().strip()

    @classmethod
    def tearDownClass(cls):
        alive = cls.server.poll() is None
        cls.server.kill()
        cls.server.wait()
        cls.server.stdout.close()
        assert alive, "grpc_echo has died"

    def setUp(self):
        self.channel = grpc.insecure_channel(self.target, options=[("grpc.enable_http_proxy", 0)])
        self.addCleanup(self.channel.close)
        self.echo = Stub(self.channel)

    def test_unary(self):
        self.assertEqual(self.echo.unary(Request(text="grüß"), timeout=5).text, "grüß")

    def test_metadata(self):
        call = self.echo.server_stream(Request(count=1), timeout=5,
                                       metadata=[("x-echo", "value"), ("x-trace-bin", b"\x00\xff\x01")])
        self.assertEqual(dict(call.initial_metadata())["x-echo"], "value")
        self.assertEqual(len(list(call)), 1)
        self.assertEqual(dict(call.trailing_metadata())["x-trace-bin"], b"\x00\xff\x01")

    def expect(self, code, run, details=None):
        with self.assertRaises(grpc.RpcError) as caught:
            run()
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        if details is not None:
            self.assertEqual(caught.exception.details(), details)

    def test_failures(self):
        text = "no such thing: 100% grün\n"
        failing = Request(fail_code=5, fail_message=text)
        self.expect(grpc.StatusCode.NOT_FOUND, lambda: self.echo.unary(failing, timeout=5), text)
        self.expect(grpc.StatusCode.NOT_FOUND,
                    lambda: list(self.echo.server_stream(failing, timeout=5)), text)
        later = Request(fail_code=7, count=3)
        self.expect(grpc.StatusCode.PERMISSION_DENIED,
                    lambda: list(self.echo.server_stream(later, timeout=5)))
        self.expect(grpc.StatusCode.UNIMPLEMENTED, lambda: self.echo.missing(Request(), timeout=5))

    def test_deadline(self):
        self.expect(grpc.StatusCode.DEADLINE_EXCEEDED,
                    lambda: self.echo.unary(Request(hang=True), timeout=0.3))
        self.expect(grpc.StatusCode.DEADLINE_EXCEEDED,
                    lambda: list(self.echo.server_stream(Request(hang=True, count=1), timeout=0.3)))
        self.wait_for_idle()

    def wait_for_idle(self):
        until = time.monotonic() + 5
        while self.echo.running(Request(), timeout=5).index != 0:
            self.assertLess(time.monotonic(), until, "a handler still runs")
            time.sleep(0.02)

    def test_cancel(self):
        call = self.echo.server_stream(Request(hang=True, count=1), timeout=30)
        next(call)
        self.assertGreaterEqual(self.echo.running(Request(), timeout=5).index, 1)
        call.cancel()
        self.wait_for_idle()

    def test_client_that_vanishes(self):
        channel = grpc.insecure_channel(self.target, options=[("grpc.use_local_subchannel_pool", 1)])
        call = Stub(channel).server_stream(Request(hang=True, count=1), timeout=30)
        next(call)
        channel.close()
        self.wait_for_idle()

    def test_server_stream(self):
        replies = list(self.echo.server_stream(Request(count=1000, size=100), timeout=20))
        self.assertEqual([r.index for r in replies], list(range(1000)))

    def test_large(self):
        reply = self.echo.unary(Request(payload=b"y" * 3_000_000, size=4_000_000), timeout=20)
        self.assertEqual((reply.index, len(reply.payload)), (3_000_000, 4_000_000))

    def test_too_large(self):
        self.expect(grpc.StatusCode.RESOURCE_EXHAUSTED,
                    lambda: self.echo.unary(Request(payload=b"y" * (4 * 1024 * 1024 + 1)), timeout=20))
        self.assertEqual(self.echo.unary(Request(text="still there"), timeout=5).text, "still there")

    def test_compressed_is_refused(self):
        self.expect(grpc.StatusCode.UNIMPLEMENTED, lambda: self.echo.unary(
            Request(text="x" * 1000), timeout=5, compression=grpc.Compression.Gzip))

    def test_slow_reader(self):
        call = self.echo.server_stream(Request(count=200, size=50_000), timeout=30)
        next(call)
        time.sleep(0.3)
        self.assertEqual(len(list(call)), 199)

    def test_client_stream(self):
        requests = (Request(text=t, payload=b"z" * 100_000) for t in "abc")
        reply = self.echo.client_stream(requests, timeout=10)
        self.assertEqual((reply.text, reply.index), ("abc", 300_000))

    def test_bidi(self):
        replies = self.echo.bidi((Request(text=str(i)) for i in range(100)), timeout=10)
        self.assertEqual([r.text for r in replies], [str(i) for i in range(100)])

    def test_many_at_once(self):
        calls = [self.echo.server_stream(Request(count=10, size=20_000), timeout=20) for _ in range(50)]
        self.assertEqual(sum(len(list(call)) for call in calls), 500)


class GrpcioServer(unittest.TestCase):
    """Our client, their server."""

    def setUp(self):
        self.running = 0
        self.lock = threading.Lock()
        self.release = threading.Event()
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=80)
        self.server = grpc.server(pool)
        handler = grpc.method_handlers_generic_handler("tulle.test.echo.Echo", {
            name: kind(self.counted(run), request_deserializer=Request.FromString,
                       response_serializer=echo_pb2.EchoReply.SerializeToString)
            for name, kind, run in (
                ("Unary", grpc.unary_unary_rpc_method_handler, self.unary),
                ("ServerStream", grpc.unary_stream_rpc_method_handler, self.server_stream),
                ("ClientStream", grpc.stream_unary_rpc_method_handler, self.client_stream),
                ("Bidi", grpc.stream_stream_rpc_method_handler, self.bidi))})
        count = grpc.method_handlers_generic_handler("tulle.test.echo.Echo", {
            "Running": grpc.unary_unary_rpc_method_handler(
                lambda request, context: echo_pb2.EchoReply(index=self.running),
                request_deserializer=Request.FromString,
                response_serializer=echo_pb2.EchoReply.SerializeToString)})
        self.server.add_generic_rpc_handlers((handler, count))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def tearDown(self):
        self.release.set()
        self.server.stop(0).wait()

    def counted(self, run):
        """Counts a call from its start until the client has seen its end or cancelled."""
        def wrapped(request, context):
            with self.lock:
                self.running += 1

            def ended():
                with self.lock:
                    self.running -= 1
            context.add_callback(ended)
            self.echo_metadata(context)
            return run(request, context)
        return wrapped

    @staticmethod
    def echo_metadata(context):
        given = dict(context.invocation_metadata())
        if "x-echo" in given:
            context.send_initial_metadata([("x-echo", given["x-echo"])])
        if "x-trace-bin" in given:
            context.set_trailing_metadata([("x-trace-bin", given["x-trace-bin"])])

    @staticmethod
    def fail_if_asked(request, context):
        if request.fail_code:
            code = next(c for c in grpc.StatusCode if c.value[0] == request.fail_code)
            context.abort(code, request.fail_message)

    def unary(self, request, context):
        if request.hang:
            self.release.wait(30)
        self.fail_if_asked(request, context)
        return echo_pb2.EchoReply(text=request.text, payload=b"x" * request.size,
                                  index=len(request.payload))

    def server_stream(self, request, context):
        for i in range(request.count):
            yield echo_pb2.EchoReply(text=request.text, payload=b"x" * request.size, index=i)
        if request.hang:
            self.release.wait(30)
        self.fail_if_asked(request, context)

    def client_stream(self, requests, context):
        reply = echo_pb2.EchoReply()
        for request in requests:
            reply.text += request.text
            reply.index += len(request.payload)
        return reply

    def bidi(self, requests, context):
        for index, request in enumerate(requests):
            yield echo_pb2.EchoReply(text=request.text, payload=b"x" * request.size, index=index)

    def test_all(self):
        done = subprocess.run([GRPC_ECHO, "check", f"127.0.0.1:{self.port}"], timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))


class TulleServer(unittest.TestCase):
    """Our client, our server."""

    def test_all(self):
        with subprocess.Popen([GRPC_ECHO, "serve"], stdout=subprocess.PIPE, text=True) as server:
            try:
                port = server.stdout.readline().strip()
                done = subprocess.run([GRPC_ECHO, "check", f"127.0.0.1:{port}"], timeout=60,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      check=False)
            finally:
                server.kill()
        self.assertEqual((done.returncode, done.stdout), (0, ""))


if __name__ == "__main__":
    unittest.main()
