#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What strangers may take: slow heads, half handshakes and messages, idle sockets and scans against every port that proxies and
control plane have here, each in a cgroup of 64 MiB. Probes are answered meanwhile, a kept client has no failure, nobody is killed.
The outbound proxy's strangers are in its pod: what an application lets itself be made to do. Webhooks need Kubernetes: tests/apiserver has them.
TULLE_SOAK=1: more of them, for longer."""
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../support"), os.path.join(HERE, "../netns")]
from cases import PYTHON, Cases  # noqa: E402
from mesh import Mesh  # noqa: E402
from world import PORTS, World  # noqa: E402

SOAK = os.environ.get("TULLE_SOAK") == "1"
STRANGERS = os.path.join(HERE, "../support/strangers.py")
V1 = "/sys/fs/cgroup/memory"
# Version 2 has memory only where no hierarchy of version 1 has taken it.
V2 = not os.path.exists(V1 + "/memory.limit_in_bytes")
ROOT = "/sys/fs/cgroup" if V2 else V1
SECONDS = 30 if SOAK else 4


def sanitized(program):
    with open(program, "rb") as f:
        return b"__asan_init" in f.read()


class Group:
    """A cgroup of memory, of whichever version the machine has."""

    def __init__(self, name, limit):
        self.folder = os.path.join(ROOT, name)
        if V2:
            # Children have the files of memory where their parent says so; systemd does, a bare machine does not.
            with open(os.path.join(ROOT, "cgroup.subtree_control"), "r+") as f:
                if "memory" not in f.read().split():
                    f.write("+memory")
        os.makedirs(self.folder)
        self.write("memory.max" if V2 else "memory.limit_in_bytes", limit)
        if V2:
            self.write("memory.swap.max", 0, missing_ok=True)

    def write(self, name, value, missing_ok=False):
        try:
            with open(os.path.join(self.folder, name), "w") as f:
                f.write(str(value))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def used(self):
        """What its processes have themselves, without the pages of files."""
        with open(os.path.join(self.folder, "memory.stat")) as f:
            figures = dict(line.split() for line in f)
        return int(figures["anon"] if V2 else figures["rss"])

    def add(self, process):
        self.write("cgroup.procs", process.pid)

    def remove(self):
        for _ in range(50):
            try:
                os.rmdir(self.folder)
                return
            except OSError:
                time.sleep(0.1)


class Siege:
    """Strangers in a pod without a proxy, until the end of the block; probes and a kept client meanwhile."""

    def __init__(self, w, node, group, process, probe, strangers=None):
        self.w, self.node, self.group, self.process, self.probe = w, node, group, process, probe
        self.strangers = strangers or w.plain

    def run(self, *attacks):
        load = self.w.load(self.w.single["http"], rate=50)
        running = [self.strangers.popen(PYTHON, STRANGERS, kind, host, str(port), str(count), str(SECONDS), pipes=True) for kind, host, port, count in attacks]
        most = slowest = probes = 0
        while any(r.poll() is None for r in running):
            began = time.monotonic()
            code = self.node.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", self.probe, check=False)
            slowest = max(slowest, time.monotonic() - began)
            probes += 1
            assert code == "200", f"a probe was answered {code!r} after {time.monotonic() - began:.1f} s"
            most = max(most, self.group.used())
            assert self.process.poll() is None, "it was killed"
            time.sleep(0.1)
        opened = []
        for r in running:
            out, err = r.communicate()
            assert r.returncode == 0, err[-500:]
            assert "begun" in out, out
            opened.append(int(out.split()[-1]))
        load.end()
        assert load.result["failed"] == 0, load.result
        assert probes >= 3
        return {"anon_mib": round(most / 2**20, 1), "slowest_probe_s": round(slowest, 2), "probes": probes, "opened": opened}


def control_plane_under_strangers(siege, ip):
    many = 2000 if SOAK else 300
    figures = siege.run(("idle", ip, 9990, many), ("head", ip, 9996, many), ("hello", ip, 8090, many), ("idle", ip, 8086, many), ("grpc", ip, 8080, 40))
    w = siege.w
    refused = w.mesh.control.run("curl", "-s", "http://127.0.0.1:9990/metrics")
    assert 'tulle_connections_refused_total{port="admin",reason="gave_way"}' in refused, refused[-2000:]
    return figures


def a_proxy_under_strangers(siege, pod):
    many = 3000 if SOAK else 400
    return siege.run(("idle", pod.ip, 4191, many), ("head", pod.ip, PORTS["http"], many), ("hello", pod.ip, PORTS["h2"], many),
                     ("hello", pod.ip, 4143, many), ("block", pod.ip, PORTS["h2"], many))


def an_outbound_proxy_under_its_own_pod(siege, w):
    many = 3000 if SOAK else 400
    service = {kind: (w.single[kind]["ip"], w.single[kind]["port"]) for kind in PORTS}
    return siege.run(("idle", "127.0.0.1", 4140, many), ("idle", *service["bytes"], many), ("head", *service["http"], many),
                     ("hello", *service["http"], many), ("block", *service["h2"], many))


def only_the_pod_itself_reads_its_environment(w):
    for host in (w.a.ip, f"[{w.a.ip6}]"):
        code = w.plain.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{host}:4191/env.json", check=False)
        assert code == "403", code
        code = w.client.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{host}:4191/env.json", check=False)
        assert code == "403", code
    assert "LINKERD2_PROXY_LOG" in w.a.curl("http://127.0.0.1:4191/env.json")


def main():
    bin_dir = os.path.abspath(sys.argv[1])
    cases = Cases(sys.argv[2:])
    # Sanitizers keep shadows and what was freed: their programs are only kept from growing without end.
    limit = (1024 if sanitized(os.path.join(bin_dir, "tulle-proxy")) else 64) << 20
    groups = []
    try:
        with Mesh(bin_dir, name="b") as mesh:
            node = mesh.pod("node")  # whom probes come from
            w = World(mesh)
            for process in (mesh.control_process, w.a.proxy, w.client.proxy):
                group = Group(f"{mesh.prefix}{process.pid}", limit)
                groups.append(group)
                # The process itself, found below what started it.
                for pid in subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=True).stdout.split():
                    group.write("cgroup.procs", pid)
            control = Siege(w, node, groups[0], mesh.control_process, f"http://{mesh.control.ip}:9990/live")
            proxy = Siege(w, node, groups[1], w.a.proxy, f"http://{w.a.ip}:4191/ready")
            outbound = Siege(w, node, groups[2], w.client.proxy, f"http://{w.client.ip}:4191/ready", w.client)
            cases.check(only_the_pod_itself_reads_its_environment, w, details=w.logs)
            cases.check(control_plane_under_strangers, control, mesh.control.ip, details=w.logs)
            cases.check(a_proxy_under_strangers, proxy, w.a, details=w.logs)
            cases.check(an_outbound_proxy_under_its_own_pod, outbound, w, details=w.logs)
    finally:
        for group in groups:
            group.remove()
    cases.end()


main()
