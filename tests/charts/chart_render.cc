// SPDX-License-Identifier: Apache-2.0
// chart_render FOLDER [-f FILE | --set LINE | --set-string LINE]...: a chart's folder as `helm
// template` prints it, with the renderer of tulle. For tests.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/chart/chart.h"
#include "cli/chart/set.h"
#include "cli/chart/yaml.h"

namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

int fail(const std::string& problem) {
  std::cerr << problem << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tulle::chart;  // NOLINT: a test
  if (argc < 2) return fail("chart_render FOLDER ...");
  const std::filesystem::path folder = argv[1];
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files.emplace_back(entry.path().lexically_relative(folder).string(), read(entry.path()));
  }
  std::vector<Source> sources;
  for (const auto& [path, text] : files) sources.push_back({path, text});
  std::string problem;
  const auto chart = read_chart(sources, problem);
  if (!chart) return fail(problem);
  Value given = Value::map();
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "-f") {
      const auto yaml = parse_yaml(read(argv[i + 1]), problem);
      if (!yaml) return fail(problem);
      given = merge_values(given, *yaml);
    } else {
      problem = set_values(argv[i + 1], flag == "--set" ? SetKind::Typed : SetKind::String, given);
      if (!problem.empty()) return fail(problem);
    }
  }
  std::vector<std::string> warnings;
  Rendered rendered;
  if (!render(*chart, coalesce(*chart, given, warnings), {"test", "linkerd"}, rendered, problem))
    return fail(problem);
  std::cout << to_text(rendered);
  return 0;
}
