# SPDX-License-Identifier: Apache-2.0
"""The budget table: what is compared, and with what. Values are ratios to HAProxy of the same run wherever that is possible."""

KIB, MIB = 1024, 1024 * 1024


class Budget:
    """A row. value(figures) → number or None; better is "low" or "high"; unit "×" marks a ratio to another kind."""

    def __init__(self, name, limit, value, better="low", unit="×", rounds=None):
        self.name, self.limit, self.value, self.better, self.unit, self.rounds = name, limit, value, better, unit, rounds

    def met(self, value):
        return value <= self.limit if self.better == "low" else value >= self.limit


def ratio(row, key, over="haproxy"):
    def value(figures):
        return figures["tulle"][row][key] / figures[over][row][key]
    return value


def added(row, key):
    """What the pair adds to the direct path, ours ÷ HAProxy's."""
    def value(figures):
        direct = figures["direct"][row][key]
        theirs = figures["haproxy"][row][key] - direct
        return (figures["tulle"][row][key] - direct) / theirs if theirs > 0 else None
    return value


def own(row, key, scale=1.0):
    return lambda figures: figures["tulle"][row][key] * scale


def worst(prefix, suffix, scale=1.0, minus=None):
    """The larger of both sides' memory; with minus, the growth over that reading."""
    def value(figures):
        memory = figures["tulle"]["memory"]
        out = []
        for side in ("client", "server"):
            one = memory.get(f"{prefix}_{side}_{suffix}")
            if one is None:
                continue
            out.append(one - (memory[f"{minus}_{side}_{suffix}"] if minus else 0))
        return max(out) * scale if out else None
    return value


def growth_after(what):
    def value(figures):
        memory = figures["tulle"]["memory"]
        return max(memory[f"{what}_after_{side}_rss_kib"] / memory[f"idle_{side}_rss_kib"] for side in ("client", "server"))
    return value


def profile(mode, key):
    return lambda figures: sum(figures["tulle"]["profile"][mode][side][key] for side in ("client", "server"))


def services(figures):
    memory = figures["tulle"]["memory"]
    return (memory["services_5000_rss_kib"] - memory["services_1_rss_kib"]) / KIB


BUDGETS = [
    Budget("CPU per HTTP/1.1 request at 2,000/s ÷ HAProxy", 0.85, ratio("http1_steady", "cpu_us"), rounds=("http1_steady", "cpu_us")),
    Budget("CPU per HTTP/2 request at 2,000/s ÷ HAProxy", 0.85, ratio("http2_steady", "cpu_us"), rounds=("http2_steady", "cpu_us")),
    Budget("CPU per HTTP/1.1 request at 2,000/s ÷ Envoy", 0.35, ratio("http1_steady", "cpu_us", "envoy")),
    Budget("CPU per HTTP/2 request at 2,000/s ÷ Envoy", 0.35, ratio("http2_steady", "cpu_us", "envoy")),
    Budget("HTTP/1.1 requests/s at saturation ÷ HAProxy", 1.1, ratio("http1_full", "rate"), "high", rounds=("http1_full", "rate")),
    Budget("HTTP/2 requests/s at saturation ÷ HAProxy", 1.0, ratio("http2_full", "rate"), "high", rounds=("http2_full", "rate")),
    Budget("CPU per HTTP/1.1 request at saturation ÷ HAProxy", 0.9, ratio("http1_full", "cpu_us"), rounds=("http1_full", "cpu_us")),
    Budget("CPU per HTTP/2 request at saturation ÷ HAProxy", 0.9, ratio("http2_full", "cpu_us"), rounds=("http2_full", "cpu_us")),
    Budget("added latency HTTP/1.1 p50 ÷ HAProxy's", 0.75, added("http1_steady", "p50_us")),
    Budget("added latency HTTP/1.1 p99 ÷ HAProxy's", 0.75, added("http1_steady", "p99_us")),
    Budget("added latency HTTP/2 p50 ÷ HAProxy's", 0.75, added("http2_steady", "p50_us")),
    Budget("added latency HTTP/2 p99 ÷ HAProxy's", 0.75, added("http2_steady", "p99_us")),
    Budget("CPU per new client connection with one request ÷ HAProxy", 0.95, ratio("connections", "cpu_us"), rounds=("connections", "cpu_us")),
    Budget("CPU per new opaque mTLS connection, both proxies", 700, own("opaque_connections", "cpu_us"), unit="µs"),
    Budget("opaque TCP, CPU per byte ÷ HAProxy", 0.6, ratio("opaque_stream", "cpu_s_per_gb"), rounds=("opaque_stream", "cpu_s_per_gb")),
    Budget("idle RSS, the larger proxy", 4.0, worst("idle", "rss_kib", 1 / KIB), unit="MiB"),
    Budget("idle anonymous memory, the larger proxy", 1.0, worst("idle", "anon_kib", 1 / KIB), unit="MiB"),
    Budget("+ 1,000 idle plain client connections", 6.0, worst("plain", "rss_kib", 1 / KIB, minus="idle"), unit="MiB"),
    Budget("+ 1,000 idle mTLS HTTP/2 connections", 12.0, worst("mtls", "rss_kib", 1 / KIB, minus="idle"), unit="MiB"),
    Budget("RSS after the plain connections closed ÷ idle", 1.2, growth_after("plain")),
    Budget("RSS after the mTLS connections closed ÷ idle", 1.2, growth_after("mtls")),
    Budget("RSS with 5,000 services in the cluster minus with 1", 1.0, services, unit="MiB"),
    Budget("heap allocations per HTTP/1.1 request, both proxies", 0.01, profile("http1", "allocations"), unit=""),
    Budget("heap allocations per HTTP/2 request, both proxies", 0.01, profile("http2", "allocations"), unit=""),
    Budget("proxy, exec to /ready", 300, own("start_up", "ready_ms"), unit="ms"),
    Budget("tulle-proxy, stripped", 5.0, own("sizes", "tulle_proxy_bytes", 1e-6), unit="MB"),
    Budget("proxy image (proxy and node, compressed)", 4.0,
           lambda f: (f["tulle"]["sizes"]["tulle_proxy_gzip_bytes"] + f["tulle"]["sizes"]["tulle_node_gzip_bytes"]) * 1e-6, unit="MB"),
    Budget("tulle-control with 50 pods, RSS", 16.0, own("control", "control_50_pods_rss_kib", 1 / KIB), unit="MiB"),
]


def table(figures, rounds):
    """The list that the JSON carries: rows whose parts were measured."""
    out = []
    for budget in BUDGETS:
        try:
            value = budget.value(figures)
        except KeyError:
            continue
        if value is None:
            continue
        row = {"name": budget.name, "value": round(value, 4), "limit": budget.limit, "better": budget.better, "unit": budget.unit, "met": bool(budget.met(value))}
        if budget.rounds:
            name, key = budget.rounds
            ours, theirs = rounds.get("tulle", {}).get(name, []), rounds.get("haproxy", {}).get(name, [])
            each = [a[key] / b[key] for a, b in zip(ours, theirs)]
            if each:
                row["spread"] = [round(min(each), 4), round(max(each), 4)]
        out.append(row)
    return out


def valid(figures):
    """(did the machine behave as one on which the budgets mean something, why not); (None, why) if peers were not measured."""
    try:
        ratio_ = figures["haproxy"]["http1_steady"]["cpu_us"] / figures["forwarder"]["http1_steady"]["cpu_us"]
    except KeyError:
        return None, "the peers were not measured: ratios are missing"
    if abs(ratio_ - 1.25) > 0.25 * 1.25:
        return False, f"HAProxy ÷ forwarder is {ratio_:.2f}, not 1.25 ± 25 %"
    for kind, rows in figures.items():
        for row in ("http1_steady", "http2_steady"):
            if rows.get(row, {}).get("reached", 1) < 0.95:
                return False, f"{kind}, {row}: the machine was too busy for 2,000 requests/s ({rows[row]['reached'] * 100:.0f} %)"
    return True, f"HAProxy ÷ forwarder is {ratio_:.2f}"


def worsened(before, now, by=0.05):
    """Rows of `now` that are worse than in `before` by more than `by`: [(name, before, now, change, noise)]; noise: the
    rounds of both runs overlap, so that the machine may be to blame."""
    old = {row["name"]: row for row in before["budgets"]}
    out = []
    for row in now["budgets"]:
        was = old.get(row["name"])
        if was is None:
            continue
        a, b = was["value"], row["value"]
        if row["better"] == "high":
            change = a / b - 1 if b > 0 else float("inf")
        elif a <= 0:
            change = 0.0 if b <= 0.01 else float("inf")
        else:
            change = b / a - 1
        if change <= by:
            continue
        noise = False
        if "spread" in was and "spread" in row:
            noise = row["spread"][0] <= was["spread"][1] and was["spread"][0] <= row["spread"][1]
        out.append({"name": row["name"], "before": a, "now": b, "change": round(change, 4), "noise": noise})
    missing = [name for name in old if name not in {row["name"] for row in now["budgets"]}]
    return out, missing
