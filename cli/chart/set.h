// SPDX-License-Identifier: Apache-2.0
// --set, --set-string and --set-file as Helm reads them: "a.b=1,list[0].x=y,more={p,q}", a
// backslash takes the next character as it is. Numbers, true, false and null are such only with
// --set.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cli/chart/value.h"

namespace tulle::chart {

enum class SetKind : std::uint8_t { Typed, String, File };

// Reads a file for SetKind::File; nullopt if it cannot, with the reason in `problem`.
using FileReader =
    std::function<std::optional<std::string>(const std::string& path, std::string& problem)>;

// Changes the map `into`. "" or what is wrong.
std::string set_values(std::string_view line, SetKind kind, const Value& into,
                       const FileReader& read = {});

// `above` over `below`: maps are merged, all else is replaced. Nothing is removed by a null here.
Value merge_values(const Value& below, const Value& above);

}  // namespace tulle::chart
