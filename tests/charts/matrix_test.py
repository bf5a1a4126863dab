#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`tulle install` beside `helm template`, byte for byte, over a matrix of values; and the template functions one by one.

usage: matrix_test.py BIN_DIR [CASE...]      (prints TAP; needs no cluster and no root)
"""
import base64
import itertools
import os
import re
import subprocess
import sys
import tempfile
import traceback

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "apiserver"))
from apiserver import Certificates  # noqa: E402 - after the path is known

CHARTS = os.path.join(HERE, "../../charts")
KUBE = "v1.34.0"
BIN = sys.argv[1]
FOLDER = tempfile.TemporaryDirectory()
CERTIFICATES = Certificates(FOLDER.name + "/certificates")
SAN = "DNS:identity.linkerd.cluster.local"
CA, _ = CERTIFICATES.make("root", days=3650)
CERTIFICATE, KEY = CERTIFICATES.make("issuer", by="root", san=SAN)


def helm_program():
    build = os.path.join(HERE, "..", "e2e", "cluster", "build")
    return subprocess.run([build, "helm"], check=True, capture_output=True, text=True).stdout.split()[1]


HELM = helm_program()


def run(*argv, text=None):
    return subprocess.run(argv, capture_output=True, text=True, input=text)


def helm(chart, *args):
    folder = chart if os.path.isabs(chart) else os.path.join(CHARTS, chart)
    return run(HELM, "template", "test" if os.path.isabs(chart) else chart, folder, "-n", "linkerd", "--kube-version", KUBE, *args)


def tulle(*args, text=None):
    return run(os.path.join(BIN, "tulle"), *args, text=text)


def render(folder, *args):
    return run(os.path.join(BIN, "chart_render"), folder, *args)


def same(wanted, got, what):
    if wanted == got:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("helm", wanted), ("tulle", got)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(content)
        diff = run("diff", "-U1", os.path.join(folder, "helm"), os.path.join(folder, "tulle")).stdout
    raise AssertionError(f"{what}: differs\n{diff[:3000]}")


def said_by_cli(text):
    return re.sub(r"linkerd\.io/created-by: linkerd/helm (\S+)$", r"linkerd.io/created-by: linkerd/cli \1", text, flags=re.M)


NAMESPACE = """---
apiVersion: v1
kind: Namespace
metadata:
  name: linkerd
  annotations:
    linkerd.io/inject: disabled
  labels:
    config.linkerd.io/admission-webhooks: disabled
    linkerd.io/control-plane-ns: linkerd
    linkerd.io/is-control-plane: "true"
    pod-security.kubernetes.io/enforce: restricted
"""


def overrides_of(manifests):
    secret = list(yaml.safe_load_all(manifests))[-1]
    assert (secret["kind"], secret["metadata"]["name"], secret["metadata"]["namespace"]) == ("Secret", "linkerd-config-overrides", "linkerd"), secret
    assert secret["metadata"]["labels"] == {"linkerd.io/control-plane-ns": "linkerd"}, secret
    return base64.b64decode(secret["data"]["linkerd-config-overrides"]).decode()


def reasons(stderr):
    """What Helm says, without where it says it."""
    text = stderr.split("Use --debug flag")[0].strip()
    text = re.sub(r"^.*?Error: ", "", text, flags=re.S)
    if "don't meet the specifications of the schema" in text:
        return re.findall(r"^- (?:at )?(.*)$", text, flags=re.M)
    return [re.sub(r"^execution error at \(.*?\): ", "", text)]


def refused_alike(args, wanted, got):
    assert wanted.returncode == got.returncode == 1, f"{args}: {wanted.returncode} {got.returncode} {wanted.stderr} {got.stderr}"
    assert got.stdout == "", got.stdout
    for reason in reasons(wanted.stderr):
        assert reason in got.stderr, f"{args}: Helm: {reason}\ntulle: {got.stderr}"


def compare(folder, args, extra=()):
    """The same values for both; what is stored gives the same again, also to Helm."""
    wanted = helm("linkerd-control-plane", *args)
    got = tulle("install", "--ignore-cluster", *args, *extra)
    if wanted.returncode != 0:
        refused_alike(args, wanted, got)
        return None
    assert got.returncode == 0, got.stderr
    assert got.stdout.startswith(NAMESPACE), got.stdout[:600]
    end = got.stdout.rindex("\n---\n") + 1
    same(said_by_cli(wanted.stdout), got.stdout[len(NAMESPACE):end], " ".join(args))
    stored = os.path.join(folder, "stored.yaml")
    with open(stored, "w", encoding="utf-8") as f:
        f.write(overrides_of(got.stdout))
    same(wanted.stdout, helm("linkerd-control-plane", "-f", stored).stdout, "stored values of " + " ".join(args))
    again = tulle("upgrade", "--from-manifests", "-", text=got.stdout)
    assert again.returncode == 0, again.stderr
    same(got.stdout, again.stdout, "upgrade of " + " ".join(args))
    return got


# A line for each: what --set and its kin say. Every kind of value that the chart documents.
SINGLE = [
    [], ["--set", "clusterDomain=example.org"], ["--set", "disableIPv6=false"], ["--set-string", "linkerdVersion=2"],
    ["--set", "linkerdVersion=edge-1.2"], ["--set", "imagePullPolicy=Always"], ["--set", "imagePullSecrets[0].name=pull,imagePullSecrets[1].name=more"],
    ["--set", "revisionHistoryLimit=0"], ["--set", "controllerLogLevel=debug,controllerLogFormat=json"], ["--set", "controllerImage=example.org/c,controllerImageVersion=v9"],
    ["--set", "controllerReplicas=3"], ["--set", "controllerUID=1000,controllerGID=1001"], ["--set", "enablePodAntiAffinity=true"],
    ["--set", "enablePodDisruptionBudget=true"], ["--set", "enablePodDisruptionBudget=true,controller.podDisruptionBudget.maxUnavailable=50%"],
    ["--set", "deploymentStrategy.type=Recreate,deploymentStrategy.rollingUpdate=null"], ["--set", "nodeSelector.disk=ssd"],
    ["--set", "nodeSelector.kubernetes\\.io/os=null,nodeSelector.a\\.b/c=d"], ["--set", "nodeSelector=null"],
    ["--set", "tolerations[0].key=dedicated,tolerations[0].operator=Exists,tolerations[0].tolerationSeconds=3600"],
    ["--set", "priorityClassName=system-cluster-critical,runtimeClassName=gvisor"], ["--set", "podAnnotations.a=1,podAnnotations.b=two words"],
    ["--set-string", "podAnnotations.a=true,podLabels.b=2"], ["--set", "podLabels.team=mesh"], ["--set", "commonLabels.team=mesh,commonLabels.zone=a"],
    ["--set", "controllerResources.cpu.request=100m,controllerResources.memory.limit=250Mi"], ["--set", "identityTrustDomain=trust.example"],
    ["--set", "identity.issuer.scheme=kubernetes.io/tls"], ["--set", "identity.issuer.scheme=kubernetes.io/tls,identity.externalCA=true"],
    ["--set", "identity.externalCA=true"], ["--set", "identity.issuer.issuanceLifetime=1h,identity.issuer.clockSkewAllowance=5s"],
    ["--set", "identity.serviceAccountTokenProjection=false"], ["--set", "policyController.probeNetworks={10.0.0.0/8,fd00::/8}"],
    ["--set", "webhookFailurePolicy=Fail"], ["--set", "webhookFailurePolicy=Ignore,proxyInjector.timeoutSeconds=20"], ["--set", "proxyInjector.excludedNamespaces={}"],
    ["--set", "proxyInjector.namespaceSelector.matchExpressions[0].key=a,proxyInjector.namespaceSelector.matchExpressions[0].operator=Exists"],
    ["--set", "proxyInjector.namespaceSelector.matchLabels.mesh=on,proxyInjector.objectSelector.matchLabels.in=mesh"],
    ["--set", "proxyInjector.externalSecret=true,proxyInjector.injectCaFrom=linkerd/cert"],
    ["--set", "policyValidator.externalSecret=true,policyValidator.injectCaFromSecret=linkerd/secret"],
    ["--set", "profileValidator.externalSecret=true,profileValidator.caBundle=abc"], ["--set", "profileValidator.namespaceSelector=null"],
    ["--set", "proxy.image.name=example.org/p,proxy.image.version=v1,proxy.image.pullPolicy=Never"], ["--set", "proxy.logLevel=debug\\,linkerd=trace"],
    ["--set", "proxy.ports.inbound=5143,proxy.ports.admin=5191"], ["--set", "proxy.resources.cpu.limit=1,proxy.resources.memory.limit=250Mi"],
    ["--set", "proxy.runtime.workers.maximum=4,proxy.runtime.workers.maximumCPURatio=0.5"], ["--set", "proxy.cores=2"], ["--set", "proxy.uid=10,proxy.gid=11"],
    ["--set", "proxy.await=false,proxy.nativeSidecar=false,proxy.waitBeforeExitSeconds=30"], ["--set", "proxy.opaquePorts=25\\,3306"],
    ["--set", "proxy.defaultInboundPolicy=deny"], ["--set", "proxy.outboundTransportMode=transparent"], ["--set", "proxy.additionalEnv[0].name=A,proxy.additionalEnv[0].value=b"],
    ["--set", "proxy.securityContext.runAsNonRoot=true"], ["--set", "proxy.tracing.enabled=true,proxy.tracing.collector.endpoint=otel:4317"],
    ["--set", "proxyInit.iptablesMode=legacy,proxyInit.runAsRoot=true"], ["--set", "proxyInit.ignoreInboundPorts=1\\,2,proxyInit.skipSubnets=10.1.0.0/16"],
    ["--set", "networkValidator.timeout=30s"], ["--set", "cniEnabled=true"], ["--set", "debugContainer.image.version=x"], ["--set", "podMonitor.enabled=true"],
    ["--set", "podMonitor.enabled=true,podMonitor.controller.enabled=false,podMonitor.labels.release=prom"],
    ["--set", "podMonitor.enabled=true,podMonitor.proxy.enabled=false,podMonitor.scrapeInterval=30s,podMonitor.controller.honorTimestamps=true"],
    ["--set-string", "podMonitor.enabled=true,podMonitor.controller.namespaceSelector=any: true"], ["--set", "configReaders[0].name=viz,configReaders[0].namespace=linkerd-viz"],
    ["--set", "egress.globalEgressNetworkNamespace=egress"], ["--set", "disableHeartBeat=false,heartbeatSchedule=0 0 * * *"], ["--set", "prometheusUrl=http://prom:9090"],
    ["--set", "proxy.shutdownGracePeriod=2m"], ["--set", "global.some=thing"],
]

ISSUER = f"identityTrustAnchorsPEM: |\n{''.join('  ' + line + chr(10) for line in CA.splitlines())}" + \
    f"identity:\n  issuer:\n    tls:\n      crtPEM: |\n{''.join('        ' + line + chr(10) for line in CERTIFICATE.splitlines())}" + \
    f"      keyPEM: |\n{''.join('        ' + line + chr(10) for line in KEY.splitlines())}"

FILES = {
    "issuer.yaml": ISSUER,
    "anchors-only.yaml": f"identity: {{issuer: {{scheme: kubernetes.io/tls}}}}\nidentityTrustAnchorsPEM: {CA!r}\n".replace("'", '"'),
    "webhooks.yaml": f"proxyInjector: {{crtPEM: {CA!r}, keyPEM: {KEY!r}}}\nprofileValidator: {{crtPEM: {CA!r}, keyPEM: {KEY!r}}}\n".replace("'", '"'),
    "placement.yaml": "nodeSelector: {zone: a, \"true\": \"yes\", n: \"123\"}\ntolerations:\n- {key: a, operator: Exists, effect: NoSchedule}\n- key: b\n  value: \"true\"\n"
                      "nodeAffinity:\n  requiredDuringSchedulingIgnoredDuringExecution:\n    nodeSelectorTerms:\n    - matchExpressions: [{key: k, operator: In, values: [x, \"1\"]}]\n",
    "long.yaml": "podAnnotations:\n  long: this annotation goes on and on, with words enough to be folded by whoever writes YAML with lines of eighty characters\n"
                 "  multi: |\n    one\n    two\n  quoted: 'a: b # c'\n  number: \"1.50\"\n  date: \"2026-01-02\"\n  on: \"on\"\n  empty: \"\"\n",
    "numbers.yaml": "controllerReplicas: 3\nproxy:\n  runtime: {workers: {minimum: 2, maximumCPURatio: 0.25}}\n  waitBeforeExitSeconds: 0x10\nproxyInit: {runAsUser: 1_000}\n",
    "nulls.yaml": "tolerations: ~\nproxy: {tracing: null, image: {version: null}}\npodMonitor: {labels: null}\n",
    "deep.yaml": "proxy:\n  additionalEnv:\n  - name: A\n    valueFrom: {fieldRef: {fieldPath: metadata.name}}\n  - {name: B, value: \"{{ not a template }}\"}\n",
    "empty.yaml": "",
}


def files_in(folder):
    for name, content in FILES.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(content)
    return {name: os.path.join(folder, name) for name in FILES}


def test_functions(_):
    folder = os.path.join(HERE, "functions")
    for args in ([], ["--set", "int=5,list={x,y},nested.a.new=null,new.deep[2].x=1"], ["--set-string", "int=5,nested.z=1.50,float=null"]):
        wanted = helm(folder, *args)
        assert wanted.returncode == 0, wanted.stderr
        got = render(folder, *args)
        assert got.returncode == 0, got.stderr
        same(wanted.stdout, got.stdout, f"functions {args}")


def test_each_value(folder):
    refused = [args for args in SINGLE if compare(folder, args) is None]
    # A chart may come to refuse one of these by its schema; not many.
    assert len(refused) <= 5, refused


def test_files(folder):
    files = files_in(folder)
    ha = os.path.join(CHARTS, "linkerd-control-plane/values-ha.yaml")
    for name, path in files.items():
        compare(folder, ["-f", path])
        compare(folder, ["-f", ha, "-f", path])
    for one, two in itertools.permutations(["issuer.yaml", "placement.yaml", "long.yaml", "numbers.yaml", "deep.yaml"], 2):
        compare(folder, ["-f", files[one], "-f", files[two], "--set", "proxy.logLevel=info", "--set-string", "podAnnotations.z=1"])
    with open(os.path.join(folder, "ca"), "w", encoding="utf-8") as f:
        f.write(CA)
    compare(folder, ["-f", files["issuer.yaml"], "--set-file", f"identityTrustAnchorsPEM={folder}/ca"])


def test_ha(folder):
    ha = os.path.join(CHARTS, "linkerd-control-plane/values-ha.yaml")
    wanted = compare(folder, ["-f", ha]).stdout
    same(wanted, tulle("install", "--ignore-cluster", "--ha").stdout, "--ha")
    wanted = compare(folder, ["-f", ha, "--set", "controllerReplicas=5"]).stdout
    same(wanted, tulle("install", "--ignore-cluster", "--ha", "--set", "controllerReplicas=5").stdout, "--ha --set")


def test_flags_of_linkerd(folder):
    for name, content in (("ca", CA), ("crt", CERTIFICATE), ("key", KEY)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(content)
    wanted = tulle("install", "--ignore-cluster", "--set-file", f"identityTrustAnchorsPEM={folder}/ca,identity.issuer.tls.crtPEM={folder}/crt,identity.issuer.tls.keyPEM={folder}/key",
                   "--set", "controllerReplicas=2,proxy.ports.inbound=5000,disableHeartBeat=true,proxyInit.ignoreInboundPorts=1\\,2")
    got = tulle("install", "--ignore-cluster", "--identity-trust-anchors-file", f"{folder}/ca", "--identity-issuer-certificate-file", f"{folder}/crt",
                "--identity-issuer-key-file", f"{folder}/key", "--controller-replicas", "2", "--inbound-port", "5000", "--disable-heartbeat", "--skip-inbound-ports", "1,2")
    assert got.returncode == 0, got.stderr
    same(wanted.stdout, got.stdout, "flags")


def test_crds(_):
    for args, status in (([], 0), (["--set", "installGatewayAPI=false"], 0), (["--set", "enableHttpRoutes=true"], 0), (["--set", "installGatewayAPI=true"], 0),
                         (["--set", "installGatewayAPI=true,enableHttpRoutes=false"], 0), (["--set", "installGatewayAPI=5"], 1)):
        wanted, got = helm("linkerd-crds", *args), tulle("install", "--crds", "--ignore-cluster", *args)
        assert wanted.returncode == got.returncode == status, wanted.stderr + got.stderr
        same(said_by_cli(wanted.stdout), got.stdout, f"crds {args}")


def test_other_namespace(_):
    got = tulle("install", "--ignore-cluster", "-L", "mesh")
    wanted = run(HELM, "template", "linkerd-control-plane", os.path.join(CHARTS, "linkerd-control-plane"), "-n", "mesh", "--kube-version", KUBE)
    middle = got.stdout[got.stdout.index("\n---\n") + 1:got.stdout.rindex("\n---\n") + 1]
    same(said_by_cli(wanted.stdout), middle, "-n mesh")


def test_json(_):
    import json
    documents = list(yaml.safe_load_all(tulle("install", "--ignore-cluster").stdout))
    lines = tulle("install", "--ignore-cluster", "-o", "json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == documents


REFUSED = [
    ["--set", "identity.issuer.scheme=other"], ["--set", "identity.issuer.tls.crtPEM=x"], ["--set", "identity.issuer.tls.crtPEM=x,identity.issuer.tls.keyPEM=y"],
    ["--set", "identityTrustAnchorsPEM=x"], ["--set", "enablePSP=true"], ["--set", "webhookFailurePolicy=Perhaps"], ["--set", "proxyInit.iptablesMode=plain"],
    ["--set", "proxyInjector.injectCaFrom=a,proxyInjector.injectCaFromSecret=b"], ["--set", "proxyInjector.externalSecret=true"],
    ["--set", "policyValidator.injectCaFrom=a"], ["--set", "profileValidator.caBundle=x,profileValidator.injectCaFrom=a,profileValidator.externalSecret=true"],
]


def test_refusals(_):
    for args in REFUSED:
        refused_alike(args, helm("linkerd-control-plane", *args), tulle("install", "--ignore-cluster", *args))


def test_types(_):
    """A value of a wrong type: both refuse, and tulle names the value."""
    for args, path in ((["--set", "controllerReplicas=many"], "controllerReplicas"), (["--set", "proxy=none"], "proxy"), (["--set", "disableIPv6=perhaps"], "disableIPv6")):
        wanted, got = helm("linkerd-control-plane", *args), tulle("install", "--ignore-cluster", *args)
        if wanted.returncode == 0:  # a chart without a schema takes it
            continue
        assert got.returncode == 1 and got.stderr.startswith("tulle: "), f"{args}: {got.stderr}"
        if os.path.exists(os.path.join(CHARTS, "linkerd-control-plane/values.schema.json")):
            assert path in got.stderr, f"{args}: {got.stderr}"


def test_unknown_values(_):
    got = tulle("install", "--ignore-cluster", "--set", "proxy.imge.name=x,controllerReplica=2,logLevel=debug,qqqqqqqqqqqq=1,nodeSelector.free=x")
    assert got.returncode == 0, got.stderr
    for line in ("proxy.imge is not known and has no effect; did you mean proxy.image?", "controllerReplica is not known and has no effect; did you mean controllerReplicas?",
                 "the value qqqqqqqqqqqq is not known and has no effect\n", "logLevel is not known and has no effect; did you mean "):
        assert line in got.stderr, got.stderr
    assert "nodeSelector" not in got.stderr, got.stderr


def test_bad_flags(folder):
    path = os.path.join(folder, "broken.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write("a: [1\n")
    for args in (["--set", "a.b"], ["--set", "a[x]=1"], ["--set", "a[-1]=1"], ["--set", "a={1,2"], ["--set", "proxy.await.x[0=1"], ["-f", path], ["-f", "/nowhere"],
                 ["--set-file", "a=/nowhere"], ["--set", "a=1,a.b=2"]):
        wanted, got = helm("linkerd-control-plane", *args), tulle("install", "--ignore-cluster", *args)
        assert wanted.returncode != 0 and got.returncode != 0 and got.stderr.startswith("tulle: "), f"{args}: {wanted.returncode} {got.returncode} {got.stderr}"


# Templates that both refuse; the words that both use.
BROKEN = [
    ("{{ .Values.missing.deeper }}", "nil pointer evaluating interface {}.deeper"), ("{{ fail \"no: way\" }}", "no: way"), ("{{ required \"need it\" .Values.missing }}", "need it"),
    ("{{ nosuch 1 }}", "function \"nosuch\" not defined"), ("{{ if }}x{{ end }}", "missing value for if"), ("{{ if true }}x", "unexpected EOF"), ("{{ end }}", "unexpected {{end}}"),
    ("{{ $x }}", "undefined variable"), ("{{ eq 1 1.5 }}", "incompatible types for comparison"), ("{{ eq .Values.int 1 }}", "incompatible types for comparison"),
    ("{{ trim .Values.missing }}", "expected string"), ("{{ trim .Values.int }}", "wrong type for value; expected string; got float64"), ("{{ indent \"x\" \"y\" }}", "x"),
    ("{{ until (int64 3) }}", "wrong type for value; expected int; got int64"), ("{{ .Chart.Nope }}", "can't evaluate field Nope in type"),
    ("{{ template \"nope\" }}", "template \"nope\" not defined"), ("{{ include \"nope\" . }}", "nope"), ("{{ index .Values.numbers 9 }}", "out of range"), ("{{ len 3 }}", "len of type int"),
    ("{{ range .Values.text }}{{ end }}", "range can't iterate over some text"), ("{{ lt 1 \"a\" }}", "incompatible types for comparison"), ("{{ trim \"a\" \"b\" }}", "wrong number of args for trim: want 1 got 2"),
    ("{{ .Values.text.more }}", "can't evaluate field more in type"), ("{{ define \"x\" }}{{ define \"y\" }}{{ end }}{{ end }}", "unexpected "), ("{{ \"unterminated }}", "unterminated quoted string"),
    ("{{/* open", "unclosed comment"), ("{{ 1 | 2 }}", "non executable command in pipeline stage 2"), ("{{ break }}", "{{break}} outside {{range}}"), ("a: [1", "YAML parse error"),
    ("{{ (1", "unclosed"), ("{{ tpl \"{{ nosuch }}\" . }}", "nosuch"), ("{{ div 1 0 }}", "divide by zero"), ("{{ .Values.int 3 }}", "is not a method but has arguments"),
]


def test_broken_templates(folder):
    chart = os.path.join(folder, "chart")
    run("cp", "-r", os.path.join(HERE, "functions"), chart)
    for name in os.listdir(os.path.join(chart, "templates")):
        os.remove(os.path.join(chart, "templates", name))
    for text, words in BROKEN:
        with open(os.path.join(chart, "templates", "one.yaml"), "w", encoding="utf-8") as f:
            f.write("# first\n" + text + "\n")
        wanted, got = helm(chart), render(chart)
        assert wanted.returncode == 1 and got.returncode == 1, f"{text}: {wanted.returncode} {got.returncode} {got.stdout}"
        assert words in wanted.stderr, f"{text}: Helm says {wanted.stderr}"
        assert words in got.stderr or words in ("missing value for if", "unexpected EOF", "nope", "x"), f"{text}: {words} is not in {got.stderr}"
        assert "templates/one.yaml" in got.stderr, got.stderr
        if "YAML" not in words:
            assert re.match(r"functions/templates/one\.yaml:\d+: ", got.stderr), got.stderr


def test_left_out_by_name(folder):
    chart = os.path.join(folder, "chart")
    run("cp", "-r", os.path.join(HERE, "functions"), chart)
    with open(os.path.join(chart, "templates", "one.yaml"), "w", encoding="utf-8") as f:
        f.write("a: b\nc: {{ genCA \"x\" 1 }}\n")
    got = render(chart)
    assert got.returncode == 1 and got.stderr.startswith('functions/templates/one.yaml:2: Helm\'s function "genCA"'), got.stderr


def test_upgrade(folder):
    first = tulle("install", "--ignore-cluster", "--set", "proxy.logLevel=debug,controllerReplicas=2")
    path = os.path.join(folder, "installed.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(first.stdout)
    got = tulle("upgrade", "--from-manifests", path, "--set", "controllerReplicas=3")
    assert got.returncode == 0, got.stderr
    wanted = tulle("install", "--ignore-cluster", "--set", "proxy.logLevel=debug,controllerReplicas=3")
    same(wanted.stdout, got.stdout, "upgrade")
    # A number that is stored stays one; Helm's own way over YAML would make it 1.00065e+09.
    first = tulle("install", "--ignore-cluster", "--set", "controllerUID=1000650000")
    assert "runAsUser: 1000650000\n" in first.stdout, first.stderr
    same(first.stdout, tulle("upgrade", "--from-manifests", "-", text=first.stdout).stdout, "upgrade of a large number")
    got = tulle("upgrade", "--from-manifests", "-", text="kind: Secret\nmetadata: {name: other}\n")
    assert got.returncode == 1 and "linkerd-config-overrides" in got.stderr, got.stderr
    # Anchors that running proxies trust are not dropped unasked.
    files = files_in(folder)
    first = tulle("install", "--ignore-cluster", "-f", files["issuer.yaml"])
    assert first.returncode == 0, first.stderr
    other, _ = CERTIFICATES.make("other")
    CERTIFICATES.make("others", by="other", san=SAN)
    issuer = [word for flag, end in (("certificate", "crt"), ("key", "key")) for word in (f"--identity-issuer-{flag}-file", CERTIFICATES.path(f"others.{end}"))]
    for content, flags, status in ((other, issuer, 1), (other, ["--force", *issuer], 0), (CA + other, [], 0), (CA + other, issuer, 0)):
        with open(os.path.join(folder, "new"), "w", encoding="utf-8") as f:
            f.write(content)
        got = tulle("upgrade", "--from-manifests", "-", "--identity-trust-anchors-file", f"{folder}/new", *flags, text=first.stdout)
        assert got.returncode == status, f"{flags}: {got.stderr}"
    # An issuer that the new anchors do not lead to is no more of use than one that is new.
    got = tulle("upgrade", "--from-manifests", "-", "--force", "--identity-trust-anchors-file", CERTIFICATES.path("other.crt"), text=first.stdout)
    assert got.returncode == 1 and got.stdout == "" and "not signed by any trust anchor" in got.stderr, got.stderr


def given(anchors="root", issuer="issuer", key=None):
    """The same three files as flags, as files of values, and in a file of values."""
    paths = {"anchors": CERTIFICATES.path(anchors + ".crt"), "certificate": CERTIFICATES.path(issuer + ".crt"), "key": CERTIFICATES.path((key or issuer) + ".key")}
    values = {"identityTrustAnchorsPEM": paths["anchors"], "identity.issuer.tls.crtPEM": paths["certificate"], "identity.issuer.tls.keyPEM": paths["key"]}
    yield (["--identity-trust-anchors-file", paths["anchors"], "--identity-issuer-certificate-file", paths["certificate"], "--identity-issuer-key-file", paths["key"]],
           {"identityTrustAnchorsPEM": f"--identity-trust-anchors-file {paths['anchors']}", "identity.issuer.tls.crtPEM": f"--identity-issuer-certificate-file {paths['certificate']}",
            "identity.issuer.tls.keyPEM": f"--identity-issuer-key-file {paths['key']}"})
    yield ([word for value, path in values.items() for word in ("--set-file", f"{value}={path}")], {value: f"--set-file {value}={path}" for value, path in values.items()})
    text = {value: open(path, encoding="utf-8").read() for value, path in values.items()}
    made = CERTIFICATES.path("values.yaml")
    with open(made, "w", encoding="utf-8") as f:
        yaml.safe_dump({"identityTrustAnchorsPEM": text["identityTrustAnchorsPEM"], "identity": {"issuer": {"tls": {
            "crtPEM": text["identity.issuer.tls.crtPEM"], "keyPEM": text["identity.issuer.tls.keyPEM"]}}}}, f)
    yield ["--values", made], {value: f"--values {made}" for value in values}


CRT, KEYS, ANCHORS = "identity.issuer.tls.crtPEM", "identity.issuer.tls.keyPEM", "identityTrustAnchorsPEM"


def test_issuer(_):
    """What is given is verified: each refusal names the value, where it came from and what to do, and nothing is printed."""
    c = CERTIFICATES
    c.make("stranger-root")
    c.make("stranger", by="stranger-root", san=SAN)
    c.make("ended", by="root", days=-1, san=SAN)
    c.make("leaf", by="root", ca=False, san=SAN)
    c.make("rsa", by="root", san=SAN, kind=("rsa:2048",))
    c.make("old-root", days=-1)
    c.make("brief", by="root", days=2, san=SAN)
    c.make("named", by="root", san="DNS:identity.linkerd.example.org")
    for name, text in (("broken.crt", "no certificate"), ("broken.key", "no key"), ("swapped.crt", KEY), ("swapped.key", CERTIFICATE)):
        with open(c.path(name), "w", encoding="utf-8") as f:
            f.write(text)
    for arguments, value, words in (
            ({"issuer": "stranger"}, CRT, ["not signed by any trust anchor", "put its root into"]), ({"anchors": "stranger-root"}, CRT, ["not signed by any trust anchor"]),
            ({"issuer": "ended"}, CRT, ["ended on", "renew it"]), ({"issuer": "leaf"}, CRT, ["isCA: true"]), ({"issuer": "rsa"}, CRT, ["RSA 2048", "use ECDSA P-256"]),
            ({"key": "stranger"}, KEYS, ["do not belong together"]), ({"anchors": "old-root"}, ANCHORS, ["ended on", "replace it"]),
            ({"anchors": "broken"}, ANCHORS, ["cannot be read as PEM"]), ({"issuer": "broken"}, CRT, ["cannot be read as PEM"]), ({"key": "broken"}, KEYS, ["private key cannot be read"]),
            ({"issuer": "swapped"}, CRT, ["are the two swapped"])):
        for flags, sources in given(**arguments):
            got = tulle("install", "--ignore-cluster", *flags)
            assert got.returncode == 1 and got.stdout == "", (flags, got.returncode)
            for word in (f"{value} ({sources[value]})", *words):
                assert word in got.stderr, f"{word} is not in: {got.stderr}"
            assert KEY.splitlines()[1] not in got.stderr, got.stderr
    for arguments, words in (({"issuer": "brief"}, ["warning: ", CRT, "will expire on"]), ({"issuer": "named"}, ["is for identity.linkerd.example.org, not for identity.linkerd.cluster.local"])):
        for flags, _ in given(**arguments):
            got = tulle("install", "--ignore-cluster", *flags)
            assert got.returncode == 0 and all(word in got.stderr for word in words), got.stderr
    flags = next(given(issuer="named"))[0]
    assert tulle("install", "--ignore-cluster", "--cluster-domain", "example.org", *flags).stderr == ""
    # With others to bring the issuer, there is none to give; anchors are verified all the same.
    got = tulle("install", "--ignore-cluster", "--identity-external-issuer", *next(given())[0])
    assert got.returncode == 1 and got.stdout == "" and "--identity-external-issuer" in got.stderr and CRT in got.stderr, got.stderr
    anchors = ["--identity-external-issuer", "--identity-trust-anchors-file"]
    assert tulle("install", "--ignore-cluster", *anchors, c.path("root.crt")).returncode == 0
    got = tulle("install", "--ignore-cluster", *anchors, c.path("old-root.crt"))
    assert got.returncode == 1 and ANCHORS in got.stderr and "ended on" in got.stderr, got.stderr
    # With anchors of others nothing is known of where the issuer leads.
    assert tulle("install", "--ignore-cluster", "--identity-external-ca", *next(given(issuer="stranger"))[0]).returncode == 0
    # What an installation has already does not keep it from its next version.
    old = tulle("install", "--ignore-cluster", *next(given(issuer="brief"))[0])
    with open(c.path("offset"), "w", encoding="utf-8") as f:
        f.write(str(3 * 86400))
    later = {**os.environ, "TULLE_CLOCK_OFFSET_FILE": c.path("offset")}
    for flags, status, word in (([], 0, "warning: identity.issuer.tls.crtPEM ended on"), (next(given(issuer="brief", anchors="root"))[0][:2], 0, "ended on"),
                                (next(given(issuer="ended"))[0], 1, "--identity-issuer-certificate-file")):
        got = subprocess.run((os.path.join(BIN + "-for-tests", "tulle"), "upgrade", "--from-manifests", "-", *flags), input=old.stdout, capture_output=True, text=True, env=later)
        assert got.returncode == status and word in got.stderr and (got.stdout == "") == (status != 0), (flags, got.stderr)


def main():
    wanted = sys.argv[2:]
    tests = [(name[5:], test) for name, test in sorted(globals().items()) if name.startswith("test_") and (not wanted or name[5:] in wanted)]
    failed = 0
    print(f"1..{len(tests)}")
    for number, (name, test) in enumerate(tests, 1):
        try:
            with tempfile.TemporaryDirectory() as folder:
                test(folder)
            print(f"ok {number} - {name}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
