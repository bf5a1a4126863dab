// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>

#include "lib/base/text.h"
#include "proto/message.h"
#include "proxy/snapshot/convert.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

namespace pbi = pb::inbound;
using test::peer;

struct Noted {
  std::vector<std::string> features;
  Unsupported note = [this](std::string_view feature) { features.emplace_back(feature); };
};

pb::meta::Metadata resource(const std::string& kind, const std::string& name) {
  pb::meta::Metadata meta;
  meta.kind_case = pb::meta::Metadata::KindCase::resource;
  pb::meta::Resource& made = meta.resource.make();
  made.group = "policy.linkerd.io";
  made.kind = kind;
  made.name = name;
  made.port = 70'000;  // out of range: none
  return meta;
}
pbi::Network network(const std::string& cidr) {
  const net::Cidr parsed = *net::Cidr::parse(cidr);
  pbi::Network made;
  pb::net::IPNetwork& net = made.net.make();
  net.ip = *address_to({parsed.ip, 1}).ip;
  net.prefix_len = parsed.prefix;
  return made;
}
pbi::Authz authz(const std::string& name, std::vector<std::string> cidrs = {"0.0.0.0/0"}) {
  pbi::Authz made;
  for (const std::string& cidr : cidrs) made.networks.push_back(network(cidr));
  pbi::Authn& authn = made.authentication.make();
  authn.permit_case = pbi::Authn::PermitCase::unauthenticated;
  authn.unauthenticated.make();
  made.metadata = resource("authorizationpolicy", name);
  return made;
}
pbi::Authz mesh_authz(const std::string& name, const std::string& identity,
                      std::vector<std::string> suffix = {}) {
  pbi::Authz made = authz(name);
  made.authentication->permit_case = pbi::Authn::PermitCase::meshTLS;
  pbi::Authn_PermitMeshTLS& mesh = made.authentication->meshTLS.make();
  mesh.clients_case = pbi::Authn_PermitMeshTLS::ClientsCase::identities;
  auto& clients = mesh.identities.make();
  if (!identity.empty()) clients.identities.push_back({identity});
  if (!suffix.empty()) clients.suffixes.push_back({std::move(suffix)});
  return made;
}
pbi::Server detect(std::vector<pbi::Authz> list = {}) {
  pbi::Server server;
  server.labels = {{"group", "policy.linkerd.io"}, {"kind", "server"}, {"name", "web-http"}};
  pbi::ProxyProtocol& protocol = server.protocol.make();
  protocol.kind_case = pbi::ProxyProtocol::KindCase::detect;
  protocol.detect.make().timeout = pb::to_pb(Duration(10s));
  server.authorizations = std::move(list);
  return server;
}
pbi::HttpRoute route(const std::string& name, const std::string& path) {
  pbi::HttpRoute made;
  made.metadata = resource("HTTPRoute", name);
  auto& rule = made.rules.emplace_back();
  auto& match = rule.matches.emplace_back();
  match.path.make().kind_case = pb::http_route::PathMatch::KindCase::exact;
  match.path->exact = path;
  return made;
}
ServerPolicyPtr convert(const pbi::Server& server, Noted& noted,
                        const ServerPolicy* previous = nullptr) {
  return server_policy_from(server, previous, noted.note);
}

TEST(ServerPolicy, DetectWithAuthorizations) {
  Noted noted;
  const ServerPolicyPtr policy = convert(
      detect({authz("nets", {"10.0.0.0/8"}), mesh_authz("named", "a.b", {"ops", "example"})}),
      noted);
  EXPECT_EQ(policy->invalid, "");
  EXPECT_EQ(policy->protocol, ServerPolicy::Protocol::Detect);
  EXPECT_EQ(policy->detect_timeout, 10s);
  EXPECT_EQ(policy->meta, (Meta{"policy.linkerd.io", "server", "", "web-http", "", 0}));
  ASSERT_EQ(policy->authorizations.size(), 3U);  // and localhost
  EXPECT_EQ(find_permit(policy->authorizations, peer("10.1.1.1"))->meta.name, "nets");
  EXPECT_EQ(find_permit(policy->authorizations, peer("11.1.1.1", "x.ops.example"))->meta.name,
            "named");
  EXPECT_EQ(find_permit(policy->authorizations, peer("11.1.1.1")), nullptr);
  EXPECT_EQ(find_permit(policy->authorizations, peer("127.0.0.1"))->meta,
            Meta::implicit("localhost"));
  // Without routes there is one for everything.
  ASSERT_EQ(policy->routes.size(), 1U);
  EXPECT_EQ(policy->routes[0].meta, Meta::implicit("default"));
  EXPECT_EQ(policy->routes[0].authorizations.size(), 3U);
  EXPECT_TRUE(noted.features.empty());
}

TEST(ServerPolicy, NoAuthorizationsAdmitLoopbackOnly) {
  Noted noted;
  const ServerPolicyPtr policy = convert(detect(), noted);
  EXPECT_EQ(find_permit(policy->authorizations, peer("10.0.0.1", "anybody")), nullptr);
  EXPECT_NE(find_permit(policy->authorizations, peer("127.0.0.1")), nullptr);
}

TEST(ServerPolicy, ARoutesOwnAuthorizationsComeBeforeTheServers) {
  Noted noted;
  pbi::Server server = detect({authz("of-server", {"10.0.0.0/8"})});
  server.protocol->detect->http_routes.push_back(route("r", "/healthz"));
  server.protocol->detect->http_routes[0].authorizations.push_back(
      authz("of-route", {"10.9.0.0/16"}));
  const ServerPolicyPtr policy = convert(server, noted);
  ASSERT_EQ(policy->routes.size(), 1U);
  const auto& list = policy->routes[0].authorizations;
  EXPECT_EQ(find_permit(list, peer("10.9.0.1"))->meta.name, "of-route");
  EXPECT_EQ(find_permit(list, peer("10.8.0.1"))->meta.name, "of-server");
  EXPECT_EQ(find_permit(policy->authorizations, peer("10.9.0.1"))->meta.name, "of-server");
  EXPECT_EQ(policy->routes[0].meta.port, 0);
}

// Protocols that are HTTP only have no authorizations for bytes: what is not HTTP is denied there.
TEST(ServerPolicy, ProtocolsWithoutBytes) {
  using Kind = pbi::ProxyProtocol::KindCase;
  for (const Kind kind : {Kind::http1, Kind::http2, Kind::grpc, Kind::opaque, Kind::tls}) {
    Noted noted;
    pbi::Server server = detect({authz("all")});
    server.protocol = pbi::ProxyProtocol{};
    server.protocol->kind_case = kind;
    server.protocol->http1.make();
    server.protocol->http2.make();
    server.protocol->grpc.make();
    server.protocol->opaque.make();
    server.protocol->tls.make();
    const ServerPolicyPtr policy = convert(server, noted);
    EXPECT_EQ(policy->invalid, "");
    const bool bytes = kind == Kind::opaque || kind == Kind::tls;
    EXPECT_EQ(policy->authorizations.empty(), !bytes);
    EXPECT_EQ(find_permit(policy->authorizations, peer("10.0.0.1")) != nullptr, bytes);
  }
}

TEST(ServerPolicy, LabelsWithoutAGroupOrWithADefault) {
  Noted noted;
  pbi::Server server = detect();
  server.labels = {{"name", "default:all-authenticated"}};
  EXPECT_EQ(convert(server, noted)->meta, Meta::implicit("all-authenticated"));
  server.labels = {{"name", "deny"}, {"group", ""}, {"kind", "default"}};
  EXPECT_EQ(convert(server, noted)->meta, Meta::implicit("deny"));
  server.labels = {{"name", "x"}};
  EXPECT_EQ(convert(server, noted)->meta, (Meta{"policy.linkerd.io", "server", "", "x", "", 0}));
  pbi::Authz old = authz("");
  old.metadata = {};
  old.labels = {{"name", "legacy"}};
  server.authorizations = {old};
  EXPECT_EQ(convert(server, noted)->authorizations[0].meta,
            (Meta{"policy.linkerd.io", "serverauthorization", "", "legacy", "", 0}));
}

TEST(ServerPolicy, WhatIsMalformedMakesAllOfItInvalid) {
  const auto broken = [](const std::function<void(pbi::Server&)>& change) {
    Noted noted;
    pbi::Server server = detect({authz("all")});
    server.protocol->detect->http_routes.push_back(route("r", "/a"));
    change(server);
    const ServerPolicyPtr policy = convert(server, noted);
    EXPECT_NE(policy->invalid, "");
    EXPECT_EQ(policy->meta, Meta::implicit("invalid"));
    EXPECT_TRUE(policy->authorizations.empty());  // not even bytes from loopback
    EXPECT_EQ(policy->protocol, ServerPolicy::Protocol::Detect);
  };
  broken([](pbi::Server& s) { s.protocol = {}; });
  broken([](pbi::Server& s) { s.labels.erase("name"); });
  broken([](pbi::Server& s) { s.protocol->detect->timeout = {}; });
  broken([](pbi::Server& s) { s.protocol->detect->timeout->seconds = -1; });
  broken([](pbi::Server& s) { s.authorizations[0].networks.clear(); });
  broken([](pbi::Server& s) { s.authorizations[0].authentication = {}; });
  broken([](pbi::Server& s) { s.authorizations[0].networks[0].net = {}; });
  broken([](pbi::Server& s) { s.authorizations[0].networks[0].net->prefix_len = 33; });
  broken([](pbi::Server& s) { s.authorizations[0].networks[0].except.emplace_back(); });
  broken([](pbi::Server& s) { s.authorizations[0].metadata = pb::meta::Metadata{}; });
  broken([](pbi::Server& s) { s.protocol->detect->http_routes[0].metadata = {}; });
  broken([](pbi::Server& s) { s.protocol->detect->http_routes[0].hosts.emplace_back(); });
  broken([](pbi::Server& s) {
    s.protocol->detect->http_routes[0].rules[0].matches[0].path->kind_case =
        pb::http_route::PathMatch::KindCase::none;
  });
  broken([](pbi::Server& s) {
    auto& path = *s.protocol->detect->http_routes[0].rules[0].matches[0].path;
    path.kind_case = pb::http_route::PathMatch::KindCase::regex;
    path.regex = "(";
  });
  broken([](pbi::Server& s) {
    s.protocol->detect->http_local_rate_limit.make().metadata = pb::meta::Metadata{};
  });
}

// Design rule 3.9: what a newer control plane sends in these places and we do not know restricts,
// and is counted.
TEST(ServerPolicy, UnknownMembersFailClosedAndAreCounted) {
  const std::string unknown = "\xfa\x01\x00";  // field 31, empty
  {
    Noted noted;
    pbi::Server server = detect({authz("odd")});
    server.authorizations[0].authentication =
        *pb::decode_message<pbi::Authn>(as_bytes(std::string_view(unknown.data(), 3)));
    const ServerPolicyPtr policy = convert(server, noted);
    EXPECT_EQ(policy->invalid, "");
    EXPECT_EQ(find_permit(policy->authorizations, peer("10.0.0.1", "anybody")), nullptr);
    EXPECT_EQ(noted.features, std::vector<std::string>{"authorization kind"});
  }
  {
    Noted noted;
    pbi::Server server = detect({mesh_authz("odd", "a")});
    server.authorizations[0].authentication->meshTLS =
        *pb::decode_message<pbi::Authn_PermitMeshTLS>(
            as_bytes(std::string_view(unknown.data(), 3)));
    EXPECT_EQ(find_permit(convert(server, noted)->authorizations, peer("10.0.0.1", "a")), nullptr);
    EXPECT_EQ(noted.features, std::vector<std::string>{"authorization client kind"});
  }
  {
    Noted noted;
    pbi::Server server = detect({authz("all")});
    server.protocol =
        *pb::decode_message<pbi::ProxyProtocol>(as_bytes(std::string_view(unknown.data(), 3)));
    EXPECT_NE(convert(server, noted)->invalid, "");
    EXPECT_EQ(noted.features, std::vector<std::string>{"server protocol"});
  }
  {
    Noted noted;
    pbi::Server server = detect({authz("all")});
    server.protocol->detect->http_routes.push_back(route("r", "/a"));
    server.protocol->detect->http_routes[0].rules[0].filters.emplace_back();
    const ServerPolicyPtr policy = convert(server, noted);
    EXPECT_EQ(policy->invalid, "");
    EXPECT_EQ(policy->routes[0].rules[0].filters[0].kind, Filter::Kind::Unsupported);
    EXPECT_EQ(noted.features, std::vector<std::string>{"inbound route filter"});
  }
}

TEST(ServerPolicy, RateLimitsKeepTheirBucketsWhileTheyStayTheSame) {
  Noted noted;
  pbi::Server server = detect({authz("all")});
  auto& limit = server.protocol->detect->http_local_rate_limit.make();
  limit.metadata = resource("HTTPLocalRateLimitPolicy", "rl");
  limit.total.make().requestsPerSecond = 1;
  const ServerPolicyPtr first = convert(server, noted);
  ASSERT_TRUE(first->rate_limit);
  const TimePoint now{1000s};
  EXPECT_EQ(first->rate_limit->admit("", now), RateLimit::Scope::None);
  const ServerPolicyPtr same = convert(server, noted, first.get());
  EXPECT_EQ(same->rate_limit, first->rate_limit);
  EXPECT_EQ(same->rate_limit->admit("", now), RateLimit::Scope::Total);
  limit.total->requestsPerSecond = 2;
  EXPECT_NE(convert(server, noted, first.get())->rate_limit, first->rate_limit);
}

TEST(DefaultServerPolicy, OfTheEnvironment) {
  const auto policy = [](const std::string& name, std::uint16_t port = 8080) {
    return default_server_policy(
        test::small_config({{"INBOUND_DEFAULT_POLICY", name},
                            {"INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", "25,3306"}}),
        port);
  };
  const auto admits = [&](const std::string& name, const Peer& who) {
    const ServerPolicyPtr made = policy(name);
    EXPECT_EQ(made->meta, Meta::implicit(name));
    EXPECT_EQ(made->routes.size(), 1U);
    const Authorization* const permit = find_permit(made->authorizations, who);
    EXPECT_EQ(find_permit(made->routes[0].authorizations, who) != nullptr, permit != nullptr);
    return permit != nullptr;
  };
  EXPECT_FALSE(admits("deny", peer("10.0.0.1", "a.b")));
  EXPECT_TRUE(admits("deny", peer("127.0.0.1")));
  EXPECT_TRUE(admits("all-unauthenticated", peer("8.8.8.8")));
  EXPECT_FALSE(admits("all-authenticated", peer("8.8.8.8")));
  EXPECT_TRUE(admits("all-authenticated", peer("8.8.8.8", "a.b")));
  EXPECT_FALSE(admits("cluster-authenticated", peer("8.8.8.8", "a.b")));
  EXPECT_TRUE(admits("cluster-authenticated", peer("10.8.8.8", "a.b")));
  EXPECT_TRUE(admits("cluster-unauthenticated", peer("10.8.8.8")));
  EXPECT_FALSE(admits("cluster-unauthenticated", peer("8.8.8.8")));
  EXPECT_TRUE(admits("audit", peer("8.8.8.8")));
  EXPECT_TRUE(find_permit(policy("audit")->authorizations, peer("8.8.8.8"))->audit);
  EXPECT_EQ(policy("deny")->protocol, ServerPolicy::Protocol::Detect);
  EXPECT_EQ(policy("deny", 3306)->protocol, ServerPolicy::Protocol::Opaque);
}

TEST(ServerPolicyUntilKnown, IsClosed) {
  const Config config = test::small_config({{"INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", "3306"}});
  const ServerPolicyPtr policy = server_policy_until_known(config, 8080);
  EXPECT_FALSE(policy->known);
  EXPECT_EQ(policy->protocol, ServerPolicy::Protocol::Detect);
  EXPECT_EQ(find_permit(policy->authorizations, peer("127.0.0.1")), nullptr);
  EXPECT_TRUE(policy->routes.empty());
  EXPECT_EQ(server_policy_until_known(config, 3306)->protocol, ServerPolicy::Protocol::Opaque);
}

// Policies are told by whom the identity service in this pod has certified.
TEST(ServerPolicyUntilKnown, IsTheDefaultWhereCertificatesComeFrom) {
  const auto known = [](const char* identity, const char* policy) {
    return server_policy_until_known(test::small_config({{"IDENTITY_SVC_ADDR", identity},
                                                         {"POLICY_SVC_ADDR", policy},
                                                         {"POLICY_SVC_NAME", "policy.linkerd.id"}}),
                                     8080)
        ->known;
  };
  EXPECT_TRUE(known("localhost.:8080", "10.0.0.1:8090"));
  EXPECT_FALSE(known("localhost.:8080", "localhost.:8090"));
  EXPECT_FALSE(known("127.0.0.1:8080", "10.0.0.1:8090"));
}

}  // namespace
}  // namespace tulle::proxy
