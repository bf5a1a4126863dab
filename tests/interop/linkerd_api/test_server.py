#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tulle-proxy under a control plane made with Linkerd's own crate, in network namespaces. As in Linkerd's installation the
control plane is two pods, identity and destination (with policy), which speak plain text to their own proxies; so all that
proxies and control plane say to each other goes through mutual TLS between proxies, the very first certificate included.

usage: test_server.py PEER BIN_DIR        (root)"""
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
NETNS = os.path.join(HERE, "..", "..", "netns")
sys.path.insert(0, NETNS)
from mesh import Mesh, run, wait_port  # noqa: E402

APP = os.path.join(NETNS, "app.py")


class LinkerdLike(Mesh):
    """A mesh whose control plane is the peer."""

    def __init__(self, peer, bin_dir):
        super().__init__(bin_dir, name="lapi")
        self.peer = peer
        self.planes = {}

    def make_issuer(self):
        self.issuer = folder = os.path.join(self.dir, "issuer")
        os.makedirs(folder)
        path = lambda name: os.path.join(folder, name)  # noqa: E731
        name = "/CN=identity.linkerd.cluster.local"
        with open(path("ca.cnf"), "w") as f:
            f.write("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n")
        with open(path("leaf.cnf"), "w") as f:
            f.write("keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n")
        for key in ("ca.key", "issuer.key"):
            run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path(key))
        run("openssl", "req", "-x509", "-new", "-key", path("ca.key"), "-subj", "/CN=root.linkerd.cluster.local", "-days", "30",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", path("ca.crt"))
        run("openssl", "req", "-new", "-key", path("issuer.key"), "-subj", name, "-out", path("issuer.csr"))
        run("openssl", "x509", "-req", "-in", path("issuer.csr"), "-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-days", "20",
            "-extfile", path("ca.cnf"), "-out", path("issuer.crt"))
        run("openssl", "x509", "-in", path("issuer.crt"), "-outform", "DER", "-out", path("issuer.der"))

    def token(self, pod, **changes):
        """The same text each time: the peer knows it as a whole."""
        path = os.path.join(pod.files, "token.made")
        if not os.path.exists(path):
            with open(path, "w") as f:
                f.write(super().token(pod, **changes))
        with open(path) as f:
            return f.read()

    def tell(self, **changes):
        """Changes what the control plane says."""
        self.state.update(changes)
        for pod in self.planes:
            listen = {role: f"0.0.0.0:{port}" for role, port in self.planes[pod].items()}
            path = os.path.join(pod.files, "plane.json")
            with open(path + ".new", "w") as f:
                json.dump({**self.state, "listen": listen, "log": os.path.join(pod.files, "plane.log")}, f)
            os.rename(path + ".new", path)

    def start_plane(self, pod):
        process = pod.popen(self.peer, "server", os.path.join(pod.files, "plane.json"), log="plane.out")
        for port in self.planes[pod].values():
            wait_port(pod, port)
        return process

    def said(self, pod):
        path = os.path.join(pod.files, "plane.log")
        if not os.path.exists(path):
            return []
        with open(path) as f:
            return f.read().splitlines()

    def begin(self):
        self.make_issuer()
        self.identity = self.pod("linkerd-identity", "linkerd")
        self.destination = self.pod("linkerd-destination", "linkerd")
        self.web, self.web2, self.client, self.other = (self.pod(name) for name in ("web", "web2", "client", "other"))
        self.planes = {self.identity: {"identity": 8080}, self.destination: {"destination": 8086, "policy": 8090}}
        self.identity.ports, self.destination.ports = [8080], [8086, 8090]
        self.web.ports = self.web2.ports = [8080, 6379]
        pods = [self.identity, self.destination, self.web, self.web2, self.client, self.other]
        self.http = self.service("web", self.web, 80, 8080)
        self.cache = self.service("cache", self.web, 6379)
        self.translate()
        self.state = {
            "issuer": self.issuer, "tokens": {p.identity: self.token(p) for p in pods}, "transport_header": True, "servers": [],
            "pods": [{"ns": p.ns, "name": p.name, "ips": [p.ip, p.ip6], "identity": p.identity,
                      "opaque_ports": [6379] if p in (self.web, self.web2) else []} for p in pods],
            "services": self.services_of(pods.index(self.web))}
        self.tell()
        self.plane_process = {pod: self.start_plane(pod) for pod in self.planes}
        for pod in (self.web, self.web2):
            for kind, port in (("http", 8080), ("echo", 6379)):
                pod.popen("/usr/bin/python3", APP, kind, str(port), log=f"{kind}.log")
                wait_port(pod, port)
        # Neither of the two can be ready without the other.
        remote = {"IDENTITY_SVC_ADDR": f"{self.identity.ip}:8080", "DESTINATION_SVC_ADDR": f"{self.destination.ip}:8086",
                  "POLICY_SVC_ADDR": f"{self.destination.ip}:8090"}
        self.start_proxy(self.identity, wait=False, **{**remote, "IDENTITY_SVC_ADDR": "localhost.:8080"})
        self.start_proxy(self.destination, wait=False,
                         **{**remote, "DESTINATION_SVC_ADDR": "localhost.:8086", "POLICY_SVC_ADDR": "localhost.:8090"})
        for pod in pods[2:]:
            self.start_proxy(pod, wait=False, **remote, IDENTITY_MIN_REFRESH="1s")
        for pod in pods:
            self.wait(lambda pod=pod: pod.curl("http://127.0.0.1:4191/ready").strip() == "ready", f"the proxy of {pod.name} is ready",
                      lambda pod=pod: pod.log()[-4000:], seconds=30)

    def services_of(self, index):
        def one(s, port, opaque):
            return {"ns": s["ns"], "name": s["name"], "ips": [s["ip"], s["ip6"]], "port": s["port"], "opaque": opaque,
                    "endpoints": [{"pod": index, "port": port}]}
        return [one(self.http, 8080, False), one(self.cache, 6379, True)]

    def get(self, pod, *args, host=None):
        body, _, code = pod.curl("-w", "\n%{http_code}", *args, f"http://{host or self.http['ip']}/").rpartition("\n")
        return int(code or 0), json.loads(body) if body.startswith("{") else body


def headers_of(answer):
    return {name.lower(): value for name, value in answer["headers"]}


def check_pair(m):
    code, answer = m.get(m.client)
    assert code == 200, answer
    headers = headers_of(answer)
    assert headers.get("l5d-client-id") == m.client.identity, headers
    tls = {"direction": "outbound", "tls": "true", "server_id": m.web.identity}
    assert m.client.metric("request_total", **tls) >= 1, m.client.metrics()
    assert m.web.metric("request_total", direction="inbound", tls="true", client_id=m.client.identity) >= 1, m.web.metrics()
    # Over the inbound port, with a transport header: the application's port is not dialled from outside.
    assert any(f"profile {m.http['ip']}:80" == line for line in m.said(m.destination)), m.said(m.destination)
    assert any(line.startswith("get web.shop.svc.cluster.local:80") for line in m.said(m.destination)), m.said(m.destination)


def check_without_header(m):
    m.tell(transport_header=False)
    time.sleep(0.3)
    for _ in range(3):
        code, answer = m.get(m.client)
        assert code == 200 and headers_of(answer).get("l5d-client-id") == m.client.identity, answer
    m.tell(transport_header=True)


def check_pod_address(m):
    code, answer = m.get(m.client, host=f"{m.web.ip}:8080")
    assert code == 200 and headers_of(answer).get("l5d-client-id") == m.client.identity, answer
    code, answer = m.get(m.client, host=f"[{m.web.ip6}]:8080")
    assert code == 200 and headers_of(answer).get("l5d-client-id") == m.client.identity, answer


def check_opaque(m):
    script = f"""
import socket
s = socket.create_connection(("{m.cache['ip']}", 6379), 10)
s.sendall(b"hello\\r\\n")
print(s.recv(100))
"""
    out = m.client.run("/usr/bin/python3", "-c", script)
    assert "hello" in out, out
    opens = m.web.metric("tcp_open_total", direction="inbound", peer="src", tls="true", client_id=m.client.identity)
    assert opens >= 1, m.web.metrics()


def check_undefined_port(m):
    code, _ = m.get(m.client, "--max-time", "3", host=f"{m.http['ip']}:81")
    assert code == 0, "a port that the service does not have is refused"


def check_policy(m):
    rule = {"workload": "shop:web", "port": 8080, "name": "web-http", "protocol": "HTTP/1"}
    assert m.get(m.other)[0] == 200
    m.tell(servers=[{**rule, "allow": [m.client.identity]}])
    m.wait(lambda: m.get(m.other)[0] == 403, "the other client is refused", seconds=2)
    assert m.get(m.client)[0] == 200
    denied = m.web.metric("inbound_http_authz_deny_total", srv_name="web-http", client_id=m.other.identity)
    assert denied >= 1, m.web.metrics()
    m.tell(servers=[{**rule, "allow": ["*"]}])
    m.wait(lambda: m.get(m.other)[0] == 200, "the other client is admitted", seconds=2)
    m.tell(servers=[])


def check_endpoints_move(m):
    m.tell(services=m.services_of(3))
    def by_web2():
        code, answer = m.get(m.client)
        return code == 200 and m.web2.metric("request_total", direction="inbound", client_id=m.client.identity) > 0
    m.wait(by_web2, "the other pod answers", seconds=2)
    before = m.web.metric("request_total", direction="inbound", client_id=m.client.identity)
    for _ in range(10):
        assert m.get(m.client)[0] == 200
    assert m.web.metric("request_total", direction="inbound", client_id=m.client.identity) == before, "the old pod is not asked"
    m.tell(services=m.services_of(2))


def check_plane_gone(m):
    for process in m.plane_process.values():
        process.kill()
        process.wait()
    for _ in range(20):
        code, answer = m.get(m.client)
        assert code == 200, answer
        time.sleep(0.1)
    m.tell(services=m.services_of(3))
    for pod in m.planes:
        m.plane_process[pod] = m.start_plane(pod)
    before = m.web2.metric("request_total", direction="inbound", client_id=m.client.identity)

    def moved():
        assert m.get(m.client)[0] == 200
        return m.web2.metric("request_total", direction="inbound", client_id=m.client.identity) > before
    m.wait(moved, "the streams have come back, with what has changed meanwhile", seconds=15)


def check_renewal(m):
    """A certificate that ends soon: restart one proxy, which then renews at 70 % of 6 s."""
    m.tell(lifetime=6)
    m.other.proxy.terminate()
    m.other.proxy.wait(timeout=15)
    count = lambda: sum(line == f"certificate {m.other.identity}" for line in m.said(m.identity))  # noqa: E731
    before = count()
    m.start_proxy(m.other, IDENTITY_SVC_ADDR=f"{m.identity.ip}:8080", DESTINATION_SVC_ADDR=f"{m.destination.ip}:8086",
                  POLICY_SVC_ADDR=f"{m.destination.ip}:8090", IDENTITY_MIN_REFRESH="1s")
    end = time.monotonic() + 10
    while time.monotonic() < end:
        code, answer = m.get(m.other)
        assert code == 200 and headers_of(answer).get("l5d-client-id") == m.other.identity, answer
        time.sleep(0.1)
    assert count() - before >= 3, m.said(m.identity)


def main():
    peer, bin_dir = (os.path.realpath(path) for path in sys.argv[1:3])
    checks = [check_pair, check_without_header, check_pod_address, check_opaque, check_undefined_port, check_policy,
              check_endpoints_move, check_plane_gone, check_renewal]
    with LinkerdLike(peer, bin_dir) as m:
        begun = time.monotonic()
        try:
            m.begin()
            print(f"ok - six proxies are ready ({time.monotonic() - begun:.1f} s)", flush=True)
            for check in checks:
                begun = time.monotonic()
                check(m)
                print(f"ok - {check.__name__[6:].replace('_', ' ')} ({time.monotonic() - begun:.1f} s)", flush=True)
        except BaseException:
            for pod in m.pods:
                if pod.proxy is not None:
                    print(f"--- the proxy of {pod.name}\n{pod.log()[-3000:]}")
            for pod in m.planes:
                print(f"--- asked of {pod.name}\n" + "\n".join(m.said(pod)[-40:]))
                path = os.path.join(pod.files, "plane.out")
                if os.path.exists(path):
                    with open(path, errors="replace") as f:
                        print(f.read()[-2000:])
            raise


if __name__ == "__main__":
    main()
