// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/overrides.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>

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

// The TCP ports of a pod by the name that its containers give them, those of containers first. Made
// once: annotations may mention names as often as they like.
class NamedPorts {
 public:
  explicit NamedPorts(const Value& spec) {
    for (const std::string_view kind : {"containers", "initContainers"}) {
      for (const Value& container : spec[kind].items()) {
        for (const Value& port : container["ports"].items()) add(port);
      }
    }
  }
  const std::vector<std::uint16_t>* find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found != by_name_.end() ? &found->second : nullptr;
  }

 private:
  void add(const Value& port) {
    const std::string_view name = port["name"].string();
    const std::string_view protocol = port["protocol"].string();
    const auto number = port["containerPort"].integer();
    if (name.empty() || (!protocol.empty() && protocol != "TCP")) return;
    if (!number || *number < 1 || *number > 65535) return;
    by_name_[name].push_back(static_cast<std::uint16_t>(*number));
  }
  std::map<std::string_view, std::vector<std::uint16_t>> by_name_;
};

// A list of ports as it becomes: in the order in which it was written, without what is in it
// already; sorted and merged when it is long. It never has more items than there are ports.
class PortList {
 public:
  explicit PortList(const NamedPorts& names) : names_(names) {}

  // A port, a range, or the name of ports of the pod. False if it is none of these.
  bool add(std::string_view item) {
    if (const auto ports = parse_ports_item(item)) {
      add(*ports);
      return true;
    }
    const auto* const ports = names_.find(item);
    if (ports == nullptr) return false;
    if (!mentioned_.insert(item).second) return true;
    for (const std::uint16_t port : *ports) add(Ports{port, port});
    return true;
  }
  std::string text() const {
    if (in_order_.size() <= kKeptInOrder) return to_string(in_order_);
    std::vector<Ports> merged;
    for (const auto& [first, last] : merged_) {
      merged.push_back({static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)});
    }
    return to_string(merged);
  }

 private:
  static constexpr std::size_t kKeptInOrder = 100;

  void add(Ports ports) {
    std::uint32_t first = ports.first;
    std::uint32_t last = ports.last;
    auto at = merged_.upper_bound(first);
    if (at != merged_.begin()) {
      const auto before = std::prev(at);
      if (before->second >= last) return;
      if (before->second + 1 >= first) {
        first = before->first;
        at = before;
      }
    }
    while (at != merged_.end() && at->first <= last + 1) {
      last = std::max(last, at->second);
      at = merged_.erase(at);
    }
    merged_.emplace(first, last);
    in_order_.push_back(ports);
  }

  const NamedPorts& names_;
  std::set<std::string_view> mentioned_;
  std::vector<Ports> in_order_;
  std::map<std::uint32_t, std::uint32_t> merged_;  // first → last
};

// Warnings of one kind about things that may be many: the first few are told, the rest are counted.
class FewWarnings {
 public:
  FewWarnings(std::vector<Warning>& to, std::string_view what) : to_(to), what_(what) {}
  // False when no more are told: the reason need not be made.
  bool take() { return count_++ < kMost; }
  ~FewWarnings() {
    if (count_ > kMost) {
      to_.push_back({"", concat(std::to_string(count_ - kMost), " more ", what_)});
    }
  }
  FewWarnings(const FewWarnings&) = delete;
  FewWarnings& operator=(const FewWarnings&) = delete;

 private:
  static constexpr std::size_t kMost = 12;
  std::vector<Warning>& to_;
  std::string_view what_;
  std::size_t count_ = 0;
};

// What somebody wrote, short enough for a warning.
std::string quoted(std::string_view text) {
  constexpr std::size_t kLongest = 200;
  if (text.size() <= kLongest) return concat("\"", text, "\"");
  std::size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return concat("\"", text.substr(0, end), "…\"");
}

class Overrides {
 public:
  Overrides(const k8s::StringMap& annotations, Settings& settings, const Value& spec)
      : annotations_(annotations), settings_(settings), names_(spec) {}

  // The value of config.linkerd.io/<name>, if it is there.
  const std::string* find(std::string_view name) const {
    return annotations_.find(concat(kConfigPrefix, name));
  }
  void warn(std::string_view name, std::string reason) {
    settings_.warnings.push_back({concat(kConfigPrefix, name), std::move(reason)});
  }
  void expected(std::string_view name, std::string_view value, std::string_view what) {
    warn(name, concat("is ", quoted(value), ", expected ", what, "; it is ignored"));
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
  // Ports, ranges and names of ports of this pod; one wrong item makes all of it wrong.
  void ports(std::string_view name, std::string& into) {
    const std::string* const value = find(name);
    if (value == nullptr) return;
    PortList list(names_);
    std::string_view text = trim(*value);
    if (text.ends_with(',')) text.remove_suffix(1);
    for (const std::string_view item : split(text, ',')) {
      if (!trim(text).empty() && !list.add(trim(item))) {
        return expected(name, *value, "ports such as 25,4567-4568 or names of ports of this pod");
      }
    }
    into = list.text();
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

  const NamedPorts& names() const noexcept { return names_; }
  Settings& settings() noexcept { return settings_; }

 private:
  const k8s::StringMap& annotations_;
  Settings& settings_;
  const NamedPorts names_;
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
void opaque_ports(Overrides& in, ProxyConfig& proxy) {
  const std::string* const value = in.find("opaque-ports");
  if (value == nullptr) return;
  PortList list(in.names());
  FewWarnings few(in.settings().warnings, "items of opaque-ports are left out");
  for (const std::string_view item : list_items(*value)) {
    if (list.add(item) || !few.take()) continue;
    in.warn("opaque-ports", concat(quoted(item),
                                   " is neither a port, a range nor the name of a port of this "
                                   "pod; it is left out"));
  }
  proxy.opaque_ports = list.text();
}

void networks(Overrides& in, Settings& settings) {
  Config& config = settings.config;
  in.port("control-port", config.proxy.control_port);
  in.port("admin-port", config.proxy.admin_port);
  in.port("inbound-port", config.proxy.inbound_port);
  in.port("outbound-port", config.proxy.outbound_port);
  in.ports("skip-inbound-ports", config.init.ignore_inbound_ports);
  in.ports("skip-outbound-ports", config.init.ignore_outbound_ports);
  in.ports("proxy-require-identity-inbound-ports", config.proxy.require_identity_ports);
  if (in.find("pod-inbound-ports") != nullptr) {
    std::string ports = "?";
    in.ports("pod-inbound-ports", ports);
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

constexpr std::size_t kMaxVariables = 1'000;  // of one annotation proxy-additional-env

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
  if (list->size() > kMaxVariables) {
    settings.warnings.push_back(
        {annotation, concat("has ", std::to_string(list->size()), " variables, at most ",
                            std::to_string(kMaxVariables), " are taken; it is ignored")});
    return;
  }
  std::map<std::string, std::size_t, std::less<>> places;
  for (std::size_t i = 0; i < env.size(); ++i) {
    places.emplace(env[i]["name"].string(), i);
  }
  for (const Value& item : list->items()) {
    const auto [at, added] = places.emplace(item["name"].string(), env.size());
    if (added) {
      env.push_back(item);
    } else {
      env[at->second] = item;
    }
  }
}

void tracing(Settings& settings, const k8s::StringMap& annotations, const k8s::StringMap& labels) {
  Tracing& tracing = settings.config.proxy.tracing;
  if (!tracing.enabled) return;
  std::map<std::string, std::size_t, std::less<>> places;
  for (std::size_t i = 0; i < tracing.labels.size(); ++i) {
    places.emplace(tracing.labels[i].first, i);
  }
  const auto set = [&](std::string_view key, const std::string& value) {
    const auto [at, added] = places.emplace(key, tracing.labels.size());
    if (added) {
      tracing.labels.emplace_back(key, value);
    } else {
      tracing.labels[at->second].second = value;
    }
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
  FewWarnings few(settings.warnings, "annotations are unknown");
  for (const auto& [key, value] : annotations) {
    const bool ours = key.starts_with(kConfigPrefix) ||
                      key.starts_with("config.alpha.linkerd.io/") ||
                      key.starts_with("config.beta.linkerd.io/");
    if (!ours || find_config_key(key) != nullptr) continue;
    if (!few.take()) continue;
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
  Overrides in(annotations, settings, spec);
  images(in, settings.config);
  resources(in, settings.config.proxy);
  networks(in, settings);
  opaque_ports(in, settings.config.proxy);
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
