#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""When a proxy leaves and what it takes until then (docs/decisions/0006): real programs, and a folder of manifests in the place
of a kubelet that reports on containers.

usage: departure_test.py BIN_DIR [CASE...]      (root; prints TAP)
"""
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../support")]
from cases import PYTHON, Cases, until  # noqa: E402
from mesh import Mesh, wait_port  # noqa: E402

APP = os.path.join(HERE, "app.py")
GRACE = 6  # seconds
RUNS = {"running": {}}


def ended(code):
    return {"terminated": {"exitCode": code}}


class World:
    def __init__(self, mesh):
        self.mesh, self.lives, self.apps = mesh, {}, {}
        self.web, self.plain = mesh.pod("web"), mesh.pod("plain")
        self.web.ports = [8080]
        self.http = mesh.service("web", self.web, 80, 8080)
        self.job, self.service, self.native, self.gone, self.deaf = self.pods = [
            mesh.pod(name) for name in ("job", "service", "native", "gone", "deaf")]
        self.untold = mesh.pod("untold")
        for pod in [self.web, self.untold, *self.pods]:
            pod.meshed = True
        for pod in [*self.pods, self.untold]:
            pod.ports = [8080]
        self.native_pods = {"native"}
        mesh.write_manifests()
        self.manifests = [json.loads(d) for d in open(os.path.join(mesh.manifests, "all.yaml"), encoding="utf-8").read().split("\n---\n")]
        for pod in self.pods:
            self.report(pod, "Never" if pod is self.job else "Always", RUNS)
        mesh.start_control()
        for pod in [self.web, self.untold, *self.pods]:
            self.apps[pod.name] = pod.popen(PYTHON, APP, "http", "8080", log="app.log")
            wait_port(pod, 8080)
            mesh.start_proxy(pod, SHUTDOWN_GRACE_PERIOD=f"{GRACE}s")

    def report(self, pod, policy, app, going=False):
        """What the kubelet says of the pod."""
        document = next(d for d in self.manifests if d["kind"] == "Pod" and d["metadata"]["name"] == pod.name)
        spec, status = document["spec"], document["status"]
        spec["restartPolicy"] = policy
        if pod.name in self.native_pods and "initContainers" not in spec:
            spec["initContainers"] = [{**spec["containers"].pop(0), "restartPolicy": "Always"}]
        status["containerStatuses"] = [{"name": "linkerd-proxy", "state": RUNS}, {"name": "app", "state": app}]
        if going:
            document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.mesh.replace("all.yaml", "\n---\n".join(json.dumps(d) for d in self.manifests))

    def outbound(self, pod):
        return pod.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{self.http['ip']}/")

    def inbound(self, pod):
        """As a pod that is not meshed sees it: "000" where nothing listens."""
        return self.plain.curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{pod.ip}:8080/")

    def stays(self, pod, seconds):
        """It runs all the time, and takes what the application sends."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.outbound(pod) == "200"
            assert pod.proxy.poll() is None, pod.log()[-500:]
            time.sleep(0.1)

    def leaves(self, pod, within):
        took = until(lambda: pod.proxy.poll() is not None, f"the proxy of {pod.name} has left", within)
        assert pod.proxy.returncode == 0, pod.proxy.returncode
        return round(took, 2)


def a_classic_sidecar_leaves_with_its_job(w):
    """Whatever the application's exit code: the proxy's is 0, so that the Job has the application's."""
    assert w.outbound(w.job) == w.inbound(w.job) == "200"
    w.stays(w.job, 1)
    w.report(w.job, "Never", ended(7))
    w.mesh.kill(w.apps["job"])
    return {"left_after_s": w.leaves(w.job, 2)}


def a_container_that_is_started_again_keeps_its_proxy(w):
    for policy, state in (("Always", ended(0)), ("OnFailure", ended(1)), ("Always", RUNS)):
        w.report(w.service, policy, state)
        w.stays(w.service, 0.7)
    assert w.inbound(w.service) == "200"


def on_term_outbound_stays_open_until_the_application_has_ended(w):
    w.service.proxy.send_signal(signal.SIGTERM)
    until(lambda: w.inbound(w.service) == "000", "inbound is closed", 2)
    w.stays(w.service, 2)
    w.report(w.service, "Always", ended(0), going=True)
    return {"left_after_s": w.leaves(w.service, 2)}


def a_native_sidecar_drains_at_once(w):
    w.stays(w.native, 0.5)
    w.native.proxy.send_signal(signal.SIGTERM)
    return {"left_after_s": w.leaves(w.native, 1)}


def who_was_told_nothing_drains_at_once(w):
    assert w.outbound(w.untold) == "200"
    w.untold.proxy.send_signal(signal.SIGTERM)
    return {"left_after_s": w.leaves(w.untold, 1)}


def with_no_control_plane_the_end_of_the_applications_sockets_tells(w):
    """The kubelet reports nothing of a pod that terminates, and the control plane is away."""
    for pod in (w.gone, w.deaf):  # a target that was never seen would be refused
        assert w.outbound(pod) == "200"
    w.mesh.kill(w.mesh.control_process)
    w.gone.proxy.send_signal(signal.SIGTERM)
    w.stays(w.gone, 2)
    w.mesh.kill(w.apps["gone"])
    return {"left_after_s": w.leaves(w.gone, 3.5)}


def the_grace_period_bounds_it_all(w):
    """An application that does not end, and still no control plane."""
    began = time.monotonic()
    w.deaf.proxy.send_signal(signal.SIGTERM)
    w.stays(w.deaf, GRACE - 2)
    w.leaves(w.deaf, GRACE)
    took = time.monotonic() - began
    assert GRACE - 0.5 <= took <= GRACE + 1.5, took


CASES = [a_classic_sidecar_leaves_with_its_job, a_container_that_is_started_again_keeps_its_proxy,
         on_term_outbound_stays_open_until_the_application_has_ended, a_native_sidecar_drains_at_once, who_was_told_nothing_drains_at_once,
         with_no_control_plane_the_end_of_the_applications_sockets_tells, the_grace_period_bounds_it_all]


def main():
    cases = Cases(sys.argv[2:])
    with Mesh(sys.argv[1], name="leave") as mesh:
        w = World(mesh)

        def logs():
            for pod in mesh.pods:
                if pod.proxy:
                    print(f"# --- {pod.name}\n# " + "\n# ".join(pod.log()[-800:].splitlines()))

        for case in CASES:
            cases.check(case, w, details=logs)
    cases.end()


main()
