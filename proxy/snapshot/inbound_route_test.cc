// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "proxy/snapshot/server_policy.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

Authorization from_network(const char* network) {
  Authorization authorization;
  authorization.kind = Authorization::Kind::Unauthenticated;
  authorization.networks = {{*net::Cidr::parse(network), {}}};
  return authorization;
}

RuleBase get_of(PathMatch::Kind kind, const char* path) {
  RouteMatch match;
  match.path = {kind, path, nullptr};
  match.method = "GET";
  return {{match}, {}};
}

// A probe of /ready?x=1 and one of /, from 10.0.0.1, beside a route that admits nobody from there.
ServerPolicy probed() {
  ServerPolicy policy;
  for (const char* const target : {"/ready?x=1", "/"}) {
    InboundRoute& probe = policy.routes.emplace_back();
    probe.probe_target = target;
    const std::string path(probe.probe_target.substr(0, probe.probe_target.find('?')));
    probe.rules = {get_of(PathMatch::Kind::Exact, path.c_str())};
    // The second is for proxies that do not know probes.
    probe.authorizations = {from_network("10.0.0.1/32"), from_network("0.0.0.0/0")};
  }
  InboundRoute& route = policy.routes.emplace_back();
  route.authorizations = {from_network("172.16.0.0/12")};
  RuleBase ready = get_of(PathMatch::Kind::Exact, "/ready");
  ready.matches[0].headers.push_back({"x-a", "b", nullptr});
  route.rules = {get_of(PathMatch::Kind::Prefix, ""), ready};
  return policy;
}

std::size_t route_of(const ServerPolicy& policy, const char* path, const char* from,
                     const char* method = "GET") {
  const auto found = find_inbound_route(policy, test::request(method, path, "web", {{"x-a", "b"}}),
                                        test::peer(from));
  return found ? found->route : 99;
}

TEST(InboundRoute, AProbeIsMetByItsNodeOnly) {
  const ServerPolicy policy = probed();
  EXPECT_EQ(route_of(policy, "/ready?x=1", "10.0.0.1"), 0U) << "however well another route fits";
  EXPECT_EQ(route_of(policy, "/", "10.0.0.1"), 1U);
  for (const char* const from : {"10.0.0.2", "172.16.0.1", "8.8.8.8"}) {
    EXPECT_EQ(route_of(policy, "/ready?x=1", from), 2U) << from;
    EXPECT_EQ(route_of(policy, "/", from), 2U) << from;
  }
}

TEST(InboundRoute, AProbeIsItsPathAndQueryAndNothingElse) {
  const ServerPolicy policy = probed();
  for (const char* const path : {"/ready", "/ready?x=2", "/ready?x=1&y", "/ready?", "/?", "/?x=1",
                                 "//", "/ready/?x=1", "/READY?x=1", "/ready?x=%31"}) {
    EXPECT_EQ(route_of(policy, path, "10.0.0.1"), 2U) << path;
  }
  EXPECT_EQ(route_of(policy, "/", "10.0.0.1", "POST"), 99U);
}

}  // namespace
}  // namespace tulle::proxy
