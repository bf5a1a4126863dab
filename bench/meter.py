# SPDX-License-Identifier: Apache-2.0
"""Readings of the kernel about running processes."""
import os
import re


def cpu_ns(pids):
    """Time that all threads of these processes have run, by the scheduler's account (ns, not ticks)."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
    return total


def memory_kib(pid):
    """(resident, anonymous) of a process."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        text = f.read()
    return tuple(int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1)) for name in ("Rss", "Anonymous"))


def machine_load():
    """How busy the machine is apart from us: 1-minute load average."""
    return os.getloadavg()[0]
