// SPDX-License-Identifier: Apache-2.0
// The names, types and label sets of docs/reference/proxy.md §6, as dashboards and tools read them.
#include "proxy/observe/metrics.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "lib/base/text.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

struct Family {
  std::string type;
  std::set<std::string> labels;  // "a,b,c" of each kind of series
  std::set<std::string> buckets;
};

std::map<std::string, Family> parse(const std::string& text) {
  std::map<std::string, Family> families;
  std::string current;
  for (const std::string_view line : split(text, '\n')) {
    if (line.starts_with("# TYPE ")) {
      const auto words = split(line, ' ');
      current = words[2];
      families[current].type = words[3];
      continue;
    }
    if (line.empty() || line.starts_with('#')) continue;
    Family& family = families[current];
    std::string names;
    const auto open = line.find('{');
    std::string_view rest = open == std::string_view::npos ? "" : line.substr(open + 1);
    while (!rest.empty() && rest.front() != '}') {
      const auto equals = rest.find("=\"");
      const std::string_view name = rest.substr(0, equals);
      auto end = equals + 2;
      while (rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
      if (name == "le") {
        family.buckets.emplace(rest.substr(equals + 2, end - equals - 2));
      } else {
        names += names.empty() ? "" : ",";
        names += name;
      }
      rest.remove_prefix(end + 1);
      if (rest.starts_with(',')) rest.remove_prefix(1);
    }
    family.labels.insert(names);
  }
  return families;
}

constexpr const char* kTarget = "target_addr,target_ip,target_port";
constexpr const char* kServer = "srv_group,srv_kind,srv_name,srv_port";
constexpr const char* kRoute = "route_group,route_kind,route_name";
constexpr const char* kParent =
    "parent_group,parent_kind,parent_namespace,parent_name,parent_port,parent_section_name";
constexpr const char* kOutRoute = "route_group,route_kind,route_namespace,route_name";
constexpr const char* kBackend =
    "backend_group,backend_kind,backend_namespace,backend_name,backend_port,backend_section_name";
std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) {
    if (!out.empty()) out += ',';
    out += part;
  }
  return out;
}

// Everything that the code can count, once.
std::map<std::string, Family> everything() {
  Metrics metrics(1h);
  const Meta meta{"g", "k", "n", "x", "s", 1};
  const net::SocketAddr target = test::addr("10.0.0.1:80");
  const Peer meshed = test::peer("10.0.0.2", "id");
  EndpointInfo info = *test::endpoint("10.0.0.1:80");
  info.identity = "id";
  info.labels = {{"pod", "p"}};
  for (const auto& labels :
       {endpoint_labels(info, false, ""), endpoint_labels(info, false, "web")}) {
    const auto endpoint = metrics.endpoint(labels);
    endpoint->of(200).success->add();
  }
  const auto control = metrics.control({{"addr", "a"}, {"tls", "true"}, {"server_id", "s"}});
  control->of(200).success->add();
  metrics::Labels source = target_labels(target);
  source.append(peer_labels(meshed)).append(server_labels(meta, 80));
  metrics.transport(Direction::Inbound, true, source)->closed(0);
  for (const bool grpc : {false, true}) {
    metrics::Labels inbound{
        {"parent_group", "g"}, {"parent_kind", "k"}, {"parent_name", "n"}, {"parent_port", "1"}};
    metrics.inbound_route(grpc, inbound.append(route_labels(meta)))->ended({200, ""}, 1ms, 1ms);
    metrics::Labels route = parent_labels(meta);
    route.append(outbound_route_labels(meta));
    metrics::Labels backend = route;
    metrics.outbound_route(grpc, route.add("hostname", ""))->ended({200, ""}, 1ms, 1ms);
    metrics.outbound_backend(grpc, backend.append(backend_labels(meta)))
        ->ended({200, ""}, 1ms, 1ms);
  }
  metrics::Labels backend = parent_labels(meta);
  backend.append(backend_labels(meta));
  metrics.balancer(backend)->picked(1ms);
  backend.add("logical", "web:80").add("concrete", "web:80");
  metrics.balancer(backend, Balanced::Connections)->picked(1ms);
  metrics.balancer({{"concrete", "c"}}, Balanced::TlsConnections)->picked(1ms);
  for (const Balanced service :
       {Balanced::ControlIdentity, Balanced::ControlDestination, Balanced::ControlPolicy}) {
    metrics.balancer({{"addr", "web:80"}}, service)->picked(1ms);
  }
  metrics.transfer_cost("Local").sent->add();
  metrics.detection(Direction::Inbound, server_labels(meta, 80)).count(0, 1ms);
  metrics.detection(Direction::Outbound, parent_labels(meta)).count(-1, 1ms);
  return parse(metrics.registry().scrape());
}

TEST(Metrics, FamiliesTypesAndLabels) {
  const std::map<std::string, Family> families = everything();
  struct Row {
    std::string name;
    std::string type;
    std::set<std::string> labels;
  };
  const std::string tls = "tls,client_id";
  const std::string endpoint = join({"direction", kTarget, "tls,server_id,dst_pod"});
  const std::string balanced = join({"direction", "authority", kTarget, "tls,server_id,dst_pod"});
  const auto both = [&](const std::string& more) {
    return std::set<std::string>{endpoint + more, balanced + more};
  };
  const std::string inbound_route =
      join({"parent_group,parent_kind,parent_name,parent_port", kRoute});
  const std::string source = join({"direction,peer", kTarget, tls, kServer});
  std::vector<Row> rows = {
      {"request_total", "counter", both("")},
      {"response_latency_ms", "histogram", both(",status_code")},
      {"response_total", "counter", both(",status_code,classification,grpc_status,error")},
      {"control_request_total", "counter", {"addr,tls,server_id"}},
      {"control_response_latency_ms", "histogram", {"addr,tls,server_id,status_code"}},
      {"control_response_total",
       "counter",
       {"addr,tls,server_id,status_code,classification,grpc_status,error"}},
      {"tcp_open_total", "counter", {source}},
      {"tcp_open_connections", "gauge", {source}},
      {"tcp_read_bytes_total", "counter", {source}},
      {"tcp_write_bytes_total", "counter", {source}},
      {"tcp_close_total", "counter", {source + ",errno"}},
      {"opentelemetry_span_export_streams", "counter", {""}},
      {"opentelemetry_span_export_requests", "counter", {""}},
      {"opentelemetry_span_exports", "counter", {""}},
      {"inbound_tcp_detect_http_results", "counter", {join({"result", kServer})}},
      {"inbound_tcp_detect_http_duration_seconds", "histogram", {kServer}},
      {"outbound_tcp_detect_http_results", "counter", {join({kParent, "result"})}},
      {"outbound_tcp_detect_http_duration_seconds", "histogram", {kParent}},
  };
  rows.push_back({"outbound_tcp_transfer_cost_bytes", "counter", {"op,zone_locality"}});
  const std::string of_backend = join({kParent, kBackend});
  for (const auto& [balancer, of] :
       {std::pair<std::string, std::string>{"outbound_http_balancer_", of_backend},
        {"outbound_tcp_balancer_", of_backend + ",logical,concrete"},
        {"outbound_tls_balancer_", "concrete"},
        {"control_identity_balancer_", "addr"},
        {"control_destination_balancer_", "addr"},
        {"control_policy_balancer_", "addr"}}) {
    rows.push_back({balancer + "p2c_endpoints", "gauge", {of}});
    rows.push_back({balancer + "p2c_updates", "counter", {of + ",op"}});
    rows.push_back({balancer + "queue_length", "gauge", {of}});
    rows.push_back({balancer + "queue_requests", "counter", {of}});
    rows.push_back({balancer + "queue_latency_seconds", "histogram", {of}});
    rows.push_back({balancer + "queue_gate_open", "counter", {of}});
    rows.push_back({balancer + "queue_gate_shut", "counter", {of}});
    rows.push_back({balancer + "queue_gate_open_time_seconds", "gauge", {of}});
    rows.push_back({balancer + "queue_gate_shut_time_seconds", "gauge", {of}});
    rows.push_back({balancer + "queue_gate_timeout_seconds", "gauge", {of}});
    rows.push_back({balancer + "endpoints", "gauge", {of + ",endpoint_state"}});
  }
  for (const std::string kind : {"http", "grpc"}) {
    const std::string route = join({kParent, kOutRoute});
    const std::string status = kind + "_status,error";
    rows.push_back({"inbound_" + kind + "_requests", "counter", {inbound_route}});
    rows.push_back({"inbound_" + kind + "_request_duration_seconds", "histogram", {inbound_route}});
    rows.push_back(
        {"inbound_" + kind + "_response_duration_seconds", "histogram", {inbound_route}});
    rows.push_back({"inbound_" + kind + "_request_frame_size_bytes", "histogram", {inbound_route}});
    rows.push_back(
        {"inbound_" + kind + "_response_frame_size_bytes", "histogram", {inbound_route}});
    rows.push_back({"inbound_" + kind + "_statuses", "counter", {inbound_route + ",status"}});
    rows.push_back({"outbound_" + kind + "_route_request_duration_seconds",
                    "histogram",
                    {route + ",hostname"}});
    rows.push_back({"outbound_" + kind + "_route_request_frame_size_bytes",
                    "histogram",
                    {route + ",hostname"}});
    rows.push_back({"outbound_" + kind + "_route_request_statuses",
                    "counter",
                    {join({route, "hostname", status})}});
    rows.push_back(
        {"outbound_" + kind + "_route_backend_requests", "counter", {join({route, kBackend})}});
    rows.push_back({"outbound_" + kind + "_route_backend_response_duration_seconds",
                    "histogram",
                    {join({route, kBackend})}});
    rows.push_back({"outbound_" + kind + "_route_backend_response_frame_size_bytes",
                    "histogram",
                    {join({route, kBackend})}});
    rows.push_back({"outbound_" + kind + "_route_backend_response_statuses",
                    "counter",
                    {join({route, kBackend, status})}});
  }
  for (const Row& row : rows) {
    const auto at = families.find(row.name);
    ASSERT_NE(at, families.end()) << row.name;
    EXPECT_EQ(at->second.type, row.type) << row.name;
    EXPECT_EQ(at->second.labels, row.labels) << row.name;
  }
}

// Families whose series are made where they are counted (their labels are checked there): the names
// are all there.
TEST(Metrics, FamiliesThatAreAlwaysAnnounced) {
  const std::map<std::string, Family> families = everything();
  for (const auto& [name, type] : std::map<std::string, std::string>{
           {"inbound_tcp_transport_header_connections", "counter"},
           {"outbound_tcp_protocol_connections", "counter"},
           {"outbound_tcp_route_open", "counter"},
           {"outbound_tcp_route_close", "counter"},
           {"outbound_tls_route_open", "counter"},
           {"outbound_tls_route_close", "counter"},
           {"control_dns_resolutions", "counter"},
           {"control_identity_cert_refreshes", "counter"},
           {"control_identity_cert_expiration_timestamp_seconds", "gauge"},
           {"control_identity_cert_refresh_timestamp_seconds", "gauge"},
           {"tulle_unsupported", "counter"},
       }) {
    ASSERT_TRUE(families.contains(name)) << name;
    EXPECT_EQ(families.at(name).type, type) << name;
  }
  // Legacy families without series are left out.
  EXPECT_FALSE(families.contains("inbound_http_authz_allow_total"));
}

TEST(Metrics, Buckets) {
  const std::map<std::string, Family> families = everything();
  const auto expect = [&](const std::string& name, const std::set<std::string>& bounds) {
    EXPECT_EQ(families.at(name).buckets, bounds) << name;
  };
  expect("response_latency_ms",
         {"1",    "2",    "3",     "4",     "5",     "10",    "20",    "30",   "40",
          "50",   "100",  "200",   "300",   "400",   "500",   "1000",  "2000", "3000",
          "4000", "5000", "10000", "20000", "30000", "40000", "50000", "+Inf"});
  expect("inbound_tcp_detect_http_duration_seconds", {"0.001", "0.1", "+Inf"});
  expect("outbound_http_balancer_queue_latency_seconds",
         {"0.0005", "0.005", "0.05", "0.5", "1.0", "3.0", "+Inf"});
  for (const std::string kind : {"http", "grpc"}) {
    const std::set<std::string> fine = {"0.025", "0.05", "0.1",  "0.25",
                                        "0.5",   "1.0",  "10.0", "+Inf"};
    const std::set<std::string> coarse = {"0.05", "0.5", "1.0", "10.0", "+Inf"};
    const std::set<std::string> frames = {"128.0", "1024.0", "10240.0", "+Inf"};
    expect("inbound_" + kind + "_request_duration_seconds", fine);
    expect("inbound_" + kind + "_response_duration_seconds", coarse);
    expect("inbound_" + kind + "_request_frame_size_bytes", frames);
    expect("outbound_" + kind + "_route_request_duration_seconds", coarse);
    expect("outbound_" + kind + "_route_backend_response_duration_seconds", fine);
  }
}

TEST(Metrics, ServerTlsInItsFourWays) {
  Peer peer = test::peer("10.0.0.1");
  EXPECT_EQ(peer_labels(peer).text(), "tls=\"no_identity\",no_tls_reason=\"no_tls_from_remote\"");
  peer.no_tls_reason = "port_skipped";
  EXPECT_EQ(peer_labels(peer).text(), "tls=\"no_identity\",no_tls_reason=\"port_skipped\"");
  peer.tls = Peer::Tls::Terminated;
  EXPECT_EQ(peer_labels(peer).text(), "tls=\"true\",client_id=\"\"");
  peer.tls = Peer::Tls::Passthrough;
  peer.sni = "example.com";
  EXPECT_EQ(peer_labels(peer).text(), "tls=\"opaque\",sni=\"example.com\"");
}

TEST(Metrics, ClientTlsAndErrno) {
  EndpointInfo info = *test::endpoint("10.0.0.1:80");
  EXPECT_EQ(endpoint_tls_labels(info, false).text(),
            "tls=\"no_identity\",no_tls_reason=\"not_provided_by_service_discovery\"");
  EXPECT_EQ(endpoint_tls_labels(info, true).text(),
            "tls=\"no_identity\",no_tls_reason=\"loopback\"");
  info.identity = "id";
  EXPECT_EQ(endpoint_tls_labels(info, false).text(), "tls=\"true\",server_id=\"id\"");
  EXPECT_EQ(errno_name(0), "");
  EXPECT_EQ(errno_name(104), "ECONNRESET");
}

TEST(RouteMetrics, GrpcCodesHaveNamesOutbound) {
  Metrics metrics(1h);
  const RouteMetricsPtr route = metrics.outbound_route(true, {{"hostname", ""}});
  route->ended({14, ""}, 1ms, 1ms);
  route->ended({std::nullopt, "FAIL_FAST"}, 1ms, 1ms);
  const RouteMetricsPtr inbound = metrics.inbound_route(true, {{"a", "b"}});
  inbound->ended({14, ""}, 1ms, 1ms);
  const std::string text = metrics.registry().scrape();
  EXPECT_NE(text.find("{hostname=\"\",grpc_status=\"UNAVAILABLE\",error=\"\"} 1"),
            std::string::npos);
  EXPECT_NE(text.find("{hostname=\"\",grpc_status=\"UNKNOWN\",error=\"FAIL_FAST\"} 1"),
            std::string::npos);
  EXPECT_NE(text.find("inbound_grpc_statuses_total{a=\"b\",status=\"14\"} 1"), std::string::npos);
}

}  // namespace
}  // namespace tulle::proxy
