// SPDX-License-Identifier: Apache-2.0
#include "control/policy/routes.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::control {
namespace {

using namespace pb::http_route;  // NOLINT: the messages of this file
using pb::http_types::HttpMethod;
using pb::http_types::Scheme;

constexpr std::string_view kMethods[] = {"GET",     "POST",    "PUT",  "DELETE", "PATCH",
                                         "OPTIONS", "CONNECT", "HEAD", "TRACE"};

bool is_regex(std::string_view type) { return type == "RegularExpression"; }
bool is_exact(std::string_view type) { return type.empty() || type == "Exact"; }

HttpMethod method_of(const std::string& name) {
  HttpMethod out;
  const auto* const known = std::find(std::begin(kMethods), std::end(kMethods), name);
  if (known == std::end(kMethods)) {
    out.set_unregistered(name);
  } else {
    out.set_registered(static_cast<std::int32_t>(known - std::begin(kMethods)));
  }
  return out;
}

// False if the kind of match is not known.
template <typename Match>
bool value_match(const k8s::ValueMatch& from, std::vector<Match>& to) {
  Match& match = to.emplace_back();
  match.name = from.name;
  if (is_regex(from.type)) {
    match.set_regex(from.value);
  } else if (is_exact(from.type)) {
    match.set_exact(from.value);
  } else {
    return false;
  }
  return true;
}

void add_headers(const std::vector<k8s::HeaderValue>& from, pb::Box<pb::http_types::Headers>& to) {
  if (from.empty()) return;
  auto& headers = to.make().headers;
  for (const k8s::HeaderValue& header : from) headers.push_back({header.name, header.value});
}

}  // namespace

ParentKind kind_of(const k8s::ParentRef& parent) noexcept {
  const std::string_view group =
      parent.group ? std::string_view(*parent.group) : k8s::kGatewayGroup;
  const std::string_view kind = parent.kind ? std::string_view(*parent.kind) : "Gateway";
  if ((group.empty() || group == "core") && kind == "Service") return ParentKind::Service;
  if (group != k8s::kPolicyGroup) return ParentKind::Other;
  if (kind == "Server") return ParentKind::Server;
  return kind == "EgressNetwork" ? ParentKind::EgressNetwork : ParentKind::Other;
}

std::string_view namespace_of(const k8s::ParentRef& parent, const k8s::ObjectMeta& route) noexcept {
  return parent.ns.empty() ? route.ns : parent.ns;
}

bool is_attached(const k8s::ObjectMeta& route, const std::vector<k8s::ParentRef>& parents,
                 const k8s::Server& server) noexcept {
  if (route.ns != server.meta.ns) return false;
  return std::any_of(parents.begin(), parents.end(), [&](const k8s::ParentRef& parent) {
    return kind_of(parent) == ParentKind::Server && parent.name == server.meta.name &&
           namespace_of(parent, route) == server.meta.ns && !parent.port && parent.section.empty();
  });
}

std::vector<HostMatch> host_matches(const std::vector<std::string>& hostnames) {
  std::vector<HostMatch> out;
  for (const std::string& name : hostnames) {
    HostMatch& match = out.emplace_back();
    if (!name.starts_with("*.")) {
      match.set_exact(name);
      continue;
    }
    auto& labels = match.set_suffix().reverse_labels;
    for (const std::string_view label : split(std::string_view(name).substr(2), '.')) {
      labels.emplace(labels.begin(), label);
    }
  }
  return out;
}

std::optional<HttpRouteMatch> http_match(const k8s::HttpMatch& from) {
  HttpRouteMatch out;
  PathMatch& path = out.path.make();
  const std::string value = from.path && !from.path->value.empty() ? from.path->value : "/";
  const std::string_view type = from.path ? std::string_view(from.path->type) : "";
  if (is_regex(type)) {
    path.set_regex(value);
  } else if (type == "Exact") {
    path.set_exact(value);
  } else if (type.empty() || type == "PathPrefix") {
    path.set_prefix(value);
  } else {
    return std::nullopt;
  }
  for (const k8s::ValueMatch& header : from.headers) {
    if (!value_match(header, out.headers)) return std::nullopt;
  }
  for (const k8s::ValueMatch& parameter : from.query) {
    if (!value_match(parameter, out.query_params)) return std::nullopt;
  }
  if (!from.method.empty()) out.method.make() = method_of(from.method);
  return out;
}

std::optional<pb::grpc_route::GrpcRouteMatch> grpc_match(const k8s::GrpcMatch& from) {
  pb::grpc_route::GrpcRouteMatch out;
  auto& rpc = out.rpc.make();
  if (from.method) {
    if (!is_exact(from.method->type)) return std::nullopt;  // the wire has only exact names
    rpc.service = from.method->service;
    rpc.method = from.method->method;
  }
  for (const k8s::ValueMatch& header : from.headers) {
    if (!value_match(header, out.headers)) return std::nullopt;
  }
  return out;
}

RequestHeaderModifier request_modifier(const k8s::HeaderModifier& from) {
  RequestHeaderModifier out;
  add_headers(from.add, out.add);
  add_headers(from.set, out.set);
  out.remove = from.remove;
  return out;
}

RequestRedirect redirect(const k8s::RedirectFilter& from) {
  RequestRedirect out;
  if (from.scheme == "http" || from.scheme == "https") {
    out.scheme.make().set_registered(from.scheme == "https" ? Scheme::Registered::HTTPS
                                                            : Scheme::Registered::HTTP);
  } else if (!from.scheme.empty()) {
    out.scheme.make().set_unregistered(from.scheme);
  }
  out.host = from.hostname;
  if (from.path && from.path->type == "ReplaceFullPath") {
    out.path.make().set_full(from.path->full);
  } else if (from.path && from.path->type == "ReplacePrefixMatch") {
    out.path.make().set_prefix(from.path->prefix);
  }
  out.port = static_cast<std::uint32_t>(std::max(from.port, 0));
  out.status = from.status == 0 ? 302 : static_cast<std::uint32_t>(std::max(from.status, 0));
  return out;
}

}  // namespace tulle::control
