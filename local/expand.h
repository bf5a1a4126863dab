// SPDX-License-Identifier: Apache-2.0
// What a container is started with: its environment, with values taken from the pod's own fields,
// ConfigMaps and Secrets, and $(NAME) replaced in values, commands and arguments.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "local/model.h"

namespace tulle::local {

using Environment = std::vector<std::pair<std::string, std::string>>;

// $(NAME) becomes the variable's value; "$$" becomes "$", so "$$(NAME)" stays a text; unknown names
// stay as they are (the rules of Kubernetes).
std::string expand(std::string_view text, const Environment& known);

// The value of a field such as metadata.name or status.podIPs; "" for labels that are not there.
std::string field_value(const PodInput& pod, std::string_view path);

// The variables in order; each may use those before it.
Environment environment_of(const PodInput& pod, const ContainerSpec& container, const Model& model);

struct CommandLine {
  std::vector<std::string> argv;
};
// command and args over what the image does by itself.
CommandLine command_of(const ContainerSpec& container,
                       const std::vector<std::string>& image_command,
                       const Environment& environment);

}  // namespace tulle::local
