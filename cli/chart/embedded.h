// SPDX-License-Identifier: Apache-2.0
// The charts of this source, as the build puts them into the program.
#pragma once

#include <span>
#include <string_view>

namespace tulle::chart {

struct EmbeddedFile {
  std::string_view path;  // "linkerd-crds/Chart.yaml"
  std::string_view content;
};
std::span<const EmbeddedFile> embedded_files();

}  // namespace tulle::chart
