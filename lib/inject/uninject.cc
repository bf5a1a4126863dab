// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "lib/base/text.h"
#include "lib/inject/inject.h"
#include "lib/inject/names.h"

namespace tulle::inject {
namespace {

constexpr std::string_view kContainers[] = {kProxyContainer, kInitContainer, kValidatorContainer,
                                            kDebugContainer};
constexpr std::string_view kVolumes[] = {kXtablesVolume, kIdentityVolume, kTokenVolume,
                                         kPodInfoVolume};

bool is_ours(std::span<const std::string_view> names, const Value& item) {
  return std::find(names.begin(), names.end(), item["name"].string()) != names.end();
}

// What becomes empty by it goes, too.
void remove_items(Value& parent, std::string_view field, std::span<const std::string_view> names) {
  Value* const list = parent.find(field);
  if (list == nullptr || !list->is_list()) return;
  const std::size_t before = list->size();
  std::erase_if(list->items(), [&](const Value& item) { return is_ours(names, item); });
  if (list->size() != before && list->empty()) parent.erase(field);
}

void remove_members(Value& parent, std::string_view field) {
  Value* const map = parent.find(field);
  if (map == nullptr || !map->is_map()) return;
  const std::vector<std::string> keys = map->keys();
  bool removed = false;
  for (const std::string& key : keys) {
    if (is_injected_key(key, (*map)[key].string())) removed = map->erase(key) || removed;
  }
  if (removed && map->empty()) parent.erase(field);
}

// Annotations of the user's realm that an injection by hand has written, and says so.
void remove_recorded(Value& metadata) {
  Value* const annotations = metadata.find("annotations");
  if (annotations == nullptr || !annotations->is_map()) return;
  const std::string names((*annotations)[kInjectedConfig].string());
  for (const std::string_view name : split(names, ',')) {
    if (name.starts_with("config.")) annotations->erase(name);
  }
}

void clean_metadata(Value& parent) {
  Value* const metadata = parent.find("metadata");
  if (metadata == nullptr || (*metadata)["labels"].find(kComponent) != nullptr) return;
  const bool was_empty = metadata->empty();
  remove_recorded(*metadata);
  remove_members(*metadata, "annotations");
  remove_members(*metadata, "labels");
  if (!was_empty && metadata->empty()) parent.erase("metadata");
}

}  // namespace

bool is_injected_container(std::string_view name) noexcept {
  return std::find(std::begin(kContainers), std::end(kContainers), name) != std::end(kContainers);
}

bool is_injected_volume(std::string_view name) noexcept {
  return std::find(std::begin(kVolumes), std::end(kVolumes), name) != std::end(kVolumes);
}

bool is_injected_key(std::string_view key, std::string_view value) noexcept {
  return key.starts_with("linkerd.io") && !(key == kInject && value == "disabled");
}

Value uninject(const Value& object) {
  Value out = object;
  const auto prefix = template_prefix(object);
  // Whatever else has annotations of ours, a ConfigMap or somebody's Service of another group, has
  // them from a person.
  const bool is_injectable =
      prefix || is_kind(object, "", "Namespace") || is_kind(object, "", "Service");
  if (!is_injectable) return out;
  clean_metadata(out);
  if (!prefix) return out;
  auto* const pod = const_cast<Value*>(at_pointer(std::as_const(out), *prefix));
  if (pod == nullptr) return out;
  if (!prefix->empty()) clean_metadata(*pod);
  Value* const spec = pod->find("spec");
  if (spec == nullptr) return out;
  remove_items(*spec, "containers", kContainers);
  remove_items(*spec, "initContainers", kContainers);
  remove_items(*spec, "volumes", kVolumes);
  return out;
}

}  // namespace tulle::inject
