// SPDX-License-Identifier: Apache-2.0
// The operator's decisions about proxies: the part of the Helm values
// (docs/reference/control-plane.md §3.2) that injection uses, as the ConfigMap `linkerd-config`
// holds it under the key `values`. Plain values; annotations change a copy of it for one pod
// (overrides.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/inject/value.h"

namespace tulle::inject {

struct Image {
  std::string name;
  std::string version;      // "": Config::version
  std::string pull_policy;  // "": Config::image_pull_policy
};

// Quantities of Kubernetes ("100m", "64Mi"); "" is not stated.
struct Resource {
  std::string request;
  std::string limit;
};
struct Resources {
  Resource cpu;
  Resource memory;
  Resource ephemeral_storage;
};

// As in a container's probe.
struct ProbeTimes {
  std::int64_t initial_delay = 0;  // seconds
  std::int64_t timeout = 1;
  std::int64_t period = 0;             // 0: not written
  std::int64_t failure_threshold = 0;  // 0: not written
};

// Written into the environment of the proxy where `enabled`; this version of the proxy makes no
// traces.
struct Tracing {
  bool enabled = false;
  std::string protocol = "opentelemetry";
  std::string service_name = "linkerd-proxy";
  std::vector<std::pair<std::string, std::string>> labels;
  std::string endpoint;
  std::string account;  // meshIdentity.serviceAccountName
  std::string ns;       // meshIdentity.namespace
};

// The chart's `proxy.*`. Texts are those of the values, durations as Go writes them; formats.h
// reads them. Defaults are the chart's.
struct ProxyConfig {
  Image image{"tulle/proxy", "", ""};
  std::uint16_t control_port = 4190;
  std::uint16_t admin_port = 4191;
  std::uint16_t inbound_port = 4143;
  std::uint16_t outbound_port = 4140;
  std::string opaque_ports = "25,587,3306,4444,5432,6379,9300,11211";
  // Ports that need mesh TLS with an identity, or mesh TLS at all; lists as opaque_ports.
  std::string require_identity_ports;
  std::string require_tls_ports;
  Resources resources;
  // Threads: `cores`, where set, is both bounds; the ratio is a number in (0, 1].
  std::optional<std::int64_t> cores;
  std::int64_t workers_minimum = 1;
  std::optional<std::int64_t> workers_maximum;
  std::string workers_maximum_ratio;
  std::int64_t uid = 2102;
  std::int64_t gid = -1;   // < 0: not set
  Value security_context;  // not empty: verbatim
  std::string log_level = "warn,linkerd=info,hickory=error";
  std::string log_format = "plain";
  std::string log_http_headers = "off";
  std::string access_log;
  bool enable_external_profiles = false;
  bool hostname_labels = false;
  bool enable_shutdown_endpoint = false;
  bool disable_outbound_detect_timeout = false;
  bool disable_inbound_detect_timeout = false;
  std::string outbound_connect_timeout = "1000ms";
  std::string inbound_connect_timeout = "100ms";
  std::string outbound_discovery_timeout = "5s";
  std::string inbound_discovery_timeout = "90s";
  std::string shutdown_grace_period;
  std::string default_inbound_policy = "all-unauthenticated";
  std::string stream_initial_timeout = "3s";
  std::string stream_idle_timeout = "5m";
  std::string stream_lifetime = "1h";
  std::int64_t wait_before_exit = 0;  // seconds
  bool await = true;
  bool native_sidecar = true;
  ProbeTimes liveness{10, 1};
  ProbeTimes readiness{2, 1};
  ProbeTimes startup{0, 1, 1, 120};
  Tracing tracing;
  Value inbound;  // generic parameters, e.g. server.http2.keepAliveInterval
  Value outbound;
  std::vector<Value> additional_env;  // EnvVars
  std::vector<Value> experimental_env;

  ProxyConfig();
};

// The chart's `proxyInit.*`: the container that writes the redirect rules.
struct InitConfig {
  std::string iptables_mode = "nft";
  std::string ignore_inbound_ports = "4567,4568";
  std::string ignore_outbound_ports = "4567,4568";
  std::string skip_subnets;
  std::string log_level;
  std::string log_format;
  std::int64_t close_wait_timeout = 0;  // seconds
  bool privileged = false;
  bool run_as_root = false;
  std::int64_t uid = 65534;
  std::int64_t gid = 65534;
};

// The chart's `networkValidator.*`: the container that proves the rules where the CNI wrote them.
// Empty addresses: those of the address family.
struct ValidatorConfig {
  std::string log_level = "debug";
  std::string log_format = "plain";
  std::string connect_addr;
  std::string listen_addr;
  std::string timeout = "10s";
  bool enable_security_context = true;
  Value security_context;  // not empty: verbatim
};

// All of it, for one pod once its annotations have been applied.
struct Config {
  std::string control_namespace = "linkerd";
  std::string version = "dev";
  std::string image_pull_policy = "IfNotPresent";
  std::string cluster_domain = "cluster.local";
  std::string trust_domain;  // "": cluster_domain
  std::string cluster_networks = "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fd00::/8";
  std::string trust_anchors;  // PEM, exactly as loaded
  bool disable_ipv6 = true;
  bool cni_enabled = false;
  bool token_projection = true;
  ProxyConfig proxy;
  InitConfig init;
  ValidatorConfig validator;
  Image debug_image{"tulle/debug", "", ""};

  // The trust domain in names of identities.
  std::string_view trust() const noexcept {
    return trust_domain.empty() ? cluster_domain : trust_domain;
  }
  // "name:version".
  std::string reference(const Image& image) const;
  std::string_view pull_policy(const Image& image) const noexcept;
};

struct ConfigProblem {
  std::string path;  // e.g. "proxy.ports.admin"; "": all of it
  std::string reason;
};

// Reads the values; what they do not say has its default. A value of the wrong type is a problem
// and keeps its default; the caller decides whether to go on.
Config read_config(const Value& values, std::vector<ConfigProblem>& problems);
// The same from the text of the ConfigMap's key; values that the chart does not know are problems,
// too.
// Texts that cannot be used as what they are (networks, ports): with them no pod is injected, or
// its proxy does not start.
std::vector<ConfigProblem> format_problems(const Config& config);
Config read_config_yaml(std::string_view yaml, std::vector<ConfigProblem>& problems);

}  // namespace tulle::inject
