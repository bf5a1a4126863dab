#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs with classic sidecars: they complete with the application's exit code, unchanged, and pods that end keep their way out."""
import os
import sys
import time
from datetime import datetime

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import Cluster, container, deployment, job, report, server, service, wait  # noqa: E402
from mesh import describe, install, uninstall  # noqa: E402

NS = "jobs"
CLASSIC = {"linkerd.io/inject": "enabled", "config.linkerd.io/proxy-enable-native-sidecar": "false"}


def classic(made):
    made["spec"]["template"]["metadata"]["annotations"] = dict(CLASSIC)
    return made


def statuses(c, app):
    pods = c.get("pods", ns=NS, selector=f"app={app}")
    assert len(pods) == 1, [p["metadata"]["name"] for p in pods]
    assert "linkerd-proxy" in [x["name"] for x in pods[0]["spec"]["containers"]], "the proxy is an ordinary container"
    return {s["name"]: s["state"] for s in pods[0]["status"]["containerStatuses"]}


def it_installs(c):
    install(c)
    c.apply(deployment("web", NS, server(), annotations={"linkerd.io/inject": "enabled"}), service("web", NS))
    c.rollout(NS, "deploy/web")


def classic_jobs_complete_with_their_own_exit_code(c):
    # Nothing makes an ordinary container wait for the proxy, so the application asks until it is there.
    ask = "until wget -qO- http://web/ >/dev/null; do sleep 0.2; done; exit {}"
    c.apply(*(classic(job(f"ends-{code}", NS, container(command=["sh", "-c", ask.format(code)]))) for code in (0, 7)))
    c.kubectl("-n", NS, "wait", "--for=condition=Complete", "job/ends-0", "--timeout=90s")
    c.kubectl("-n", NS, "wait", "--for=condition=Failed", "job/ends-7", "--timeout=90s")
    for code in (0, 7):
        ended = {name: state["terminated"] for name, state in statuses(c, f"ends-{code}").items()}
        assert ended["app"]["exitCode"] == code and ended["linkerd-proxy"]["exitCode"] == 0, ended
        app, proxy = (datetime.fromisoformat(ended[name]["finishedAt"].replace("Z", "+00:00")) for name in ("app", "linkerd-proxy"))
        assert (proxy - app).total_seconds() <= 3, (app, proxy)  # times are whole seconds


def a_job_that_fails_is_tried_again_in_its_pod(c):
    """restartPolicy OnFailure: between two tries the proxy stays; after the one that succeeds it leaves."""
    made = classic(job("again", NS, container(command=["sh", "-c", "wget -qO- http://web/ >/dev/null && test -e /w/x || { touch /w/x; exit 1; }"],
                                              volumeMounts=[{"name": "w", "mountPath": "/w"}]), volumes=[{"name": "w", "emptyDir": {}}]))
    made["spec"]["backoffLimit"] = 3
    made["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    c.apply(made)
    c.kubectl("-n", NS, "wait", "--for=condition=Complete", "job/again", "--timeout=120s")
    pod = c.get("pods", ns=NS, selector="app=again")[0]
    restarts = {s["name"]: s["restartCount"] for s in pod["status"]["containerStatuses"]}
    assert restarts == {"app": 1, "linkerd-proxy": 0}, restarts


def an_application_that_shuts_down_can_still_dial(c):
    """TERM comes to proxy and application at once; the application asks web for five seconds more, then ends; the pod goes soon after."""
    script = "trap 'for i in 1 2 3 4 5; do wget -qO- http://web/ >/dev/null && echo served || echo refused; sleep 1; done; exit 0' TERM; while :; do sleep 0.2; done"
    made = classic(deployment("late", NS, container(command=["sh", "-c", script])))
    made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30
    c.apply(made)
    c.rollout(NS, "deploy/late")
    name = c.get("pods", ns=NS, selector="app=late")[0]["metadata"]["name"]
    c.kubectl("-n", NS, "scale", "deploy/late", "--replicas=0")
    began, said = time.monotonic(), ""

    def gone():
        nonlocal said
        said = c.kubectl("-n", NS, "logs", name, "-c", "app", check=False) or said
        return not c.get("pods", ns=NS, selector="app=late")

    wait(gone, "the pod has gone", 40, 0.5)
    assert said.count("served") >= 4 and "refused" not in said, said
    assert time.monotonic() - began < 16, time.monotonic() - began


CASES = [it_installs, classic_jobs_complete_with_their_own_exit_code, a_job_that_fails_is_tried_again_in_its_pod, an_application_that_shuts_down_can_still_dial]


def main():
    cluster = Cluster()
    with cluster.namespace(NS):
        try:
            report(CASES, cluster, on_failure=lambda: describe(cluster, NS))
        finally:
            uninstall(cluster)


main()
