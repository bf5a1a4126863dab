// SPDX-License-Identifier: Apache-2.0
// How a client's proxy treats traffic to a target: protocol, routes, backends
// (docs/reference/control-plane.md §6.6, docs/reference/wire-api.md §8). Plain functions over the
// index. Route objects are not read yet: a Service has its default route.
#pragma once

#include <optional>

#include "control/config.h"
#include "control/index/index.h"
#include "control/names.h"
#include "lib/grpc/status.h"
#include "proto/outbound.pb.h"

namespace tulle::control {

struct TrafficQuery {
  Workload source;
  std::optional<net::SocketAddr> address;  // else `service` and `port`
  ServiceName service;
  std::uint16_t port = 0;
};
// InvalidArgument for what cannot be understood, NotFound for names that are no Service.
grpc::StatusOr<TrafficQuery> parse_traffic_query(const pb::outbound::TrafficSpec& request,
                                                 const MeshConfig& config);

// NotFound for addresses inside of the cluster that are no Service: their profile says what they
// are.
grpc::StatusOr<pb::outbound::OutboundPolicy> outbound_policy_of(const View& view,
                                                                const MeshConfig& config,
                                                                const TrafficQuery& query);

}  // namespace tulle::control
