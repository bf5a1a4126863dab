// SPDX-License-Identifier: Apache-2.0
#include "control/status/status.h"

#include <gtest/gtest.h>

#include "control/testing.h"

namespace tulle::control {
namespace {

class Status : public ::testing::Test {
 protected:
  Status() {
    config.cluster_networks = {*net::Cidr::parse("10.0.0.0/8")};
    add("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: "
        "10.96.0.1, ports: [{port: 80}]}\n");
    add("apiVersion: v1\nkind: Service\nmetadata: {name: bare, namespace: shop}\nspec: {clusterIP: "
        "None, ports: [{port: 80}]}\n");
    add("apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: http, namespace: "
        "shop}\nspec: {podSelector: {}, port: 80}\n");
  }
  void add(std::string_view yaml) { put_yaml(index, yaml); }
  void add_route(std::string_view kind, std::string_view name, std::string_view parents,
                 std::string_view backends = "[]", std::string_view ns = "shop") {
    const std::string_view api = kind == "PolicyRoute" ? "policy.linkerd.io/v1beta3"
                                 : kind == "TCPRoute"  ? "gateway.networking.k8s.io/v1alpha2"
                                                       : "gateway.networking.k8s.io/v1";
    add(concat("apiVersion: ", api, "\nkind: ", kind == "PolicyRoute" ? "HTTPRoute" : kind,
               "\nmetadata: {name: ", name, ", namespace: ", ns, "}\nspec: {parentRefs: ", parents,
               ", rules: [{backendRefs: ", backends, "}]}\n"));
  }
  // "ns/name Accepted=True(Accepted) ResolvedRefs=False(InvalidKind); …"
  template <typename Route = k8s::HttpRoute>
  std::string status(std::string_view name) {
    std::string out;
    const View view(index);
    for (const Route* const route : view.all<Route>()) {
      if (route->meta.name != name) continue;
      for (const auto& entry : route_status(view, config, *route)) {
        EXPECT_EQ(entry.controller, "linkerd.io/policy-controller");
        out += concat(out.empty() ? "" : "; ", *entry.parent.group, "/", entry.parent.ns, "/",
                      entry.parent.name);
        for (const auto& c : entry.conditions)
          out += concat(" ", c.type, "=", c.status, "(", c.reason, ")");
      }
    }
    return out;
  }
  Index index;
  MeshConfig config;
};

constexpr std::string_view kServer = "[{group: policy.linkerd.io, kind: Server, name: http}]";
constexpr std::string_view kService = "[{group: '', kind: Service, name: web, port: 80}]";

TEST_F(Status, ParentsAcceptWhatIsThere) {
  add_route("HTTPRoute", "a", kServer);
  EXPECT_EQ(status("a"), "policy.linkerd.io/shop/http Accepted=True(Accepted)");
  add_route("HTTPRoute", "b", "[{group: policy.linkerd.io, kind: Server, name: none}]");
  EXPECT_EQ(status("b"), "policy.linkerd.io/shop/none Accepted=False(NoMatchingParent)");
  add_route("HTTPRoute", "c", kServer, "[]", "other");
  EXPECT_EQ(status("c"), "policy.linkerd.io/other/http Accepted=False(NoMatchingParent)");
  add_route("HTTPRoute", "d",
            "[{group: core, kind: Service, name: bare}, {group: '', kind: Service, name: web}]");
  EXPECT_EQ(status("d"),
            "core/shop/bare Accepted=False(NoMatchingParent) ResolvedRefs=True(ResolvedRefs); "
            "core/shop/web Accepted=True(Accepted) ResolvedRefs=True(ResolvedRefs)");
}

TEST_F(Status, ParentsOfOtherControllersAreNotOurs) {
  add_route("HTTPRoute", "a", "[{name: gateway}, {group: '', kind: Service, name: web}]");
  EXPECT_EQ(status("a"), "core/shop/web Accepted=True(Accepted) ResolvedRefs=True(ResolvedRefs)");
}

TEST_F(Status, BackendsMustExistAndBeOfAKindThatCanBe) {
  add_route("HTTPRoute", "a", kService, "[{name: none, port: 80}]");
  EXPECT_EQ(status("a"),
            "core/shop/web Accepted=True(Accepted) ResolvedRefs=False(BackendNotFound)");
  add_route("HTTPRoute", "b", kService,
            "[{name: web, port: 80}, {group: x.io, kind: Thing, name: thing}]");
  EXPECT_EQ(status("b"), "core/shop/web Accepted=True(Accepted) ResolvedRefs=False(InvalidKind)");
  add("apiVersion: policy.linkerd.io/v1alpha1\nkind: EgressNetwork\nmetadata: {name: all, "
      "namespace: shop}\nspec: {trafficPolicy: Allow}\n");
  add_route("HTTPRoute", "c", kService,
            "[{group: policy.linkerd.io, kind: EgressNetwork, name: all}]");
  EXPECT_EQ(status("c"), "core/shop/web Accepted=True(Accepted) ResolvedRefs=False(InvalidKind)");
  add_route("HTTPRoute", "d",
            "[{group: policy.linkerd.io, kind: EgressNetwork, name: all, port: 80}]",
            "[{group: policy.linkerd.io, kind: EgressNetwork, name: all}]");
  EXPECT_EQ(status("d"),
            "policy.linkerd.io/shop/all Accepted=True(Accepted) ResolvedRefs=True(ResolvedRefs)");
}

TEST_F(Status, OneKindOfRouteHasAParent) {
  add_route("HTTPRoute", "h", kService);
  add_route("PolicyRoute", "p", kService);
  add_route("TCPRoute", "t", kService);
  EXPECT_EQ(status("h"), "core/shop/web Accepted=True(Accepted) ResolvedRefs=True(ResolvedRefs)");
  EXPECT_EQ(status<k8s::PolicyHttpRoute>("p"), status("h")) << "both groups are one kind";
  EXPECT_EQ(status<k8s::TcpRoute>("t"),
            "core/shop/web Accepted=False(RouteReasonConflicted) ResolvedRefs=True(ResolvedRefs)");
  add_route("GRPCRoute", "g", kService);
  EXPECT_EQ(status("h"),
            "core/shop/web Accepted=False(RouteReasonConflicted) ResolvedRefs=True(ResolvedRefs)");
  add_route("GRPCRoute", "g", "[{group: '', kind: Service, name: web, port: 81}]");
  EXPECT_EQ(status("h"), "core/shop/web Accepted=True(Accepted) ResolvedRefs=True(ResolvedRefs)")
      << "another port is another parent";
}

TEST_F(Status, TheOldestRateLimitHasTheServer) {
  const auto limit = [&](std::string_view name, std::string_view created, std::string_view server) {
    add(concat(
        "apiVersion: policy.linkerd.io/v1alpha1\nkind: HTTPLocalRateLimitPolicy\nmetadata: {name: ",
        name, ", namespace: shop, creationTimestamp: '", created,
        "'}\nspec: {targetRef: {group: policy.linkerd.io, "
        "kind: Server, name: ",
        server, "}, total: {requestsPerSecond: 5}}\n"));
  };
  limit("young", "2026-02-01T00:00:00Z", "http");
  limit("old", "2026-01-01T00:00:00Z", "http");
  limit("lost", "2026-01-01T00:00:00Z", "none");
  std::string all;
  const View view(index);
  for (const auto* const policy : view.all<k8s::HttpLocalRateLimitPolicy>()) {
    const auto status = rate_limit_status(view, *policy);
    EXPECT_EQ(status.target->name, policy->spec.target.name);
    all += concat(policy->meta.name, "=", status.conditions.at(0).reason, " ");
  }
  EXPECT_EQ(all, "lost=NoMatchingTarget old=Accepted young=RateLimitReasonAlreadyExists ");
}

TEST_F(Status, AnEgressNetworkIsOutsideOfTheCluster) {
  const auto reason = [&](std::string_view networks) {
    add(
        concat("apiVersion: policy.linkerd.io/v1alpha1\nkind: EgressNetwork\nmetadata: {name: e, "
               "namespace: shop}\n"
               "spec: {trafficPolicy: Deny",
               networks, "}\n"));
    return egress_status(config, *View(index).all<k8s::EgressNetwork>().at(0))
        .conditions.at(0)
        .reason;
  };
  EXPECT_EQ(reason(""), "Accepted");
  EXPECT_EQ(reason(", networks: [{cidr: 93.0.0.0/8}]"), "Accepted");
  EXPECT_EQ(reason(", networks: [{cidr: 10.2.0.0/16}]"), "EgressReasonNetworkOverlap");
  EXPECT_EQ(reason(", networks: [{cidr: 0.0.0.0/0}]"), "EgressReasonNetworkOverlap");
  EXPECT_EQ(reason(", networks: [{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}]"), "Accepted");
}

}  // namespace
}  // namespace tulle::control
