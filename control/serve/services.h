// SPDX-License-Identifier: Apache-2.0
// The gRPC services of the destination and policy roles: requests in, states of the index out. The
// rules are in destination/ and policy/.
#pragma once

#include "control/config.h"
#include "control/index/index.h"
#include "lib/grpc/server.h"
#include "lib/grpc/service.h"
#include "proto/destination.pb.h"
#include "proto/inbound.pb.h"
#include "proto/outbound.pb.h"

namespace tulle::control {

class DestinationService {
 public:
  DestinationService(const MeshConfig& config, Index& index) : config_(config), index_(index) {}
  void add_to(grpc::Server& server);

 private:
  const MeshConfig& config_;
  Index& index_;
};

class PolicyService {
 public:
  PolicyService(const MeshConfig& config, Index& index) : config_(config), index_(index) {}
  void add_to(grpc::Server& server);

 private:
  net::Task<grpc::StatusOr<pb::inbound::Server>> get_port(grpc::ServerCall& call,
                                                          pb::inbound::PortSpec request);
  net::Task<grpc::StatusOr<pb::outbound::OutboundPolicy>> get(grpc::ServerCall& call,
                                                              pb::outbound::TrafficSpec request);
  const MeshConfig& config_;
  Index& index_;
};

}  // namespace tulle::control
