// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/config.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/base/text.h"
#include "lib/config/values.h"

namespace tulle::proxy {
namespace {

constexpr int kLocalReceiveBuffer = 192 * 1024;

constexpr std::string_view kPrefix = "LINKERD2_PROXY_";
constexpr std::uint32_t kMaxWindow = 0x7FFFFFFF;     // RFC 9113 §6.9.1
constexpr std::uint32_t kMaxFrame = (1U << 24) - 1;  // RFC 9113 §4.2

// Reads variables and gathers what is wrong with them.
class Reader {
 public:
  Reader(const EnvLookup& lookup, ConfigNotes& notes) : lookup_(lookup), notes_(notes) {}

  // The value, "" and unset alike are absent.
  std::optional<std::string> text(std::string_view name) {
    const char* const value = lookup_(concat(kPrefix, name).c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
  }
  std::string required(std::string_view name) {
    auto value = text(name);
    if (!value) wrong(name, "must be set");
    return value.value_or("");
  }
  template <typename T, typename Parse>
  void read(std::string_view name, T& into, Parse parse, std::string_view expected) {
    const auto value = text(name);
    if (!value) return;
    auto parsed = parse(*value);
    if (!parsed) {
      wrong(name, concat("is '", *value, "', expected ", expected));
      return;
    }
    into = std::move(*parsed);
  }
  void duration(std::string_view name, Duration& into) {
    read(name, into, config::parse_duration, "a duration such as 500ms or 10s");
  }
  void duration(std::string_view name, std::optional<Duration>& into) {
    read(name, into, config::parse_duration, "a duration such as 500ms or 10s");
  }
  void boolean(std::string_view name, bool& into) {
    read(name, into, config::parse_bool, "true or false");
  }
  template <typename T>
  void number(std::string_view name, T& into, T min = 0, T max = std::numeric_limits<T>::max()) {
    read(
        name, into,
        [min, max](std::string_view text) -> std::optional<T> {
          const auto value = parse_number<T>(text);
          return value && *value >= min && *value <= max ? value : std::nullopt;
        },
        "a whole number in range");
  }
  void ports(std::string_view name, PortSet& into) {
    read(
        name, into,
        [](std::string_view text) -> std::optional<PortSet> {
          const auto ranges = config::parse_ports(text);
          if (!ranges) return std::nullopt;
          PortSet set;
          for (const auto& [first, last] : *ranges) set.ranges.push_back({first, last});
          return set;
        },
        "ports such as 80,443,1000-2000");
  }
  void socket(std::string_view name, net::SocketAddr& into) {
    read(name, into, net::SocketAddr::parse, "an address such as 0.0.0.0:4143");
  }
  void no_effect(std::string_view name) {
    if (text(name)) notes_.without_effect.push_back(concat(kPrefix, name));
  }
  void wrong(std::string_view name, std::string_view what) {
    notes_.errors.push_back(concat(kPrefix, name, " ", what));
  }
  ConfigNotes& notes() { return notes_; }

 private:
  const EnvLookup& lookup_;
  ConfigNotes& notes_;
};

bool is_loopback_host(std::string_view host) {
  if (host == "localhost.") return true;
  const auto ip = net::IpAddr::parse(host);
  return ip && ip->is_loopback();
}

void control_service(Reader& in, std::string_view base, bool required, ControlService& into) {
  const std::string addr_name = concat(base, "_ADDR");
  const std::string name_name = concat(base, "_NAME");
  const auto addr = in.text(addr_name);
  const auto name = in.text(name_name);
  if (!addr) {
    if (required || name) in.wrong(addr_name, "must be set");
    return;
  }
  const auto parsed = config::parse_host_port(*addr);
  if (!parsed) {
    in.wrong(addr_name, concat("is '", *addr, "', expected host:port"));
    return;
  }
  into.host = parsed->host;
  into.port = parsed->port;
  std::string_view host = parsed->host;
  if (host.ends_with('.')) host.remove_suffix(1);
  const bool v6 = host.find(':') != std::string_view::npos;
  into.authority = concat(v6 ? "[" : "", host, v6 ? "]" : "");
  if (into.port != 80) {
    into.authority += ':';
    append_number(into.authority, into.port);
  }
  if (is_loopback_host(into.host)) return;  // plain text; a name is not needed
  if (!name) {
    in.wrong(name_name, concat("must be set, because ", addr_name, " is not on loopback"));
  } else if (!config::is_dns_name(*name, false)) {
    in.wrong(name_name, concat("is '", *name, "', expected a DNS name"));
  } else {
    into.name = *name;
  }
}

void backoff(Reader& in, std::string_view base, BackoffOptions& into) {
  const std::string min_name = concat(base, "_EXP_BACKOFF_MIN");
  const std::string max_name = concat(base, "_EXP_BACKOFF_MAX");
  const bool has_min = in.text(min_name).has_value();
  const bool has_max = in.text(max_name).has_value();
  if (has_min != has_max)
    in.wrong(has_min ? max_name : min_name, "must be set together with its pair");
  in.duration(min_name, into.min);
  in.duration(max_name, into.max);
  if (into.min > into.max) in.wrong(min_name, "is above the maximum");
  in.read(
      concat(base, "_EXP_BACKOFF_JITTER"), into.jitter,
      [](std::string_view text) -> std::optional<double> {
        const std::optional<double> value = parse_real(text);
        return value && *value >= 0 ? value : std::nullopt;
      },
      "a number of 0 or more");
}

void side(Reader& in, std::string_view dir, SideConfig& into) {
  const auto name = [&](std::string_view rest) { return concat(dir, "_", rest); };
  in.duration(name("DETECT_TIMEOUT"), into.detect_timeout);
  in.duration(name("CONNECT_TIMEOUT"), into.connect_timeout);
  in.number(name("HTTP_QUEUE_CAPACITY"), into.queue_capacity);
  in.duration(name("HTTP_FAILFAST_TIMEOUT"), into.failfast_timeout);
  in.number(name("MAX_IN_FLIGHT"), into.max_in_flight);
  in.duration(name("DISCOVERY_IDLE_TIMEOUT"), into.discovery_idle);
  in.duration(name("HTTP1_CONNECTION_POOL_IDLE_TIMEOUT"), into.pool_idle);
  in.duration(name("ACCEPT_KEEPALIVE"), into.accept.keepalive);
  in.duration(name("CONNECT_KEEPALIVE"), into.connect.keepalive);
  in.duration(name("ACCEPT_USER_TIMEOUT"), into.accept.user_timeout);
  in.duration(name("CONNECT_USER_TIMEOUT"), into.connect.user_timeout);
  in.number(name("TCP_LISTEN_BACKLOG"), into.accept.backlog, 1);
  backoff(in, name("CONNECT"), into.backoff);

  // Both or none; what is there is checked either way.
  std::uint32_t stream_window = 0;
  std::uint32_t connection_window = 0;
  in.number(name("SERVER_HTTP2_INITIAL_STREAM_WINDOW_SIZE"), stream_window, 1U, kMaxWindow);
  in.number(name("SERVER_HTTP2_INITIAL_CONNECTION_WINDOW_SIZE"), connection_window, 1U, kMaxWindow);
  if (stream_window != 0 && connection_window != 0) {
    into.h2_stream_window = stream_window;
    into.h2_connection_window = connection_window;
  }
  in.number(name("SERVER_HTTP2_MAX_CONCURRENT_STREAMS"), into.h2_max_concurrent);
  in.number(name("SERVER_HTTP2_MAX_FRAME_SIZE"), into.h2_max_frame, 16'384U, kMaxFrame);
  in.number(name("SERVER_HTTP2_MAX_HEADER_LIST_SIZE"), into.h2_max_header_list);
  in.number(name("SERVER_HTTP2_MAX_PENDING_ACCEPT_RESET_STREAMS"), into.h2_max_pending_reset);
  in.number(name("SERVER_HTTP2_MAX_SEND_BUF_SIZE"), into.h2_send_buffer);
  in.duration(name("SERVER_HTTP2_KEEP_ALIVE_INTERVAL"), into.h2_ping_interval);
  in.duration(name("SERVER_HTTP2_KEEP_ALIVE_TIMEOUT"), into.h2_ping_timeout);
  if (!into.h2_ping_interval || !into.h2_ping_timeout) {
    into.h2_ping_interval.reset();
    into.h2_ping_timeout.reset();
  }
  in.no_effect(name("SERVER_HTTP2_ADAPTIVE_FLOW_CONTROL"));
  bool adaptive = false;
  in.boolean(name("SERVER_HTTP2_ADAPTIVE_FLOW_CONTROL"), adaptive);
}

unsigned worker_count(Reader& in, unsigned available) {
  const auto cores = [&](std::string_view name) -> std::optional<unsigned> {
    const auto text = in.text(name);
    if (!text) return std::nullopt;
    const auto value = parse_number<unsigned>(*text);
    if (!value || *value == 0) {
      in.notes().warnings.push_back(
          concat(kPrefix, name, " is '", *text, "', expected a number above 0; ignored"));
      return std::nullopt;
    }
    return value;
  };
  const unsigned min = cores("CORES_MIN").value_or(cores("CORES").value_or(1));
  unsigned count = 1;
  if (const auto max = cores("CORES_MAX")) {
    count = *max;
  } else if (const auto text = in.text("CORES_MAX_RATIO")) {
    const double ratio = parse_real(*text).value_or(0);
    if (!(ratio > 0) || ratio > 1) {
      in.notes().warnings.push_back(concat(kPrefix, "CORES_MAX_RATIO is '", *text,
                                           "', expected a number in (0, 1]; ignored"));
    } else {
      count = static_cast<unsigned>(std::lround(available * ratio));
    }
  }
  return std::max(1U, std::min(std::max(count, min), available));
}

void identity(Reader& in, Config& config) {
  if (in.text("IDENTITY_DISABLED"))
    in.wrong("IDENTITY_DISABLED", "is set, but identity is mandatory");
  config.trust_anchors = in.required("IDENTITY_TRUST_ANCHORS");
  if (in.text("IDENTITY_SPIRE_WORKLOAD_API_ADDRESS") || in.text("IDENTITY_SPIRE_SOCKET")) {
    in.wrong("IDENTITY_SPIRE_WORKLOAD_API_ADDRESS",
             "is set, but this version cannot take its identity from SPIRE");
    return;
  }
  config.token_file = in.required("IDENTITY_TOKEN_FILE");
  // Keys are made in memory (docs/design.md §8): the directory is accepted and left empty.
  [[maybe_unused]] const std::string dir = in.required("IDENTITY_DIR");
  const auto local = in.text("IDENTITY_LOCAL_NAME");
  const auto id = in.text("IDENTITY_SERVER_ID");
  const auto name = in.text("IDENTITY_SERVER_NAME");
  config.local_name = local.value_or(id.value_or(""));
  config.server_name = local.value_or(name.value_or(""));
  if (config.local_name.empty())
    in.wrong("IDENTITY_LOCAL_NAME", "must be set (or IDENTITY_SERVER_ID and IDENTITY_SERVER_NAME)");
  if (config.local_name != config.server_name)
    in.wrong("IDENTITY_SERVER_NAME", "must equal IDENTITY_SERVER_ID");
  if (!config.local_name.empty() && !config::is_dns_name(config.local_name, false)) {
    in.wrong("IDENTITY_LOCAL_NAME", concat("is '", config.local_name, "', expected a DNS name"));
  }
  in.duration("IDENTITY_MIN_REFRESH", config.min_refresh);
  in.duration("IDENTITY_MAX_REFRESH", config.max_refresh);
  control_service(in, "IDENTITY_SVC", true, config.identity);
}

std::optional<DefaultPolicy> parse_default_policy(std::string_view text) {
  for (const DefaultPolicy policy :
       {DefaultPolicy::Deny, DefaultPolicy::AllAuthenticated, DefaultPolicy::AllUnauthenticated,
        DefaultPolicy::ClusterAuthenticated, DefaultPolicy::ClusterUnauthenticated,
        DefaultPolicy::Audit}) {
    if (text == to_string(policy)) return policy;
  }
  return std::nullopt;
}

void policies(Reader& in, Config& config) {
  control_service(in, "DESTINATION_SVC", true, config.destination);
  control_service(in, "POLICY_SVC", true, config.policy);
  config.destination_context = in.text("DESTINATION_CONTEXT").value_or("");
  config.policy_workload = in.required("POLICY_WORKLOAD");
  config.profile_suffixes = {"svc.cluster.local"};
  in.read("DESTINATION_PROFILE_SUFFIXES", config.profile_suffixes, config::parse_suffixes,
          "DNS suffixes");
  in.read("DESTINATION_PROFILE_NETWORKS", config.profile_networks, config::parse_networks,
          "networks such as 10.0.0.0/8");
  in.read("POLICY_CLUSTER_NETWORKS", config.cluster_networks, config::parse_networks,
          "networks such as 10.0.0.0/8");
  in.read("INBOUND_GATEWAY_SUFFIXES", config.gateway_suffixes, config::parse_suffixes,
          "DNS suffixes");
  in.read("INBOUND_IPS", config.inbound_ips, config::parse_ips,
          "IP addresses such as 10.0.0.1,fd00::1");
  in.ports("INBOUND_PORTS", config.inbound_ports);
  in.ports("INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", config.opaque_ports);
  if (!in.text("INBOUND_DEFAULT_POLICY")) {
    in.notes().warnings.push_back(
        concat(kPrefix, "INBOUND_DEFAULT_POLICY is not set: all-unauthenticated"));
  }
  in.read("INBOUND_DEFAULT_POLICY", config.default_policy, parse_default_policy,
          "deny, all-authenticated, all-unauthenticated, cluster-authenticated, "
          "cluster-unauthenticated or audit");
  const bool needs_networks = config.default_policy == DefaultPolicy::ClusterAuthenticated ||
                              config.default_policy == DefaultPolicy::ClusterUnauthenticated ||
                              config.default_policy == DefaultPolicy::Audit;
  if (needs_networks && config.cluster_networks.empty()) {
    in.wrong("INBOUND_DEFAULT_POLICY", "needs POLICY_CLUSTER_NETWORKS");
  }
  in.duration("CONTROL_STREAM_INITIAL_TIMEOUT", config.stream_initial);
  in.duration("CONTROL_STREAM_IDLE_TIMEOUT", config.stream_idle);
  in.duration("CONTROL_STREAM_LIFETIME", config.stream_lifetime);
  const auto ordered = [](const std::optional<Duration>& a, const std::optional<Duration>& b) {
    return !a || !b || *a <= *b;
  };
  if (!ordered(config.stream_initial, config.stream_idle) ||
      !ordered(config.stream_idle, config.stream_lifetime) ||
      !ordered(config.stream_initial, config.stream_lifetime)) {
    in.wrong("CONTROL_STREAM_INITIAL_TIMEOUT",
             "must not be above IDLE_TIMEOUT, nor that above LIFETIME");
  }
  in.duration("DNS_MIN_TTL", config.dns_min_ttl);
  in.duration("DNS_MAX_TTL", config.dns_max_ttl);
}

}  // namespace

Config read_config(const EnvLookup& lookup, unsigned available_cpus, ConfigNotes& notes) {
  Config config;
  config.inbound.connect_timeout = 300ms;
  config.inbound.failfast_timeout = 1s;
  config.inbound.discovery_idle = 90s;
  config.inbound.backoff.max = 10s;
  Reader in(lookup, notes);

  config.log_filter = in.text("LOG").value_or(config.log_filter);
  config.log_off = config.log_filter == "off";
  const std::string format = in.text("LOG_FORMAT").value_or("PLAIN");
  if (iequals(format, "json")) {
    config.log_json = true;
  } else if (!iequals(format, "plain")) {
    in.wrong("LOG_FORMAT", concat("is '", format, "', expected PLAIN or JSON"));
  }
  if (const auto access = in.text("ACCESS_LOG")) {
    if (*access == "apache") {
      config.access_log = Config::AccessLog::Apache;
    } else if (*access == "json") {
      config.access_log = Config::AccessLog::Json;
    } else {
      notes.warnings.push_back(
          concat(kPrefix, "ACCESS_LOG is '", *access, "', expected apache or json; off"));
    }
  }
  config.workers = worker_count(in, std::max(1U, available_cpus));
  in.duration("METRICS_RETAIN_IDLE", config.metrics_retain_idle);
  in.boolean("SHUTDOWN_ENDPOINT_ENABLED", config.shutdown_endpoint);
  in.duration("SHUTDOWN_GRACE_PERIOD", config.shutdown_grace);
  in.boolean("INGRESS_MODE", config.ingress_mode);

  config.admin_listen = *net::SocketAddr::parse("127.0.0.1:4191");
  config.control_listen = *net::SocketAddr::parse("0.0.0.0:4190");
  config.inbound_listen = *net::SocketAddr::parse("0.0.0.0:4143");
  config.outbound_listen = {*net::SocketAddr::parse("127.0.0.1:4140")};
  in.socket("ADMIN_LISTEN_ADDR", config.admin_listen);
  in.socket("CONTROL_LISTEN_ADDR", config.control_listen);
  in.socket("INBOUND_LISTEN_ADDR", config.inbound_listen);
  const auto addresses = [](std::string_view text) -> std::optional<std::vector<net::SocketAddr>> {
    std::vector<net::SocketAddr> list;
    for (const std::string_view item : split(text, ',')) {
      const auto addr = net::SocketAddr::parse(trim(item));
      if (!addr) return std::nullopt;
      list.push_back(*addr);
    }
    return list.size() <= 2 ? std::optional(list) : std::nullopt;
  };
  in.read("OUTBOUND_LISTEN_ADDR", config.outbound_listen, addresses,
          "an address such as 127.0.0.1:4140");
  in.read("OUTBOUND_LISTEN_ADDRS", config.outbound_listen, addresses,
          "one or two addresses such as 127.0.0.1:4140,[::1]:4140");

  side(in, "INBOUND", config.inbound);
  side(in, "OUTBOUND", config.outbound);
  in.number("MAX_IDLE_CONNS_PER_ENDPOINT", config.inbound.max_idle_per_endpoint);
  in.number("OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT", config.outbound.max_idle_per_endpoint);
  in.number("OUTBOUND_TCP_QUEUE_CAPACITY", config.tcp_queue_capacity);
  in.duration("OUTBOUND_TCP_FAILFAST_TIMEOUT", config.tcp_failfast_timeout);
  bool disable_informational = config.ingress_mode;
  in.boolean("OUTBOUND_DISABLE_INFORMATIONAL_HEADERS", disable_informational);
  config.informational_headers = !disable_informational;
  in.boolean("OUTBOUND_METRICS_HOSTNAME_LABELS", config.hostname_labels);
  if (const auto labels = in.text("INBOUND_METRICS_AUTHORITY_LABELS")) {
    if (*labels == "unsafe") {
      config.authority_labels = true;
    } else {
      in.wrong("INBOUND_METRICS_AUTHORITY_LABELS",
               concat("is '", *labels, "', expected unsafe or nothing"));
    }
  }
  in.number("HTTP2_INITIAL_STREAM_WINDOW_SIZE", config.h2_client_stream_window, 1U, kMaxWindow);
  in.number("HTTP2_INITIAL_CONNECTION_WINDOW_SIZE", config.h2_client_connection_window, 1U,
            kMaxWindow);

  // Between the application and its own proxy there is no distance: little in flight is enough.
  config.outbound.accept.receive_buffer = kLocalReceiveBuffer;
  config.inbound.connect.receive_buffer = kLocalReceiveBuffer;

  policies(in, config);
  identity(in, config);
  config.tap_name = in.text("TAP_SVC_NAME").value_or("");

  // Checked, but their feature is not there yet.
  Duration profile_wait{};
  in.duration("DESTINATION_PROFILE_INITIAL_TIMEOUT", profile_wait);
  for (const char* name : {"TAP_SVC_NAME", "TRACE_COLLECTOR_SVC_ADDR", "TRACE_ATTRIBUTES_PATH",
                           "TRACE_EXTRA_ATTRIBUTES", "INBOUND_GATEWAY_SUFFIXES",
                           "DESTINATION_PROFILE_INITIAL_TIMEOUT"}) {
    in.no_effect(name);
  }
  // Every injected pod has "svc.DOMAIN."; more than that was asked for by somebody.
  const bool usual =
      config.profile_suffixes.size() == 1 && config.profile_suffixes.front().starts_with("svc.");
  if (!usual) in.no_effect("DESTINATION_PROFILE_SUFFIXES");
  if (config.ingress_mode) notes.without_effect.emplace_back("LINKERD2_PROXY_INGRESS_MODE");
  ControlService collector;
  control_service(in, "TRACE_COLLECTOR_SVC", false, collector);
  return config;
}

}  // namespace tulle::proxy
