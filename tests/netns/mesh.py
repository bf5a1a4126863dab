# SPDX-License-Identifier: Apache-2.0
"""A small mesh in network namespaces, from real programs: a fabric, pods with proxies, a control plane.

Used by the tests in this folder and by the benchmark. Needs root. Everything it makes (namespaces, processes,
files) goes when the Mesh is closed, also after a failure. Nothing of the machine's own network is touched.
"""
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TRUST_DOMAIN = "cluster.local"
PROXY_UID = 2102
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # told to end, a test takes away what it made
# What no program may ever write: reports of sanitizers, failed checks, a system call that its filter does not know.
DEFECT = re.compile(r"^.*(WARNING: ThreadSanitizer|ERROR: (Address|Leak)Sanitizer|: runtime error: |a precondition failed at |: check failed: "
                    r"|a system call was refused)", re.MULTILINE)


def run(*argv, check=True, quiet=True, stdin=None):
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign_es256(key_file, message):
    """The raw r||s form that JWTs want, made by the openssl command."""
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key_file], input=message, capture_output=True, check=True).stdout
    out, at = b"", 2
    for _ in range(2):
        size = der[at + 1]
        out += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + size
    return out


class Pod:
    def __init__(self, mesh, name, ns, index):
        self.mesh, self.name, self.ns, self.index = mesh, name, ns, index
        self.netns = f"{mesh.prefix}{name}"
        self.ip = f"10.244.0.{index}"
        self.ip6 = f"fd00:10:244::{index:x}"
        self.files = os.path.join(mesh.dir, name)
        os.makedirs(self.files, exist_ok=True)
        self.sa = name
        self.uid = hashlib.sha256(name.encode()).hexdigest()[:16]
        self.labels, self.annotations, self.ports = {"app": name}, {}, []
        self.meshed = False
        self.probe = None  # the path of the application's readiness probe
        self.proxy = None

    @property
    def identity(self):
        return f"{self.sa}.{self.ns}.serviceaccount.identity.linkerd.{TRUST_DOMAIN}"

    def popen(self, *argv, env=None, uid=None, log=None, pipes=False, limits=(), cgroup=None):
        """A program in the pod, to its end or the mesh's. `pipes`: text on all three; `limits`: options for prlimit; `cgroup`: the folder of the one it runs in."""
        out = open(os.path.join(self.files, log), "ab") if log else subprocess.DEVNULL
        prefix = ["ip", "netns", "exec", self.netns]
        if cgroup:
            # Not with `ip netns exec`: its fresh /sys has no cgroups.
            prefix = ["nsenter", f"--net=/run/netns/{self.netns}", "sh", "-c", f"echo $$ > {cgroup}/cgroup.procs; exec \"$@\"", "sh"]
        if uid is not None:
            prefix += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        if limits:
            prefix += ["prlimit", *limits]
        if pipes:
            process = subprocess.Popen(prefix + list(argv), env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True, start_new_session=True)
        else:
            process = subprocess.Popen(prefix + list(argv), env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        self.mesh.processes.append(process)
        return process

    def run(self, *argv, check=True, timeout=60):
        done = subprocess.run(["ip", "netns", "exec", self.netns] + list(argv), text=True, capture_output=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(argv)}: exit {done.returncode}: {done.stderr[-500:]}")
        return done.stdout

    def curl(self, *args):
        return self.run("curl", "-s", "--max-time", "10", "--noproxy", "*", *args, check=False)

    def metrics(self):
        return self.curl("http://127.0.0.1:4191/metrics")

    def metric(self, name, **labels):
        """The sum of the series of that name that have these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            if not line.startswith(name) or line[len(name):len(name) + 1] not in ("{", " "):
                continue
            if all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def log(self, name="proxy.log"):
        with open(os.path.join(self.files, name), errors="replace") as f:
            return f.read()


class Mesh:
    def __init__(self, bin_dir, manifests="", lifetime="24h", skew="20s", name=None):
        self.bin = bin_dir
        self.prefix = f"tl{os.getpid() % 10000}{name or ''}-"
        self.dir = tempfile.mkdtemp(prefix="tulle-mesh-")
        self.manifests = os.path.join(self.dir, "manifests")
        os.makedirs(self.manifests)
        os.chmod(self.dir, 0o755)
        self.processes, self.namespaces, self.pods, self.services = [], [], [], []
        self.extra = manifests
        self.lifetime, self.skew = lifetime, skew  # leaves live for both together
        self.next_index = 10
        self.fabric = self.prefix + "fab"

    # --- namespaces -------------------------------------------------------------------------------------------
    def __enter__(self):
        try:
            self.make_namespace(self.fabric)
            self.fab("ip", "link", "add", "br0", "type", "bridge")
            self.fab("ip", "addr", "add", "10.244.0.1/24", "dev", "br0")
            self.fab("ip", "-6", "addr", "add", "fd00:10:244::1/64", "dev", "br0", "nodad")
            self.fab("ip", "link", "set", "br0", "up")
            self.fab("sysctl", "-qw", "net.ipv4.ip_forward=1")
            self.fab("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
            self.control = self.pod("control", "linkerd")
            self.token_key()
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc):
        self.close()

    def fab(self, *argv):
        return run("ip", "netns", "exec", self.fabric, *argv)

    def make_namespace(self, name):
        run("ip", "netns", "add", name)
        self.namespaces.append(name)
        run("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up")

    def pod(self, name, ns="shop"):
        pod = Pod(self, name, ns, self.next_index)
        self.next_index += 1
        self.make_namespace(pod.netns)
        host = f"v{pod.index}"
        self.fab("ip", "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", pod.netns)
        self.fab("ip", "link", "set", host, "master", "br0", "up")
        pod.run("ip", "addr", "add", f"{pod.ip}/24", "dev", "eth0")
        pod.run("ip", "-6", "addr", "add", f"{pod.ip6}/64", "dev", "eth0", "nodad")
        pod.run("ip", "link", "set", "eth0", "up")
        pod.run("ip", "route", "add", "default", "via", "10.244.0.1")
        pod.run("ip", "-6", "route", "add", "default", "via", "fd00:10:244::1")
        self.pods.append(pod)
        return pod

    def close(self):
        for process in reversed(self.processes):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        for name in reversed(self.namespaces):
            run("ip", "netns", "del", name, check=False)
        reports = self.defects()
        shutil.rmtree(self.dir, ignore_errors=True)
        self.processes, self.namespaces = [], []
        if reports:
            raise AssertionError("a program reported a defect:\n" + "\n".join(reports))

    def defects(self):
        """What programs wrote into their logs of defects of their own, each from its first line on."""
        found = []
        for folder, _, files in os.walk(self.dir):
            for name in (name for name in files if name.endswith(".log")):
                with open(os.path.join(folder, name), errors="replace") as f:
                    text = f.read()
                first = DEFECT.search(text)
                if first:
                    found.append(f"{os.path.relpath(os.path.join(folder, name), self.dir)}: {text[first.start():first.start() + 6000]}")
        return found

    # --- identity ---------------------------------------------------------------------------------------------
    def token_key(self):
        self.key = os.path.join(self.dir, "token.key")
        self.public = os.path.join(self.dir, "token.pub")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        with open(self.public, "w") as f:
            f.write(run("openssl", "ec", "-in", self.key, "-pubout"))

    def token(self, pod, **changes):
        now = int(time.time())
        claims = {"sub": f"system:serviceaccount:{pod.ns}:{pod.sa}", "aud": ["identity.l5d.io"], "nbf": now - 5, "exp": now + 3600,
                  "namespace": pod.ns, "serviceaccount": pod.sa, "pod": pod.name, "pod_uid": pod.uid}
        claims.update(changes)
        text = b64url(b'{"alg":"ES256","typ":"JWT"}') + "." + b64url(json.dumps(claims).encode())
        return text + "." + b64url(sign_es256(self.key, text.encode()))

    # --- what the control plane reads -------------------------------------------------------------------------
    def service(self, name, pod, port, target=None, ns="shop", **spec):
        self.services.append({"name": name, "pods": pod if isinstance(pod, list) else [pod], "port": port, "target": target or port,
                              "ns": ns, "ip": f"10.96.0.{10 + len(self.services)}", "ip6": f"fd00:10:96::{10 + len(self.services):x}", **spec})
        return self.services[-1]

    def write_manifests(self):
        documents = []
        for ns in sorted({pod.ns for pod in self.pods}):
            documents.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
        for pod in self.pods:
            documents.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": pod.sa, "namespace": pod.ns}})
            labels = dict(pod.labels)
            containers = [{"name": "app", "image": "local/app", "ports": [{"containerPort": p} for p in pod.ports]}]
            if pod.probe:
                containers[0]["readinessProbe"] = {"httpGet": {"path": pod.probe, "port": pod.ports[0]}}
            if pod.meshed:
                labels.update({"linkerd.io/control-plane-ns": "linkerd"})
                containers.insert(0, {"name": "linkerd-proxy", "image": "local/tulle-proxy",
                                      "env": [{"name": "LINKERD2_PROXY_INBOUND_LISTEN_ADDR", "value": "[::]:4143"},
                                              {"name": "LINKERD2_PROXY_ADMIN_LISTEN_ADDR", "value": "[::]:4191"},
                                              {"name": "LINKERD2_PROXY_CONTROL_LISTEN_ADDR", "value": "[::]:4190"}]})
            documents.append({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": pod.name, "namespace": pod.ns, "uid": pod.uid, "labels": labels, "annotations": pod.annotations},
                "spec": {"serviceAccountName": pod.sa, "nodeName": "node", "containers": containers},
                "status": {"phase": "Running", "hostIP": "10.244.0.1", "podIP": pod.ip, "podIPs": [{"ip": pod.ip}, {"ip": pod.ip6}],
                           "conditions": [{"type": "Ready", "status": "True"}]}})
        for s in self.services:
            documents.append({"apiVersion": "v1", "kind": "Service",
                              "metadata": {"name": s["name"], "namespace": s["ns"], "annotations": s.get("annotations", {})},
                              "spec": {"clusterIP": s["ip"], "clusterIPs": [s["ip"], s["ip6"]], "ports": [{"name": "p", "port": s["port"], "targetPort": s["target"]}],
                                       "selector": {"app": s["pods"][0].name}}})
            for family, field in (("IPv4", "ip"), ("IPv6", "ip6")):
                if family not in s.get("families", ("IPv4", "IPv6")):
                    continue
                documents.append({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                                  "metadata": {"name": f"{s['name']}-{field}", "namespace": s["ns"], "labels": {"kubernetes.io/service-name": s["name"]}},
                                  "ports": [{"name": "p", "port": s["target"], "protocol": "TCP"}],
                                  "endpoints": [{"addresses": [getattr(p, field)], "conditions": {"ready": True}, "nodeName": "node",
                                                 "targetRef": {"kind": "Pod", "name": p.name, "namespace": p.ns}} for p in s["pods"]]})
        text = "\n---\n".join(json.dumps(d) for d in documents)
        self.replace("all.yaml", text + ("\n---\n" + self.extra if self.extra else ""))
        self.translate()

    def replace(self, name, text):
        path = os.path.join(self.manifests, name)
        with open(path + ".tmp", "w") as f:
            f.write(text)
        os.rename(path + ".tmp", path)

    def translate(self):
        """ClusterIPs become pod addresses in the fabric, for meshed and unmeshed pods alike."""
        rules = ["table inet services", "delete table inet services", "table inet services { chain pre { type nat hook prerouting priority -100;"]
        for s in self.services:
            pods = s["pods"]
            for family, vip, field in (("ip", s["ip"], "ip"), ("ip6", s["ip6"], "ip6")):
                to = ", ".join(f"{i} : {getattr(p, field)}" for i, p in enumerate(pods))
                target = f"numgen random mod {len(pods)} map {{ {to} }}" if len(pods) > 1 else getattr(pods[0], field)
                where = f"[{target}]" if family == "ip6" and len(pods) == 1 else target
                port = f":{s['target']}"
                rules.append(f"{family} daddr {vip} tcp dport {s['port']} dnat {family} to {where}{port}")
        rules.append("}\n}")
        run("ip", "netns", "exec", self.fabric, "nft", "-f", "-", stdin="\n".join(rules))

    # --- programs ---------------------------------------------------------------------------------------------
    def start_control(self, *flags):
        self.issuer = os.path.join(self.dir, "issuer")
        os.makedirs(self.issuer, exist_ok=True)
        self.control_process = self.control.popen(
            os.path.join(self.bin, "tulle-control"), f"--manifests={self.manifests}", f"--issuer={self.issuer}", "--identity-generate",
            f"--token-key={self.public}", f"--identity-issuance-lifetime={self.lifetime}",
            f"--identity-clock-skew-allowance={self.skew}", "--cluster-networks=10.0.0.0/8,fd00::/8", "--probe-networks=0.0.0.0/0,::/0", *flags,
            log="control.log")
        self.wait(lambda: self.control.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:9990/ready", check=False) == "200",
                  "the control plane is ready")

    def redirect(self, pod):
        node = os.path.join(self.bin, "tulle-node")
        if os.path.exists(node):
            pod.run(node, "init", "-p", "4143", "-o", "4140", "-u", str(PROXY_UID), "--inbound-ports-to-ignore", "4190,4191")
            return
        rules = f"""table inet tulle {{
          chain pre {{ type nat hook prerouting priority -100; tcp dport {{ 4190, 4191 }} return; meta l4proto tcp redirect to :4143; }}
          chain out {{ type nat hook output priority -100; meta skuid {PROXY_UID} return; oif lo return; meta l4proto tcp redirect to :4140; }}
          }}"""
        run("ip", "netns", "exec", pod.netns, "nft", "-f", "-", stdin=rules)

    def settings(self, pod, **env):
        """The environment of the pod's proxy; writes the token that it names."""
        token = os.path.join(pod.files, "token")
        with open(token, "w") as f:
            f.write(self.token(pod))
        os.chmod(token, 0o644)
        with open(os.path.join(self.issuer, "ca.crt")) as f:
            anchors = f.read()
        control = f"linkerd.serviceaccount.identity.linkerd.{TRUST_DOMAIN}"
        p = "LINKERD2_PROXY_"
        settings = {
            p + "LOG": "warn,linkerd=debug", p + "DESTINATION_SVC_ADDR": f"{self.control.ip}:8086",
            p + "DESTINATION_SVC_NAME": f"linkerd-destination.{control}", p + "POLICY_SVC_ADDR": f"{self.control.ip}:8090",
            p + "POLICY_SVC_NAME": f"linkerd-destination.{control}", p + "IDENTITY_SVC_ADDR": f"{self.control.ip}:8080",
            p + "IDENTITY_SVC_NAME": f"linkerd-identity.{control}", p + "IDENTITY_DIR": "/var/run/linkerd",
            p + "IDENTITY_TRUST_ANCHORS": anchors, p + "IDENTITY_TOKEN_FILE": token, p + "IDENTITY_LOCAL_NAME": pod.identity,
            p + "POLICY_WORKLOAD": json.dumps({"ns": pod.ns, "pod": pod.name}),
            p + "DESTINATION_CONTEXT": json.dumps({"ns": pod.ns, "nodeName": "node", "pod": pod.name}),
            p + "DESTINATION_PROFILE_NETWORKS": "10.0.0.0/8,fd00::/8", p + "POLICY_CLUSTER_NETWORKS": "10.0.0.0/8,fd00::/8",
            p + "INBOUND_DEFAULT_POLICY": "all-unauthenticated", p + "INBOUND_LISTEN_ADDR": "[::]:4143",
            p + "OUTBOUND_LISTEN_ADDRS": "127.0.0.1:4140,[::1]:4140", p + "ADMIN_LISTEN_ADDR": "[::]:4191",
            p + "CONTROL_LISTEN_ADDR": "[::]:4190", p + "INBOUND_IPS": f"{pod.ip},{pod.ip6}",
            p + "INBOUND_PORTS": ",".join(str(port) for port in pod.ports), p + "INBOUND_CONNECT_TIMEOUT": "100ms",
            p + "OUTBOUND_CONNECT_TIMEOUT": "1000ms", p + "CONTROL_STREAM_INITIAL_TIMEOUT": "3s", p + "SHUTDOWN_GRACE_PERIOD": "10s",
            p + "CONTROL_STREAM_IDLE_TIMEOUT": "5m", p + "CONTROL_STREAM_LIFETIME": "1h"}
        for direction in ("INBOUND", "OUTBOUND"):
            settings |= {p + direction + "_SERVER_HTTP2_KEEP_ALIVE_INTERVAL": "10s", p + direction + "_SERVER_HTTP2_KEEP_ALIVE_TIMEOUT": "3s"}
        if "TULLE_TEST_WORKERS" in os.environ:
            settings[p + "CORES_MIN"] = os.environ["TULLE_TEST_WORKERS"]
        settings.update({p + key: value for key, value in env.items()})
        return settings

    def start_proxy(self, pod, wait=True, limits=(), cgroup=None, **env):
        pod.meshed = True
        settings = self.settings(pod, **env)
        pod.proxy_started = time.monotonic()
        self.redirect(pod)
        pod.proxy = pod.popen(os.path.join(self.bin, "tulle-proxy"), env=settings, uid=PROXY_UID, log="proxy.log", limits=limits, cgroup=cgroup)
        if wait:
            self.wait(lambda: "ready" == pod.curl("http://127.0.0.1:4191/ready").strip(), f"the proxy of {pod.name} is ready",
                      lambda: pod.log()[-3000:])

    def spawn(self, *argv):
        """A program in the machine's own namespace, to the mesh's end."""
        with open(os.path.join(self.dir, "spawned.log"), "ab") as out:
            process = subprocess.Popen(list(argv), env={}, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        self.processes.append(process)
        return process

    def kill(self, process):
        """kill -9 of a program and its children."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @staticmethod
    def wait(condition, what, details=None, seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.05)
        raise TimeoutError(f"not within {seconds} s: {what}" + (f"\n{details()}" if details else ""))


def wait_port(pod, port, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if f":{port} " in pod.run("ss", "-ltnH"):
            return
        time.sleep(0.05)
    log = os.path.join(pod.files, "app.log")
    told = open(log, errors="replace").read()[-2000:] if os.path.exists(log) else ""
    raise TimeoutError(f"nothing listens on {pod.name}:{port}\n{told}")
