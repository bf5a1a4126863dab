// SPDX-License-Identifier: Apache-2.0
// Is an object of the form that injection changes? Objects come from outside: what Kubernetes would
// not take is refused with the field and the reason before anything is read from it or added to it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lib/inject/value.h"

namespace tulle::inject {

// More than any real pod has, few enough to be answered in moments.
inline constexpr std::size_t kMaxContainers = 2'000;  // of each list
inline constexpr std::size_t kMaxItems = 10'000;      // any other list or map; ports in all

// "metadata.labels must be a map, it is a list"; "" if nothing is wrong. `path` is where `object`
// is in what its owner wrote ("/spec/template"). The metadata of any object.
std::string metadata_problem(const Value& object, std::string_view path = "");
// A pod or a pod template: metadata, containers and volumes.
std::string pod_problem(const Value& pod, std::string_view path = "");
// A Service: metadata and ports.
std::string service_problem(const Value& service);

}  // namespace tulle::inject
