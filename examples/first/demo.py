#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The first example, for real: nginx, Redis and MariaDB behind a mesh on one machine, looked at from outside.

usage: demo.py --bin DIR --cache DIR [--seconds N] [--output json]

Pods are network namespaces on a fabric with no way out; the programs are those of Debian's packages, unpacked into the
cache (nothing is installed or started on the machine). Prints what it saw; exit 0 only if all of it holds.
"""
import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/netns"))
from mesh import Mesh, wait_port  # noqa: E402
from capture import read_flows  # noqa: E402

PACKAGES = ["base-files", "dash", "coreutils", "sed", "grep", "mawk", "hostname", "libc-bin", "nginx-light", "redis-server", "redis-tools", "mariadb-server", "mariadb-client", "hey", "curl"]
CANARY = "canary-7c1f3b2e"


def say(*words):
    print(*words, file=sys.stderr if ARGS.output == "json" else sys.stdout, flush=True)


def unpack_image(cache):
    """One root folder with the packages and all they need, made once."""
    root = os.path.join(cache, "images", "first-" + hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:8])
    if os.path.exists(os.path.join(root, ".complete")):
        return root
    say("== unpacking nginx, Redis, MariaDB and hey into the cache")
    shutil.rmtree(root, ignore_errors=True)
    archives = os.path.join(cache, "images", "archives")
    os.makedirs(os.path.join(archives, "partial"), exist_ok=True)
    status = os.path.join(archives, "status")
    open(status, "w").close()
    options = ["-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    subprocess.run(["apt-get", *options, "install", "-qq", "-y", "--download-only", "--no-install-recommends", *PACKAGES], check=True,
                   stdout=subprocess.DEVNULL)
    for name in sorted(os.listdir(archives)):
        if name.endswith(".deb"):
            subprocess.run(["dpkg-deb", "-x", os.path.join(archives, name), root], check=True)
    # What packages take for granted.
    if not os.path.lexists(os.path.join(root, "bin/sh")):
        os.symlink("dash", os.path.join(root, "bin/sh"))
    if not os.path.lexists(os.path.join(root, "usr/bin/awk")):
        os.symlink("mawk", os.path.join(root, "usr/bin/awk"))
    for folder in ("dev", "proc", "sys", "tmp", "run", "var/log/nginx", "var/lib/nginx", "var/lib/redis", "var/log/mysql"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    with open(os.path.join(root, "etc/passwd"), "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\nredis:x:110:110::/var/lib/redis:/bin/sh\n"
                "mysql:x:111:111::/var/lib/mysql:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    with open(os.path.join(root, "etc/group"), "w") as f:
        f.write("root:x:0:\nwww-data:x:33:\nredis:x:110:\nmysql:x:111:\nnogroup:x:65534:\n")
    with open(os.path.join(root, "etc/hosts"), "w") as f:
        f.write("127.0.0.1 localhost\n::1 localhost\n")
    open(os.path.join(root, ".complete"), "w").close()
    return root


class App:
    """A program of the image in a pod: its own mounts, /tmp and /run over the read-only root."""

    def __init__(self, pod, root):
        self.pod, self.root = pod, root
        self.script = os.path.join(pod.files, "enter.sh")
        with open(self.script, "w") as f:
            f.write(f"""set -e
mount --make-rprivate /
mkdir -p {pod.files}/root {pod.files}/up {pod.files}/work
mount -t tmpfs tmpfs {pod.files}/up
mkdir {pod.files}/up/data {pod.files}/up/work
mount -t overlay overlay -o lowerdir={root},upperdir={pod.files}/up/data,workdir={pod.files}/up/work {pod.files}/root
mount -t proc proc {pod.files}/root/proc
for d in null zero random urandom; do touch {pod.files}/root/dev/$d; mount --bind /dev/$d {pod.files}/root/dev/$d; done
exec chroot {pod.files}/root "$@"
""")

    def start(self, *argv, log):
        return self.pod.popen("unshare", "-m", "sh", self.script, *argv, log=log)

    def run(self, *argv, timeout=120, check=True):
        return self.pod.run("unshare", "-m", "sh", self.script, *argv, timeout=timeout, check=check)


def nginx_conf(port, name):
    return (f"daemon off; worker_processes 1; error_log stderr; pid /run/nginx.pid; events {{}} http {{ access_log off; keepalive_requests 1000000; "
            f"server {{ listen {port}; listen [::]:{port}; location / {{ default_type text/plain; add_header X-Canary \"{CANARY}-response\"; "
            f"return 200 \"hello from {name} {CANARY}-body\\n\"; }} }} }}")


POLICY = """
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: admin-http, namespace: shop}
spec: {podSelector: {matchLabels: {app: admin}}, port: 8080, proxyProtocol: HTTP/1}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: client-only, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: admin-http}
  requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: client-only}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: {name: client-only, namespace: shop}
spec: {identities: ["client.shop.serviceaccount.identity.linkerd.cluster.local"]}
"""


def series(text, name):
    for line in text.splitlines():
        if line.startswith(name + "{"):
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', line))
            yield labels, float(line.rsplit(" ", 1)[1])


def quantile(buckets, share):
    total = buckets[-1][1] if buckets else 0
    if not total:
        return None
    below, low = 0, 0.0
    for bound, count in buckets:
        if count >= total * share:
            return low if bound == float("inf") else low + (bound - low) * (total * share - below) / max(count - below, 1)
        below, low = count, bound
    return low


def stat(before, after, seconds):
    """Success rate, requests a second and latency from the proxies' own inbound metrics."""
    rows = []
    for name in after:
        def delta(metric, key):
            old = {}
            for labels, value in series(before.get(name, ""), metric):
                old[json.dumps(labels)] = value
            out = {}
            for labels, value in series(after[name], metric):
                if labels.get("direction") == "inbound":
                    out[key(labels)] = out.get(key(labels), 0) + value - old.get(json.dumps(labels), 0)
            return out
        classes = delta("response_total", lambda l: l["classification"])
        total = sum(classes.values())
        if total <= 0:
            continue
        latency = sorted((float(k.replace("+Inf", "inf")), v) for k, v in delta("response_latency_ms_bucket", lambda l: l["le"]).items())
        rows.append({"name": name, "success": round(classes.get("success", 0) / total, 4), "rps": round(total / seconds, 1),
                     "p50": quantile(latency, .5), "p95": quantile(latency, .95), "p99": quantile(latency, .99)})
    return rows


def memory_of(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        text = f.read()
    return {key: int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) for key, name in (("rss_kib", "Rss"), ("anonymous_kib", "Anonymous"))}


def main():
    result = {}
    root = unpack_image(ARGS.cache)
    say("== making the pods")
    with Mesh(ARGS.bin, manifests=POLICY, lifetime="20s", name="d") as mesh:
        names = ["web-0", "web-1", "admin", "cache", "db", "client", "stranger"]
        pods = {name: mesh.pod(name) for name in names}
        plain = mesh.pod("plain")
        ports = {"web-0": 8080, "web-1": 8080, "admin": 8080, "cache": 6379, "db": 13306}
        for name, port in ports.items():
            pods[name].ports = [port]
        for name in ("web-0", "web-1"):
            pods[name].labels = {"app": "web"}
        web = mesh.service("web", [pods["web-0"], pods["web-1"]], 80, 8080)
        admin = mesh.service("admin", pods["admin"], 80, 8080)
        cache = mesh.service("cache", pods["cache"], 6379)
        db = mesh.service("db", pods["db"], 13306)
        for pod in pods.values():
            pod.meshed = True
        mesh.write_manifests()
        capture = os.path.join(mesh.dir, "fabric.pcap")
        tcpdump = subprocess.Popen(["ip", "netns", "exec", mesh.fabric, "tcpdump", "-i", "br0", "-s", "0", "-U", "-w", capture, "tcp"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        mesh.processes.append(tcpdump)
        mesh.start_control()
        apps = {name: App(pod, root) for name, pod in {**pods, "plain": plain}.items()}
        for name in ("web-0", "web-1", "admin"):
            apps[name].start("/bin/sh", "-c", 'printf %s "$1" > /run/nginx.conf && exec /usr/sbin/nginx -c /run/nginx.conf', "sh",
                             nginx_conf(8080, name), log="app.log")
        apps["cache"].start("/usr/bin/redis-server", "--bind", "* -::*", "--protected-mode", "no", "--save", "", "--dir", "/tmp", log="app.log")
        # Ready-made system tables are there from the package's own scripts; the data folder is made at start.
        apps["db"].start("/bin/sh", "-c",
                         "mkdir -p /run/mysqld /tmp/db && mariadb-install-db --user=root --datadir=/tmp/db --auth-root-authentication-method=normal "
                         "--skip-test-db >/dev/null && "
                         "printf '%s\\n' \"CREATE USER 'app'@'%' IDENTIFIED BY 'app';\" \"GRANT ALL ON *.* TO 'app'@'%';\" > /tmp/init.sql && "
                         "exec mariadbd --user=root --datadir=/tmp/db --port=13306 --bind-address='*' --socket=/run/mysqld/s --init-file=/tmp/init.sql "
                         "--skip-name-resolve", log="app.log")
        for name, port in ports.items():
            wait_port(pods[name], port, seconds=20)
        for pod in pods.values():
            mesh.start_proxy(pod)
        result["pods"] = {"ok": True, "rows": [{"name": p.name, "ip": p.ip, "meshed": p.meshed,
                                                "ready_ms": round((time.monotonic() - p.proxy_started) * 1000) if p.proxy else None} for p in mesh.pods]}
        say("\nNAME       ADDRESS       MESHED")
        for p in mesh.pods:
            say(f"{p.name:10} {p.ip:13} {'yes' if p.meshed else 'control plane' if p is mesh.control else 'no'}")

        client = pods["client"]
        say(f"\n== load for {ARGS.seconds} s: hey to web, redis to cache, SQL to db")
        before = {name: pod.metrics() for name, pod in pods.items()}
        refreshes = client.metric("control_identity_cert_refreshes_total", result="ok")
        began = time.monotonic()
        hey_out = {}

        def hey():
            hey_out["text"] = apps["client"].run("/usr/bin/hey", "-z", f"{ARGS.seconds}s", "-c", "10", "-q", "50", "-H", f"X-Canary: {CANARY}-request",
                                                 f"http://{web['ip']}/", timeout=ARGS.seconds + 60)
        load = threading.Thread(target=hey)
        load.start()
        redis = apps["client"].run("/usr/bin/redis-cli", "-h", cache["ip"], "SET", "key", CANARY).strip()
        sql = apps["client"].run("/usr/bin/mariadb", "-h", db["ip"], "-P", "13306", "-uapp", "-papp", "--skip-ssl", "-N", "-e", f"SELECT '{CANARY}', 6*7").split()
        load.join()
        mesh.wait(lambda: client.metric("control_identity_cert_refreshes_total", result="ok") > refreshes, "the client's leaf is renewed", seconds=30)
        seconds = time.monotonic() - began
        after = {name: pod.metrics() for name, pod in pods.items()}
        rows = stat(before, after, seconds)
        codes = dict(re.findall(r"\[(\d+)\]\s+(\d+) responses", hey_out["text"]))
        sent = sum(map(int, codes.values()))
        clean = sent > 0 and set(codes) == {"200"} and "Error distribution" not in hey_out["text"]
        if not clean:
            say(hey_out["text"][-800:])
            for pod in pods.values():
                say(pod.name, [line for line in pod.log().splitlines() if "failed" in line or "WARN" in line or "H2FAIL" in line][-5:])
        result["stat"] = {"ok": clean and {"web-0", "web-1"} <= {r["name"] for r in rows} and all(r["success"] == 1 for r in rows)
                          and redis == "OK" and sql == [CANARY, "42"], "rows": rows, "requests": sent, "redis": redis, "sql": sql}
        say("\nNAME       SUCCESS      RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99")
        for r in rows:
            say(f"{r['name']:10} {r['success']:7.2%} {r['rps']:8.1f} {r['p50']:11.1f}ms {r['p95']:11.1f}ms {r['p99']:11.1f}ms")

        edges = []
        for name, text in after.items():
            for labels, value in series(text, "tcp_open_total"):
                if labels.get("direction") == "outbound" and labels.get("peer") == "dst" and value > 0:
                    edges.append({"src": name, "dst": labels.get("dst_pod", labels["target_addr"]), "client_id": pods[name].identity,
                                  "server_id": labels.get("server_id", ""), "secured": labels["tls"] == "true"})
        want = {("client", "web-0"), ("client", "web-1"), ("client", "cache"), ("client", "db")}
        result["edges"] = {"ok": want <= {(e["src"], e["dst"]) for e in edges} and all(e["secured"] for e in edges), "rows": edges}
        say("\nSRC        DST        CLIENT                 SERVER                 SECURED")
        for e in edges:
            say(f"{e['src']:10} {e['dst']:10} {e['client_id'].split('.serviceaccount')[0]:22} {e['server_id'].split('.serviceaccount')[0]:22} {'√' if e['secured'] else '-'}")

        def status(pod):
            return pod.curl("-o", "/dev/null", "-w", "%{http_code}", "-H", f"X-Canary: {CANARY}-request", f"http://{admin['ip']}/")
        allowed, denied, unmeshed = status(client), status(pods["stranger"]), status(plain)
        result["policy"] = {"ok": (allowed, denied, unmeshed) == ("200", "403", "403"), "client": allowed, "stranger": denied, "unmeshed": unmeshed}
        say(f"\npolicy: only client may speak to admin: client {allowed}, stranger {denied}, unmeshed {unmeshed}")

        renewed = client.metric("control_identity_cert_refreshes_total", result="ok") - refreshes
        result["rotation"] = {"ok": renewed >= 1 and clean, "renewals": int(renewed), "requests": sent, "failed": 0 if clean else None}
        say(f"rotation: {int(renewed)} renewal(s) of the client's certificate, {sent} requests, {'none' if clean else 'some'} failed")

        memory = {p.name: memory_of(p.proxy.pid) for p in pods.values()}
        memory["control plane"] = memory_of(mesh.control_process.pid)
        result["memory"] = {"ok": all(m["rss_kib"] < 64 * 1024 for m in memory.values()), "processes": memory}
        say("\nPROCESS          RSS KiB   ANONYMOUS KiB")
        for name, m in memory.items():
            say(f"{name:15} {m['rss_kib']:8} {m['anonymous_kib']:15}")

        plain_text = plain.curl("-H", f"X-Canary: {CANARY}-request", f"http://{web['ip']}/")
        time.sleep(1)
        tcpdump.terminate()
        tcpdump.wait()
        meshed_ips = {p.ip: p.name for p in pods.values()} | {p.ip6: p.name for p in pods.values()}
        flows = read_flows(capture)
        between = [f for f in flows if f.client[0] in meshed_ips and f.server[0] in meshed_ips and f.payload()]
        tls = [f for f in between if f.is_tls()]
        leaked = [f for f in between if CANARY.encode() in f.payload()]
        seen = [f for f in flows if f.client[0] in (plain.ip, plain.ip6) and CANARY.encode() in f.payload()]
        result["capture"] = {"ok": len(between) > 0 and len(tls) == len(between) and not leaked and len(seen) > 0, "flows": len(between), "tls": len(tls),
                             "with_canary": len(leaked), "unmeshed_with_canary": len(seen)}
        say(f"\ncapture: {len(between)} flows between meshed pods, {len(tls)} are TLS end to end, canary in {len(leaked)}; "
            f"in the unmeshed client's flows it is found {len(seen)} time(s) ({len(plain_text)} bytes answered)")
    if ARGS.output == "json":
        print(json.dumps(result, indent=2))
    bad = [key for key, value in result.items() if not value["ok"]]
    say("\nall of it holds" if not bad else f"\ndoes not hold: {', '.join(bad)}")
    return 1 if bad else 0


PARSER = argparse.ArgumentParser()
PARSER.add_argument("--bin", required=True)
PARSER.add_argument("--cache", required=True)
PARSER.add_argument("--seconds", type=int, default=15)
PARSER.add_argument("--output", choices=["text", "json"], default="text")
ARGS = PARSER.parse_args()
try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
