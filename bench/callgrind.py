# SPDX-License-Identifier: Apache-2.0
"""User-space instructions and heap allocations per request, by function, from valgrind's callgrind.

The pair of tulle runs under callgrind; after the warm-up a short and a long run of requests pass, and their difference is
the steady path. Allocations are the calls of the allocator's entry points: the programs are
static, so nothing can be put in front of malloc, but callgrind sees each call. It counts all threads, so that a timer or
an update of the control plane may add a few: a figure below 0.01 a request is none.
"""
import glob
import os
import re
import subprocess

FEW = 500
# Called in place of the allocator: who calls these is who allocates.
GO_BETWEENS = re.compile(r"^operator new|^std::.*(basic_string|_Hashtable|_Rb_tree|vector|deque|allocator)|^__gnu_cxx::|^tulle::detail::slab_alloc_slow|^tulle_record_alloc|^OPENSSL_(malloc|zalloc)")
ALLOCATORS = re.compile(r"^(__libc_|__GI___libc_)?(malloc|calloc|realloc|memalign|valloc|pvalloc)$|^(aligned_alloc|posix_memalign)$")


class Profile:
    """Self cost and callers by function of some dumps."""

    def __init__(self, texts):
        self.self_cost, self.callers = {}, {}
        for text in texts:
            self.read(text)

    def read(self, text):
        names = {}
        current, called, skip = None, None, False

        def name(value):
            number, _, rest = value.partition(" ")
            if rest:
                names[number] = rest
            return names.get(number, value)

        for line in text.splitlines():
            if line.startswith("fn="):
                current = name(line[3:])
            elif line.startswith("cfn="):
                called = name(line[4:])
            elif line.startswith("calls="):
                count = int(line[6:].split()[0])
                self.callers.setdefault(called, {}).setdefault(current, 0)
                self.callers[called][current] += count
                skip = True  # the next line is the inclusive cost of these calls
            elif line and (line[0].isdigit() or line[0] in "+-*"):
                if skip:
                    skip = False
                    continue
                parts = line.split()
                if len(parts) > 1 and current is not None:
                    self.self_cost[current] = self.self_cost.get(current, 0) + int(parts[1])

    @property
    def total(self):
        return sum(self.self_cost.values())

    def allocations(self):
        """Calls of the allocator from outside of it."""
        return sum(count for function, callers in self.callers.items() if ALLOCATORS.match(clean(function))
                   for caller, count in callers.items() if not ALLOCATORS.match(clean(caller)))

    def allocators(self):
        """Who allocates, by calls; go-betweens are left out, so that the sum is about, not exactly, that of allocations()."""
        who = {}
        for function, callers in self.callers.items():
            name = clean(function)
            if not ALLOCATORS.match(name) and not GO_BETWEENS.match(name):
                continue
            for caller, count in callers.items():
                caller = clean(caller)
                if not ALLOCATORS.match(caller) and not GO_BETWEENS.match(caller):
                    who[caller] = who.get(caller, 0) + count
        return who


def clean(function):
    return re.sub(r"'\d+$", "", function)


def demangle(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), text=True, capture_output=True, check=False)
    out = done.stdout.splitlines()
    return dict(zip(names, out if len(out) == len(names) else names))


def dump(pod, folder, seen):
    """A scrape of the metrics makes callgrind write what it counted since the last one, and begin anew: the new files."""
    pod.run("curl", "-sf", "-o", "/dev/null", "--max-time", "60", "http://127.0.0.1:4191/metrics", timeout=90)
    new = set(glob.glob(f"{folder}/out.{pod.proxy.pid}*")) - seen
    seen |= new
    return new


def wrap(lab):
    """A folder whose tulle-proxy runs the real one under callgrind."""
    folder = os.path.join(lab.mesh.dir, "valgrind")
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o777)
    for name in ("tulle-control", "tulle-node"):
        if not os.path.exists(os.path.join(folder, name)):
            os.symlink(os.path.join(lab.mesh.bin, name), os.path.join(folder, name))
    path = os.path.join(folder, "tulle-proxy")
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\n# What valgrind does, the kernel takes for the program's own calls.\nexport TULLE_SANDBOX=off\nexec /usr/bin/valgrind -q --vgdb=no --tool=callgrind '--dump-before=tulle::proxy::Proxy::scrape*' --callgrind-out-file={folder}/out.%p "
                f"{lab.mesh.bin}/tulle-proxy\n")
    os.chmod(path, 0o755)
    return folder


def run(lab, say, requests=3000):
    """{mode: {side: {...}}} for HTTP/1.1 and HTTP/2 clients."""
    out = {}
    folder, real = wrap(lab), lab.mesh.bin
    lab.pair("tulle", "h1")
    pods = lab.pods["tulle", "all"]
    for mode, form in (("http1", ["--h1", "-c", "10", "-m", "1"]), ("http2", ["-c", "4", "-m", "4"])):
        say(f"callgrind: {requests} requests, {mode}")
        lab.mesh.bin = folder
        try:
            for pod in pods:
                if pod.proxy is not None:
                    lab.stop(pod.proxy)
                lab.mesh.start_proxy(pod, wait=False, LOG="warn")
        finally:
            lab.mesh.bin = real
        for pod in pods:
            lab.mesh.wait(lambda pod=pod: pod.curl("http://127.0.0.1:4191/ready").strip() == "ready", f"the proxy of {pod.name} is ready under valgrind", pod.log,
                          seconds=90)
        pair = lab.pair("tulle", "h1" if mode == "http1" else "h2")
        pids = {"client": pods[1].proxy.pid, "server": pods[0].proxy.pid}
        pair.client.run("h2load", *form, "-n", "600", pair.url, timeout=180)
        # The difference of a long and a short run: what connections cost to open and close cancels out, and so do scrapes.
        parts, seen = {side: [] for side in pids}, set()
        for count in (None, FEW, FEW + requests):
            if count:
                pair.client.run("h2load", *form, "-n", str(count), pair.url, timeout=300)
            for side, pod in (("client", pods[1]), ("server", pods[0])):
                parts[side].append(dump(pod, folder, seen))
        out[mode] = {side: summary(parts[side][1], parts[side][2], requests) for side in pids}
    lab.restart_tulle()
    return out


def read_dump(paths):
    texts = []
    for path in sorted(paths):
        with open(path) as f:
            texts.append(f.read())
    profile = Profile(texts)
    if profile.total == 0:
        raise RuntimeError("callgrind gave nothing")
    return profile


def summary(short_paths, full_paths, requests, top=30):
    short, full = read_dump(short_paths), read_dump(full_paths)
    by_function = {}
    for sign, profile in ((1, full), (-1, short)):
        for function, cost in profile.self_cost.items():
            by_function[clean(function)] = by_function.get(clean(function), 0) + sign * cost
    calls = full.allocators()
    for function, count in short.allocators().items():
        calls[function] = calls.get(function, 0) - count
    ranked = sorted(by_function.items(), key=lambda item: -item[1])[:top]
    allocators = sorted((item for item in calls.items() if item[1] > 0), key=lambda item: -item[1])[:10]
    shown = demangle([function for function, _ in ranked] + [function for function, _ in allocators])
    return {"instructions": sum(by_function.values()) / requests, "allocations": max(full.allocations() - short.allocations(), 0) / requests,
            "functions": [{"name": shown[function], "instructions": cost / requests} for function, cost in ranked],
            "allocators": [{"name": shown[function], "calls": count / requests} for function, count in allocators]}
