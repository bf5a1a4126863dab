// SPDX-License-Identifier: Apache-2.0
#include "cli/check/extensions.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "lib/base/text.h"
#include "lib/inject/value.h"
#include "local/process.h"

namespace tulle::cli {
namespace {

namespace fs = std::filesystem;
using inject::Value;
using Kind = CheckResult::Kind;

constexpr std::string_view kPrefix = "linkerd-";
constexpr std::size_t kMostOutput = std::size_t{8} << 20;
// Who does not say what it is in this time is something else.
constexpr auto kMetadataLimit = std::chrono::seconds(5);

bool is_program(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
}

std::vector<std::string> path_folders() {
  std::vector<std::string> out;
  const char* const path = std::getenv("PATH");
  for (const std::string_view folder : split(path == nullptr ? "" : path, ':')) {
    if (!folder.empty()) out.emplace_back(folder);
  }
  return out;
}

// Every linkerd-NAME of the PATH by NAME; the first folder that has it counts.
std::map<std::string, std::string> all_programs() {
  std::map<std::string, std::string> out;
  for (const std::string& folder : path_folders()) {
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      const std::string name = at->path().filename();
      if (name.starts_with(kPrefix) && is_program(at->path()))
        out.try_emplace(name.substr(kPrefix.size()), at->path());
    }
  }
  return out;
}

bool wants_every_check(const std::string& program) {
  local::RunOptions options;
  options.limit = kMetadataLimit;
  const local::Ran ran = local::run_program({program, "_extension-metadata"}, options);
  std::string problem;
  const auto metadata = ran.ok() ? inject::parse_json(ran.output, problem) : std::nullopt;
  return metadata && (*metadata)["checks"].string() == "always";
}

// Its own report, category by category; false if that is none.
bool take_report(const Value& report, Reporter& reporter) {
  if (!report["categories"].is_list()) return false;
  for (const Value& category : report["categories"].items()) {
    reporter.begin(std::string(category["categoryName"].string()));
    for (const Value& check : category["checks"].items()) {
      const std::string_view result = check["result"].string();
      reporter.add({std::string(check["description"].string()), std::string(check["hint"].string()),
                    std::string(check["error"].string()),
                    result == "success"   ? Kind::Success
                    : result == "warning" ? Kind::Warning
                                          : Kind::Error});
    }
  }
  return true;
}

void run_one(const std::string& name, const std::string& program, const ExtensionRun& run,
             Reporter& reporter) {
  const std::string command = concat(kPrefix, name);
  std::vector<std::string> argv = {program, "check"};
  argv.insert(argv.end(), run.flags.begin(), run.flags.end());
  argv.emplace_back("--output=json");
  run.progress(command);
  local::RunOptions options;
  options.most = kMostOutput;
  const local::Ran ran = local::run_program(argv, options);
  std::string problem;
  const auto report = inject::parse_json(ran.output, problem);
  if (report && take_report(*report, reporter)) return;
  std::string shown;
  for (const std::string& word : argv) shown += concat(shown.empty() ? "" : " ", word);
  std::string_view said = trim(ran.errors);
  if (said.empty()) said = trim(ran.output);
  reporter.begin(command);
  reporter.add(
      {concat("Running: ", command, " check"), "",
       concat("it gave no report as JSON, and ended with ", std::to_string(ran.status),
              said.empty() ? "" : concat(": ", said.substr(0, 500)), "\nsee what it says: ", shown),
       Kind::Error});
}

}  // namespace

std::optional<std::string> find_extension(std::string_view name) {
  if (name.empty() || name.find('/') != std::string_view::npos) return std::nullopt;
  for (const std::string& folder : path_folders()) {
    const fs::path path = fs::path(folder) / concat(kPrefix, name);
    if (is_program(path)) return path.string();
  }
  return std::nullopt;
}

void check_extensions(const ExtensionRun& run, Reporter& reporter) {
  const auto labelled = [&](const std::string& name) {
    return std::find(run.names.begin(), run.names.end(), name) != run.names.end();
  };
  for (const auto& [name, program] : all_programs()) {
    // linkerd-await waits for a proxy, whatever it is asked.
    if (!labelled(name) && name != "await" && wants_every_check(program))
      run_one(name, program, run, reporter);
  }
  for (const std::string& name : run.names) {
    const auto program = find_extension(name);
    if (program) {
      run_one(name, *program, run, reporter);
      continue;
    }
    reporter.begin(concat(kPrefix, name));
    reporter.add(
        {concat("Linkerd extension command ", kPrefix, name, " exists"), hint_of("extensions"),
         concat(
             "a namespace is labelled linkerd.io/extension: ", name,
             ", but the PATH has no program ", kPrefix, name,
             ", so the extension is not checked: install its command line, or take the label off"),
         Kind::Warning});
  }
  run.progress("");
}

}  // namespace tulle::cli
