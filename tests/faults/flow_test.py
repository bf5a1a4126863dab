#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Back-pressure: a slow reader stops its sender, holds no memory in the proxies and hurts nobody else.

usage: flow_test.py BIN_DIR [CASE...]      (root; prints TAP; TULLE_SOAK=1: as long as issue 3 says)
"""
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import PORTS, World  # noqa: E402
from cases import HERE, PYTHON, Cases, memory  # noqa: E402
from mesh import Mesh  # noqa: E402

GIB, MIB = 1 << 30, 1 << 20
RATE = 32 * 1024
SECONDS = 20 if os.environ.get("TULLE_SOAK") else 8


def taken(pod, *which):
    """Bytes that the mesh has taken from the application on its busiest connection of these, and those that wait in the
    application's own send buffer: the kernel makes that up to tcp_wmem (4 MiB) large, with a proxy or without."""
    most = (0, 0)
    lines = pod.run("ss", "-tinHO", *which).splitlines()
    for line in lines:
        sent, queued = re.search(r"bytes_acked:(\d+)", line), line.split()[2]
        most = max(most, (int(sent.group(1)) if sent else 0, int(queued)))
    return most


def slow(w, kind, service, what, n=1):
    return [w.client.popen(PYTHON, os.path.join(HERE, "slow_reader.py"), kind, service["ip"], str(service["port"]), what, str(RATE),
                           str(SECONDS), pipes=True) for _ in range(n)]


def measured(w, kind, service, what, app_port, n=1, other=None):
    """Others first without, then beside the slow readers."""
    other = other or w.single["http"]
    pids = [w.a.proxy.pid, w.client.proxy.pid]
    load = w.load(other, rate=100, connections=4)
    time.sleep(SECONDS)
    load.end()
    alone = load.result
    before = [memory(pid) for pid in pids]
    load = w.load(other, rate=100, connections=4)
    readers = slow(w, kind, service, what, n)
    peak, given = [0, 0], (0, 0)
    end = time.monotonic() + SECONDS - 0.5
    time.sleep(0.5)
    while time.monotonic() < end:
        peak = [max(p, memory(pid) - b) for p, pid, b in zip(peak, pids, before)]
        given = max(given, taken(w.a, "sport", "=", f":{app_port}"))
        time.sleep(0.25)
    read = 0
    for reader in readers:
        out, err = reader.communicate(timeout=30)
        assert reader.returncode == 0, err
        read += int(out)
    load.end()
    out = {"taken_MiB": round(given[0] / MIB, 2), "own_buffer_MiB": round(given[1] / MIB, 2), "read_KiB": read // 1024, "memory_KiB_server_client": [p // 1024 for p in peak],
           "p99_ms_alone_beside": [alone["calm"], load.result["calm"]], "failed": load.result["failed"]}
    assert read >= 0.6 * n * RATE * SECONDS, out
    assert given[0] - read / n <= 2 * MIB, out
    assert max(peak) <= MIB * max(1, n // 4), out
    # Who is held up by the slow readers waits for as long as they do; some milliseconds are the machine's.
    assert load.result["failed"] == 0 and load.result["calm"] <= max(2 * alone["calm"], alone["calm"] + 25), out
    return out


def a_gib_to_a_slow_reader_of_http1(w):
    return measured(w, "h1", w.single["http"], f"/flood?bytes={GIB}", PORTS["http"])


def a_gib_to_a_slow_reader_of_http2(w):
    return measured(w, "h2", w.single["h2"], f"/flood?bytes={GIB}", PORTS["h2"])


def a_gib_to_a_slow_reader_of_bytes(w):
    return measured(w, "bytes", w.single["bytes"], f"flood {GIB}", PORTS["bytes"])


def forty_slow_readers_do_not_hold_the_connection(w):
    """Their windows together are more than that of a connection between proxies: the others get another one."""
    return measured(w, "h1", w.single["http"], f"/flood?bytes={GIB}", PORTS["http"], n=40)


UPLOAD = """
import socket,sys,time
host,port,head,seconds=sys.argv[1],int(sys.argv[2]),sys.argv[3],float(sys.argv[4])
s=socket.create_connection((host,port),10)
s.sendall(head.encode().decode('unicode_escape').encode())
s.setblocking(False)
sent,last,end=0,time.monotonic(),time.monotonic()+seconds
while time.monotonic()<end:
    try:
        sent+=s.send(b'x'*65536)
    except BlockingIOError:
        time.sleep(0.01)
print(sent)
"""


def uploads_stop_before_slow_applications(w):
    """The same toward the server: what the client could send without being read."""
    out = {}
    cases = {"h1": (w.single["http"], f"POST /read?rate={RATE} HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: {GIB}\\r\\n\\r\\n"),
             "bytes": (w.single["bytes"], f"read {RATE}\\n")}
    pids = [w.a.proxy.pid, w.client.proxy.pid]
    for name, (service, head) in cases.items():
        before = [memory(pid) for pid in pids]
        sender = w.client.popen(PYTHON, "-c", UPLOAD, service["ip"], str(service["port"]), head, str(SECONDS), pipes=True)
        time.sleep(SECONDS - 1)
        grown = [memory(pid) - b for pid, b in zip(pids, before)]
        given, own = taken(w.client, "dst", service["ip"], "and", "dport", "=", f":{service['port']}")
        text, err = sender.communicate(timeout=30)
        assert sender.returncode == 0, err
        out[name] = {"taken_MiB": round(given / MIB, 2), "own_buffer_MiB": round(own / MIB, 2), "sent_MiB": round(int(text) / MIB, 2),
                     "memory_KiB": [g // 1024 for g in grown]}
        assert 0 < given - RATE * (SECONDS - 1) <= 2 * MIB and max(grown) <= MIB, out
    return out


CASES = [a_gib_to_a_slow_reader_of_http1, a_gib_to_a_slow_reader_of_http2, a_gib_to_a_slow_reader_of_bytes,
         forty_slow_readers_do_not_hold_the_connection, uploads_stop_before_slow_applications]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="flow") as mesh:
        w = World(mesh)
        for service in (w.single["http"],):
            assert w.ok(service)
        warm = w.load(w.single["http"], rate=200, connections=4)
        time.sleep(2)
        warm.end()
        for case in CASES:
            cases.check(case, w, details=w.logs)
    cases.end()


if __name__ == "__main__":
    main()
