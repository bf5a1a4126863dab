// SPDX-License-Identifier: Apache-2.0
// A chart as Helm knows it, and what it renders to: the same text as `helm template` prints.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

struct Chart {
  std::string name;
  Value about;   // Chart.yaml
  Value values;  // values.yaml
  std::map<std::string, std::string> files;  // all of them, by path in the chart
};

// A chart that this program was built with: linkerd-crds, linkerd-control-plane. Throws
// TemplateError if there is none of this name.
Chart built_in(std::string_view name);
// From a folder; throws TemplateError.
Chart read_chart(const std::string& folder);

struct Release {
  std::string name = "linkerd-control-plane";
  std::string ns = "linkerd";
  bool upgrade = false;
  std::string kube_version = "v1.34.0";
};

// One object as it is rendered.
struct Manifest {
  std::string source;  // "linkerd-control-plane/templates/rbac.yaml"
  std::string kind;
  std::string api_version;
  std::string name;
  std::string text;
};

// In the order in which they are installed. `values` are those of the user, put onto the chart's.
// Throws TemplateError, or Refusal for what the chart itself refuses.
std::vector<Manifest> render(const Chart& chart, const Release& release, const Value& values);
// As `helm template` prints them.
std::string to_text(const std::vector<Manifest>& manifests);

}  // namespace tulle::chart
