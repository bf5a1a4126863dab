# SPDX-License-Identifier: Apache-2.0
"""Cases of tests with several processes: run one after the other, TAP on standard output, exit 1 if one failed. Also the handles
on a load and on a gate that run inside a pod."""
import json
import os
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # told to end, a test takes away what it made


class Cases:
    """`check(name, function, *arguments)` runs a case if it is wanted; `end()` prints the plan and exits."""

    def __init__(self, wanted):
        self.wanted, self.results, self.figures = wanted, [], {}
        self.began = time.monotonic()

    def wants(self, *functions):
        return not self.wanted or any(f.__name__ in self.wanted for f in functions)

    def check(self, function, *arguments, details=None):
        name = function.__name__
        if not self.wants(function):
            return
        began = time.monotonic()
        try:
            figures = function(*arguments)
            if figures:
                self.figures[name] = figures
            self.results.append(True)
            print(f"ok {len(self.results)} - {name} ({time.monotonic() - began:.1f} s)" + (f" # {json.dumps(figures)}" if figures else ""), flush=True)
        except Exception:  # noqa: BLE001 - one failing case must not hide the others
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            if details:
                try:
                    details()
                except Exception as error:  # noqa: BLE001
                    print(f"# no details: {error}")
            self.results.append(False)
            print(f"not ok {len(self.results)} - {name}", flush=True)

    def end(self):
        print(f"1..{len(self.results)}")
        print(f"# {time.monotonic() - self.began:.0f} s in all", flush=True)
        sys.exit(0 if self.results and all(self.results) else 1)


class Load:
    """load.py in a pod, from now until end()."""

    def __init__(self, pod, kind, host, port, **options):
        argv = []
        for key, value in options.items():
            argv += [f"--{key}"] if value is True else [f"--{key}", str(value)]
        self.process = pod.popen(PYTHON, os.path.join(HERE, "load.py"), kind, host, str(port), *argv, pipes=True)
        self.began = time.monotonic()

    def end(self):
        out, err = self.process.communicate(timeout=60)
        if self.process.returncode != 0:
            raise RuntimeError(f"load.py: {err[-2000:]}")
        self.result = json.loads(out)
        return self.result

    def failures(self, after=0.0, before=float("inf")):
        return [f for f in self.result["failures"] if after <= f[0] < before]


class Gate:
    def __init__(self, pod, port, host, target):
        self.process = pod.popen(PYTHON, os.path.join(HERE, "gate.py"), str(port), host, str(target), pipes=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line.startswith("ok"):
            raise RuntimeError(f"gate: {line}{self.process.stderr.read()}")
        return int(line.split()[1])

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.answer()


def memory(pid):
    """Anonymous resident memory of a process, bytes."""
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("RssAnon")).split()[1]) * 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def until(condition, what, seconds=10.0, every=0.02):
    """Waits for the condition; the seconds it took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        value = condition()
        if value:
            return time.monotonic() - began
        time.sleep(every)
    raise TimeoutError(f"not within {seconds} s: {what}")


def run_in(pod, program, *arguments, timeout=120):
    """A short Python program in a pod; what it printed."""
    done = subprocess.run(["ip", "netns", "exec", pod.netns, PYTHON, "-c", program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{pod.name}: exit {done.returncode}: {done.stderr[-1500:]}{done.stdout[-500:]}")
    return done.stdout.strip()
