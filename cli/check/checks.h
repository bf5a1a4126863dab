// SPDX-License-Identifier: Apache-2.0
// The checks themselves, by category (docs/reference/control-plane.md §7.3, and what tulle adds).
#pragma once

#include <string>
#include <vector>

#include "cli/check/report.h"
#include "cli/check/view.h"

namespace tulle::cli {

struct CheckFlags {
  bool pre = false;    // before an installation
  bool crds = false;   // after that of the CRDs
  bool proxy = false;  // the data plane, too
  bool cni_enabled = false;
  std::string ns;                // whose data plane; "": all
  std::string expected_version;  // "": nobody knows the newest
  std::string version;           // of this program
};

// Both outlive the checks.
std::vector<Category> checks_for(ClusterView& view, const CheckFlags& flags);

// Parts of it.
std::vector<Category> cluster_checks(ClusterView& view, const CheckFlags& flags);
Category existence_checks(ClusterView& view);
Category config_checks(ClusterView& view);
Category cni_checks(ClusterView& view);
Category identity_checks(ClusterView& view);
Category webhook_checks(ClusterView& view);
Category data_plane_identity_checks(ClusterView& view, const CheckFlags& flags);
std::vector<Category> version_checks(ClusterView& view, const CheckFlags& flags);
Category data_plane_checks(ClusterView& view, const CheckFlags& flags);
Category opaque_ports_checks(ClusterView& view, const CheckFlags& flags);
Category high_availability_checks(ClusterView& view);
Category extension_checks(ClusterView& view);
// What labels of namespaces say, in order, each once; none if namespaces cannot be read.
std::vector<std::string> extension_names(ClusterView& view);
// What Linkerd has no check for.
Category mesh_checks(ClusterView& view);
// Linkerd's own control plane has several Deployments, with an account and a role for each.
bool is_linkerds(ClusterView& view);
// All CRDs are there, in the versions that are used.
Outcome crds_exist(ClusterView& view);
// The clocks of nodes are near that of this machine.
Outcome clocks_agree(ClusterView& view);

}  // namespace tulle::cli
