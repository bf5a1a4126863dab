// SPDX-License-Identifier: Apache-2.0
#include "control/policy/outbound.h"

#include <gtest/gtest.h>

#include "control/testing.h"
#include "control/wire.h"

namespace tulle::control {
namespace {

using namespace pb::outbound;  // NOLINT: the messages under test
using KindCase = ProxyProtocol::KindCase;

class Outbound : public ::testing::Test {
 protected:
  Outbound() {
    config.cluster_networks = {*net::Cidr::parse("10.0.0.0/8"), *net::Cidr::parse("fd00::/8")};
    service(
        "{clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1'], ports: [{name: http, port: "
        "80}, {port: "
        "3306, name: db}, "
        "{port: 53, name: dns, protocol: UDP}]}");
  }
  void add(std::string_view yaml) { put_yaml(index, yaml); }
  void service(std::string_view spec, std::string_view annotations = "") {
    add(concat(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, annotations: {",
        annotations, "}}\nspec: ", spec, "\n"));
  }
  grpc::StatusOr<OutboundPolicy> at(std::string_view address,
                                    std::string_view source = "shop:client") {
    TrafficSpec spec;
    spec.source_workload = source;
    spec.set_addr() = to_wire(*net::SocketAddr::parse(address));
    const auto query = parse_traffic_query(spec, config);
    if (!query) return query.status();
    return outbound_policy_of(View(index), config, *query);
  }
  grpc::StatusOr<OutboundPolicy> named(std::string_view authority) {
    TrafficSpec spec;
    spec.source_workload = "shop:client";
    spec.set_authority(std::string(authority));
    const auto query = parse_traffic_query(spec, config);
    if (!query) return query.status();
    return outbound_policy_of(View(index), config, *query);
  }
  Index index;
  MeshConfig config;
};

TEST_F(Outbound, RefusesWhatItCannotUnderstand) {
  TrafficSpec spec;
  EXPECT_EQ(parse_traffic_query(spec, config).status().code, grpc::Code::InvalidArgument);
  spec.source_workload = "shop:client";
  EXPECT_EQ(parse_traffic_query(spec, config).status().code, grpc::Code::InvalidArgument);
  spec.set_addr().port = 80;
  EXPECT_EQ(parse_traffic_query(spec, config).status().code, grpc::Code::InvalidArgument);
  spec.set_addr() = to_wire(net::SocketAddr{*net::IpAddr::parse("10.0.0.1"), 0});
  EXPECT_EQ(parse_traffic_query(spec, config).status().code, grpc::Code::InvalidArgument);
  EXPECT_EQ(named("").status().code, grpc::Code::InvalidArgument);
  EXPECT_EQ(named(":80").status().code, grpc::Code::InvalidArgument);
  EXPECT_EQ(named("example.com:80").status().code, grpc::Code::NotFound);
  EXPECT_EQ(named("10.96.0.1:80").status().code, grpc::Code::NotFound);
}

TEST_F(Outbound, AServiceIsBalanced) {
  for (const auto address : {"10.96.0.1:80", "[fd00::1]:80"}) {
    const auto policy = at(address);
    ASSERT_TRUE(policy) << address;
    const auto& meta = *policy->metadata->resource;
    EXPECT_EQ(meta.group + "/" + meta.kind + "/" + meta.namespace_ + "/" + meta.name,
              "core/Service/shop/web");
    EXPECT_EQ(meta.port, 80U);
    ASSERT_EQ(policy->protocol->kind_case, KindCase::detect);
    const auto& detect = *policy->protocol->detect;
    EXPECT_EQ(detect.timeout->seconds, 10);
    const auto& route = detect.http1->routes.at(0);
    EXPECT_EQ(route.metadata->default_, "http");
    EXPECT_EQ(detect.http2->routes.at(0), route);
    const auto& backend = *route.rules.at(0).backends->first_available->backends.at(0).backend;
    EXPECT_EQ(backend.metadata->resource->name, "web");
    EXPECT_EQ(backend.balancer->discovery->dst->path, "web.shop.svc.cluster.local:80");
    EXPECT_EQ(backend.balancer->peak_ewma->default_rtt->nanos, 30'000'000);
    EXPECT_EQ(backend.balancer->peak_ewma->decay->seconds, 10);
    EXPECT_EQ(backend.queue->capacity, 100U);
    EXPECT_EQ(backend.queue->failfast_timeout->seconds, 3);
    const auto& opaque = detect.opaque->routes.at(0);
    EXPECT_EQ(opaque.metadata->default_, "opaq");
    EXPECT_EQ(*opaque.rules.at(0).backends->first_available->backends.at(0).backend, backend);
  }
}

TEST_F(Outbound, APortThatTheServiceDoesNotHaveIsForbidden) {
  // UDP ports are not those of connections.
  for (const auto address : {"10.96.0.1:81", "10.96.0.1:53"}) {
    const auto policy = at(address);
    ASSERT_TRUE(policy);
    ASSERT_EQ(policy->protocol->kind_case, KindCase::opaque);
    const auto& route = policy->protocol->opaque->routes.at(0);
    EXPECT_EQ(route.metadata->default_, "undefined-port");
    EXPECT_TRUE(route.rules.at(0).backends->empty.has_value());
    EXPECT_EQ(route.rules.at(0).filters.at(0).kind_case, OpaqueRoute_Filter::KindCase::forbidden);
  }
}

TEST_F(Outbound, TheApplicationsProtocolCountsFirst) {
  const std::pair<std::string_view, KindCase> cases[] = {{"http", KindCase::http1},
                                                         {"kubernetes.io/h2c", KindCase::http2},
                                                         {"linkerd.io/tcp", KindCase::opaque},
                                                         {"linkerd.io/opaque", KindCase::opaque},
                                                         {"mysql", KindCase::opaque}};
  for (const auto& [app, kind] : cases) {
    service(concat("{clusterIP: 10.96.0.1, ports: [{port: 3306, appProtocol: ", app, "}]}"));
    EXPECT_EQ(at("10.96.0.1:3306")->protocol->kind_case, kind) << app;
  }
}

TEST_F(Outbound, OpaquePorts) {
  EXPECT_EQ(at("10.96.0.1:3306")->protocol->kind_case, KindCase::opaque);
  service("{clusterIP: 10.96.0.1, ports: [{port: 80, name: http}, {port: 3306, name: db}]}",
          "config.linkerd.io/opaque-ports: '80'");
  EXPECT_EQ(at("10.96.0.1:80")->protocol->kind_case, KindCase::opaque);
  EXPECT_EQ(at("10.96.0.1:3306")->protocol->kind_case, KindCase::detect);
  add("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: "
      "{config.linkerd.io/opaque-ports: '80'}}\n");
  service("{clusterIP: 10.96.0.1, ports: [{port: 80}]}");
  EXPECT_EQ(at("10.96.0.1:80")->protocol->kind_case, KindCase::opaque);
}

TEST_F(Outbound, ByName) {
  for (const auto name : {"web.shop.svc.cluster.local:80", "web.shop.svc", "web.shop.svc.:80"}) {
    const auto policy = named(name);
    ASSERT_TRUE(policy) << name;
    EXPECT_EQ(policy->metadata->resource->port, 80U);
  }
  // Whether it exists is for its endpoints to say.
  const auto unknown = named("none.shop.svc:3306");
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->protocol->kind_case, KindCase::opaque);
}

TEST_F(Outbound, InsideOfTheClusterTheProfileDecides) {
  EXPECT_EQ(at("10.1.2.3:80").status().code, grpc::Code::NotFound);
  EXPECT_EQ(at("[fd00::99]:80").status().code, grpc::Code::NotFound);
}

TEST_F(Outbound, OutsideOfTheClusterTrafficGoesOn) {
  const auto policy = at("192.0.2.1:443");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->metadata->default_, "egress-fallback");
  ASSERT_EQ(policy->protocol->kind_case, KindCase::detect);
  const auto& backend = *policy->protocol->detect->opaque->routes[0]
                             .rules[0]
                             .backends->first_available->backends[0]
                             .backend;
  EXPECT_EQ(backend.metadata->default_, "egress-fallback");
  EXPECT_EQ(backend.forward->addr->port, 443U);
  EXPECT_EQ(backend.forward->weight, 1U);
  EXPECT_TRUE(backend.queue.has_value());
}

TEST_F(Outbound, EgressNetworks) {
  const auto egress = [&](std::string_view name, std::string_view ns, std::string_view spec) {
    add(concat("apiVersion: policy.linkerd.io/v1alpha1\nkind: EgressNetwork\nmetadata: {name: ",
               name, ", namespace: ", ns, "}\nspec: ", spec, "\n"));
  };
  const auto name_at = [&](std::string_view address, std::string_view source = "shop:client") {
    return at(address, source)->metadata->resource->name;
  };
  egress("global", "linkerd-egress", "{trafficPolicy: Deny}");
  EXPECT_EQ(name_at("192.0.2.1:443"), "global");
  const auto denied = at("192.0.2.1:443");
  EXPECT_EQ(denied->protocol->detect->opaque->routes[0].rules[0].filters[0].kind_case,
            OpaqueRoute_Filter::KindCase::forbidden);
  EXPECT_EQ(denied->protocol->detect->http1->routes[0].rules[0].filters[0].failure_injector->status,
            403U);
  EXPECT_EQ(denied->protocol->detect->http2->routes[0].metadata->default_, "http-egress-deny");
  config.global_egress_namespace = "elsewhere";
  EXPECT_EQ(at("192.0.2.1:443")->metadata->default_, "egress-fallback");
  config.global_egress_namespace = "linkerd-egress";
  // Not for what is inside of the cluster.
  EXPECT_EQ(at("10.1.2.3:80").status().code, grpc::Code::NotFound);
  egress("wide", "shop",
         "{trafficPolicy: Allow, networks: [{cidr: 192.0.0.0/8, except: [192.0.3.0/24]}]}");
  egress("narrow", "shop", "{trafficPolicy: Deny, networks: [{cidr: 192.0.2.0/24}]}");
  EXPECT_EQ(name_at("192.0.2.1:443"), "narrow");
  EXPECT_EQ(name_at("192.0.9.1:443"), "wide");
  // A namespace that has any is not under the mesh-wide ones, whether its own match or not.
  EXPECT_EQ(at("192.0.3.1:443")->metadata->default_, "egress-fallback");
  EXPECT_EQ(name_at("192.0.2.1:443", "other:client"), "global");
  EXPECT_EQ(at("192.0.9.1:443")->protocol->detect->http1->routes[0].metadata->default_,
            "http-egress-allow");
  EXPECT_TRUE(at("192.0.9.1:443")->protocol->detect->http1->routes[0].rules[0].filters.empty());
}

// An EgressNetwork that cannot be read may deny: nothing leaves until it can be.
TEST_F(Outbound, WhatABrokenEgressNetworkMayDenyIsDenied) {
  Closure closure;
  closure.ns = "shop";
  closure.egress = true;
  index.close("new.yaml", {closure});
  const auto denied = at("192.0.2.1:443");
  EXPECT_EQ(denied->protocol->detect->opaque->routes[0].rules[0].filters[0].kind_case,
            OpaqueRoute_Filter::KindCase::forbidden);
  EXPECT_EQ(at("192.0.2.1:443", "other:client")->metadata->default_, "egress-fallback");
  closure.ns = config.global_egress_namespace;
  index.close("new.yaml", {closure});
  EXPECT_EQ(
      at("192.0.2.1:443", "other:client")->protocol->detect->http1->routes[0].metadata->default_,
      "http-egress-deny");
  index.close("new.yaml", {});
  EXPECT_EQ(at("192.0.2.1:443")->metadata->default_, "egress-fallback");
}

}  // namespace
}  // namespace tulle::control
