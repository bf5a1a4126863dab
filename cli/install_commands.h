// SPDX-License-Identifier: Apache-2.0
// Adds `install`, `upgrade`, `uninstall` and `prune` to the command line. Each prints manifests,
// for kubectl to apply or to delete; none of them changes a cluster.
#pragma once

namespace CLI {
class App;
}

namespace tulle::cli {

// `status` is what main returns; both outlive the parsing.
void add_install_commands(CLI::App& app, const char* version, int& status);

}  // namespace tulle::cli
