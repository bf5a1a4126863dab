// SPDX-License-Identifier: Apache-2.0
// JSON Patch (RFC 6902), as far as injection needs it: only "add". The changed object and the
// operations that change it are made together, so they cannot disagree.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/inject/value.h"

namespace tulle::inject {

struct PatchOp {
  std::string path;  // a JSON pointer
  Value value;
};
using Patch = std::vector<PatchOp>;

// "/"-escaped as one step of a pointer.
std::string pointer_step(std::string_view key);
// Adds as RFC 6902 §4.1 says: a member (replacing one that is there), or an item before the index,
// "-" for the end. False, and nothing changes, if the place above does not exist.
bool apply_add(Value& root, std::string_view path, Value value);
bool apply(Value& root, const Patch& patch);
Value to_json_patch(const Patch& patch);

class Patcher {
 public:
  // Paths given below are under `prefix`, e.g. "/spec/template".
  Patcher(Value object, std::string prefix)
      : object_(std::move(object)), prefix_(std::move(prefix)) {}

  const Value& object() const noexcept { return object_; }
  // The value that `prefix` points to.
  const Value& pod() const noexcept;
  // Nothing changes any more after one that cannot be applied: see failed_at().
  void add(std::string_view path, Value value);
  Value take_object() { return std::move(object_); }
  Patch take_patch() { return std::move(patch_); }
  // The path of the first addition that had no place; "" if all had.
  const std::string& failed_at() const noexcept { return failed_at_; }

 private:
  Value object_;
  std::string prefix_;
  Patch patch_;
  std::string failed_at_;
};

// The value that a pointer leads to, or null.
const Value* at_pointer(const Value& root, std::string_view path) noexcept;

}  // namespace tulle::inject
