// SPDX-License-Identifier: Apache-2.0
// The control plane: what it consists of, whether it runs, its versions.
#include <algorithm>

#include "cli/check/checks.h"
#include "lib/base/text.h"
#include "lib/inject/names.h"
#include "lib/k8s/meta.h"
#include "lib/net/address.h"

namespace tulle::cli {
namespace {

constexpr k8s::Resource kClusterRoles{"rbac.authorization.k8s.io", "clusterroles", "v1", false};
constexpr k8s::Resource kClusterRoleBindings{"rbac.authorization.k8s.io", "clusterrolebindings",
                                             "v1", false};
constexpr k8s::Resource kDaemonSets{"apps", "daemonsets"};
constexpr k8s::Resource kMutating{"admissionregistration.k8s.io", "mutatingwebhookconfigurations",
                                  "v1", false};
constexpr k8s::Resource kValidating{"admissionregistration.k8s.io",
                                    "validatingwebhookconfigurations", "v1", false};

constexpr const char* kComponents = "labelSelector=linkerd.io%2Fcontrol-plane-component";
constexpr std::string_view kReinstall =
    ": something has removed it; run helm upgrade of linkerd-control-plane again";

// "" or what is not there of these names.
std::string absent(ClusterView& view, const k8s::Resource& resource, std::string_view kind,
                   std::string_view ns, const std::vector<std::string>& names) {
  std::vector<std::string> paths;
  for (const std::string& name : names) paths.push_back(k8s::path_of(resource, ns, name));
  view.expect(paths);
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Answer& found = view.object(paths[i]);
    if (found.missing())
      missing.push_back(names[i]);
    else if (!found.ok())
      return concat(kind, " ", names[i], ": ", found.problem);
  }
  return missing.empty() ? "" : concat("missing ", kind, ": ", some_of(missing), kReinstall);
}

Outcome config_exists(ClusterView& view) {
  const Answer& config = view.object(k8s::path_of(k8s::kConfigMaps, view.ns(), "linkerd-config"));
  if (config.missing()) {
    return fail(concat("configmaps \"linkerd-config\" not found in the namespace ", view.ns(),
                       ": install the control plane (helm install linkerd-control-plane), or name "
                       "its namespace with -L"));
  }
  if (!config.ok()) return fail(config.problem);
  std::string problem;
  const auto values = inject::parse_yaml(config.value["data"]["values"].string(), problem);
  if (!values || !values->is_map()) {
    return fail(concat("ConfigMap ", view.ns(),
                       "/linkerd-config: its key values holds no Helm values ", problem,
                       kReinstall));
  }
  return pass();
}

Outcome replica_sets_ready(ClusterView& view) {
  const Listed<Value>& sets = view.all(k8s::path_of(k8s::kReplicaSets, view.ns()), kComponents);
  if (!sets.problem.empty()) return fail(sets.problem);
  std::vector<std::string> wrong;
  bool any = false;
  for (const Value& set : sets.items) {
    const std::int64_t wanted = set["spec"]["replicas"].integer().value_or(0);
    if (wanted == 0) continue;
    any = true;
    const std::int64_t ready = set["status"]["readyReplicas"].integer().value_or(0);
    if (ready < wanted)
      wrong.push_back(concat(set["metadata"]["name"].string(), ": ", std::to_string(ready), " of ",
                             std::to_string(wanted), " ready"));
  }
  if (!any) {
    return fail(concat("no replica sets of the control plane in the namespace ", view.ns(),
                       ": see kubectl -n ", view.ns(), " get deploy, and scale it to 1 or more"));
  }
  return unless(lines_of(
      concat("replica sets are not ready: see kubectl -n ", view.ns(), " describe rs"), wrong));
}

Outcome all_scheduled(ClusterView& view) {
  if (!view.pods().problem.empty()) return fail(view.pods().problem);
  std::vector<std::string> wrong;
  for (const PodView* const pod : view.control_plane()) {
    if (!pod->unschedulable.empty()) wrong.push_back(concat(pod->name, ": ", pod->unschedulable));
  }
  return unless(lines_of("pods of the control plane find no node", wrong));
}

Outcome pods_ready(ClusterView& view) {
  if (!view.pods().problem.empty()) return fail(view.pods().problem);
  std::vector<std::string> wrong;
  bool any = false;
  for (const PodView* const pod : view.control_plane()) {
    if (pod->ending) continue;
    any = true;
    if (!pod->ready)
      wrong.push_back(concat(pod->name, " is ", pod->phase.empty() ? "not started" : pod->phase,
                             pod->waiting.empty() ? "" : ", ", pod->waiting));
  }
  if (!any)
    return fail(concat("no pods of the control plane in the namespace ", view.ns(),
                       ": see kubectl -n ", view.ns(), " describe rs"));
  return unless(lines_of(concat("pods of the control plane are not ready: see kubectl -n ",
                                view.ns(), " logs deploy/linkerd-control-plane"),
                         wrong));
}

// Addresses that no network of the mesh holds.
class Networks {
 public:
  explicit Networks(ClusterView& view) {
    for (const std::string_view item : split(view.values()["clusterNetworks"].string(), ',')) {
      if (const auto cidr = net::Cidr::parse(trim(item))) all_.push_back(*cidr);
    }
  }
  bool none() const { return all_.empty(); }
  // An address or the first one of a network.
  bool hold(std::string_view text) const {
    const auto wanted = net::Cidr::parse(text);
    if (!wanted) return true;
    return std::any_of(all_.begin(), all_.end(), [&](const net::Cidr& each) {
      return each.prefix <= wanted->prefix && each.contains(wanted->ip);
    });
  }

 private:
  std::vector<net::Cidr> all_;
};
constexpr std::string_view kAddNetworks =
    "addresses are not in the value clusterNetworks, so proxies do not look them up: add their "
    "networks and upgrade the control plane";

Outcome networks_hold_nodes(ClusterView& view) {
  const Networks networks(view);
  if (networks.none()) return skip();
  const Listed<Value>& nodes = view.all(k8s::path_of(k8s::kNodes));
  if (!nodes.problem.empty()) return fail(nodes.problem);
  std::vector<std::string> wrong;
  for (const Value& node : nodes.items) {
    for (const Value& cidr : node["spec"]["podCIDRs"].items()) {
      if (!networks.hold(cidr.string()))
        wrong.push_back(
            concat("node ", node["metadata"]["name"].string(), ": podCIDR ", cidr.string()));
    }
  }
  return unless(lines_of(kAddNetworks, wrong));
}

Outcome networks_hold_pods(ClusterView& view) {
  const Networks networks(view);
  if (networks.none()) return skip();
  if (!view.pods().problem.empty()) return fail(view.pods().problem);
  std::vector<std::string> wrong;
  for (const PodView& pod : view.pods().items) {
    // The node's address, which may be anything.
    if (pod.host_network || pod.ended()) continue;
    for (const std::string& ip : pod.addresses) {
      if (!networks.hold(ip)) wrong.push_back(concat("pod ", pod.title(), ": ", ip));
    }
  }
  return unless(lines_of(kAddNetworks, wrong));
}

Outcome networks_hold_services(ClusterView& view) {
  const Networks networks(view);
  if (networks.none()) return skip();
  if (!view.services().problem.empty()) return fail(view.services().problem);
  std::vector<std::string> wrong;
  for (const Value& service : view.services().items) {
    for (const Value& ip : service["spec"]["clusterIPs"].items()) {
      if (ip.string() != "None" && !networks.hold(ip.string())) {
        wrong.push_back(concat("Service ", service["metadata"]["namespace"].string(), "/",
                               service["metadata"]["name"].string(), ": ", ip.string()));
      }
    }
  }
  return unless(lines_of(kAddNetworks, wrong));
}

Outcome namespace_exists(ClusterView& view) {
  const Answer& ns = view.object(k8s::path_of(k8s::kNamespaces, "", view.ns()));
  if (ns.missing())
    return fail(concat(
        "The \"", view.ns(),
        "\" namespace does not exist: install the control plane, or name its namespace with -L"));
  return unless(ns.problem);
}

std::vector<std::string> role_names(ClusterView& view) {
  if (!is_linkerds(view)) return {concat("linkerd-", view.ns(), "-control-plane")};
  return {concat("linkerd-", view.ns(), "-identity"), concat("linkerd-", view.ns(), "-destination"),
          concat("linkerd-", view.ns(), "-proxy-injector"), "linkerd-policy"};
}

Outcome bindings_exist(ClusterView& view) {
  std::vector<std::string> names = role_names(view);
  std::replace(names.begin(), names.end(), std::string("linkerd-policy"),
               std::string("linkerd-destination-policy"));
  if (std::string missing = absent(view, kClusterRoleBindings, "ClusterRoleBindings", "", names);
      !missing.empty())
    return fail(missing);
  if (is_linkerds(view)) return pass();
  // Bound to whom the control plane runs as?
  const Value& binding = view.object(k8s::path_of(kClusterRoleBindings, "", names.front())).value;
  for (const Value& subject : binding["subjects"].items()) {
    if (subject["name"].string() == "linkerd-control-plane" &&
        subject["namespace"].string() == view.ns())
      return pass();
  }
  return fail(concat("ClusterRoleBinding ", names.front(), " does not bind the ServiceAccount ",
                     view.ns(), "/linkerd-control-plane", kReinstall));
}

Outcome accounts_exist(ClusterView& view) {
  const std::vector<std::string> names =
      is_linkerds(view) ? std::vector<std::string>{"linkerd-destination", "linkerd-identity",
                                                   "linkerd-proxy-injector"}
                        : std::vector<std::string>{"linkerd-control-plane"};
  return unless(absent(view, k8s::kServiceAccounts, "ServiceAccounts", view.ns(), names));
}

Outcome init_runs_as_root(ClusterView& view) {
  if (view.values()["proxyInit"]["runAsRoot"].is_true() || view.values()["cniEnabled"].is_true())
    return pass();
  std::vector<std::string> docker;
  for (const Value& node : view.all(k8s::path_of(k8s::kNodes)).items) {
    if (node["status"]["nodeInfo"]["containerRuntimeVersion"].string().starts_with("docker:"))
      docker.emplace_back(node["metadata"]["name"].string());
  }
  // File capabilities let an ordinary user in with every runtime; Linkerd's image has none.
  if (docker.empty() || !is_linkerds(view)) return pass();
  return fail(concat("nodes ", some_of(docker),
                     " have the Docker runtime: set the value proxyInit.runAsRoot=true"));
}

std::string control_plane_version(ClusterView& view) {
  const std::string_view version = view.values()["linkerdVersion"].string();
  return std::string(version);
}

k8s::LabelSelector selector_of(const Value& value) {
  k8s::LabelSelector out;
  for (const auto& [key, text] : labels_of(value["matchLabels"]))
    out.match_labels.insert(key, text);
  for (const Value& term : value["matchExpressions"].items()) {
    k8s::SelectorRequirement requirement{
        std::string(term["key"].string()), std::string(term["operator"].string()), {}};
    for (const Value& one : term["values"].items()) requirement.values.emplace_back(one.string());
    out.match_expressions.push_back(std::move(requirement));
  }
  return out;
}

std::string differs(std::string_view what, const std::string& version, const std::string& from,
                    std::string_view todo) {
  if (version == from) return "";
  return concat(what, " runs version ", version, ", but ", from, " ", todo);
}

// Pods whose proxy has another version than `wanted`.
Outcome proxies_have(const std::vector<const PodView*>& pods, const std::string& wanted,
                     std::string_view todo) {
  std::vector<std::string> wrong;
  for (const PodView* const pod : pods) {
    if (pod->has_proxy && pod->proxy_version != wanted)
      wrong.push_back(concat(pod->title(), " (", pod->proxy_version, ")"));
  }
  return unless(lines_of(concat("some proxies are not of version ", wanted, ": ", todo), wrong));
}

std::vector<const PodView*> with_proxy(const std::vector<const PodView*>& pods) {
  std::vector<const PodView*> out;
  for (const PodView* const pod : pods) {
    if (pod->has_proxy) out.push_back(pod);
  }
  return out;
}

// With failurePolicy Fail no pod starts while the injector is away, where its entry for pods that
// ask for nothing looks. In kube-system are those that it needs itself.
Outcome kube_system_is_left_alone(ClusterView& view) {
  if (!view.values()["highAvailability"].is_true()) return skip();
  const Answer& configuration =
      view.object(k8s::path_of(kMutating, "", "linkerd-proxy-injector-webhook-config"));
  const NamespaceView* const system = view.namespace_of("kube-system");
  if (!configuration.ok() || system == nullptr) return skip();
  k8s::StringMap labels;
  for (const auto& [key, value] : system->labels) labels.insert(key, value);
  for (const Value& webhook : configuration.value["webhooks"].items()) {
    if (webhook["name"].string() != "linkerd-proxy-injector.linkerd.io" ||
        webhook["failurePolicy"].string() != "Fail")
      continue;
    if (!selector_of(webhook["namespaceSelector"]).matches(labels)) continue;
    return fail(
        "the injector's webhook looks at every pod of kube-system and has failurePolicy Fail, so "
        "none of them starts while the "
        "injector is away: kubectl label namespace kube-system "
        "config.linkerd.io/admission-webhooks=disabled, or put kube-system into the value "
        "proxyInjector.excludedNamespaces");
  }
  return pass();
}

}  // namespace

bool is_linkerds(ClusterView& view) {
  return view.object(k8s::path_of(k8s::kDeployments, view.ns(), "linkerd-destination")).ok();
}

Category existence_checks(ClusterView& view) {
  const auto heartbeat = [&view] {
    if (!is_linkerds(view) || view.values()["disableHeartBeat"].is_true()) return skip();
    return unless(
        absent(view, k8s::kServiceAccounts, "ServiceAccounts", view.ns(), {"linkerd-heartbeat"}));
  };
  Category out{"linkerd-existence", {}};
  out.checks = {
      {"'linkerd-config' config map exists", "l5d-existence-linkerd-config", kFatal,
       [&view] { return config_exists(view); }},
      {"heartbeat ServiceAccount exist", "l5d-existence-sa", kFatal, heartbeat},
      {"control plane replica sets are ready", "l5d-existence-replicasets", kFatal | kRetry,
       [&view] { return replica_sets_ready(view); }},
      {"no unschedulable pods", "l5d-existence-unschedulable-pods", kWarning | kRetry,
       [&view] { return all_scheduled(view); }},
      {"control plane pods are ready", "l5d-api-control-ready", kFatal | kRetry,
       [&view] { return pods_ready(view); }},
      {"cluster networks contains all node podCIDRs", "l5d-cluster-networks-cidr", kNone,
       [&view] { return networks_hold_nodes(view); }},
      {"cluster networks contains all pods", "l5d-cluster-networks-pods", kNone,
       [&view] { return networks_hold_pods(view); }},
      {"cluster networks contains all services", "l5d-cluster-networks-pods", kNone,
       [&view] { return networks_hold_services(view); }},
  };
  return out;
}

Category config_checks(ClusterView& view) {
  const auto mutating = [&view] {
    return unless(absent(view, kMutating, "MutatingWebhookConfigurations", "",
                         {"linkerd-proxy-injector-webhook-config"}));
  };
  const auto validating = [&view] {
    return unless(
        absent(view, kValidating, "ValidatingWebhookConfigurations", "",
               {"linkerd-sp-validator-webhook-config", "linkerd-policy-validator-webhook-config"}));
  };
  Category out{"linkerd-config", {}};
  out.checks = {
      {"control plane Namespace exists", "l5d-existence-ns", kFatal,
       [&view] { return namespace_exists(view); }},
      {"control plane ClusterRoles exist", "l5d-existence-cr", kFatal,
       [&view] {
         return unless(absent(view, kClusterRoles, "ClusterRoles", "", role_names(view)));
       }},
      {"control plane ClusterRoleBindings exist", "l5d-existence-crb", kFatal,
       [&view] { return bindings_exist(view); }},
      {"control plane ServiceAccounts exist", "l5d-existence-sa", kFatal,
       [&view] { return accounts_exist(view); }},
      {"control plane CustomResourceDefinitions exist", "l5d-existence-crd", kFatal,
       [&view] { return crds_exist(view); }},
      {"control plane MutatingWebhookConfigurations exist", "l5d-existence-mwc", kFatal, mutating},
      {"control plane ValidatingWebhookConfigurations exist", "l5d-existence-vwc", kFatal,
       validating},
      {"proxy-init container runs as root user if docker container runtime is used",
       "l5d-proxy-init-run-as-root", kFatal, [&view] { return init_runs_as_root(view); }},
  };
  return out;
}

Category cni_checks(ClusterView& view) {
  const std::string& ns = view.cluster().flags().cni_ns;
  const auto exists = [&view, ns](const char* description, const char* anchor,
                                  const k8s::Resource& resource, const char* kind,
                                  const char* name) {
    return Check{
        description, anchor, kFatal, [&view, ns, resource, kind, name] {
          const std::string missing =
              absent(view, resource, kind, resource.namespaced ? ns : "", {name});
          return unless(
              missing.empty()
                  ? ""
                  : concat("the CNI plugin is enabled by the value cniEnabled, but: missing ", kind,
                           " ", name, " (namespace ", ns,
                           ", see --cni-namespace): install the CNI plugin"));
        }};
  };
  const auto everywhere = [&view, ns] {
    const Value& status = view.object(k8s::path_of(kDaemonSets, ns, "linkerd-cni")).value["status"];
    const std::int64_t wanted = status["desiredNumberScheduled"].integer().value_or(0),
                       ready = status["numberReady"].integer().value_or(0);
    if (wanted > 0 && ready >= wanted) return pass();
    return fail(concat("DaemonSet ", ns, "/linkerd-cni: ", std::to_string(ready), " of ",
                       std::to_string(wanted), " pods are ready: see kubectl -n ", ns,
                       " get pods -o wide"));
  };
  Category out{"linkerd-cni-plugin", {}};
  out.checks = {
      exists("cni plugin ConfigMap exists", "cni-plugin-cm-exists", k8s::kConfigMaps, "ConfigMaps",
             "linkerd-cni-config"),
      exists("cni plugin ClusterRole exists", "cni-plugin-cr-exists", kClusterRoles, "ClusterRoles",
             "linkerd-cni"),
      exists("cni plugin ClusterRoleBinding exists", "cni-plugin-crb-exists", kClusterRoleBindings,
             "ClusterRoleBindings", "linkerd-cni"),
      exists("cni plugin ServiceAccount exists", "cni-plugin-sa-exists", k8s::kServiceAccounts,
             "ServiceAccounts", "linkerd-cni"),
      exists("cni plugin DaemonSet exists", "cni-plugin-ds-exists", kDaemonSets, "DaemonSets",
             "linkerd-cni"),
      {"cni plugin pod is running on all nodes", "cni-plugin-ready", kFatal | kRetry, everywhere},
  };
  return out;
}

std::vector<Category> version_checks(ClusterView& view, const CheckFlags& flags) {
  std::vector<Category> out;
  // tulle asks no server which version is the newest; who knows it says so.
  const auto cli_current = [&flags] {
    if (flags.expected_version.empty()) return skip();
    return unless(differs("this program", flags.version, flags.expected_version,
                          "is expected: install that version"));
  };
  out.push_back(
      {"linkerd-version", {{"cli is up-to-date", "l5d-version-cli", kWarning, cli_current}}});
  if (flags.pre || flags.crds) return out;
  if (!flags.proxy) {
    const auto readable = [&view] {
      return control_plane_version(view).empty()
                 ? fail(concat("ConfigMap ", view.ns(),
                               "/linkerd-config has no value linkerdVersion", kReinstall))
                 : pass();
    };
    const auto current = [&view, &flags] {
      if (flags.expected_version.empty()) return skip();
      return unless(differs("the control plane", control_plane_version(view),
                            flags.expected_version, "is expected: upgrade it"));
    };
    const auto same = [&view, &flags] {
      return unless(differs("the control plane", control_plane_version(view), flags.version,
                            "is this program's: upgrade the older one"));
    };
    out.push_back(
        {"control-plane-version",
         {{"can retrieve the control plane version", "l5d-version-control", kFatal | kRetry,
           readable},
          {"control plane is up-to-date", "l5d-version-control", kWarning, current},
          {"control plane and cli versions match", "l5d-version-control", kWarning, same}}});
  }
  // tulle's control plane speaks mesh TLS itself; Linkerd's has proxies.
  const auto healthy = [&view] {
    const auto pods = with_proxy(view.control_plane());
    if (pods.empty()) return skip();
    std::vector<std::string> wrong;
    for (const PodView* const pod : pods) {
      if (!pod->proxy_ready) wrong.push_back(pod->title());
    }
    return unless(lines_of("proxies of the control plane are not ready", wrong));
  };
  const auto newest = [&view, &flags] {
    const auto pods = with_proxy(view.control_plane());
    return pods.empty() || flags.expected_version.empty()
               ? skip()
               : proxies_have(pods, flags.expected_version, "upgrade the control plane");
  };
  const auto as_cli = [&view, &flags] {
    const auto pods = with_proxy(view.control_plane());
    return pods.empty()
               ? skip()
               : proxies_have(pods, flags.version, "upgrade the control plane or this program");
  };
  out.push_back(
      {"linkerd-control-plane-proxy",
       {{"control plane proxies are healthy", "l5d-cp-proxy-healthy", kFatal | kRetry, healthy},
        {"control plane proxies are up-to-date", "l5d-cp-proxy-version", kWarning, newest},
        {"control plane proxies and cli versions match", "l5d-cp-proxy-cli-version", kWarning,
         as_cli}}});
  return out;
}

Category high_availability_checks(ClusterView& view) {
  const auto replicas = [&view] {
    if (!view.values()["highAvailability"].is_true()) return skip();
    const Listed<Value>& deployments =
        view.all(k8s::path_of(k8s::kDeployments, view.ns()), kComponents);
    if (!deployments.problem.empty()) return fail(deployments.problem);
    std::vector<std::string> wrong;
    for (const Value& deployment : deployments.items) {
      const std::int64_t ready = deployment["status"]["availableReplicas"].integer().value_or(0);
      if (ready < 2)
        wrong.push_back(concat(deployment["metadata"]["name"].string(), ": ", std::to_string(ready),
                               " available"));
    }
    return unless(
        lines_of("highAvailability is set, but these have fewer than 2 replicas: see whether nodes "
                 "can take more (kubectl describe)",
                 wrong));
  };
  return {"linkerd-ha-checks",
          {{"multiple replicas of control plane pods", "l5d-control-plane-replicas",
            kWarning | kRetry, replicas},
           {"pod injection disabled on kube-system", "l5d-injection-disabled", kWarning,
            [&view] { return kube_system_is_left_alone(view); }}}};
}

std::vector<std::string> extension_names(ClusterView& view) {
  std::vector<std::string> out;
  for (const NamespaceView& ns : view.namespaces().items) {
    const auto label = ns.labels.find("linkerd.io/extension");
    if (label != ns.labels.end() && !label->second.empty()) out.push_back(label->second);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Category extension_checks(ClusterView& view) {
  const auto unique = [&view] {
    if (!view.namespaces().problem.empty()) return fail(view.namespaces().problem);
    std::map<std::string, std::vector<std::string>, std::less<>> by_name;
    std::vector<std::string> wrong;
    for (const NamespaceView& ns : view.namespaces().items) {
      const auto extension = ns.labels.find("linkerd.io/extension");
      if (extension == ns.labels.end()) continue;
      if (extension->second.empty())
        wrong.push_back(concat("namespace ", ns.name, " has an empty label linkerd.io/extension"));
      by_name[extension->second].push_back(ns.name);
    }
    for (const auto& [name, namespaces] : by_name) {
      if (namespaces.size() > 1)
        wrong.push_back(
            concat("extension ", name, " is claimed by the namespaces ", some_of(namespaces)));
    }
    return unless(lines_of(
        "each extension has one namespace, which names it in the label linkerd.io/extension",
        wrong));
  };
  return {
      "linkerd-extension-checks",
      {{"namespace configuration for extensions", "l5d-extension-namespaces", kWarning, unique}}};
}

}  // namespace tulle::cli
