// SPDX-License-Identifier: Apache-2.0
// A Helm chart rendered without Helm: what `helm template` prints, byte for byte, for charts that
// keep to the functions of functions.h and have no dependencies. Hooks are printed after the rest,
// as Helm does it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

// A file of a chart's folder; `path` from that folder. What is given here must outlive what is made
// of it.
struct Source {
  std::string_view path;
  std::string_view text;
};

struct Chart {
  std::string name;
  std::string version;
  std::string app_version;
  std::string kube_version;  // a constraint; "" for none
  Value metadata;            // .Chart
  Value values;              // values.yaml
  std::string_view schema;   // values.schema.json; "" if there is none
  Value files;               // .Files
  std::vector<Source> templates;
};

// The problem ("CHART: …") goes to `problem`.
std::optional<Chart> read_chart(std::span<const Source> files, std::string& problem);

struct Release {
  std::string name;
  std::string ns;
  bool upgrade = false;
  std::string kube_version =
      "v1.34.0";  // what .Capabilities says, and what kubeVersion of the chart is held against
};

// Values that somebody gave, over the chart's own: maps are merged, everything else is replaced,
// null removes. What Helm warns of ("destination for proxy is a table…") goes to `warnings`.
Value coalesce(const Chart& chart, const Value& given, std::vector<std::string>& warnings);

struct Manifest {
  std::string file;  // CHART/templates/FILE
  std::string text;
  std::string api_version, kind, name;
  std::string ns;  // as it is written; "" if it is not
};

struct Rendered {
  std::vector<Manifest> manifests;  // in the order of installation
  std::vector<Manifest> hooks;
  std::string notes;
};

// `values` as coalesce gave them; they are checked against the chart's schema. False and a problem
// if the chart refuses them or does not render.
bool render(const Chart& chart, const Value& values, const Release& release, Rendered& into,
            std::string& problem);

// As helm template prints them.
std::string to_text(const Rendered& rendered);

}  // namespace tulle::chart
