// SPDX-License-Identifier: Apache-2.0
// Who may reach a port of a workload, and which protocol to expect there
// (docs/reference/control-plane.md §6.3 and §6.4, docs/reference/wire-api.md §7). Plain functions
// over the index.
#pragma once

#include "control/config.h"
#include "control/index/index.h"
#include "control/names.h"
#include "lib/grpc/status.h"
#include "proto/inbound.pb.h"

namespace tulle::control {

struct PortQuery {
  Workload workload;
  std::uint16_t port = 0;
  bool wants_life = false;
};
grpc::StatusOr<PortQuery> parse_port_query(const pb::inbound::PortSpec& request);

// NotFound if the workload is not known as part of the mesh.
grpc::StatusOr<pb::inbound::Server> server_of(const View& view, const MeshConfig& config,
                                              const PortQuery& query);

}  // namespace tulle::control
