// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>

#include "lib/base/text.h"
#include "proto/message.h"
#include "proxy/snapshot/convert.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

namespace pbo = pb::outbound;
using test::addr;

struct Noted {
  std::vector<std::string> features;
  Unsupported note = [this](std::string_view feature) { features.emplace_back(feature); };
};

pb::meta::Metadata service(const std::string& name) {
  pb::meta::Metadata meta;
  pb::meta::Resource& made = meta.set_resource();
  made.group = "core";
  made.kind = "Service";
  made.name = name;
  made.namespace_ = "shop";
  made.port = 80;
  return meta;
}
pb::meta::Metadata implicit(const std::string& name) {
  pb::meta::Metadata meta;
  meta.kind_case = pb::meta::Metadata::KindCase::default_;
  meta.default_ = name;
  return meta;
}
pbo::Backend balanced(const std::string& path) {
  pbo::Backend backend;
  backend.metadata = service(path.substr(0, path.find('.')));
  backend.queue.make().failfast_timeout = pb::to_pb(Duration(3s));
  pbo::Backend_BalanceP2c& balancer = backend.set_balancer();
  balancer.discovery.make().set_dst().path = path;
  auto& load = balancer.set_peak_ewma();
  load.default_rtt = pb::to_pb(Duration(30ms));
  load.decay = pb::to_pb(Duration(10s));
  return backend;
}
pbo::HttpRoute http_route(const std::string& path = "web.shop.svc.cluster.local:80") {
  pbo::HttpRoute route;
  route.metadata = implicit("http");
  auto& rule = route.rules.emplace_back();
  rule.backends.make().set_first_available().backends.emplace_back().backend = balanced(path);
  return route;
}
template <typename Route>
Route byte_route() {
  Route route;
  route.metadata = implicit("opaque");
  auto& rule = route.rules.emplace_back();
  rule.backends.make().set_first_available().backends.emplace_back().backend =
      balanced("web.shop.svc.cluster.local:80");
  return route;
}
pbo::OutboundPolicy detect() {
  pbo::OutboundPolicy policy;
  policy.metadata = service("web");
  pbo::ProxyProtocol_Detect& made = policy.protocol.make().set_detect();
  made.timeout = pb::to_pb(Duration(10s));
  made.opaque.make().routes.push_back(byte_route<pbo::OpaqueRoute>());
  made.http1.make().routes.push_back(http_route());
  made.http2.make().routes.push_back(http_route());
  return policy;
}
ClientPolicyPtr convert(const pbo::OutboundPolicy& policy, Noted& noted) {
  return client_policy_from(policy, noted.note);
}

TEST(ClientPolicy, DetectWithABalancedService) {
  Noted noted;
  const ClientPolicyPtr policy = convert(detect(), noted);
  EXPECT_EQ(policy->invalid, "");
  EXPECT_EQ(policy->protocol, ClientPolicy::Protocol::Detect);
  EXPECT_EQ(policy->parent, (Meta{"core", "Service", "shop", "web", "", 80}));
  ASSERT_EQ(policy->http1.size(), 1U);
  ASSERT_EQ(policy->http2.size(), 1U);
  ASSERT_TRUE(policy->opaque);
  const Distribution& distribution = policy->http1[0].rules[0].distribution;
  EXPECT_EQ(distribution.kind, Distribution::Kind::FirstAvailable);
  ASSERT_EQ(distribution.backends.size(), 1U);
  EXPECT_EQ(distribution.backends[0].kind, Backend::Kind::Balance);
  EXPECT_EQ(distribution.backends[0].path, "web.shop.svc.cluster.local:80");
  EXPECT_EQ(distribution.backends[0].load, EwmaOptions{});
  EXPECT_TRUE(noted.features.empty());
}

TEST(ClientPolicy, EveryProtocol) {
  const auto with = [](const std::function<void(pbo::ProxyProtocol&)>& set) {
    Noted noted;
    pbo::OutboundPolicy policy;
    policy.metadata = service("web");
    set(policy.protocol.make());
    return convert(policy, noted);
  };
  const ClientPolicyPtr http1 =
      with([](pbo::ProxyProtocol& p) { p.set_http1().routes.push_back(http_route()); });
  EXPECT_EQ(http1->protocol, ClientPolicy::Protocol::Http1);
  EXPECT_EQ(http1->http1.size(), 1U);
  EXPECT_FALSE(http1->opaque);
  const ClientPolicyPtr http2 =
      with([](pbo::ProxyProtocol& p) { p.set_http2().routes.push_back(http_route()); });
  EXPECT_EQ(http2->protocol, ClientPolicy::Protocol::Http2);
  const ClientPolicyPtr grpc = with([](pbo::ProxyProtocol& p) {
    pbo::GrpcRoute route;
    route.metadata = implicit("g");
    auto& rule = route.rules.emplace_back();
    rule.matches.emplace_back().rpc.make().service = "a.Svc";
    rule.backends.make().set_empty();
    p.set_grpc().routes.push_back(route);
  });
  EXPECT_EQ(grpc->invalid, "");
  EXPECT_EQ(grpc->protocol, ClientPolicy::Protocol::Grpc);
  EXPECT_TRUE(grpc->http2[0].rules[0].matches[0].grpc);
  EXPECT_EQ(grpc->http2[0].rules[0].distribution.kind, Distribution::Kind::Empty);
  const ClientPolicyPtr opaque = with([](pbo::ProxyProtocol& p) { p.set_opaque(); });
  EXPECT_EQ(opaque->protocol, ClientPolicy::Protocol::Opaque);
  EXPECT_FALSE(opaque->opaque);  // no route: connections are refused
  const ClientPolicyPtr tls = with([](pbo::ProxyProtocol& p) {
    pbo::TlsRoute route = byte_route<pbo::TlsRoute>();
    route.snis.emplace_back().set_suffix().reverse_labels = {"com", "example"};
    p.set_tls().routes.push_back(route);
  });
  EXPECT_EQ(tls->protocol, ClientPolicy::Protocol::Tls);
  ASSERT_EQ(tls->tls.size(), 1U);
  EXPECT_EQ(tls->tls[0].snis[0].host, ".example.com");
}

TEST(ClientPolicy, FiltersThatForbidAreKept) {
  Noted noted;
  pbo::OutboundPolicy policy = detect();
  policy.protocol->detect->opaque->routes[0].rules[0].filters.emplace_back().set_forbidden();
  EXPECT_TRUE(convert(policy, noted)->opaque->forbidden);
  policy.protocol->detect->opaque->routes[0].rules[0].filters[0].set_invalid().message =
      "no such port";
  EXPECT_EQ(convert(policy, noted)->opaque->invalid, "no such port");
  pbo::OutboundPolicy tls;
  tls.metadata = service("web");
  tls.protocol.make().set_tls().routes.push_back(byte_route<pbo::TlsRoute>());
  tls.protocol->tls->routes[0].rules[0].filters.emplace_back().set_forbidden();
  EXPECT_TRUE(convert(tls, noted)->tls[0].forbidden);
  // A backend with such a filter serves nothing.
  pbo::OutboundPolicy backend = detect();
  backend.protocol->detect->opaque->routes[0]
      .rules[0]
      .backends->first_available->backends[0]
      .filters.emplace_back()
      .set_forbidden();
  EXPECT_EQ(convert(backend, noted)->opaque->distribution.backends[0].kind, Backend::Kind::Fail);
}

TEST(ClientPolicy, WeightsAndBackendsWithoutADispatcher) {
  Noted noted;
  pbo::OutboundPolicy policy = detect();
  auto& random =
      policy.protocol->detect->http1->routes[0].rules[0].backends->set_random_available();
  for (const std::uint32_t weight : {0U, 3U}) {
    auto& entry = random.backends.emplace_back();
    entry.weight = weight;
    entry.backend.make().backend = balanced("a.shop.svc.cluster.local:80");
  }
  random.backends[1].backend->backend->kind_case = pbo::Backend::KindCase::none;
  random.backends[1].backend->backend->balancer = {};
  const ClientPolicyPtr made = convert(policy, noted);
  const auto& backends = made->http1[0].rules[0].distribution.backends;
  ASSERT_EQ(backends.size(), 2U);
  EXPECT_EQ(backends[0].weight, 0U);
  EXPECT_EQ(backends[1].kind, Backend::Kind::Fail);
  random.backends[1].weight = 0;
  EXPECT_NE(convert(policy, noted)->invalid, "");  // all zero
}

TEST(ClientPolicy, WhatOnlyAddsComfortIsCounted) {
  Noted noted;
  pbo::OutboundPolicy policy = detect();
  auto& rule = policy.protocol->detect->http1->routes[0].rules[0];
  rule.retry.make().conditions.make();
  rule.timeouts.make().request = pb::to_pb(Duration(1s));
  rule.allow_l5d_request_headers = true;
  policy.protocol->detect->http1->failure_accrual.make();
  EXPECT_EQ(convert(policy, noted)->invalid, "");
  EXPECT_EQ(noted.features, (std::vector<std::string>{"circuit breaking", "retries", "timeouts",
                                                      "per-request overrides"}));
}

// As a foreign control plane may send it: a match that names no method, and timeouts that are
// empty.
TEST(ClientPolicy, WhatAsksForNothingIsTaken) {
  Noted noted;
  pbo::OutboundPolicy policy;
  policy.metadata = service("web");
  pbo::GrpcRoute route;
  route.metadata = implicit("g");
  auto& rule = route.rules.emplace_back();
  rule.matches.emplace_back();
  rule.timeouts.make();
  rule.backends.make().set_empty();
  policy.protocol.make().set_grpc().routes.push_back(route);
  const ClientPolicyPtr made = convert(policy, noted);
  EXPECT_EQ(made->invalid, "");
  EXPECT_TRUE(made->http2[0].rules[0].matches[0].grpc);
  EXPECT_EQ(made->http2[0].rules[0].matches[0].grpc_service, "");
  EXPECT_TRUE(noted.features.empty());
}

TEST(ClientPolicy, WhatIsMalformedMakesAllOfItInvalid) {
  const auto broken = [](const std::function<void(pbo::OutboundPolicy&)>& change) {
    Noted noted;
    pbo::OutboundPolicy policy = detect();
    change(policy);
    const ClientPolicyPtr made = convert(policy, noted);
    EXPECT_NE(made->invalid, "");
    EXPECT_EQ(made->parent, Meta::implicit("invalid"));
    EXPECT_TRUE(made->http1.empty() && made->http2.empty() && !made->opaque);
  };
  const auto http1 = [](pbo::OutboundPolicy& p) -> pbo::HttpRoute& {
    return p.protocol->detect->http1->routes[0];
  };
  const auto backend = [http1](pbo::OutboundPolicy& p) -> pbo::Backend& {
    return *http1(p).rules[0].backends->first_available->backends[0].backend;
  };
  broken([](pbo::OutboundPolicy& p) { p.metadata = {}; });
  broken([](pbo::OutboundPolicy& p) { p.protocol = {}; });
  broken([](pbo::OutboundPolicy& p) { p.protocol->detect->timeout = {}; });
  broken([](pbo::OutboundPolicy& p) { p.protocol->detect->http2 = {}; });
  broken([](pbo::OutboundPolicy& p) {
    p.protocol->detect->opaque->routes.push_back(byte_route<pbo::OpaqueRoute>());
  });
  broken([](pbo::OutboundPolicy& p) { p.protocol->detect->opaque->routes[0].rules.clear(); });
  broken([](pbo::OutboundPolicy& p) {
    p.protocol->detect->opaque->routes[0].rules[0].filters.emplace_back();
  });
  broken([&](pbo::OutboundPolicy& p) { http1(p).metadata = {}; });
  broken([&](pbo::OutboundPolicy& p) { http1(p).hosts.emplace_back(); });
  broken([&](pbo::OutboundPolicy& p) { http1(p).rules[0].backends = {}; });
  broken([&](pbo::OutboundPolicy& p) {
    http1(p).rules[0].backends->kind_case = pbo::HttpRoute_Distribution::KindCase::none;
  });
  broken([&](pbo::OutboundPolicy& p) {
    http1(p).rules[0].backends->first_available->backends.clear();
  });
  broken([&](pbo::OutboundPolicy& p) { http1(p).rules[0].filters.emplace_back(); });
  broken([&](pbo::OutboundPolicy& p) {
    http1(p).rules[0].filters.emplace_back().set_failure_injector().status = 42;
  });
  broken([&](pbo::OutboundPolicy& p) { backend(p).metadata = {}; });
  broken([&](pbo::OutboundPolicy& p) { backend(p).queue = {}; });
  broken([&](pbo::OutboundPolicy& p) { backend(p).balancer->discovery->dst->path = "nowhere"; });
  broken([&](pbo::OutboundPolicy& p) {
    backend(p).balancer->load_case = pbo::Backend_BalanceP2c::LoadCase::none;
  });
  broken([&](pbo::OutboundPolicy& p) { backend(p).balancer->peak_ewma->decay = {}; });
  broken([&](pbo::OutboundPolicy& p) {
    backend(p).set_forward().addr = address_to(addr("10.0.0.1:0"));
  });
}

TEST(ClientPolicy, AnUnknownProtocolFailsClosedAndIsCounted) {
  Noted noted;
  pbo::OutboundPolicy policy = detect();
  policy.protocol =
      *pb::decode_message<pbo::ProxyProtocol>(as_bytes(std::string_view("\xfa\x01\x00", 3)));
  EXPECT_NE(convert(policy, noted)->invalid, "");
  EXPECT_EQ(noted.features, std::vector<std::string>{"client protocol"});
}

TEST(Endpoint, FromDiscovery) {
  pb::destination::WeightedAddr from;
  from.addr = address_to(addr("10.0.0.1:8080"));
  from.metric_labels = {{"pod", "web-1"}, {"service", "mine"}};
  from.tls_identity.make().set_dns_like_identity().name = "web.shop.id";
  from.protocol_hint.make().set_h2();
  from.protocol_hint->opaque_transport.make().inbound_port = 4143;
  from.http2.make().keep_alive.make().interval = pb::to_pb(Duration(10s));
  from.http2->keep_alive->timeout = pb::to_pb(Duration(3s));
  from.http2->keep_alive->while_idle = true;
  EndpointPtr made = endpoint_from(from, {{"service", "set"}, {"namespace", "shop"}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->addr, addr("10.0.0.1:8080"));
  EXPECT_EQ(made->labels, (std::vector<std::pair<std::string, std::string>>{
                              {"namespace", "shop"}, {"pod", "web-1"}, {"service", "mine"}}));
  EXPECT_TRUE(made->meshed());
  EXPECT_EQ(made->server_name, "web.shop.id");
  EXPECT_EQ(made->hint, EndpointInfo::Hint::H2);
  EXPECT_EQ(made->transport_port, 4143);
  EXPECT_EQ(made->keep_alive, (EndpointInfo::KeepAlive{10s, 3s, true}));
  EXPECT_FALSE(made->tls_broken);
  from.protocol_hint->opaque_transport->inbound_port = 65535;
  EXPECT_EQ(endpoint_from(from, {})->transport_port, 0);
  from.addr = {};
  EXPECT_FALSE(endpoint_from(from, {}));
}

// Design rule 3.9: asked for TLS in a way that cannot be done is an error, never plain text.
TEST(Endpoint, TlsThatCannotBeUsedIsBroken) {
  pb::destination::WeightedAddr from;
  from.addr = address_to(addr("10.0.0.1:8080"));
  EXPECT_FALSE(endpoint_from(from, {})->tls_broken);
  from.tls_identity.make();
  EXPECT_TRUE(endpoint_from(from, {})->tls_broken);
  from.tls_identity->set_uri_like_identity().uri = "spiffe://td/web";
  EXPECT_TRUE(endpoint_from(from, {})->tls_broken);  // which name to ask for is missing
  from.tls_identity->server_name.make().name = "web.example";
  EXPECT_FALSE(endpoint_from(from, {})->tls_broken);
  EXPECT_EQ(endpoint_from(from, {})->identity, "spiffe://td/web");
}

TEST(ClientPolicy, ForwardsWhereNoPolicyWasFound) {
  const ClientPolicyPtr made = forward_policy(test::endpoint("10.0.0.9:80"), "fallback", false);
  EXPECT_EQ(made->parent, Meta::implicit("fallback"));
  EXPECT_EQ(made->protocol, ClientPolicy::Protocol::Detect);
  EXPECT_EQ(made->http1[0].rules[0].distribution.backends[0].endpoint->addr, addr("10.0.0.9:80"));
  EXPECT_EQ(forward_policy(test::endpoint("10.0.0.9:80"), "endpoint", true)->protocol,
            ClientPolicy::Protocol::Opaque);
}

}  // namespace
}  // namespace tulle::proxy
