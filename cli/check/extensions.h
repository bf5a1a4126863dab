// SPDX-License-Identifier: Apache-2.0
// Extensions of the mesh check themselves: a namespace labelled `linkerd.io/extension: NAME` stands
// for a program linkerd-NAME, which `check -o json` asks (docs/reference/control-plane.md §7.3,
// docs/reference/viz.md §7). So do programs linkerd-* of the PATH that want to be asked wherever
// they are.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/check/report.h"

namespace tulle::cli {

// Where the program linkerd-NAME is; nullopt if the PATH has none.
std::optional<std::string> find_extension(std::string_view name);

struct ExtensionRun {
  std::vector<std::string> names;  // what labels of namespaces say
  std::vector<std::string> flags;  // for each `check`, such as --proxy
  // Which one is being run; "" when all are done.
  std::function<void(std::string_view)> progress;
};
// Adds what each says to the report; a program that is not there is a warning.
void check_extensions(const ExtensionRun& run, Reporter& reporter);

}  // namespace tulle::cli
