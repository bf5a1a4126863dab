// SPDX-License-Identifier: Apache-2.0
// `tulle inject` and `tulle uninject` (docs/reference/control-plane.md §1.13) as a function from
// texts to texts: no files, no cluster.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/inject/inject.h"

namespace tulle::cli {

struct InjectOptions {
  bool uninject = false;
  // Write the proxy into pod templates here and now; otherwise only annotate, and the cluster's
  // injector does the rest.
  bool manual = false;
  bool ingress = false;
  // config.linkerd.io/… and their values, from flags.
  std::vector<std::pair<std::string, std::string>> annotations;
  inject::Config config;
  std::string version;  // of this program
  bool native_sidecars = true;
  bool json = false;  // write JSON instead of the text that came
  bool verbose = false;
};

struct InputText {
  std::string name;  // for messages
  std::string text;
};

struct InjectResult {
  std::string out;     // standard output; "" if anything failed
  std::string report;  // standard error
  int status = 0;
};

InjectResult transform(const std::vector<InputText>& inputs, const InjectOptions& options);

// What is wrong with these annotations' values; "" if nothing.
std::string annotations_problem(const InjectOptions& options);

}  // namespace tulle::cli
