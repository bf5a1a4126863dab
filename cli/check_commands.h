// SPDX-License-Identifier: Apache-2.0
// Adds `check` to the command line, and what commands against a cluster share.
#pragma once

namespace CLI {
class App;
}

namespace tulle::cli {

struct ClusterFlags;

// --kubeconfig, --context, --as, --as-group, -L; the flags outlive the parsing.
void add_cluster_flags(CLI::App* command, ClusterFlags& flags);
// `status` is what main returns; both outlive the parsing.
void add_check_command(CLI::App& app, const char* version, int& status);

}  // namespace tulle::cli
