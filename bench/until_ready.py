#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Starts a program and prints the milliseconds from its exec to the first "ready" of 127.0.0.1:4191; then ends it.

usage: until_ready.py UID PROGRAM     (in the pod's network namespace, with the program's environment)
"""
import os
import signal
import socket
import sys
import time

ASK = b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def ready():
    try:
        with socket.create_connection(("127.0.0.1", 4191), timeout=1) as sock:
            sock.sendall(ASK)
            return b" 200 " in sock.recv(200)
    except OSError:
        return False


uid, program = int(sys.argv[1]), sys.argv[2]
started = time.monotonic()
child = os.fork()
if child == 0:
    os.setgid(uid)
    os.setuid(uid)
    os.execv(program, [program])
while not ready():
    if time.monotonic() - started > 20:
        os.kill(child, signal.SIGKILL)
        sys.exit("not ready within 20 s")
    time.sleep(0.0005)
print((time.monotonic() - started) * 1000)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
