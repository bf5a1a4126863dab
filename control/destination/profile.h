// SPDX-License-Identifier: Apache-2.0
// What a proxy learns of an address or a name before it knows endpoints: whether it is a Service, a
// single pod or neither, and whether its bytes are opaque (docs/reference/control-plane.md §5.4,
// docs/reference/wire-api.md §5.4). ServiceProfile objects are not read yet: profiles have no
// routes of their own.
#pragma once

#include <string>

#include "control/config.h"
#include "control/index/index.h"
#include "control/names.h"
#include "lib/grpc/status.h"
#include "proto/destination.pb.h"

namespace tulle::control {

struct ProfileQuery {
  Authority target;
  ServiceName service;  // if the target is a name
  ClientContext client;
};
grpc::StatusOr<ProfileQuery> parse_profile_query(const pb::destination::GetDestination& request,
                                                 const MeshConfig& config);

// An unknown Service gives an empty profile, so that nobody waits; it is filled when the Service
// comes.
grpc::StatusOr<pb::destination::DestinationProfile> profile_of(const View& view,
                                                               const MeshConfig& config,
                                                               const ProfileQuery& query);

// Is this port of the Service opaque by its annotation, its namespace's, or the default list?
bool is_opaque_service_port(const View& view, const MeshConfig& config, const k8s::Service& service,
                            std::uint16_t port);
// The port that the Service defines (TCP), null if it does not.
const k8s::ServicePort* find_service_port(const k8s::Service& service, std::uint16_t port);

}  // namespace tulle::control
