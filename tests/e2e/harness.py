# SPDX-License-Identifier: Apache-2.0
"""What the tests on Kubernetes share: the cluster as an object, manifests in short form, cases reported as TAP."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from urllib.parse import quote

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CTL = os.path.join(HERE, "cluster", "ctl")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # told to end, a test takes away what it made


class Failed(RuntimeError):
    """A command that ended with an error: what it was and what it said."""


def run(*argv, stdin=None, check=True, timeout=180):
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(argv[:12])}: exit {done.returncode}: {(done.stderr.strip() or done.stdout.strip())[-2000:]}")
    return done.stdout


def wait(condition, what, seconds=60, pause=0.3):
    """Asks until the condition gives something true, and returns that."""
    end, last = time.monotonic() + seconds, None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (Failed, subprocess.TimeoutExpired) as error:
            last = error
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}" + (f" (last: {last})" if last else ""))
        time.sleep(pause)


class Cluster:
    def __init__(self):
        self.name = run(CTL, "name").strip()
        self.run_dir = run(CTL, "run").strip()
        self.kubeconfig = os.path.join(self.run_dir, "pki", "admin.kubeconfig")
        self.fabric = f"{self.name}-fab"
        self.nodes = sorted(int(d[4:]) for d in os.listdir(self.run_dir) if d.startswith("node"))

    # --- the API -----------------------------------------------------------------------------------------------
    def kubectl(self, *args, stdin=None, check=True, timeout=180):
        return run("nsenter", f"--net=/run/netns/{self.name}-n1", os.path.join(self.run_dir, "bin/kubectl"),
                   f"--kubeconfig={self.kubeconfig}", *args, stdin=stdin, check=check, timeout=timeout)

    def helm(self, *args, check=True, timeout=300):
        return run("nsenter", f"--net=/run/netns/{self.name}-n1", os.path.join(self.run_dir, "bin/helm"),
                   f"--kubeconfig={self.kubeconfig}", *args, check=check, timeout=timeout)

    def shell(self, script, folder=None, check=True, timeout=300):
        """Runs what a user would type: kubectl, helm, tulle (also as linkerd) are at hand. Gives exit code, output, errors."""
        for name in ("tulle", "linkerd"):
            link = os.path.join(self.run_dir, "bin", name)
            if not os.path.lexists(link):
                os.symlink(os.path.join(TOP, "build/release/bin/tulle"), link)
        done = subprocess.run(["nsenter", f"--net=/run/netns/{self.name}-n1", "bash", "-euo", "pipefail", "-c", script], cwd=folder, text=True, capture_output=True,
                              timeout=timeout, check=False,
                              env={**os.environ, "KUBECONFIG": self.kubeconfig, "PATH": f"{self.run_dir}/bin:{os.environ['PATH']}"})
        if check and done.returncode != 0:
            raise Failed(f"{script.strip()[:200]}: exit {done.returncode}: {(done.stderr.strip() or done.stdout.strip())[-2000:]}")
        return done.returncode, done.stdout, done.stderr

    def apply(self, *objects):
        """Objects as dicts, or YAML as text."""
        text = "\n---\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects)
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, kind, name=None, ns=None, selector=None):
        args = ["get", kind] + ([name] if name else []) + (["-n", ns] if ns else []) + (["-l", selector] if selector else [])
        text = self.kubectl(*args, "-o", "json")
        return json.loads(text) if name else json.loads(text)["items"]

    def exec(self, ns, pod, *command, container=None, check=True, timeout=60):
        return self.kubectl("-n", ns, "exec", pod, *(["-c", container] if container else []), "--", *command, check=check, timeout=timeout)

    def logs(self, ns, pod, *args):
        return self.kubectl("-n", ns, "logs", pod, *args)

    def rollout(self, ns, name, seconds=120):
        return self.kubectl("-n", ns, "rollout", "status", name, f"--timeout={seconds}s", timeout=seconds + 10)

    @contextlib.contextmanager
    def namespace(self, name, **metadata):
        """A namespace for the time of a test; gone with all that is in it before the next one starts."""
        self.delete_namespace(name)
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}})
        wait(lambda: self.get("serviceaccount", "default", ns=name), "the namespace has its service account", 20)
        try:
            yield name
        finally:
            self.delete_namespace(name)

    def delete_namespace(self, name):
        self.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait", "--timeout=120s")

    # --- nodes and network ---------------------------------------------------------------------------------------
    def on(self, node, *command, check=True, timeout=60):
        """Runs a command in a node's namespaces."""
        return run(CTL, "on", str(node), *command, check=check, timeout=timeout)

    def load(self, *archives):
        run(CTL, "load", *archives, timeout=300)

    def kill_node(self, node):
        run(CTL, "kill", str(node))

    def start_node(self, node):
        run(CTL, "start", str(node))

    @contextlib.contextmanager
    def hold(self, part, node=1):
        """Keeps a part of a node (apiserver, kubelet, controllers, ...) killed meanwhile."""
        files = os.path.join(self.run_dir, f"node{node}")
        with open(os.path.join(files, f"hold.{part}"), "w", encoding="ascii"):
            pass
        with open(os.path.join(files, f"pid.{part}"), encoding="ascii") as f:
            self.on(node, "kill", "-KILL", f.read().strip())
        try:
            yield
        finally:
            os.unlink(os.path.join(files, f"hold.{part}"))

    @contextlib.contextmanager
    def capture(self, expression="tcp"):
        """Captures what passes between the nodes; gives the pcap file's path, complete once the block has ended."""
        with tempfile.TemporaryDirectory(prefix="tulle-e2e-") as folder:
            path = os.path.join(folder, "nodes.pcap")
            process = subprocess.Popen(["ip", "netns", "exec", self.fabric, "tcpdump", "-i", "br0", "-U", "-s", "0", "-w", path, "--immediate-mode",
                                        "-Z", "root", expression], stderr=subprocess.PIPE, text=True)
            try:
                while "listening" not in (process.stderr.readline() or "listening"):
                    pass
                yield Capture(path, process)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                process.stderr.close()
                process.wait(timeout=10)

    # --- parts that users have beside the mesh ---------------------------------------------------------------------
    def images(self, *names):
        """Makes these test images if needed and loads them into every node."""
        run(os.path.join(HERE, "cluster", "images"), os.path.join(self.run_dir, "more"), *names, timeout=1200)
        self.load(*(os.path.join(self.run_dir, "more", f"{name}.tar") for name in names))

    def install_cert_manager(self):
        """By its own chart, as users do it; its programs are those that `cluster/build` makes."""
        self.images("cert-manager")
        at = ["--set", "crds.enabled=true,startupapicheck.enabled=false"]
        for part, image in (("", "controller"), ("webhook.", "webhook"), ("cainjector.", "cainjector")):
            at += ["--set-string", f"{part}image.repository=localhost/cert-manager-{image},{part}image.tag=1"]
        return self.helm("upgrade", "--install", "cert-manager", os.path.join(self.run_dir, "bin/cert-manager-chart"), "-n", "cert-manager",
                         "--create-namespace", "--wait", "--timeout", "180s", *at)

    def uninstall_cert_manager(self):
        self.helm("uninstall", "cert-manager", "-n", "cert-manager", "--wait", check=False)
        self.delete_namespace("cert-manager")

    def install_prometheus(self, ns, annotations=None):
        """One Prometheus that finds pods by their port names, as the mesh's own scrape jobs do; ask it with `query`."""
        self.images("prometheus")
        keep = "linkerd-admin|admin-http|dest-admin|metrics"
        config = {"global": {"scrape_interval": "2s"}, "scrape_configs": [{
            "job_name": "pods", "kubernetes_sd_configs": [{"role": "pod"}], "relabel_configs": [
                {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": keep, "action": "keep"},
                {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Pending|Succeeded|Failed", "action": "drop"},
                {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
                {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
                {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"}]}]}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "prometheus", "namespace": ns}}
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": f"prometheus-{ns}"},
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                   "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": ns}]}
        settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prometheus", "namespace": ns}, "data": {"prometheus.yml": json.dumps(config)}}
        program = container("prometheus", "localhost/prometheus:1", args=["--config.file=/config/prometheus.yml", "--storage.tsdb.path=/data"],
                            ports=[{"containerPort": 9090, "name": "http"}], readinessProbe={"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
                            volumeMounts=[{"name": "config", "mountPath": "/config"}, {"name": "data", "mountPath": "/data"}])
        self.apply(account, binding, settings, service("prometheus", ns, 9090, 9090),
                   deployment("prometheus", ns, program, annotations=annotations, serviceAccountName="prometheus", securityContext={"fsGroup": 65534},
                              volumes=[{"name": "config", "configMap": {"name": "prometheus"}}, {"name": "data", "emptyDir": {}}]))
        self.rollout(ns, "deploy/prometheus")

    def uninstall_prometheus(self, ns):
        self.kubectl("delete", "clusterrolebinding", f"prometheus-{ns}", "--ignore-not-found")

    def query(self, ns, expression):
        """What the Prometheus of a namespace answers: a list of (labels, value)."""
        text = self.kubectl("get", "--raw", f"/api/v1/namespaces/{ns}/services/prometheus:9090/proxy/api/v1/query?query={quote(expression)}")
        return [(r["metric"], float(r["value"][1])) for r in json.loads(text)["data"]["result"]]

    def describe(self, ns):
        """What a person would look at when a case failed."""
        for args in (("get", "pods", "-o", "wide"), ("get", "events", "--sort-by=.lastTimestamp")):
            print(self.kubectl("-n", ns, *args, check=False)[-4000:], file=sys.stderr)


class Capture:
    def __init__(self, path, process):
        self.path, self.process = path, process

    def end(self):
        """Stops it; the file is complete afterwards."""
        time.sleep(0.3)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=10)
        return self.path


# --- manifests in short form -------------------------------------------------------------------------------------------
def container(name="app", image="localhost/testd:1", **fields):
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", **fields}


def server(port=8080, **fields):
    """A container that serves HTTP and tells which pod and node it is."""
    return container(args=["serve", f"-port={port}"], ports=[{"containerPort": port}],
                     env=[{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                     readinessProbe={"httpGet": {"path": "/", "port": port}, "periodSeconds": 1}, **fields)


def pod_spec(*containers, **fields):
    return {"terminationGracePeriodSeconds": 2, "containers": list(containers), **fields}


def pod(name, ns, *containers, labels=None, annotations=None, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns, "labels": {"app": name, **(labels or {})},
                                                            "annotations": annotations or {}}, "spec": pod_spec(*containers, **spec)}


def spread(name):
    """One pod a node before any node gets a second."""
    return [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": name}}}]


def deployment(name, ns, *containers, replicas=1, annotations=None, **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": ns, "labels": {"app": name}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}, "annotations": annotations or {}}, "spec": pod_spec(*containers, **spec)}}}


def service(name, ns, port=80, target=8080, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns},
            "spec": {"selector": {"app": name}, "ports": [{"name": "p", "port": port, "targetPort": target}], **spec}}


def job(name, ns, *containers, **spec):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": ns},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec(*containers, restartPolicy="Never", **spec)}}}


# --- cases ---------------------------------------------------------------------------------------------------------------
def report(cases, *arguments, on_failure=lambda: None):
    """Runs the cases in order and prints TAP; names given on the command line choose among them. Ends the program."""
    wanted, results = sys.argv[1:], []
    for case in cases:
        if wanted and case.__name__ not in wanted:
            continue
        began = time.monotonic()
        try:
            case(*arguments)
            ok = True
        except Exception:  # noqa: BLE001 - one failing case must not hide the others
            traceback.print_exc()
            on_failure()
            ok = False
        results.append(ok)
        print(f"{'ok' if ok else 'not ok'} {len(results)} - {case.__name__}  # {time.monotonic() - began:.1f} s", flush=True)
    print(f"1..{len(results)}")
    sys.exit(0 if results and all(results) else 1)
