// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/files.h"

#include "cli/chart/yaml.h"
#include "lib/base/text.h"

namespace tulle::chart {

namespace {

// * is anything but a slash, ** anything, ? one character.
bool glob(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') {
    const bool across = pattern.starts_with("**");
    const std::string_view rest = pattern.substr(across ? 2 : 1);
    for (std::size_t i = 0; i <= name.size(); ++i) {
      if (glob(rest, name.substr(i))) return true;
      if (i < name.size() && name[i] == '/' && !across) return false;
    }
    return false;
  }
  if (name.empty() || (pattern[0] != '?' && pattern[0] != name[0]) ||
      (pattern[0] == '?' && name[0] == '/'))
    return false;
  return glob(pattern.substr(1), name.substr(1));
}

std::string as_yaml(const Value& files, bool encode) {
  Value::Members out;
  for (const auto& [name, content] : files.members()) {
    out.insert_or_assign(name.substr(name.rfind('/') + 1),
                         encode ? Value(base64_encode(as_bytes(content.text()))) : content);
  }
  return to_yaml(Value::map(std::move(out)));
}

}  // namespace

std::optional<Value> call_method(const Value& of, const std::string& name,
                                 const std::vector<Value>& arguments, std::string& error) {
  const auto takes_text = [&] {
    if (arguments.size() == 1 && arguments[0].is_string()) return true;
    error = "one argument is expected, a string";
    return false;
  };
  if (of.struct_type() == kVersionsType && name == "Has") {
    return takes_text() ? Value(of.find(arguments[0].text()) != nullptr) : Value();
  }
  if (of.struct_type() != kFilesType) return std::nullopt;
  if (name == "Get" || name == "GetBytes" || name == "Lines") {
    if (!takes_text()) return Value();
    const Value* const file = of.find(arguments[0].text());
    if (name != "Lines") return file != nullptr ? *file : Value("");
    Value::List lines;
    if (file != nullptr) {
      for (const std::string_view line : split(file->text(), '\n')) lines.emplace_back(line);
      if (lines.back().text().empty()) lines.pop_back();
    }
    return Value(std::move(lines));
  }
  if (name == "Glob") {
    if (!takes_text()) return Value();
    Value::Members found;
    for (const auto& [path, content] : of.members()) {
      if (glob(arguments[0].text(), path)) found.emplace(path, content);
    }
    return Value::map(std::move(found), std::string(kFilesType));
  }
  if (name == "AsConfig" || name == "AsSecrets") return Value(as_yaml(of, name == "AsSecrets"));
  return std::nullopt;
}

}  // namespace tulle::chart
