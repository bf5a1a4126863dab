// SPDX-License-Identifier: Apache-2.0
// Routes as plain structs with their descriptions (see objects.h): HTTPRoute of policy.linkerd.io
// and of the Gateway API, GRPCRoute, TLSRoute and TCPRoute (docs/reference/control-plane.md §6.1,
// §6.2; Gateway API v1). All have one shape and differ by what their rules match.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/k8s/policy_objects.h"

namespace tulle::k8s {

inline constexpr std::string_view kGatewayGroup = "gateway.networking.k8s.io";

// The object that a route is attached to.
struct ParentRef {
  std::optional<std::string> group;  // absent: gateway.networking.k8s.io
  std::optional<std::string> kind;   // absent: Gateway
  std::string name;
  std::string ns;  // "": the route's
  std::string section;
  std::optional<std::int32_t> port;
  friend bool operator==(const ParentRef&, const ParentRef&) = default;
};

// Regular expressions must match the whole path; prefixes match whole segments ("/a" does not match
// "/ab").
struct PathMatch {
  std::string type;  // Exact, PathPrefix (""), RegularExpression
  std::string value;
  friend bool operator==(const PathMatch&, const PathMatch&) = default;
};

// Of a header or a query parameter.
struct ValueMatch {
  std::string type;  // Exact (""), RegularExpression
  std::string name;
  std::string value;
  friend bool operator==(const ValueMatch&, const ValueMatch&) = default;
};

// All that is stated must hold.
struct HttpMatch {
  std::optional<PathMatch> path;
  std::vector<ValueMatch> headers;
  std::vector<ValueMatch> query;
  std::string method;  // "": any
  friend bool operator==(const HttpMatch&, const HttpMatch&) = default;
};

// A regular expression where `type` says so is refused by the validator.
struct GrpcMethodMatch {
  std::string type;     // Exact (""), RegularExpression
  std::string service;  // "": any
  std::string method;   // "": any
  friend bool operator==(const GrpcMethodMatch&, const GrpcMethodMatch&) = default;
};

struct GrpcMatch {
  std::optional<GrpcMethodMatch> method;
  std::vector<ValueMatch> headers;
  friend bool operator==(const GrpcMatch&, const GrpcMatch&) = default;
};

// Rules of TLSRoute and TCPRoute match everything.
struct AnyMatch {
  friend bool operator==(const AnyMatch&, const AnyMatch&) = default;
};

struct HeaderValue {
  std::string name;
  std::string value;
  friend bool operator==(const HeaderValue&, const HeaderValue&) = default;
};

// Applied in the order add (appends), set (replaces), remove.
struct HeaderModifier {
  std::vector<HeaderValue> set;
  std::vector<HeaderValue> add;
  std::vector<std::string> remove;
  friend bool operator==(const HeaderModifier&, const HeaderModifier&) = default;
};

struct PathModifier {
  std::string type;  // ReplaceFullPath, ReplacePrefixMatch
  std::string full;
  std::string prefix;
  friend bool operator==(const PathModifier&, const PathModifier&) = default;
};

struct RedirectFilter {
  std::string scheme;    // "": that of the request
  std::string hostname;  // "": that of the request
  std::optional<PathModifier> path;
  std::int32_t port = 0;    // 0: that of the request or the scheme
  std::int32_t status = 0;  // 0: 302
  friend bool operator==(const RedirectFilter&, const RedirectFilter&) = default;
};

// The member that belongs to `type` is set. A type that is not known makes the rule answer 500, as
// it might forbid something (docs/design.md §3.9).
struct RouteFilter {
  std::string type;  // RequestHeaderModifier, ResponseHeaderModifier, RequestRedirect, …
  std::optional<HeaderModifier> request_headers;
  std::optional<HeaderModifier> response_headers;
  std::optional<RedirectFilter> redirect;
  friend bool operator==(const RouteFilter&, const RouteFilter&) = default;
};

// A share of the rule's requests: weight out of the sum of all weights; 0 gets none.
struct BackendRef {
  std::optional<std::string> group;  // absent: core
  std::optional<std::string> kind;   // absent: Service
  std::string name;
  std::string ns;  // "": the route's
  std::optional<std::int32_t> port;
  std::int32_t weight = 1;
  std::vector<RouteFilter> filters;
  friend bool operator==(const BackendRef&, const BackendRef&) = default;
};

// Durations of the Gateway API ("1h30m", "500ms"; "0s" is no limit); "" is not stated.
struct RouteTimeouts {
  std::string request;
  std::string backend_request;
  friend bool operator==(const RouteTimeouts&, const RouteTimeouts&) = default;
};

template <typename Match>
struct RouteRule {
  std::vector<Match> matches;  // any of them; none: everything
  std::vector<RouteFilter> filters;
  std::vector<BackendRef> backends;
  std::optional<RouteTimeouts> timeouts;
  friend bool operator==(const RouteRule&, const RouteRule&) = default;
};

template <typename Match>
struct RouteSpec {
  std::vector<ParentRef> parents;
  std::vector<std::string> hostnames;
  std::vector<RouteRule<Match>> rules;
  friend bool operator==(const RouteSpec&, const RouteSpec&) = default;
};

// What one controller says of the route at one parent. Entries of other controllers stay as they
// are.
struct RouteParentStatus {
  std::string controller;
  ParentRef parent;
  std::vector<StatusCondition> conditions;
  friend bool operator==(const RouteParentStatus&, const RouteParentStatus&) = default;
};

struct RouteStatus {
  std::vector<RouteParentStatus> parents;
  friend bool operator==(const RouteStatus&, const RouteStatus&) = default;
};

// One kind: its match and its name are all that tells it from the others.
template <typename M, const KindName& kName>
struct Route {
  using Match = M;
  static constexpr KindName kKind = kName;
  ObjectMeta meta;
  RouteSpec<M> spec;
  RouteStatus status;
  friend bool operator==(const Route&, const Route&) = default;
};

// Two kinds have the name HTTPRoute; their group tells them apart.
inline constexpr KindName kPolicyHttpRoute{kPolicyGroup, "HTTPRoute"};
inline constexpr KindName kHttpRoute{kGatewayGroup, "HTTPRoute"};
inline constexpr KindName kGrpcRoute{kGatewayGroup, "GRPCRoute"};
inline constexpr KindName kTlsRoute{kGatewayGroup, "TLSRoute"};
inline constexpr KindName kTcpRoute{kGatewayGroup, "TCPRoute"};
using PolicyHttpRoute = Route<HttpMatch, kPolicyHttpRoute>;
using HttpRoute = Route<HttpMatch, kHttpRoute>;
using GrpcRoute = Route<GrpcMatch, kGrpcRoute>;
using TlsRoute = Route<AnyMatch, kTlsRoute>;
using TcpRoute = Route<AnyMatch, kTcpRoute>;

template <typename V>
void describe(V& v, ParentRef& x) {
  v.field("group", x.group);
  v.field("kind", x.kind);
  v.field("name", x.name);
  v.field("namespace", x.ns);
  v.field("sectionName", x.section);
  v.field("port", x.port);
}
template <typename V>
void describe(V& v, PathMatch& x) {
  v.field("type", x.type);
  v.field("value", x.value);
}
template <typename V>
void describe(V& v, ValueMatch& x) {
  v.field("type", x.type);
  v.field("name", x.name);
  v.field("value", x.value);
}
template <typename V>
void describe(V& v, HttpMatch& x) {
  v.field("path", x.path);
  v.field("headers", x.headers);
  v.field("queryParams", x.query);
  v.field("method", x.method);
}
template <typename V>
void describe(V& v, GrpcMethodMatch& x) {
  v.field("type", x.type);
  v.field("service", x.service);
  v.field("method", x.method);
}
template <typename V>
void describe(V& v, GrpcMatch& x) {
  v.field("method", x.method);
  v.field("headers", x.headers);
}
template <typename V>
void describe(V&, AnyMatch&) {}
template <typename V>
void describe(V& v, HeaderValue& x) {
  v.field("name", x.name);
  v.field("value", x.value);
}
template <typename V>
void describe(V& v, HeaderModifier& x) {
  v.field("set", x.set);
  v.field("add", x.add);
  v.field("remove", x.remove);
}
template <typename V>
void describe(V& v, PathModifier& x) {
  v.field("type", x.type);
  v.field("replaceFullPath", x.full);
  v.field("replacePrefixMatch", x.prefix);
}
template <typename V>
void describe(V& v, RedirectFilter& x) {
  v.field("scheme", x.scheme);
  v.field("hostname", x.hostname);
  v.field("path", x.path);
  v.field("port", x.port);
  v.field("statusCode", x.status);
}
template <typename V>
void describe(V& v, RouteFilter& x) {
  v.field("type", x.type);
  v.field("requestHeaderModifier", x.request_headers);
  v.field("responseHeaderModifier", x.response_headers);
  v.field("requestRedirect", x.redirect);
}
template <typename V>
void describe(V& v, BackendRef& x) {
  v.field("group", x.group);
  v.field("kind", x.kind);
  v.field("name", x.name);
  v.field("namespace", x.ns);
  v.field("port", x.port);
  v.field("weight", x.weight);
  v.field("filters", x.filters);
}
template <typename V>
void describe(V& v, RouteTimeouts& x) {
  v.field("request", x.request);
  v.field("backendRequest", x.backend_request);
}
template <typename V, typename M>
void describe(V& v, RouteRule<M>& x) {
  if constexpr (!std::is_same_v<M, AnyMatch>) v.field("matches", x.matches);
  v.field("filters", x.filters);
  v.field("backendRefs", x.backends);
  v.field("timeouts", x.timeouts);
}
template <typename V, typename M>
void describe(V& v, RouteSpec<M>& x) {
  v.field("parentRefs", x.parents);
  v.field("hostnames", x.hostnames);
  v.field("rules", x.rules);
}
template <typename V>
void describe(V& v, RouteParentStatus& x) {
  v.field("controllerName", x.controller);
  v.field("parentRef", x.parent);
  v.field("conditions", x.conditions);
}
template <typename V>
void describe(V& v, RouteStatus& x) {
  v.field("parents", x.parents);
}
template <typename V, typename M, const KindName& kName>
void describe(V& v, Route<M, kName>& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
  v.field("status", x.status);
}

}  // namespace tulle::k8s
