// SPDX-License-Identifier: Apache-2.0
// Routes: to what they are attached, and their matches and filters as messages
// (docs/reference/control-plane.md §6.2, §6.4, §6.6). Plain functions.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "control/index/index.h"
#include "lib/k8s/route_objects.h"
#include "proto/grpc_route.pb.h"
#include "proto/http_route.pb.h"

namespace tulle::control {

// What a parentRef of ours may name; parents of other kinds (a Gateway) are other controllers'.
enum class ParentKind : std::uint8_t { Server, Service, EgressNetwork, Other };
ParentKind kind_of(const k8s::ParentRef& parent) noexcept;
// The parent's namespace.
std::string_view namespace_of(const k8s::ParentRef& parent, const k8s::ObjectMeta& route) noexcept;
// The whole Server, in the route's own namespace.
bool is_attached(const k8s::ObjectMeta& route, const std::vector<k8s::ParentRef>& parents,
                 const k8s::Server& server) noexcept;

// Hostnames, "*.x" among them.
std::vector<pb::http_route::HostMatch> host_matches(const std::vector<std::string>& hostnames);
// A match that can match nothing (a regular expression where there is none) gives nullopt.
std::optional<pb::http_route::HttpRouteMatch> http_match(const k8s::HttpMatch& match);
std::optional<pb::grpc_route::GrpcRouteMatch> grpc_match(const k8s::GrpcMatch& match);
pb::http_route::RequestHeaderModifier request_modifier(const k8s::HeaderModifier& modifier);
pb::http_route::RequestRedirect redirect(const k8s::RedirectFilter& filter);

}  // namespace tulle::control
