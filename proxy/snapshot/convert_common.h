// SPDX-License-Identifier: Apache-2.0
// Conversions that inbound and outbound policy share: references, hosts, matches, filters.
#pragma once

#include <optional>
#include <vector>

#include "proto/grpc_route.pb.h"
#include "proto/http_route.pb.h"
#include "proto/meta.pb.h"
#include "proxy/snapshot/convert.h"

namespace tulle::proxy::convert {

// nullopt: the reference has no kind (docs/reference/wire-api.md §3.2).
std::optional<Meta> meta(const pb::meta::Metadata& metadata);
// nullopt: a member that makes the whole policy invalid.
std::optional<std::vector<HostMatch>> hosts(const std::vector<pb::http_route::HostMatch>& hosts);
// The word of the method; nullopt: a number that is not known, or no token.
std::optional<std::string> method(const pb::http_types::HttpMethod& method);
// Regular expressions are compiled here: one that does not compile makes the policy invalid.
std::optional<RouteMatch> match(const pb::http_route::HttpRouteMatch& match);
std::optional<RouteMatch> match(const pb::grpc_route::GrpcRouteMatch& match);
// Filters; a ratio with denominator 0 and a status that is none make the policy invalid, too.
std::optional<Filter> filter(const pb::http_route::HttpFailureInjector& injector);
std::optional<Filter> filter(const pb::grpc_route::GrpcFailureInjector& injector);
std::optional<Filter> filter(const pb::http_route::RequestHeaderModifier& modifier);
std::optional<Filter> filter(const pb::http_route::ResponseHeaderModifier& modifier);
std::optional<Filter> filter(const pb::http_route::RequestRedirect& redirect);
std::optional<net::IpAddr> ip(const pb::net::IPAddress& address);

}  // namespace tulle::proxy::convert
