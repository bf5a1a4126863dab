#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a pair of proxies beside a pair of HAProxy and a pair of plain forwarders, in one run.

usage: bench.py --bin DIR --cache DIR [--quick] [--rounds N]      (root)

An mTLS pair between two network namespaces, HTTP/2 inside, 256-byte answers of nginx. Rounds alternate between the kinds;
medians are compared. Rows: 2,000 requests/s (CPU of the pair per request, latency), saturation, memory. The run is valid
when CPU per HTTP/1.1 request of HAProxy ÷ forwarder is within 1.25 ± 25 %.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/netns"))
from mesh import Mesh, PROXY_UID, run, wait_port  # noqa: E402


def cpu_ns(pids):
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
    return total


def rss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        text = f.read()
    return [int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1)) for name in ("Rss", "Anonymous")]


class Pair:
    def __init__(self, mesh, name):
        self.mesh, self.name = mesh, name
        self.server = mesh.pod(f"{name}s")
        self.client = mesh.pod(f"{name}c")
        self.pids = []

    def nginx(self):
        conf = os.path.join(self.server.files, "nginx.conf")
        body = "x" * 256
        with open(conf, "w") as f:
            f.write(f"daemon off; worker_processes 1; error_log stderr; pid {self.server.files}/pid; events {{ worker_connections 4096; }} "
                    f"http {{ access_log off; keepalive_requests 100000000; server {{ listen 8080; listen [::]:8080; location / {{ return 200 {body}; }} }} "
                    "}")
        self.server.popen(ARGS.nginx, "-c", conf, log="nginx.log", env={"LD_LIBRARY_PATH": ARGS.libs})
        wait_port(self.server, 8080)


def forwarder_cfg(text):
    """The reference pair as plain bytes: no TLS, no HTTP."""
    text = text.replace("mode http\n    http-reuse always", "mode tcp")
    return re.sub(r" ssl .*", "", text)


def haproxy(pair, plain):
    mesh = pair.mesh
    certs = os.path.join(mesh.dir, "certs")
    if not os.path.exists(certs):
        os.makedirs(certs)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{certs}/ca.key", "-out",
            f"{certs}/ca.pem", "-days", "30", "-subj", "/CN=ca")
        for name in ("client", "server"):
            run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{certs}/{name}.key", "-out",
                f"{certs}/{name}.csr", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
            run("openssl", "x509", "-req", "-in", f"{certs}/{name}.csr", "-CA", f"{certs}/ca.pem", "-CAkey", f"{certs}/ca.key", "-CAcreateserial", "-days", "30",
                "-copy_extensions", "copy", "-out", f"{certs}/{name}.crt")
            with open(f"{certs}/{name}.pem", "w") as f:
                f.write(open(f"{certs}/{name}.crt").read() + open(f"{certs}/{name}.key").read())
        run("chmod", "-R", "a+rX", certs)
    for side, pod in (("server", pair.server), ("client", pair.client)):
        with open(os.path.join(HERE, f"haproxy-{side}.cfg")) as f:
            text = f.read()
        if plain:
            text = forwarder_cfg(text)
        for key, value in (("SERVER_IP", pair.server.ip), ("CLIENT_PEM", f"{certs}/client.pem"), ("SERVER_PEM", f"{certs}/server.pem"),
                           ("CA", f"{certs}/ca.pem"), ("SERVER_NAME", "server"), ("APP_PORT", "8080")):
            text = text.replace(f"@{key}@", value)
        path = os.path.join(pod.files, "haproxy.cfg")
        with open(path, "w") as f:
            f.write(text)
        mesh.redirect(pod)
        process = pod.popen("haproxy", "-db", "-f", path, uid=PROXY_UID, log="proxy.log")
        wait_port(pod, 4140 if side == "client" else 4143)
        pair.pids.append(process.pid)
    pair.url = f"http://{pair.server.ip}:8080/"


def tulle(pair):
    service = pair.mesh.service("bench", pair.server, 80, 8080)
    pair.server.ports = [8080]
    pair.server.meshed = pair.client.meshed = True
    pair.mesh.write_manifests()
    pair.mesh.start_control()
    for pod in (pair.server, pair.client):
        pair.mesh.start_proxy(pod, LOG="warn")
        pair.pids.append(pod.proxy.pid)
    pair.url = f"http://{service['ip']}/"


def load(pair, *args, seconds):
    log = os.path.join(pair.client.files, "load.log")
    if os.path.exists(log):
        os.unlink(log)
    before = cpu_ns(pair.pids)
    out = pair.client.run("h2load", "--h1", *args, "-D", str(seconds), f"--log-file={log}", pair.url, timeout=seconds + 60)
    used = cpu_ns(pair.pids) - before
    times = []
    with open(log) as f:
        for line in f:
            times.append(int(line.split()[2]))
    times.sort()
    rate = float(re.search(r"finished in [\d.]+s, ([\d.]+) req/s", out).group(1))
    failed = int(re.search(r"(\d+) 5xx", out).group(1))
    return {"cpu_us": used / 1000 / max(len(times), 1), "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "rate": rate, "failed": failed}


def main():
    seconds = 5 if ARGS.quick else 10
    with Mesh(ARGS.bin, name="b") as mesh:
        pairs = {name: Pair(mesh, name) for name in ("direct", "fwd", "haproxy", "tulle")}
        for pair in pairs.values():
            pair.nginx()
        pairs["direct"].url = f"http://{pairs['direct'].server.ip}:8080/"
        haproxy(pairs["fwd"], True)
        haproxy(pairs["haproxy"], False)
        tulle(pairs["tulle"])
        results = {name: {"steady": [], "full": []} for name in pairs}
        for pair in pairs.values():
            pair.client.run("h2load", "--h1", "-n", "2000", "-c", "10", pair.url)
        for number in range(ARGS.rounds):
            for name, pair in pairs.items():
                results[name]["steady"].append(load(pair, "-c", "10", "-m", "1", "--rps=200", seconds=seconds))
                results[name]["full"].append(load(pair, "-c", "32", "-m", "1", seconds=seconds))
                print(f"round {number + 1} {name}: {results[name]['steady'][-1]['cpu_us']:.1f} µs, {results[name]['full'][-1]['rate']:.0f}/s", flush=True)
        med = {name: {row: {key: statistics.median(r[key] for r in rounds) for key in rounds[0]} for row, rounds in rows.items()} for name, rows in results.items()}
        print(f"\n{'':10} {'CPU/req µs':>11} {'p50 µs':>8} {'p99 µs':>8} {'full req/s':>11} {'CPU/req full':>13}")
        for name, m in med.items():
            print(f"{name:10} {m['steady']['cpu_us']:11.1f} {m['steady']['p50']:8.0f} {m['steady']['p99']:8.0f} {m['full']['rate']:11.0f} {m['full']['cpu_us']:13.1f}")
        ours, ha, fwd, direct = med["tulle"], med["haproxy"], med["fwd"], med["direct"]
        rows = [("CPU per request at 2,000/s ÷ HAProxy", ours["steady"]["cpu_us"] / ha["steady"]["cpu_us"], 0.85, True),
                ("added p50 ÷ HAProxy's", (ours["steady"]["p50"] - direct["steady"]["p50"]) / (ha["steady"]["p50"] - direct["steady"]["p50"]), 0.75, True),
                ("added p99 ÷ HAProxy's", (ours["steady"]["p99"] - direct["steady"]["p99"]) / (ha["steady"]["p99"] - direct["steady"]["p99"]), 0.75, True),
                ("requests/s at saturation ÷ HAProxy", ours["full"]["rate"] / ha["full"]["rate"], 1.1, False),
                ("CPU per request at saturation ÷ HAProxy", ours["full"]["cpu_us"] / ha["full"]["cpu_us"], 0.9, True)]
        print()
        for text, ratio, budget, below in rows:
            good = ratio <= budget if below else ratio >= budget
            print(f"{'ok  ' if good else 'over'} {text}: {ratio:.2f} (budget {'≤' if below else '≥'} {budget})")
        valid = ha["steady"]["cpu_us"] / fwd["steady"]["cpu_us"]
        print(f"HAProxy ÷ forwarder: {valid:.2f} ({'valid' if abs(valid - 1.25) <= 0.25 * 1.25 else 'NOT a valid run'})")
        time.sleep(0 if ARGS.quick else 60)
        for side, pod in (("client", pairs["tulle"].client), ("server", pairs["tulle"].server)):
            print(f"memory of the {side}'s proxy: RSS {rss_kib(pod.proxy.pid)[0]} KiB, anonymous {rss_kib(pod.proxy.pid)[1]} KiB (budget 4096, 1024)")


PARSER = argparse.ArgumentParser()
PARSER.add_argument("--bin", required=True)
PARSER.add_argument("--cache", required=True)
PARSER.add_argument("--quick", action="store_true")
PARSER.add_argument("--rounds", type=int, default=0)
PARSER.add_argument("--nginx", default="/usr/sbin/nginx")
PARSER.add_argument("--libs", default="")
ARGS = PARSER.parse_args()
ARGS.rounds = ARGS.rounds or (3 if ARGS.quick else 5)
main()
