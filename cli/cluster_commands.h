// SPDX-License-Identifier: Apache-2.0
// Adds `version`, `diagnostics` and `completion` to the command line.
#pragma once

namespace CLI {
class App;
}

namespace tulle::cli {

// `status` is what main returns; both outlive the parsing.
void add_cluster_commands(CLI::App& app, const char* version, int& status);

}  // namespace tulle::cli
