// SPDX-License-Identifier: Apache-2.0
// Adds `identity` and what `diagnostics` asks of the control plane to the command line.
#pragma once

namespace CLI {
class App;
}

namespace tulle::cli {

// `status` is what main returns; it outlives the parsing.
void add_identity_command(CLI::App& app, int& status);
// Below `diagnostics`: endpoints, policy, profile.
void add_introspect_commands(CLI::App& diagnostics, int& status);

}  // namespace tulle::cli
