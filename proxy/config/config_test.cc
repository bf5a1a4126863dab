// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using Environment = std::map<std::string, std::string>;

Config read(const Environment& more, unsigned cpus = 4) {
  ConfigNotes notes;
  Config config = test::config_from(test::small_environment(more), notes, cpus);
  EXPECT_TRUE(notes.errors.empty()) << notes.errors.front();
  return config;
}
std::vector<std::string> errors(const Environment& more) {
  ConfigNotes notes;
  (void)test::config_from(test::small_environment(more), notes);
  return notes.errors;
}

TEST(Config, DefaultsOfEverything) {
  const Config config = read({});
  EXPECT_EQ(config.outbound_listen, std::vector{test::addr("127.0.0.1:4140")});
  EXPECT_EQ(config.inbound_listen, test::addr("0.0.0.0:4143"));
  EXPECT_EQ(config.control_listen, test::addr("0.0.0.0:4190"));
  EXPECT_EQ(config.admin_listen, test::addr("127.0.0.1:4191"));
  EXPECT_EQ(config.workers, 1U);
  EXPECT_EQ(config.shutdown_grace, 2min);
  EXPECT_EQ(config.metrics_retain_idle, 10min);
  EXPECT_FALSE(config.shutdown_endpoint || config.ingress_mode || config.log_json ||
               config.hostname_labels || config.authority_labels);
  EXPECT_TRUE(config.informational_headers);
  EXPECT_EQ(config.inbound.connect_timeout, 300ms);
  EXPECT_EQ(config.outbound.connect_timeout, 1s);
  EXPECT_EQ(config.inbound.failfast_timeout, 1s);
  EXPECT_EQ(config.outbound.failfast_timeout, 3s);
  EXPECT_EQ(config.tcp_failfast_timeout, 3s);
  EXPECT_EQ(config.tcp_queue_capacity, 10'000U);
  EXPECT_EQ(config.inbound.discovery_idle, 90s);
  EXPECT_EQ(config.outbound.discovery_idle, 5s);
  EXPECT_EQ(config.inbound.backoff.max, 10s);
  EXPECT_EQ(config.outbound.backoff.max, 60s);
  EXPECT_EQ(config.min_refresh, 10s);
  EXPECT_EQ(config.max_refresh, 24h);
  EXPECT_EQ(config.profile_suffixes, std::vector<std::string>{"svc.cluster.local"});
  EXPECT_EQ(config.h2_client_stream_window, 65'535U);
  EXPECT_EQ(config.h2_client_connection_window, 1'048'576U);
  for (const SideConfig* side : {&config.inbound, &config.outbound}) {
    EXPECT_EQ(side->detect_timeout, 10s);
    EXPECT_EQ(side->pool_idle, 3s);
    EXPECT_EQ(side->queue_capacity, 10'000U);
    EXPECT_EQ(side->max_in_flight, 100'000U);
    EXPECT_EQ(side->max_idle_per_endpoint, 10'000U);
    EXPECT_EQ(side->backoff.min, 100ms);
    EXPECT_EQ(side->backoff.jitter, 0.1);
    EXPECT_EQ(side->h2_max_frame, 16'384U);
    EXPECT_EQ(side->h2_max_header_list, 16'384U);
    EXPECT_EQ(side->h2_max_pending_reset, 20U);
    EXPECT_EQ(side->h2_max_concurrent, 0U);
    EXPECT_FALSE(side->accept.keepalive || side->connect.user_timeout || side->h2_ping_interval);
  }
}

// Each variable of docs/reference/proxy.md §1.5 is read, and what cannot be read is told by name.
TEST(Config, EveryVariableIsRead) {
  struct Row {
    std::string name;
    std::string value;
    std::string bad;  // "" : any text is fine
    std::function<bool(const Config&)> took;
  };
  const std::vector<Row> rows = {
      {"LOG", "debug", "", [](const Config& c) { return c.log_filter == "debug"; }},
      {"LOG_FORMAT", "JSON", "xml", [](const Config& c) { return c.log_json; }},
      {"LOG_FORMAT", "plain", "xml", [](const Config& c) { return !c.log_json; }},
      {"ACCESS_LOG", "apache", "",
       [](const Config& c) { return c.access_log == Config::AccessLog::Apache; }},
      {"ACCESS_LOG", "json", "",
       [](const Config& c) { return c.access_log == Config::AccessLog::Json; }},
      {"METRICS_RETAIN_IDLE", "1m", "x",
       [](const Config& c) { return c.metrics_retain_idle == 1min; }},
      {"SHUTDOWN_ENDPOINT_ENABLED", "true", "yes",
       [](const Config& c) { return c.shutdown_endpoint; }},
      {"SHUTDOWN_GRACE_PERIOD", "5s", "5", [](const Config& c) { return c.shutdown_grace == 5s; }},
      {"INGRESS_MODE", "true", "1",
       [](const Config& c) { return c.ingress_mode && !c.informational_headers; }},
      {"ADMIN_LISTEN_ADDR", "[::]:4191", "4191",
       [](const Config& c) { return c.admin_listen == test::addr("[::]:4191"); }},
      {"CONTROL_LISTEN_ADDR", "[::]:4190", "x",
       [](const Config& c) { return c.control_listen == test::addr("[::]:4190"); }},
      {"INBOUND_LISTEN_ADDR", "[::]:4143", "x",
       [](const Config& c) { return c.inbound_listen == test::addr("[::]:4143"); }},
      {"OUTBOUND_LISTEN_ADDR", "127.0.0.1:1", "x",
       [](const Config& c) { return c.outbound_listen.front().port == 1; }},
      {"OUTBOUND_LISTEN_ADDRS", "127.0.0.1:1,[::1]:1", "127.0.0.1:1,[::1]:1,[::1]:2",
       [](const Config& c) { return c.outbound_listen.size() == 2; }},
      {"OUTBOUND_TCP_QUEUE_CAPACITY", "7", "-1",
       [](const Config& c) { return c.tcp_queue_capacity == 7; }},
      {"OUTBOUND_TCP_FAILFAST_TIMEOUT", "7s", "x",
       [](const Config& c) { return c.tcp_failfast_timeout == 7s; }},
      {"MAX_IDLE_CONNS_PER_ENDPOINT", "7", "x",
       [](const Config& c) {
         return c.inbound.max_idle_per_endpoint == 7 && c.outbound.max_idle_per_endpoint == 10'000;
       }},
      {"OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT", "7", "x",
       [](const Config& c) { return c.outbound.max_idle_per_endpoint == 7; }},
      {"OUTBOUND_DISABLE_INFORMATIONAL_HEADERS", "true", "x",
       [](const Config& c) { return !c.informational_headers; }},
      {"OUTBOUND_METRICS_HOSTNAME_LABELS", "true", "x",
       [](const Config& c) { return c.hostname_labels; }},
      {"INBOUND_METRICS_AUTHORITY_LABELS", "unsafe", "safe",
       [](const Config& c) { return c.authority_labels; }},
      {"HTTP2_INITIAL_STREAM_WINDOW_SIZE", "7", "2147483648",
       [](const Config& c) { return c.h2_client_stream_window == 7; }},
      {"HTTP2_INITIAL_CONNECTION_WINDOW_SIZE", "7", "0",
       [](const Config& c) { return c.h2_client_connection_window == 7; }},
      {"DESTINATION_SVC_ADDR", "127.0.0.1:1", "x",
       [](const Config& c) { return c.destination.port == 1; }},
      {"DESTINATION_CONTEXT", "{}", "",
       [](const Config& c) { return c.destination_context == "{}"; }},
      {"DESTINATION_PROFILE_SUFFIXES", "a.b.,C.d", "a b",
       [](const Config& c) {
         return c.profile_suffixes == std::vector<std::string>{"a.b", "c.d"};
       }},
      {"DESTINATION_PROFILE_NETWORKS", "10.0.0.0/8, fd00::/8", "10.0.0.1",
       [](const Config& c) { return c.profile_networks.size() == 2; }},
      {"DESTINATION_PROFILE_INITIAL_TIMEOUT", "1s", "x", [](const Config&) { return true; }},
      {"POLICY_SVC_ADDR", "127.0.0.1:1", "x", [](const Config& c) { return c.policy.port == 1; }},
      {"POLICY_WORKLOAD", "shop:web", "",
       [](const Config& c) { return c.policy_workload == "shop:web"; }},
      {"POLICY_CLUSTER_NETWORKS", "172.16.0.0/12", "x",
       [](const Config& c) { return c.cluster_networks.size() == 1; }},
      {"INBOUND_DEFAULT_POLICY", "deny", "none",
       [](const Config& c) { return c.default_policy == DefaultPolicy::Deny; }},
      {"INBOUND_PORTS", "80,90-92", "92-90",
       [](const Config& c) {
         return c.inbound_ports.contains(91) && !c.inbound_ports.contains(93);
       }},
      {"INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", "25", "x",
       [](const Config& c) { return c.opaque_ports.contains(25); }},
      {"INBOUND_IPS", "10.0.0.1,fd00::1", "10.0.0.1, 10.0.0.2",
       [](const Config& c) { return c.inbound_ips.size() == 2; }},
      {"INBOUND_GATEWAY_SUFFIXES", "svc.cluster.local.", "a b",
       [](const Config& c) { return c.gateway_suffixes.size() == 1; }},
      {"CONTROL_STREAM_INITIAL_TIMEOUT", "3s", "x",
       [](const Config& c) { return c.stream_initial == 3s; }},
      {"CONTROL_STREAM_IDLE_TIMEOUT", "5m", "x",
       [](const Config& c) { return c.stream_idle == 5min; }},
      {"CONTROL_STREAM_LIFETIME", "1h", "x",
       [](const Config& c) { return c.stream_lifetime == 1h; }},
      {"DNS_MIN_TTL", "1s", "x", [](const Config& c) { return c.dns_min_ttl == 1s; }},
      {"DNS_MAX_TTL", "1s", "x", [](const Config& c) { return c.dns_max_ttl == 1s; }},
      {"IDENTITY_LOCAL_NAME", "a.b", "a b",
       [](const Config& c) { return c.local_name == "a.b" && c.server_name == "a.b"; }},
      {"IDENTITY_TRUST_ANCHORS", "pem", "",
       [](const Config& c) { return c.trust_anchors == "pem"; }},
      {"IDENTITY_TOKEN_FILE", "/t", "", [](const Config& c) { return c.token_file == "/t"; }},
      {"IDENTITY_MIN_REFRESH", "1s", "x", [](const Config& c) { return c.min_refresh == 1s; }},
      {"IDENTITY_MAX_REFRESH", "1h", "x", [](const Config& c) { return c.max_refresh == 1h; }},
      {"IDENTITY_SVC_ADDR", "127.0.0.1:1", "x",
       [](const Config& c) { return c.identity.port == 1; }},
      {"TAP_SVC_NAME", "tap.linkerd", "",
       [](const Config& c) { return c.tap_name == "tap.linkerd"; }},
      {"TRACE_COLLECTOR_SVC_ADDR", "127.0.0.1:4317", "x", [](const Config&) { return true; }},
  };
  for (const Row& row : rows) {
    EXPECT_TRUE(row.took(read({{row.name, row.value}}))) << row.name;
    if (row.bad.empty()) continue;
    EXPECT_THAT(errors({{row.name, row.bad}}), Contains(HasSubstr("LINKERD2_PROXY_" + row.name)))
        << row.name;
  }
}

TEST(Config, BothDirectionsHaveTheirOwn) {
  struct Row {
    std::string name;
    std::string value;
    std::function<bool(const SideConfig&)> took;
  };
  const std::vector<Row> rows = {
      {"DETECT_TIMEOUT", "7s", [](const SideConfig& s) { return s.detect_timeout == 7s; }},
      {"CONNECT_TIMEOUT", "7s", [](const SideConfig& s) { return s.connect_timeout == 7s; }},
      {"HTTP_QUEUE_CAPACITY", "7", [](const SideConfig& s) { return s.queue_capacity == 7; }},
      {"HTTP_FAILFAST_TIMEOUT", "7s", [](const SideConfig& s) { return s.failfast_timeout == 7s; }},
      {"MAX_IN_FLIGHT", "7", [](const SideConfig& s) { return s.max_in_flight == 7; }},
      {"DISCOVERY_IDLE_TIMEOUT", "7s", [](const SideConfig& s) { return s.discovery_idle == 7s; }},
      {"HTTP1_CONNECTION_POOL_IDLE_TIMEOUT", "7s",
       [](const SideConfig& s) { return s.pool_idle == 7s; }},
      {"ACCEPT_KEEPALIVE", "7s", [](const SideConfig& s) { return s.accept.keepalive == 7s; }},
      {"CONNECT_KEEPALIVE", "7s", [](const SideConfig& s) { return s.connect.keepalive == 7s; }},
      {"ACCEPT_USER_TIMEOUT", "7s",
       [](const SideConfig& s) { return s.accept.user_timeout == 7s; }},
      {"CONNECT_USER_TIMEOUT", "7s",
       [](const SideConfig& s) { return s.connect.user_timeout == 7s; }},
      {"TCP_LISTEN_BACKLOG", "7", [](const SideConfig& s) { return s.accept.backlog == 7; }},
      {"SERVER_HTTP2_MAX_CONCURRENT_STREAMS", "7",
       [](const SideConfig& s) { return s.h2_max_concurrent == 7; }},
      {"SERVER_HTTP2_MAX_FRAME_SIZE", "20000",
       [](const SideConfig& s) { return s.h2_max_frame == 20'000; }},
      {"SERVER_HTTP2_MAX_HEADER_LIST_SIZE", "7",
       [](const SideConfig& s) { return s.h2_max_header_list == 7; }},
      {"SERVER_HTTP2_MAX_PENDING_ACCEPT_RESET_STREAMS", "7",
       [](const SideConfig& s) { return s.h2_max_pending_reset == 7; }},
      {"SERVER_HTTP2_MAX_SEND_BUF_SIZE", "7",
       [](const SideConfig& s) { return s.h2_send_buffer == 7; }},
      {"CONNECT_EXP_BACKOFF_JITTER", "0.5",
       [](const SideConfig& s) { return s.backoff.jitter == 0.5; }},
  };
  for (const Row& row : rows) {
    const Config inbound = read({{"INBOUND_" + row.name, row.value}});
    EXPECT_TRUE(row.took(inbound.inbound)) << row.name;
    EXPECT_FALSE(row.took(inbound.outbound)) << row.name;
    const Config outbound = read({{"OUTBOUND_" + row.name, row.value}});
    EXPECT_TRUE(row.took(outbound.outbound)) << row.name;
    EXPECT_FALSE(row.took(outbound.inbound)) << row.name;
    EXPECT_THAT(errors({{"INBOUND_" + row.name, "-x"}}),
                Contains(HasSubstr("INBOUND_" + row.name)));
  }
}

TEST(Config, ThingsThatBelongTogether) {
  // Windows and keep-alives count only in pairs.
  EXPECT_EQ(
      read({{"INBOUND_SERVER_HTTP2_INITIAL_STREAM_WINDOW_SIZE", "7"}}).inbound.h2_stream_window,
      65'535U);
  const Config both = read({{"INBOUND_SERVER_HTTP2_INITIAL_STREAM_WINDOW_SIZE", "7"},
                            {"INBOUND_SERVER_HTTP2_INITIAL_CONNECTION_WINDOW_SIZE", "8"}});
  EXPECT_EQ(both.inbound.h2_stream_window, 7U);
  EXPECT_EQ(both.inbound.h2_connection_window, 8U);
  EXPECT_FALSE(read({{"INBOUND_SERVER_HTTP2_KEEP_ALIVE_INTERVAL", "1s"}}).inbound.h2_ping_interval);
  EXPECT_THAT(errors({{"INBOUND_SERVER_HTTP2_INITIAL_STREAM_WINDOW_SIZE", "x"}}),
              Contains(HasSubstr("STREAM_WINDOW")));
  // Back-off needs both ends, in order.
  const Config backoff = read(
      {{"OUTBOUND_CONNECT_EXP_BACKOFF_MIN", "1s"}, {"OUTBOUND_CONNECT_EXP_BACKOFF_MAX", "2s"}});
  EXPECT_EQ(backoff.outbound.backoff.min, 1s);
  EXPECT_EQ(backoff.outbound.backoff.max, 2s);
  EXPECT_THAT(errors({{"OUTBOUND_CONNECT_EXP_BACKOFF_MIN", "1s"}}),
              Contains(HasSubstr("BACKOFF_MAX")));
  EXPECT_THAT(errors({{"OUTBOUND_CONNECT_EXP_BACKOFF_MIN", "3s"},
                      {"OUTBOUND_CONNECT_EXP_BACKOFF_MAX", "2s"}}),
              Contains(HasSubstr("above the maximum")));
  // Limits of control streams are ordered.
  EXPECT_THAT(
      errors({{"CONTROL_STREAM_INITIAL_TIMEOUT", "5s"}, {"CONTROL_STREAM_IDLE_TIMEOUT", "3s"}}),
      Contains(HasSubstr("CONTROL_STREAM")));
  // Policies about the cluster need to know it.
  for (const std::string policy : {"cluster-authenticated", "cluster-unauthenticated", "audit"}) {
    EXPECT_THAT(errors({{"INBOUND_DEFAULT_POLICY", policy}, {"POLICY_CLUSTER_NETWORKS", ""}}),
                Contains(HasSubstr("POLICY_CLUSTER_NETWORKS")));
  }
  EXPECT_TRUE(
      read({{"OUTBOUND_LISTEN_ADDR", "127.0.0.1:1"}, {"OUTBOUND_LISTEN_ADDRS", "127.0.0.1:2"}})
          .outbound_listen.front()
          .port == 2);
}

TEST(Config, ControlServicesNeedANameUnlessTheyAreOnLoopback) {
  EXPECT_THAT(errors({{"POLICY_SVC_ADDR", "policy.linkerd.svc.cluster.local.:8090"}}),
              Contains(HasSubstr("POLICY_SVC_NAME")));
  EXPECT_THAT(errors({{"POLICY_SVC_ADDR", "localhost:8090"}}),
              Contains(HasSubstr("POLICY_SVC_NAME")));
  EXPECT_THAT(errors({{"POLICY_SVC_ADDR", "p.l:8090"}, {"POLICY_SVC_NAME", "no name"}}),
              Contains(HasSubstr("POLICY_SVC_NAME")));
  EXPECT_TRUE(errors({{"POLICY_SVC_ADDR", "localhost.:8090"}}).empty());
  const Config config = read({{"POLICY_SVC_ADDR", "policy.linkerd.svc.cluster.local.:80"},
                              {"POLICY_SVC_NAME", "destination.linkerd"}});
  EXPECT_EQ(config.policy.name, "destination.linkerd");
  EXPECT_EQ(config.policy.authority, "policy.linkerd.svc.cluster.local");
  EXPECT_EQ(config.policy.host, "policy.linkerd.svc.cluster.local.");
}

TEST(Config, Identity) {
  EXPECT_THAT(errors({{"IDENTITY_DISABLED", "1"}}), Contains(HasSubstr("IDENTITY_DISABLED")));
  EXPECT_THAT(errors({{"IDENTITY_SPIRE_SOCKET", "unix:///x"}}), Contains(HasSubstr("SPIRE")));
  const Config pair = read({{"IDENTITY_LOCAL_NAME", ""},
                            {"IDENTITY_SERVER_ID", "a.b"},
                            {"IDENTITY_SERVER_NAME", "a.b"}});
  EXPECT_EQ(pair.local_name, "a.b");
  EXPECT_THAT(errors({{"IDENTITY_LOCAL_NAME", ""},
                      {"IDENTITY_SERVER_ID", "a.b"},
                      {"IDENTITY_SERVER_NAME", "c.d"}}),
              Contains(HasSubstr("IDENTITY_SERVER_NAME")));
}

TEST(Config, AllProblemsAreToldAtOnce) {
  ConfigNotes notes;
  (void)test::config_from({{"INBOUND_LISTEN_ADDR", "x"}, {"OUTBOUND_CONNECT_TIMEOUT", "fast"}},
                          notes);
  for (const std::string name :
       {"INBOUND_LISTEN_ADDR", "OUTBOUND_CONNECT_TIMEOUT", "DESTINATION_SVC_ADDR",
        "POLICY_SVC_ADDR", "POLICY_WORKLOAD", "IDENTITY_TRUST_ANCHORS", "IDENTITY_TOKEN_FILE",
        "IDENTITY_DIR", "IDENTITY_LOCAL_NAME", "IDENTITY_SVC_ADDR"}) {
    EXPECT_THAT(notes.errors, Contains(HasSubstr("LINKERD2_PROXY_" + name)));
  }
}

TEST(Config, Cores) {
  EXPECT_EQ(read({{"CORES", "3"}}).workers, 3U);
  EXPECT_EQ(read({{"CORES", "9"}}).workers, 4U);
  EXPECT_EQ(read({{"CORES_MAX", "2"}}).workers, 2U);
  EXPECT_EQ(read({{"CORES_MAX", "2"}, {"CORES_MIN", "3"}}).workers, 3U);
  EXPECT_EQ(read({{"CORES_MAX_RATIO", "0.5"}}).workers, 2U);
  EXPECT_EQ(read({{"CORES_MAX_RATIO", "0.1"}}).workers, 1U);
  EXPECT_EQ(read({{"CORES_MAX", "3"}, {"CORES_MAX_RATIO", "0.1"}}).workers, 3U);
  for (const auto& [name, value] :
       Environment{{"CORES", "many"}, {"CORES_MAX", "0"}, {"CORES_MAX_RATIO", "1.5"}}) {
    ConfigNotes notes;
    EXPECT_EQ(test::config_from(test::small_environment({{name, value}}), notes).workers, 1U);
    EXPECT_TRUE(notes.errors.empty());
    EXPECT_THAT(notes.warnings, Contains(HasSubstr(name)));
  }
}

TEST(Config, WhatHasNoEffectYetIsNamed) {
  ConfigNotes notes;
  (void)test::config_from(test::small_environment({{"TAP_SVC_NAME", "tap.l"},
                                                   {"INGRESS_MODE", "true"},
                                                   {"INBOUND_GATEWAY_SUFFIXES", "a.b"}}),
                          notes);
  for (const char* name : {"TAP_SVC_NAME", "INGRESS_MODE", "INBOUND_GATEWAY_SUFFIXES"}) {
    EXPECT_THAT(notes.without_effect, Contains(HasSubstr(name)));
  }
  ConfigNotes plain;
  (void)test::config_from(test::small_environment({{"OUTBOUND_METRICS_HOSTNAME_LABELS", "true"}}),
                          plain);
  EXPECT_TRUE(plain.without_effect.empty());
  EXPECT_THAT(plain.warnings, ::testing::IsEmpty());
  // What every injected pod has is not worth a word.
  for (const auto& [value, told] : {std::pair{"svc.k8s.home.", false}, std::pair{".", true},
                                    std::pair{"svc.a.b.,c.d.", true}}) {
    ConfigNotes suffixes;
    (void)test::config_from(test::small_environment({{"DESTINATION_PROFILE_SUFFIXES", value}}),
                            suffixes);
    EXPECT_EQ(suffixes.without_effect.size(), told ? 1U : 0U) << value;
  }
  ConfigNotes open;
  (void)test::config_from(test::small_environment({{"INBOUND_DEFAULT_POLICY", ""}}), open);
  EXPECT_THAT(open.warnings, Contains(HasSubstr("INBOUND_DEFAULT_POLICY")));
}

}  // namespace
}  // namespace tulle::proxy
