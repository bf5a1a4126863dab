#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Route agreement: spellings of targets and hosts, and what Go, Node, nginx and Python serve for them.
usage: test_routes.py ROUTE_READER WORK_DIR

A policy guards /admin and the host admin.example. What our inbound proxy takes for public, no server here may serve as
admin: each gets the bytes that the proxy would write. What is guarded or refused may be anything."""
import os
import shutil
import socket
import subprocess
import sys
import unittest

import peers
from peers import Program

HERE = os.path.dirname(os.path.abspath(__file__))

TARGETS = r"""
/ /admin /admin/ /admin/x /admin?x /public /administrator /ADMIN /Admin/x /a/b/c.d?e=f/../admin
//admin ///admin/x //x/admin //admin/../admin /admin// //admin.example/admin /x//admin /\admin /\x/admin /x\..\admin \admin
/./admin /../admin /x/../admin /x/./../admin /admin/. /admin/.. /admin/../public /x/y/../../admin /admin/./x /x/../../admin
/.admin /..admin /...//admin /x/.../../admin /admin/..;/ /x/..;/admin /admin; /admin;x /admin;x=y/z /;/admin /;x/admin /x;/../admin
/%61dmin /%41dmin /admi%6e /admin%2f /admin%2Fx /%2fadmin /%2Fadmin/x /x/%2e%2e/admin /x/%2E%2e/admin /x/%2e./admin /x/.%2e/admin
/x%2f..%2fadmin /x/..%2fadmin /x%2f../admin /%2e/admin /%2e%2e/admin /admin%3fx /admin%3b /%5cadmin /x%5c..%5cadmin /x/..%5cadmin
/admin%20 /admin%09 /admin%00 /admin%00x /admin%23 /%2561dmin /%252fadmin /admin%c0%af /%c0%afadmin /%u0061dmin /admin%
/admin# /admin#x /#/admin /?/admin /?x=/admin /admin&x /admin:80 /*/admin /~/admin /admin~ /admin|x /+admin /admin+
http://public.example/admin http://public.example//admin http://public.example/%61dmin http://public.example http://public.example?x
http://admin.example/ http://ADMIN.example./ http://admin.example:80/ http://admin.example:8080/x http://public.example/x/../admin
http://public.example:80/ HTTP://public.example/admin https://public.example/admin http:///admin http:/admin http:admin
http://x@public.example/ http://public.example:/ http://public.example\admin http://public.example#/admin * admin
""".split()
HOSTS = ["public.example", "admin.example", "ADMIN.EXAMPLE", "Admin.Example.", "admin.example:80", "admin.example.:80", "admin.example:",
         "admin.example:8080", "admin.example:80:80", "admin.example:x", "admin.example..", ".admin.example", "admin.example%2e",
         "ad%6din.example", "admin.example/", "admin.example/x", "admin.example,public.example", "public.example,admin.example",
         "x@admin.example", "admin.example@x", "admin.example\\", "admin.example#x", "admin.example?x", "[admin.example]", "[::1]", "",
         "admin_example", "xadmin.example", "localhost", "127.0.0.1"]


def head(target, host, more=()):
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *more, "Connection: close", "", ""]).encode()


def corpus():
    for target in TARGETS:
        for host in ("public.example", "admin.example:80"):
            yield head(target, host)
    for host in HOSTS:
        yield head("/", host)
        yield head("/public?x", host)
        yield head("http://public.example/", host)
        yield f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()
    yield b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    yield b"GET / HTTP/1.0\r\n\r\n"
    yield b"GET /admin HTTP/1.0\r\n\r\n"
    for pair in (("public.example", "admin.example"), ("admin.example", "public.example"), ("admin.example", "admin.example")):
        yield "GET / HTTP/1.1\r\nHost: {}\r\nHost: {}\r\n\r\n".format(*pair).encode()
    for odd in ("Connection: Host", "Host : admin.example", " Host: admin.example", "X: y\nHost: admin.example"):
        yield head("/", "public.example", [odd])
    yield head("/", "public.example", ["X-Forwarded-Host: public.example", "X-Original-URL: /public"])


def serve(argv, ports, **options):
    """A program that prints its ports."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **options)
    unittest.addModuleCleanup(process.stdout.close)
    unittest.addModuleCleanup(process.wait)
    unittest.addModuleCleanup(process.terminate)
    return [int(process.stdout.readline()) for _ in range(ports)]


def nginx():
    port = peers.free_port()
    config = os.path.join(WORK, "routes.conf")
    with open(config, "w") as out:
        out.write(f"""
daemon off; master_process off; pid {WORK}/routes.pid; error_log {WORK}/routes.log crit;
events {{ worker_connections 64; }}
http {{
  access_log off; default_type text/plain;
  client_body_temp_path {WORK}/b; proxy_temp_path {WORK}/p; fastcgi_temp_path {WORK}/f; uwsgi_temp_path {WORK}/u; scgi_temp_path {WORK}/s;
  server {{ listen 127.0.0.1:{port} default_server; server_name public.example;
    location / {{ return 200 public; }} location = /admin {{ return 200 admin; }} location /admin/ {{ return 200 admin; }} }}
  server {{ listen 127.0.0.1:{port}; server_name admin.example; location / {{ return 200 admin; }} }}
}}
""")
    program = Program([peers.need("nginx"), "-p", WORK, "-c", config], port)
    unittest.addModuleCleanup(program.stop)
    return port


def servers():
    go = peers.need("go")
    binary = os.path.join(WORK, "route_go")
    environment = dict(os.environ, GOTOOLCHAIN="local", CGO_ENABLED="0", GO111MODULE="off", GOFLAGS="")
    subprocess.run([go, "build", "-o", binary, os.path.join(HERE, "route_go.go")], env=environment, check=True)
    files = os.path.join(WORK, "files")
    shutil.rmtree(files, ignore_errors=True)
    os.makedirs(os.path.join(files, "admin"))
    for name, text in (("index.html", "public"), ("public", "public"), ("admin/index.html", "admin"), ("admin/x", "admin")):
        with open(os.path.join(files, name), "w") as out:
            out.write(text)
    names = ["Go ServeMux", "Go", "Node", "Node URL", "Node path", "http.server", "WSGI", "nginx"]
    ports = [*serve([binary], 2), *serve([peers.need("node", ), os.path.join(HERE, "route_node.js")], 3),
             *serve([sys.executable, os.path.join(HERE, "route_python.py"), files], 2, stderr=subprocess.DEVNULL), nginx()]
    return dict(zip(names, ports))


def ask(port, request):
    """What the server serves: admin, public, or nothing of the two (an error, a redirect, a reset)."""
    with socket.create_connection(("127.0.0.1", port), 10) as tcp:
        try:
            tcp.sendall(request)
            tcp.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                piece = tcp.recv(65536)
                if not piece:
                    break
                answer += piece
        except ConnectionResetError:
            return None
    if b" 200 " not in answer[:20]:
        return None
    return "admin" if b"admin" in answer.partition(b"\r\n\r\n")[2] else "public"


class RouteAgreement(unittest.TestCase):
    def test_what_is_matched_is_what_is_served(self):
        ports = servers()
        requests = list(corpus())
        told = subprocess.run([READER], input="".join(request.hex() + "\n" for request in requests), capture_output=True,
                              text=True, check=True).stdout.split("\n")
        self.assertEqual(len(told), len(requests) + 1)
        count = {"admin": 0, "public": 0, "refused": 0}
        entered = []
        justified = 0  # refused, and some server would have served admin
        for request, answer in zip(requests, told):
            route, _, forwarded = answer.partition(" ")
            count[route] += 1
            sent = bytes.fromhex(forwarded) if route != "refused" else request
            # The proxy's own hop: one request, then the end.
            sent = sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) if route != "refused" else sent
            served = {name for name, port in ports.items() if ask(port, sent) == "admin"} if route != "admin" else set()
            if route == "public" and served:
                entered.append((request, sorted(served)))
            justified += route == "refused" and bool(served)
        self.assertEqual(entered, [])
        # The corpus says something, and what is plain passes.
        self.assertGreater(justified, 20)
        self.assertGreater(count["public"], 30)
        self.assertGreater(count["admin"], 20)

    def test_plain_spellings_pass(self):
        plain = [head(target, "public.example") for target in
                 ("/", "/public", "/a/b/c.d?e=/../admin", "/administrator", "/a%20b", "/a//b", "/~x;y", "/ADMIN", "/?x=%61")]
        plain += [head("/", host) for host in ("public.example", "Public.Example.", "public.example:80", "[::1]", "127.0.0.1", "")]
        told = subprocess.run([READER], input="".join(request.hex() + "\n" for request in plain), capture_output=True,
                              text=True, check=True).stdout.split("\n")[:-1]
        self.assertEqual([answer.partition(" ")[0] for answer in told], ["public"] * len(plain))


if __name__ == "__main__":
    READER, WORK = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    os.makedirs(WORK, exist_ok=True)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
