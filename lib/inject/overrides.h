// SPDX-License-Identifier: Apache-2.0
// Annotations over configuration: what holds for one pod. A value that cannot be used is ignored as
// a whole, with a warning that says why, and the configuration stands.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/inject/config.h"
#include "lib/k8s/meta.h"

namespace tulle::inject {

struct Warning {
  std::string what;  // an annotation's name, or "" for the pod as a whole
  std::string reason;
  std::string to_string() const;
};

// One pod's settings.
struct Settings {
  Config config;
  bool ingress = false;
  bool gateway = false;
  bool debug = false;
  bool await_asked = false;  // proxy-await: enabled, said by the pod or its namespace
  std::optional<std::string> inbound_ports;  // instead of what the containers declare
  std::vector<Warning> warnings;
  // Not empty: nothing may be injected with this, and the pod must not start unmeshed either.
  std::string error;
};

// `annotations` are the pod's with those of the namespace under them; `of_namespace` only for what
// is merged layer by layer. `spec` (of the pod) gives names to ports.
Settings apply_annotations(const Config& config, const k8s::StringMap& annotations,
                           const k8s::StringMap& of_namespace, const k8s::StringMap& labels,
                           const Value& spec);

// "10.0.0.0/8,…": every item is a network.
bool are_networks(std::string_view text);

}  // namespace tulle::inject
