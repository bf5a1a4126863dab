// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/containers.h"

#include <set>

#include "lib/base/text.h"
#include "lib/inject/formats.h"
#include "lib/inject/names.h"

namespace tulle::inject {
namespace {

constexpr std::string_view kIdentityDir = "/var/run/linkerd/identity/end-entity";
constexpr std::string_view kTokenDir = "/var/run/secrets/tokens";
constexpr std::string_view kPodInfoDir = "/var/run/linkerd/podinfo";

// The variables of the proxy, in the order of the reference.
class Env {
 public:
  void plain(std::string_view name, std::string_view value) {
    list_.push(Value::map({{"name", name}, {"value", value}}));
  }
  void field(std::string_view name, std::string_view path) {
    const Value ref = Value::map({{"fieldPath", path}});
    list_.push(Value::map({{"name", name}, {"valueFrom", Value::map({{"fieldRef", ref}})}}));
  }
  void set(std::string_view name, std::string_view value) {
    plain(concat("LINKERD2_PROXY_", name), value);
  }
  void set_if(std::string_view name, std::string_view value) {
    if (!value.empty()) set(name, value);
  }
  // Not an overload of set(): a literal would become a bool.
  void flag(std::string_view name, bool on) { set(name, on ? "true" : "false"); }
  void add(const Value& variable) { list_.push(variable); }
  Value take() { return std::move(list_); }

 private:
  Value list_ = Value::list();
};

// Whole numbers of the ports that containers declare or are probed at, sorted as text.
std::string inbound_ports(const Value& spec) {
  std::set<std::string, std::less<>> ports;
  const auto add = [&](const Value& port) {
    const auto number = port.integer();
    if (number && *number >= 1 && *number <= 65535) ports.insert(std::to_string(*number));
  };
  for (const std::string_view kind : {"initContainers", "containers"}) {
    for (const Value& container : spec[kind].items()) {
      for (const Value& port : container["ports"].items()) {
        const std::string_view protocol = port["protocol"].string();
        if (protocol.empty() || protocol == "TCP") add(port["containerPort"]);
      }
      for (const std::string_view probe : {"livenessProbe", "readinessProbe", "startupProbe"}) {
        add(container[probe]["httpGet"]["port"]);
      }
    }
  }
  std::string out;
  for (const std::string& port : ports) {
    if (!out.empty()) out += ',';
    out += port;
  }
  return out;
}

// keepAliveInterval → KEEP_ALIVE_INTERVAL
std::string upper_snake(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && i > 0 && out.back() != '_') out += '_';
    if (c == '-') {
      out += '_';
    } else {
      out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
  }
  return out;
}

// proxy.inbound.server.http2.keepAliveInterval → INBOUND_SERVER_HTTP2_KEEP_ALIVE_INTERVAL
void generic_parameters(Env& env, const std::string& prefix, const Value& values) {
  for (std::size_t i = 0; values.is_map() && i < values.size(); ++i) {
    const std::string name = concat(prefix, "_", upper_snake(values.keys()[i]));
    const Value& value = values.items()[i];
    if (value.is_map()) {
      generic_parameters(env, name, value);
    } else if (!value.is_null()) {
      env.set_if(name, value.text());
    }
  }
}

// Names and addresses of the control plane.
class ControlPlane {
 public:
  explicit ControlPlane(const Config& config) : config_(config) {}
  std::string address(std::string_view service, std::string_view port) const {
    return concat(service, ".", config_.control_namespace, ".svc.", config_.cluster_domain,
                  ".:", port);
  }
  std::string identity(std::string_view account, std::string_view ns) const {
    return concat(account, ".", ns, ".serviceaccount.identity.", config_.control_namespace, ".",
                  config_.trust());
  }
  std::string own_identity(std::string_view account) const {
    return identity(account, config_.control_namespace);
  }

 private:
  const Config& config_;
};

void workers(Env& env, const ProxyConfig& proxy) {
  const std::string least = std::to_string(proxy.cores.value_or(proxy.workers_minimum));
  env.set("CORES", least);
  env.set("CORES_MIN", least);
  if (proxy.cores) return;
  if (proxy.workers_maximum) env.set("CORES_MAX", std::to_string(*proxy.workers_maximum));
  env.set_if("CORES_MAX_RATIO", proxy.workers_maximum_ratio);
}

void control_plane(Env& env, const Config& config, const ControlPlane& control) {
  env.set("DESTINATION_SVC_ADDR", control.address("linkerd-dst-headless", "8086"));
  env.set("DESTINATION_PROFILE_NETWORKS", config.cluster_networks);
  env.set("POLICY_SVC_ADDR", control.address("linkerd-policy", "8090"));
  env.set("POLICY_WORKLOAD", "{\"ns\":\"$(_pod_ns)\", \"pod\":\"$(_pod_name)\"}\n");
  env.set("INBOUND_DEFAULT_POLICY", config.proxy.default_inbound_policy);
  env.set("POLICY_CLUSTER_NETWORKS", config.cluster_networks);
  env.set_if("CONTROL_STREAM_INITIAL_TIMEOUT", config.proxy.stream_initial_timeout);
  env.set_if("CONTROL_STREAM_IDLE_TIMEOUT", config.proxy.stream_idle_timeout);
  env.set_if("CONTROL_STREAM_LIFETIME", config.proxy.stream_lifetime);
}

void listeners(Env& env, const Config& config) {
  const auto at = [](std::string_view ip, std::uint16_t port) {
    return concat(ip, ":", std::to_string(port));
  };
  const std::string_view any = config.disable_ipv6 ? "0.0.0.0" : "[::]";
  const ProxyConfig& proxy = config.proxy;
  env.set("CONTROL_LISTEN_ADDR", at(any, proxy.control_port));
  env.set("ADMIN_LISTEN_ADDR", at(any, proxy.admin_port));
  std::string outbound = at("127.0.0.1", proxy.outbound_port);
  env.set("OUTBOUND_LISTEN_ADDR", outbound);
  if (!config.disable_ipv6) outbound += concat(",", at("[::1]", proxy.outbound_port));
  env.set("OUTBOUND_LISTEN_ADDRS", outbound);
  env.set("INBOUND_LISTEN_ADDR", at(any, proxy.inbound_port));
}

void tracing(Env& env, const Tracing& tracing, const ControlPlane& control) {
  if (!tracing.enabled) return;
  env.set("TRACE_ATTRIBUTES_PATH", concat(kPodInfoDir, "/labels"));
  env.set("TRACE_ANNOTATIONS_PATH", concat(kPodInfoDir, "/annotations"));
  env.set("TRACE_PROTOCOL", tracing.protocol);
  env.set("TRACE_SERVICE_NAME", tracing.service_name);
  env.set("TRACE_COLLECTOR_SVC_ADDR", tracing.endpoint);
  env.set("TRACE_COLLECTOR_SVC_NAME", control.identity(tracing.account, tracing.ns));
  std::string labels;
  for (const auto& [key, value] : tracing.labels) labels += concat(key, "=", value, "\n");
  env.set_if("TRACE_EXTRA_ATTRIBUTES", labels);
}

void identity(Env& env, const Config& config, const ControlPlane& control) {
  env.field("_pod_sa", "spec.serviceAccountName");
  env.plain("_l5d_ns", config.control_namespace);
  env.plain("_l5d_trustdomain", config.trust());
  env.set("IDENTITY_DIR", kIdentityDir);
  env.set("IDENTITY_TRUST_ANCHORS", config.trust_anchors);
  env.set("IDENTITY_TOKEN_FILE", config.token_projection
                                     ? concat(kTokenDir, "/linkerd-identity-token")
                                     : concat(kAccountMount, "/token"));
  env.set("IDENTITY_SVC_ADDR", control.address("linkerd-identity-headless", "8080"));
  env.set("IDENTITY_LOCAL_NAME", control.identity("$(_pod_sa)", "$(_pod_ns)"));
  env.set("IDENTITY_SVC_NAME", control.own_identity("linkerd-identity"));
  env.set("DESTINATION_SVC_NAME", control.own_identity("linkerd-destination"));
  env.set("POLICY_SVC_NAME", control.own_identity("linkerd-destination"));
}

Value environment(const Settings& settings, const Value& spec) {
  const Config& config = settings.config;
  const ProxyConfig& proxy = config.proxy;
  const ControlPlane control(config);
  const std::string suffix = concat("svc.", config.cluster_domain, ".");
  Env env;
  env.field("_pod_name", "metadata.name");
  env.field("_pod_ns", "metadata.namespace");
  env.field("_pod_uid", "metadata.uid");
  env.field("_pod_ip", "status.podIP");
  env.field("_pod_nodeName", "spec.nodeName");
  env.plain("_pod_containerName", kProxyContainer);
  workers(env, proxy);
  env.set_if("INBOUND_PORTS_REQUIRE_IDENTITY", proxy.require_identity_ports);
  env.set_if("INBOUND_PORTS_REQUIRE_TLS", proxy.require_tls_ports);
  env.flag("SHUTDOWN_ENDPOINT_ENABLED", proxy.enable_shutdown_endpoint);
  const bool insecure = proxy.log_http_headers == "insecure";
  env.set("LOG", concat(proxy.log_level, insecure ? "" : ",[{headers}]=off,[{request}]=off"));
  env.set("LOG_FORMAT", proxy.log_format);
  control_plane(env, config, control);
  env.set("INBOUND_CONNECT_TIMEOUT", proxy.inbound_connect_timeout);
  env.set("OUTBOUND_CONNECT_TIMEOUT", proxy.outbound_connect_timeout);
  env.set("OUTBOUND_DISCOVERY_IDLE_TIMEOUT", proxy.outbound_discovery_timeout);
  env.set("INBOUND_DISCOVERY_IDLE_TIMEOUT", proxy.inbound_discovery_timeout);
  if (proxy.disable_outbound_detect_timeout) env.set("OUTBOUND_DETECT_TIMEOUT", "365d");
  if (proxy.disable_inbound_detect_timeout) env.set("INBOUND_DETECT_TIMEOUT", "365d");
  listeners(env, config);
  env.field("LINKERD2_PROXY_INBOUND_IPS", "status.podIPs");
  env.set("INBOUND_PORTS", settings.inbound_ports ? *settings.inbound_ports : inbound_ports(spec));
  if (settings.gateway) env.set("INBOUND_GATEWAY_SUFFIXES", suffix);
  if (settings.ingress) env.flag("INGRESS_MODE", true);
  env.set("DESTINATION_PROFILE_SUFFIXES",
          proxy.enable_external_profiles ? std::string_view(".") : suffix);
  env.set("INBOUND_ACCEPT_KEEPALIVE", "10000ms");
  env.set("OUTBOUND_CONNECT_KEEPALIVE", "10000ms");
  env.set("INBOUND_ACCEPT_USER_TIMEOUT", "30s");
  env.set("OUTBOUND_CONNECT_USER_TIMEOUT", "30s");
  env.flag("OUTBOUND_METRICS_HOSTNAME_LABELS", proxy.hostname_labels);
  tracing(env, proxy.tracing, control);
  generic_parameters(env, "INBOUND", proxy.inbound);
  generic_parameters(env, "OUTBOUND", proxy.outbound);
  env.set_if("INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", proxy.opaque_ports);
  env.set("DESTINATION_CONTEXT",
          "{\"ns\":\"$(_pod_ns)\", \"nodeName\":\"$(_pod_nodeName)\", \"pod\":\"$(_pod_name)\"}\n");
  identity(env, config, control);
  env.set_if("ACCESS_LOG", proxy.access_log);
  env.set_if("SHUTDOWN_GRACE_PERIOD", proxy.shutdown_grace_period);
  for (const Value& variable : proxy.additional_env) env.add(variable);
  for (const Value& variable : proxy.experimental_env) env.add(variable);
  return env.take();
}

Value probe(std::string_view path, std::uint16_t port, const ProbeTimes& times) {
  Value out = Value::map({{"httpGet", Value::map({{"path", path}, {"port", port}})}});
  out.set("initialDelaySeconds", times.initial_delay);
  out.set("timeoutSeconds", times.timeout);
  if (times.period > 0) out.set("periodSeconds", times.period);
  if (times.failure_threshold > 0) out.set("failureThreshold", times.failure_threshold);
  return out;
}

// Null if nothing is asked for.
Value resources(const Resources& resources) {
  Value out;
  const auto add = [&](std::string_view side, std::string_view name, const std::string& amount) {
    if (amount.empty()) return;
    if (out.find(side) == nullptr) out.set(side, Value::map());
    out.find(side)->set(name, amount);
  };
  add("limits", "cpu", resources.cpu.limit);
  add("limits", "memory", resources.memory.limit);
  add("limits", "ephemeral-storage", resources.ephemeral_storage.limit);
  add("requests", "cpu", resources.cpu.request);
  add("requests", "memory", resources.memory.request);
  add("requests", "ephemeral-storage", resources.ephemeral_storage.request);
  return out;
}

// What restricted Pod Security wants of every container.
Value unprivileged(std::int64_t uid, std::int64_t gid) {
  Value out = Value::map({{"allowPrivilegeEscalation", false},
                          {"capabilities", Value::map({{"drop", Value::list({"ALL"})}})},
                          {"readOnlyRootFilesystem", true},
                          {"runAsNonRoot", true},
                          {"runAsUser", uid}});
  if (gid >= 0) out.set("runAsGroup", gid);
  out.set("seccompProfile", Value::map({{"type", "RuntimeDefault"}}));
  return out;
}

Value mount(std::string_view name, std::string_view path) {
  return Value::map({{"mountPath", path}, {"name", name}});
}

Value exec(std::initializer_list<Value> command) {
  return Value::map({{"exec", Value::map({{"command", Value::list(command)}})}});
}

Value base(const Config& config, const Image& image, std::string_view name) {
  return Value::map({{"name", name},
                     {"image", config.reference(image)},
                     {"imagePullPolicy", config.pull_policy(image)},
                     {"terminationMessagePolicy", "FallbackToLogsOnError"}});
}

}  // namespace

const Value* account_mount(const Value& spec) noexcept {
  const Value& containers = spec["containers"];
  if (containers.empty() || !containers.is_list()) return nullptr;
  for (const Value& item : containers.items().front()["volumeMounts"].items()) {
    if (item["mountPath"].string() == kAccountMount) return &item;
  }
  return nullptr;
}

Value proxy_container(const Settings& settings, const Placement& placement, const Value& spec) {
  const Config& config = settings.config;
  const ProxyConfig& proxy = config.proxy;
  Value out = base(config, proxy.image, kProxyContainer);
  out.set(
      "ports",
      Value::list({Value::map({{"name", "linkerd-proxy"}, {"containerPort", proxy.inbound_port}}),
                   Value::map({{"name", "linkerd-admin"}, {"containerPort", proxy.admin_port}})}));
  out.set("env", environment(settings, spec));
  out.set("livenessProbe", probe("/live", proxy.admin_port, proxy.liveness));
  out.set("readinessProbe", probe("/ready", proxy.admin_port, proxy.readiness));
  if (placement.native) {
    if (proxy.await) out.set("startupProbe", probe("/ready", proxy.admin_port, proxy.startup));
    out.set("restartPolicy", "Always");
  } else {
    Value lifecycle;
    if (placement.first) {
      lifecycle.set("postStart", exec({"/usr/lib/linkerd/linkerd-await", "--timeout=2m",
                                       concat("--port=", std::to_string(proxy.admin_port))}));
    }
    if (proxy.wait_before_exit > 0) {
      lifecycle.set("preStop", exec({"/bin/sleep", std::to_string(proxy.wait_before_exit)}));
    }
    if (!lifecycle.empty()) out.set("lifecycle", std::move(lifecycle));
  }
  if (Value wanted = resources(proxy.resources); !wanted.empty())
    out.set("resources", std::move(wanted));
  out.set("securityContext", !proxy.security_context.empty() ? proxy.security_context
                                                             : unprivileged(proxy.uid, proxy.gid));
  Value mounts = Value::list({mount(kIdentityVolume, kIdentityDir)});
  if (proxy.tracing.enabled) mounts.push(mount(kPodInfoVolume, kPodInfoDir));
  if (config.token_projection) {
    mounts.push(mount(kTokenVolume, kTokenDir));
  } else if (const Value* const account = account_mount(spec)) {
    mounts.push(*account);
  }
  out.set("volumeMounts", std::move(mounts));
  return out;
}

Value init_container(const Settings& settings) {
  const Config& config = settings.config;
  const ProxyConfig& proxy = config.proxy;
  const InitConfig& init = config.init;
  Value args = Value::list();
  const auto flag = [&](std::string_view name, std::string_view value) {
    args.push(name);
    args.push(value);
  };
  const auto flag_if = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) flag(name, value);
  };
  if (init.iptables_mode == "nft") {
    flag("--firewall-bin-path", "iptables-nft");
    flag("--firewall-save-bin-path", "iptables-nft-save");
  }
  if (config.disable_ipv6) args.push("--ipv6=false");
  flag("--incoming-proxy-port", std::to_string(proxy.inbound_port));
  flag("--outgoing-proxy-port", std::to_string(proxy.outbound_port));
  flag("--proxy-uid", std::to_string(proxy.uid));
  if (proxy.gid >= 0) flag("--proxy-gid", std::to_string(proxy.gid));
  std::string ignored =
      concat(std::to_string(proxy.control_port), ",", std::to_string(proxy.admin_port));
  if (!init.ignore_inbound_ports.empty()) ignored += concat(",", init.ignore_inbound_ports);
  flag("--inbound-ports-to-ignore", ignored);
  flag_if("--outbound-ports-to-ignore", init.ignore_outbound_ports);
  if (init.close_wait_timeout > 0)
    flag("--timeout-close-wait-secs", std::to_string(init.close_wait_timeout));
  flag_if("--log-format", init.log_format);
  flag_if("--log-level", init.log_level);
  flag_if("--subnets-to-ignore", init.skip_subnets);

  const bool privileged = init.close_wait_timeout > 0 || init.privileged;
  Value security =
      Value::map({{"allowPrivilegeEscalation", privileged},
                  {"capabilities", Value::map({{"add", Value::list({"NET_ADMIN", "NET_RAW"})}})},
                  {"privileged", privileged},
                  {"readOnlyRootFilesystem", true}});
  // The API server refuses to drop everything from a privileged container.
  if (!privileged) security.find("capabilities")->set("drop", Value::list({"ALL"}));
  security.set("runAsNonRoot", !init.run_as_root);
  const auto id = [&](std::int64_t wanted) {
    if (init.run_as_root) return std::int64_t{0};
    return wanted == 0 ? std::int64_t{65534} : wanted;
  };
  security.set("runAsUser", id(init.uid));
  security.set("runAsGroup", id(init.gid));
  security.set("seccompProfile", Value::map({{"type", "RuntimeDefault"}}));

  Value out = base(config, proxy.image, kInitContainer);
  out.set("command", Value::list({"/usr/lib/linkerd/linkerd2-proxy-init"}));
  out.set("args", std::move(args));
  if (Value wanted = resources(proxy.resources); !wanted.empty())
    out.set("resources", std::move(wanted));
  out.set("securityContext", std::move(security));
  out.set("volumeMounts", Value::list({mount(kXtablesVolume, "/run")}));
  return out;
}

Value validator_container(const Settings& settings) {
  const Config& config = settings.config;
  const ValidatorConfig& validator = config.validator;
  const auto or_default = [](const std::string& value, std::string_view fallback) {
    return value.empty() ? std::string(fallback) : value;
  };
  const std::string port = std::to_string(config.proxy.outbound_port);
  const std::string connect =
      or_default(validator.connect_addr, config.disable_ipv6 ? "1.1.1.1:20001" : "[fd00::1]:20001");
  const std::string listen =
      or_default(validator.listen_addr, concat(config.disable_ipv6 ? "0.0.0.0:" : "[::]:", port));
  Value out = base(config, config.proxy.image, kValidatorContainer);
  out.set("command", Value::list({"/usr/lib/linkerd/linkerd2-network-validator"}));
  out.set("args", Value::list({"--log-format", validator.log_format, "--log-level",
                               validator.log_level, "--connect-addr", connect, "--listen-addr",
                               listen, "--timeout", validator.timeout}));
  if (Value wanted = resources(config.proxy.resources); !wanted.empty())
    out.set("resources", std::move(wanted));
  if (!validator.security_context.empty()) {
    out.set("securityContext", validator.security_context);
  } else if (validator.enable_security_context) {
    out.set("securityContext", unprivileged(65534, 65534));
  }
  return out;
}

Value debug_container(const Settings& settings) {
  Value out = base(settings.config, settings.config.debug_image, kDebugContainer);
  out.set("livenessProbe", exec({"true"}));
  out.set("readinessProbe", exec({"true"}));
  return out;
}

Value identity_volume() {
  return Value::map({{"name", kIdentityVolume}, {"emptyDir", Value::map({{"medium", "Memory"}})}});
}

Value token_volume() {
  const Value token = Value::map({{"path", "linkerd-identity-token"},
                                  {"expirationSeconds", 86400},
                                  {"audience", "identity.l5d.io"}});
  const Value sources = Value::list({Value::map({{"serviceAccountToken", token}})});
  return Value::map({{"name", kTokenVolume}, {"projected", Value::map({{"sources", sources}})}});
}

Value pod_info_volume() {
  const Value field = Value::map({{"fieldPath", "metadata.labels"}});
  const Value items = Value::list({Value::map({{"path", "labels"}, {"fieldRef", field}})});
  return Value::map({{"name", kPodInfoVolume}, {"downwardAPI", Value::map({{"items", items}})}});
}

Value xtables_volume() {
  return Value::map({{"name", kXtablesVolume}, {"emptyDir", Value::map()}});
}

}  // namespace tulle::inject
