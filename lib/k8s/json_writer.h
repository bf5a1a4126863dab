// SPDX-License-Identifier: Apache-2.0
// Writes JSON into a string: commas and escapes are its business, the shape is the caller's.
//   JsonWriter json;
//   json.object([&] { json.member("kind", "Lease"); json.key("spec"); json.object([&] { … }); });
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tulle::k8s {

class JsonWriter {
 public:
  // Calls `members`, which writes key() and a value for each; braces and commas are added.
  template <typename Members>
  void object(Members&& members) {
    open('{');
    std::forward<Members>(members)();
    close('}');
  }
  // Calls `items`, which writes the values.
  template <typename Items>
  void list(Items&& items) {
    open('[');
    std::forward<Items>(items)();
    close(']');
  }
  // Both escape what JSON wants escaped.
  void key(std::string_view name);
  void value(std::string_view text);
  void value(const char* text) { value(std::string_view(text)); }
  void value(const std::string& text) { value(std::string_view(text)); }
  void value(std::same_as<bool> auto truth) { raw(truth ? "true" : "false"); }
  void value(std::integral auto number) requires(!std::same_as<decltype(number), bool>) {
    raw(std::to_string(number));
  }
  // Text that is JSON already.
  void raw(std::string_view json);
  template <typename T>
  void member(std::string_view name, const T& its_value) {
    key(name);
    value(its_value);
  }
  // Leaves the member out if the text is empty.
  void member_unless_empty(std::string_view name, std::string_view text) {
    if (!text.empty()) member(name, text);
  }

  const std::string& text() const noexcept { return out_; }
  // The text; the writer is to be thrown away afterwards.
  std::string take() { return std::move(out_); }

 private:
  void open(char bracket);
  void close(char bracket);
  void comma();

  std::string out_;
  bool first_ = true;  // nothing before it needs a comma
};

}  // namespace tulle::k8s
