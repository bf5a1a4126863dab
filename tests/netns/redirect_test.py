#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Redirection of a pod's connections by `tulle-node init`, with nf_tables and with the tables of iptables: what other programs read
back from the kernel, and where connections come out.

usage: redirect_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import ctypes
import errno
import os
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
from cases import PYTHON, Cases, until  # noqa: E402

NODE = os.path.join(sys.argv[1], "tulle-node") if len(sys.argv) > 1 else ""
POD, PEER = f"tr{os.getpid()}a", f"tr{os.getpid()}b"
ADDRESS = {POD: ("10.77.0.1", "fd77::1"), PEER: ("10.77.0.2", "fd77::2")}
FLAGS = ["-p", "4143", "-o", "4140", "-u", "2102", "-g", "2103", "--inbound-ports-to-ignore", "4190-4191,25", "--outbound-ports-to-ignore", "81",
         "--subnets-to-ignore", "192.0.2.0/24,2001:db8::/32"]
LEGACY = ["--iptables-mode", "legacy"]
# Says "NAME ADDRESS", where ADDRESS is where the client had wanted to go.
LISTENER = """
import socket, struct, sys
s = socket.create_server(("::", int(sys.argv[2])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, _ = s.accept()
    v4 = c.getsockname()[0].startswith("::ffff:")
    try:
        raw = c.getsockopt(socket.SOL_IP if v4 else socket.IPPROTO_IPV6, 80, 28)
        port = struct.unpack("!2xH", raw[:4])[0]
    except OSError:
        port = 0
    c.sendall(f"{sys.argv[1]} {port}".encode())
    c.close()
"""
CLIENT = """
import os, socket, sys
os.setgid(int(sys.argv[4])); os.setuid(int(sys.argv[3]))
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    print(s.recv(99).decode())
except OSError as error:
    print(type(error).__name__)
"""


def run(*argv, check=True, **options):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def within(netns, *argv, **options):
    return run("ip", "netns", "exec", netns, *argv, **options)


def connect(netns, host, port, uid=0, gid=0):
    return within(netns, PYTHON, "-c", CLIENT, host, str(port), str(uid), str(gid)).strip()


class Net:
    """A pod and a peer, with a cable between them, and listeners."""

    def __enter__(self):
        self.listeners = []
        for netns in (POD, PEER):
            run("ip", "netns", "add", netns)
        run("ip", "link", "add", "eth0", "netns", POD, "type", "veth", "peer", "name", "eth0", "netns", PEER)
        for netns, (v4, v6) in ADDRESS.items():
            for command in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up"], ["addr", "add", v4 + "/24", "dev", "eth0"],
                            ["addr", "add", v6 + "/64", "dev", "eth0", "nodad"]):
                within(netns, "ip", *command)
        for netns, name, port in ((POD, "inbound", 4143), (POD, "outbound", 4140), (POD, "ignored", 25), (POD, "direct", 8080), (PEER, "peer", 80),
                                  (PEER, "peer", 81)):
            self.listeners.append(subprocess.Popen(["ip", "netns", "exec", netns, PYTHON, "-c", LISTENER, name, str(port)]))
        for host, port in ((ADDRESS[POD][0], 4143), (ADDRESS[POD][0], 4140), (ADDRESS[POD][0], 25), (ADDRESS[POD][0], 8080)):
            until(lambda host=host, port=port: "Refused" not in connect(PEER, host, port), f"{port} listens", 10)
        for port in (80, 81):
            until(lambda port=port: "Refused" not in connect(POD, ADDRESS[PEER][0], port), f"{port} listens", 10)
        return self

    def __exit__(self, *_):
        for listener in self.listeners:
            listener.kill()
            listener.wait()
        for netns in (POD, PEER):
            subprocess.run(["ip", "netns", "del", netns], check=False)


def traffic():
    """Where connections come out once they are redirected."""
    for family in (0, 1):
        pod, peer = ADDRESS[POD][family], ADDRESS[PEER][family]
        loopback = ("127.0.0.1", "::1")[family]
        found = {
            "to the pod": connect(PEER, pod, 8080), "to an ignored port": connect(PEER, pod, 25), "out": connect(POD, peer, 80),
            "out to an ignored port": connect(POD, peer, 81), "out, by the proxy": connect(POD, peer, 80, uid=2102),
            "out, by its group": connect(POD, peer, 80, gid=2103), "over loopback": connect(POD, loopback, 8080),
        }
        names = {what: answer.split()[0] for what, answer in found.items()}
        assert names == {"to the pod": "inbound", "to an ignored port": "ignored", "out": "outbound", "out to an ignored port": "peer",
                         "out, by the proxy": "peer", "out, by its group": "peer", "over loopback": "direct"}, (family, found)
        assert (found["to the pod"], found["out"]) == ("inbound 8080", "outbound 80"), found  # the original destination


def saved(tool, counters=False):
    text = within(POD, tool, "-t", "nat", *(["-c"] if counters else []))
    return [line for line in text.splitlines() if line.startswith(("-A", "[", ":"))]


def rules(lines):
    return [line for line in lines if line.startswith("-A")]


def nf_tables():
    with Net():
        out = within(POD, NODE, "init", *FLAGS)
        assert "nf_tables" in out, out
        traffic()
        assert rules(saved("iptables-legacy-save")) == []


def tables_of_iptables():
    """What iptables-save reads is what --simulate says, in both families; another run changes nothing."""
    with Net():
        out = within(POD, NODE, "init", *FLAGS, *LEGACY)
        assert "iptables" in out, out
        v4, v6 = run(NODE, "init", *FLAGS, *LEGACY, "--simulate").split("# IPv6\n")
        for tool, wanted in (("iptables-legacy-save", v4), ("ip6tables-legacy-save", v6)):
            assert rules(saved(tool)) == rules(wanted.splitlines()), (saved(tool), wanted)
        traffic()
        before = saved("iptables-legacy-save"), saved("ip6tables-legacy-save")
        within(POD, NODE, "init", *FLAGS, *LEGACY)
        assert (saved("iptables-legacy-save"), saved("ip6tables-legacy-save")) == before
        traffic()
        assert "table inet tulle" not in within(POD, "nft", "list", "ruleset")


def rules_of_others_stay():
    """With their places, their jumps and their counters; iptables itself still understands the table."""
    with Net():
        for command in ("-N THEIRS", "-N MORE", "-N LAST", "-A THEIRS -p tcp -m multiport --dports 5000,6000:6010 -j MORE", "-A THEIRS -m comment --comment nothing",
                        "-A MORE -g LAST -p udp", "-A PREROUTING -j THEIRS", "-A PREROUTING -p tcp --dport 8081 -j REDIRECT --to-ports 25",
                        "-A POSTROUTING -s 10.88.0.0/16 -j MASQUERADE", "-P INPUT ACCEPT"):
            within(POD, "iptables-legacy", "-t", "nat", *command.split())
        assert connect(PEER, ADDRESS[POD][0], 8081).startswith("ignored")
        theirs = saved("iptables-legacy-save", counters=True)
        assert any(line.startswith("[1:60]") for line in theirs), theirs
        within(POD, NODE, "init", *FLAGS, *LEGACY)
        ours = [line for line in saved("iptables-legacy-save", counters=True) if "proxy-init/" not in line and not line.startswith(":PROXY_INIT")]
        assert ours == theirs, (ours, theirs)
        traffic()
        assert connect(PEER, ADDRESS[POD][0], 8081).startswith("ignored")  # it stands before ours
        # Other flags: their own rules take the place of the old ones.
        within(POD, NODE, "init", "-p", "4143", "-o", "4140", "-r", "8080", *LEGACY)
        text = "\n".join(saved("iptables-legacy-save"))
        assert "redirect-port-8080-to-proxy-port" in text and "ignore-port" not in text and text.count("install-proxy-init-prerouting") == 1, text
        within(POD, "iptables-legacy", "-t", "nat", "-D", "PREROUTING", "-j", "THEIRS")
        within(POD, "iptables-legacy", "-t", "nat", "-F")


def without(calls):
    """Makes system calls fail as kernels do that lack a part: [(number, {argument: value}, errno)] (seccomp, in the child)."""
    def prepare():
        code = [(0x20, 0, 0, 0)]
        for number, arguments, error in calls:
            checks = [(0x20, 0, 0, 16 + 8 * at) for at in arguments]
            skip = 2 * len(checks) + 1
            code.append((0x15, 0, skip, number))
            for (at, value), check in zip(arguments.items(), checks):
                skip -= 2
                code += [check, (0x15, 0, skip, value)]
            code += [(0x06, 0, 0, 0x00050000 | error), (0x20, 0, 0, 0)]
        code.append((0x06, 0, 0, 0x7FFF0000))
        program = b"".join(struct.pack("HBBI", *line) for line in code)
        held = ctypes.create_string_buffer(program, len(program))
        filters = struct.pack("HxxxxxxP", len(code), ctypes.addressof(held))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(22, 2, ctypes.create_string_buffer(filters, len(filters)), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")
    return {"preexec_fn": prepare}


SOCKET, GETSOCKOPT = (41, 55) if os.uname().machine == "x86_64" else (198, 209)
NO_NFTABLES = (SOCKET, {0: 16, 2: 12}, errno.EPROTONOSUPPORT)  # AF_NETLINK, NETLINK_NETFILTER
NO_IPTABLES = (GETSOCKOPT, {1: 0, 2: 64}, errno.ENOPROTOOPT)   # IPT_SO_GET_INFO


def the_kernel_says_which():
    with Net():
        out = within(POD, NODE, "init", *FLAGS, **without([NO_NFTABLES]))
        assert "iptables" in out, out
        traffic()
    with Net():
        out = within(POD, NODE, "init", *FLAGS, *LEGACY, **without([NO_IPTABLES]))
        assert "nf_tables" in out, out
        traffic()
    with Net():
        out = within(POD, NODE, "init", *FLAGS, check=False, **without([NO_IPTABLES, NO_NFTABLES]))
        assert "neither nf_tables" in out, out
        assert connect(PEER, ADDRESS[POD][0], 8080).startswith("direct")


def both_families_or_none():
    with Net():
        out = within(POD, NODE, "init", *FLAGS, *LEGACY, check=False,
                     **without([NO_NFTABLES, (GETSOCKOPT, {1: 41, 2: 64}, errno.ENOENT)]))
        assert "connections are redirected" not in out, out
        assert rules(saved("iptables-legacy-save")) == [] and not any("PROXY_INIT" in line for line in saved("iptables-legacy-save"))
        within(POD, NODE, "init", *FLAGS, *LEGACY, "--ipv6=false")
        assert rules(saved("ip6tables-legacy-save")) == []


def an_ordinary_user_is_told():
    with Net():
        out = within(POD, "setpriv", "--reuid=65534", "--clear-groups", NODE, "init", *FLAGS, *LEGACY, check=False)
        assert "CAP_NET_ADMIN" in out, out


def main():
    cases = Cases(sys.argv[2:])
    for case in (nf_tables, tables_of_iptables, rules_of_others_stay, the_kernel_says_which, both_families_or_none, an_ordinary_user_is_told):
        cases.check(case)
    cases.end()


if __name__ == "__main__":
    main()
