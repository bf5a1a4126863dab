#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The charts with the real Helm: what they render, what they refuse, what they warn of; installed into a real API server.

usage: charts_test.py [CASE...]      (root; prints TAP; everything runs in a network and pid namespace of its own)
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "support"), os.path.join(TOP, "tests", "apiserver")]
from apiserver import ApiServer, Pki, run, until  # noqa: E402 - after the path is known
from cases import Cases  # noqa: E402

CHARTS = os.path.join(TOP, "charts")
NAMES = ("linkerd-crds", "linkerd-control-plane", "linkerd2")
PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
ISSUER = {"identityTrustAnchorsPEM": PEM, "identity": {"issuer": {"tls": {"crtPEM": PEM, "keyPEM": PEM}}}}
OUTSIDE = {"externalSecret": True, "caBundle": PEM}
MONITORS = {"podMonitor": {"enabled": True}}
# What a value needs beside it to mean something.
OWN_KEY = {"crtPEM": PEM, "keyPEM": PEM}
BESIDE = {
    "identityTrustAnchorsPEM": ISSUER, "identity.issuer.tls": ISSUER, "identity.externalCA": ISSUER, "podMonitor.enabled": {}, "podMonitor": MONITORS,
    "controller.podDisruptionBudget": {"enablePodDisruptionBudget": True},
    **{f"{webhook}.{key}": {webhook: beside} for webhook in ("proxyInjector", "profileValidator", "policyValidator") for key, beside in (
        ("externalSecret", {**OWN_KEY, "caBundle": PEM}), ("caBundle", OUTSIDE), ("crtPEM", OWN_KEY), ("keyPEM", OWN_KEY),
        ("injectCaFrom", {"externalSecret": True, "injectCaFrom": "a/b"}), ("injectCaFromSecret", {"externalSecret": True, "injectCaFromSecret": "a/b"}))}}
# Another value than the default where one made up would not do.
OTHER = {"identityTrustAnchorsPEM": PEM + PEM, "identity.issuer.tls.crtPEM": PEM + PEM, "identity.issuer.tls.keyPEM": PEM + PEM,
         "deploymentStrategy": {"rollingUpdate": {"maxUnavailable": 0}}, "tolerations": [{"operator": "Exists"}],
         "podMonitor.controller.namespaceSelector": "matchNames: [other]", "configReaders": [{"name": "a", "namespace": "b"}]}
# Neither in a manifest nor read by the injector, and why that is right.
ELSEWHERE = {"highAvailability": "`linkerd-config`, for `check`"}


def merged(*trees):
    out = {}
    for tree in trees:
        for key, value in tree.items():
            out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def tree(path, value):
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def leaves(schema, path=""):
    for key, inner in schema["properties"].items():
        full = f"{path}.{key}".lstrip(".")
        if "properties" in inner:
            yield from leaves(inner, full)
        else:
            yield full, inner


def schema_of(chart):
    with open(os.path.join(CHARTS, chart, "values.schema.json"), encoding="utf-8") as f:
        return json.load(f)


def default_of(values, path):
    for key in path.split("."):
        values = values[key]
    return values


def another(path, schema, default):
    """A value of the right type that is not the default."""
    kinds = schema.get("type", "")
    if path in OTHER:
        return OTHER[path]
    if "enum" in schema:
        return next(value for value in schema["enum"] if value not in (default, ""))
    if "boolean" in kinds:
        return not default
    if "integer" in kinds or kinds == "number":
        return (default if isinstance(default, int) else 6) + 1
    if "array" in kinds:
        item = {"name": "ADDED", "value": "x"} if "required" in schema.get("items", {}) else "added"
        return [*(default or []), item]
    if "object" in kinds:
        return {"matchLabels": {"added": "x"}} if "additionalProperties" not in schema and path.endswith("Selector") else {"added": "x"}
    return "7s" if re.fullmatch(r"[0-9][0-9hms]*s", str(default)) else "7"


class Helm:
    def __init__(self, folder):
        self.program = run(os.path.join(TOP, "tests/e2e/cluster/build"), "helm").split()[1]
        self.folder, self.count, self.kubeconfig = folder, 0, ""
        with open(os.path.join(CHARTS, "linkerd-control-plane/values.yaml"), encoding="utf-8") as f:
            self.defaults = yaml.safe_load(f)

    def call(self, *argv, values=None):
        """(exit code, standard output, standard error)"""
        if values is not None:
            self.count += 1
            path = f"{self.folder}/values{self.count}.yaml"
            with open(path, "w", encoding="utf-8") as f:
                yaml.safe_dump(values, f)
            argv += ("--values", path)
        environment = {**os.environ, "HOME": self.folder, "KUBECONFIG": self.kubeconfig}
        done = subprocess.run([self.program, *argv], capture_output=True, text=True, env=environment, check=False)
        return done.returncode, done.stdout, done.stderr

    def ok(self, *argv, values=None):
        code, out, errors = self.call(*argv, values=values)
        assert code == 0, (argv, values, errors)
        return out

    def template(self, chart, values=None, ns="linkerd"):
        path = chart if "/" in chart else os.path.join(CHARTS, chart)
        return self.ok("template", "mesh", path, "-n", ns, "--kube-version", "1.34.0", values=values or {})

    def template_each(self, chart, many):
        """What the chart renders with each of these values, all by one Helm: they are its dependencies, under names of their own."""
        wrapper = tempfile.mkdtemp(prefix="wrapper", dir=self.folder)
        shutil.copytree(os.path.join(CHARTS, chart), f"{wrapper}/charts/{chart}")
        with open(f"{wrapper}/Chart.yaml", "w", encoding="utf-8") as f:
            yaml.safe_dump({"apiVersion": "v2", "name": "wrapper", "version": "0.1.0",
                            "dependencies": [{"name": chart, "version": "*", "alias": f"v{i}"} for i in range(len(many))]}, f)
        made = self.template(wrapper, {f"v{i}": values for i, values in enumerate(many)})
        out = [""] * len(many)
        for source, text in re.findall(r"^# Source: wrapper/charts/v(\d+)/\S+\n(.*?)(?=^---$|\Z)", made, re.M | re.S):
            out[int(source)] += f"---\n{text}"
        return out

    def refusal(self, chart, values):
        code, _, errors = self.call("template", "mesh", os.path.join(CHARTS, chart), "--kube-version", "1.34.0", values=values)
        assert code != 0, (chart, values)
        return errors

    def package(self, chart):
        made = self.ok("package", os.path.join(CHARTS, chart), "-d", self.folder)
        return re.search(r"saved it to: (\S+)", made).group(1)


def objects(text):
    """(kind, name) → object; what names the chart itself is left out."""
    out = {}
    for made in filter(None, yaml.safe_load_all(text)):
        made["metadata"].get("labels", {}).pop("helm.sh/chart", None)
        key = made["kind"], made["metadata"]["name"]
        assert key not in out, key
        out[key] = made
    return out


def lint_finds_nothing(w):
    for chart in NAMES:
        for path in (os.path.join(CHARTS, chart), w.helm.package(chart)):
            out = w.helm.ok("lint", "--strict", path)
            assert not re.search(r"\[(WARNING|ERROR)\]", out), out


def rendered_twice_it_is_the_same(w):
    every = merged(MONITORS, {"enablePodDisruptionBudget": True, "enablePodAntiAffinity": True})
    for values in ({}, ISSUER, every):
        for chart in NAMES:
            values_here = values if chart != "linkerd-crds" else {}
            assert w.helm.template(chart, values_here) == w.helm.template(chart, values_here)


def table_of(places):
    """Markdown: place → values, in the order of values.yaml."""
    by_place = {}
    for path, place in places.items():
        by_place.setdefault(place, []).append(f"`{path}`")
    rows = "".join(f"| {place} | {', '.join(paths)} |\n" for place, paths in sorted(by_place.items(), key=lambda item: item[0].lower()))
    return ("# Where each value takes effect\n\nMade by `tests/charts/charts_test.py`, which changes one value after the other and looks. Every value is in the\n"
            "ConfigMap `linkerd-config`, too. `Deployment` is `linkerd-control-plane`: flags, resources, placement.\n\n"
            "| Where | Values of linkerd-control-plane |\n|---|---|\n" + rows)


def every_value_does_something(w):
    """…in a manifest, in the injector, or it is warned of. Only a chart's own copy of the values does not count."""
    with open(os.path.join(TOP, "lib/inject/config.cc"), encoding="utf-8") as f:
        read = re.findall(r'in\.(\w+)\("([\w.-]+)"', f.read())
    injector = {path for _, path in read}

    def injected(path):
        return any(path == known or path.startswith(known + ".") for known in injector)

    def without_copy(text):
        made = objects(text)
        del made["ConfigMap", "linkerd-config"]
        return made

    silent, idle, places, tried = {}, {}, {}, []
    for path, schema in leaves(schema_of("linkerd-control-plane")):
        value = another(path, schema, default_of(w.helm.defaults, path))
        if path == "enablePSP":
            places[path] = "refused"
        elif injected(path):
            places[path] = "pods that are injected"
            idle[path] = value
        else:
            places[path] = ""
            beside = next((beside for known, beside in BESIDE.items() if path == known or path.startswith(known + ".")), {})
            tried.append((path, value, beside, merged(beside, tree(path, value))))
    rendered = map(without_copy, w.helm.template_each("linkerd-control-plane", [values for _, _, *both in tried for values in both]))
    for path, value, *_ in tried:
        plain, made = next(rendered), next(rendered)
        kinds = {kind for kind, name in {*made, *plain} if made.get((kind, name)) != plain.get((kind, name))}
        places[path] = "every object" if len(kinds) > 8 else ", ".join(sorted(kinds))
        if not kinds:
            silent[path] = value
    assert "PodSecurityPolicy" in w.helm.refusal("linkerd-control-plane", {"enablePSP": True})
    everything = merged(*(tree(path, value) for path, value in {**silent, **idle}.items()), ISSUER)
    warned = set(re.findall(r"WARNING: the value (\S+) has no effect", w.notes("linkerd-control-plane", everything)))
    left = [path for path in silent if path not in warned and path not in ELSEWHERE]
    assert not left, f"no effect and no warning: {left}"
    places.update({**ELSEWHERE, **{path: "nowhere: a warning says so" for path in warned}})
    written = os.path.join(TOP, "docs/values.md")
    if os.environ.get("TULLE_WRITE"):
        with open(written, "w", encoding="utf-8") as f:
            f.write(table_of(places))
    with open(written, encoding="utf-8") as f:
        assert f.read() == table_of(places), "docs/values.md is not what was seen: run this case with TULLE_WRITE=1"
    return {"warned": len(warned)}


def wrong_types_are_refused_by_name(w):
    for chart in NAMES:
        wrong, names = {}, []
        for path, schema in leaves(schema_of(chart)):
            takes = schema.get("type", "")
            wrong = merged(wrong, tree(path, "wrong" if takes in ("boolean", "integer", "object", "array") or isinstance(takes, list) and "string" not in takes
                                       else [1]))
            names.append(path.replace(".", "/"))
        errors = w.helm.refusal(chart, wrong)
        missing = [name for name in names if f"'/{name}'" not in errors]
        assert not missing, (missing, errors[:2000])


def contradictions_are_refused(w):
    for values, told in (
            ({"proxyInjector": {"injectCaFrom": "a/b"}}, "needs externalSecret"),
            ({"proxyInjector": {"externalSecret": True}}, "externalSecret needs one of"),
            ({"policyValidator": {"externalSecret": True, "caBundle": PEM, "injectCaFrom": "a/b"}}, "two sources of trust"),
            ({"profileValidator": {"externalSecret": True, "injectCaFrom": "a/b", "injectCaFromSecret": "c/d"}}, "not both"),
            ({"profileValidator": {"crtPEM": PEM}}, "belong together"),
            ({"identity": {"issuer": {"tls": {"crtPEM": PEM}}}}, "belong together"),
            ({"identityTrustAnchorsPEM": PEM}, "without an issuer")):
        for chart in ("linkerd-control-plane", "linkerd2"):
            errors = w.helm.refusal(chart, values)
            assert told in errors, errors


def kinds_of_the_gateway_api_are_those_that_are_published(w):
    """From the folder, from the packed chart, from the umbrella: which kinds, which versions, marked to be kept; without them a command."""
    run(os.path.join(TOP, "tools/fetch-gateway-api"))
    http, tls, tcp = {"httproutes", "grpcroutes"}, {"tlsroutes"}, {"tcproutes"}
    for path in (*(os.path.join(CHARTS, chart) for chart in ("linkerd-crds", "linkerd2")), *map(w.helm.package, ("linkerd-crds", "linkerd2"))):
        for values, wanted in (({}, set()), ({"installGatewayAPI": True}, http | tls | tcp), ({"enableHttpRoutes": True}, http), ({"enableTlsRoutes": True, "enableTcpRoutes": True}, tls | tcp),
                               ({"installGatewayAPI": True, "enableHttpRoutes": False, "enableTcpRoutes": False}, tls)):
            made = {name.partition(".")[0]: one for (kind, name), one in objects(w.helm.template(path, values)).items() if name.endswith(".gateway.networking.k8s.io")}
            assert set(made) == wanted, (path, values, set(made))
            for one in made.values():
                about = one["metadata"]["annotations"]
                assert about["helm.sh/resource-policy"] == "keep" and about["gateway.networking.k8s.io/bundle-version"] == "v1.1.1", about
                assert about["linkerd.io/created-by"].startswith("linkerd/helm ") and one["metadata"]["labels"] == {"linkerd.io/control-plane-ns": "linkerd"}, one["metadata"]
            versions = {plural: [(v["name"], v["storage"]) for v in one["spec"]["versions"] if v["served"]] for plural, one in made.items()}
            published = {"httproutes": [("v1", True), ("v1beta1", False)], "grpcroutes": [("v1", True), ("v1alpha2", False)], "tlsroutes": [("v1alpha2", True)], "tcproutes": [("v1alpha2", True)]}
            assert versions == {plural: published[plural] for plural in wanted}, versions
    without = f"{w.helm.folder}/without/linkerd-crds"
    shutil.copytree(os.path.join(CHARTS, "linkerd-crds"), without, ignore=shutil.ignore_patterns("gateway-api"))
    for values in ({"installGatewayAPI": True}, {"enableTlsRoutes": True}):
        told = w.helm.refusal(without, values)
        assert "kubectl apply -f" in told and "tools/fetch-gateway-api" in told, told
    w.helm.template(without, {"installGatewayAPI": True, "enableHttpRoutes": False, "enableTlsRoutes": False, "enableTcpRoutes": False})


def numbers_do_where_text_holds_them(w):
    made = w.helm.template("linkerd-control-plane", {"proxy": {"opaquePorts": 3306, "resources": {"cpu": {"request": 1}}}, "controllerImageVersion": 2,
                                                     "controllerResources": {"cpu": {"limit": 2}}, "proxyInit": {"ignoreInboundPorts": 4567}})
    control = objects(made)["Deployment", "linkerd-control-plane"]["spec"]["template"]["spec"]["containers"][0]
    assert "--default-opaque-ports=3306" in control["args"] and control["image"].endswith(":2"), control
    assert control["resources"] == {"requests": {"memory": "16Mi"}, "limits": {"cpu": "2"}}, control["resources"]


def the_roles_share_one_pod(w):
    made = w.helm.template("linkerd-control-plane", {
        "podAnnotations": {"a": "all"}, "identity": {"podAnnotations": {"b": "identity", "linkerd.io/created-by": "me"}, "additionalEnv": [{"name": "B", "value": "1"}]},
        "destinationController": {"additionalEnv": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}], "livenessProbe": {"timeoutSeconds": 4}},
        "podLabels": {"linkerd.io/control-plane-component": "mine", "team": "x"}, "destinationResources": {"memory": {"limit": "1Gi", "request": "20Mi"}},
        "controllerResources": {"memory": {"limit": "2Gi"}}, "deploymentStrategy": {"type": "Recreate"}})
    deployment = objects(made)["Deployment", "linkerd-control-plane"]["spec"]
    meta, control = deployment["template"]["metadata"], deployment["template"]["spec"]["containers"][0]
    assert meta["annotations"]["a"] == "all" and meta["annotations"]["b"] == "identity" and meta["annotations"]["linkerd.io/created-by"].startswith("linkerd/helm")
    assert meta["labels"]["team"] == "x" and deployment["selector"]["matchLabels"].items() <= meta["labels"].items()
    assert [(e["name"], e.get("value")) for e in control["env"]] == [("POD_NAME", None), ("A", "2"), ("B", "3")], control["env"]
    assert control["livenessProbe"]["timeoutSeconds"] == 4 and control["readinessProbe"]["timeoutSeconds"] == 1
    assert control["resources"] == {"requests": {"memory": "20Mi"}, "limits": {"memory": "2Gi"}}, control["resources"]
    assert deployment["strategy"] == {"type": "Recreate"}


def secrets_are_read_by_their_names_only(w):
    """No role reads, lists or watches all Secrets; those that the control plane follows it may follow."""
    named = set()
    for chart in NAMES[1:]:
        made = objects(w.helm.template(chart, ISSUER if chart == "linkerd2" else {}))
        for (kind, name), one in made.items():
            for rule in one.get("rules") or [] if kind in ("Role", "ClusterRole") else []:
                if not {"secrets", "configmaps", "*"} & set(rule.get("resources", [])) or "" not in rule["apiGroups"]:
                    continue
                assert rule.get("resourceNames") or set(rule["verbs"]) == {"create"}, (chart, kind, name, rule)
                if "secrets" in rule["resources"] and {"get", "list", "watch"} <= set(rule["verbs"]):
                    named |= set(rule["resourceNames"])
    assert {"linkerd-identity-issuer", "linkerd-identity-rotation", "linkerd-proxy-injector-k8s-tls"} <= named, named


def monitors_select_as_linkerds_do(w):
    made = objects(w.helm.template("linkerd-control-plane", merged(MONITORS, {"podMonitor": {"labels": {"release": "prom"}, "scrapeInterval": "7s"}})))
    monitors = {name: one for (kind, name), one in made.items() if kind == "PodMonitor"}
    assert sorted(monitors) == ["linkerd-controller", "linkerd-multicluster-controller", "linkerd-proxy"]
    assert all(m["metadata"]["labels"]["release"] == "prom" and m["spec"]["podMetricsEndpoints"][0]["interval"] == "7s" for m in monitors.values())
    assert monitors["linkerd-controller"]["spec"]["namespaceSelector"] == {"matchNames": ["linkerd", "linkerd-viz"]}
    keep = monitors["linkerd-proxy"]["spec"]["podMetricsEndpoints"][0]["relabelings"][0]
    assert re.fullmatch(keep["regex"], "linkerd-proxy;linkerd-admin;linkerd"), keep
    ports = [p["name"] for p in made["Deployment", "linkerd-control-plane"]["spec"]["template"]["spec"]["containers"][0]["ports"]]
    keep = monitors["linkerd-controller"]["spec"]["podMetricsEndpoints"][0]["relabelings"][0]
    assert [p for p in ports if re.fullmatch(keep["regex"], p)] == ["admin-http"], ports


def the_umbrella_is_the_two_charts(w):
    values = merged(ISSUER, {"proxy": {"uid": 3000}, "controllerReplicas": 2, "enableH2Upgrade": False, "podLabels": {"team": "a"}})
    both = {**objects(w.helm.template("linkerd-crds")), **objects(w.helm.template("linkerd-control-plane", values))}
    old = merged(values, {"namespace": "linkerd", "installNamespace": False, "proxyInit": {"image": {"version": "v1.4.0"}}, "identity": {"issuer": {"crtExpiry": "2030-01-01T00:00:00Z"}}})
    for path in (os.path.join(CHARTS, "linkerd2"), w.helm.package("linkerd2")):
        one = objects(w.helm.template(path, old))
        for key in sorted({*one, *both}):
            if key[1] == "linkerd-config":
                ours, theirs = (yaml.safe_load(made[key]["data"].pop("values")) for made in (one, dict(both)))
                both[key]["data"]["values"] = yaml.safe_dump(theirs)
                assert ours == theirs, sorted(set(ours) ^ set(theirs))
                one[key]["data"]["values"] = both[key]["data"]["values"]
            assert one.get(key) == both.get(key), (key, one.get(key), both.get(key))


def old_keys_are_those_of_today(w):
    made = objects(w.helm.template("linkerd2", {"policyController": {"defaultAllowPolicy": "deny"}, "namespace": "mesh",
                                                "global": {"proxy": {"uid": 3000}, "clusterDomain": "example.org"}}, ns="default"))
    namespace = made["Namespace", "mesh"]["metadata"]
    assert namespace["labels"]["linkerd.io/is-control-plane"] == "true" and namespace["annotations"]["linkerd.io/inject"] == "disabled"
    values = yaml.safe_load(made["ConfigMap", "linkerd-config"]["data"]["values"])
    assert values["proxy"]["uid"] == 3000 and values["proxy"]["gid"] == -1 and values["proxy"]["defaultInboundPolicy"] == "deny"
    assert {o["metadata"].get("namespace", "mesh") for o in made.values()} == {"mesh"}
    arguments = made["Deployment", "linkerd-control-plane"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--cluster-domain=example.org", "--default-inbound-policy=deny", "--controller-namespace=mesh"} <= set(arguments), arguments
    assert ("Namespace", "mesh") not in objects(w.helm.template("linkerd2", {"namespace": "mesh"}, ns="mesh"))
    assert ("Namespace", "linkerd") not in objects(w.helm.template("linkerd2", {"installNamespace": False}, ns="default"))


def unknown_values_are_warned_of_at_every_depth(w):
    told = w.notes("linkerd-control-plane", {"proxyInnit": {}, "proxy": {"ressources": {}, "resources": {"cpu": {"requests": "1"}}}, "podLabels": {"free": "x"},
                                             "proxyInit": {"xtMountPath": {"path": "x"}}})
    unknown = re.findall(r"WARNING: the value (\S+) is not known", told)
    assert sorted(unknown) == ["proxy.resources.cpu.requests", "proxy.ressources", "proxyInit.xtMountPath.path", "proxyInnit"], told
    told = w.notes("linkerd-control-plane", {"global": {"proxy": {"uid": 1}, "nothing": 1}, "proxyInit": {"saMountPath": {"name": "x"}}, "cliVersion": "x"})
    assert re.findall(r"WARNING: the value (.*)", told) == ["global.nothing has no effect.", "global.proxy has no effect: it is proxy now."], told
    told = w.notes("linkerd2", {"stage": "config", "proxy": {"ressources": {}}, "global": {"proxyInnit": {}}, "proxyInit": {"image": {"version": "v1"}}})
    assert re.findall(r"WARNING: the value (\S+) is not known", told) == ["proxy.ressources", "proxyInnit"], told
    assert re.findall(r"WARNING: the value (\S+) has no effect", told) == ["proxyInit.image.version", "stage"], told
    for chart in NAMES:
        assert "WARNING" not in w.notes(chart, {}), chart
    assert "is not known" in w.notes("linkerd-crds", {"instalGatewayAPI": True})


def an_api_server_takes_them(w):
    """Installed, changed and taken away: with high availability, and the umbrella as users of 2.11 did."""
    assert w.server
    crds, plane = (os.path.join(CHARTS, c) for c in NAMES[:2])
    w.helm.ok("install", "linkerd-crds", crds, "-n", "linkerd", "--create-namespace")
    w.helm.ok("install", "linkerd-control-plane", plane, "-n", "linkerd")
    w.helm.ok("upgrade", "linkerd-control-plane", plane, "-n", "linkerd", "--values", os.path.join(plane, "values-ha.yaml"),
              values={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}, "tolerations": [{"operator": "Exists"}], "imagePullSecrets": [{"name": "x"}],
                      "priorityClassName": "system-cluster-critical", "configReaders": [{"name": "a", "namespace": "b"}], "identity": {"additionalEnv": [{"name": "A", "value": "b"}]},
                      "proxyInjector": {"namespaceSelector": {"matchLabels": {"a": "b"}}, "objectSelector": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}}})
    deployment = json.loads(w.server.kubectl("-n", "linkerd", "get", "deployment", "linkerd-control-plane", "-o", "json"))
    assert deployment["spec"]["replicas"] == 3
    for release in ("linkerd-control-plane", "linkerd-crds"):
        w.helm.ok("uninstall", release, "-n", "linkerd")
    kinds = "crd,clusterrole,clusterrolebinding,mutatingwebhookconfiguration,validatingwebhookconfiguration"
    until("nothing is left", lambda: not w.server.kubectl("get", kinds, "-o", "name", "-l", "linkerd.io/control-plane-ns"), 150)
    # Kinds of the Gateway API stay, and a later release takes them over.
    for _ in range(2):
        w.helm.ok("install", "linkerd-crds", crds, "-n", "linkerd", values={"installGatewayAPI": True})
        w.helm.ok("uninstall", "linkerd-crds", "-n", "linkerd")
        kept = {f"customresourcedefinition.apiextensions.k8s.io/{plural}.gateway.networking.k8s.io" for plural in ("grpcroutes", "httproutes", "tcproutes", "tlsroutes")}
        until("only those are left", lambda: set(w.server.kubectl("get", kinds, "-o", "name", "-l", "linkerd.io/control-plane-ns").split()) == kept, 150)
    w.server.kubectl("delete", *kept)
    packaged = w.helm.package("linkerd2")
    w.helm.ok("install", "linkerd2", packaged, "-n", "default", values=merged(ISSUER, {"namespace": "mesh", "installNamespace": True}))
    w.helm.ok("upgrade", "linkerd2", os.path.join(CHARTS, "linkerd2"), "-n", "default", values=merged(ISSUER, {"namespace": "mesh", "controllerReplicas": 2}))
    deployment = json.loads(w.server.kubectl("-n", "mesh", "get", "deployment", "linkerd-control-plane", "-o", "json"))
    assert deployment["spec"]["replicas"] == 2
    assert "servers.policy.linkerd.io" in w.server.kubectl("get", "crd", "-o", "name")
    w.helm.ok("uninstall", "linkerd2", "-n", "default")


class World:
    def __init__(self, folder):
        self.helm = Helm(folder)
        program = run(os.path.join(TOP, "tests/e2e/cluster/build"), "kube-node").split()[1]
        self.stopped = ApiServer(program, Pki(folder + "/pki"), folder + "/server")
        self.started = False

    @property
    def server(self):
        """The API server; runs from the first use on."""
        if not self.started:
            self.stopped.start()
            self.started = True
            self.helm.kubeconfig = self.stopped.pki.kubeconfig(self.stopped.port)
        return self.stopped

    def notes(self, chart, values):
        assert self.server
        return self.helm.ok("install", "mesh", os.path.join(CHARTS, chart), "-n", "default", "--dry-run=client", values=values).partition("NOTES:")[2]


CASES = [lint_finds_nothing, rendered_twice_it_is_the_same, every_value_does_something, wrong_types_are_refused_by_name, contradictions_are_refused,
         kinds_of_the_gateway_api_are_those_that_are_published,
         numbers_do_where_text_holds_them, the_roles_share_one_pod, secrets_are_read_by_their_names_only, monitors_select_as_linkerds_do, the_umbrella_is_the_two_charts, old_keys_are_those_of_today,
         unknown_values_are_warned_of_at_every_depth, an_api_server_takes_them]


def main():
    if os.environ.get("TULLE_INSIDE") != "1":
        # Whatever happens, everything ends with this process, and no packet leaves.
        argv = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, os.path.abspath(__file__), *sys.argv[1:])
        os.execvpe(argv[0], argv, {**os.environ, "TULLE_INSIDE": "1"})
    run("ip", "link", "set", "lo", "up")
    cases = Cases(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="tulle-charts-") as folder:
        run("mount", "-t", "tmpfs", "tmpfs", folder)  # in our own mount namespace; etcd waits for its disk otherwise
        try:
            w = World(folder)
            for case in CASES:
                cases.check(case, w)
            w.stopped.stop()
        finally:
            run("umount", "--lazy", folder)
    cases.end()


if __name__ == "__main__":
    main()
