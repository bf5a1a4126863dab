// SPDX-License-Identifier: Apache-2.0
// What a cluster says about its mesh, for commands that run on the user's machine: one look through
// the API server, with the user's kubeconfig.
#pragma once

#include <string>

#include "cli/cluster.h"

namespace tulle::cli {

struct ClusterValues {
  std::string values;           // Helm values as YAML: linkerd-config
  std::string trust_anchors;    // PEM: linkerd-identity-trust-roots; "" if it is not there
  bool native_sidecars = true;  // Kubernetes ≥ 1.29
};

// "" or what has failed.
std::string read_cluster_values(const ClusterFlags& flags, ClusterValues& into);

}  // namespace tulle::cli
