# SPDX-License-Identifier: Apache-2.0
"""What tests of the mesh share: installing it in each form, issuers, loads that count, what proxies and the control plane tell."""
import datetime
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time

from harness import TOP, Failed, container, run, wait

MESH = "linkerd"
CONTROL = "linkerd.io/control-plane-component=control-plane"
# Where a proxy has a folder that the node can write to as well.
IDENTITY_DIR = "/var/run/linkerd/identity/end-entity"


# --- installing ----------------------------------------------------------------------------------------------------------
def _helm(c, values):
    c.helm("upgrade", "--install", "linkerd-crds", os.path.join(TOP, "charts/linkerd-crds"), "-n", MESH, "--create-namespace")
    c.helm("upgrade", "--install", "linkerd-control-plane", os.path.join(TOP, "charts/linkerd-control-plane"), "-n", MESH, *values)


def _without_helm(c):
    for release in ("linkerd-control-plane", "linkerd-crds"):
        c.helm("uninstall", release, "-n", MESH, "--wait", check=False)
    c.delete_namespace(MESH)


class _Served:
    """A program on the first node's loopback for the time of a test, with a folder of its own."""

    def __init__(self, c):
        self.c = c

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tulle-charts-")
        command, asked = self.prepare(self.folder.name)
        self.server = subprocess.Popen(["nsenter", f"--net=/run/netns/{self.c.name}-n1", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait(lambda: self.c.shell(f"curl -sf -o /dev/null {asked}", check=False)[0] == 0, f"{asked} answers", 20, 0.2)
            self.begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.server.send_signal(signal.SIGTERM)
        self.server.wait()
        self.folder.cleanup()

    def prepare(self, folder):
        """(command, URL that answers when it is there)"""
        raise NotImplementedError

    def begin(self):
        """What comes once it answers."""


class Repository(_Served):
    """Our charts as a Helm repository with the alias linkerd, served to whoever works on the first node; helm's own folders are its, too."""

    URL = "http://127.0.0.1:8879"

    def prepare(self, folder):
        run(os.path.join(TOP, "images/charts"), folder)
        host, port = self.URL.removeprefix("http://").split(":")
        return ["/usr/bin/python3", "-m", "http.server", "--bind", host, "--directory", folder, port], f"{self.URL}/index.yaml"

    def begin(self):
        self.helm("repo", "add", "linkerd", self.URL)
        self.helm("repo", "update")

    def helm(self, *args):
        kept = " ".join(f"HELM_{kind}_HOME={self.folder.name}/.{kind.lower()}" for kind in ("CONFIG", "CACHE", "DATA"))
        return self.c.shell(f"{kept} helm {shlex.join(args)}")[1]


class Registry(_Served):
    """A registry for charts as OCI artefacts, served to whoever works on the first node."""

    ADDRESS = "127.0.0.1:8880"
    url = f"oci://{ADDRESS}/charts"

    def prepare(self, folder):
        config = os.path.join(folder, "config.yml")
        with open(config, "w", encoding="ascii") as f:
            f.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/store}}}}\nhttp: {{addr: '{self.ADDRESS}'}}\n")
        return ["docker-registry", "serve", config], f"http://{self.ADDRESS}/v2/"


def _umbrella(c, values):
    with Repository(c) as repository:
        exists = c.get("namespaces", selector=f"kubernetes.io/metadata.name={MESH}")
        repository.helm("install", "linkerd2", "linkerd/linkerd2", "-n", MESH, *([] if exists else ["--create-namespace"]), "--set", "installNamespace=false", *values)


def _without_umbrella(c):
    c.helm("uninstall", "linkerd2", "-n", MESH, "--wait", check=False)
    c.delete_namespace(MESH)


def _cli(c, values):
    c.shell("linkerd install --crds | kubectl apply -f -")
    c.shell(f"linkerd install {shlex.join(values)} | kubectl apply -f -")


def _without_cli(c):
    c.shell("linkerd uninstall --force | kubectl delete -f - --ignore-not-found", check=False)
    c.delete_namespace(MESH)


# A form says how users install and take away: {name: (install(cluster, values), uninstall(cluster))}; values are flags, --set and
# --set-file, that all forms understand.
# "umbrella" is the one chart of 2.11 from a repository, "helm" the two charts of later releases from their folders.
FORMS = {"helm": (_helm, _without_helm), "umbrella": (_umbrella, _without_umbrella), "cli": (_cli, _without_cli)}


def install(c, *values, form="helm", ready=True):
    """Installs the mesh; gives the seconds until the control plane was ready."""
    began = time.monotonic()
    FORMS[form][0](c, ["--set", "imagePullPolicy=IfNotPresent", *values])
    if ready:
        c.rollout(MESH, "deploy/linkerd-control-plane", 180)
        wait(lambda: all(w["clientConfig"].get("caBundle") for w in c.get("mutatingwebhookconfigurations", "linkerd-proxy-injector-webhook-config")["webhooks"]),
             "the API server can believe the injector", 60)
    return time.monotonic() - began


def uninstall(c, form="helm"):
    FORMS[form][1](c)


def describe(c, *namespaces):
    """What a person would look at when a case failed."""
    for ns in (*namespaces, MESH):
        c.describe(ns)
    print("# " + c.kubectl("-n", MESH, "logs", "deploy/linkerd-control-plane", "--tail=25", check=False).replace("\n", "\n# "))


# --- certificates that a test makes ----------------------------------------------------------------------------------------
class Authority:
    """An anchor of openssl's, and issuers of it with any dates."""

    NAME = "identity.linkerd.cluster.local"

    def __init__(self, folder):
        self.folder = str(folder)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("root.key"), "-out",
            self.path("root.crt"), "-days", "3650", "-subj", "/CN=root.linkerd.cluster.local", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def path(self, name):
        return os.path.join(self.folder, name)

    def issuer(self, begins, ends):
        """Certificate and key as files; the dates are seconds from now."""
        # `openssl x509` has no dates, `openssl ca` has: it wants a folder with its list of what it has signed.
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("issuer.key"), "-out",
            self.path("issuer.csr"), "-subj", f"/CN={self.NAME}")
        with open(self.path("index.txt"), "w", encoding="ascii"):
            pass
        with open(self.path("ca.conf"), "w", encoding="ascii") as f:
            f.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.path('index.txt')}\nnew_certs_dir={self.folder}\nrand_serial=yes\npolicy=p\ndefault_md=sha256\n"
                    f"x509_extensions=x\n[p]\ncommonName=supplied\n[x]\nbasicConstraints=critical,CA:true,pathlen:0\n"
                    f"keyUsage=critical,keyCertSign,cRLSign\nsubjectAltName=DNS:{self.NAME}\n")
        at = [(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=s)).strftime("%Y%m%d%H%M%SZ") for s in (begins, ends)]
        run("openssl", "ca", "-batch", "-notext", "-config", self.path("ca.conf"), "-cert", self.path("root.crt"), "-keyfile", self.path("root.key"),
            "-in", self.path("issuer.csr"), "-out", self.path("issuer.crt"), "-startdate", at[0], "-enddate", at[1])
        return self.path("issuer.crt"), self.path("issuer.key")

    def values(self, begins, ends):
        """Values of an installation with this anchor and an issuer of these dates."""
        certificate, key = self.issuer(begins, ends)
        return ["--set-file", f"identityTrustAnchorsPEM={self.path('root.crt')},identity.issuer.tls.crtPEM={certificate},identity.issuer.tls.keyPEM={key}"]

    def replace(self, c, begins, ends):
        """Another issuer, put where the mesh reads it."""
        certificate, key = self.issuer(begins, ends)
        text = c.kubectl("-n", MESH, "create", "secret", "generic", "linkerd-identity-issuer", f"--from-file=crt.pem={certificate}", f"--from-file=key.pem={key}",
                         "--dry-run=client", "-o", "yaml")
        c.apply(text)


# --- what is seen ----------------------------------------------------------------------------------------------------------
def ready_pods(c, ns, selector):
    return [p for p in c.get("pods", ns=ns, selector=selector) if "deletionTimestamp" not in p["metadata"]
            and any(s["type"] == "Ready" and s["status"] == "True" for s in p["status"].get("conditions", []))]


def meshed(p):
    """Has this pod a proxy, native or classic?"""
    containers = p["spec"].get("initContainers", []) + p["spec"]["containers"]
    return any(i["name"] == "linkerd-proxy" for i in containers)


def kill_container(c, p, name):
    """kill -9 of a container's processes, as when one crashes; back when the kubelet has started it again and the pod is ready."""
    ns, pod_name = p["metadata"]["namespace"], p["metadata"]["name"]

    def status(of):
        return next(s for key in ("initContainerStatuses", "containerStatuses") for s in of["status"].get(key, []) if s["name"] == name)
    before = status(p)
    c.on(int(p["spec"]["nodeName"][4:]), "ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", before["containerID"].split("//")[1])

    def again():
        now = c.get("pod", pod_name, ns=ns)
        ready = any(s["type"] == "Ready" and s["status"] == "True" for s in now["status"]["conditions"])
        return ready and status(now)["restartCount"] > before["restartCount"]
    wait(again, f"{name} of {pod_name} was started again and the pod is ready", 60)


def metrics(c, ns, name, port=4191):
    """The metrics page of a pod, asked for through the API server."""
    return c.kubectl("get", "--raw", f"/api/v1/namespaces/{ns}/pods/{name}:{port}/proxy/metrics")


def total(text, name, pattern=""):
    """The sum of a family's samples whose line matches."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if re.match(re.escape(name) + r"[{ ]", line) and re.search(pattern, line))


def resident(c, ns, name, container_name):
    """MiB that a container's first process has in memory, and how much of it is no file's."""
    p = c.get("pod", name, ns=ns)
    statuses = p["status"].get("initContainerStatuses", []) + p["status"]["containerStatuses"]
    container_id = next(s["containerID"] for s in statuses if s["name"] == container_name).split("//")[1]
    node = int(p["spec"]["nodeName"][4:])
    pid = next(line.split()[1] for line in c.on(node, "ctr", "-n", "k8s.io", "task", "ls").splitlines() if line.startswith(container_id))
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB$", c.on(node, "cat", f"/proc/{pid}/status"), re.M))
    return int(fields["VmRSS"]) / 1024, int(fields["RssAnon"]) / 1024


def events(c, ns, reason, about=None):
    """The messages of Events with this reason; about: only of this object, such as Deployment/web."""
    return [e["message"] for e in c.get("events", ns=ns) if e["reason"] == reason
            and about in (None, f"{e['involvedObject']['kind']}/{e['involvedObject']['name']}")]


# --- load ------------------------------------------------------------------------------------------------------------------
class Load:
    """200 requests a second by testd from a pod of its own, none ever sent twice, until end()."""

    def __init__(self, c, ns, url, rate=200, name="load", **spec):
        self.c, self.ns, self.name = c, ns, name
        c.kubectl("-n", ns, "delete", "pod", name, "--ignore-not-found", "--wait")
        c.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns, "labels": {"app": name}}, "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 5, **spec,
            "containers": [container(args=["load", f"-rate={rate}", "-seconds=0", url])]}})
        c.kubectl("-n", ns, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=90s")
        self.began = time.monotonic()
        time.sleep(1)

    def end(self):
        """What testd says: requests, failed, reasons, first, last, percentiles."""
        seconds = time.monotonic() - self.began
        self.c.exec(self.ns, self.name, "kill", "-TERM", "1", container="app", check=False)
        wait(lambda: self.c.get("pod", self.name, ns=self.ns)["status"]["phase"] in ("Succeeded", "Failed"), "the load has ended", 60)
        # The container's log mixes stdout and stderr, in no certain order: testd also says on stderr that requests failed.
        log = self.c.logs(self.ns, self.name, "-c", "app")
        told = next((json.loads(line) for line in log.splitlines() if line.startswith("{")), None)
        if told is None:
            raise Failed(f"the load told nothing: {log!r}")
        print(f"# {told['requests']} requests in {seconds:.0f} s, {told['failed']} failed, p99 {told['p99_ms']:.1f} ms, max {told['max_ms']:.0f} ms")
        if told["requests"] < seconds * 20:
            raise Failed(f"this is no load: {told}")
        return told

    def nothing_failed(self):
        told = self.end()
        assert told["failed"] == 0, told


# --- clocks ----------------------------------------------------------------------------------------------------------------
CLOCK_FILE = f"{IDENTITY_DIR}/clock"


def clock_values():
    """Values by which control plane and proxies are programs for tests, and every injected proxy takes its clock's offset from a file."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../CMakeLists.txt"), encoding="utf-8") as f:
        version = re.search(r"^project\(tulle VERSION ([0-9.]+)", f.read(), re.M).group(1) + "-for-tests"  # as `./run` calls the images
    return ["--set", f"proxy.image.version={version},controllerImageVersion={version}",
            "--set", f"proxy.additionalEnv[0].name=TULLE_CLOCK_OFFSET_FILE,proxy.additionalEnv[0].value={CLOCK_FILE}"]


def give_control_plane_a_clock(c):
    """The same for the control plane, which has no folder of that kind by itself."""
    c.kubectl("-n", MESH, "patch", "deploy", "linkerd-control-plane", "--type=strategic", "-p", json.dumps({"spec": {"template": {"spec": {
        "volumes": [{"name": "linkerd-identity-end-entity", "emptyDir": {}}],
        "containers": [{"name": "control", "env": [{"name": "TULLE_CLOCK_OFFSET_FILE", "value": "/clock/clock"}],
                        "volumeMounts": [{"name": "linkerd-identity-end-entity", "mountPath": "/clock"}]}]}}}}))
    c.rollout(MESH, "deploy/linkerd-control-plane", 120)


def set_clocks(c, seconds, *pods):
    """Sets the clocks of these pods (objects of the API) so many seconds off."""
    for p in pods:
        folder = f"/var/lib/kubelet/pods/{p['metadata']['uid']}/volumes/kubernetes.io~empty-dir/linkerd-identity-end-entity"
        c.on(int(p["spec"]["nodeName"][4:]), "sh", "-c", f"echo {seconds} > {folder}/clock.new && chmod 644 {folder}/clock.new && mv {folder}/clock.new {folder}/clock")
