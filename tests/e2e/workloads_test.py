#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Workloads get into the mesh, or stay out, as users do it: the rows 4.x, 5.x, 7.4, 7.5, 8.2 and 9.1 to 9.3 of the acceptance list."""
import os
import re
import sys
import time

import yaml

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import Cluster, container, deployment, job, pod, report, server, service, wait  # noqa: E402
from mesh import MESH, describe, events, install, meshed, metrics, ready_pods, total, uninstall  # noqa: E402

NS, OTHER, SCRAPES = "work", "test", "monitoring"
NODE_EXPORTER = "kube-prometheus-stack-prometheus-node-exporter"


def pods_of(c, ns, app):
    return [p for p in c.get("pods", ns=ns, selector=f"app={app}") if "deletionTimestamp" not in p["metadata"]]


def it_installs(c):
    install(c, "--set", "proxy.enableShutdownEndpoint=true")


def row_4_1_explicitly_through_a_pipe(c):
    c.apply(deployment("web", NS, server()), deployment("api", NS, server()), service("web", NS))
    for name in ("web", "api"):
        c.rollout(NS, f"deploy/{name}")
    assert not [p for p in c.get("pods", ns=NS) if meshed(p)]
    # Read once: between two readings a status may change.
    _, after, said = c.shell(f"kubectl get -n {NS} deploy -o yaml | tee before.yaml | linkerd inject -", folder=c.run_dir)
    with open(os.path.join(c.run_dir, "before.yaml"), encoding="utf-8") as f:
        before = f.read()
    assert 'deployment "web" injected' in said and 'deployment "api" injected' in said, said
    # A List stays a List, and beside the annotations nothing is another.
    assert yaml.safe_load(after)["kind"] == "List"
    added = [line.strip() for line in after.splitlines() if line not in before.splitlines()]
    assert set(added) == {"annotations:", "linkerd.io/inject: enabled"} or set(added) == {"linkerd.io/inject: enabled"}, added
    c.shell(f"kubectl get -n {NS} deploy -o yaml | linkerd inject - | kubectl apply -f -")
    for name in ("web", "api"):
        c.rollout(NS, f"deploy/{name}")
        p = wait(lambda n=name: (ps := pods_of(c, NS, n)) and len(ps) == 1 and ps[0], "one pod is left", 60)
        assert meshed(p) and all(s["ready"] for s in p["status"]["initContainerStatuses"][1:] + p["status"]["containerStatuses"])
    # And out of it again.
    c.shell(f"kubectl get -n {NS} deploy api -o yaml | linkerd uninject - | kubectl apply -f -")
    c.rollout(NS, "deploy/api")
    wait(lambda: [meshed(p) for p in pods_of(c, NS, "api")] == [False], "it is without a proxy", 60)


def row_4_2_implicitly_by_an_annotation(c):
    c.kubectl("annotate", "ns", NS, "linkerd.io/inject=enabled")
    time.sleep(2)
    assert [meshed(p) for p in pods_of(c, NS, "api")] == [False], "running pods stay as they are"
    c.kubectl("-n", NS, "rollout", "restart", "deploy/api")
    c.rollout(NS, "deploy/api")
    wait(lambda: [meshed(p) for p in pods_of(c, NS, "api")] == [True], "it has a proxy", 60)


def row_4_3_implicitly_in_a_manifest(c):
    with c.namespace(OTHER, annotations={"linkerd.io/inject": "enabled"}):
        # At once: the webhook for annotated namespaces may not know it yet, the one for all others does.
        c.apply(deployment("web", OTHER, server()))
        c.rollout(OTHER, "deploy/web")
        assert [meshed(p) for p in pods_of(c, OTHER, "web")] == [True]


def row_4_4_a_pod_stays_out(c):
    c.apply(deployment("out", NS, server(), annotations={"linkerd.io/inject": "disabled"}))
    c.rollout(NS, "deploy/out")
    assert [meshed(p) for p in pods_of(c, NS, "out")] == [False]
    why = wait(lambda: events(c, NS, "InjectionSkipped", "Deployment/out"), "an Event says why", 30)
    assert why == ['pod has the annotation "linkerd.io/inject: disabled"'], why


def ended(c, name):
    return c.get("pods", ns=NS, selector=f"app={name}")[0]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]


def row_5_1_jobs_and_cron_jobs_end(c):
    spec = job("hourly", NS, container(args=["get", "http://web/"]))["spec"]
    c.apply(job("good", NS, container(args=["get", "http://web/"])), job("bad", NS, container(command=["sh", "-c", "exit 7"])),
            {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "hourly", "namespace": NS}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": spec}}})
    c.kubectl("-n", NS, "create", "job", "hourly-now", "--from=cronjob/hourly")
    for name, how in (("good", "Complete"), ("bad", "Failed"), ("hourly-now", "Complete")):
        c.kubectl("-n", NS, "wait", f"--for=condition={how}", f"job/{name}", "--timeout=90s")
    assert ended(c, "bad") == 7 and all(meshed(p) for app in ("good", "bad", "hourly") for p in pods_of(c, NS, app))


def row_5_1_a_chart_with_a_hook_finishes(c):
    chart = os.path.join(c.run_dir, "hooked")
    os.makedirs(os.path.join(chart, "templates"), exist_ok=True)
    with open(os.path.join(chart, "Chart.yaml"), "w", encoding="ascii") as f:
        f.write("apiVersion: v2\nname: hooked\nversion: 0.1.0\n")
    hook = job("hook", NS, container(args=["get", "http://web/"]))
    hook["metadata"]["annotations"] = {"helm.sh/hook": "pre-install"}
    with open(os.path.join(chart, "templates/hook.yaml"), "w", encoding="ascii") as f:
        yaml.safe_dump(hook, f)
    c.helm("install", "hooked", chart, "-n", NS, "--timeout", "90s")
    assert [meshed(p) for p in pods_of(c, NS, "hook")] == [True]
    c.helm("uninstall", "hooked", "-n", NS)


def row_5_2_a_job_that_stays_out_ends(c):
    stays = job("stays-out", NS, container(args=["get", "http://web/"]))
    stays["spec"]["template"]["metadata"]["annotations"] = {"linkerd.io/inject": "disabled"}
    c.apply(stays)
    c.kubectl("-n", NS, "wait", "--for=condition=Complete", "job/stays-out", "--timeout=90s")
    assert [meshed(p) for p in pods_of(c, NS, "stays-out")] == [False]


def row_5_3_a_command_wrapped_in_linkerd_await(c):
    """On a native sidecar and on one in classic order, where the wrapper ends the proxy."""
    c.images("await")
    for name, classic in (("await-native", {}), ("await-classic", {"config.linkerd.io/proxy-enable-native-sidecar": "false"})):
        wrapped = job(name, NS, container(image="localhost/await:1", command=["/linkerd-await", "--shutdown", "--", "/testd", "get", "http://web/"]))
        wrapped["spec"]["template"]["metadata"]["annotations"] = classic
        c.apply(wrapped)
        c.kubectl("-n", NS, "wait", "--for=condition=Complete", f"job/{name}", "--timeout=90s")


def row_5_3_the_misspelt_wrapper_is_named(c):
    """As the guide has it: the Job fails at once, says what there is not, and its proxy keeps no pod alive."""
    wrong = job("misspelt", NS, container(image="localhost/await:1", command=["linked-await", "option", "/testd", "get", "http://web/"]))
    c.apply(wrong)
    c.kubectl("-n", NS, "wait", "--for=condition=Failed", "job/misspelt", "--timeout=90s")
    state = pods_of(c, NS, "misspelt")[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert "linked-await" in state["message"] and state["exitCode"] != 0, state


def a_debug_container_sees_the_traffic(c):
    """By annotation; what it sees between meshed pods is no HTTP, and inside the pod it is."""
    c.apply(deployment("seen", NS, server(), annotations={"linkerd.io/inject": "enabled", "config.linkerd.io/enable-debug-sidecar": "true"}), service("seen", NS))
    c.rollout(NS, "deploy/seen")
    p, = ready_pods(c, NS, "app=seen")
    assert [i["name"] for i in p["spec"]["containers"]][-1] == "linkerd-debug", p["spec"]["containers"]
    c.apply(pod("asks", NS, container(command=["sh", "-c", "for i in 1 2 3; do wget -qO- http://seen/ || exit 1; done; sleep 3600"]), annotations={"linkerd.io/inject": "enabled"}))
    wait(lambda: re.search(rf"eth0 .* IP6? {re.escape(p['status']['podIP'])}.4143 > ", c.logs(NS, p["metadata"]["name"], "-c", "linkerd-debug")),
         "packets of the mesh are in its log", 30)
    for command in ("ss -ltn", "ip addr", "openssl version", "curl -s http://localhost:4191/metrics"):
        assert c.exec(NS, p["metadata"]["name"], *command.split(), container="linkerd-debug").strip(), command
    assert "HTTP/1.1" in c.exec(NS, p["metadata"]["name"], "sh", "-c", "curl -s http://localhost:8080/ > /dev/null & timeout 3 tcpdump -i lo -A -c 12 port 8080",
                                container="linkerd-debug", check=False)
    c.kubectl("-n", NS, "delete", "deploy/seen", "pod/asks", "--grace-period=0", "--force")


def daemon_set(name, ns):
    d = deployment(name, ns, server(9100), hostNetwork=True)
    return {**d, "kind": "DaemonSet", "spec": {k: v for k, v in d["spec"].items() if k != "replicas"}}


def row_7_4_on_the_network_of_the_host(c):
    c.apply(daemon_set(NODE_EXPORTER, NS))
    c.rollout(NS, f"ds/{NODE_EXPORTER}")
    assert not [p for p in pods_of(c, NS, NODE_EXPORTER) if meshed(p)]
    why = wait(lambda: events(c, NS, "InjectionSkipped", f"DaemonSet/{NODE_EXPORTER}"), "an Event says why", 30)
    assert why == ["hostNetwork is enabled"], why


def row_7_5_and_by_a_pipe_it_is_refused(c):
    code, out, said = c.shell(f"kubectl get daemonset -n {NS} -o yaml | linkerd inject -", check=False)
    assert code == 1 and not out.strip(), (code, out[:200])
    assert "Error transforming resources:" in said and f"failed to inject daemonset/{NODE_EXPORTER}: hostNetwork is enabled" in said, said


def row_8_2_without_a_token_of_its_own(c):
    for name, mounts in (("token", True), ("no-token", False)):
        c.apply(deployment(name, NS, server(), automountServiceAccountToken=mounts))
        c.rollout(NS, f"deploy/{name}")
        assert [meshed(p) for p in pods_of(c, NS, name)] == [True]


def ingress(c, *flags):
    flags = " ".join(flags)
    c.shell(f"kubectl get deployment traefik -o yaml -n kube-system | linkerd inject --ingress {flags} - | kubectl apply -f -")
    c.rollout("kube-system", "deploy/traefik")
    return wait(lambda: (ps := ready_pods(c, "kube-system", "app=traefik")) and len(pods_of(c, "kube-system", "traefik")) == 1 and ps[0], "one pod is left", 60)


def api_server(c):
    """What a pod in kube-system gets from the API server, over TLS of its own."""
    return c.exec("kube-system", "deploy/traefik", "curl", "-sk", "-m", "10", "https://kubernetes.default.svc/version", container="app")


def rows_9_1_to_9_3_an_ingress_controller_in_kube_system(c):
    c.images("curl")
    c.apply(deployment("traefik", "kube-system", container(image="localhost/curl:1", command=["sleep", "infinity"])))
    try:
        c.rollout("kube-system", "deploy/traefik")
        p = ingress(c)
        assert meshed(p) and p["metadata"]["annotations"]["linkerd.io/inject"] == "ingress"
        assert '"major": "1"' in api_server(c)  # 9.3: nothing is skipped
        text = c.exec("kube-system", "deploy/traefik", "curl", "-s", "-m", "10", f"http://web.{NS}/", container="app")
        assert text.startswith("{"), text
        seen = metrics(c, "kube-system", p["metadata"]["name"])
        assert total(seen, "tcp_open_total", r'direction="outbound",peer="dst".*tls="true"') > 0
        p = ingress(c, "--skip-outbound-ports", "443")
        assert p["metadata"]["annotations"]["config.linkerd.io/skip-outbound-ports"] == "443"
        assert '"major": "1"' in api_server(c)
        assert total(metrics(c, "kube-system", p["metadata"]["name"]), "tcp_open_total", r'direction="outbound",peer="src"') == 0, "443 does not pass the proxy"
    finally:
        c.kubectl("-n", "kube-system", "delete", "deploy", "traefik", "--ignore-not-found")


def a_meshed_prometheus_scrapes_proxies_and_control_plane(c):
    with c.namespace(SCRAPES, annotations={"linkerd.io/inject": "enabled"}):
        try:
            c.install_prometheus(SCRAPES)
            assert [meshed(p) for p in pods_of(c, SCRAPES, "prometheus")] == [True]
            c.exec(NS, "deploy/web", "/testd", "get", "http://web/", container="app")
            wait(lambda: {labels["container"] for labels, value in c.query(SCRAPES, "up") if value == 1} >= {"linkerd-proxy", "control"}, "both are scraped", 60)
            wait(lambda: any(value > 0 for _, value in c.query(SCRAPES, f'request_total{{namespace="{NS}",direction="inbound"}}')), "requests are counted", 30)
            wait(lambda: any(value > 0 for _, value in c.query(SCRAPES, f'grpc_server_started_total{{namespace="{MESH}"}}')), "calls of the control plane are counted", 30)
            wait(lambda: not c.query(SCRAPES, f'up{{container=~"linkerd-proxy|control",namespace=~"{NS}|{MESH}"}} == 0'), "every target is up", 30)
        finally:
            c.uninstall_prometheus(SCRAPES)


CASES = [it_installs, row_4_1_explicitly_through_a_pipe, row_4_2_implicitly_by_an_annotation, row_4_3_implicitly_in_a_manifest, row_4_4_a_pod_stays_out,
         row_5_1_jobs_and_cron_jobs_end, row_5_1_a_chart_with_a_hook_finishes, row_5_2_a_job_that_stays_out_ends, row_5_3_a_command_wrapped_in_linkerd_await, row_5_3_the_misspelt_wrapper_is_named,
         a_debug_container_sees_the_traffic, row_7_4_on_the_network_of_the_host, row_7_5_and_by_a_pipe_it_is_refused,
         row_8_2_without_a_token_of_its_own, rows_9_1_to_9_3_an_ingress_controller_in_kube_system, a_meshed_prometheus_scrapes_proxies_and_control_plane]


def main():
    cluster = Cluster()
    with cluster.namespace(NS):
        try:
            report(CASES, cluster, on_failure=lambda: describe(cluster, NS))
        finally:
            uninstall(cluster)


main()
