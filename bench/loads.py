# SPDX-License-Identifier: Apache-2.0
"""The clients of the rows. Each returns the figures of one run of a row against one pair."""
import json
import os
import re

from meter import cpu_ns

STEADY_RATE, STEADY_CLIENTS = 200, 10


def _h2load(pair, *args, seconds, log=None):
    form = [] if pair.mode == "h2" else ["--h1"]
    log_args = [f"--log-file={log}"] if log else []
    return pair.client.run("h2load", *form, *args, "-D", str(seconds), *log_args, pair.url, timeout=seconds + 60)


def warm_up(pair):
    if pair.mode == "stream":
        return
    form = [] if pair.mode == "h2" else ["--h1"]
    pair.client.run("h2load", *form, "-n", "2000", "-c", "10", pair.url, timeout=60)


def steady(pair, seconds):
    """2,000 requests/s of ten clients: CPU of the pair, latency."""
    log = os.path.join(pair.client.files, "load.log")
    if os.path.exists(log):
        os.unlink(log)
    before = cpu_ns(pair.pids)
    _h2load(pair, "-c", str(STEADY_CLIENTS), "-m", "1", f"--rps={STEADY_RATE}", seconds=seconds, log=log)
    used = cpu_ns(pair.pids) - before
    with open(log) as f:
        times = sorted(int(line.split()[2]) for line in f)
    if not times:
        raise RuntimeError(f"{pair.kind}, {pair.mode}: no answer at 2,000/s")
    return {"cpu_us": used / 1000 / len(times), "p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100],
            "reached": len(times) / (STEADY_RATE * STEADY_CLIENTS * seconds)}


def saturation(pair, seconds):
    """As many requests as 32 clients get answered."""
    before = cpu_ns(pair.pids)
    out = _h2load(pair, "-c", "32", "-m", "8" if pair.mode == "h2" else "1", seconds=seconds)
    used = cpu_ns(pair.pids) - before
    # "done" counts every answer; h2load takes HAProxy's empty reason phrase for a failure.
    done = int(re.search(r"requests: .*? (\d+) done", out).group(1))
    if done == 0:
        raise RuntimeError(f"{pair.kind}, {pair.mode}: no answer at saturation\n{out[-800:]}")
    return {"rate": done / seconds, "cpu_us": used / 1000 / done}


def new_connections(pair, seconds):
    """A connection for each request: HTTP, or opaque mutual TLS, by the pair's mode."""
    count = 600 * seconds
    before = cpu_ns(pair.pids)
    out = pair.client.run("hey", "-n", str(count), "-c", "8", "-disable-keepalive", pair.url, timeout=180)
    used = cpu_ns(pair.pids) - before
    good = sum(int(n) for n in re.findall(r"\[200\]\s+(\d+) responses", out))
    if good < 0.99 * count:
        raise RuntimeError(f"{pair.kind}, {pair.mode}: {good} of {count} connections were answered\n{out[-800:]}")
    return {"cpu_us": used / 1000 / good, "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))}


def stream(pair, seconds):
    """One TCP stream, as fast as it goes."""
    before = cpu_ns(pair.pids)
    out = pair.client.run("iperf3", "-c", pair.host, "-p", str(pair.port), "-t", str(min(seconds, 8)), "-J", timeout=seconds + 60)
    used = cpu_ns(pair.pids) - before
    got = json.loads(out)["end"]["sum_received"]
    return {"cpu_s_per_gb": used / got["bytes"], "gbit_s": got["bits_per_second"] / 1e9}


# What is measured in each round: row → (mode, function).
ROWS = {
    "http1_steady": ("h1", steady),
    "http2_steady": ("h2", steady),
    "http1_full": ("h1", saturation),
    "http2_full": ("h2", saturation),
    "connections": ("h1", new_connections),
    "opaque_connections": ("bytes", new_connections),
    "opaque_stream": ("stream", stream),
}
