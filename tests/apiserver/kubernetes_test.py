#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tulle-control against a real API server, with the connection cut, delayed, garbled, frozen, and the server replaced.

usage: kubernetes_test.py BIN_DIR [CASE...]      (root; prints TAP; everything runs in a network and pid namespace of its own)
"""
import glob
import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from apiserver import ApiServer, Gate, Pki, free_port, run, until  # noqa: E402
from control import Call, Control, Endpoints, load_protos  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
STRANGERS = os.path.join(HERE, "../support/strangers.py")
WEB = "web.shop.svc.cluster.local:80"
LINKERD = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "linkerd"}}


def kube_node():
    """The program that is kube-apiserver, etcd and kubectl; built by the cluster's script."""
    build = os.path.join(HERE, "..", "e2e", "cluster", "build")
    if os.path.exists(build):
        return run(build, "kube-node").split()[1]
    cache = os.environ.get("TULLE_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tulle")
    found = sorted(glob.glob(os.path.join(cache, "kube", "bin", "kube-node*")), key=os.path.getmtime)
    if not found:
        sys.exit("kubernetes_test: no kube-node: see tests/e2e")
    return found[-1]


def service(name, ip, namespace="shop"):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": ip, "selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}


def pod(name, app, namespace="shop", meshed=True):
    labels = {"app": app}
    containers = [{"name": "app", "image": "local/app", "ports": [{"name": "http", "containerPort": 8080}]}]
    if meshed:
        labels["linkerd.io/control-plane-ns"] = "linkerd"
        containers.append({"name": "linkerd-proxy", "image": "local/proxy",
                           "env": [{"name": "LINKERD2_PROXY_INBOUND_LISTEN_ADDR", "value": "0.0.0.0:4143"}]})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"serviceAccountName": app, "nodeName": "n1", "containers": containers}}


def slice_of(name, addresses, namespace="shop"):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True},
                           **({"targetRef": {"kind": "Pod", "namespace": namespace, "name": target}} if target else {})}
                          for target, ip in addresses.items()]}


def running(ip):
    return {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.168.0.1", "conditions": [{"type": "Ready", "status": "True"}]}


def crd(group, kind, plural, version):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                     "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}}


class World:
    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        os.mkdir(folder + "/pb")
        self.protos = load_protos(folder + "/pb")
        self.pki = Pki(folder + "/pki")
        self.server = ApiServer(kube_node(), self.pki, folder + "/server")
        self.server.start()
        self.gate = Gate(self.server.port)
        self.controls = 0
        self.populate()
        self.control = self.start_control()
        until("ready", self.control.ready, 15)

    def start_control(self, *flags, kubeconfig=None, roles="destination,policy"):
        self.controls += 1
        return Control(os.path.join(self.binaries, "tulle-control"), f"{self.folder}/control{self.controls}",
                       kubeconfig or self.pki.kubeconfig(self.gate.port), self.protos, f"--roles={roles}", "--log-level=debug", *flags)

    def populate(self):
        self.server.kubectl("create", "namespace", "shop")
        self.server.apply(service("web", "10.96.1.1"), pod("web-0", "web"), slice_of("web", {"web-0": "10.0.0.1"}))
        self.server.patch_status("pod", "shop", "web-0", running("10.0.0.1"))

    def endpoints(self, authority=WEB):
        return Endpoints(self.control, authority)

    def move(self, ip):
        """The pod has another address now."""
        self.server.patch_status("pod", "shop", "web-0", running(ip))
        self.server.apply(slice_of("web", {"web-0": ip}))


def answers(w):
    """Destination tells what the cluster has, with the identity of its pods, and changes at once."""
    web = w.endpoints()
    until("the first answer", lambda: web.addresses == {"10.0.0.1:8080"}, 5)
    weighted = web.weighted["10.0.0.1:8080"]
    assert weighted.tls_identity.dns_like_identity.name == "web.shop.serviceaccount.identity.linkerd.cluster.local", weighted
    assert weighted.protocol_hint.opaque_transport.inbound_port == 4143, weighted
    w.move("10.0.0.2")
    began = time.monotonic()
    until("the new address", lambda: web.addresses == {"10.0.0.2:8080"}, 5, 0.01)
    print(f"# an update takes {time.monotonic() - began:.3f} s")
    assert time.monotonic() - began < 1
    w.server.apply(slice_of("web", {}))
    until("no endpoints", lambda: web.empty and not web.addresses, 5)
    w.move("10.0.0.1")
    until("endpoints again", lambda: web.addresses == {"10.0.0.1:8080"}, 5)
    web.close()
    # A Service that is made later, with a namespace that is made later.
    w.server.kubectl("create", "namespace", "late")
    w.server.apply(service("db", "10.96.1.9", "late"), slice_of("db", {"": "10.0.0.9"}, "late"))
    until("the Service", lambda: w.control.objects("Namespace") == 6, 5)
    assert w.control.metric("tulle_control_kubernetes_broken_objects") == 0


def cut(w):
    """The connection is cut again and again: nothing is listed anew, and no change is lost."""
    lists = w.control.lists("pods")
    web = w.endpoints()
    for i in range(10):
        w.gate.cut()
        w.move(f"10.0.1.{i}")
        until(f"address {i}", lambda i=i: web.addresses == {f"10.0.1.{i}:8080"}, 8)
    assert w.control.lists("pods") == lists
    assert web.call.process.poll() is None
    web.close()


def away(w):
    """The server is away for a while: known targets are answered, what was deleted meanwhile goes."""
    w.server.apply(service("old", "10.96.1.2"), slice_of("old", {"": "10.0.0.7"}))
    old = w.endpoints("old.shop.svc.cluster.local:80")
    until("the old Service", lambda: old.addresses == {"10.0.0.7:8080"}, 5)
    old.close()
    web = w.endpoints()
    w.gate.refuse = True
    w.gate.cut()
    w.server.kubectl("-n", "shop", "delete", "service/old", "endpointslice/old-1")
    w.move("10.0.2.1")
    # The server forgets what happened: its watch cache begins with now.
    w.server.stop()
    time.sleep(8)
    late = w.endpoints()
    until("an answer without a server", lambda: late.addresses, 5)
    assert w.control.ready(), "last known state is served"
    assert w.control.metric("tulle_control_kubernetes_behind", resource="pods") == 1
    w.server.start()
    w.gate.refuse = False
    until("the new address", lambda: web.addresses == late.addresses == {"10.0.2.1:8080"}, 20)
    until("the deleted Service is gone", lambda: w.control.objects("Service") == service_count(w), 10)
    assert w.control.metric("tulle_control_kubernetes_behind", resource="pods") == 0
    for stream in (web, late):
        stream.close()


def service_count(w):
    return len(w.server.kubectl("get", "services", "-A", "-o", "name").split())


def delayed(w):
    """Every piece of every connection is late."""
    web = w.endpoints()
    w.gate.delay = 0.4
    w.gate.cut()
    try:
        for i in range(3):
            w.move(f"10.0.3.{i}")
            until(f"address {i}", lambda i=i: web.addresses == {f"10.0.3.{i}:8080"}, 20)
    finally:
        w.gate.delay = 0.0
        web.close()


def frozen(w):
    """The connection is dead and nobody says so: noticed by the missing PING, well within 90 s."""
    web = w.endpoints()
    before = w.gate.accepted
    w.gate.freeze()
    w.move("10.0.4.1")
    began = time.monotonic()
    until("the new address", lambda: web.addresses == {"10.0.4.1:8080"}, 60)
    print(f"# a dead connection costs {time.monotonic() - began:.1f} s")
    assert w.gate.accepted > before
    web.close()


def garbled(w):
    """Bytes are damaged on the way: TLS notices, and nothing wrong is believed."""
    web = w.endpoints()
    w.gate.garble = 0.3
    try:
        for i in range(6):
            w.gate.cut()
            w.move(f"10.0.5.{i}")
            time.sleep(1.5)
    finally:
        w.gate.garble = 0.0
        w.gate.cut()
    until("the last address", lambda: web.addresses == {"10.0.5.5:8080"}, 20)
    assert w.control.metric("tulle_control_kubernetes_broken_objects") == 0
    web.close()


def custom_resources(w):
    """CRDs that are installed later are found, and policies of before are not needed to be ready."""
    assert w.control.ready() and w.control.objects("Server") == 0
    web = w.endpoints()
    until("the first answer", lambda: web.addresses, 5)
    address = next(iter(web.addresses))
    assert web.weighted[address].protocol_hint.HasField("h2")
    w.server.apply(crd("policy.linkerd.io", "Server", "servers", "v1beta2"))
    opaque = {"apiVersion": "policy.linkerd.io/v1beta2", "kind": "Server", "metadata": {"name": "http", "namespace": "shop"},
              "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "port": "http", "proxyProtocol": "opaque"}}
    until("the CRD is served", lambda: not apply_fails(w, opaque), 20, 0.5)
    until("the Server", lambda: w.control.objects("Server") == 1, 45)
    until("its effect", lambda: web.weighted[address].protocol_hint.HasField("opaque"), 5)
    # An object that cannot be read keeps its last good state, and says so.
    opaque["spec"]["port"] = [1]
    w.server.apply(opaque)
    until("the broken object", lambda: w.control.metric("tulle_control_kubernetes_broken_objects") == 1, 5)
    assert w.control.objects("Server") == 1
    opaque["spec"]["port"], opaque["spec"]["proxyProtocol"] = 8080, "HTTP/1"
    w.server.apply(opaque)
    until("the good object", lambda: w.control.metric("tulle_control_kubernetes_broken_objects") == 0, 5)
    until("its effect", lambda: web.weighted[address].protocol_hint.HasField("h2"), 5)
    w.server.kubectl("delete", "crd", "servers.policy.linkerd.io")
    until("its end", lambda: w.control.objects("Server") == 0, 120)
    web.close()


def statuses(w):
    """Statuses of routes follow what their parents are, and what other controllers say stays."""
    w.server.apply(LINKERD)  # the lease is there
    for kind, plural, version in (("Server", "servers", "v1beta3"), ("HTTPRoute", "httproutes", "v1beta1"),
                                  ("HTTPLocalRateLimitPolicy", "httplocalratelimitpolicies", "v1alpha1")):
        made = crd("policy.linkerd.io", kind, plural, version)
        made["spec"]["versions"][0]["subresources"] = {"status": {}}
        w.server.apply(made)
    parent = {"group": "policy.linkerd.io", "kind": "Server", "name": "http"}
    route = {"apiVersion": "policy.linkerd.io/v1beta1", "kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "shop"},
             "spec": {"parentRefs": [parent], "rules": [{}]}}
    limit = {"apiVersion": "policy.linkerd.io/v1alpha1", "kind": "HTTPLocalRateLimitPolicy", "metadata": {"name": "l", "namespace": "shop"},
             "spec": {"targetRef": parent, "total": {"requestsPerSecond": 10}}}
    for what in (route, limit):
        until("the CRD is served", lambda what=what: not apply_fails(w, what), 20, 0.5)
    routes, limits = "httproutes.policy.linkerd.io", "httplocalratelimitpolicies.policy.linkerd.io"

    def status(kind):
        return json.loads(w.server.kubectl("-n", "shop", "get", kind, "-o", "json"))["items"][0].get("status", {})

    def reasons():
        return {entry["controllerName"]: [c["reason"] for c in entry["conditions"]] for entry in status(routes).get("parents", [])}

    ours = "linkerd.io/policy-controller"
    until("not accepted", lambda: reasons() == {ours: ["NoMatchingParent"]}, 90, 0.5)
    until("no target", lambda: [c["reason"] for c in status(limits).get("conditions", [])] == ["NoMatchingTarget"], 90, 0.5)
    theirs = {"controllerName": "example.com/other", "parentRef": {"name": "gateway"},
              "conditions": [{"type": "Programmed", "status": "True", "reason": "Theirs", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    w.server.kubectl("-n", "shop", "patch", routes, "r", "--subresource=status", "--type=merge", "-p",
                     json.dumps({"status": {"parents": [theirs, *status(routes)["parents"]]}}))
    w.server.apply({"apiVersion": "policy.linkerd.io/v1beta3", "kind": "Server", "metadata": {"name": "http", "namespace": "shop"},
                    "spec": {"podSelector": {}, "port": "http"}})
    until("accepted", lambda: reasons() == {ours: ["Accepted"], "example.com/other": ["Theirs"]}, 30, 0.5)
    until("accepted", lambda: [c["reason"] for c in status(limits)["conditions"]] == ["Accepted"], 30, 0.5)
    written = w.control.metric("resource_status_patches_total")
    time.sleep(12)
    assert w.control.metric("resource_status_patches_total") == written, "what is said already is not written again"
    w.server.kubectl("delete", "crd", "servers.policy.linkerd.io", routes, limits)
    until("their end", lambda: w.control.objects("Server") == 0, 120)


def apply_fails(w, what):
    try:
        w.server.apply(what)
        return False
    except AssertionError:
        return True


def replaced(w):
    """Another cluster is behind the same address: nothing of the old one stays."""
    w.server.apply(service("only-here", "10.96.1.3"))
    until("the Service", lambda: w.control.objects("Service") == service_count(w), 5)
    w.server.stop()
    w.server.start(fresh=True)
    w.server.kubectl("create", "namespace", "shop")
    w.server.apply(service("web", "10.96.1.1"), pod("web-0", "web"), slice_of("web", {"web-0": "10.0.6.1"}))
    w.server.patch_status("pod", "shop", "web-0", running("10.0.6.1"))
    web = w.endpoints()
    until("the new cluster", lambda: web.addresses == {"10.0.6.1:8080"}, 30)
    until("nothing of the old one", lambda: w.control.objects("Service") == service_count(w), 10)
    until("nothing of the old one", lambda: w.control.objects("Namespace") == 5, 10)
    web.close()


def rights(w):
    """Without the right to list, it is not ready and says why; with it, it is; tokens are reviewed."""
    w.server.apply(LINKERD)
    w.server.kubectl("-n", "linkerd", "create", "serviceaccount", "linkerd-destination")
    w.server.kubectl("-n", "shop", "create", "serviceaccount", "web")
    token = w.server.kubectl("-n", "linkerd", "create", "token", "linkerd-destination").strip()
    issuer = w.folder + "/issuer"
    control = w.start_control("--identity-generate", f"--issuer={issuer}", roles="identity,destination,policy",
                              kubeconfig=w.pki.kubeconfig(w.gate.port, "destination", token))
    try:
        until("what is missing", lambda: "pods (403 Forbidden" in control.get("/ready"), 10)
        assert 'User "system:serviceaccount:linkerd:linkerd-destination" cannot list' in control.get("/ready"), control.get("/ready")
        assert certify(w, control, "x", expect_connection=False) is None
        w.server.kubectl("create", "clusterrole", "mesh", "--verb=list,watch",
                         "--resource=pods,services,nodes,namespaces,endpointslices.discovery.k8s.io,replicasets.apps,jobs.batch")
        w.server.kubectl("create", "clusterrolebinding", "mesh", "--clusterrole=mesh", "--serviceaccount=linkerd:linkerd-destination")
        # Policies may not be listed, which is another thing than that they are not there.
        until("policies are asked for", lambda: "servers" in control.get("/ready") or control.ready(), 20)
        w.server.kubectl("create", "clusterrole", "mesh-crds", "--verb=list,watch", "--resource=*.policy.linkerd.io")
        w.server.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "mesh-crds"},
                        "rules": [{"apiGroups": ["policy.linkerd.io", "gateway.networking.k8s.io", "linkerd.io", "workload.linkerd.io"], "resources": ["*"], "verbs": ["list", "watch"]}]})
        w.server.kubectl("create", "clusterrolebinding", "mesh-crds", "--clusterrole=mesh-crds", "--serviceaccount=linkerd:linkerd-destination")
        until("ready", control.ready, 20)
        good = w.server.kubectl("-n", "shop", "create", "token", "web", "--audience=identity.l5d.io").strip()
        status = certify(w, control, good)
        assert status[0] == 13, f"may not review tokens yet: {status}"
        w.server.kubectl("create", "clusterrolebinding", "reviews", "--clusterrole=system:auth-delegator",
                         "--serviceaccount=linkerd:linkerd-destination")
        response = until("a certificate", lambda: None if isinstance(certify(w, control, good), tuple) else certify(w, control, good), 10)
        text = openssl_der(response.leaf_certificate)
        assert "DNS:web.shop.serviceaccount.identity.linkerd.cluster.local" in text, text
        other_audience = w.server.kubectl("-n", "shop", "create", "token", "web").strip()
        other_account = w.server.kubectl("-n", "linkerd", "create", "token", "linkerd-destination", "--audience=identity.l5d.io").strip()
        assert certify(w, control, other_audience)[0] == 3, certify(w, control, other_audience)
        assert certify(w, control, "no.token.atall")[0] == 3
        assert certify(w, control, other_account)[0] == 9
    finally:
        control.stop()


def openssl_der(der):
    return subprocess.run(("openssl", "x509", "-inform", "der", "-noout", "-ext", "subjectAltName"), input=der, capture_output=True, check=True).stdout.decode()


def certify(w, control, token, expect_connection=True):
    """A certificate for web.shop, or (status, message); None if nobody listens."""
    name = "web.shop.serviceaccount.identity.linkerd.cluster.local"
    key, csr = w.folder + "/web.key", w.folder + "/web.csr"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-outform", "der", "-out", csr,
        "-subj", "/", "-addext", f"subjectAltName=DNS:{name}")
    with open(csr, "rb") as f:
        request = control.identity_pb2.CertifyRequest(identity=name, token=token.encode(), certificate_signing_request=f.read())
    messages = []
    call = Call(control.identity_port, "io.linkerd.proxy.identity.Identity/Certify", request.SerializeToString(), control.folder, messages.append)
    call.process.wait(20)
    if call.process.returncode == 7 and not expect_connection:
        return None
    status = call.status()
    return control.identity_pb2.CertifyResponse.FromString(messages[0]) if messages else status


def library(w):
    """lib/k8s by itself: patches, leases, events, reviews."""
    program = os.path.join(w.binaries, "k8s_live")
    done = subprocess.run((program,), env={**os.environ, "KUBECONFIG": w.pki.kubeconfig(w.gate.port)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def memory(w):
    """Pods with their slices: at most 4 KiB each (PODS says how many; 2,000)."""
    pods = int(os.environ.get("PODS", "2000"))
    fresh = w.start_control()
    until("ready", fresh.ready, 15)
    time.sleep(1)
    before = fresh.memory_kib()
    fresh.stop()
    fill(w, pods)
    control = w.start_control()
    began = time.monotonic()
    until("the index is complete", lambda: control.ready() and control.objects("Pod") >= pods, 120)
    print(f"# {pods} pods and {control.objects('EndpointSlice')} slices listed in {time.monotonic() - began:.1f} s")
    after = settled(control, before[0] + 4 * pods)
    each = (after[0] - before[0]) / pods
    print(f"# resident {before[1]} -> {after[1]} KiB, anonymous {before[0]} -> {after[0]} KiB: {each:.2f} KiB a pod")
    # Everything once more after a gap: no growth.
    # The server has a gap to tell of only where something was written behind the pods, and no bookmark came since.
    for number in range(4):
        w.server.apply(service(f"later-{number}", f"10.96.9.{number + 1}"))
        w.server.stop()
        w.server.start()
        w.server.apply(service(f"after-{number}", f"10.96.10.{number + 1}"))
        until("it follows again", lambda: control.objects("Service") == service_count(w), 60)
        until("it is not behind", lambda: control.metric("tulle_control_kubernetes_behind") == 0, 60)
        if control.lists("pods") >= 2:
            break
    assert control.lists("pods") >= 2, "there was no gap"
    most = before[0] + 1.15 * (after[0] - before[0]) + 1024
    again = settled(control, most)
    print(f"# after a gap: anonymous {again[0]} KiB")
    control.stop()
    assert each <= 4.0, f"{each:.2f} KiB a pod"
    assert again[0] <= most, "grows with lists"


def settled(control, most_kib, seconds=60):
    """The memory once buffers of a list have gone back to the system, which takes the longer the busier the machine is: what it is when it
    comes under `most_kib`, or at the end of that time."""
    time.sleep(2)
    end = time.monotonic() + seconds
    while (found := control.memory_kib())[0] > most_kib and time.monotonic() < end:
        time.sleep(0.5)
    return found


def fill(w, pods):
    """As the pods of Deployments come: 100 namespaces with 10 Services of 10 pods each."""
    server = w.server
    threads, failures = [], []

    def make(first):
        context = ssl.create_default_context(cafile=w.pki.path("ca.crt"))
        context.load_cert_chain(w.pki.path("admin.crt"), w.pki.path("admin.key"))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context)

        def send(method, path, body, again=5):
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 500 and again:  # etcd on a busy machine
                time.sleep(1)
                return send(method, path, body, again - 1)
            if answer.status >= 300 and answer.status != 409:
                raise AssertionError(f"{method} {path}: {answer.status} {text[:300]}")

        try:
            for number in range(first * pods // 40, (first + 1) * pods // 40):
                namespace, app = f"team-{number // 10:03d}", f"service-{number:04d}"
                if number % 10 == 0 or number == first * pods // 40:
                    send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
                addresses = {}
                for i in range(10):
                    name, ip = f"{app}-7c9d8f6b5d-x{i:04d}", f"10.{100 + number // 250}.{number % 250}.{i + 1}"
                    addresses[name] = ip
                    send("POST", f"/api/v1/namespaces/{namespace}/pods", typical_pod(name, app, namespace))
                    send("PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": running(ip)})
                send("POST", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", slice_of(app, addresses, namespace))
        except Exception as error:  # told by the main thread
            failures.append(error)

    for first in range(4):
        threads.append(threading.Thread(target=make, args=(first,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def typical_pod(name, app, namespace):
    """What an injected pod of a Deployment looks like, with probes, mounts, tolerations and the proxy's environment."""
    made = pod(name, app, namespace)
    meta, spec = made["metadata"], made["spec"]
    meta["labels"].update({"pod-template-hash": "7c9d8f6b5d", "app.kubernetes.io/name": app, "app.kubernetes.io/instance": app,
                           "linkerd.io/proxy-deployment": app, "linkerd.io/workload-ns": namespace})
    meta["annotations"] = {"linkerd.io/created-by": "linkerd/proxy-injector edge", "linkerd.io/proxy-version": "edge-25.1.1", "linkerd.io/inject": "enabled",
                           "linkerd.io/trust-root-sha256": "a" * 64, "prometheus.io/scrape": "true"}
    meta["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{app}-7c9d8f6b5d", "controller": True,
                                "uid": "0b5a5e4c-6a0e-4b0e-8f1e-000000000000"}]
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10}
    spec["containers"][0].update({"livenessProbe": probe, "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
                                  "env": [{"name": f"SETTING_{i}", "value": "something of a usual length"} for i in range(12)]})
    proxy = spec["containers"][1]
    proxy["env"] += [{"name": f"LINKERD2_PROXY_SETTING_{i}", "value": "x" * 40} for i in range(60)]
    proxy["ports"] = [{"name": "linkerd-proxy", "containerPort": 4143}, {"name": "linkerd-admin", "containerPort": 4191}]
    proxy["livenessProbe"] = {"httpGet": {"path": "/live", "port": 4191}}
    proxy["readinessProbe"] = {"httpGet": {"path": "/ready", "port": 4191}}
    spec["initContainers"] = [{"name": "linkerd-init", "image": "local/init"}]
    return made


def reviewed(port):
    """A review that needs nothing known is answered, on a connection of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "ConfigMap"}, "operation": "CREATE", "object": {"kind": "ConfigMap"}}}
    client.request("POST", "/", json.dumps(review), {"Content-Type": "application/json"})
    answer = json.loads(client.getresponse().read())
    client.close()
    return answer["response"]["allowed"]


def webhooks(w):
    """Strangers at the webhooks: idle and slow connections, half reviews; within 64 MiB, probes are answered, no call is refused."""
    w.server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "linkerd"}})
    values = os.path.join(w.folder, "values.yaml")
    with open(values, "w", encoding="utf-8") as f:
        f.write("{}\n")
    ports = [free_port() for _ in range(3)]
    names = ("injector", "profile-validator", "policy-validator")  # as the flags are called
    control = w.start_control(f"--values={values}", *(f"--{name}-port={port}" for name, port in zip(names, ports)), roles="destination,policy,injector")
    try:
        # Their certificates are there; what pods would be told is not, and nobody asks here.
        until("the webhooks listen", lambda: control.get("/ready") == "not ready: values or trust anchors\n", 20)
        strangers = [subprocess.Popen((sys.executable, STRANGERS, kind, "127.0.0.1", str(port), "300", "4", "127.0.0.2"), stdout=subprocess.PIPE, text=True)
                     for port in ports for kind in ("idle", "hello", "review")]
        most = probes = 0
        while any(s.poll() is None for s in strangers):
            began = time.monotonic()
            assert control.get("/live") == "live\n", control.tail()
            assert time.monotonic() - began < 2
            assert reviewed(ports[0]), "a review from elsewhere is answered meanwhile"
            assert time.monotonic() - began < 5
            most = max(most, control.memory_kib()[0])
            probes += 1
            time.sleep(0.1)
        for s in strangers:
            assert "begun" in s.communicate()[0] and s.returncode == 0, s.args
        refused = sum(control.metric("tulle_connections_refused_total", port=port, reason=reason)
                      for port in ("injector", "webhooks") for reason in ("gave_way", "unfinished", "no_place"))
        print(f"# {most // 1024} MiB at most, {probes} probes, {refused:.0f} gave way")
        assert probes >= 10 and refused > 0 and most < 64 * 1024, most
        assert "a system call was refused" not in control.tail(100_000)
    finally:
        control.stop()


# In this order: the last ones change the cluster for good.
CASES = [answers, cut, delayed, frozen, garbled, custom_resources, away, rights, statuses, library, replaced, memory, webhooks]


def inside(binaries, names):
    run("ip", "link", "set", "lo", "up")
    cases = [case for case in CASES if not names or case.__name__ in names]
    folder = tempfile.mkdtemp(prefix="tulle-apiserver-")
    if not os.environ.get("KEEP"):
        run("mount", "-t", "tmpfs", "tmpfs", folder)  # in our own mount namespace; etcd waits for its disk otherwise
    failed = 0
    print(f"1..{len(cases)}", flush=True)
    w = None
    try:
        w = World(binaries, folder)
        for number, case in enumerate(cases, 1):
            began = time.monotonic()
            try:
                case(w)
                print(f"ok {number} - {case.__name__}: {case.__doc__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:
                failed += 1
                print(f"not ok {number} - {case.__name__}: {case.__doc__}\n{traceback.format_exc()}", flush=True)
                print("".join(f"# {line}\n" for line in w.control.tail().splitlines()), flush=True)
    finally:
        if w is not None:
            w.control.stop()
            w.server.stop()
        if not os.environ.get("KEEP"):
            run("umount", "--lazy", folder)
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


def main():
    if os.environ.get("TULLE_INSIDE") == "1":
        sys.exit(inside(sys.argv[1], sys.argv[2:]))
    # Whatever happens, everything ends with this process, and no packet leaves.
    argv = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, os.path.abspath(__file__), *sys.argv[1:])
    os.execvpe(argv[0], argv, {**os.environ, "TULLE_INSIDE": "1"})


if __name__ == "__main__":
    main()
