// SPDX-License-Identifier: Apache-2.0
// Metadata, which every Kubernetes object has, and the small types shared by several kinds. Only
// the fields that a mesh uses; everything is a plain value.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/k8s/shared.h"

namespace tulle::k8s {

// Labels and annotations: a small map, sorted by key.
class StringMap {
 public:
  using Entry = std::pair<std::string, std::string>;
  StringMap() = default;
  StringMap(std::initializer_list<Entry> entries) {
    for (const Entry& entry : entries) insert(entry.first, entry.second);
  }
  // Null if absent.
  const std::string* find(std::string_view key) const noexcept;
  // The value, or "" if absent.
  std::string_view get(std::string_view key) const noexcept;
  bool contains(std::string_view key) const noexcept { return find(key) != nullptr; }
  // False, and nothing changes, if the key is there already.
  bool insert(std::string key, std::string value);
  // Removes those whose key fulfils it. Does not copy a list that others share unless something
  // goes.
  template <typename Predicate>
  void erase_if(Predicate&& predicate) {
    for (const Entry& some : entries_) {
      if (!predicate(some.first)) continue;
      std::erase_if(entries_.edit(), [&](const Entry& entry) { return predicate(entry.first); });
      return;
    }
  }
  Shared<Entry>& entries() noexcept { return entries_; }
  auto begin() const noexcept { return entries_.begin(); }
  auto end() const noexcept { return entries_.end(); }
  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept { return entries_.size(); }
  friend bool operator==(const StringMap&, const StringMap&) = default;

 private:
  Shared<Entry> entries_;
};

// An RFC 3339 time in whole seconds.
struct Time {
  std::int64_t unix_seconds = 0;
  friend auto operator<=>(const Time&, const Time&) = default;
};
// "2026-08-01T12:00:00Z", also with fractions and offsets; nullopt for anything else.
std::optional<Time> parse_time(std::string_view text) noexcept;

// A port by number, or by the name that a container (or a Service) gives it.
struct IntOrString {
  std::int32_t number = 0;  // meaningful if name is empty
  std::string name;
  bool is_name() const noexcept { return !name.empty(); }
  friend bool operator==(const IntOrString&, const IntOrString&) = default;
};

// The object that this one was made for; the controller is the one that would make it anew.
struct OwnerReference {
  std::string kind;
  std::string name;
  bool controller = false;
  friend bool operator==(const OwnerReference&, const OwnerReference&) = default;
};

inline std::uint64_t mix_hash(std::uint64_t h, const OwnerReference& owner) noexcept {
  return mix_hash(mix_hash(h, owner.kind), owner.name);
}

// A name is unique within kind and namespace at one time, the uid for ever.
struct ObjectMeta {
  std::string name;
  std::string ns;  // metadata.namespace; "" for kinds that have none
  std::string uid;
  StringMap labels;
  StringMap annotations;
  Shared<OwnerReference> owners;
  std::optional<Time> created;
  std::optional<Time> deleted;  // deletionTimestamp: the object is going away
  friend bool operator==(const ObjectMeta&, const ObjectMeta&) = default;
};

// In and NotIn look at `values`; NotIn and DoesNotExist also match objects without the key.
struct SelectorRequirement {
  std::string key;
  std::string op;  // In, NotIn, Exists, DoesNotExist
  std::vector<std::string> values;
  friend bool operator==(const SelectorRequirement&, const SelectorRequirement&) = default;
};

// All conditions must hold; an empty selector matches everything.
struct LabelSelector {
  StringMap match_labels;
  std::vector<SelectorRequirement> match_expressions;
  bool matches(const StringMap& labels) const noexcept;
  friend bool operator==(const LabelSelector&, const LabelSelector&) = default;
};

}  // namespace tulle::k8s
