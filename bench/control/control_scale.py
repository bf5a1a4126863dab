#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What tulle-control needs for many pods and many proxies, and how fast a change reaches them. Everything is real but the
proxies: control_fleet is their control-plane side, over mesh TLS on the loopback interface.

usage: control_scale.py BIN_DIR [--quick] [--minutes N] [--output json]

Prints what was measured beside the budgets of the design; exits 1 if one is not met."""
import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

NODE = "node-1"
OTHER_VARIABLES = ["LOG", "LOG_FORMAT", "DESTINATION_SVC_ADDR", "POLICY_SVC_ADDR", "IDENTITY_SVC_ADDR", "POLICY_WORKLOAD",
                   "INBOUND_DEFAULT_POLICY", "POLICY_CLUSTER_NETWORKS", "CONTROL_STREAM_INITIAL_TIMEOUT", "OUTBOUND_CONNECT_TIMEOUT",
                   "INBOUND_CONNECT_TIMEOUT", "OUTBOUND_DISCOVERY_IDLE_TIMEOUT", "INBOUND_PORTS", "DESTINATION_PROFILE_SUFFIXES",
                   "INBOUND_ACCEPT_KEEPALIVE", "OUTBOUND_CONNECT_KEEPALIVE", "DESTINATION_CONTEXT", "SHUTDOWN_GRACE_PERIOD",
                   "IDENTITY_DIR", "IDENTITY_TRUST_ANCHORS", "IDENTITY_TOKEN_FILE", "DESTINATION_SVC_NAME", "POLICY_SVC_NAME"]


def pod(ns, index, service, ready):
    """As the injector leaves it and the API server gives it out, with what most pods have."""
    prefix = "LINKERD2_PROXY_"
    env = [{"name": prefix + name, "value": "x" * 20} for name in OTHER_VARIABLES]
    env += [{"name": f"{prefix}{name}_LISTEN_ADDR", "value": f"[::]:{port}"} for name, port in (("CONTROL", 4190), ("ADMIN", 4191), ("INBOUND", 4143))]
    probe = {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10}
    name = f"pod-{ns}-{index}"
    ip = f"10.{100 + ns}.0.{index + 1}"
    times = {"lastProbeTime": None, "lastTransitionTime": "2025-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": f"ns-{ns}", "uid": f"8c5a9d3e-0000-4000-8000-{ns:06d}{index:06d}", "resourceVersion": "123456",
            "generateName": f"svc-{service}-5b8d7c6f9d-", "creationTimestamp": "2025-01-01T00:00:00Z",
            "labels": {"app": f"svc-{service}", "app.kubernetes.io/name": f"svc-{service}", "app.kubernetes.io/part-of": "shop",
                       "pod-template-hash": "5b8d7c6f9d", "linkerd.io/control-plane-ns": "linkerd", "linkerd.io/workload-ns": f"ns-{ns}",
                       "linkerd.io/proxy-deployment": f"svc-{service}"},
            "annotations": {"linkerd.io/inject": "enabled", "linkerd.io/created-by": "linkerd/proxy-injector", "linkerd.io/proxy-version": "v1",
                            "linkerd.io/trust-root-sha256": "ab" * 32, "config.linkerd.io/default-inbound-policy": "all-unauthenticated",
                            "viz.linkerd.io/tap-enabled": "true", "prometheus.io/scrape": "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"svc-{service}-5b8d7c6f9d", "controller": True,
                                 "blockOwnerDeletion": True, "uid": "8c5a9d3e-1111-4111-8111-000000000000"}]},
        "spec": {
            "serviceAccountName": "default", "nodeName": NODE, "restartPolicy": "Always",
            "initContainers": [{"name": "linkerd-init", "image": "proxy"}],
            "containers": [
                {"name": "linkerd-proxy", "image": "proxy", "env": env,
                 "ports": [{"name": "linkerd-proxy", "containerPort": 4143}, {"name": "linkerd-admin", "containerPort": 4191}],
                 "livenessProbe": {"httpGet": {"path": "/live", "port": 4191}}, "readinessProbe": {"httpGet": {"path": "/ready", "port": 4191}}},
                {"name": "app", "image": "app", "env": [{"name": "DATABASE", "value": "postgres"}],
                 "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9100}],
                 "livenessProbe": probe, "readinessProbe": probe}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.168.0.1", "qosClass": "Burstable",
                   "conditions": [{"type": t, "status": "True", **times} for t in ("Initialized", "PodScheduled", "ContainersReady")]
                   + [{"type": "Ready", "status": "True" if ready else "False", **times}]}}


def service_file(ns, service, pods_of_namespace, services_of_namespace, unready=None, marker=None):
    """One Service of five pods, with its slice."""
    members = list(range(service, pods_of_namespace, services_of_namespace))
    meta = {"name": f"svc-{service}", "namespace": f"ns-{ns}"}
    out = [pod(ns, index, service, index != unready) for index in members]
    out.append({"apiVersion": "v1", "kind": "Service", "metadata": meta,
                "spec": {"clusterIP": f"10.96.{ns}.{service + 1}", "selector": {"app": f"svc-{service}"},
                         "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})
    endpoints = [{"addresses": [f"10.{100 + ns}.0.{index + 1}"], "conditions": {"ready": index != unready}, "nodeName": NODE, "zone": "a",
                  "targetRef": {"kind": "Pod", "name": f"pod-{ns}-{index}", "namespace": f"ns-{ns}"}} for index in members]
    if marker:
        endpoints.append({"addresses": [marker]})
    out.append({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {**meta, "name": f"svc-{service}-abcde", "labels": {"kubernetes.io/service-name": f"svc-{service}"}},
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints})
    return "\n".join(json.dumps(o) for o in out)


class Run:
    def __init__(self, bin_dir, pods, proxies):
        self.bin = os.path.realpath(bin_dir)
        self.dir = tempfile.mkdtemp(prefix="tulle-scale-")
        self.per_ns = min(pods, 100)
        self.services = max(1, self.per_ns // 5)
        self.namespaces = pods // self.per_ns
        self.pods, self.proxies = self.namespaces * self.per_ns, proxies
        self.control = self.fleet = None
        self.open, self.markers = 0, {}
        os.mkdir(self.path("manifests"))
        os.mkdir(self.path("issuer"))
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path("token.key")], check=True)
        subprocess.run(["openssl", "ec", "-in", self.path("token.key"), "-pubout", "-out", self.path("token.pub")], check=True, capture_output=True)
        self.ports = {}

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.fleet, self.control):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def write(self, ns, service, **how):
        name = f"ns-{ns}-svc-{service}.json"
        with open(self.path(name), "w") as f:
            f.write(service_file(ns, service, self.per_ns, self.services, **how))
        at = time.monotonic()
        os.rename(self.path(name), self.path("manifests", name))
        return at

    def write_all(self):
        namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns-{ns}"}} for ns in range(self.namespaces)]
        namespaces.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"topology.kubernetes.io/zone": "a"}}})
        with open(self.path("manifests", "base.json"), "w") as f:
            f.write("\n".join(json.dumps(o) for o in namespaces))
        for ns in range(self.namespaces):
            for service in range(self.services):
                self.write(ns, service)

    def start_control(self):
        log = open(self.path("control.log"), "wb")
        flags = [f"--{name}-port={addr.rpartition(':')[2]}" for name, addr in self.ports.items()] or [
            f"--{name}-port=0" for name in ("identity", "destination", "policy", "admin", "dest-admin")]
        self.control = subprocess.Popen(
            [os.path.join(self.bin, "tulle-control"), f"--manifests={self.path('manifests')}", f"--issuer={self.path('issuer')}",
             "--identity-generate", f"--token-key={self.path('token.pub')}", "--listen=127.0.0.1", *flags], stdout=log, stderr=log)
        begun = time.monotonic()
        while time.monotonic() - begun < 60:
            with open(self.path("control.log"), errors="replace") as f:
                text = f.read()
            ports = dict(re.findall(r'listening.*port="?([a-z-]+)"? addr="?([0-9.:]+)', text))
            if len(ports) == 5:
                self.ports = ports
                return time.monotonic() - begun
            if self.control.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError("the control plane does not start\n" + text[-3000:])

    def start_fleet(self):
        self.fleet = subprocess.Popen(
            [os.path.join(self.bin, "control_fleet"), f"--destination={self.ports['destination']}", f"--policy={self.ports['policy']}",
             f"--issuer={self.path('issuer')}", f"--proxies={self.proxies}", f"--pods-of-namespace={self.per_ns}",
             f"--services-of-namespace={self.services}"], stdout=subprocess.PIPE, text=True)
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def stop_fleet(self):
        self.fleet.kill()
        self.fleet.wait()
        self.listener.join()
        self.open, self.markers = 0, {}

    def listen(self):
        for line in self.fleet.stdout:
            words = line.split()
            if words[0] == "open":
                self.open = int(words[1])
            elif words[0] == "marker":
                self.markers.setdefault(words[1], []).append(float(words[3]))

    def wait_open(self, seconds):
        begun = time.monotonic()
        while self.open < self.proxies * 6:
            if time.monotonic() - begun > seconds:
                raise TimeoutError(f"{self.open} of {self.proxies * 6} streams after {seconds} s")
            time.sleep(0.05)
        return time.monotonic() - begun

    def rss(self):
        """KiB, after memory had time to go back."""
        with open(f"/proc/{self.control.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    def settled(self, seconds=25):
        time.sleep(seconds)
        return self.rss()

    def cpu(self):
        with open(f"/proc/{self.control.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def churn(self, seconds, per_minute, sample=10):
        """Changes at that rate; every 20th carries a marker, whose way to all who ask for that service is timed."""
        meshed_namespaces = max(1, self.proxies // self.per_ns)
        latencies, waiting, rss = [], [], []
        begun, cpu, count, next_sample = time.monotonic(), self.cpu(), 0, time.monotonic()
        while time.monotonic() - begun < seconds:
            due = begun + count * 60 / per_minute
            time.sleep(max(0, due - time.monotonic()))
            ns, service = random.randrange(self.namespaces), random.randrange(self.services)
            if count % 20 == 0:
                marker = f"172.31.{count // 20 // 256 % 256}.{count // 20 % 256}"
                waiting.append((marker, self.write(random.randrange(meshed_namespaces), service, marker=marker)))
            else:
                self.write(ns, service, unready=random.choice([None, service]))
            count += 1
            if time.monotonic() > next_sample:
                rss.append(self.rss())
                next_sample += sample
        time.sleep(1.5)
        lost = 0
        want = self.per_ns // self.services
        for marker, at in waiting:
            times = self.markers.get(marker, [])
            lost += len(times) < want
            latencies += [max(times) - at] if len(times) >= want else []
        return {"changes": count, "lost": lost, "latencies": sorted(latencies), "rss": rss, "cpu": (self.cpu() - cpu) / count}


def measure(bin_dir, pods, proxies, minutes, quick):
    out = {"pods": pods, "proxies": proxies}
    with Run(bin_dir, pods, proxies) as run:
        run.start_control()
        out["empty_kib"] = run.settled(2)
        run.control.kill()
        run.control.wait()
        run.write_all()
        out["start_s"] = run.start_control()
        out["with_pods_kib"] = run.settled(5 if quick else 25)
        # What the first proxies cost once (code that is touched, caches) is not counted as a proxy's.
        few, run.proxies = max(1, proxies // 10), max(1, proxies // 10)
        run.start_fleet()
        run.wait_open(60)
        out["with_few_proxies_kib"], out["few"] = run.settled(5 if quick else 25), few
        run.stop_fleet()
        run.proxies = proxies
        run.start_fleet()
        out["connect_s"] = run.wait_open(120)
        out["with_proxies_kib"] = run.settled(5 if quick else 25)
        churn = run.churn(minutes * 60, 1000)
        out["changes"], out["lost"] = churn["changes"], churn["lost"]
        out["cpu_ms_per_change"] = churn["cpu"] * 1000
        latencies = churn["latencies"]
        out["latency_p50_ms"], out["latency_max_ms"] = latencies[len(latencies) // 2] * 1000, latencies[-1] * 1000
        out["rss_during_changes_kib"] = churn["rss"]
        out["after_changes_kib"] = run.settled(5 if quick else 25)
        run.control.kill()
        run.control.wait()
        time.sleep(1)
        run.start_control()
        out["back_s"] = run.wait_open(60)
        out["after_restart_kib"] = run.settled(5 if quick else 25)
        assert run.fleet.poll() is None and run.control.poll() is None
    return out


A_PROXY = 30  # KiB


def budgets(small, large):
    per_pod = (large["with_pods_kib"] - large["empty_kib"]) / large["pods"]
    per_proxy = (large["with_proxies_kib"] - large["with_few_proxies_kib"]) / (large["proxies"] - large["few"])
    rss = large["rss_during_changes_kib"]
    half = len(rss) // 2
    growth = max(rss[half:]) / max(rss[:half] or rss) - 1
    allowed = small["with_proxies_kib"] if small else large["empty_kib"]
    rows = [("50 pods and proxies, MiB", small["with_proxies_kib"] / 1024, 16)] if small else []
    rows += [
        ("KiB a pod", per_pod, 4), ("KiB a proxy", per_proxy, A_PROXY),
        ("all of it during changes, MiB", max(rss) / 1024, (allowed + 4 * large["pods"] + A_PROXY * large["proxies"]) / 1024),
        ("growth in the second half of the changes, %", growth * 100, 3),
        ("changes that did not reach everybody", large["lost"], 0), ("slowest change, ms", large["latency_max_ms"], 1000),
        ("streams back after kill -9, s", large["back_s"], 10)]
    return [{"name": name, "value": round(value, 2), "limit": round(limit, 2), "met": value <= limit} for name, value, limit in rows]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--quick", action="store_true", help="2,000 pods and 200 proxies, half a minute of changes")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16384)), hard))
    small = measure(options.bin, 50, 50, 0.2, True)
    large = (measure(options.bin, 2000, 200, 0.5, True) if options.quick
             else measure(options.bin, 10_000, 1000, options.minutes, False))
    rows = budgets(small, large)
    if options.output == "json":
        print(json.dumps({"small": small, "large": large, "budgets": rows}, indent=1))
    else:
        for key, value in large.items():
            print(f"{key:26} {value}")
        for row in rows:
            print(f"{row['name']:45} {row['value']:10} (limit {row['limit']}) {'met' if row['met'] else 'NOT MET'}")
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
