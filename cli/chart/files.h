// SPDX-License-Identifier: Apache-2.0
// What has methods in Helm: .Files (Get, GetBytes, Lines, Glob, AsConfig, AsSecrets) and
// .Capabilities.APIVersions (Has).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

inline constexpr std::string_view kFilesType = "engine.files";
inline constexpr std::string_view kVersionsType = "chartutil.VersionSet";

// Nullopt if values of its type have no such method.
std::optional<Value> call_method(const Value& of, const std::string& name,
                                 const std::vector<Value>& arguments, std::string& error);

}  // namespace tulle::chart
