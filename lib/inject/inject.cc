// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/inject.h"

#include <algorithm>
#include <set>

#include "lib/base/text.h"
#include "lib/inject/containers.h"
#include "lib/inject/formats.h"
#include "lib/inject/names.h"
#include "lib/inject/shape.h"
#include "lib/tls/cert.h"

namespace tulle::inject {
namespace {

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return text.starts_with(prefix); });
}

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

bool legal(std::string_view value) {
  return value.empty() || enables(value) || value == "disabled";
}

bool has_udp(const Value& spec) {
  for (const Value& container : spec["containers"].items()) {
    for (const Value& port : container["ports"].items()) {
      if (port["protocol"].string() == "UDP") return true;
    }
  }
  return false;
}

bool automount_disabled(const Value& spec, const Context& context) {
  const Value& automount = spec["automountServiceAccountToken"];
  if (automount.kind() == Value::Kind::Bool && !automount.is_true()) return true;
  return context.is_webhook && account_mount(spec) == nullptr;
}

// Who says whether to inject, and what.
void decide(Outcome& outcome, const Context& context, std::string_view of_pod) {
  const std::string_view of_ns = context.ns_annotations.get(kInject);
  const auto against = [&](Reason reason) { outcome.reasons.push_back(reason); };
  if (context.by_hand) {
    outcome.annotation_at = "workload";
    if (of_pod == "disabled") against(Reason::DisableAnnotationPresent);
    return;
  }
  if (enables(of_ns)) {
    outcome.annotation_at = of_pod == "disabled" ? "workload" : "namespace";
    if (of_pod == "disabled") against(Reason::DisableAnnotationPresent);
  } else if (enables(of_pod)) {
    outcome.annotation_at = "workload";
  } else {
    against(Reason::EnableAnnotationAbsent);
  }
  if (!legal(of_ns)) against(Reason::InvalidAtNamespace);
  if (!legal(of_pod)) against(Reason::InvalidAtWorkload);
}

// The default opaque ports that the pod's containers declare, in the pod's order.
std::string declared_opaque_ports(const Value& spec, std::string_view defaults) {
  const auto listed = list_items(defaults);
  std::set<std::int64_t> told;
  std::string out;
  for (const std::string_view kind : {"initContainers", "containers"}) {
    for (const Value& container : spec[kind].items()) {
      for (const Value& port : container["ports"].items()) {
        const auto number = port["containerPort"].integer();
        if (!number) continue;
        const std::string text = std::to_string(*number);
        if (std::find(listed.begin(), listed.end(), text) == listed.end()) continue;
        if (!told.insert(*number).second) continue;
        if (!out.empty()) out += ',';
        out += text;
      }
    }
  }
  return out;
}

// A Service's port is opaque if the port behind it is a default one.
std::string service_opaque_ports(const Value& service, std::string_view defaults) {
  const auto listed = list_items(defaults);
  std::set<std::int64_t> told;
  std::string out;
  for (const Value& item : service["spec"]["ports"].items()) {
    const Value& target = item["targetPort"];
    if (target.is_string() && !target.string().empty()) continue;
    const auto port = item["port"].integer();
    const std::int64_t behind =
        target.integer().value_or(0) != 0 ? *target.integer() : port.value_or(0);
    if (!port || std::find(listed.begin(), listed.end(), std::to_string(behind)) == listed.end())
      continue;
    if (!told.insert(*port).second) continue;
    if (!out.empty()) out += ',';
    out += std::to_string(*port);
  }
  return out;
}

void add_entries(Patcher& patcher, std::string_view field, const k8s::StringMap& entries) {
  if (entries.empty()) return;
  const std::string base = concat("/metadata/", field);
  if (patcher.pod()["metadata"].empty()) patcher.add("/metadata", Value::map());
  if (patcher.pod()["metadata"][field].empty()) patcher.add(base, Value::map());
  for (const auto& [key, value] : entries) {
    patcher.add(concat(base, "/", pointer_step(key)), value);
  }
}

void add_to_list(Patcher& patcher, std::string_view field, std::string_view where, Value value) {
  const std::string base = concat("/spec/", field);
  if (patcher.pod()["spec"][field].empty()) patcher.add(base, Value::list());
  patcher.add(concat(base, "/", where), std::move(value));
}

// Annotations that the pod gets from its namespace.
k8s::StringMap inherited(const k8s::StringMap& of_pod, const Context& context) {
  k8s::StringMap out;
  const auto take = [&](std::string_view key) {
    const std::string* const value = context.ns_annotations.find(key);
    if (value != nullptr && !of_pod.contains(key)) out.insert(std::string(key), *value);
  };
  if (!context.by_hand) take(kInject);
  for (const ConfigKey& key : config_keys()) {
    if (key.inherited) take(key.name);
  }
  return out;
}

std::string_view owner_label(std::string_view kind) noexcept {
  for (const std::string_view name : {"deployment", "replicationcontroller", "replicaset", "job",
                                      "daemonset", "statefulset", "cronjob"}) {
    if (kind == name) return name;
  }
  return "";
}

void add_metadata(Patcher& patcher, const Context& context, const Config& config,
                  k8s::StringMap annotations, std::string_view version) {
  annotations.insert(std::string(kCreatedBy),
                     context.created_by.empty() ? concat("linkerd/proxy-injector ", config.version)
                                                : context.created_by);
  annotations.insert(std::string(kProxyVersion), std::string(version));
  annotations.insert(std::string(kTrustRoot), tls::sha256_hex(config.trust_anchors));
  k8s::StringMap labels{{std::string(kControlPlaneNs), config.control_namespace}};
  if (!context.ns.empty()) labels.insert(std::string(kWorkloadNs), context.ns);
  if (const std::string_view kind = owner_label(context.owner.kind); !kind.empty()) {
    labels.insert(concat("linkerd.io/proxy-", kind), context.owner.name);
  }
  add_entries(patcher, "annotations", annotations);
  add_entries(patcher, "labels", labels);
}

// In the order of docs/reference/control-plane.md §1.8.
void add_proxy(Patcher& patcher, const Settings& settings, const Placement& placement) {
  const Config& config = settings.config;
  // What the application itself declares, before anything is added.
  const Value spec = patcher.pod()["spec"];
  const std::string_view at_init = placement.native ? "0" : "-";
  if (config.cni_enabled) {
    add_to_list(patcher, "initContainers", at_init, validator_container(settings));
  } else {
    add_to_list(patcher, "volumes", "-", xtables_volume());
    add_to_list(patcher, "initContainers", at_init, init_container(settings));
  }
  if (settings.debug) patcher.add("/spec/containers/-", debug_container(settings));
  add_to_list(patcher, "volumes", "-", identity_volume());
  if (config.proxy.tracing.enabled) patcher.add("/spec/volumes/-", pod_info_volume());
  if (config.token_projection) patcher.add("/spec/volumes/-", token_volume());
  const std::string_view where = placement.native  ? "/spec/initContainers/1"
                                 : placement.first ? "/spec/containers/0"
                                                   : "/spec/containers/-";
  patcher.add(where, proxy_container(settings, placement, spec));
}

Placement place(Settings& settings, const Context& context) {
  Placement placement;
  placement.native = settings.config.proxy.native_sidecar && context.native_sidecars;
  if (placement.native) {
    if (settings.config.proxy.wait_before_exit > 0) {
      settings.warnings.push_back(
          {"config.alpha.linkerd.io/proxy-wait-before-exit-seconds",
           "has no effect on native sidecars, which end after the application"});
    }
    return placement;
  }
  // A proxy before the application's containers confuses whoever looks at "the first container".
  placement.first = settings.await_asked;
  if (placement.first) {
    settings.warnings.push_back(
        {concat(kConfigPrefix, "proxy-await"),
         "the proxy becomes the pod's first container, and all others start after it"});
  }
  return placement;
}

Outcome refused(Outcome outcome, std::string error) {
  outcome.kind = Outcome::Kind::Refused;
  outcome.malformed = true;
  outcome.error = std::move(error);
  return outcome;
}

// What was added, as the outcome.
void finish(Outcome& outcome, Patcher& patcher, Outcome::Kind kind) {
  if (!patcher.failed_at().empty()) {
    outcome = refused(std::move(outcome), concat(patcher.failed_at(), " cannot be added"));
    return;
  }
  outcome.object = patcher.take_object();
  outcome.patch = patcher.take_patch();
  outcome.kind = kind;
}

void opaque_ports_only(Outcome& outcome, const Value& object, std::string_view prefix,
                       const k8s::StringMap& of_object, const k8s::StringMap& of_ns,
                       const std::string& from_defaults) {
  if (of_object.contains(kOpaquePorts)) return;
  const std::string* const of_namespace = of_ns.find(kOpaquePorts);
  const std::string& ports = of_namespace != nullptr ? *of_namespace : from_defaults;
  if (of_namespace == nullptr && ports.empty()) return;
  Patcher patcher(object, std::string(prefix));
  add_entries(patcher, "annotations", k8s::StringMap{{std::string(kOpaquePorts), ports}});
  finish(outcome, patcher, Outcome::Kind::OpaquePorts);
}

}  // namespace

std::string_view id(Reason reason) noexcept {
  switch (reason) {
    case Reason::HostNetwork: return "host_network_enabled";
    case Reason::SidecarExists: return "sidecar_already_exists";
    case Reason::UnsupportedResource: return "unsupported_resource";
    case Reason::EnableAnnotationAbsent: return "injection_enable_annotation_absent";
    case Reason::DisableAnnotationPresent: return "injection_disable_annotation_present";
    case Reason::InvalidAtNamespace: return "invalid_inject_annotation_at_ns";
    case Reason::InvalidAtWorkload: return "invalid_inject_annotation_at_workload";
    case Reason::AutomountDisabled: return "disabled_automount_service_account_token_account";
    case Reason::UdpPorts: return "udp_ports_enabled";
  }
  return "";
}

std::string_view text(Reason reason) noexcept {
  switch (reason) {
    case Reason::HostNetwork: return "hostNetwork is enabled";
    case Reason::SidecarExists: return "pod has a sidecar already";
    case Reason::UnsupportedResource: return "this kind of resource has no pods";
    case Reason::EnableAnnotationAbsent:
      return "neither the namespace nor the pod has the annotation \"linkerd.io/inject: enabled\"";
    case Reason::DisableAnnotationPresent:
      return "pod has the annotation \"linkerd.io/inject: disabled\"";
    case Reason::InvalidAtNamespace:
      return "the namespace's annotation \"linkerd.io/inject\" is neither enabled, ingress nor "
             "disabled";
    case Reason::InvalidAtWorkload:
      return "the pod's annotation \"linkerd.io/inject\" is neither enabled, ingress nor disabled";
    case Reason::AutomountDisabled:
      return "automountServiceAccountToken is false, and identity.serviceAccountTokenProjection is "
             "false";
    case Reason::UdpPorts: return "UDP ports are not meshed";
  }
  return "";
}

std::string Outcome::reasons_text() const {
  std::string out;
  for (const Reason reason : reasons) {
    if (!out.empty()) out += ", ";
    out += text(reason);
  }
  return out;
}

bool is_kind(const Value& object, std::string_view group, std::string_view kind) noexcept {
  if (object["kind"].string() != kind) return false;
  const std::string_view version = object["apiVersion"].string();
  if (version.empty()) return true;
  const std::size_t slash = version.find('/');
  return (slash == std::string_view::npos ? "" : version.substr(0, slash)) == group;
}

std::optional<std::string_view> template_prefix(const Value& object) noexcept {
  if (is_kind(object, "", "Pod")) return "";
  if (is_kind(object, "batch", "CronJob")) return "/spec/jobTemplate/spec/template";
  constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
      {"apps", "Deployment"},       {"apps", "ReplicaSet"},     {"apps", "DaemonSet"},
      {"apps", "StatefulSet"},      {"batch", "Job"},           {"", "ReplicationController"},
      {"extensions", "Deployment"},  // as manifests from before 1.16 have it
      {"extensions", "ReplicaSet"}, {"extensions", "DaemonSet"}};
  for (const auto& [group, kind] : kKinds) {
    if (is_kind(object, group, kind)) return "/spec/template";
  }
  return std::nullopt;
}

// Sorted once: inserting one by one is quadratic, and maps come from outside.
k8s::StringMap string_map(const Value& map) {
  std::vector<k8s::StringMap::Entry> entries;
  for (std::size_t i = 0; map.is_map() && i < map.size(); ++i) {
    if (map.items()[i].is_string())
      entries.emplace_back(map.keys()[i], std::string(map.items()[i].string()));
  }
  std::sort(entries.begin(), entries.end());
  k8s::StringMap out;
  for (auto& [key, value] : entries) out.insert(std::move(key), std::move(value));
  return out;
}

bool has_sidecar(const Value& spec, const Config& config) {
  const std::string own = concat(config.proxy.image.name, ":");
  const auto is_proxy = [&](const Value& container) {
    return starts_with_any(container["image"].string(),
                           {"cr.l5d.io/linkerd/proxy:", "gcr.io/istio-release/proxyv2:", own}) ||
           one_of(container["name"].string(), {kProxyContainer, "istio-proxy"});
  };
  const auto is_init = [&](const Value& container) {
    return starts_with_any(container["image"].string(),
                           {"cr.l5d.io/linkerd/proxy-init:", "gcr.io/istio-release/proxy_init:"}) ||
           one_of(container["name"].string(), {kInitContainer, "istio-init"});
  };
  const auto& containers = spec["containers"].items();
  const auto& inits = spec["initContainers"].items();
  return std::any_of(containers.begin(), containers.end(), is_proxy) ||
         std::any_of(inits.begin(), inits.end(), [&](const Value& container) {
           return is_proxy(container) || is_init(container);
         });
}

Outcome inject(const Value& object, const Context& context, const Config& config) {
  Outcome outcome;
  outcome.object = object;
  const auto prefix = template_prefix(object);
  const Value* const pod = prefix ? at_pointer(object, *prefix) : nullptr;
  if (pod != nullptr) {
    std::string problem = pod_problem(*pod, *prefix);
    if (!problem.empty()) return refused(std::move(outcome), std::move(problem));
  }
  if (pod == nullptr || !(*pod)["spec"]["containers"].is_list()) {
    outcome.reasons.push_back(Reason::UnsupportedResource);
    return outcome;
  }
  const Value& spec = (*pod)["spec"];
  const k8s::StringMap of_pod = string_map((*pod)["metadata"]["annotations"]);

  if (spec["hostNetwork"].is_true()) outcome.reasons.push_back(Reason::HostNetwork);
  if (has_sidecar(spec, config)) outcome.reasons.push_back(Reason::SidecarExists);
  decide(outcome, context, of_pod.get(kInject));
  if (!config.token_projection && automount_disabled(spec, context)) {
    outcome.reasons.push_back(Reason::AutomountDisabled);
  }
  if (has_udp(spec)) outcome.reasons.push_back(Reason::UdpPorts);

  k8s::StringMap added = inherited(of_pod, context);
  outcome.annotations = of_pod;
  for (const auto& [key, value] : added) outcome.annotations.insert(key, value);
  const std::string opaque = declared_opaque_ports(spec, config.proxy.opaque_ports);
  if (std::any_of(outcome.reasons.begin(), outcome.reasons.end(), blocks)) {
    // A pod that was injected has what it needs.
    const bool meshed = std::find(outcome.reasons.begin(), outcome.reasons.end(),
                                  Reason::SidecarExists) != outcome.reasons.end();
    if (!context.by_hand && !meshed) {
      opaque_ports_only(outcome, object, *prefix, of_pod, context.ns_annotations, opaque);
    }
    return outcome;
  }

  Settings settings = apply_annotations(config, outcome.annotations, context.ns_annotations,
                                        string_map((*pod)["metadata"]["labels"]), spec);
  const Placement placement = place(settings, context);
  const std::string_view mode =
      of_pod.contains(kInject) ? of_pod.get(kInject) : context.ns_annotations.get(kInject);
  settings.ingress = context.by_hand ? context.ingress : mode == "ingress";
  outcome.warnings = std::move(settings.warnings);
  if (!settings.error.empty()) {
    outcome.kind = Outcome::Kind::Refused;
    outcome.error = std::move(settings.error);
    return outcome;
  }
  if (!opaque.empty() && !outcome.annotations.contains(kOpaquePorts)) {
    added.insert(std::string(kOpaquePorts), opaque);
  }
  const Image& image = settings.config.proxy.image;
  Patcher patcher(object, std::string(*prefix));
  add_metadata(patcher, context, config, std::move(added),
               image.version.empty() ? config.version : image.version);
  add_proxy(patcher, settings, placement);
  finish(outcome, patcher, Outcome::Kind::Injected);
  return outcome;
}

Outcome annotate_service(const Value& service, const k8s::StringMap& ns_annotations,
                         const Config& config) {
  Outcome outcome;
  outcome.object = service;
  if (!service.is_map()) {
    outcome.reasons.push_back(Reason::UnsupportedResource);
    return outcome;
  }
  if (std::string problem = service_problem(service); !problem.empty())
    return refused(std::move(outcome), std::move(problem));
  opaque_ports_only(outcome, service, "", string_map(service["metadata"]["annotations"]),
                    ns_annotations, service_opaque_ports(service, config.proxy.opaque_ports));
  return outcome;
}

}  // namespace tulle::inject
