// SPDX-License-Identifier: Apache-2.0
// chart_render FOLDER [VALUES.yaml]: prints a chart as `helm template` does; for the comparison with Helm.
#include <cstdio>
#include <fstream>
#include <sstream>

#include "cli/chart/chart.h"
#include "cli/chart/template.h"

int main(int argc, char** argv) {
  using namespace tulle::chart;
  if (argc < 2) return 2;
  Value values = Map{};
  if (argc > 2) {
    std::ifstream file(argv[2]);
    std::stringstream text;
    text << file.rdbuf();
    std::string problem;
    values = parse_yaml(text.str(), problem);
    if (!problem.empty()) {
      std::fprintf(stderr, "%s\n", problem.c_str());
      return 2;
    }
  }
  try {
    const std::string out = to_text(render(read_chart(argv[1]), {}, values));
    std::fwrite(out.data(), 1, out.size(), stdout);
  } catch (const TemplateError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
