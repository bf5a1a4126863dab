#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two workloads in two network namespaces in one process: each has its own identity, policies, metrics, listeners and sockets.

usage: two_workloads_test.py BIN_DIR      (root; prints TAP)
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../support")]
from cases import PYTHON, Cases, until  # noqa: E402
from mesh import PROXY_UID, Mesh, wait_port  # noqa: E402


def each_serves_in_its_own_namespace(mesh):
    web, client = mesh.pod("web"), mesh.pod("client")
    web.ports = [8080]
    service = mesh.service("web", web, 80, 8080)
    web.meshed = client.meshed = True
    mesh.write_manifests()
    mesh.start_control()
    web.popen(PYTHON, os.path.join(HERE, "app.py"), "http", "8080", log="http.log")
    wait_port(web, 8080)
    argv = []
    for pod in (web, client):
        path = os.path.join(pod.files, "settings")
        with open(path, "wb") as f:
            f.write(b"".join(f"{name}={value}\0".encode() for name, value in mesh.settings(pod).items()))
        mesh.redirect(pod)
        argv += [f"/run/netns/{pod.netns}", path]
    # In the machine's own namespace, with the one right that entering others takes.
    process = mesh.spawn("setpriv", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups", "--inh-caps=+sys_admin",
                         "--ambient-caps=+sys_admin", os.path.join(mesh.bin, "two-workloads"), *argv)
    for pod in (web, client):
        until(lambda pod=pod: pod.curl("http://127.0.0.1:4191/ready").strip() == "ready", f"{pod.name} is ready", 15)
    for host in (service["ip"], f"[{service['ip6']}]"):
        answer = json.loads(client.curl(f"http://{host}/path"))
        headers = {name.lower(): value for name, value in answer["headers"]}
        assert headers["l5d-client-id"] == client.identity and answer["path"] == "/path", answer
    # What one counts the other does not.
    assert client.metric("request_total", direction="outbound", server_id=web.identity) == 2
    assert client.metric("request_total", direction="inbound", target_port="8080") == 0
    assert web.metric("request_total", direction="inbound", client_id=client.identity) == 2
    assert web.metric("request_total", direction="outbound") == 0
    assert process.poll() is None
    with open(f"/proc/{process.pid}/net/tcp6") as f:
        assert ":102F " not in f.read(), "it listens in the machine's own namespace"


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="two") as mesh:
        cases.check(each_serves_in_its_own_namespace, mesh)
    cases.end()


main()
