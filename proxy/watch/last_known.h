// SPDX-License-Identifier: Apache-2.0
// The last known states of what nobody uses any more, for the day when nobody can be asked
// (docs/design.md §3.11). The longest unused go first. Snapshots are shared, so what is in use
// elsewhere costs nothing here.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>

namespace tulle::proxy {

struct LastKnownLimits {
  std::size_t count = 1024;
  std::size_t bytes =
      512 * 1024;  // as estimated by whoever puts; a larger single state is not kept
};

// Not thread-safe; WatchHub guards it.
template <typename Key, typename T>
class LastKnown {
 public:
  using Value = std::shared_ptr<const T>;
  explicit LastKnown(const LastKnownLimits& limits = {}) : limits_(limits) {}

  // Replaces what was known of the key, and makes it the youngest. O(1) but for what has to go.
  void put(const Key& key, Value value, std::size_t bytes) {
    drop(key);
    if (bytes > limits_.bytes) return;
    order_.push_back({key, std::move(value), bytes});
    at_[key] = std::prev(order_.end());
    bytes_ += bytes;
    while (at_.size() > limits_.count || bytes_ > limits_.bytes) drop(Key(order_.front().key));
  }
  // Null if it is not known.
  Value find(const Key& key) const {
    const auto at = at_.find(key);
    return at == at_.end() ? nullptr : at->second->value;
  }
  // No-op if it is not known.
  void drop(const Key& key) {
    const auto at = at_.find(key);
    if (at == at_.end()) return;
    bytes_ -= at->second->bytes;
    order_.erase(at->second);
    at_.erase(at);
  }
  std::size_t size() const noexcept { return at_.size(); }
  // The sum of the estimates.
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Kept {
    Key key;
    Value value;
    std::size_t bytes;
  };
  LastKnownLimits limits_;
  std::list<Kept> order_;  // the longest unused first
  std::unordered_map<Key, typename std::list<Kept>::iterator> at_;
  std::size_t bytes_ = 0;
};

}  // namespace tulle::proxy
