#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures tulle beside HAProxy, Envoy and plain forwarders in one run, against the budgets. docs/performance.md explains it.

Everything lives in network namespaces of its own and goes at the end, also after Ctrl-C.
"""
import argparse
import datetime
import json
import os
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import budgets  # noqa: E402
import callgrind  # noqa: E402
import memory  # noqa: E402
import report  # noqa: E402
from lab import KINDS, Lab, Mesh, versions  # noqa: E402
from loads import ROWS, warm_up  # noqa: E402
from meter import machine_load  # noqa: E402

SECTIONS = ("load", "memory", "services", "start", "sizes", "control", "profile")


def say(text):
    print(f"-- {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def rounds_of_load(lab, kinds, rows, rounds, seconds):
    """{kind: {row: [figures of each round]}}; rounds alternate between the kinds, row by row."""
    out = {kind: {row: [] for row in rows} for kind in kinds}
    warm = set()
    for number in range(rounds):
        for row in rows:
            mode, measure = ROWS[row]
            # Each round begins with another kind, so that none is always measured after the same neighbour.
            turn = number % len(kinds)
            for kind in kinds[turn:] + kinds[:turn]:
                pair = lab.pair(kind, mode)
                if (kind, mode) not in warm:
                    warm_up(pair)
                    warm.add((kind, mode))
                out[kind][row].append(measure(pair, seconds))
            told = ", ".join(f"{kind} {next(iter(out[kind][row][-1].values())):,.4g}" for kind in kinds)
            say(f"round {number + 1} of {rounds}, {row} ({next(iter(out[kinds[0]][row][-1]))}): {told}")
    return out


def medians(rounds):
    return {kind: {row: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for row, runs in rows.items() if runs} for kind, rows in rounds.items()}


def measure(args):
    kinds = [kind for kind in KINDS if kind in args.kinds.split(",")]
    rows = [row for row in ROWS if args.rows == "all" or row in args.rows.split(",")]
    sections = [one for one in SECTIONS if args.sections == "all" or one in args.sections.split(",")]
    seconds, rounds = (5 if args.quick else 10), args.rounds or (3 if args.quick else 5)
    about = {"date": datetime.date.today().isoformat(), "quick": args.quick, "rounds": rounds, "seconds": seconds, "load_before": machine_load()}
    about["commit"] = subprocess.run(["git", "-c", "safe.directory=*", "describe", "--always", "--dirty"], cwd=os.path.dirname(os.path.abspath(__file__)), text=True,
                                     capture_output=True, check=False).stdout.strip()
    runs, own = {}, {}
    with Mesh(args.bin, name="bench") as mesh:
        try:
            lab = Lab(mesh, args.nginx, args.envoy if "envoy" in kinds else "")
            about.update(versions(lab))
            figures = {kind: {} for kind in kinds}
            # Memory comes first: proxies are fresh then.
            if "memory" in sections:
                for kind, got in memory.Memory(lab, kinds, args.quick, say).run().items():
                    figures[kind].update(got)
            if "load" in sections:
                runs = rounds_of_load(lab, kinds, rows, rounds, seconds)
                for kind, got in medians(runs).items():
                    figures[kind].update(got)
            if "tulle" in kinds:
                own = figures["tulle"]
                lab.pair("tulle", "h1")
                if "start" in sections:
                    say("exec to /ready")
                    own["start_up"] = memory.start_up(lab)
                if "services" in sections:
                    own.setdefault("memory", {}).update(memory.against_services(lab, args.quick, say))
                if "profile" in sections:
                    own["profile"] = callgrind.run(lab, say)
                if "sizes" in sections:
                    own["sizes"] = memory.sizes(mesh.bin)
        finally:
            # A second Ctrl-C must not stop the cleaning.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            say("cleaning up")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "control" in sections and "tulle" in kinds:
        say("tulle-control with 50 pods")
        own["control"] = memory.control_memory(args.bin, args.quick)
    valid, why = budgets.valid(figures)
    return {"about": about, "pairs": figures, "budgets": budgets.table(figures, runs), "valid": valid, "why": why, "rounds": runs}


def parse():
    parser = argparse.ArgumentParser(prog="./run bench", description="Measures tulle beside HAProxy, Envoy and plain forwarders.")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer rounds, shorter waits")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each row (5; with --quick 3)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which pairs: " + ",".join(KINDS))
    parser.add_argument("--rows", default="all", help="which rows of load: " + ",".join(ROWS))
    parser.add_argument("--sections", default="all", help="what to measure: " + ",".join(SECTIONS))
    parser.add_argument("--record", action="store_true", help="write the run into docs/performance.md")
    parser.add_argument("--compare", metavar="FILE", help="say which rows are worse by more than 5 %% than in this earlier result; exit 1 if any surely is")
    parser.add_argument("--from", dest="stored", metavar="FILE", help="measure nothing, take this result (to compare or record)")
    for name in ("--bin", "--nginx", "--envoy", "--out", "--docs"):
        parser.add_argument(name, required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name, chosen, known in (("kinds", args.kinds, KINDS), ("rows", args.rows, (*ROWS, "all")), ("sections", args.sections, (*SECTIONS, "all"))):
        for one in chosen.split(","):
            if one not in known:
                parser.error(f"--{name}: '{one}' is none of {', '.join(known)}")
    return args


def main():
    args = parse()

    def end(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, end)
    before = None
    if args.compare:
        with open(args.compare) as f:
            before = json.load(f)
    if args.stored:
        with open(args.stored) as f:
            document = json.load(f)
    else:
        document = measure(args)
        report.write(document, args.out)
        say(f"written: {args.out}/result.json and charts")
    if args.record:
        report.record(document, args.docs)
    print(json.dumps(document, indent=1) if args.output == "json" else report.text(document))
    if before is not None:
        told, worse = report.comparison(before, document)
        print(told, file=sys.stderr if args.output == "json" else sys.stdout)
        return 1 if worse else 0
    return 0


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
