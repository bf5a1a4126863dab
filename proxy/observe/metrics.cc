// SPDX-License-Identifier: Apache-2.0
#include "proxy/observe/metrics.h"

#include <cstring>

#include "lib/base/text.h"

namespace tulle::proxy {
namespace {

using metrics::Format;

std::string port_text(std::uint16_t port) {
  std::string text;
  append_number(text, port);
  return text;
}

metrics::Labels meta_labels(std::string_view prefix, const Meta& meta) {
  metrics::Labels labels;
  labels.add(concat(prefix, "_group"), meta.group);
  labels.add(concat(prefix, "_kind"), meta.kind);
  labels.add(concat(prefix, "_name"), meta.name);
  return labels;
}

}  // namespace

void TransportMetrics::closed(int os_errno) const {
  metrics::Labels all = labels;
  all.add("errno", errno_name(os_errno));
  close_family->get(all)->add();
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
      authz_allow(registry_.counter("inbound_http_authz_allow_total", "The total number of inbound HTTP requests that were authorized")),
      authz_deny(registry_.counter("inbound_http_authz_deny_total", "The total number of inbound HTTP requests that could not be processed due to being denied by the authorization policy.")),
      route_not_found(registry_.counter("inbound_http_route_not_found_total", "The total number of inbound HTTP requests that could not be associated with a route")),
      rate_limited(registry_.counter("inbound_http_local_ratelimit_total", "The total number of inbound HTTP requests that were rate-limited")),
      tcp_authz_allow(registry_.counter("inbound_tcp_authz_allow_total", "The total number of inbound TCP connections that were authorized")),
      tcp_authz_deny(registry_.counter("inbound_tcp_authz_deny_total", "The total number of inbound TCP connections that were denied")),
      tcp_authz_terminate(registry_.counter("inbound_tcp_authz_terminate_total", "The total number of inbound TCP connections that were terminated due to an authorization change")),
      inbound_http_errors(registry_.counter("inbound_http_errors_total", "The total number of inbound HTTP requests that could not be processed due to a proxy error.")),
      inbound_tcp_errors(registry_.counter("inbound_tcp_errors_total", "The total number of inbound TCP connections that could not be processed due to a proxy error.")),
      outbound_http_errors(registry_.counter("outbound_http_errors_total", "The total number of outbound HTTP requests that could not be processed due to a proxy error.")),
      outbound_tcp_errors(registry_.counter("outbound_tcp_errors_total", "The total number of outbound TCP connections that could not be processed due to a proxy error.")),
      detect_inbound(registry_.counter("inbound_tcp_detect_http_results", "Results of inbound HTTP detection", Format::OpenMetrics)),
      detect_outbound(registry_.counter("outbound_tcp_detect_http_results", "Results of outbound HTTP detection", Format::OpenMetrics)),
      transport_header(registry_.counter("inbound_tcp_transport_header_connections", "Connections with a transport header", Format::OpenMetrics)),
      protocol_connections(registry_.counter("outbound_tcp_protocol_connections", "Outbound TCP connections by protocol", Format::OpenMetrics)),
      unsupported(registry_.counter("tulle_unsupported", "Uses of policy features that this version does not have", Format::OpenMetrics)),
      cert_refreshes(registry_.counter("control_identity_cert_refreshes", "The total number of certificate refreshes", Format::OpenMetrics)),
      cert_expiry(registry_.gauge("control_identity_cert_expiration_timestamp_seconds", "Time when this proxy's current mTLS identity certificate will expire (in seconds since the UNIX epoch)", Format::OpenMetrics)),
      early_dials(registry_.counter("tulle_early_dials", "Connections to servers that were opened before the client had spoken", Format::OpenMetrics)),
      redispatched(registry_.counter("tulle_redispatched", "Requests that went to another connection or endpoint because nothing of them had been processed", Format::OpenMetrics)),
      shed(registry_.counter("tulle_shed", "Requests and connections that were refused at a bound", Format::OpenMetrics)),
      transport_{registry_.counter("tcp_open_total", "Total count of opened connections"),
                 registry_.gauge("tcp_open_connections", "Number of currently-open connections"),
                 registry_.counter("tcp_read_bytes_total", "Total count of bytes read from peers"),
                 registry_.counter("tcp_write_bytes_total", "Total count of bytes written to peers"),
                 registry_.counter("tcp_close_total", "Total count of closed connections")},
      request_total_(registry_.counter("request_total", "Total count of HTTP requests.")),
      response_latency_(registry_.histogram("response_latency_ms", "Elapsed times between a request's headers being received and its response stream completing", metrics::latency_buckets_ms())),
      response_total_(registry_.counter("response_total", "Total count of HTTP responses.")) {}

std::shared_ptr<TransportMetrics> Metrics::transport(Direction direction, bool src, const metrics::Labels& rest) {
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

metrics::Labels target_labels(const net::SocketAddr& target) {
  metrics::Labels labels;
  labels.add("target_addr", target.to_string());
  labels.add("target_ip", target.ip.to_string());
  labels.add("target_port", port_text(target.port));
  return labels;
}

metrics::Labels server_labels(const Meta& meta, std::uint16_t port) {
  metrics::Labels labels = meta_labels("srv", meta);
  labels.add("srv_port", port_text(port));
  return labels;
}
metrics::Labels route_labels(const Meta& meta) { return meta_labels("route", meta); }
metrics::Labels authz_labels(const Meta& meta) { return meta_labels("authz", meta); }

metrics::Labels peer_labels(const Peer& peer) {
  metrics::Labels labels;
  switch (peer.tls) {
    case Peer::Tls::Terminated:
      labels.add("tls", "true").add("client_id", peer.identity);
      break;
    case Peer::Tls::Passthrough:
      labels.add("tls", "opaque").add("sni", peer.sni);
      break;
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
    labels.add("tls", "no_identity").add("no_tls_reason", own ? "loopback" : "not_provided_by_service_discovery");
  }
  return labels;
}

metrics::Labels endpoint_labels(const EndpointInfo& info, bool own) {
  metrics::Labels labels{{"direction", "outbound"}};
  labels.append(target_labels(info.addr));
  labels.append(endpoint_tls_labels(info, own));
  for (const auto& [name, value] : info.labels) labels.add(concat("dst_", name), value);
  return labels;
}

}  // namespace tulle::proxy
