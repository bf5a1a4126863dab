// SPDX-License-Identifier: Apache-2.0
#include "proxy/observe/metrics.h"

#include <cstring>

#include "lib/base/text.h"

namespace tulle::proxy {
namespace {

using metrics::Format;

// Bounds of the histograms of docs/reference/proxy.md §6.3 and §6.4, in seconds and bytes.
constexpr double kDetectSeconds[] = {0.001, 0.1};
constexpr double kFineSeconds[] = {0.025, 0.05, 0.1, 0.25, 0.5, 1, 10};
constexpr double kCoarseSeconds[] = {0.05, 0.5, 1, 10};
constexpr double kQueueSeconds[] = {0.0005, 0.005, 0.05, 0.5, 1, 3};
constexpr double kFrameBytes[] = {128, 1024, 10240};

std::string port_text(std::uint16_t port) {
  std::string text;
  append_number(text, port);
  return text;
}

metrics::Labels resource_labels(std::string_view prefix, const Meta& meta) {
  metrics::Labels labels;
  labels.add(concat(prefix, "_group"), meta.group).add(concat(prefix, "_kind"), meta.kind);
  labels.add(concat(prefix, "_namespace"), meta.ns).add(concat(prefix, "_name"), meta.name);
  labels.add(concat(prefix, "_port"), meta.port != 0 ? port_text(meta.port) : std::string{});
  labels.add(concat(prefix, "_section_name"), meta.section);
  return labels;
}

metrics::Labels meta_labels(std::string_view prefix, const Meta& meta) {
  metrics::Labels labels;
  labels.add(concat(prefix, "_group"), meta.group);
  labels.add(concat(prefix, "_kind"), meta.kind);
  labels.add(concat(prefix, "_name"), meta.name);
  return labels;
}

}  // namespace

void TransportMetrics::closed(int os_errno) {
  std::shared_ptr<metrics::Counter> counter = os_errno == 0 ? closed_clean : nullptr;
  if (!counter) {
    metrics::Labels all = labels;
    all.add("errno", errno_name(os_errno));
    counter = close_family->get(all);
    if (os_errno == 0) closed_clean = counter;
  }
  counter->add();
}

std::string errno_name(int os_errno) {
  if (os_errno == 0) return "";
  const char* const name = ::strerrorname_np(os_errno);
  return name != nullptr ? name : port_text(static_cast<std::uint16_t>(os_errno));
}

EndpointMetrics::ByStatus& EndpointMetrics::of(std::uint16_t status) {
  for (const auto& entry : by_status_) {
    if (entry->status == status) return *entry;
  }
  auto entry = std::make_unique<ByStatus>();
  entry->status = status;
  metrics::Labels with_status = labels;
  with_status.add("status_code", port_text(status));
  entry->latency = latency_family->get(with_status);
  entry->success = response(status, true, "", "");
  entry->failure = response(status, false, "", "");
  by_status_.push_back(std::move(entry));
  return *by_status_.back();
}

std::shared_ptr<metrics::Counter> EndpointMetrics::response(std::uint16_t status, bool success,
                                                            std::string_view grpc,
                                                            std::string_view error) const {
  metrics::Labels all = labels;
  all.add("status_code", port_text(status));
  all.add("classification", success ? "success" : "failure");
  all.add("grpc_status", grpc);
  all.add("error", error);
  return response_family->get(all);
}

Metrics::Metrics(Duration retain_idle)
    : registry_(retain_idle),
      authz_allow(
          registry_.counter("inbound_http_authz_allow_total",
                            "The total number of inbound HTTP requests that were authorized")),
      authz_deny(registry_.counter("inbound_http_authz_deny_total",
                                   "The total number of inbound HTTP requests that could not be "
                                   "processed due to being denied by the authorization policy.")),
      route_not_found(registry_.counter(
          "inbound_http_route_not_found_total",
          "The total number of inbound HTTP requests that could not be associated with a route")),
      rate_limited(
          registry_.counter("inbound_http_local_ratelimit_total",
                            "The total number of inbound HTTP requests that were rate-limited")),
      tcp_authz_allow(
          registry_.counter("inbound_tcp_authz_allow_total",
                            "The total number of inbound TCP connections that were authorized")),
      tcp_authz_deny(
          registry_.counter("inbound_tcp_authz_deny_total",
                            "The total number of inbound TCP connections that were denied")),
      tcp_authz_terminate(registry_.counter("inbound_tcp_authz_terminate_total",
                                            "The total number of inbound TCP connections that were "
                                            "terminated due to an authorization change")),
      inbound_http_errors(registry_.counter("inbound_http_errors_total",
                                            "The total number of inbound HTTP requests that could "
                                            "not be processed due to a proxy error.")),
      inbound_tcp_errors(registry_.counter("inbound_tcp_errors_total",
                                           "The total number of inbound TCP connections that could "
                                           "not be processed due to a proxy error.")),
      outbound_http_errors(registry_.counter("outbound_http_errors_total",
                                             "The total number of outbound HTTP requests that "
                                             "could not be processed due to a proxy error.")),
      outbound_tcp_errors(registry_.counter("outbound_tcp_errors_total",
                                            "The total number of outbound TCP connections that "
                                            "could not be processed due to a proxy error.")),
      transport_header(registry_.counter("inbound_tcp_transport_header_connections",
                                         "Connections with a transport header",
                                         Format::OpenMetrics)),
      protocol_connections(registry_.counter("outbound_tcp_protocol_connections",
                                             "Outbound TCP connections by protocol",
                                             Format::OpenMetrics)),
      unsupported(registry_.counter("tulle_unsupported",
                                    "Uses of policy features that this version does not have",
                                    Format::OpenMetrics)),
      cert_refreshes(registry_.counter("control_identity_cert_refreshes",
                                       "The total number of certificate refreshes",
                                       Format::OpenMetrics)),
      cert_expiry(registry_.gauge("control_identity_cert_expiration_timestamp_seconds",
                                  "Time when this proxy's current mTLS identity certificate will "
                                  "expire (in seconds since the UNIX epoch)",
                                  Format::OpenMetrics)),
      early_dials(
          registry_.counter("tulle_early_dials",
                            "Connections to servers that were opened before the client had spoken",
                            Format::OpenMetrics)),
      redispatched(registry_.counter("tulle_redispatched",
                                     "Requests that went to another connection or endpoint because "
                                     "nothing of them had been processed",
                                     Format::OpenMetrics)),
      shed(registry_.counter("tulle_shed", "Requests and connections that were refused at a bound",
                             Format::OpenMetrics)),
      policy_holds(registry_.counter("tulle_inbound_policy_holds",
                                     "Inbound connections that were held because the policy of "
                                     "their port was not known",
                                     Format::OpenMetrics)),
      cert_refreshed(registry_.gauge("control_identity_cert_refresh_timestamp_seconds",
                                     "Time when this proxy's current mTLS identity certificate was "
                                     "last refreshed (in seconds since the UNIX epoch)",
                                     Format::OpenMetrics)),
      dns_resolutions(registry_.counter(
          "control_dns_resolutions", "Counts the number of DNS resolutions", Format::OpenMetrics)),
      tcp_route_open(registry_.counter("outbound_tcp_route_open",
                                       "The total number of connections opened",
                                       Format::OpenMetrics)),
      tcp_route_close(registry_.counter("outbound_tcp_route_close",
                                        "The total number of connections closed",
                                        Format::OpenMetrics)),
      tls_route_open(registry_.counter("outbound_tls_route_open",
                                       "The total number of connections opened",
                                       Format::OpenMetrics)),
      tls_route_close(registry_.counter("outbound_tls_route_close",
                                        "The total number of connections closed",
                                        Format::OpenMetrics)),
      transport_{
          registry_.counter("tcp_open_total", "Total count of opened connections"),
          registry_.gauge("tcp_open_connections", "Number of currently-open connections"),
          registry_.counter("tcp_read_bytes_total", "Total count of bytes read from peers"),
          registry_.counter("tcp_write_bytes_total", "Total count of bytes written to peers"),
          registry_.counter("tcp_close_total", "Total count of closed connections")},
      detect_inbound_(registry_.counter("inbound_tcp_detect_http_results",
                                        "Results of inbound HTTP detection", Format::OpenMetrics)),
      detect_outbound_(registry_.counter("outbound_tcp_detect_http_results",
                                         "Results of outbound HTTP detection",
                                         Format::OpenMetrics)),
      detect_inbound_duration_(registry_.histogram("inbound_tcp_detect_http_duration_seconds",
                                                   "Time taken for inbound HTTP detection",
                                                   kDetectSeconds, Format::OpenMetrics)),
      detect_outbound_duration_(registry_.histogram("outbound_tcp_detect_http_duration_seconds",
                                                    "Time taken for outbound HTTP detection",
                                                    kDetectSeconds, Format::OpenMetrics)),
      request_total_(registry_.counter("request_total", "Total count of HTTP requests.")),
      response_latency_(registry_.histogram("response_latency_ms",
                                            "Elapsed times between a request's headers being "
                                            "received and its response stream completing",
                                            metrics::latency_buckets_ms())),
      response_total_(registry_.counter("response_total", "Total count of HTTP responses.")),
      control_request_total_(
          registry_.counter("control_request_total", "Total count of HTTP requests.")),
      control_response_latency_(
          registry_.histogram("control_response_latency_ms",
                              "Elapsed times between a request's headers being received and its "
                              "response stream completing",
                              metrics::latency_buckets_ms())),
      control_response_total_(
          registry_.counter("control_response_total", "Total count of HTTP responses.")),
      balancers_{balancer_families("outbound_http_balancer_"),
                 balancer_families("outbound_tcp_balancer_"),
                 balancer_families("outbound_tls_balancer_"),
                 balancer_families("control_identity_balancer_"),
                 balancer_families("control_destination_balancer_"),
                 balancer_families("control_policy_balancer_")},
      transfer_cost_(registry_.counter("outbound_tcp_transfer_cost_bytes",
                                       "Bytes that crossed zones, or did not, to endpoints",
                                       Format::OpenMetrics)),
      inbound_routes_{route_families("inbound_http", false), route_families("inbound_grpc", true)},
      outbound_routes_{route_families("outbound_http_route", false),
                       route_families("outbound_grpc_route", true)},
      outbound_backends_{route_families("outbound_http_route_backend", false),
                         route_families("outbound_grpc_route_backend", true)} {
  // Families of tracing are always there; this version exports no spans.
  for (const char* name : {"opentelemetry_span_export_streams",
                           "opentelemetry_span_export_requests", "opentelemetry_span_exports"}) {
    always_there_.push_back(
        registry_.counter(name, "Total count of spans exported and of how").get({}));
  }
}

Metrics::Balancers Metrics::balancer_families(std::string_view prefix) {
  const auto counter = [&](std::string_view name, const char* help) {
    return &registry_.counter(concat(prefix, name), help, Format::OpenMetrics);
  };
  const auto gauge = [&](std::string_view name, const char* help) {
    return &registry_.gauge(concat(prefix, name), help, Format::OpenMetrics);
  };
  Balancers made;
  made.p2c_endpoints = gauge("p2c_endpoints", "The number of endpoints in the balancer");
  made.p2c_updates = counter("p2c_updates", "The total number of updates of the set of endpoints");
  made.queue_length = gauge("queue_length", "The number of requests that wait for an endpoint");
  made.queue_requests =
      counter("queue_requests", "The total number of requests that asked for an endpoint");
  made.queue_latency = &registry_.histogram(concat(prefix, "queue_latency_seconds"),
                                            "The time that requests waited for an endpoint",
                                            kQueueSeconds, Format::OpenMetrics);
  made.gate_open = counter("queue_gate_open", "How often fail-fast ended");
  made.gate_shut = counter("queue_gate_shut", "How often fail-fast began");
  made.gate_open_time = gauge("queue_gate_open_time_seconds",
                              "When fail-fast last ended, in seconds since the Unix epoch");
  made.gate_shut_time = gauge("queue_gate_shut_time_seconds",
                              "When fail-fast last began, in seconds since the Unix epoch");
  made.gate_timeout =
      gauge("queue_gate_timeout_seconds", "How long there may be no endpoint before fail-fast");
  made.endpoints = gauge("endpoints", "The number of endpoints by their state");
  return made;
}

RouteMetrics::Families Metrics::route_families(std::string_view prefix, bool grpc) {
  RouteMetrics::Families made;
  made.grpc = grpc;
  const auto counter = [&](std::string_view name, const char* help) {
    return &registry_.counter(concat(prefix, name), help, Format::OpenMetrics);
  };
  const auto histogram = [&](std::string_view name, const char* help,
                             std::span<const double> bounds) {
    return &registry_.histogram(concat(prefix, name), help, bounds, Format::OpenMetrics);
  };
  if (prefix.starts_with("inbound")) {
    made.inbound = true;
    made.requests = counter("_requests", "The total number of requests dispatched");
    made.request_duration =
        histogram("_request_duration_seconds",
                  "The time between request initialization and response completion", kFineSeconds);
    made.response_duration =
        histogram("_response_duration_seconds",
                  "The time between request completion and response completion", kCoarseSeconds);
    made.request_frames =
        histogram("_request_frame_size_bytes", "Request data frame sizes", kFrameBytes);
    made.response_frames =
        histogram("_response_frame_size_bytes", "Response data frame sizes", kFrameBytes);
    made.statuses = counter("_statuses", "Completed responses");
  } else if (prefix.ends_with("backend")) {
    made.requests = counter("_requests", "The total number of requests dispatched");
    made.response_duration =
        histogram("_response_duration_seconds",
                  "The time between request completion and response completion", kFineSeconds);
    made.response_frames =
        histogram("_response_frame_size_bytes", "Response data frame sizes", kFrameBytes);
    made.statuses = counter("_response_statuses", "Completed responses");
  } else {
    made.request_duration = histogram(
        "_request_duration_seconds",
        "The time between request initialization and response completion", kCoarseSeconds);
    made.request_frames =
        histogram("_request_frame_size_bytes", "Request data frame sizes", kFrameBytes);
    made.statuses = counter("_request_statuses", "Completed request-response streams");
  }
  return made;
}

std::unique_ptr<BalancerMetrics> Metrics::balancer(const metrics::Labels& labels, Balanced what) {
  const auto with = [&](std::string_view name, std::string_view value) {
    metrics::Labels all = labels;
    return all.add(name, value);
  };
  const Balancers& families = balancers_[static_cast<std::size_t>(what)];
  BalancerMetrics::Series series;
  series.p2c_endpoints = families.p2c_endpoints->get(labels);
  series.reset = families.p2c_updates->get(with("op", "Reset"));
  series.add = families.p2c_updates->get(with("op", "Add"));
  series.remove = families.p2c_updates->get(with("op", "Remove"));
  series.queue_length = families.queue_length->get(labels);
  series.queue_requests = families.queue_requests->get(labels);
  series.queue_latency = families.queue_latency->get(labels);
  series.gate_open = families.gate_open->get(labels);
  series.gate_shut = families.gate_shut->get(labels);
  series.gate_open_time = families.gate_open_time->get(labels);
  series.gate_shut_time = families.gate_shut_time->get(labels);
  series.gate_timeout = families.gate_timeout->get(labels);
  series.ready = families.endpoints->get(with("endpoint_state", "ready"));
  series.pending = families.endpoints->get(with("endpoint_state", "pending"));
  return std::make_unique<BalancerMetrics>(std::move(series));
}

TransferCost Metrics::transfer_cost(std::string_view zone_locality) {
  return {transfer_cost_.get({{"op", "Send"}, {"zone_locality", zone_locality}}),
          transfer_cost_.get({{"op", "Recv"}, {"zone_locality", zone_locality}})};
}

DetectMetrics Metrics::detection(Direction direction, const metrics::Labels& labels) {
  const bool inbound = direction == Direction::Inbound;
  DetectMetrics made;
  made.duration = (inbound ? detect_inbound_duration_ : detect_outbound_duration_).get(labels);
  static constexpr std::string_view kResults[] = {"http/1", "http/2", "not_http", "read_timeout",
                                                  "error"};
  for (std::size_t i = 0; i < made.results.size(); ++i) {
    metrics::Labels result;
    if (inbound) {
      result.add("result", kResults[i]).append(labels);
    } else {
      result.append(labels).add("result", kResults[i]);
    }
    made.results[i] = (inbound ? detect_inbound_ : detect_outbound_).get(result);
  }
  return made;
}

RouteMetricsPtr Metrics::inbound_route(bool grpc, const metrics::Labels& labels) {
  return std::make_shared<RouteMetrics>(inbound_routes_[grpc ? 1 : 0], labels);
}
RouteMetricsPtr Metrics::outbound_route(bool grpc, const metrics::Labels& labels) {
  return std::make_shared<RouteMetrics>(outbound_routes_[grpc ? 1 : 0], labels);
}
RouteMetricsPtr Metrics::outbound_backend(bool grpc, const metrics::Labels& labels) {
  return std::make_shared<RouteMetrics>(outbound_backends_[grpc ? 1 : 0], labels);
}

std::shared_ptr<TransportMetrics> Metrics::transport(Direction direction, bool src,
                                                     const metrics::Labels& rest) {
  auto made = std::make_shared<TransportMetrics>();
  made->labels.add("direction", direction == Direction::Inbound ? "inbound" : "outbound");
  made->labels.add("peer", src ? "src" : "dst");
  made->labels.append(rest);
  made->open_total = transport_.open_total.get(made->labels);
  made->open_connections = transport_.open_connections.get(made->labels);
  made->read_bytes = transport_.read_bytes.get(made->labels);
  made->write_bytes = transport_.write_bytes.get(made->labels);
  made->close_family = &transport_.close_total;
  return made;
}

std::shared_ptr<EndpointMetrics> Metrics::endpoint(const metrics::Labels& labels) {
  auto made = std::make_shared<EndpointMetrics>();
  made->labels = labels;
  made->requests = request_total_.get(labels);
  made->latency_family = &response_latency_;
  made->response_family = &response_total_;
  return made;
}

std::shared_ptr<EndpointMetrics> Metrics::control(const metrics::Labels& labels) {
  auto made = std::make_shared<EndpointMetrics>();
  made->labels = labels;
  made->requests = control_request_total_.get(labels);
  made->latency_family = &control_response_latency_;
  made->response_family = &control_response_total_;
  return made;
}

std::string port_label(std::uint16_t port) { return port == 0 ? "other" : port_text(port); }

metrics::Labels target_labels(const net::SocketAddr& target) {
  metrics::Labels labels;
  std::string addr = target.to_string();
  if (target.port == 0) addr.replace(addr.size() - 1, 1, "other");
  labels.add("target_addr", addr);
  labels.add("target_ip", target.ip.to_string());
  labels.add("target_port", port_label(target.port));
  return labels;
}

metrics::Labels server_labels(const Meta& meta, std::uint16_t port) {
  metrics::Labels labels = meta_labels("srv", meta);
  labels.add("srv_port", port_label(port));
  return labels;
}
metrics::Labels route_labels(const Meta& meta) { return meta_labels("route", meta); }
metrics::Labels authz_labels(const Meta& meta) { return meta_labels("authz", meta); }

metrics::Labels peer_labels(const Peer& peer) {
  metrics::Labels labels;
  switch (peer.tls) {
    case Peer::Tls::Terminated: labels.add("tls", "true").add("client_id", peer.identity); break;
    case Peer::Tls::Passthrough: labels.add("tls", "opaque").add("sni", peer.sni); break;
    case Peer::Tls::None:
      labels.add("tls", "no_identity").add("no_tls_reason", peer.no_tls_reason);
      break;
  }
  return labels;
}

metrics::Labels endpoint_tls_labels(const EndpointInfo& info, bool own) {
  metrics::Labels labels;
  if (!own && info.meshed()) {
    labels.add("tls", "true").add("server_id", info.identity);
  } else {
    labels.add("tls", "no_identity")
        .add("no_tls_reason", own ? "loopback" : "not_provided_by_service_discovery");
  }
  return labels;
}

metrics::Labels parent_labels(const Meta& meta) { return resource_labels("parent", meta); }
metrics::Labels backend_labels(const Meta& meta) { return resource_labels("backend", meta); }
metrics::Labels outbound_route_labels(const Meta& meta) {
  return {{"route_group", meta.group},
          {"route_kind", meta.kind},
          {"route_namespace", meta.ns},
          {"route_name", meta.name}};
}

metrics::Labels endpoint_labels(const EndpointInfo& info, bool own, std::string_view authority) {
  metrics::Labels labels{{"direction", "outbound"}};
  if (!authority.empty()) labels.add("authority", authority);
  labels.append(target_labels(info.addr));
  labels.append(endpoint_tls_labels(info, own));
  for (const auto& [name, value] : info.labels) labels.add(concat("dst_", name), value);
  return labels;
}

}  // namespace tulle::proxy
