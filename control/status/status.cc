// SPDX-License-Identifier: Apache-2.0
#include "control/status/status.h"

#include <algorithm>
#include <string>

#include "control/policy/routes.h"
#include "lib/base/text.h"

namespace tulle::control {
namespace {

using k8s::StatusCondition;

StatusCondition condition(std::string_view type, bool holds, std::string_view reason,
                          std::string message = "") {
  return {
      std::string(type), holds ? "True" : "False", std::string(reason), std::move(message), "", 0};
}
StatusCondition accepted() { return condition("Accepted", true, "Accepted"); }
StatusCondition not_accepted(std::string_view reason, std::string message) {
  return condition("Accepted", false, reason, std::move(message));
}

// The same object and port, by whatever words.
bool same_parent(const k8s::ParentRef& a, const k8s::ObjectMeta& of_a, const k8s::ParentRef& b,
                 const k8s::ObjectMeta& of_b) {
  return kind_of(a) == kind_of(b) && a.name == b.name && a.port == b.port &&
         namespace_of(a, of_a) == namespace_of(b, of_b);
}

// Kinds of routes exclude each other on one parent: gRPC before HTTP before TLS before TCP.
template <typename Route>
constexpr int rank_of() {
  if constexpr (std::is_same_v<Route, k8s::GrpcRoute>) return 0;
  if constexpr (std::is_same_v<Route, k8s::TlsRoute>) return 2;
  if constexpr (std::is_same_v<Route, k8s::TcpRoute>) return 3;
  return 1;
}

template <typename Stronger, typename Route>
bool is_stronger(const View& view, const Route& route, const k8s::ParentRef& parent) {
  if constexpr (rank_of<Stronger>() < rank_of<Route>()) {
    for (const Stronger* const other : view.all<Stronger>()) {
      for (const k8s::ParentRef& ref : other->spec.parents) {
        if (same_parent(ref, other->meta, parent, route.meta)) return true;
      }
    }
  }
  return false;
}

template <typename Route>
bool in_conflict(const View& view, const Route& route, const k8s::ParentRef& parent) {
  return is_stronger<k8s::GrpcRoute>(view, route, parent) ||
         is_stronger<k8s::HttpRoute>(view, route, parent) ||
         is_stronger<k8s::PolicyHttpRoute>(view, route, parent) ||
         is_stronger<k8s::TlsRoute>(view, route, parent);
}

const k8s::EgressNetwork* egress_network(const View& view, std::string_view ns,
                                         std::string_view name) {
  for (const k8s::EgressNetwork* const network : view.egress_networks()) {
    if (network->meta.ns == ns && network->meta.name == name) return network;
  }
  return nullptr;
}

bool has_server(const View& view, std::string_view ns, std::string_view name) {
  const auto servers = view.servers(ns);
  return std::any_of(servers.begin(), servers.end(),
                     [&](const k8s::Server* server) { return server->meta.name == name; });
}

template <typename Route>
StatusCondition acceptance(const View& view, const MeshConfig& config, const Route& route,
                           const k8s::ParentRef& parent) {
  const std::string_view ns = namespace_of(parent, route.meta);
  const auto none = [](std::string message = "") {
    return not_accepted("NoMatchingParent", std::move(message));
  };
  switch (kind_of(parent)) {
    case ParentKind::Server:
      if (ns != route.meta.ns) return none("a Server must be in the route's namespace");
      if (!has_server(view, ns, parent.name)) return none();
      if (parent.port || !parent.section.empty()) {
        return none("a Server has no sections and one port: port and sectionName must be absent");
      }
      break;
    case ParentKind::Service: {
      const k8s::Service* const service = view.service(ns, parent.name);
      if (service == nullptr) return none();
      if (service->spec.cluster_ip == "None") return none("a headless Service cannot be a parent");
      break;
    }
    case ParentKind::EgressNetwork: {
      const k8s::EgressNetwork* const network = egress_network(view, ns, parent.name);
      if (network == nullptr) return none();
      if (egress_status(config, *network).conditions.front().status != "True") {
        return none("the EgressNetwork is not accepted");
      }
      break;
    }
    case ParentKind::Other: break;
  }
  if (in_conflict(view, route, parent)) {
    return not_accepted("RouteReasonConflicted",
                        "a route of a kind that comes first has this parent");
  }
  return accepted();
}

// What is wrong with the backend, if anything.
template <typename Route>
std::optional<StatusCondition> backend_problem(const View& view, const Route& route,
                                               const k8s::BackendRef& backend) {
  const auto problem = [](std::string_view reason, std::string message) {
    return condition("ResolvedRefs", false, reason, std::move(message));
  };
  k8s::ParentRef as_parent;
  as_parent.group = backend.group.value_or("");
  as_parent.kind = backend.kind.value_or("Service");
  const std::string_view ns = backend.ns.empty() ? std::string_view(route.meta.ns) : backend.ns;
  switch (kind_of(as_parent)) {
    case ParentKind::Service:
      if (view.service(ns, backend.name) != nullptr) return std::nullopt;
      return problem("BackendNotFound", concat("there is no Service ", ns, "/", backend.name));
    case ParentKind::EgressNetwork: {
      if (egress_network(view, ns, backend.name) == nullptr) {
        return problem("BackendNotFound",
                       concat("there is no EgressNetwork ", ns, "/", backend.name));
      }
      const auto& parents = route.spec.parents;
      const bool same =
          std::all_of(parents.begin(), parents.end(), [&](const k8s::ParentRef& parent) {
            return kind_of(parent) == ParentKind::EgressNetwork && parent.name == backend.name &&
                   namespace_of(parent, route.meta) == ns;
          });
      if (same) return std::nullopt;
      return problem("InvalidKind", "an EgressNetwork can be the backend only of its own routes");
    }
    default:
      return problem("InvalidKind",
                     concat("a backend must be a Service or an EgressNetwork, not a ",
                            backend.kind.value_or("Service")));
  }
}

template <typename Route>
StatusCondition resolution(const View& view, const Route& route) {
  for (const auto& rule : route.spec.rules) {
    for (const k8s::BackendRef& backend : rule.backends) {
      if (auto problem = backend_problem(view, route, backend)) return *std::move(problem);
    }
  }
  return condition("ResolvedRefs", true, "ResolvedRefs");
}

k8s::ParentRef normalized(const k8s::ParentRef& parent, const k8s::ObjectMeta& route) {
  k8s::ParentRef out = parent;
  out.group = kind_of(parent) == ParentKind::Service ? "core" : std::string(k8s::kPolicyGroup);
  out.ns = namespace_of(parent, route);
  out.section.clear();
  return out;
}

}  // namespace

template <typename Route>
std::vector<k8s::RouteParentStatus> route_status(const View& view, const MeshConfig& config,
                                                 const Route& route) {
  std::vector<k8s::RouteParentStatus> out;
  for (const k8s::ParentRef& parent : route.spec.parents) {
    if (kind_of(parent) == ParentKind::Other) continue;
    k8s::RouteParentStatus& entry = out.emplace_back();
    entry.controller = kStatusController;
    entry.parent = normalized(parent, route.meta);
    entry.conditions.push_back(acceptance(view, config, route, parent));
    if (kind_of(parent) != ParentKind::Server) entry.conditions.push_back(resolution(view, route));
  }
  return out;
}
template std::vector<k8s::RouteParentStatus> route_status(const View&, const MeshConfig&,
                                                          const k8s::PolicyHttpRoute&);
template std::vector<k8s::RouteParentStatus> route_status(const View&, const MeshConfig&,
                                                          const k8s::HttpRoute&);
template std::vector<k8s::RouteParentStatus> route_status(const View&, const MeshConfig&,
                                                          const k8s::GrpcRoute&);
template std::vector<k8s::RouteParentStatus> route_status(const View&, const MeshConfig&,
                                                          const k8s::TlsRoute&);
template std::vector<k8s::RouteParentStatus> route_status(const View&, const MeshConfig&,
                                                          const k8s::TcpRoute&);

k8s::PolicyStatus rate_limit_status(const View& view, const k8s::HttpLocalRateLimitPolicy& policy) {
  k8s::PolicyStatus out;
  out.target = policy.spec.target;
  out.target->ns = policy.meta.ns;
  if (!has_server(view, policy.meta.ns, policy.spec.target.name)) {
    out.conditions.push_back(not_accepted("NoMatchingTarget", ""));
    return out;
  }
  // The oldest one has the Server.
  for (const auto* const other : view.rate_limits(policy.meta.ns)) {
    if (other->spec.target.name != policy.spec.target.name) continue;
    if (other->meta.name == policy.meta.name) break;
    out.conditions.push_back(
        not_accepted("RateLimitReasonAlreadyExists",
                     concat("the older ", other->meta.name, " has this Server")));
    return out;
  }
  out.conditions.push_back(accepted());
  return out;
}

k8s::PolicyStatus egress_status(const MeshConfig& config, const k8s::EgressNetwork& network) {
  k8s::PolicyStatus out;
  const auto overlaps = [&](const k8s::NetworkMatch& match) {
    return std::any_of(config.cluster_networks.begin(), config.cluster_networks.end(),
                       [&](const net::Cidr& cluster) {
                         return cluster.contains(match.cidr->ip) ||
                                match.cidr->contains(cluster.ip);
                       });
  };
  const auto holes_cover = [&](const k8s::NetworkMatch& match) {
    return std::all_of(config.cluster_networks.begin(), config.cluster_networks.end(),
                       [&](const net::Cidr& cluster) {
                         if (!cluster.contains(match.cidr->ip) && !match.cidr->contains(cluster.ip))
                           return true;
                         return std::any_of(
                             match.except.begin(), match.except.end(), [&](const net::Cidr& hole) {
                               return hole.contains(cluster.ip) && hole.prefix <= cluster.prefix;
                             });
                       });
  };
  for (const k8s::NetworkMatch& match :
       network.spec.networks.value_or(std::vector<k8s::NetworkMatch>{})) {
    if (!match.cidr || !overlaps(match) || holes_cover(match)) continue;
    out.conditions.push_back(
        not_accepted("EgressReasonNetworkOverlap",
                     concat(match.cidr->to_string(), " is part of the cluster's networks")));
    return out;
  }
  out.conditions.push_back(accepted());
  return out;
}

bool same_conditions(const std::vector<StatusCondition>& there,
                     const std::vector<StatusCondition>& wanted) {
  return std::equal(there.begin(), there.end(), wanted.begin(), wanted.end(),
                    [](const StatusCondition& a, const StatusCondition& b) {
                      return a.type == b.type && a.status == b.status && a.reason == b.reason &&
                             a.message == b.message;
                    });
}

}  // namespace tulle::control
