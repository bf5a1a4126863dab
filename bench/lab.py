# SPDX-License-Identifier: Apache-2.0
"""The laboratory: a pair of network namespaces for each kind of proxy and each form of traffic.

A pair is a server pod (nginx, iperf3 and the server's proxy) and a client pod (the load and the client's proxy) on one
bridge. Kinds: direct (no proxy), forwarder (HAProxy in mode tcp, no TLS), tulle, haproxy, envoy. Modes say which listener
of the application the pair leads to, because the peers' configurations know one each:

    h1      nginx, HTTP/1.1, 8080
    h2      nginx, HTTP/2 in plain text, 8081
    bytes   nginx, HTTP/1.1 that the proxies carry as opaque bytes, 8082
    stream  iperf3, opaque, 5201

One pair of tulle serves all modes. Pairs are made when they are first asked for and go with the laboratory.
"""
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/netns"))
from mesh import Mesh, PROXY_UID, run, wait_port  # noqa: E402

PORTS = {"h1": 8080, "h2": 8081, "bytes": 8082, "stream": 5201}
OPAQUE = ("bytes", "stream")
KINDS = ("direct", "forwarder", "tulle", "haproxy", "envoy")
BODY = "x" * 256

NGINX = """daemon off; worker_processes 1; worker_rlimit_nofile 65536; error_log stderr; pid {files}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  server {{
    listen 8080 backlog=4096; listen [::]:8080 backlog=4096; listen 8081 http2 backlog=4096; listen [::]:8081 http2 backlog=4096;
    listen 8082 backlog=4096; listen [::]:8082 backlog=4096;
    location / {{ return 200 {body}; }}
  }}
}}
"""


class Pair:
    """What one row needs to know: where the client runs, what it asks, whose CPU and memory are counted."""

    def __init__(self, kind, mode, server, client):
        self.kind, self.mode, self.server, self.client = kind, mode, server, client
        self.host, self.port = server.ip, PORTS[mode]
        self.client_pid = self.server_pid = None

    @property
    def pids(self):
        return [pid for pid in (self.client_pid, self.server_pid) if pid is not None]

    @property
    def url(self):
        return f"http://{self.host}:{self.port}/"


class Lab:
    def __init__(self, mesh, nginx, envoy):
        self.mesh, self.nginx, self.envoy = mesh, nginx, envoy
        self.pairs, self.pods, self.count = {}, {}, 0
        self.certs = os.path.join(mesh.dir, "certs")
        # Proxies run as a user of their own, who may not be able to read the folders of whoever runs this.
        programs = os.path.join(mesh.dir, "bin")
        os.makedirs(programs)
        for name in ("tulle-proxy", "tulle-control", "tulle-node"):
            if os.path.exists(os.path.join(mesh.bin, name)):
                shutil.copy(os.path.join(mesh.bin, name), programs)
        mesh.bin = programs
        self.hold = shutil.copy(os.path.join(HERE, "hold.py"), mesh.dir)
        if envoy:
            self.envoy = os.path.join(programs, "envoy")
            shutil.copy(envoy, self.envoy)
        self.make_certs()

    def make_certs(self):
        """A CA and a P-256 leaf for each side, for the peers; tulle has its own identity service."""
        os.makedirs(self.certs)
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        run("openssl", "req", "-x509", *key, "-keyout", f"{self.certs}/ca.key", "-out", f"{self.certs}/ca.pem", "-days", "30", "-subj", "/CN=ca")
        for name in ("client", "server"):
            self.sign(f"{self.certs}/{name}", name, f"{self.certs}/ca.pem", f"{self.certs}/ca.key")
        run("chmod", "-R", "a+rX", self.certs)

    @staticmethod
    def sign(path, name, ca, ca_key):
        """PATH.crt, .key and .pem (both) for the DNS name NAME."""
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{path}.key", "-out", f"{path}.csr",
            "-subj", "/CN=bench", "-addext", f"subjectAltName=DNS:{name}")
        run("openssl", "x509", "-req", "-in", f"{path}.csr", "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-copy_extensions", "copy",
            "-out", f"{path}.crt")
        with open(f"{path}.pem", "w") as f:
            for part in ("crt", "key"):
                with open(f"{path}.{part}") as g:
                    f.write(g.read())

    def mesh_client_pem(self):
        """A leaf that the mesh of this laboratory trusts: for a client that speaks mesh TLS by itself."""
        path = os.path.join(self.certs, "mesh")
        if not os.path.exists(path + ".pem"):
            self.sign(path, "bench.shop.serviceaccount.identity.linkerd.cluster.local", os.path.join(self.mesh.issuer, "tls.crt"),
                      os.path.join(self.mesh.issuer, "tls.key"))
            with open(path + ".pem", "a") as f, open(os.path.join(self.mesh.issuer, "tls.crt")) as issuer:
                f.write(issuer.read())  # the way to the anchor
            run("chmod", "a+r", path + ".pem")
        return path + ".pem"

    # --- pods -------------------------------------------------------------------------------------------------
    def two_pods(self, name):
        pods = []
        for side in ("s", "c"):
            pod = self.mesh.pod(f"{name}{side}")
            # Thousands of connections from one address to one port: closed ones must not use up the ports.
            pod.run("sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=1024 65000", "net.core.somaxconn=4096")
            pods.append(pod)
        server, client = pods
        conf = os.path.join(server.files, "nginx.conf")
        with open(conf, "w") as f:
            f.write(NGINX.format(files=server.files, body=BODY))
        server.popen(self.nginx, "-c", conf, log="app.log")
        server.popen("iperf3", "-s", log="iperf.log")
        for port in PORTS.values():
            wait_port(server, port)
        return server, client

    def pair(self, kind, mode):
        """The pair for this kind and mode, running."""
        group = mode if kind in ("forwarder", "haproxy", "envoy") else "all"
        if (kind, group) not in self.pods:
            self.count += 1
            self.pods[kind, group] = self.two_pods(f"{kind[0]}{self.count}")
            if kind == "tulle":
                self.start_tulle()
        if (kind, mode) not in self.pairs:
            pair = Pair(kind, mode, *self.pods[kind, group])
            if kind == "tulle":
                pair.host, pair.port = self.services[mode]["ip"], self.services[mode]["port"]
            elif kind != "direct":
                self.start_peer(pair)
            self.pairs[kind, mode] = pair
        pair = self.pairs[kind, mode]
        if kind == "tulle":
            pair.client_pid, pair.server_pid = pair.client.proxy.pid, pair.server.proxy.pid
        return pair

    # --- proxies ----------------------------------------------------------------------------------------------
    def start_peer(self, pair):
        for side, pod in (("server", pair.server), ("client", pair.client)):
            path = os.path.join(pod.files, "proxy.conf")
            with open(path, "w") as f:
                f.write(self.envoy_config(pair, side) if pair.kind == "envoy" else self.haproxy_config(pair, side))
            argv = [self.envoy, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", path]
            if pair.kind != "envoy":
                argv = ["haproxy", "-db", "-f", path]
            if pair.kind == "envoy":
                os.rename(path, path + ".json")
                argv[-1] = path + ".json"
            self.mesh.redirect(pod)
            process = pod.popen(*argv, uid=PROXY_UID, log="proxy.log")
            setattr(pair, f"{side}_pid", process.pid)
            try:
                wait_port(pod, 4140 if side == "client" else 4143, seconds=20)
            except TimeoutError as error:
                raise RuntimeError(f"{pair.kind} ({pair.mode}, {side}) does not start: {pod.log()[-2000:]}") from error

    def haproxy_config(self, pair, side):
        with open(os.path.join(HERE, f"haproxy-{side}.cfg")) as f:
            text = f.read()
        if pair.kind == "forwarder" or pair.mode in OPAQUE:
            text = text.replace("mode http\n    http-reuse always", "mode tcp").replace(" alpn h2", "")
        if pair.kind == "forwarder":
            text = re.sub(r" ssl .*", "", text)
        elif pair.mode == "h2":
            at = "bind 127.0.0.1:4140" if side == "client" else "server app 127.0.0.1:@APP_PORT@"
            text = text.replace(at, at + " proto h2")
        for key, value in (("SERVER_IP", pair.server.ip), ("CLIENT_PEM", f"{self.certs}/client.pem"), ("SERVER_PEM", f"{self.certs}/server.pem"),
                           ("CA", f"{self.certs}/ca.pem"), ("SERVER_NAME", "server"), ("APP_PORT", str(PORTS[pair.mode]))):
            text = text.replace(f"@{key}@", value)
        return text

    def envoy_config(self, pair, side):
        mode = "tcp" if pair.mode in OPAQUE else pair.mode
        return run(sys.executable, os.path.join(HERE, "envoy.py"), side, f"{self.certs}/{side}.crt", f"{self.certs}/{side}.key", f"{self.certs}/ca.pem",
                   pair.server.ip, str(PORTS[pair.mode]), mode)

    def start_tulle(self):
        server, client = self.pods["tulle", "all"]
        server.ports = list(PORTS.values())
        opaque = ",".join(str(PORTS[mode]) for mode in OPAQUE)
        server.annotations["config.linkerd.io/opaque-ports"] = opaque
        self.services = {}
        for mode, port in PORTS.items():
            annotations = {"config.linkerd.io/opaque-ports": str(port)} if mode in OPAQUE else {}
            self.services[mode] = self.mesh.service(mode, server, port, port, annotations=annotations)
        server.meshed = client.meshed = True
        self.mesh.write_manifests()
        self.mesh.start_control()
        self.restart_tulle()

    def restart_tulle(self, **settings):
        """Fresh proxies in the pair of tulle."""
        for pod in self.pods["tulle", "all"]:
            if pod.proxy is not None:
                self.stop(pod.proxy)
            self.mesh.start_proxy(pod, LOG="warn", **settings)

    def stop(self, process):
        process.kill()
        process.wait()
        self.mesh.processes.remove(process)


def versions(lab):
    def first(*argv):
        done = subprocess.run(argv, text=True, capture_output=True, check=False)
        text = (done.stdout or done.stderr).strip()
        return text.splitlines()[0] if text else "?"
    out = {"haproxy": re.sub(r" - .*", "", first("haproxy", "-v")), "nginx": first(lab.nginx, "-v"), "kernel": os.uname().release, "machine": os.uname().machine,
           "cpus": os.cpu_count()}
    if lab.envoy:
        version = re.search(r"/(\d+\.\d+\.\d+)/", first(lab.envoy, "--version"))
        out["envoy"] = f"Envoy {version.group(1) if version else '?'}"
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*:\s*(.*)$", f.read(), re.M)
    out["cpu"] = model.group(1) if model else "?"
    return out


__all__ = ["Lab", "Mesh", "Pair", "KINDS", "OPAQUE", "PORTS", "PROXY_UID", "versions"]
