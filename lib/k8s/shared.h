// SPDX-License-Identifier: Apache-2.0
// Lists that objects have in common. The pods of a Deployment differ in their names and addresses,
// not in labels and containers: a Shared list is read like a vector, copies of it are one list, and
// a SharedPool makes one of all that are equal. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tulle::k8s {

template <typename T>
class SharedPool;

template <typename T>
class Shared {
 public:
  using List = std::vector<T>;
  Shared() = default;

  // As a vector that cannot be changed; views are valid until edit().
  auto begin() const noexcept { return get().begin(); }
  auto end() const noexcept { return get().end(); }
  std::size_t size() const noexcept { return get().size(); }
  bool empty() const noexcept { return get().empty(); }
  const T& operator[](std::size_t at) const { return get()[at]; }
  const T& front() const { return get().front(); }
  // Never null: an empty list stands in.
  const List& get() const noexcept {
    static const List kEmpty;
    return list_ ? *list_ : kEmpty;
  }
  // To change it, alone: others who have this list keep it as it is.
  List& edit() {
    if (!list_) {
      list_ = std::make_shared<List>();
    } else if (list_.use_count() > 1) {
      list_ = std::make_shared<List>(*list_);
    }
    return *list_;
  }
  // By contents; two that share a list are equal without a look.
  friend bool operator==(const Shared& a, const Shared& b) {
    return a.list_ == b.list_ || a.get() == b.get();
  }

 private:
  friend class SharedPool<T>;
  std::shared_ptr<List> list_;
};

// FNV-1a, for look-ups in a SharedPool only: what an attacker makes collide costs a comparison.
inline std::uint64_t mix_hash(std::uint64_t h, std::string_view text) noexcept {
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return (h ^ 0xFF) * 1099511628211ULL;
}
inline std::uint64_t mix_hash(std::uint64_t h,
                              const std::pair<std::string, std::string>& entry) noexcept {
  return mix_hash(mix_hash(h, entry.first), entry.second);
}

// Knows the lists that somebody has. T needs mix_hash(h, T), which need not look at all of it.
template <typename T>
class SharedPool {
 public:
  // If an equal list is known it becomes the one of `shared`, else it is known from now on.
  void unify(Shared<T>& shared) {
    if (!shared.list_) return;
    if (shared.list_->empty()) {
      shared.list_.reset();
      return;
    }
    std::uint64_t h = 14695981039346656037ULL;
    for (const T& item : *shared.list_) h = mix_hash(h, item);
    const auto [first, last] = known_.equal_range(h);
    for (auto at = first; at != last; ++at) {
      std::shared_ptr<typename Shared<T>::List> known = at->second.lock();
      if (known == nullptr || *known != *shared.list_) continue;
      shared.list_ = std::move(known);
      return;
    }
    shared.list_->shrink_to_fit();
    if (known_.size() >= sweep_at_) sweep();
    known_.emplace(h, shared.list_);
  }
  // Lists that are known, a few that nobody has any more among them.
  std::size_t size() const noexcept { return known_.size(); }

 private:
  // Costs as much as there are lists, and doubles its own distance, so O(1) a list.
  void sweep() {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = known_.size() * 2 + 64;
  }
  std::unordered_multimap<std::uint64_t, std::weak_ptr<typename Shared<T>::List>> known_;
  std::size_t sweep_at_ = 64;
};

}  // namespace tulle::k8s
