// SPDX-License-Identifier: Apache-2.0
// Values as chart templates see them. Maps and lists are shared, not copied, as in Go: `set` on a
// map that two variables name changes both. Maps are sorted, as templates walk them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tulle::chart {

class Value;
using List = std::vector<Value>;
using Map = std::map<std::string, Value, std::less<>>;

class Value {
 public:
  Value() = default;  // null
  Value(bool on) : data_(on) {}                                      // NOLINT: implicit
  Value(std::int64_t number) : data_(number) {}                      // NOLINT: implicit
  Value(int number) : data_(std::int64_t{number}) {}                 // NOLINT: implicit
  Value(double number) : data_(number) {}                            // NOLINT: implicit
  Value(std::string text) : data_(std::move(text)) {}                // NOLINT: implicit
  Value(std::string_view text) : data_(std::string(text)) {}         // NOLINT: implicit
  Value(const char* text) : data_(std::string(text)) {}              // NOLINT: implicit
  Value(List list) : data_(std::make_shared<List>(std::move(list))) {}  // NOLINT: implicit
  Value(Map map) : data_(std::make_shared<Map>(std::move(map))) {}      // NOLINT: implicit

  bool is_null() const noexcept { return std::holds_alternative<std::monostate>(data_); }
  // Null if it is of another kind.
  const bool* boolean() const noexcept { return std::get_if<bool>(&data_); }
  const std::int64_t* integer() const noexcept { return std::get_if<std::int64_t>(&data_); }
  const double* real() const noexcept { return std::get_if<double>(&data_); }
  const std::string* string() const noexcept { return std::get_if<std::string>(&data_); }
  List* list() const noexcept {
    const auto* const held = std::get_if<std::shared_ptr<List>>(&data_);
    return held != nullptr ? held->get() : nullptr;
  }
  Map* map() const noexcept {
    const auto* const held = std::get_if<std::shared_ptr<Map>>(&data_);
    return held != nullptr ? held->get() : nullptr;
  }
  // The member of a map; null if it has none, or is none.
  Value get(std::string_view key) const;
  // false, 0, "", nothing in it, or null.
  bool empty() const noexcept;
  Value deep_copy() const;
  // What the kind is called in Go: "map", "slice", "string", "bool", "int64", "float64", "invalid".
  std::string_view kind() const noexcept;
  // As a template prints it.
  std::string text() const;
  // By content.
  friend bool operator==(const Value& a, const Value& b);

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, std::shared_ptr<List>,
               std::shared_ptr<Map>>
      data_;
};

// The only document of a YAML text, numbers and booleans as Kubernetes reads them; `problem` says
// what is wrong with it otherwise.
Value parse_yaml(std::string_view text, std::string& problem);
// Block style with sorted keys, laid out as Helm's toYaml; no newline at the end.
std::string to_yaml(const Value& value);
std::string to_json(const Value& value);
// The shortest text that reads as this number again.
std::string number_text(double number);

}  // namespace tulle::chart
