// SPDX-License-Identifier: Apache-2.0
// Pods with proxies, and those that should have one.
#include <algorithm>
#include <set>

#include "cli/check/checks.h"
#include "lib/base/text.h"
#include "lib/inject/formats.h"
#include "lib/inject/known_values.h"
#include "lib/inject/names.h"
#include "lib/k8s/node_addresses.h"

namespace tulle::cli {
namespace {

bool wanted(const PodView& pod, const CheckFlags& flags) {
  return flags.ns.empty() || pod.ns == flags.ns;
}

std::vector<const PodView*> meshed(ClusterView& view, const CheckFlags& flags) {
  std::vector<const PodView*> out;
  for (const PodView& pod : view.pods().items) {
    if (pod.has_proxy && !pod.ended() && wanted(pod, flags) &&
        pod.label(inject::kControlPlaneNs) == view.ns())
      out.push_back(&pod);
  }
  return out;
}

Outcome proxies_ready(ClusterView& view, const CheckFlags& flags) {
  if (!view.pods().problem.empty()) return fail(view.pods().problem);
  const std::vector<const PodView*> pods = meshed(view, flags);
  if (pods.empty() && !flags.ns.empty()) {
    return fail(concat("no pod in the namespace ", flags.ns,
                       " has a proxy: kubectl annotate namespace ", flags.ns,
                       " linkerd.io/inject=enabled, and restart what runs in it"));
  }
  std::vector<std::string> wrong;
  for (const PodView* const pod : pods) {
    if (!pod->proxy_ready && !pod->ending)
      wrong.push_back(
          concat(pod->title(), " is ", pod->phase, pod->waiting.empty() ? "" : ", ", pod->waiting));
  }
  return unless(lines_of("proxies are not ready: see kubectl logs POD -c linkerd-proxy", wrong));
}

Outcome proxies_are(ClusterView& view, const CheckFlags& flags, const std::string& version) {
  std::vector<std::string> wrong;
  for (const PodView* const pod : meshed(view, flags)) {
    if (pod->proxy_version != version)
      wrong.push_back(concat(pod->title(), " (", pod->proxy_version, ")"));
  }
  return unless(lines_of(concat("proxies are not of version ", version,
                                "; pods get the control plane's when they are restarted"),
                         wrong));
}

bool is_setting(const std::string& key) {
  return key == inject::kInject || inject::find_config_key(key) != nullptr;
}

Outcome no_settings_in_pod_labels(ClusterView& view, const CheckFlags& flags) {
  std::vector<std::string> wrong;
  for (const PodView& pod : view.pods().items) {
    if (!wanted(pod, flags)) continue;
    for (const auto& [key, value] : pod.labels) {
      if (is_setting(key)) wrong.push_back(concat(pod.title(), ": ", key));
    }
  }
  return unless(lines_of(
      "these are labels, but have an effect only as annotations of the pod template", wrong));
}

Outcome no_settings_of_services(ClusterView& view, const CheckFlags& flags,
                                std::string_view where) {
  if (!view.services().problem.empty()) return fail(view.services().problem);
  std::vector<std::string> wrong;
  for (const Value& service : view.services().items) {
    const Value& meta = service["metadata"];
    if (!flags.ns.empty() && meta["namespace"].string() != flags.ns) continue;
    for (const std::string& key : meta[where].keys()) {
      if (!is_setting(key) || (where == "annotations" && key == inject::kOpaquePorts)) continue;
      wrong.push_back(concat(meta["namespace"].string(), "/", meta["name"].string(), ": ", key));
    }
  }
  return unless(lines_of(concat("these ", where,
                                " of Services have no effect; they belong into the annotations of "
                                "the pod template or the namespace"),
                         wrong));
}

// Ports and names of ports that an annotation of opaque ports holds.
struct Opaque {
  std::vector<std::string_view> items;
  bool holds(std::uint16_t port, std::string_view name) const {
    return std::any_of(items.begin(), items.end(), [&](std::string_view item) {
      if (!name.empty() && item == name) return true;
      const auto range = inject::parse_ports_item(item);
      return range && range->first <= port && port <= range->last;
    });
  }
};

Opaque opaque_of(ClusterView& view, const PodView& pod) {
  if (const auto own = pod.annotations.find(inject::kOpaquePorts); own != pod.annotations.end())
    return {inject::list_items(own->second)};
  if (const NamespaceView* const ns = view.namespace_of(pod.ns); ns != nullptr) {
    if (const auto at = ns->annotations.find(inject::kOpaquePorts); at != ns->annotations.end())
      return {inject::list_items(at->second)};
  }
  return {inject::list_items(view.values()["proxy"]["opaquePorts"].string())};
}

bool selects(const Value& selector, const PodView& pod) {
  for (std::size_t i = 0; i < selector.size(); ++i) {
    if (pod.label(selector.keys()[i]) != selector.items()[i].string()) return false;
  }
  return !selector.empty();
}

Outcome opaque_ports_agree(ClusterView& view, const CheckFlags& flags) {
  if (!view.services().problem.empty()) return fail(view.services().problem);
  std::vector<std::string> wrong;
  for (const Value& service : view.services().items) {
    const Value& meta = service["metadata"];
    const Value& annotation = meta["annotations"][inject::kOpaquePorts];
    if (!annotation.is_string()) continue;  // then the pods' say is taken
    const Opaque theirs{inject::list_items(annotation.string())};
    for (const PodView& pod : view.pods().items) {
      if (!pod.has_proxy || pod.ended() || !wanted(pod, flags) ||
          pod.ns != meta["namespace"].string() || !selects(service["spec"]["selector"], pod))
        continue;
      const Opaque own = opaque_of(view, pod);
      for (const Value& port : service["spec"]["ports"].items()) {
        const auto number = static_cast<std::uint16_t>(port["port"].integer().value_or(0));
        std::uint16_t target =
            static_cast<std::uint16_t>(port["targetPort"].integer().value_or(number));
        std::string_view name = port["targetPort"].string();
        if (const auto named = pod.ports.find(name); named != pod.ports.end())
          target = named->second;
        const bool by_service = theirs.holds(number, port["name"].string()),
                   by_pod = own.holds(target, name);
        if (by_service == by_pod) continue;
        wrong.push_back(concat("Service ", meta["namespace"].string(), "/", meta["name"].string(),
                               by_service ? " has opaque port " : " has no opaque port ",
                               std::to_string(number), ", but its target port ",
                               std::to_string(target), " of pod ", pod.name,
                               by_pod ? " is" : " is not"));
        break;
      }
    }
  }
  return unless(lines_of(concat("annotate both with the same ", inject::kOpaquePorts), wrong));
}

// In an annotated namespace, and nothing says that it should have no proxy.
Outcome all_meshed(ClusterView& view) {
  if (!view.pods().problem.empty()) return fail(view.pods().problem);
  if (!view.namespaces().problem.empty()) return fail(view.namespaces().problem);
  Restarts restarts;
  for (const PodView& pod : view.pods().items) {
    if (pod.has_proxy || pod.ended() || pod.ending || pod.ns == view.ns()) continue;
    const std::string_view own = pod.annotation(inject::kInject);
    const NamespaceView* const ns = view.namespace_of(pod.ns);
    const bool asked =
        inject::enables(own) || (own.empty() && ns != nullptr && ns->asks_for_proxies());
    if (!asked) continue;
    if (pod.host_network) continue;  // never has one
    restarts.add(pod);
  }
  return unless(
      lines_of("pods that should have a proxy have none: they were started before their namespace "
               "was annotated, or while the injector was away "
               "(kubectl get events --field-selector reason=InjectionSkipped tells other reasons). "
               "Restart them:",
               restarts.commands()));
}

// The injector's first entry must name every annotated namespace: for these pods wait while the
// injector is away.
Outcome namespaces_known(ClusterView& view) {
  const Answer& configuration = view.object(
      "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/"
      "linkerd-proxy-injector-webhook-config");
  std::set<std::string, std::less<>> named;
  bool found = false;
  for (const Value& webhook : configuration.value["webhooks"].items()) {
    if (webhook["name"].string() != "namespaces.linkerd-proxy-injector.linkerd.io") continue;
    found = true;
    for (const Value& expression : webhook["namespaceSelector"]["matchExpressions"].items()) {
      if (expression["key"].string() != "kubernetes.io/metadata.name" ||
          expression["operator"].string() != "In")
        continue;
      for (const Value& name : expression["values"].items()) named.emplace(name.string());
    }
  }
  if (!found) return skip();
  std::vector<std::string> missing;
  for (const NamespaceView& ns : view.namespaces().items) {
    const auto off = ns.labels.find("config.linkerd.io/admission-webhooks");
    if (ns.asks_for_proxies() && (off == ns.labels.end() || off->second != "disabled") &&
        !named.contains(ns.name))
      missing.push_back(ns.name);
  }
  if (missing.empty()) return pass();
  return fail(
      concat("MutatingWebhookConfiguration linkerd-proxy-injector-webhook-config does not name the "
             "annotated namespaces ",
             some_of(missing),
             ": their pods would start without a proxy while the injector is away; the control "
             "plane writes that within 30 s: see its log"));
}

// Something on the Node says from which address its kubelet reaches pods, besides the Node's own.
bool tells_of_pods(const Value& node) {
  if (!node["spec"]["podCIDR"].string().empty() || !node["spec"]["podCIDRs"].empty()) return true;
  return std::any_of(
      k8s::kNodeAddressAnnotations.begin(), k8s::kNodeAddressAnnotations.end(),
      [&](std::string_view key) { return !node["metadata"]["annotations"][key].is_null(); });
}

void add_namespaces_of_restricted(const Listed<Value>& routes, std::set<std::string>& into) {
  for (const Value& route : routes.items) {
    for (const Value& parent : route["spec"]["parentRefs"].items()) {
      if (parent["kind"].string() == "Server")
        into.emplace(route["metadata"]["namespace"].string());
    }
  }
}

// Beside routes that are attached to a Server, probes pass from the addresses of their node only. A
// pod whose probes pass is ready, whatever its node says.
Outcome probes_pass(ClusterView& view) {
  constexpr k8s::Resource kOwnRoutes{"policy.linkerd.io", "httproutes", "v1beta3"};
  std::set<std::string> namespaces;
  for (const k8s::Resource& resource : {kOwnRoutes, k8s::kHttpRoutes}) {
    const Listed<Value>& routes = view.all(k8s::path_of(resource));
    if (routes.problem.empty()) add_namespaces_of_restricted(routes, namespaces);
  }
  const Listed<Value>& nodes = view.all(k8s::path_of(k8s::kNodes));
  if (namespaces.empty() || !nodes.problem.empty()) return skip();
  std::set<std::string> silent;
  for (const Value& node : nodes.items) {
    if (!tells_of_pods(node)) silent.emplace(node["metadata"]["name"].string());
  }
  std::vector<std::string> wrong;
  for (const PodView& pod : view.pods().items) {
    const bool waits = pod.has_proxy && pod.proxy_ready && !pod.ready && !pod.ended();
    if (waits && pod.http_probes && namespaces.contains(pod.ns) && silent.contains(pod.node))
      wrong.push_back(concat("pod ", pod.title(), " on node ", pod.node));
  }
  return unless(
      lines_of("pods are not ready, and routes attached to Servers may keep their probes out: "
               "their nodes do "
               "not say from which address the kubelet comes. kubectl annotate node NODE "
               "config.tulle.io/probe-addresses=ADDRESS, the node's own in its network of pods",
               wrong));
}

Outcome values_known(ClusterView& view) {
  std::vector<std::string> wrong;
  for (const inject::UnknownValue& each : inject::unknown_values(view.values())) {
    wrong.push_back(each.near.empty() ? each.path
                                      : concat(each.path, " (is ", each.near, " meant?)"));
  }
  return unless(
      lines_of("Helm values of the control plane are not known and have no effect; take them out "
               "or correct them",
               wrong));
}

// Does its account have the rights without which nothing works?
Outcome control_plane_may(ClusterView& view) {
  struct Right {
    const char* verb;
    const char* group;
    const char* resource;
    bool in_own_ns = false;
    const char* name = "";  // of the one object that the right is about
  };
  static constexpr Right kRights[] = {
      {"list", "", "pods"},
      {"watch", "", "services"},
      {"watch", "", "namespaces"},
      {"watch", "", "nodes"},
      {"watch", "discovery.k8s.io", "endpointslices"},
      {"watch", "apps", "replicasets"},
      {"watch", "batch", "jobs"},
      {"watch", "policy.linkerd.io", "servers"},
      {"watch", "linkerd.io", "serviceprofiles"},
      {"create", "authentication.k8s.io", "tokenreviews"},
      {"create", "", "secrets", true},
      {"watch", "", "secrets", true, "linkerd-identity-issuer"},
      {"watch", "", "secrets", true, "linkerd-identity-rotation"},
      {"get", "", "secrets", true, "linkerd-proxy-injector-k8s-tls"},
      {"get", "", "secrets", true, "linkerd-sp-validator-k8s-tls"},
      {"get", "", "secrets", true, "linkerd-policy-validator-k8s-tls"},
      {"watch", "", "configmaps", true, "linkerd-identity-trust-roots"},
      {"watch", "", "configmaps", true, "linkerd-identity-known-roots"},
      {"update", "coordination.k8s.io", "leases", true},
  };
  const std::string account = "linkerd-control-plane";
  if (!view.object(k8s::path_of(k8s::kServiceAccounts, view.ns(), account)).ok()) return skip();
  std::vector<Value> reviews;
  for (const Right& right : kRights) {
    Value attributes =
        Value::map({{"verb", right.verb}, {"group", right.group}, {"resource", right.resource}});
    if (right.in_own_ns) attributes.set("namespace", view.ns());
    if (*right.name != '\0') attributes.set("name", right.name);
    Value groups =
        Value::list({"system:serviceaccounts", concat("system:serviceaccounts:", view.ns()),
                     "system:authenticated"});
    reviews.push_back(Value::map(
        {{"apiVersion", "authorization.k8s.io/v1"},
         {"kind", "SubjectAccessReview"},
         {"spec", Value::map({{"user", concat("system:serviceaccount:", view.ns(), ":", account)},
                              {"groups", std::move(groups)},
                              {"resourceAttributes", std::move(attributes)}})}}));
  }
  const std::vector<Answer> answers =
      view.cluster().post_all(k8s::path_of(k8s::kSubjectAccessReviews), reviews);
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < std::size(kRights); ++i) {
    if (answers[i].forbidden()) return skip();  // who asks may not know
    if (!answers[i].ok()) return fail(answers[i].problem);
    if (!answers[i].value["status"]["allowed"].is_true())
      missing.push_back(concat(kRights[i].verb, " ", kRights[i].resource,
                               *kRights[i].name != '\0' ? " " : "", kRights[i].name));
  }
  if (missing.empty()) return pass();
  return fail(
      concat("ServiceAccount ", view.ns(), "/", account, " may not ", some_of(missing, 20),
             ": run helm upgrade of linkerd-control-plane again, and see who changes its roles"));
}

}  // namespace

Category data_plane_checks(ClusterView& view, const CheckFlags& flags) {
  const auto exists = [&view, &flags] {
    if (flags.ns.empty()) return pass();
    if (!view.namespaces().problem.empty()) return fail(view.namespaces().problem);
    return view.namespace_of(flags.ns) != nullptr
               ? pass()
               : fail(concat("The \"", flags.ns, "\" namespace does not exist"));
  };
  const auto current = [&view, &flags] {
    return flags.expected_version.empty() ? skip()
                                          : proxies_are(view, flags, flags.expected_version);
  };
  Category out{"linkerd-data-plane", {}};
  out.checks = {
      {"data plane namespace exists", "l5d-data-plane-exists", kFatal, exists},
      {"data plane proxies are ready", "l5d-data-plane-ready", kFatal | kRetry,
       [&view, &flags] { return proxies_ready(view, flags); }},
      {"data plane is up-to-date", "l5d-data-plane-version", kWarning, current},
      {"data plane and cli versions match", "l5d-data-plane-cli-version", kWarning,
       [&view, &flags] { return proxies_are(view, flags, flags.version); }},
      {"data plane pod labels are configured correctly", "l5d-data-plane-pod-labels", kWarning,
       [&view, &flags] { return no_settings_in_pod_labels(view, flags); }},
      {"data plane service labels are configured correctly", "l5d-data-plane-services-labels",
       kWarning, [&view, &flags] { return no_settings_of_services(view, flags, "labels"); }},
      {"data plane service annotations are configured correctly",
       "l5d-data-plane-services-annotations", kWarning,
       [&view, &flags] { return no_settings_of_services(view, flags, "annotations"); }},
  };
  return out;
}

Category opaque_ports_checks(ClusterView& view, const CheckFlags& flags) {
  return {"linkerd-opaque-ports-definition",
          {{"opaque ports are properly annotated", "linkerd-opaque-ports-definition", kWarning,
            [&view, &flags] { return opaque_ports_agree(view, flags); }}}};
}

Category mesh_checks(ClusterView& view) {
  Category out{"tulle-mesh", {}};
  out.checks = {
      {"control plane has the rights it needs", "", kNone,
       [&view] { return control_plane_may(view); }},
      {"Helm values are known", "", kWarning, [&view] { return values_known(view); }},
      {"injector knows every annotated namespace", "", kWarning | kRetry,
       [&view] { return namespaces_known(view); }},
      {"pods that should be meshed are", "", kWarning, [&view] { return all_meshed(view); }},
      {"probes pass beside attached routes", "", kWarning, [&view] { return probes_pass(view); }},
      {"no clock skew detected", "pre-k8s-clock-skew", kWarning,
       [&view] { return clocks_agree(view); }},
  };
  return out;
}

std::vector<Category> checks_for(ClusterView& view, const CheckFlags& flags) {
  std::vector<Category> out = cluster_checks(view, flags);
  const auto add = [&](Category category) { out.push_back(std::move(category)); };
  const bool installed = !flags.pre && !flags.crds;
  if (installed) {
    add(existence_checks(view));
    add(config_checks(view));
    Category cni = cni_checks(view);
    for (Check& check : cni.checks) {
      check.run = [&view, run = std::move(check.run)] {
        return view.values()["cniEnabled"].is_true() ? run() : skip();
      };
    }
    add(std::move(cni));
    add(identity_checks(view));
    add(webhook_checks(view));
    if (flags.proxy) add(data_plane_identity_checks(view, flags));
  } else if (flags.pre && flags.cni_enabled) {
    add(cni_checks(view));
  }
  for (Category& category : version_checks(view, flags)) add(std::move(category));
  if (!installed) return out;
  if (flags.proxy) {
    add(data_plane_checks(view, flags));
    add(opaque_ports_checks(view, flags));
  } else {
    add(data_plane_identity_checks(view, flags));
  }
  add(high_availability_checks(view));
  add(mesh_checks(view));
  if (!flags.proxy) add(extension_checks(view));
  return out;
}

}  // namespace tulle::cli
