#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The first example, for real: `tulle local` runs the pods of this folder, and this program looks at them from outside.

usage: demo.py --bin DIR --cache DIR [--seconds N] [--output json]

Prints what it saw; exit 0 only if all of it holds. Ctrl-C and the end leave nothing behind.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/netns"))
from capture import read_flows  # noqa: E402

CANARY = "canary-7c1f3b2e"
NAME = "first"
LIFETIME, SKEW = "10s", "2s"  # of leaf certificates: so short that one is renewed every 8.4 s, under load


def say(*words):
    print(*words, file=sys.stderr if ARGS.output == "json" else sys.stdout, flush=True)


class Local:
    """A mesh that `tulle local` runs, as long as the `with` lasts."""

    def __enter__(self):
        try:
            self.tulle("local", "up", "--name", NAME, "-f", HERE, "--cache", ARGS.cache, "--identity-issuance-lifetime", LIFETIME,
                       "--identity-clock-skew-allowance", SKEW, "--wait", "180", capture=False)
            self.status = json.loads(self.tulle("local", "status", "--name", NAME, "-o", "json"))
        except BaseException:
            self.__exit__()
            raise
        self.pods = {pod["name"]: pod for pod in self.status["pods"]}
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: this cleans up already
        self.tulle("local", "down", "--name", NAME, capture=False)

    @staticmethod
    def tulle(*argv, capture=True, check=True, timeout=300):
        done = subprocess.run([os.path.join(ARGS.bin, "tulle"), *argv], stdout=subprocess.PIPE if capture else sys.stderr.fileno(), text=True,
                              check=False, timeout=timeout, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise RuntimeError(f"tulle {' '.join(argv[:3])} … ended with {done.returncode}")
        return done.stdout

    def run(self, pod, *argv, check=True, timeout=300):
        """A command in a pod's application container."""
        return self.tulle("local", "exec", "--name", NAME, f"shop/{pod}", "--", *argv, check=check, timeout=timeout)

    def container(self, pod, name):
        return next(c for c in self.pods[pod]["containers"] if c["name"] == name)

    def metric(self, pod, family):
        """The sum of a family in the proxy's own metrics."""
        text = self.inside(pod, "curl", "-s", "--max-time", "5", "http://127.0.0.1:4191/metrics")
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{family}[{{ ]", line))

    def inside(self, pod, *argv):
        """A program of the machine in a pod's network."""
        return subprocess.run(["nsenter", f"--net=/proc/{self.pods[pod]['sandbox']['pid']}/ns/net", *argv], stdout=subprocess.PIPE, text=True,
                              check=True, timeout=60).stdout


class Capture:
    """Every packet that crosses the fabric, seen on its way in and on its way out."""

    def __init__(self, fabric):
        self.file = tempfile.NamedTemporaryFile(prefix="tulle-demo-", suffix=".pcap")
        self.process = subprocess.Popen(["nsenter", f"--net=/proc/{fabric}/ns/net", "tcpdump", "-i", "any", "-s", "0", "-B", "65536", "-U", "-w", self.file.name,
                                         "tcp"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        for line in self.process.stderr:
            if "listening on" in line:
                break
        else:
            raise RuntimeError("tcpdump does not start")
        self.told = ""
        self.reader = threading.Thread(target=self.listen, daemon=True)
        self.reader.start()

    def listen(self):
        self.told = self.process.stderr.read()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
        self.reader.join(5)
        lost = re.search(r"(\d+) packets? dropped by kernel", self.told)
        return read_flows(self.file.name), int(lost.group(1)) if lost else 0


def memory_of(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        text = f.read()
    return {key: int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) for key, name in (("rss_kib", "Rss"), ("anonymous_kib", "Anonymous"))}


def show(rows, *columns):
    """A table; a column is (title, how to write a row's value)."""
    cells = [[title for title, _ in columns]] + [[text(row) for _, text in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def look_at_pods(mesh, took):
    rows = [{"name": p["name"], "namespace": p["namespace"], "ip": p["ip"], "meshed": p["meshed"], "ready": p["ready"]} for p in mesh.status["pods"]]
    say(f"\n== pods, all ready after {took:.1f} s")
    show(rows, ("NAMESPACE", lambda r: r["namespace"]), ("NAME", lambda r: r["name"]), ("IP", lambda r: r["ip"]),
         ("MESHED", lambda r: "yes" if r["meshed"] else "no"))
    return {"ok": all(r["ready"] for r in rows) and sum(r["meshed"] for r in rows) == 7, "rows": rows, "ready_after_s": round(took, 1)}


def load(mesh):
    """hey to web, Redis to cache and SQL to db, all by name, while `tulle stat` looks."""
    say(f"\n== load for {ARGS.seconds} s from client: hey to web, redis-cli to cache, mariadb to db")
    out = {}
    renewals = mesh.metric("client", "control_identity_cert_refreshes_total")

    def hey():
        out["hey"] = mesh.run("client", "hey", "-z", f"{ARGS.seconds}s", "-c", "10", "-q", "50", "-H", f"X-Canary: {CANARY}-request", "http://web/",
                              timeout=ARGS.seconds + 60)
    thread = threading.Thread(target=hey)
    thread.start()
    time.sleep(1)
    out["redis"] = mesh.run("client", "redis-cli", "-h", "cache", "SET", "key", CANARY).strip()
    out["sql"] = mesh.run("client", "mariadb", "-h", "db", "-P", "13306", "-uapp", "-papp", "--skip-ssl", "-N", "-e", f"SELECT '{CANARY}', 6*7").split()
    window = max(2, ARGS.seconds - 3)
    out["stat"] = json.loads(mesh.tulle("stat", "--name", NAME, "-n", "shop", "-t", f"{window}s", "-o", "json", "pod"))
    thread.join()
    out["renewals"] = int(mesh.metric("client", "control_identity_cert_refreshes_total") - renewals)
    codes = dict(re.findall(r"\[(\d+)\]\s+(\d+) responses", out.get("hey", "")))
    out["sent"] = sum(map(int, codes.values()))
    out["failed"] = out["sent"] - int(codes.get("200", 0)) + sum(map(int, re.findall(r"^\s+\[(\d+)\]\t", out["hey"].partition("Error distribution")[2], re.M)))
    return out


def look_at_stat(seen):
    rows = [r for r in seen["stat"] if r["success"] is not None]
    say(f"\n== tulle stat pod -n shop: {seen['sent']} requests, {seen['failed']} failed")
    show(rows, ("NAME", lambda r: r["name"]), ("SUCCESS", lambda r: f"{r['success']:.2%}"), ("RPS", lambda r: f"{r['rps']:.1f}"),
         *((f"LATENCY_{p.upper()}", lambda r, p=p: f"{r['latency_ms_' + p]:.1f}ms") for p in ("p50", "p95", "p99")))
    say(f"redis-cli says {seen['redis']}, mariadb says {' '.join(seen['sql'])}")
    return {"ok": seen["sent"] > 0 and seen["failed"] == 0 and {"web-0", "web-1"} <= {r["name"] for r in rows} and all(r["success"] == 1 for r in rows)
            and seen["redis"] == "OK" and seen["sql"] == [CANARY, "42"],
            "rows": rows, "requests": seen["sent"], "failed": seen["failed"], "redis": seen["redis"], "sql": seen["sql"]}


def look_at_edges(mesh):
    rows = json.loads(mesh.tulle("edges", "--name", NAME, "-n", "shop", "-o", "json", "pod"))
    say("\n== tulle edges pod -n shop")
    short = lambda name: name.split(".serviceaccount")[0]  # noqa: E731
    show(rows, ("SRC", lambda r: r["src"]), ("DST", lambda r: r["dst"]), ("CLIENT", lambda r: short(r["client_id"])),
         ("SERVER", lambda r: short(r["server_id"])), ("SECURED", lambda r: r["no_tls_reason"] or "√"))
    secured = {(r["src"], r["dst"]) for r in rows if not r["no_tls_reason"] and r["client_id"] and r["server_id"]}
    return {"ok": {("client", "web-0"), ("client", "web-1"), ("client", "cache"), ("client", "db")} <= secured, "rows": rows}


def look_at_policy(mesh):
    codes = {pod: mesh.run(pod, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"X-Canary: {CANARY}-request", "http://admin/")
             for pod in ("client", "stranger", "plain")}
    say(f"\n== policy: only client may speak to admin: client {codes['client']}, stranger {codes['stranger']}, unmeshed plain {codes['plain']}")
    return {"ok": codes == {"client": "200", "stranger": "403", "plain": "403"}, **codes}


def look_at_rotation(seen):
    say(f"\n== rotation: leaves live {LIFETIME}; {seen['renewals']} renewal(s) of the client's under load, {seen['sent']} requests, {seen['failed']} failed")
    return {"ok": seen["renewals"] >= 1 and seen["failed"] == 0, "renewals": seen["renewals"], "requests": seen["sent"], "failed": seen["failed"]}


def look_at_memory(mesh):
    processes = {}
    for pod in mesh.status["pods"]:
        for container in pod["containers"]:
            if container["name"] in ("linkerd-proxy", "control") and container["state"] == "running":
                processes[f"{container['name']} of {pod['name']}"] = memory_of(container["pid"])
    say("\n== memory")
    show(processes.items(), ("PROCESS", lambda r: r[0]), ("RSS KiB", lambda r: str(r[1]["rss_kib"])), ("ANONYMOUS KiB", lambda r: str(r[1]["anonymous_kib"])))
    return {"ok": len(processes) == 8 and all(m["rss_kib"] <= 16 * 1024 for m in processes.values()), "processes": processes}


def look_at_capture(mesh, capture):
    mesh.run("plain", "curl", "-s", "-H", f"X-Canary: {CANARY}-request", "http://web/")
    time.sleep(1)
    flows, lost = capture.end()
    meshed = {ip: p["name"] for p in mesh.status["pods"] for ip in p["ips"] if p["meshed"]}
    plain = set(mesh.pods["plain"]["ips"])
    between = [f for f in flows if f.client[0] in meshed and f.server[0] in meshed and f.payload()]
    opaque = [f for f in between if not f.is_tls()]
    leaked = [f for f in between if CANARY.encode() in f.payload()]
    seen = [f for f in flows if f.client[0] in plain and CANARY.encode() in f.payload()]
    for f in opaque:
        say(f"not TLS: {meshed[f.client[0]]} to {meshed[f.server[0]]}:{f.server[1]}: {f.payload()[:80]!r}")
    say(f"\n== capture: {len(between)} flows between meshed pods, {len(between) - len(opaque)} are TLS records from end to end, the canary is in "
        f"{len(leaked)};\n   in the unmeshed pod's flows the same program finds it in {len(seen)}; {lost} packets were lost")
    return {"ok": len(between) >= 4 and not opaque and not leaked and len(seen) > 0 and lost == 0, "flows": len(between),
            "tls": len(between) - len(opaque), "with_canary": len(leaked), "unmeshed_with_canary": len(seen), "packets_lost": lost}


def main():
    began = time.monotonic()
    say("== tulle local up -f examples/first")
    with Local() as mesh:
        result = {"pods": look_at_pods(mesh, time.monotonic() - began)}
        capture = Capture(mesh.status["fabric"]["pid"])
        try:
            seen = load(mesh)
            result["stat"] = look_at_stat(seen)
            result["edges"] = look_at_edges(mesh)
            result["policy"] = look_at_policy(mesh)
            result["rotation"] = look_at_rotation(seen)
            result["memory"] = look_at_memory(mesh)
            result["capture"] = look_at_capture(mesh, capture)
        finally:
            capture.end()
    if ARGS.output == "json":
        print(json.dumps(result, indent=2))
    bad = [key for key, value in result.items() if not value["ok"]]
    say("\nall of it holds" if not bad else f"\ndoes not hold: {', '.join(bad)}")
    return 1 if bad else 0


PARSER = argparse.ArgumentParser()
PARSER.add_argument("--bin", required=True)
PARSER.add_argument("--cache", required=True)
PARSER.add_argument("--seconds", type=int, default=15, help="of load; at least 10, so that a certificate is renewed meanwhile")
PARSER.add_argument("--output", choices=["text", "json"], default="text")
ARGS = PARSER.parse_args()
ARGS.seconds = max(ARGS.seconds, 10)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
except (RuntimeError, subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
    say(f"demo: {error}")
    sys.exit(1)
