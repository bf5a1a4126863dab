#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OpenSSL and Go against lib/tls, in both directions. usage: test_tls.py TLS_PEER WORK_DIR

OpenSSL stands for every peer without hybrid key exchange, Go for one that has it and is not BoringSSL.
"""
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
ALPN = "transport.l5d.io/v1"


def path(name):
    return os.path.join(WORK, name)


def context(server, name="client.ns"):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(path("anchors.pem"))
    if name:
        made.load_cert_chain(path(name + ".crt"), path(name + ".key"))
    if server:
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def echo(tls, data):
    """Sends and reads back, a piece at a time: Python does not read and write one session at once."""
    for start in range(0, len(data), 50_000):
        piece = data[start:start + 50_000]
        tls.sendall(piece)
        got = b""
        while len(got) < len(piece):
            more = tls.recv(65536)
            if not more:
                return False
            got += more
        if got != piece:
            return False
    return True


def reason(error):
    """OpenSSL's reason, whichever way this Python writes it."""
    return str(error).upper().replace("_", " ")


class OurServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen([PEER, "serve", WORK, ALPN], stdout=subprocess.PIPE, text=True)
        cls.port = int(cls.process.stdout.readline())

    @classmethod
    def tearDownClass(cls):
        cls.process.kill()
        cls.process.wait()
        cls.process.stdout.close()

    def report(self):
        return self.process.stdout.readline().strip()

    def talk(self, made, size=1000, name="server.ns"):
        with socket.create_connection(("127.0.0.1", self.port), 10) as tcp:
            with made.wrap_socket(tcp, server_hostname=name) as tls:
                self.assertEqual(tls.version(), "TLSv1.3")
                chosen = tls.selected_alpn_protocol()
                self.assertTrue(echo(tls, os.urandom(size)))
                tls.unwrap()  # close_notify both ways
                return chosen

    def test_openssl_client(self):
        self.assertIsNone(self.talk(context(False), 2_000_000))
        self.assertEqual(self.report(), "ok client.ns X25519 -")

    def test_openssl_client_without_certificate(self):
        self.talk(context(False, None))
        self.assertEqual(self.report(), "ok - X25519 -")

    def test_openssl_groups(self):
        for curve, name in (("prime256v1", "P-256"), ("secp384r1", "P-384")):
            made = context(False)
            made.set_ecdh_curve(curve)
            self.talk(made)
            self.assertEqual(self.report(), f"ok client.ns {name} -")

    def test_openssl_alpn(self):
        made = context(False)
        made.set_alpn_protocols([ALPN])
        self.assertEqual(self.talk(made), ALPN)
        self.assertEqual(self.report(), f"ok client.ns X25519 {ALPN}")
        made = context(False)
        made.set_alpn_protocols(["h2"])
        with self.assertRaises(ssl.SSLError) as failed:
            self.talk(made)
        self.assertIn("NO APPLICATION PROTOCOL", reason(failed.exception))
        self.assertEqual(self.report().split()[:2], ["refused", "120"])

    def test_strangers_are_refused(self):
        with self.assertRaises(ssl.SSLError) as failed:
            self.talk(context(False, "stranger.ns"))
        self.assertIn("UNKNOWN CA", reason(failed.exception))
        self.assertIn("not from a trusted anchor", self.report())

    def test_old_versions_are_refused(self):
        made = context(False)
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.assertRaises(ssl.SSLError):
            self.talk(made)
        self.assertEqual(self.report().split()[:2], ["refused", "70"])  # protocol_version

    def test_key_updates_of_openssl(self):
        if not shutil.which("openssl"):
            self.skipTest("no openssl command")
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "server.ns",
             "-CAfile", path("anchors.pem"), "-verify_return_error", "-brief"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.assertEqual(self.report(), "ok - X25519 -")
        # K asks for our key update, too; k does not.
        for line in ("one", "K", "two", "k", "three", "K", "four"):
            client.stdin.write(line + "\n")
            answer = "KEYUPDATE" if line in "Kk" else line
            while (got := client.stdout.readline().strip()) != answer:
                self.assertIsNone(client.poll(), got)
        client.stdin.write("Q\n")
        client.stdin.close()
        client.wait(10)
        client.stdout.close()

    def test_go_client(self):
        if not GO:
            self.skipTest("no go")
        done = subprocess.run([GO, "client", WORK, str(self.port)], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.stdout.strip(), "same X25519MLKEM768", done.stderr)
        self.assertEqual(self.report(), "ok client.ns X25519MLKEM768 -")


class OurClient(unittest.TestCase):
    def connect(self, port, name="server.ns", *alpn):
        done = subprocess.run([PEER, "connect", WORK, str(port), name, *alpn], capture_output=True, text=True, timeout=40)
        return done.stdout.splitlines()

    def serve(self, made, seen):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(20)

        def run():
            with listener:
                tcp, _ = listener.accept()
                tcp.settimeout(20)
                try:
                    with made.wrap_socket(tcp, server_side=True) as tls:
                        seen.append(tls.getpeercert()["subjectAltName"][0][1])
                        seen.append(tls.selected_alpn_protocol())
                        while piece := tls.recv(10_000):
                            tls.sendall(piece)
                        tls.unwrap()
                except OSError as error:
                    seen.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return listener.getsockname()[1]

    def test_openssl_server(self):
        # It sends session tickets, which we do not want.
        for curve, group in ((None, "X25519"), ("prime256v1", "P-256"), ("secp384r1", "P-384")):
            made = context(True, "server.ns")
            if curve:
                made.set_ecdh_curve(curve)
            seen = []
            port = self.serve(made, seen)
            self.assertEqual(self.connect(port), [f"ok server.ns {group} -", "same ended"])
            self.assertEqual(seen, ["client.ns", None])

    def test_openssl_alpn(self):
        made = context(True, "server.ns")
        made.set_alpn_protocols([ALPN])
        port = self.serve(made, [])
        self.assertEqual(self.connect(port, "server.ns", ALPN), [f"ok server.ns X25519 {ALPN}", "same ended"])

    def test_the_wrong_server(self):
        seen = []
        port = self.serve(context(True, "server.ns"), seen)
        self.assertEqual(self.connect(port, "other.ns"), ["refused 42 verify a certificate: of somebody else"])
        port = self.serve(context(True, "stranger.ns"), seen)
        self.assertEqual(self.connect(port), ["refused 48 verify a certificate: not from a trusted anchor"])

    def test_go_server(self):
        if not GO:
            self.skipTest("no go")
        server = subprocess.Popen([GO, "server", WORK], stdout=subprocess.PIPE, text=True)
        port = int(server.stdout.readline())
        self.assertEqual(self.connect(port), ["ok server.ns X25519MLKEM768 -", "same ended"])
        self.assertEqual(server.stdout.readline().strip(), "client.ns X25519MLKEM768")
        server.wait(10)
        server.stdout.close()


def build_go():
    """The Go peer, or None where there is no Go that knows the hybrid group."""
    go = shutil.which("go")
    if not go:
        return None
    binary = path("go_peer")
    environment = dict(os.environ, GOFLAGS="-mod=mod", GOTOOLCHAIN="local", CGO_ENABLED="0")
    done = subprocess.run([go, "build", "-o", binary, os.path.join(HERE, "go_peer.go")], env=environment,
                          capture_output=True, text=True)
    return binary if done.returncode == 0 else None


if __name__ == "__main__":
    PEER, WORK = sys.argv[1], sys.argv[2]
    del sys.argv[1:3]
    os.makedirs(WORK, exist_ok=True)
    subprocess.run([PEER, "mint", WORK], check=True)
    GO = build_go()
    unittest.main()
