// SPDX-License-Identifier: Apache-2.0
// For tests: puts manifests into an index.
#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "control/index/index.h"
#include "lib/base/text.h"
#include "lib/k8s/manifest.h"

namespace tulle::control {

inline void put_yaml(Index& index, std::string_view yaml) {
  k8s::Manifest manifest = k8s::parse_manifest(yaml, k8s::Format::Yaml, "test.yaml");
  for (const k8s::Problem& problem : manifest.problems) ADD_FAILURE() << problem.to_string();
  for (k8s::Object& object : manifest.objects) index.put(std::move(object));
}

}  // namespace tulle::control
