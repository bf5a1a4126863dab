// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/overrides.h"

#include <algorithm>
#include <cmath>

#include "lib/base/text.h"
#include "lib/inject/formats.h"
#include "lib/inject/names.h"
#include "lib/net/address.h"

namespace tulle::inject {
namespace {

constexpr std::string_view kPolicies[] = {"all-unauthenticated",
                                          "all-authenticated",
                                          "cluster-unauthenticated",
                                          "cluster-authenticated",
                                          "deny",
                                          "audit"};

// Adds what an item of a list of ports stands for: a port, a range, or all TCP ports of the pod
// that have this name. False if it is none of these.
bool add_ports(const Value& spec, std::string_view item, std::vector<Ports>& to) {
  if (const auto ports = parse_ports_item(item)) {
    to.push_back(*ports);
    return true;
  }
  bool found = false;
  for (const std::string_view kind : {"containers", "initContainers"}) {
    for (const Value& container : spec[kind].items()) {
      for (const Value& port : container["ports"].items()) {
        const std::string_view protocol = port["protocol"].string();
        const auto number = port["containerPort"].integer();
        if (item.empty() || port["name"].string() != item) continue;
        if (!protocol.empty() && protocol != "TCP") continue;
        if (!number || *number < 1 || *number > 65535) continue;
        const auto one = static_cast<std::uint16_t>(*number);
        to.push_back({one, one});
        found = true;
      }
    }
  }
  return found;
}

class Overrides {
 public:
  Overrides(const k8s::StringMap& annotations, Settings& settings)
      : annotations_(annotations), settings_(settings) {}

  // The value of config.linkerd.io/<name>, if it is there.
  const std::string* find(std::string_view name) const {
    return annotations_.find(concat(kConfigPrefix, name));
  }
  void warn(std::string_view name, std::string reason) {
    settings_.warnings.push_back({concat(kConfigPrefix, name), std::move(reason)});
  }
  void expected(std::string_view name, std::string_view value, std::string_view what) {
    warn(name, concat("is \"", value, "\", expected ", what, "; it is ignored"));
  }

  void text(std::string_view name, std::string& into) {
    if (const std::string* const value = find(name)) into = *value;
  }
  void non_empty(std::string_view name, std::string& into) {
    const std::string* const value = find(name);
    if (value == nullptr) return;
    if (trim(*value).empty()) return expected(name, *value, "some text");
    into = *value;
  }
  void one_of(std::string_view name, std::string& into,
              std::initializer_list<std::string_view> words, std::string_view what) {
    const std::string* const value = find(name);
    if (value == nullptr) return;
    if (std::find(words.begin(), words.end(), *value) == words.end())
      return expected(name, *value, what);
    into = *value;
  }
  void boolean(std::string_view name, bool& into) {
    const std::string* const value = find(name);
    if (value == nullptr) return;
    const auto parsed = parse_go_bool(*value);
    if (!parsed) return expected(name, *value, "true or false");
    into = *parsed;
  }
  std::optional<bool> toggle(std::string_view name) {
    const std::string* const value = find(name);
    if (value == nullptr) return std::nullopt;
    const auto parsed = parse_toggle(*value);
    if (!parsed) expected(name, *value, "enabled or disabled");
    return parsed;
  }
  void port(std::string_view name, std::uint16_t& into) {
    const std::string* const value = find(name);
    if (value == nullptr) return;
    const auto parsed = parse_number<std::uint16_t>(*value);
    if (!parsed || *parsed == 0) return expected(name, *value, "a port from 1 to 65535");
    into = *parsed;
  }
  void number(std::string_view name, std::int64_t& into, std::int64_t least,
              std::string_view what) {
    const std::string* const value = find(name);
    if (value == nullptr) return;
    const auto parsed = parse_number<std::int32_t>(*value);
    if (!parsed || *parsed < least) return expected(name, *value, what);
    into = *parsed;
  }
  // Ports, ranges and names of ports of this pod (its `spec`); one wrong item makes all of it
  // wrong.
  void ports(std::string_view name, std::string& into, const Value& spec) {
    const std::string* const value = find(name);
    if (value == nullptr) return;
    std::vector<Ports> list;
    std::string_view text = trim(*value);
    if (text.ends_with(',')) text.remove_suffix(1);
    for (const std::string_view item : split(text, ',')) {
      if (!trim(text).empty() && !add_ports(spec, trim(item), list)) {
        return expected(name, *value, "ports such as 25,4567-4568 or names of ports of this pod");
      }
    }
    into = to_string(list);
  }
  // Rendered again in whole units of the given size.
  void duration(std::string_view name, std::string& into, std::chrono::nanoseconds unit,
                std::string_view suffix) {
    const std::string* const value = find(name);
    if (value == nullptr) return;
    const auto parsed = parse_go_duration(*value);
    if (!parsed) return expected(name, *value, "a duration such as 500ms or 1m30s");
    into = concat(std::to_string(*parsed / unit), suffix);
  }
  std::optional<double> quantity(std::string_view name, std::string& into) {
    const std::string* const value = find(name);
    if (value == nullptr) return std::nullopt;
    const auto parsed = parse_quantity(*value);
    if (!parsed) {
      expected(name, *value, "a quantity such as 100m or 20Mi");
      return std::nullopt;
    }
    into = *value;
    return parsed;
  }

 private:
  const k8s::StringMap& annotations_;
  Settings& settings_;
};

void images(Overrides& in, Config& config) {
  in.non_empty("proxy-image", config.proxy.image.name);
  in.non_empty("proxy-version", config.proxy.image.version);
  const std::initializer_list<std::string_view> policies = {"Always", "IfNotPresent", "Never"};
  in.one_of("image-pull-policy", config.proxy.image.pull_policy, policies,
            "Always, IfNotPresent or Never");
  in.non_empty("debug-image", config.debug_image.name);
  in.non_empty("debug-image-version", config.debug_image.version);
  in.one_of("debug-image-pull-policy", config.debug_image.pull_policy, policies,
            "Always, IfNotPresent or Never");
}

void resources(Overrides& in, ProxyConfig& proxy) {
  const auto cores = [](double amount) {
    return std::max<std::int64_t>(1, std::llround(std::ceil(amount)));
  };
  if (const auto amount = in.quantity("proxy-cpu-request", proxy.resources.cpu.request)) {
    proxy.workers_minimum = cores(*amount);
  }
  if (const auto amount = in.quantity("proxy-cpu-limit", proxy.resources.cpu.limit)) {
    proxy.workers_maximum = cores(*amount);
  }
  if (const std::string* const value = in.find("proxy-cpu-ratio-limit")) {
    const auto ratio = parse_quantity(*value);
    if (!ratio || !ascii_digit(value->back()) || *ratio <= 0 || *ratio >= 1) {
      in.expected("proxy-cpu-ratio-limit", *value, "a number between 0 and 1");
    } else {
      proxy.workers_maximum_ratio = *value;
    }
  }
  in.quantity("proxy-memory-request", proxy.resources.memory.request);
  in.quantity("proxy-memory-limit", proxy.resources.memory.limit);
  in.quantity("proxy-ephemeral-storage-request", proxy.resources.ephemeral_storage.request);
  in.quantity("proxy-ephemeral-storage-limit", proxy.resources.ephemeral_storage.limit);
}

// Ports and names of container ports; an item that is neither is dropped alone, because the control
// plane reads the same annotation in the same way.
void opaque_ports(Overrides& in, ProxyConfig& proxy, const Value& spec) {
  const std::string* const value = in.find("opaque-ports");
  if (value == nullptr) return;
  std::vector<Ports> list;
  for (const std::string_view item : list_items(*value)) {
    if (add_ports(spec, item, list)) continue;
    in.warn("opaque-ports", concat("\"", item,
                                   "\" is neither a port, a range nor the name of a port of this "
                                   "pod; it is left out"));
  }
  proxy.opaque_ports = to_string(list);
}

void networks(Overrides& in, Settings& settings, const Value& spec) {
  Config& config = settings.config;
  in.port("control-port", config.proxy.control_port);
  in.port("admin-port", config.proxy.admin_port);
  in.port("inbound-port", config.proxy.inbound_port);
  in.port("outbound-port", config.proxy.outbound_port);
  in.ports("skip-inbound-ports", config.init.ignore_inbound_ports, spec);
  in.ports("skip-outbound-ports", config.init.ignore_outbound_ports, spec);
  in.ports("proxy-require-identity-inbound-ports", config.proxy.require_identity_ports, spec);
  if (in.find("pod-inbound-ports") != nullptr) {
    std::string ports = "?";
    in.ports("pod-inbound-ports", ports, spec);
    if (ports != "?") settings.inbound_ports = ports;
  }
  if (const std::string* const subnets = in.find("skip-subnets")) {
    if (are_networks(*subnets)) {
      config.init.skip_subnets = *subnets;
    } else {
      in.expected("skip-subnets", *subnets, "networks such as 10.0.0.0/8");
    }
  }
  in.boolean("enable-gateway", settings.gateway);
  in.boolean("enable-external-profiles", config.proxy.enable_external_profiles);
  if (const std::string* const policy = in.find("default-inbound-policy")) {
    if (std::find(std::begin(kPolicies), std::end(kPolicies), *policy) != std::end(kPolicies)) {
      config.proxy.default_inbound_policy = *policy;
    } else {
      in.expected("default-inbound-policy", *policy,
                  "all-unauthenticated, all-authenticated, cluster-unauthenticated, "
                  "cluster-authenticated, deny or audit");
    }
  }
}

void timeouts(Overrides& in, ProxyConfig& proxy) {
  using namespace std::chrono_literals;
  in.duration("proxy-outbound-connect-timeout", proxy.outbound_connect_timeout, 1ms, "ms");
  in.duration("proxy-inbound-connect-timeout", proxy.inbound_connect_timeout, 1ms, "ms");
  in.duration("proxy-outbound-discovery-cache-unused-timeout", proxy.outbound_discovery_timeout, 1s,
              "s");
  in.duration("proxy-inbound-discovery-cache-unused-timeout", proxy.inbound_discovery_timeout, 1s,
              "s");
  in.boolean("proxy-disable-outbound-protocol-detect-timeout",
             proxy.disable_outbound_detect_timeout);
  in.boolean("proxy-disable-inbound-protocol-detect-timeout", proxy.disable_inbound_detect_timeout);
  in.duration("shutdown-grace-period", proxy.shutdown_grace_period, 1ms, "ms");
}

void logging(Overrides& in, Settings& settings) {
  ProxyConfig& proxy = settings.config.proxy;
  in.non_empty("proxy-log-level", proxy.log_level);
  in.one_of("proxy-log-format", proxy.log_format, {"plain", "json"}, "plain or json");
  in.one_of("access-log", proxy.access_log, {"apache", "json", ""}, "apache or json");
  in.text("proxy-log-http-headers", proxy.log_http_headers);
  in.boolean("proxy-metrics-hostname-labels", proxy.hostname_labels);
}

void lifecycle(Overrides& in, Settings& settings, const k8s::StringMap& annotations) {
  ProxyConfig& proxy = settings.config.proxy;
  in.number("proxy-uid", proxy.uid, 1, "a user id above 0");
  in.number("proxy-gid", proxy.gid, -1, "a group id, or -1 for none");
  if (const auto on = in.toggle("proxy-admin-shutdown")) proxy.enable_shutdown_endpoint = *on;
  if (const auto on = in.toggle("proxy-await")) {
    proxy.await = *on;
    settings.await_asked = *on;
  }
  in.boolean("enable-debug-sidecar", settings.debug);

  // The stable name wins over beta, beta over alpha.
  const std::string_view kNative = "proxy-enable-native-sidecar";
  for (const std::string_view prefix :
       {"config.linkerd.io/", "config.beta.linkerd.io/", "config.alpha.linkerd.io/"}) {
    const std::string name = concat(prefix, kNative);
    const std::string* const value = annotations.find(name);
    if (value == nullptr) continue;
    if (const auto on = parse_go_bool(*value)) {
      proxy.native_sidecar = *on;
      break;
    }
    settings.warnings.push_back(
        {name, concat("is \"", *value, "\", expected true or false; it is ignored")});
  }
  const std::string wait = "config.alpha.linkerd.io/proxy-wait-before-exit-seconds";
  if (const std::string* const value = annotations.find(wait)) {
    if (const auto seconds = parse_number<std::uint32_t>(*value)) {
      proxy.wait_before_exit = *seconds;
    } else {
      settings.warnings.push_back(
          {wait, concat("is \"", *value, "\", expected whole seconds; it is ignored")});
    }
  }
  if (const std::string* const value = in.find("close-wait-timeout")) {
    const auto parsed = parse_go_duration(*value);
    if (!parsed) {
      in.expected("close-wait-timeout", *value, "a duration such as 1h");
    } else {
      settings.config.init.close_wait_timeout = *parsed / std::chrono::seconds(1);
    }
  }
}

// Layers: configuration, namespace, workload; a name that is there is replaced in place.
void merge_env(std::vector<Value>& env, const std::string& json, Settings& settings) {
  const std::string annotation = concat(kConfigPrefix, "proxy-additional-env");
  std::string problem;
  const auto list = parse_json(json, problem);
  const auto is_variable = [](const Value& item) { return !item["name"].string().empty(); };
  if (!list || !list->is_list() ||
      !std::all_of(list->items().begin(), list->items().end(), is_variable)) {
    settings.warnings.push_back(
        {annotation, concat("must be a JSON list of variables such as "
                            "[{\"name\":\"A\",\"value\":\"b\"}]; it is ignored",
                            problem.empty() ? "" : ": ", problem)});
    return;
  }
  for (const Value& item : list->items()) {
    const auto same = [&](const Value& other) {
      return other["name"].string() == item["name"].string();
    };
    const auto found = std::find_if(env.begin(), env.end(), same);
    if (found != env.end()) {
      *found = item;
    } else {
      env.push_back(item);
    }
  }
}

void tracing(Settings& settings, const k8s::StringMap& annotations, const k8s::StringMap& labels) {
  Tracing& tracing = settings.config.proxy.tracing;
  if (!tracing.enabled) return;
  const auto set = [&](std::string_view key, const std::string& value) {
    for (auto& [name, old] : tracing.labels) {
      if (name == key) {
        old = value;
        return;
      }
    }
    tracing.labels.emplace_back(key, value);
  };
  const std::string* service = labels.find("app.kubernetes.io/instance");
  if (service == nullptr) service = labels.find("app.kubernetes.io/name");
  if (service != nullptr) set("service.name", *service);
  for (const auto& [key, value] : annotations) {
    if (key.starts_with(kTracingPrefix))
      set(std::string_view(key).substr(kTracingPrefix.size()), value);
  }
}

void unknown_keys(Settings& settings, const k8s::StringMap& annotations) {
  for (const auto& [key, value] : annotations) {
    const bool ours = key.starts_with(kConfigPrefix) ||
                      key.starts_with("config.alpha.linkerd.io/") ||
                      key.starts_with("config.beta.linkerd.io/");
    if (!ours || find_config_key(key) != nullptr) continue;
    const std::string_view near = nearest_config_key(key);
    settings.warnings.push_back(
        {key, near.empty() ? "there is no such annotation"
                           : concat("there is no such annotation; did you mean ", near, "?")});
  }
}

// What must not be injected at all.
std::string refusal(const Settings& settings) {
  const Config& config = settings.config;
  const ProxyConfig& proxy = config.proxy;
  const std::string& headers = proxy.log_http_headers;
  if (headers != "off" && headers != "insecure" && !headers.empty()) {
    return concat("proxy-log-http-headers is \"", headers, "\", expected off or insecure");
  }
  if (config.init.close_wait_timeout > 0 && !config.init.run_as_root && !config.cni_enabled) {
    return "a close-wait timeout needs proxyInit.runAsRoot=true";
  }
  if (!are_networks(config.cluster_networks)) {
    return concat("clusterNetworks is \"", config.cluster_networks,
                  "\", expected networks such as 10.0.0.0/8");
  }
  const std::string& mode = config.init.iptables_mode;
  if (mode != "nft" && mode != "legacy" && mode != "plain" && !mode.empty()) {
    return concat("proxyInit.iptablesMode is \"", mode, "\", expected nft, legacy or plain");
  }
  if (proxy.tracing.enabled && (proxy.tracing.endpoint.empty() || proxy.tracing.account.empty() ||
                                proxy.tracing.ns.empty())) {
    return "proxy.tracing.enabled needs proxy.tracing.collector.endpoint and "
           "meshIdentity.serviceAccountName and .namespace";
  }
  return "";
}

}  // namespace

std::string Warning::to_string() const {
  return what.empty() ? reason : concat(what, ": ", reason);
}

bool are_networks(std::string_view text) {
  for (const std::string_view item : split(text, ',')) {
    if (!trim(item).empty() && !net::Cidr::parse(trim(item))) return false;
  }
  return true;
}

namespace {
// A pod whose word is misspelt is not more open than its namespace.
void policy_of_namespace(Settings& settings, const k8s::StringMap& of_pod,
                         const k8s::StringMap& of_namespace) {
  const std::string key = concat(kConfigPrefix, "default-inbound-policy");
  const auto is_policy = [](const std::string* word) {
    return word != nullptr &&
           std::find(std::begin(kPolicies), std::end(kPolicies), *word) != std::end(kPolicies);
  };
  const std::string* const inherited = of_namespace.find(key);
  if (is_policy(of_pod.find(key)) || !is_policy(inherited)) return;
  settings.config.proxy.default_inbound_policy = *inherited;
}
}  // namespace

Settings apply_annotations(const Config& config, const k8s::StringMap& annotations,
                           const k8s::StringMap& of_namespace, const k8s::StringMap& labels,
                           const Value& spec) {
  Settings settings;
  settings.config = config;
  Overrides in(annotations, settings);
  images(in, settings.config);
  resources(in, settings.config.proxy);
  networks(in, settings, spec);
  opaque_ports(in, settings.config.proxy, spec);
  timeouts(in, settings.config.proxy);
  logging(in, settings);
  lifecycle(in, settings, annotations);
  policy_of_namespace(settings, annotations, of_namespace);
  const std::string env = concat(kConfigPrefix, "proxy-additional-env");
  const std::string* const outer = of_namespace.find(env);
  const std::string* const inner = annotations.find(env);
  if (outer != nullptr) merge_env(settings.config.proxy.additional_env, *outer, settings);
  if (inner != nullptr && (outer == nullptr || *inner != *outer)) {
    merge_env(settings.config.proxy.additional_env, *inner, settings);
  }
  tracing(settings, annotations, labels);
  unknown_keys(settings, annotations);
  settings.error = refusal(settings);
  return settings;
}

}  // namespace tulle::inject
