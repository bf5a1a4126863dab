# SPDX-License-Identifier: Apache-2.0
"""Rows about memory, start-up time and sizes. All pairs are measured at the same time: waiting costs no CPU."""
import gzip
import os
import shutil
import statistics
import subprocess
import tempfile
import time

from lab import PORTS, PROXY_UID, Mesh
from meter import memory_kib

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTIONS = 1000
REQUESTS = 20


class Memory:
    """Readings of fresh pairs: idle, with connections held, after they are gone."""

    def __init__(self, lab, kinds, quick, say):
        self.lab, self.kinds, self.say = lab, [kind for kind in kinds if kind != "direct"], say
        # tulle gives memory back every 20 s; the budgets speak of 60.
        self.idle_s, self.settle_s = (25, 25) if quick else (60, 25)
        self.pairs = {}
        self.out = {}

    def run(self):
        self.lab.pair("tulle", "h1")
        self.lab.restart_tulle()
        self.pairs = {kind: self.lab.pair(kind, "h1") for kind in self.kinds}
        self.out = {kind: {} for kind in self.kinds}
        self.say("memory: 10,000 requests each")
        for pair in self.pairs.values():
            pair.client.run("h2load", "--h1", "-n", "10000", "-c", "10", pair.url, timeout=120)
        self.wait(self.idle_s)
        self.read("idle")
        self.held("plain", "plain connections", self.plain)
        self.held("mtls", "mTLS HTTP/2 connections", self.mtls)
        return {kind: {"memory": readings} for kind, readings in self.out.items()}

    def wait(self, seconds):
        self.say(f"memory: {seconds} s of idleness")
        time.sleep(seconds)

    def read(self, what):
        for kind, pair in self.pairs.items():
            for side, pid in (("client", pair.client_pid), ("server", pair.server_pid)):
                rss, anon = memory_kib(pid)
                self.out[kind][f"{what}_{side}_rss_kib"], self.out[kind][f"{what}_{side}_anon_kib"] = rss, anon

    def held(self, what, text, start):
        self.say(f"memory: {CONNECTIONS} {text} each, {REQUESTS} requests a connection")
        holders = []
        for kind, pair in self.pairs.items():
            holder = start(pair)
            if holder is None:
                continue
            holders.append(holder)
            told = holder.stdout.readline().strip()
            if told != "held":
                raise RuntimeError(f"{kind}: {holder.stderr.read()[-800:]}")
        self.wait(self.settle_s)
        self.read(what)
        for holder in holders:
            holder.stdin.close()
            holder.wait()
        self.wait(self.idle_s)
        self.read(f"{what}_after")

    def holder(self, pair, *args, uid=None):
        prefix = ["ip", "netns", "exec", pair.client.netns]
        if uid is not None:
            prefix += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        process = subprocess.Popen(prefix + ["/usr/bin/python3", self.lab.hold, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, start_new_session=True)
        self.lab.mesh.processes.append(process)
        return process

    def plain(self, pair):
        return self.holder(pair, "plain", pair.host, str(pair.port), str(CONNECTIONS), str(REQUESTS))

    def mtls(self, pair):
        if pair.kind == "forwarder":
            return None  # it speaks no TLS
        # As the proxy's user the client is not redirected: it is the other proxy.
        if pair.kind == "tulle":
            return self.holder(pair, "mtls", pair.server.ip, str(PORTS["h2"]), str(CONNECTIONS), str(REQUESTS), self.lab.mesh_client_pem(), pair.server.identity, "-",
                               uid=PROXY_UID)
        return self.holder(pair, "mtls", pair.server.ip, "4143", str(CONNECTIONS), str(REQUESTS), f"{self.lab.certs}/client.pem", "server", "h2", uid=PROXY_UID)


def against_services(lab, quick, say, services=5000):
    """tulle's client-side proxy after 10,000 requests, with one service it talks to and with 5,000 others beside it."""
    pair = lab.pair("tulle", "h1")
    readings = []
    for extra in (0, services):
        say(f"memory: {extra or 'no'} services beside those that are used")
        lab.mesh.extra = "\n---\n".join(
            f'{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"other{i}","namespace":"shop"}},"spec":{{"clusterIP":"10.98.{i // 250}.{i % 250 + 1}",'
            f'"ports":[{{"name":"p","port":80,"targetPort":8080}}],"selector":{{"app":"none"}}}}}}' for i in range(extra))
        lab.mesh.write_manifests()
        time.sleep(5)
        lab.restart_tulle()
        pair = lab.pair("tulle", "h1")
        pair.client.run("h2load", "--h1", "-n", "10000", "-c", "10", pair.url, timeout=120)
        time.sleep(25 if quick else 60)
        readings.append(memory_kib(pair.client_pid)[0])
    lab.mesh.extra = ""
    lab.mesh.write_manifests()
    return {"services_1_rss_kib": readings[0], "services_5000_rss_kib": readings[1]}


def start_up(lab, count=7):
    """Milliseconds from exec to /ready with the control plane up."""
    pod = lab.pods["tulle", "all"][1]
    with open(f"/proc/{pod.proxy.pid}/environ", "rb") as f:
        env = dict(part.split(b"=", 1) for part in f.read().split(b"\0") if b"=" in part)
    lab.stop(pod.proxy)
    times = []
    for _ in range(count):
        done = subprocess.run(["ip", "netns", "exec", pod.netns, "/usr/bin/python3", os.path.join(HERE, "until_ready.py"), str(PROXY_UID),
                               os.path.join(lab.mesh.bin, "tulle-proxy")], env=env, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"start-up: {done.stderr[-500:]}")
        times.append(float(done.stdout))
    lab.mesh.start_proxy(pod, LOG="warn")
    return {"ready_ms": statistics.median(times)}


def control_memory(bin_dir, quick):
    """tulle-control with 50 pods in ten services; (RSS, anonymous) KiB."""
    with Mesh(bin_dir, name="c") as mesh:
        # Pods exist as objects only: addresses and conditions, no namespaces.
        documents = []
        for i in range(50):
            documents.append(f'{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod{i}","namespace":"shop","uid":"u{i}","labels":{{"app":"app{i % 10}",'
                             f'"linkerd.io/control-plane-ns":"linkerd"}}}},"spec":{{"serviceAccountName":"app{i % 10}","nodeName":"node","containers":['
                             f'{{"name":"app","image":"local/app","ports":[{{"containerPort":8080}}]}},{{"name":"linkerd-proxy","image":"local/tulle-proxy"}}]}},'
                             f'"status":{{"phase":"Running","podIP":"10.244.1.{i + 1}","podIPs":[{{"ip":"10.244.1.{i + 1}"}}],"conditions":[{{"type":"Ready",'
                             f'"status":"True"}}]}}}}')
        for i in range(10):
            documents.append(f'{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"app{i}","namespace":"shop"}},"spec":{{"clusterIP":"10.96.1.{i + 1}",'
                             f'"ports":[{{"name":"p","port":80,"targetPort":8080}}],"selector":{{"app":"app{i}"}}}}}}')
            endpoints = ",".join(f'{{"addresses":["10.244.1.{j + 1}"],"conditions":{{"ready":true}},"targetRef":{{"kind":"Pod","name":"pod{j}","namespace":"shop"}}}}'
                                 for j in range(i, 50, 10))
            documents.append(f'{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4","metadata":{{"name":"app{i}-1","namespace":"shop",'
                             f'"labels":{{"kubernetes.io/service-name":"app{i}"}}}},"ports":[{{"name":"p","port":8080,"protocol":"TCP"}}],"endpoints":[{endpoints}]}}')
        mesh.extra = "\n---\n".join(documents)
        one = mesh.pod("one")
        mesh.write_manifests()
        mesh.start_control()
        mesh.start_proxy(one, LOG="warn")
        time.sleep(10 if quick else 30)
        return {"control_50_pods_rss_kib": memory_kib(mesh.control_process.pid)[0], "control_50_pods_anon_kib": memory_kib(mesh.control_process.pid)[1]}


def sizes(bin_dir):
    """Bytes of the stripped programs, and of them compressed as an image layer would be."""
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tulle-proxy", "tulle-node", "tulle-control"):
            path = os.path.join(folder, name)
            shutil.copy(os.path.join(bin_dir, name), path)
            subprocess.run(["strip", path], check=True)
            with open(path, "rb") as f:
                data = f.read()
            out[name.replace("-", "_") + "_bytes"] = len(data)
            out[name.replace("-", "_") + "_gzip_bytes"] = len(gzip.compress(data, 9))
    return out
