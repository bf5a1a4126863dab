// SPDX-License-Identifier: Apache-2.0
#include "control/injector/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/text.h"

namespace tulle::control {
namespace {

inject::Value yaml(std::string_view text) {
  std::string problem;
  auto value = inject::parse_yaml(text, problem);
  EXPECT_TRUE(value) << problem << text;
  return value.value_or(inject::Value());
}

// "" if the object may be.
std::string problem_of(std::string_view group, std::string_view kind, std::string_view rest) {
  Review review;
  review.group = group;
  review.kind = kind;
  review.object = yaml(concat("apiVersion: ", group, "/v1\nkind: ", kind,
                              "\nmetadata: {name: a, namespace: shop}\n", rest));
  return policy_problem(review).value_or("");
}
std::string policy(std::string_view kind, std::string_view spec) {
  return problem_of("policy.linkerd.io", kind, concat("spec: ", spec));
}
std::string gateway(std::string_view kind, std::string_view spec) {
  return problem_of("gateway.networking.k8s.io", kind, concat("spec: ", spec));
}

TEST(Policies, AreCheckedField) {
  EXPECT_EQ(policy("Server", "{podSelector: {}, port: 80, accessPolicy: deny}"), "");
  EXPECT_THAT(policy("Server", "{podSelector: {}, port: 80, accessPolicy: maybe}"),
              testing::HasSubstr("accessPolicy"));
  EXPECT_THAT(policy("Server", "{podSelector: {}, port: {}}"), testing::HasSubstr("spec.port"));
  EXPECT_EQ(
      policy("NetworkAuthentication", "{networks: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}"),
      "");
  EXPECT_THAT(
      policy("NetworkAuthentication", "{networks: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}"),
      testing::HasSubstr("outside"));
  EXPECT_THAT(
      policy("NetworkAuthentication", "{networks: [{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}]}"),
      testing::HasSubstr("whole"));
  EXPECT_THAT(policy("AuthorizationPolicy",
                     "{targetRef: {group: core, kind: Namespace, name: other}, "
                     "requiredAuthenticationRefs: []}"),
              testing::HasSubstr("own namespace"));
  EXPECT_THAT(policy("MeshTLSAuthentication", "{identities: ['Not An Identity']}"),
              testing::HasSubstr("identity"));
  EXPECT_EQ(policy("MeshTLSAuthentication",
                   "{identities: ['*.shop.serviceaccount.identity.linkerd.cluster.local', "
                   "'spiffe://root.org/a/b']}"),
            "");
  EXPECT_THAT(policy("HTTPLocalRateLimitPolicy",
                     "{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, total: "
                     "{requestsPerSecond: 0}}"),
              testing::HasSubstr("total"));
  EXPECT_THAT(
      policy("ServerAuthorization",
             "{server: {name: s}, client: {unauthenticated: true, meshTLS: {identities: ['*']}}}"),
      testing::HasSubstr("unauthenticated"));
  EXPECT_THAT(policy("Surprise", "{}"), testing::HasSubstr("does not know the kind"));
  EXPECT_THAT(problem_of("example.com", "Server", "spec: {}"),
              testing::HasSubstr("does not know the kind"));
}

TEST(Routes, AreCheckedField) {
  EXPECT_EQ(policy("HTTPRoute",
                   "{rules: [{matches: [{path: {value: /a}}], timeouts: {request: 10s, "
                   "backendRequest: 1s}}]}"),
            "");
  EXPECT_THAT(policy("HTTPRoute", "{rules: [{matches: [{path: {value: a}}]}]}"),
              testing::HasSubstr("must begin with /"));
  EXPECT_THAT(
      policy("HTTPRoute", "{rules: [{matches: [{path: {type: RegularExpression, value: '('}}]}]}"),
      testing::HasSubstr("regular expression"));
  EXPECT_THAT(policy("HTTPRoute", "{rules: [{matches: [{headers: [{name: 'a b', value: c}]}]}]}"),
              testing::HasSubstr("header"));
  EXPECT_THAT(policy("HTTPRoute", "{rules: [{matches: [{method: 'G T'}]}]}"),
              testing::HasSubstr("method"));
  EXPECT_THAT(policy("HTTPRoute", "{rules: [{timeouts: {request: 1s, backendRequest: 2s}}]}"),
              testing::HasSubstr("longer"));
  EXPECT_THAT(policy("HTTPRoute", "{rules: [{timeouts: {request: -1s}}]}"),
              testing::HasSubstr("timeouts.request"));
  EXPECT_THAT(policy("HTTPRoute",
                     "{rules: [{filters: [{requestRedirect: {path: {replaceFullPath: x}}}]}]}"),
              testing::HasSubstr("requestRedirect"));
  EXPECT_THAT(
      policy("HTTPRoute",
             "{parentRefs: [{group: policy.linkerd.io, kind: EgressNetwork, name: e}], rules: []}"),
      testing::HasSubstr("port"));
  EXPECT_THAT(gateway("HTTPRoute", "{rules: [{backendRefs: [{name: b}]}]}"),
              testing::HasSubstr("backendRefs[0].port"));
  EXPECT_EQ(gateway("HTTPRoute",
                    "{rules: [{backendRefs: [{name: b, port: 80}], timeouts: {request: 1s, "
                    "backendRequest: 2s}}]}"),
            "");
  EXPECT_EQ(gateway("GRPCRoute",
                    "{rules: [{matches: [{method: {service: a.B, method: C}}], backendRefs: "
                    "[{name: b, port: 80}]}]}"),
            "");
  EXPECT_THAT(gateway("TLSRoute", "{rules: []}"), testing::HasSubstr("exactly one"));
  EXPECT_EQ(gateway("TCPRoute", "{rules: [{}]}"), "");
}

TEST(Routes, AnnotationsCountForOutboundParents) {
  const auto with = [](std::string_view kind, std::string_view parent,
                       std::string_view annotation) {
    Review review;
    review.group = "gateway.networking.k8s.io";
    review.kind = kind;
    review.object = yaml(concat("metadata: {name: a, annotations: {", annotation,
                                "}}\nspec: {parentRefs: [{group: core, kind: ", parent,
                                ", name: s}], rules: []}"));
    return policy_problem(review).value_or("");
  };
  EXPECT_EQ(with("HTTPRoute", "Service", "retry.linkerd.io/http: '5XX,gateway-error,429,500-504'"),
            "");
  EXPECT_NE(with("HTTPRoute", "Service", "retry.linkerd.io/http: '5xx, 429'"), "");
  EXPECT_NE(with("HTTPRoute", "Service", "retry.linkerd.io/http: '600'"), "");
  EXPECT_NE(with("HTTPRoute", "Service", "timeout.linkerd.io/request: 1.5s"), "");
  EXPECT_EQ(with("HTTPRoute", "Server", "timeout.linkerd.io/request: 1.5s"), "");
  EXPECT_EQ(with("GRPCRoute", "Service", "retry.linkerd.io/grpc: 'internal,unavailable'"), "");
  EXPECT_NE(with("GRPCRoute", "Service", "retry.linkerd.io/grpc: 'ok'"), "");
}

std::string profile(std::string_view spec, std::string_view name = "web.shop.svc.cluster.local") {
  return profile_problem(
             yaml(concat("apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: ",
                         name, "}\nspec: ", spec)))
      .value_or("");
}

TEST(Profiles, AreReadStrictly) {
  EXPECT_EQ(
      profile("{routes: [{name: GET /, condition: {method: GET, pathRegex: '/a[^/]*'}, timeout: "
              "300ms, isRetryable: true, "
              "responseClasses: [{condition: {status: {min: 500, max: 599}}, isFailure: true}]}], "
              "retryBudget: {retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 10s}, dstOverrides: "
              "[{authority: a.b, weight: 500m}]}"),
      "");
  EXPECT_EQ(profile("{routes: [{name: a, condition: {not: {method: GET}}}, {name: b, condition: "
                    "{not: [{method: GET}]}}]}"),
            "");
  EXPECT_THAT(profile("{routes: []}", "'Web!'"), testing::HasSubstr("metadata.name"));
  EXPECT_THAT(profile("{routs: []}"), testing::HasSubstr("spec.routs: there is no such field"));
  EXPECT_THAT(profile("{routes: [{condition: {method: GET}}]}"),
              testing::HasSubstr("routes[0].name"));
  EXPECT_THAT(profile("{routes: [{name: a}]}"), testing::HasSubstr("condition: is required"));
  EXPECT_THAT(profile("{routes: [{name: a, condition: {}}]}"),
              testing::HasSubstr("must say something"));
  EXPECT_THAT(profile("{routes: [{name: a, condition: {pathRegex: '('}}]}"),
              testing::HasSubstr("regular expression"));
  EXPECT_THAT(profile("{routes: [{name: a, condition: {method: GET}, timeout: 5}]}"),
              testing::HasSubstr("timeout"));
  EXPECT_THAT(profile("{routes: [{name: a, condition: {method: GET}, responseClasses: [{condition: "
                      "{status: {min: 600}}}]}]}"),
              testing::HasSubstr("100 to 599"));
  EXPECT_THAT(profile("{routes: [{name: a, condition: {method: GET}, responseClasses: [{condition: "
                      "{status: {min: 500, max: 400}}}]}]}"),
              testing::HasSubstr("above"));
  EXPECT_THAT(profile("{retryBudget: {retryRatio: -1, minRetriesPerSecond: 1, ttl: 1s}}"),
              testing::HasSubstr("retryRatio"));
  EXPECT_THAT(profile("{retryBudget: {retryRatio: 1, minRetriesPerSecond: 1, ttl: ''}}"),
              testing::HasSubstr("ttl"));
}

// What Linkerd refuses, too (docs/reference/control-plane.md §6.5).
TEST(Policies, RoutesThatLinkerdRefuses) {
  const struct {
    std::string_view kind, rule, field;
  } refused[] = {
      {"GRPCRoute", "{matches: [{method: {type: RegularExpression, service: 'a.*'}}]}",
       "matches[0].method.type"},
      {"GRPCRoute", "{matches: [{method: {service: 'a b'}}]}", "method.service"},
      {"GRPCRoute", "{matches: [{headers: [{name: 'a b', value: x}]}]}", "headers[0].name"},
      {"GRPCRoute", "{matches: [{headers: [{name: '', value: x}]}]}", "headers[0].name"},
      {"GRPCRoute", "{matches: [{headers: [{name: a, type: RegularExpression, value: '('}]}]}",
       "headers[0].value"},
      {"HTTPRoute", "{matches: [{headers: [{name: 'x y', value: z}]}]}", "headers[0].name"},
      {"HTTPRoute", "{matches: [{headers: [{name: a, value: \"x\\ny\"}]}]}", "headers[0].value"},
      {"HTTPRoute", "{matches: [{queryParams: [{name: '', value: z}]}]}", "queryParams[0].name"},
      {"HTTPRoute", "{matches: [{method: 'GET X'}]}", "method"},
      {"HTTPRoute",
       "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: 'a b', "
       "value: c}]}}]}",
       "requestHeaderModifier.set"},
      {"HTTPRoute",
       "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: ['a b']}}]}",
       "requestHeaderModifier.remove"},
      {"HTTPRoute",
       "{backendRefs: [{name: b, port: 1, filters: [{type: RequestHeaderModifier, "
       "requestHeaderModifier: {add: [{name: 'a b', value: c}]}}]}]}",
       "backendRefs[0].filters[0]"},
      {"HTTPRoute", "{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 42}}]}",
       "statusCode"},
      {"HTTPRoute", "{filters: [{type: RequestRedirect, requestRedirect: {port: 0}}]}", "port"},
  };
  for (const auto& c : refused) {
    const std::string spec = concat("{rules: [", c.rule, "]}");
    EXPECT_THAT(gateway(c.kind, spec), testing::HasSubstr(c.field)) << spec;
    if (c.kind == "GRPCRoute") continue;
    EXPECT_THAT(policy(c.kind, spec), testing::HasSubstr(c.field)) << spec;
  }
  const std::pair<std::string_view, bool> timeouts[] = {
      {"{request: 0s, backendRequest: 1s}", false},
      {"{request: 0s, backendRequest: 0s}", true},
      {"{request: 1s, backendRequest: 1s}", true},
      {"{request: 1s, backendRequest: 1001ms}", false},
      {"{backendRequest: 1s}", true},
      {"{request: -1s}", false},
      {"{backendRequest: -1s}", false},
      {"{}", true}};
  for (const auto& [text, good] : timeouts) {
    EXPECT_EQ(policy("HTTPRoute", concat("{rules: [{timeouts: ", text, "}]}")).empty(), good)
        << text;
  }
  EXPECT_THAT(policy("HTTPRoute", "{rules: [{matches: [{path: {type: Glob, value: /}}]}]}"),
              testing::HasSubstr("path.type"));
  EXPECT_EQ(gateway("GRPCRoute",
                    "{rules: [{matches: [{method: {service: a.B, method: C}, headers: [{name: x, "
                    "value: y}]}, {method: {type: Exact, service: a.B}}, {}]}]}"),
            "");
}

// Only specs of the Gateway API are lenient.
TEST(Policies, TypesOfRoutes) {
  EXPECT_THAT(policy("HTTPRoute", "{rules: x}"), testing::HasSubstr("spec.rules"));
  EXPECT_THAT(policy("HTTPRoute", "{rules: [5]}"), testing::HasSubstr("spec.rules[0]"));
  EXPECT_THAT(policy("HTTPRoute", "{hostnames: [5]}"), testing::HasSubstr("spec.hostnames[0]"));
  EXPECT_THAT(policy("HTTPRoute", "{parentRefs: [x]}"), testing::HasSubstr("spec.parentRefs[0]"));
  EXPECT_EQ(policy("HTTPRoute",
                   "{hostnames: [a.b], parentRefs: [{group: policy.linkerd.io, kind: Server, name: "
                   "s}], rules: [{matches: [{path: {type: PathPrefix, value: /}}]}]}"),
            "");
  EXPECT_EQ(gateway("HTTPRoute", "{rules: x, hostnames: [5]}"), "");
}

TEST(Policies, OverridesOfRatesAreForSomebody) {
  const auto with = [](std::string_view overridden) {
    return policy("HTTPLocalRateLimitPolicy",
                  concat("{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, total: "
                         "{requestsPerSecond: 5}, overrides: [",
                         overridden, "]}"));
  };
  EXPECT_EQ(with("{requestsPerSecond: 2, clientRefs: [{kind: ServiceAccount, name: a}]}"), "");
  for (const std::string_view text :
       {"{requestsPerSecond: 2}", "{requestsPerSecond: 2, clientRefs: null}",
        "{requestsPerSecond: 2, clientRef: [{kind: ServiceAccount, name: a}]}"}) {
    EXPECT_THAT(with(text), testing::HasSubstr("spec.overrides[0].clientRefs: is required"));
  }
}

net::Task<void> keep(net::Task<Answer> task, std::optional<Answer>* out) {
  Answer answer = co_await std::move(task);
  out->emplace(std::move(answer));
}

TEST(Policies, TheObjectIsTheOneOfItsReview) {
  PolicyWebhook policies;
  ProfileWebhook profiles;
  const auto ask = [](Webhook& webhook, std::string_view group, std::string_view kind,
                      std::string_view operation, std::string_view object) {
    Review review;
    review.group = group;
    review.kind = kind;
    review.operation = operation;
    review.object = yaml(object);
    std::optional<Answer> out;
    net::TaskScope scope;
    scope.spawn(keep(webhook.answer(std::move(review)), &out));
    return out && !out->allowed ? out->message : std::string();
  };
  constexpr std::string_view kGroup = "policy.linkerd.io";
  constexpr std::string_view kServer =
      "{apiVersion: policy.linkerd.io/v1beta3, kind: Server, metadata: {name: a, namespace: b}, "
      "spec: {podSelector: {}, port: 80}}";
  EXPECT_EQ(ask(policies, kGroup, "Server", "CREATE", kServer), "");
  EXPECT_EQ(ask(policies, kGroup, "Server", "DELETE", "null"), "");
  for (const std::string_view operation : {"CREATE", "UPDATE"}) {
    EXPECT_THAT(ask(policies, kGroup, "Server", operation, "null"),
                testing::HasSubstr("the review has no object"));
    EXPECT_THAT(ask(policies, kGroup, "HTTPRoute", operation, kServer),
                testing::HasSubstr("the review is of HTTPRoute"));
    EXPECT_THAT(ask(profiles, "linkerd.io", "ServiceProfile", operation, "null"),
                testing::HasSubstr("the review has no object"));
    EXPECT_THAT(ask(profiles, "linkerd.io", "ServiceProfile", operation, kServer),
                testing::HasSubstr("the review is of ServiceProfile"));
  }
  EXPECT_THAT(ask(policies, "gateway.networking.k8s.io", "HTTPRoute", "CREATE",
                  "{apiVersion: policy.linkerd.io/v1beta3, kind: HTTPRoute, spec: {}}"),
              testing::HasSubstr("the review is of HTTPRoute of gateway.networking.k8s.io"));
}

}  // namespace
}  // namespace tulle::control
