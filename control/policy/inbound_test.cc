// SPDX-License-Identifier: Apache-2.0
#include "control/policy/inbound.h"

#include <gtest/gtest.h>

#include "control/testing.h"
#include "proto/message.h"

namespace tulle::control {
namespace {

using ServerMessage = pb::inbound::Server;
using KindCase = pb::inbound::ProxyProtocol::KindCase;

std::string cidr_of(const pb::inbound::Network& network) {
  std::string text = network.net->ip->ip_case == pb::net::IPAddress::IpCase::ipv4
                         ? net::IpAddr::v4(network.net->ip->ipv4).to_string()
                         : "v6";
  text += "/" + std::to_string(network.net->prefix_len);
  for (const auto& hole : network.except) {
    text +=
        "-" + net::IpAddr::v4(hole.ip->ipv4).to_string() + "/" + std::to_string(hole.prefix_len);
  }
  return text;
}

// "authorizationpolicy/name: 10.0.0.0/8 web.shop… *.x" in one line.
std::string text_of(const pb::inbound::Authz& authz) {
  std::string out =
      authz.metadata->kind_case == pb::meta::Metadata::KindCase::resource
          ? concat(authz.metadata->resource->kind, "/", authz.metadata->resource->name)
          : authz.metadata->default_;
  EXPECT_EQ(authz.labels.at("name"),
            authz.metadata->kind_case == pb::meta::Metadata::KindCase::resource
                ? authz.metadata->resource->name
                : authz.metadata->default_);
  out += ":";
  for (const auto& network : authz.networks) out += " " + cidr_of(network);
  using Permit = pb::inbound::Authn::PermitCase;
  if (authz.authentication->permit_case == Permit::unauthenticated) return out + " anyone";
  const auto& tls = *authz.authentication->meshTLS;
  if (tls.clients_case == pb::inbound::Authn_PermitMeshTLS::ClientsCase::unauthenticated) {
    return out + " tls";
  }
  for (const auto& identity : tls.identities->identities) out += " " + identity.name;
  for (const auto& suffix : tls.identities->suffixes) {
    out += " *";
    for (const auto& part : suffix.parts) out += "." + part;
  }
  return out;
}

class Inbound : public ::testing::Test {
 protected:
  Inbound() {
    config.cluster_networks = {*net::Cidr::parse("10.0.0.0/8")};
    add_pod("");
  }
  void add(std::string_view yaml) { put_yaml(index, yaml); }
  void add_pod(std::string_view annotations, std::string_view containers = "") {
    add(concat(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop, labels: {app: web, "
        "linkerd.io/control-plane-ns: linkerd}, annotations: {",
        annotations,
        "}}\nspec: {containers: [{name: app, ports: [{name: http, containerPort: 8080}]",
        containers, "}, {name: linkerd-proxy}]}\n"));
  }
  void add_policy(std::string_view kind, std::string_view name, std::string_view spec,
                  std::string_view more = "", std::string_view ns = "shop") {
    add(concat("apiVersion: policy.linkerd.io/v1beta3\nkind: ", kind, "\nmetadata: {name: ", name,
               ", namespace: ", ns, more, "}\nspec: ", spec, "\n"));
  }
  ServerMessage get(std::uint32_t port = 8080) {
    const auto query = parse_port_query({.workload = "shop:web-0", .port = port});
    EXPECT_TRUE(query);
    const auto server = server_of(View(index), config, *query);
    EXPECT_TRUE(server);
    return *server;
  }
  std::string authorizations(std::uint32_t port = 8080) {
    std::string out;
    for (const auto& authz : get(port).authorizations) {
      if (!out.empty()) out += " | ";
      out += text_of(authz);
    }
    return out;
  }
  Index index;
  MeshConfig config;
};

TEST_F(Inbound, RefusesWhatItCannotFind) {
  for (const auto workload : {"", "shop", "{\"ns\":\"shop\"}"}) {
    EXPECT_EQ(parse_port_query({.workload = workload, .port = 80}).status().code,
              grpc::Code::InvalidArgument);
  }
  for (const std::uint32_t port : {0U, 65536U}) {
    EXPECT_EQ(parse_port_query({.workload = "shop:web-0", .port = port}).status().code,
              grpc::Code::InvalidArgument);
  }
  add("apiVersion: v1\nkind: Pod\nmetadata: {name: plain, namespace: shop}\n");
  for (const auto workload : {"shop:none", "other:web-0", "shop:plain",
                              "{\"ns\":\"shop\",\"external_workload\":\"vm\"}"}) {
    const auto query = parse_port_query({.workload = workload, .port = 80});
    ASSERT_TRUE(query) << workload;
    EXPECT_EQ(server_of(View(index), config, *query).status().code, grpc::Code::NotFound)
        << workload;
  }
}

TEST_F(Inbound, DefaultPolicies) {
  const struct {
    std::string_view mode, authorizations;
  } cases[] = {
      {"all-unauthenticated", "all-unauthenticated: 0.0.0.0/0 v6/0 anyone"},
      {"all-authenticated", "all-authenticated: 0.0.0.0/0 v6/0 *"},
      {"cluster-unauthenticated", "cluster-unauthenticated: 10.0.0.0/8 anyone"},
      {"cluster-authenticated", "cluster-authenticated: 10.0.0.0/8 *"},
      {"deny", ""},
      {"audit", "audit: 0.0.0.0/0 v6/0 anyone"},
  };
  for (const auto& c : cases) {
    add_pod("");
    config.default_inbound_policy = *parse_default_policy(c.mode);
    EXPECT_EQ(authorizations(), c.authorizations);
    EXPECT_EQ(get().labels,
              (std::map<std::string, std::string>{
                  {"group", ""}, {"kind", "default"}, {"name", std::string(c.mode)}}));
    config.default_inbound_policy = DefaultPolicy::Deny;
    add_pod(concat("config.linkerd.io/default-inbound-policy: ", c.mode));
    EXPECT_EQ(authorizations(), c.authorizations) << "by annotation";
  }
}

TEST_F(Inbound, AnnotationsOfTheNamespaceCountWhereThePodHasNone) {
  add("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: "
      "{config.linkerd.io/default-inbound-policy: deny, config.linkerd.io/opaque-ports: "
      "'8080'}}\n");
  EXPECT_EQ(authorizations(), "");
  EXPECT_EQ(get().protocol->kind_case, KindCase::opaque);
  add_pod(
      "config.linkerd.io/default-inbound-policy: all-unauthenticated, "
      "config.linkerd.io/opaque-ports: ''");
  EXPECT_EQ(authorizations(), "all-unauthenticated: 0.0.0.0/0 v6/0 anyone");
  EXPECT_EQ(get().protocol->kind_case, KindCase::detect);
  // What is no mode leaves it to the namespace.
  add_pod("config.linkerd.io/default-inbound-policy: everyone");
  EXPECT_EQ(authorizations(), "");
}

TEST_F(Inbound, PortsThatRequireIdentity) {
  constexpr std::string_view kAnnotation =
      "config.linkerd.io/proxy-require-identity-inbound-ports: '8080'";
  const std::pair<DefaultPolicy, std::string_view> cases[] = {
      {DefaultPolicy::AllUnauthenticated, "all-authenticated: 0.0.0.0/0 v6/0 *"},
      {DefaultPolicy::Audit, "all-authenticated: 0.0.0.0/0 v6/0 *"},
      {DefaultPolicy::ClusterUnauthenticated, "cluster-authenticated: 10.0.0.0/8 *"},
      {DefaultPolicy::Deny, ""},
  };
  add_pod(kAnnotation);
  for (const auto& [policy, expected] : cases) {
    config.default_inbound_policy = policy;
    EXPECT_EQ(authorizations(8080), expected);
  }
  config.default_inbound_policy = DefaultPolicy::AllUnauthenticated;
  EXPECT_EQ(authorizations(8081), "all-unauthenticated: 0.0.0.0/0 v6/0 anyone");
}

TEST_F(Inbound, ProtocolOfDefaults) {
  EXPECT_EQ(get(8080).protocol->kind_case, KindCase::detect);
  EXPECT_EQ(get(8080).protocol->detect->timeout->seconds, 10);
  EXPECT_EQ(get(3306).protocol->kind_case, KindCase::opaque);
  add_pod("config.linkerd.io/opaque-ports: http");
  EXPECT_EQ(get(8080).protocol->kind_case, KindCase::opaque);
  EXPECT_EQ(get(3306).protocol->kind_case, KindCase::detect);
}

TEST_F(Inbound, ProtocolOfServers) {
  const std::pair<std::string_view, KindCase> cases[] = {
      {"unknown", KindCase::detect}, {"HTTP/1", KindCase::http1},  {"HTTP/2", KindCase::http2},
      {"gRPC", KindCase::grpc},      {"opaque", KindCase::opaque}, {"TLS", KindCase::tls}};
  for (const auto& [name, kind] : cases) {
    add_policy("Server", "srv", concat("{port: http, podSelector: {}, proxyProtocol: ", name, "}"));
    const ServerMessage server = get();
    EXPECT_EQ(server.protocol->kind_case, kind) << name;
    EXPECT_EQ(server.labels.at("group"), "policy.linkerd.io");
    EXPECT_EQ(server.labels.at("kind"), "server");
    EXPECT_EQ(server.labels.at("name"), "srv");
  }
}

TEST_F(Inbound, RoutesAreTheDefaultOnes) {
  const auto routes = get().protocol->detect->http_routes;
  ASSERT_EQ(routes.size(), 1U);
  EXPECT_EQ(routes[0].metadata->default_, "default");
  EXPECT_EQ(routes[0].rules[0].matches[0].path->prefix, "/");
  EXPECT_TRUE(routes[0].authorizations.empty());
  add_policy("Server", "srv", "{port: 8080, podSelector: {}, proxyProtocol: gRPC}");
  const auto grpc_routes = get().protocol->grpc->routes;
  ASSERT_EQ(grpc_routes.size(), 1U);
  EXPECT_TRUE(grpc_routes[0].rules[0].matches[0].rpc.has_value());
}

TEST_F(Inbound, ProbesPassFromTheirNetworks) {
  add_pod("",
          ", livenessProbe: {httpGet: {path: '/live?full=1', port: http}}, readinessProbe: "
          "{httpGet: {port: 8080}}, "
          "startupProbe: {httpGet: {path: /other, port: 9999}}");
  EXPECT_EQ(get().protocol->detect->http_routes.size(), 1U);
  config.probe_networks = {*net::Cidr::parse("192.168.0.0/24")};
  const auto routes = get().protocol->detect->http_routes;
  ASSERT_EQ(routes.size(), 2U);
  EXPECT_EQ(routes[1].metadata->default_, "probe");
  ASSERT_EQ(routes[1].rules.size(), 2U);
  EXPECT_EQ(routes[1].rules[0].matches[0].path->exact, "/live");
  EXPECT_EQ(routes[1].rules[1].matches[0].path->exact, "/");
  const auto& method = *routes[1].rules[0].matches[0].method;
  EXPECT_EQ(method.type_case, pb::http_types::HttpMethod::TypeCase::registered);
  EXPECT_EQ(method.registered, pb::http_types::HttpMethod::Registered::GET);
  ASSERT_EQ(routes[1].authorizations.size(), 1U);
  EXPECT_EQ(text_of(routes[1].authorizations[0]), "probe: 192.168.0.0/24 anyone");
  EXPECT_EQ(get(9999).protocol->detect->http_routes.size(), 2U);
  EXPECT_EQ(get(80).protocol->detect->http_routes.size(), 1U);
}

TEST_F(Inbound, TheOldestServerWins) {
  add_policy("Server", "a", "{port: 8080, podSelector: {}}",
             ", creationTimestamp: '2026-02-01T00:00:00Z'");
  add_policy("Server", "b", "{port: 8080, podSelector: {}}",
             ", creationTimestamp: '2026-01-01T00:00:00Z'");
  EXPECT_EQ(get().labels.at("name"), "b");
  EXPECT_EQ(get(9090).labels.at("kind"), "default");
}

TEST_F(Inbound, ServersSelectByLabelsAndPort) {
  add_policy("Server", "a", "{port: 8080, podSelector: {matchLabels: {app: db}}}");
  EXPECT_EQ(get().labels.at("kind"), "default");
  add_policy(
      "Server", "a",
      "{port: http, podSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}}");
  EXPECT_EQ(get().labels.at("name"), "a");
  add_policy("Server", "a", "{port: admin, podSelector: {}}");
  EXPECT_EQ(get().labels.at("kind"), "default");
  add_policy("Server", "a", "{port: 8080, externalWorkloadSelector: {}}");
  EXPECT_EQ(get().labels.at("kind"), "default");
  // Servers of another namespace do not reach here.
  add_policy("Server", "a", "{port: 8080, podSelector: {}}", "", "other");
  EXPECT_EQ(get().labels.at("kind"), "default");
}

TEST_F(Inbound, AServerDeniesUnlessItsAccessPolicySaysElse) {
  add_policy("Server", "srv", "{port: 8080, podSelector: {}}");
  EXPECT_EQ(authorizations(), "");
  add_policy("Server", "srv", "{port: 8080, podSelector: {}, accessPolicy: cluster-authenticated}");
  EXPECT_EQ(authorizations(), "cluster-authenticated: 10.0.0.0/8 *");
}

class Authorizations : public Inbound {
 protected:
  Authorizations() {
    add_policy("Server", "srv", "{port: 8080, podSelector: {}}", ", labels: {tier: front}");
  }
  void policy(std::string_view refs,
              std::string_view target = "{group: policy.linkerd.io, kind: Server, name: srv}") {
    add_policy("AuthorizationPolicy", "ap",
               concat("{targetRef: ", target, ", requiredAuthenticationRefs: ", refs, "}"));
  }
};

TEST_F(Authorizations, OfPolicies) {
  policy("[]");
  EXPECT_EQ(authorizations(), "authorizationpolicy/ap: 0.0.0.0/0 v6/0 anyone");
  policy("[{kind: ServiceAccount, name: web}]");
  EXPECT_EQ(authorizations(),
            "authorizationpolicy/ap: 0.0.0.0/0 v6/0 "
            "web.shop.serviceaccount.identity.linkerd.cluster.local");
  policy("[{kind: ServiceAccount, name: web, namespace: other}]");
  EXPECT_EQ(authorizations(),
            "authorizationpolicy/ap: 0.0.0.0/0 v6/0 "
            "web.other.serviceaccount.identity.linkerd.cluster.local");
}

// Only identities are written with a star; no account's name holds one.
TEST_F(Authorizations, OfAccountsWhoseNamesHoldAStarAdmitNobody) {
  for (const std::string_view name : {"*", "*.x"}) {
    policy(concat("[{kind: ServiceAccount, name: '", name, "'}]"));
    const auto server = get();
    const auto& tls = *server.authorizations.at(0).authentication->meshTLS;
    EXPECT_TRUE(tls.identities->suffixes.empty()) << name;
    EXPECT_EQ(tls.identities->identities.size(), 1U) << name;
  }
}

TEST_F(Authorizations, OfMeshTlsAuthentications) {
  policy("[{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: clients}]");
  // What is not there admits nobody.
  EXPECT_EQ(authorizations(), "");
  add_policy("MeshTLSAuthentication", "clients",
             "{identities: ['*', '*.x.example', a.example, 'spiffe://td/b']}");
  EXPECT_EQ(authorizations(),
            "authorizationpolicy/ap: 0.0.0.0/0 v6/0 a.example spiffe://td/b * *.x.example");
  add_policy("MeshTLSAuthentication", "clients",
             "{identityRefs: [{kind: ServiceAccount, name: web}, {kind: ServiceAccount, name: api, "
             "namespace: back}, "
             "{kind: Namespace, name: back}, {kind: Namespace}]}");
  EXPECT_EQ(authorizations(),
            "authorizationpolicy/ap: 0.0.0.0/0 v6/0 "
            "web.shop.serviceaccount.identity.linkerd.cluster.local "
            "api.back.serviceaccount.identity.linkerd.cluster.local "
            "*.back.serviceaccount.identity.linkerd.cluster.local "
            "*.shop.serviceaccount.identity.linkerd.cluster.local");
}

TEST_F(Authorizations, OfNetworkAuthentications) {
  policy(
      "[{group: policy.linkerd.io, kind: NetworkAuthentication, name: nets}, {kind: "
      "ServiceAccount, name: web}]");
  EXPECT_EQ(authorizations(), "");
  add_policy("NetworkAuthentication", "nets",
             "{networks: [{cidr: 10.1.0.0/16, except: [10.1.2.0/24]}]}");
  EXPECT_EQ(authorizations(),
            "authorizationpolicy/ap: 10.1.0.0/16-10.1.2.0/24 "
            "web.shop.serviceaccount.identity.linkerd.cluster.local");
}

TEST_F(Authorizations, ReachTheirTargetOnly) {
  policy("[]", "{kind: Namespace, name: shop}");
  EXPECT_EQ(authorizations(), "authorizationpolicy/ap: 0.0.0.0/0 v6/0 anyone");
  policy("[]", "{group: policy.linkerd.io, kind: Server, name: another}");
  EXPECT_EQ(authorizations(), "");
  // A policy for a route says nothing about the Server.
  policy("[]", "{group: policy.linkerd.io, kind: HTTPRoute, name: srv}");
  EXPECT_EQ(authorizations(), "");
  // Ports that no Server selects keep to their default.
  policy("[{kind: ServiceAccount, name: web}]", "{kind: Namespace, name: shop}");
  EXPECT_EQ(authorizations(9999), "all-unauthenticated: 0.0.0.0/0 v6/0 anyone");
}

TEST_F(Authorizations, OfServerAuthorizations) {
  const auto authorization = [&](std::string_view server, std::string_view client) {
    add_policy("ServerAuthorization", "saz",
               concat("{server: ", server, ", client: ", client, "}"));
  };
  authorization("{name: srv}", "{unauthenticated: true}");
  EXPECT_EQ(authorizations(), "serverauthorization/saz: 10.0.0.0/8 anyone");
  authorization("{selector: {matchLabels: {tier: front}}}",
                "{meshTLS: {unauthenticatedTLS: true}, networks: [{cidr: 10.9.0.0/16}]}");
  EXPECT_EQ(authorizations(), "serverauthorization/saz: 10.9.0.0/16 tls");
  authorization("{selector: {matchLabels: {tier: back}}}", "{unauthenticated: true}");
  EXPECT_EQ(authorizations(), "");
  authorization("{name: srv}",
                "{meshTLS: {identities: ['*'], serviceAccounts: [{name: web}, {name: api, "
                "namespace: back}]}}");
  EXPECT_EQ(
      authorizations(),
      "serverauthorization/saz: 10.0.0.0/8 web.shop.serviceaccount.identity.linkerd.cluster.local "
      "api.back.serviceaccount.identity.linkerd.cluster.local *");
  authorization("{name: srv}", "{networks: [{cidr: 10.9.0.0/16}]}");
  EXPECT_EQ(authorizations(), "");
}

TEST_F(Authorizations, RateLimits) {
  add_policy("HTTPLocalRateLimitPolicy", "late",
             "{targetRef: {group: policy.linkerd.io, kind: Server, name: srv}, total: "
             "{requestsPerSecond: 1}}",
             ", creationTimestamp: '2026-02-01T00:00:00Z'");
  add_policy("HTTPLocalRateLimitPolicy", "limit",
             "{targetRef: {group: policy.linkerd.io, kind: Server, name: srv}, total: "
             "{requestsPerSecond: 100}, identity: "
             "{requestsPerSecond: 10}, overrides: [{requestsPerSecond: 50, clientRefs: [{kind: "
             "ServiceAccount, name: web}]}]}",
             ", creationTimestamp: '2026-01-01T00:00:00Z'");
  const auto server = get();
  const auto& limit = *server.protocol->detect->http_local_rate_limit;
  EXPECT_EQ(limit.metadata->resource->name, "limit");
  EXPECT_EQ(limit.metadata->resource->kind, "HTTPLocalRateLimitPolicy");
  EXPECT_EQ(limit.total->requestsPerSecond, 100U);
  EXPECT_EQ(limit.identity->requestsPerSecond, 10U);
  ASSERT_EQ(limit.overrides.size(), 1U);
  EXPECT_EQ(limit.overrides[0].limit->requestsPerSecond, 50U);
  EXPECT_EQ(limit.overrides[0].clients->identities[0].name,
            "web.shop.serviceaccount.identity.linkerd.cluster.local");
  EXPECT_FALSE(get(9999).protocol->detect->http_local_rate_limit);
}

class InboundRoutes : public Inbound {
 protected:
  InboundRoutes() {
    add_policy("Server", "http", "{podSelector: {}, port: http, proxyProtocol: HTTP/1}");
  }
  void add_route(std::string_view api, std::string_view kind, std::string_view name,
                 std::string_view rules, std::string_view more = "", std::string_view parent = "") {
    add(concat("apiVersion: ", api, "\nkind: ", kind, "\nmetadata: {name: ", name,
               ", namespace: shop", more,
               "}\nspec: {parentRefs: [{group: policy.linkerd.io, kind: "
               "Server, name: http",
               parent, "}], rules: ", rules, "}\n"));
  }
  std::vector<pb::inbound::HttpRoute> routes() { return get().protocol->http1->routes; }
  std::string names() {
    std::string out;
    for (const auto& route : routes()) {
      const bool resource = route.metadata->kind_case == pb::meta::Metadata::KindCase::resource;
      out += concat(out.empty() ? "" : " ",
                    resource ? route.metadata->resource->name : route.metadata->default_);
    }
    return out;
  }
};
constexpr std::string_view kLinkerd = "policy.linkerd.io/v1beta3";
constexpr std::string_view kGateway = "gateway.networking.k8s.io/v1";

TEST_F(InboundRoutes, AttachedOnesReplaceTheDefaultInTheOrderOfAge) {
  EXPECT_EQ(names(), "default");
  add_route(kGateway, "HTTPRoute", "young", "[{}]", ", creationTimestamp: '2026-01-02T00:00:00Z'");
  add_route(kLinkerd, "HTTPRoute", "old", "[{}]", ", creationTimestamp: '2026-01-01T00:00:00Z'");
  add_route(kLinkerd, "HTTPRoute", "young", "[{}]", ", creationTimestamp: '2026-01-03T00:00:00Z'");
  EXPECT_EQ(names(), "old young young") << "one name in two groups is two routes";
  EXPECT_EQ(routes()[1].metadata->resource->group, "gateway.networking.k8s.io");
  index.erase(key_of<k8s::HttpRoute>("shop", "young"));
  EXPECT_EQ(names(), "old young");
}

TEST_F(InboundRoutes, OnlyWholeServersOfTheirNamespaceAreParents) {
  add_route(kLinkerd, "HTTPRoute", "port", "[{}]", "", ", port: 8080");
  add_route(kLinkerd, "HTTPRoute", "section", "[{}]", "", ", sectionName: a");
  add_route(kLinkerd, "HTTPRoute", "elsewhere", "[{}]", "", ", namespace: other");
  EXPECT_EQ(names(), "default");
}

TEST_F(InboundRoutes, MatchesAndFiltersAreThoseOfTheRoute) {
  add_route(kLinkerd, "HTTPRoute", "r",
            "[{matches: [{path: {type: Exact, value: /a}, method: POST, headers: [{name: x-y, "
            "value: z}], "
            "queryParams: [{type: RegularExpression, name: q, value: 'a+'}]}, {path: {type: "
            "Sideways, value: /}}], "
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, "
            "value: b}], remove: [c]}}, "
            "{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [d]}}, "
            "{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]}]");
  const auto rule = routes().at(0).rules.at(0);
  ASSERT_EQ(rule.matches.size(), 1U) << "what cannot match is left out";
  EXPECT_EQ(rule.matches[0].path->exact, "/a");
  EXPECT_EQ(rule.matches[0].method->registered, pb::http_types::HttpMethod::Registered::POST);
  EXPECT_EQ(rule.matches[0].headers[0].exact, "z");
  EXPECT_EQ(rule.matches[0].query_params[0].regex, "a+");
  ASSERT_EQ(rule.filters.size(), 2U) << "responses are not changed on the way in";
  EXPECT_EQ(rule.filters[0].request_header_modifier->set->headers[0].name, "a");
  EXPECT_EQ(rule.filters[1].redirect->status, 301U);
}

TEST_F(InboundRoutes, AFilterThatIsNotKnownFailsTheRule) {
  add_route(kGateway, "HTTPRoute", "r", "[{filters: [{type: ExtensionRef}]}]");
  const auto filter = routes().at(0).rules.at(0).filters.at(0);
  EXPECT_EQ(filter.failure_injector->status, 500U);
  EXPECT_EQ(filter.failure_injector->message, "the route's filter ExtensionRef is not supported");
}

TEST_F(InboundRoutes, PoliciesThatTargetARouteAreItsAuthorizations) {
  add_route(kLinkerd, "HTTPRoute", "r", "[{}]");
  add_policy("NetworkAuthentication", "net", "{networks: [{cidr: 10.1.0.0/16}]}");
  for (const auto group : {"policy.linkerd.io", "gateway.networking.k8s.io"}) {
    add_policy("AuthorizationPolicy", group,
               concat("{targetRef: {group: ", group,
                      ", kind: HTTPRoute, name: r}, "
                      "requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: "
                      "NetworkAuthentication, name: net}]}"));
  }
  const auto route = routes().at(0);
  ASSERT_EQ(route.authorizations.size(), 1U);
  EXPECT_EQ(text_of(route.authorizations[0]),
            "authorizationpolicy/policy.linkerd.io: 10.1.0.0/16 anyone");
  EXPECT_EQ(authorizations(), "") << "the Server itself admits nobody";
}

// A pod on node-1 (192.168.0.5) whose container is probed.
class ProbedRoutes : public InboundRoutes {
 protected:
  ProbedRoutes() {
    config.probe_networks = {*net::Cidr::parse("0.0.0.0/0"), *net::Cidr::parse("::/0")};
    add_route(kLinkerd, "HTTPRoute", "r", "[{matches: [{path: {value: /}}]}]");
  }
  void probe(std::string_view probes, std::string_view host = "hostIP: 192.168.0.5") {
    add(
        concat("apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop, labels: "
               "{app: web, linkerd.io/control-plane-ns: linkerd}}\nspec: {nodeName: node-1, "
               "containers: [{name: app, ports: [{name: http, containerPort: 8080}], ",
               probes, "}, {name: linkerd-proxy}]}\nstatus: {", host, "}\n"));
  }
  void add_node(std::string_view annotations, std::string_view more) {
    add(concat("apiVersion: v1\nkind: Node\nmetadata: {name: node-1, annotations: {", annotations,
               "}}\n", more, "\n"));
  }
};

TEST_F(ProbedRoutes, ProbesPassFromTheirNodeOnly) {
  probe("readinessProbe: {httpGet: {path: '/ready?x=1', port: http}}");
  add_policy("NetworkAuthentication", "net", "{networks: [{cidr: 10.1.0.0/16}]}");
  add_policy("AuthorizationPolicy", "a",
             "{targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: r}, "
             "requiredAuthenticationRefs: "
             "[{group: policy.linkerd.io, kind: NetworkAuthentication, name: net}]}");
  EXPECT_EQ(names(), "probe r");
  const auto made = routes().at(0);
  EXPECT_EQ(made.rules.at(0).matches.at(0).path->exact, "/ready");
  ASSERT_TRUE(made.probe.has_value());
  EXPECT_EQ(made.probe->target, "/ready?x=1");
  ASSERT_EQ(made.authorizations.size(), 2U);
  EXPECT_EQ(text_of(made.authorizations[0]), "probe: 192.168.0.5/32 anyone");
  EXPECT_EQ(text_of(made.authorizations[1]), "authorizationpolicy/a: 10.1.0.0/16 anyone");
  EXPECT_FALSE(routes().at(1).probe.has_value());
}

TEST_F(ProbedRoutes, ANodeHasSeveralAddresses) {
  probe("livenessProbe: {httpGet: {port: 8080}}");
  add_node(
      "projectcalico.org/IPv4IPIPTunnelAddr: 10.42.7.64, "
      "projectcalico.org/IPv4Address: 192.168.0.5/24, "
      "config.tulle.io/probe-addresses: '10.42.1.77, 172.17.0.1', other: 8.8.8.8",
      "spec: {podCIDR: 10.42.1.0/24, podCIDRs: [10.42.1.0/24]}\n"
      "status: {addresses: [{type: InternalIP, address: 192.168.0.5}, "
      "{type: ExternalIP, address: 203.0.113.5}, {type: Hostname, address: 9.9.9.9}]}");
  EXPECT_EQ(text_of(routes().at(0).authorizations.at(0)),
            "probe: 192.168.0.5/32 203.0.113.5/32 10.42.1.1/32 10.42.1.77/32 172.17.0.1/32 "
            "10.42.7.64/32 anyone");
  // An operator's networks narrow it further.
  config.probe_networks = {*net::Cidr::parse("10.42.0.0/16")};
  EXPECT_EQ(text_of(routes().at(0).authorizations.at(0)),
            "probe: 10.42.1.1/32 10.42.1.77/32 10.42.7.64/32 anyone");
}

TEST_F(ProbedRoutes, WithoutAnAddressThereIsNoProbe) {
  probe("livenessProbe: {httpGet: {port: 8080}}", "phase: Pending");
  EXPECT_EQ(names(), "r");
  probe("livenessProbe: {httpGet: {port: 8080, scheme: HTTPS}}");
  EXPECT_EQ(names(), "r");
  probe(
      "livenessProbe: {httpGet: {port: 8080}}, readinessProbe: {httpGet: {path: '/?a#b', port: "
      "http}}");
  EXPECT_EQ(names(), "probe probe r");
  EXPECT_EQ(routes().at(0).probe->target, "/");
  EXPECT_EQ(routes().at(1).probe->target, "/?a");
  config.probe_networks.clear();
  EXPECT_EQ(names(), "r");
}

TEST_F(ProbedRoutes, ANodeThatChangesIsToldOf) {
  probe("livenessProbe: {httpGet: {port: 8080}}");
  const auto query = parse_port_query({.workload = "shop:web-0", .port = 8080});
  TopicSet seen;
  ASSERT_TRUE(server_of(View(index, &seen), config, *query));
  EXPECT_NE(std::find(seen.begin(), seen.end(), topics::node("node-1")), seen.end());
}

TEST_F(InboundRoutes, GrpcRoutesComeFirstAndKeepHttpRoutesOut) {
  add_route(kLinkerd, "HTTPRoute", "h", "[{}]");
  add_route(kGateway, "GRPCRoute", "g", "[{matches: [{method: {service: s.S, method: m}}]}]");
  EXPECT_EQ(names(), "default");
  add_policy("Server", "http", "{podSelector: {}, port: http, proxyProtocol: gRPC}");
  const auto grpc = get().protocol->grpc->routes;
  ASSERT_EQ(grpc.size(), 1U);
  EXPECT_EQ(grpc[0].metadata->resource->kind, "GRPCRoute");
  EXPECT_EQ(grpc[0].rules[0].matches[0].rpc->service, "s.S");
}

// One name, three ports: the Server's deny is for all of them.
TEST_F(Inbound, APortNameStandsForAllPortsThatHaveIt) {
  add_pod("",
          "}, {name: second, ports: [{name: http, containerPort: 8081}]}, {name: udp, ports: "
          "[{name: http, containerPort: 8082, protocol: UDP}]");
  add_policy("Server", "srv", "{port: http, podSelector: {}}");
  for (const std::uint32_t port : {8080U, 8081U}) {
    EXPECT_EQ(authorizations(port), "") << port;
    EXPECT_EQ(get(port).labels.at("name"), "srv") << port;
  }
  EXPECT_EQ(get(8082).labels.at("kind"), "default");
  add_pod("config.linkerd.io/proxy-require-identity-inbound-ports: http",
          "}, {name: second, ports: [{name: http, containerPort: 8081}]");
  index.erase(key_of<k8s::Server>("shop", "srv"));
  for (const std::uint32_t port : {8080U, 8081U}) {
    EXPECT_EQ(authorizations(port), "all-authenticated: 0.0.0.0/0 v6/0 *") << port;
  }
  add_pod("config.linkerd.io/opaque-ports: http",
          "}, {name: second, ports: [{name: http, containerPort: 8081}]");
  for (const std::uint32_t port : {8080U, 8081U}) {
    EXPECT_EQ(get(port).protocol->kind_case, KindCase::opaque) << port;
  }
}

// Whatever another namespace writes, with the same names and labels, changes nothing here.
TEST_F(Inbound, NothingOfAnotherNamespaceCounts) {
  const ServerMessage before = get();
  add_policy("Server", "srv", "{port: http, podSelector: {}}", "", "other");
  add_policy("AuthorizationPolicy", "p",
             "{targetRef: {group: policy.linkerd.io, kind: Server, name: srv}, "
             "requiredAuthenticationRefs: []}",
             "", "other");
  EXPECT_EQ(pb::encode_message(get()), pb::encode_message(before));
  add_policy("Server", "srv", "{port: http, podSelector: {}}");
  EXPECT_EQ(authorizations(), "");
  add_policy("ServerAuthorization", "a", "{server: {name: srv}, client: {unauthenticated: true}}",
             "", "other");
  EXPECT_EQ(authorizations(), "");
  add_policy("HTTPRoute", "r",
             "{parentRefs: [{group: policy.linkerd.io, kind: Server, name: srv, namespace: shop}], "
             "rules: [{matches: [{path: {value: /x}}]}]}",
             "", "other");
  EXPECT_EQ(get().protocol->detect->http_routes.size(), 1U);
  add_policy("HTTPLocalRateLimitPolicy", "l",
             "{targetRef: {group: policy.linkerd.io, kind: Server, name: srv}, total: "
             "{requestsPerSecond: 1}}",
             "", "other");
  EXPECT_FALSE(get().protocol->detect->http_local_rate_limit.has_value());
}

// A pod whose annotation is misspelt is not more open than its namespace.
TEST_F(Inbound, AMisspeltDefaultPolicyFallsBackToTheNamespaces) {
  add("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: "
      "{config.linkerd.io/default-inbound-policy: deny}}\n");
  for (const std::string_view text : {"Deny", "'deny '", "'all-unauthenticated,'", "''", "none"}) {
    add_pod(concat("config.linkerd.io/default-inbound-policy: ", text));
    EXPECT_EQ(authorizations(), "") << text;
    EXPECT_EQ(get().labels.at("name"), "deny") << text;
  }
  add("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: "
      "{config.linkerd.io/default-inbound-policy: dney}}\n");
  config.default_inbound_policy = DefaultPolicy::ClusterAuthenticated;
  EXPECT_EQ(authorizations(), "cluster-authenticated: 10.0.0.0/8 *");
}

// Which of two was meant is not guessed, where no validator refused it.
TEST_F(Inbound, APolicyWithTwoAuthenticationsOfAKindGrantsNothing) {
  add_policy("Server", "srv", "{port: http, podSelector: {}}");
  add_policy("NetworkAuthentication", "one", "{networks: [{cidr: 10.0.0.0/8}]}");
  add_policy("NetworkAuthentication", "two", "{networks: [{cidr: 0.0.0.0/0}]}");
  add_policy("AuthorizationPolicy", "p",
             "{targetRef: {group: policy.linkerd.io, kind: Server, name: srv}, "
             "requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: "
             "NetworkAuthentication, name: one}]}");
  EXPECT_EQ(authorizations(), "authorizationpolicy/p: 10.0.0.0/8 anyone");
  k8s::AuthorizationPolicy policy = *View(index).authorization_policies("shop").front();
  policy.spec.required->push_back({"policy.linkerd.io", "NetworkAuthentication", "two", ""});
  index.put(policy);
  EXPECT_EQ(authorizations(), "");
}

TEST_F(Inbound, ExternalWorkloadsHaveServersOfTheirOwn) {
  add("apiVersion: workload.linkerd.io/v1beta1\nkind: ExternalWorkload\nmetadata: {name: vm, "
      "namespace: shop, labels: {app: web}}\nspec: {meshTLS: {identity: 'spiffe://r/vm', "
      "serverName: vm.x}, ports: [{name: http, port: 8080}, {name: http, port: 8081}], "
      "workloadIPs: [{ip: 192.0.2.9}]}\n");
  const auto of_vm = [&](std::uint32_t port) {
    const auto query = parse_port_query(
        {.workload = "{\"ns\":\"shop\",\"external_workload\":\"vm\"}", .port = port});
    return *server_of(View(index), config, *query);
  };
  EXPECT_EQ(of_vm(8080).labels.at("kind"), "default");
  add_policy("Server", "pods", "{port: http, podSelector: {}}");
  EXPECT_EQ(of_vm(8080).labels.at("kind"), "default");
  add_policy("Server", "machines", "{port: http, externalWorkloadSelector: {}}");
  EXPECT_EQ(of_vm(8080).labels.at("name"), "machines");
  EXPECT_EQ(of_vm(8081).labels.at("name"), "machines");
  EXPECT_EQ(get().labels.at("name"), "pods");
}

}  // namespace
}  // namespace tulle::control
