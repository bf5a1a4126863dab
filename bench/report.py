# SPDX-License-Identifier: Apache-2.0
"""What a run says: tables for people, one document for programs, a section of docs/performance.md."""
import json
import os

from budgets import worsened
from charts import charts

ROWS = [
    ("CPU per HTTP/1.1 request at 2,000/s, µs", "http1_steady", "cpu_us", "{:.1f}"),
    ("CPU per HTTP/2 request at 2,000/s, µs", "http2_steady", "cpu_us", "{:.1f}"),
    ("HTTP/1.1 latency p50 / p99 at 2,000/s, µs", "http1_steady", ("p50_us", "p99_us"), "{:,.0f} / {:,.0f}"),
    ("HTTP/2 latency p50 / p99 at 2,000/s, µs", "http2_steady", ("p50_us", "p99_us"), "{:,.0f} / {:,.0f}"),
    ("HTTP/1.1 requests/s at saturation", "http1_full", "rate", "{:,.0f}"),
    ("HTTP/2 requests/s at saturation", "http2_full", "rate", "{:,.0f}"),
    ("CPU per HTTP/1.1 request at saturation, µs", "http1_full", "cpu_us", "{:.1f}"),
    ("CPU per HTTP/2 request at saturation, µs", "http2_full", "cpu_us", "{:.1f}"),
    ("CPU per new client connection + request, µs", "connections", "cpu_us", "{:.0f}"),
    ("CPU per new opaque connection + request, µs", "opaque_connections", "cpu_us", "{:.0f}"),
    ("opaque TCP, CPU s per GB", "opaque_stream", "cpu_s_per_gb", "{:.2f}"),
    ("opaque TCP, Gbit/s", "opaque_stream", "gbit_s", "{:.1f}"),
    ("idle RSS client / server side, MiB", "memory", ("idle_client_rss_kib", "idle_server_rss_kib"), "{:.1f} / {:.1f}"),
    ("idle anonymous client / server side, MiB", "memory", ("idle_client_anon_kib", "idle_server_anon_kib"), "{:.1f} / {:.1f}"),
    ("RSS with 1,000 plain client connections, MiB", "memory", ("plain_client_rss_kib", "plain_server_rss_kib"), "{:.1f} / {:.1f}"),
    ("RSS after they closed, MiB", "memory", ("plain_after_client_rss_kib", "plain_after_server_rss_kib"), "{:.1f} / {:.1f}"),
    ("RSS with 1,000 mTLS HTTP/2 connections, MiB (server side)", "memory", "mtls_server_rss_kib", "{:.1f}"),
    ("RSS after they closed, MiB (server side)", "memory", "mtls_after_server_rss_kib", "{:.1f}"),
]
BEGIN, END = "<!-- last run: written by ./run bench --record -->", "<!-- end of the last run -->"


def cell(figures, kind, row, keys, form):
    keys = (keys,) if isinstance(keys, str) else keys
    try:
        values = [figures[kind][row][key] for key in keys]
    except KeyError:
        return ""
    if kind in ("direct",) and row != "memory" and keys[0].startswith("cpu"):
        return ""
    return form.format(*(value / 1024 if key.endswith("_kib") else value for key, value in zip(keys, values)))


def grid(head, rows, markdown):
    if markdown:
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        return lines + ["| " + " | ".join(row) + " |" for row in rows]
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    return ["  ".join(text.ljust(widths[0]) if i == 0 else text.rjust(widths[i]) for i, text in enumerate(row)).rstrip() for row in [head] + rows]


def figures_table(document, markdown=False):
    figures = document["pairs"]
    kinds = [kind for kind in ("direct", "forwarder", "tulle", "haproxy", "envoy") if kind in figures]
    rows = []
    for title, row, keys, form in ROWS:
        cells = [cell(figures, kind, row, keys, form) for kind in kinds]
        if any(cells):
            rows.append([title] + cells)
    return grid([""] + kinds, rows, markdown)


def number(value, unit):
    text = f"{value:.3f}" if abs(value) < 0.1 and unit == "" else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return f"{text} {unit}".strip()


def budget_table(document, markdown=False):
    rows = []
    for row in document["budgets"]:
        spread = f"{row['spread'][0]:.2f}–{row['spread'][1]:.2f}" if "spread" in row else ""
        sign = "≤" if row["better"] == "low" else "≥"
        rows.append([row["name"], number(row["value"], row["unit"]), f"{sign} {number(row['limit'], row['unit'])}", "met" if row["met"] else "**over**" if markdown else "OVER",
                     spread])
    return grid(["budget", "value", "limit", "", "rounds"], rows, markdown)


def profile_table(document, markdown=False, top=15):
    lines = []
    for mode, text in (("http1", "HTTP/1.1"), ("http2", "HTTP/2")):
        for side in ("client", "server"):
            one = document["pairs"].get("tulle", {}).get("profile", {}).get(mode, {}).get(side)
            if not one:
                continue
            lines += ["", f"{text} request, {side}'s proxy: {one['instructions']:,.0f} instructions, {one['allocations']:.3f} allocations", ""]
            rows = [[shorten(f["name"], markdown), f"{f['instructions']:,.0f}"] for f in one["functions"][:top]]
            lines += grid(["function", "instructions"], rows, markdown)
            if one["allocations"] >= 0.01:
                lines += ["", "allocated by:"] + [f"- `{shorten(a['name'], False)}`: {a['calls']:.3f}" for a in one["allocators"]]
    return lines


def shorten(name, markdown):
    name = name.replace("(anonymous namespace)::", "").replace("[abi:cxx11]", "").replace("(.actor)", "").split("(")[0].replace("tulle::", "").replace("[clone .actor]", "").strip() or name
    name = name if len(name) <= 70 else name[:67] + "…"
    return f"`{name}`" if markdown else name


def text(document):
    about = document["about"]
    lines = [f"{about['rounds']} rounds, {about['seconds']} s a row; {about['cpu']}, {about['cpus']} CPUs, Linux {about['kernel']}; {about['haproxy']}; load average before: {about['load_before']}", ""]
    lines += figures_table(document) + [""] + budget_table(document) + [""] + profile_table(document)
    valid = {True: "valid", False: "NOT VALID", None: "without peers"}[document["valid"]] + f" ({document['why']})"
    met = sum(row["met"] for row in document["budgets"])
    lines += ["", f"{met} of {len(document['budgets'])} budgets met; the run is {valid}"]
    return "\n".join(lines)


def comparison(before, now):
    """Text and whether something surely worsened."""
    rows, missing = worsened(before, now)
    lines = []
    for row in rows:
        lines.append(f"{'perhaps worse' if row['noise'] else 'WORSE'}: {row['name']}: {row['before']} → {row['now']} ({row['change'] * 100:+.1f} %)"
                     + (" (the rounds of both runs overlap)" if row["noise"] else ""))
    lines += [f"not measured now: {name}" for name in missing]
    if before.get("valid") is False or now.get("valid") is False:
        lines.append("one of the runs is not valid: repeat it on a quiet machine")
    if not rows:
        lines.append("no row is worse by more than 5 %")
    return "\n".join(lines), any(not row["noise"] for row in rows)


def write(document, folder):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "result.json"), "w") as f:
        json.dump(document, f, indent=1)
    for name, svg in charts(document["pairs"]).items():
        with open(os.path.join(folder, name), "w") as f:
            f.write(svg)


def record(document, docs):
    """Puts the run into docs/performance.md and its charts beside it."""
    path, folder = os.path.join(docs, "performance.md"), os.path.join(docs, "performance")
    os.makedirs(folder, exist_ok=True)
    for name, svg in charts(document["pairs"]).items():
        with open(os.path.join(folder, name), "w") as f:
            f.write(svg)
    with open(os.path.join(folder, "last.json"), "w") as f:
        json.dump(document, f, indent=1)
        f.write("\n")
    about = document["about"]
    lines = [BEGIN, "", f"{about['date']}, {about['cpu']} × {about['cpus']}, Linux {about['kernel']}, {about['haproxy']}, {about.get('envoy', 'no Envoy')}; "
             f"{about['rounds']} rounds of {about['seconds']} s, medians; " + ("valid" if document["valid"] else "**not valid**, an indication only") + f" ({document['why']}).",
             "", "### Budgets", ""]
    lines += budget_table(document, True) + ["", "### Figures", ""] + figures_table(document, True) + ["", "![CPU](performance/cpu.svg)", "", "![Rate and latency](performance/speed.svg)",
                                                                                                      "", "![Memory](performance/memory.svg)", "", "### Profile"]
    lines += profile_table(document, True, top=12) + ["", END]
    with open(path) as f:
        old = f.read()
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    with open(path, "w") as f:
        f.write(before + "\n".join(lines) + after)
