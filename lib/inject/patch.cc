// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/patch.h"

#include "lib/base/text.h"

namespace tulle::inject {
namespace {

std::string unescape(std::string_view step) {
  std::string out;
  for (std::size_t i = 0; i < step.size(); ++i) {
    if (step[i] == '~' && i + 1 < step.size() && (step[i + 1] == '0' || step[i + 1] == '1')) {
      out += step[++i] == '0' ? '~' : '/';
    } else {
      out += step[i];
    }
  }
  return out;
}

const Value* child(const Value& parent, std::string_view step) noexcept {
  if (parent.is_map()) return parent.find(unescape(step));
  if (!parent.is_list()) return nullptr;
  const auto index = parse_number<std::size_t>(step);
  return index && *index < parent.size() ? &parent.items()[*index] : nullptr;
}

}  // namespace

std::string pointer_step(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

const Value* at_pointer(const Value& root, std::string_view path) noexcept {
  const Value* at = &root;
  while (at != nullptr && !path.empty()) {
    if (path.front() != '/') return nullptr;
    path.remove_prefix(1);
    const std::string_view step = path.substr(0, path.find('/'));
    path.remove_prefix(step.size());
    at = child(*at, step);
  }
  return at;
}

bool apply_add(Value& root, std::string_view path, Value value) {
  if (path.empty()) {
    root = std::move(value);
    return true;
  }
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return false;
  auto* const parent = const_cast<Value*>(at_pointer(root, path.substr(0, slash)));
  if (parent == nullptr) return false;
  const std::string_view step = path.substr(slash + 1);
  if (parent->is_map()) {
    parent->set(unescape(step), std::move(value));
    return true;
  }
  if (!parent->is_list()) return false;
  if (step == "-") {
    parent->push(std::move(value));
    return true;
  }
  const auto index = parse_number<std::size_t>(step);
  if (!index || *index > parent->size()) return false;
  parent->insert(*index, std::move(value));
  return true;
}

bool apply(Value& root, const Patch& patch) {
  for (const PatchOp& op : patch) {
    if (!apply_add(root, op.path, op.value)) return false;
  }
  return true;
}

Value to_json_patch(const Patch& patch) {
  Value out = Value::list();
  for (const PatchOp& op : patch) {
    out.push(Value::map({{"op", "add"}, {"path", op.path}, {"value", op.value}}));
  }
  return out;
}

const Value& Patcher::pod() const noexcept {
  const Value* const found = at_pointer(object_, prefix_);
  static const Value kNull;
  return found != nullptr ? *found : kNull;
}

void Patcher::add(std::string_view path, Value value) {
  std::string full = prefix_ + std::string(path);
  if (!failed_at_.empty()) return;
  // The object comes from outside, so this is no mistake of ours alone.
  if (!apply_add(object_, full, value)) {
    failed_at_ = std::move(full);
    return;
  }
  patch_.push_back({std::move(full), std::move(value)});
}

}  // namespace tulle::inject
