// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/config.h"

#include "lib/base/text.h"
#include "lib/inject/formats.h"
#include "lib/inject/known_values.h"
#include "lib/inject/overrides.h"

namespace tulle::inject {
namespace {

class Fields {
 public:
  Fields(const Value& root, std::vector<ConfigProblem>& problems)
      : root_(root), problems_(problems) {}

  // Null if it is absent.
  const Value& at(std::string_view path) const {
    const Value* value = &root_;
    for (const std::string_view step : split(path, '.')) value = &(*value)[step];
    return *value;
  }
  // A number stands for its text: `cpu: 1`.
  void read(std::string_view path, std::string& into) {
    const Value& value = at(path);
    if (value.is_null()) return;
    if (!value.is_string() && !value.is_number()) return wrong(path, "must be text");
    into = value.text();
  }
  void read(std::string_view path, bool& into) {
    const Value& value = at(path);
    if (value.is_null()) return;
    if (value.kind() != Value::Kind::Bool) return wrong(path, "must be true or false");
    into = value.is_true();
  }
  void read(std::string_view path, std::int64_t& into) {
    if (const auto number = whole(path)) into = *number;
  }
  void read(std::string_view path, std::optional<std::int64_t>& into) {
    if (const auto number = whole(path)) into = number;
  }
  void port(std::string_view path, std::uint16_t& into) {
    const auto number = whole(path);
    if (!number) return;
    if (*number < 1 || *number > 65535) return wrong(path, "must be a port from 1 to 65535");
    into = static_cast<std::uint16_t>(*number);
  }
  void read(std::string_view path, Value& into) {
    if (!at(path).is_null()) into = at(path);
  }
  void list(std::string_view path, std::vector<Value>& into) {
    const Value& value = at(path);
    if (value.is_null()) return;
    if (!value.is_list()) return wrong(path, "must be a list");
    into = value.items();
  }
  void image(std::string_view path, Image& into) {
    read(concat(path, ".name"), into.name);
    read(concat(path, ".version"), into.version);
    read(concat(path, ".pullPolicy"), into.pull_policy);
  }
  void resource(std::string_view path, Resource& into) {
    read(concat(path, ".request"), into.request);
    read(concat(path, ".limit"), into.limit);
  }
  void probe(std::string_view path, ProbeTimes& into) {
    read(concat(path, ".initialDelaySeconds"), into.initial_delay);
    read(concat(path, ".timeoutSeconds"), into.timeout);
    read(concat(path, ".periodSeconds"), into.period);
    read(concat(path, ".failureThreshold"), into.failure_threshold);
  }
  void wrong(std::string_view path, std::string_view reason) {
    problems_.push_back({std::string(path), std::string(reason)});
  }

 private:
  std::optional<std::int64_t> whole(std::string_view path) {
    const Value& value = at(path);
    if (value.is_null() || (value.is_string() && value.text().empty())) return std::nullopt;
    auto number = value.integer();
    if (!number && value.is_string()) number = parse_number<std::int64_t>(value.text());
    if (!number) wrong(path, "must be a whole number");
    return number;
  }

  const Value& root_;
  std::vector<ConfigProblem>& problems_;
};

void read_proxy(Fields& in, ProxyConfig& proxy) {
  in.image("proxy.image", proxy.image);
  in.port("proxy.ports.control", proxy.control_port);
  in.port("proxy.ports.admin", proxy.admin_port);
  in.port("proxy.ports.inbound", proxy.inbound_port);
  in.port("proxy.ports.outbound", proxy.outbound_port);
  in.read("proxy.opaquePorts", proxy.opaque_ports);
  in.read("proxy.requireIdentityOnInboundPorts", proxy.require_identity_ports);
  in.read("proxy.requireTLSOnInboundPorts", proxy.require_tls_ports);
  in.resource("proxy.resources.cpu", proxy.resources.cpu);
  in.resource("proxy.resources.memory", proxy.resources.memory);
  in.resource("proxy.resources.ephemeral-storage", proxy.resources.ephemeral_storage);
  in.read("proxy.cores", proxy.cores);
  in.read("proxy.runtime.workers.minimum", proxy.workers_minimum);
  in.read("proxy.runtime.workers.maximum", proxy.workers_maximum);
  in.read("proxy.runtime.workers.maximumCPURatio", proxy.workers_maximum_ratio);
  in.read("proxy.uid", proxy.uid);
  in.read("proxy.gid", proxy.gid);
  in.read("proxy.securityContext", proxy.security_context);
  in.read("proxy.logLevel", proxy.log_level);
  in.read("proxy.logFormat", proxy.log_format);
  in.read("proxy.logHTTPHeaders", proxy.log_http_headers);
  in.read("proxy.accessLog", proxy.access_log);
  in.read("proxy.enableExternalProfiles", proxy.enable_external_profiles);
  in.read("proxy.metrics.hostnameLabels", proxy.hostname_labels);
  in.read("proxy.enableShutdownEndpoint", proxy.enable_shutdown_endpoint);
  in.read("proxy.disableOutboundProtocolDetectTimeout", proxy.disable_outbound_detect_timeout);
  in.read("proxy.disableInboundProtocolDetectTimeout", proxy.disable_inbound_detect_timeout);
  in.read("proxy.outboundConnectTimeout", proxy.outbound_connect_timeout);
  in.read("proxy.inboundConnectTimeout", proxy.inbound_connect_timeout);
  in.read("proxy.outboundDiscoveryCacheUnusedTimeout", proxy.outbound_discovery_timeout);
  in.read("proxy.inboundDiscoveryCacheUnusedTimeout", proxy.inbound_discovery_timeout);
  in.read("proxy.shutdownGracePeriod", proxy.shutdown_grace_period);
  in.read("proxy.defaultInboundPolicy", proxy.default_inbound_policy);
  in.read("proxy.control.streams.initialTimeout", proxy.stream_initial_timeout);
  in.read("proxy.control.streams.idleTimeout", proxy.stream_idle_timeout);
  in.read("proxy.control.streams.lifetime", proxy.stream_lifetime);
  in.read("proxy.waitBeforeExitSeconds", proxy.wait_before_exit);
  in.read("proxy.await", proxy.await);
  in.read("proxy.nativeSidecar", proxy.native_sidecar);
  in.probe("proxy.livenessProbe", proxy.liveness);
  in.probe("proxy.readinessProbe", proxy.readiness);
  in.probe("proxy.startupProbe", proxy.startup);
  in.read("proxy.inbound", proxy.inbound);
  in.read("proxy.outbound", proxy.outbound);
  in.list("proxy.additionalEnv", proxy.additional_env);
  in.list("proxy.experimentalEnv", proxy.experimental_env);
}

void read_tracing(Fields& in, Tracing& tracing) {
  in.read("proxy.tracing.enabled", tracing.enabled);
  in.read("proxy.tracing.protocol", tracing.protocol);
  in.read("proxy.tracing.traceServiceName", tracing.service_name);
  in.read("proxy.tracing.collector.endpoint", tracing.endpoint);
  in.read("proxy.tracing.collector.meshIdentity.serviceAccountName", tracing.account);
  in.read("proxy.tracing.collector.meshIdentity.namespace", tracing.ns);
  const Value& labels = in.at("proxy.tracing.labels");
  if (labels.is_map()) tracing.labels.clear();
  for (std::size_t i = 0; labels.is_map() && i < labels.size(); ++i) {
    tracing.labels.emplace_back(labels.keys()[i], labels.items()[i].text());
  }
}

}  // namespace

ProxyConfig::ProxyConfig() {
  const Value pings = Value::map({{"keepAliveInterval", "10s"}, {"keepAliveTimeout", "3s"}});
  inbound = outbound = Value::map({{"server", Value::map({{"http2", pings}})}});
  tracing.labels = {{"k8s.pod.ip", "$(_pod_ip)"},
                    {"k8s.pod.uid", "$(_pod_uid)"},
                    {"k8s.container.name", "$(_pod_containerName)"}};
}

std::string Config::reference(const Image& image) const {
  return concat(image.name, ":", image.version.empty() ? version : image.version);
}

std::string_view Config::pull_policy(const Image& image) const noexcept {
  if (!image.pull_policy.empty()) return image.pull_policy;
  return image_pull_policy.empty() ? std::string_view("IfNotPresent")
                                   : std::string_view(image_pull_policy);
}

Config read_config(const Value& values, std::vector<ConfigProblem>& problems) {
  Config config;
  Fields in(values, problems);
  in.read("linkerdVersion", config.version);
  in.read("imagePullPolicy", config.image_pull_policy);
  in.read("clusterDomain", config.cluster_domain);
  in.read("identityTrustDomain", config.trust_domain);
  in.read("clusterNetworks", config.cluster_networks);
  in.read("identityTrustAnchorsPEM", config.trust_anchors);
  in.read("disableIPv6", config.disable_ipv6);
  in.read("cniEnabled", config.cni_enabled);
  in.read("identity.serviceAccountTokenProjection", config.token_projection);
  read_proxy(in, config.proxy);
  read_tracing(in, config.proxy.tracing);

  InitConfig& init = config.init;
  in.read("proxyInit.iptablesMode", init.iptables_mode);
  in.read("proxyInit.ignoreInboundPorts", init.ignore_inbound_ports);
  in.read("proxyInit.ignoreOutboundPorts", init.ignore_outbound_ports);
  in.read("proxyInit.skipSubnets", init.skip_subnets);
  in.read("proxyInit.logLevel", init.log_level);
  in.read("proxyInit.logFormat", init.log_format);
  in.read("proxyInit.closeWaitTimeoutSecs", init.close_wait_timeout);
  in.read("proxyInit.privileged", init.privileged);
  in.read("proxyInit.runAsRoot", init.run_as_root);
  in.read("proxyInit.runAsUser", init.uid);
  in.read("proxyInit.runAsGroup", init.gid);

  ValidatorConfig& validator = config.validator;
  in.read("networkValidator.logLevel", validator.log_level);
  in.read("networkValidator.logFormat", validator.log_format);
  in.read("networkValidator.connectAddr", validator.connect_addr);
  in.read("networkValidator.listenAddr", validator.listen_addr);
  in.read("networkValidator.timeout", validator.timeout);
  in.read("networkValidator.enableSecurityContext", validator.enable_security_context);
  in.read("networkValidator.securityContext", validator.security_context);

  in.image("debugContainer.image", config.debug_image);
  return config;
}

std::vector<ConfigProblem> format_problems(const Config& config) {
  std::vector<ConfigProblem> out;
  const auto expected = [&](std::string_view path, std::string_view text, std::string_view what) {
    out.push_back({std::string(path), concat("is \"", text, "\", expected ", what)});
  };
  const auto networks = [&](std::string_view path, std::string_view text) {
    if (!are_networks(text)) expected(path, text, "networks such as 10.0.0.0/8");
  };
  const auto ports = [&](std::string_view path, std::string_view text) {
    if (!parse_ports_list(text)) expected(path, text, "ports such as 25,4567-4568");
  };
  networks("clusterNetworks", config.cluster_networks);
  networks("proxyInit.skipSubnets", config.init.skip_subnets);
  ports("proxy.opaquePorts", config.proxy.opaque_ports);
  ports("proxy.requireIdentityOnInboundPorts", config.proxy.require_identity_ports);
  ports("proxy.requireTLSOnInboundPorts", config.proxy.require_tls_ports);
  ports("proxyInit.ignoreInboundPorts", config.init.ignore_inbound_ports);
  ports("proxyInit.ignoreOutboundPorts", config.init.ignore_outbound_ports);
  return out;
}

Config read_config_yaml(std::string_view yaml, std::vector<ConfigProblem>& problems) {
  std::string problem;
  const auto values = parse_yaml(yaml, problem);
  if (!values || (!values->is_map() && !values->is_null())) {
    problems.push_back({"", values ? "must be an object" : problem});
    return {};
  }
  for (const UnknownValue& unknown : unknown_values(*values)) {
    problems.push_back(
        {unknown.path, unknown.near.empty()
                           ? "there is no such value"
                           : concat("there is no such value; did you mean ", unknown.near, "?")});
  }
  Config config = read_config(*values, problems);
  for (ConfigProblem& one : format_problems(config)) problems.push_back(std::move(one));
  return config;
}

}  // namespace tulle::inject
