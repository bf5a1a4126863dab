# SPDX-License-Identifier: Apache-2.0
"""A real kube-apiserver with its etcd on the loopback interface, and a gate to put in front of it."""
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # told to end, a test takes away what it made


def run(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, check, seconds=30, pause=0.1):
    """The first true answer of check(); fails with `what` when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not in {seconds} s: {what}")
        time.sleep(pause)


class Pki:
    """One CA, a server certificate for loopback, an admin's client certificate, and the key of service accounts."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("openssl", "req", "-x509", *key, "-keyout", self.path("ca.key"), "-out", self.path("ca.crt"), "-days", "30", "-subj", "/CN=kube-ca")
        self.certificate("server", "/CN=kube-apiserver", "DNS:kubernetes,DNS:localhost,IP:127.0.0.1,IP:::1")
        self.certificate("admin", "/O=system:masters/CN=admin")
        run("openssl", "genrsa", "-out", self.path("sa.key"), "2048")
        run("openssl", "rsa", "-in", self.path("sa.key"), "-pubout", "-out", self.path("sa.pub"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def certificate(self, name, subject, san=""):
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + ".key"), "-out",
            self.path(name + ".csr"), "-subj", subject)
        with open(self.path(name + ".ext"), "w", encoding="utf-8") as f:
            f.write("keyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n" + (f"subjectAltName={san}\n" if san else ""))
        run("openssl", "x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
            "-CAcreateserial", "-out", self.path(name + ".crt"), "-days", "30", "-extfile", self.path(name + ".ext"))

    def kubeconfig(self, port, name="admin", token=None):
        path = self.path(f"{name}.{port}.kubeconfig")
        user = {"token": token} if token else {"client-certificate": self.path(name + ".crt"), "client-key": self.path(name + ".key")}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "c",
                  "clusters": [{"name": "k", "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": "ca.crt"}}],
                  "users": [{"name": "u", "user": user}], "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}]}
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        return path


class Certificates:
    """A root, an issuer, and one certificate per webhook, by openssl."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)

    def make(self, name, *, by=None, days=365, san="", ca=True, kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """certificate and key as PEM; ended yesterday if days is negative"""
        f = self.path(name)
        run("openssl", "req", "-newkey", *kind, "-nodes", "-keyout", f + ".key", "-out", f + ".csr", "-subj", f"/CN={name}")
        with open(f + ".ext", "w", encoding="utf-8") as out:
            out.write("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n" if ca else "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n")
            out.write(f"subjectAltName={san}\n" if san else "")
        sign = ("-signkey", f + ".key") if by is None else ("-CA", f"{self.folder}/{by}.crt", "-CAkey", f"{self.folder}/{by}.key", "-CAcreateserial")
        run("openssl", "x509", "-req", "-in", f + ".csr", "-out", f + ".crt", "-extfile", f + ".ext", *sign, "-days", str(days))
        return self.read(name)

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        out = []
        for end in (".crt", ".key"):
            with open(self.path(name + end), encoding="utf-8") as f:
                out.append(f.read())
        return out


class ApiServer:
    """etcd and kube-apiserver; stop() and start() keep the data unless told otherwise."""

    def __init__(self, program, pki, folder):
        self.pki, self.folder = pki, folder
        os.makedirs(folder, exist_ok=True)
        for name in ("etcd", "kube-apiserver", "kubectl"):
            link = os.path.join(folder, name)
            if not os.path.exists(link):
                os.symlink(program, link)
        self.port, self.etcd_port, self.peer_port = free_port(), free_port(), free_port()
        self.generation = 0
        self.processes = []
        self.admin = pki.kubeconfig(self.port)

    def spawn(self, name, *argv):
        log = open(os.path.join(self.folder, name + ".log"), "ab")
        self.processes.append(subprocess.Popen((os.path.join(self.folder, name), *argv), stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        log.close()

    def start(self, fresh=False):
        if fresh:
            self.generation += 1
        etcd = f"http://127.0.0.1:{self.etcd_port}"
        self.spawn("etcd", "--data-dir", f"{self.folder}/data{self.generation}", "--unsafe-no-fsync", "--listen-client-urls", etcd,
                   "--advertise-client-urls", etcd, "--listen-peer-urls", f"http://127.0.0.1:{self.peer_port}", "--log-level", "error",
                   "--initial-advertise-peer-urls", f"http://127.0.0.1:{self.peer_port}", "--initial-cluster", f"default=http://127.0.0.1:{self.peer_port}")
        p = self.pki.path
        self.spawn("kube-apiserver", f"--etcd-servers={etcd}", "--service-cluster-ip-range=10.96.0.0/16", "--bind-address=127.0.0.1",
                   "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", f"--secure-port={self.port}",
                   f"--tls-cert-file={p('server.crt')}", f"--tls-private-key-file={p('server.key')}", f"--client-ca-file={p('ca.crt')}",
                   "--service-account-issuer=https://kubernetes.default.svc.cluster.local", f"--service-account-key-file={p('sa.pub')}",
                   f"--service-account-signing-key-file={p('sa.key')}", "--authorization-mode=RBAC", "--profiling=false",
                   # No controller makes the "default" service account that this plugin waits for.
                   "--disable-admission-plugins=ServiceAccount")
        until("the API server is ready", self.ready, 60, 0.2)

    def ready(self):
        assert all(p.poll() is None for p in self.processes), f"ended: see the logs in {self.folder}"
        return subprocess.run(self.kubectl_argv("get", "--raw=/readyz"), capture_output=True).returncode == 0

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.processes = []

    def kubectl_argv(self, *argv):
        return (os.path.join(self.folder, "kubectl"), "--kubeconfig", self.admin, *argv)

    def kubectl(self, *argv, text=None):
        done = subprocess.run(self.kubectl_argv(*argv), input=text, capture_output=True, text=True)
        assert done.returncode == 0, f"kubectl {' '.join(argv)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects):
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def patch_status(self, kind, namespace, name, status):
        self.kubectl("-n", namespace, "patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


class Gate:
    """Passes TCP on, or does something worse to it: cut(), freeze(), delay, garble, refuse."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.delay = 0.0      # seconds that every piece waits
        self.frozen = set()   # connections on which nothing passes any more
        self.refuse = False   # new connections are cut at once
        self.garble = 0.0     # the chance of a damaged byte in a piece
        self.accepted = 0
        self.pairs = set()
        self.lock = threading.Lock()
        self.random = random.Random(7)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            self.accepted += 1
            try:
                if self.refuse:
                    raise OSError
                server = socket.create_connection(("127.0.0.1", self.target_port), 5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
            for a, b in (pair, pair[::-1]):
                threading.Thread(target=self.pump, args=(a, b, pair), daemon=True).start()

    def pump(self, source, sink, pair):
        try:
            while True:
                if pair not in self.pairs:
                    return
                if pair in self.frozen:
                    time.sleep(0.1)
                    continue
                if not select.select([source], [], [], 0.2)[0] or pair in self.frozen:
                    continue
                data = source.recv(65536)
                if not data:
                    break
                if self.delay:
                    time.sleep(self.delay)
                if self.garble and self.random.random() < self.garble:
                    at = self.random.randrange(len(data))
                    data = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:]
                sink.sendall(data)
        except (OSError, ValueError):
            pass
        self.close(pair)

    def close(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for s in pair:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def cut(self):
        for pair in list(self.pairs):
            self.close(pair)

    def freeze(self):
        """Those that are there now neither pass anything nor close; new ones work."""
        with self.lock:
            self.frozen = set(self.pairs)
