// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/verified.h"

#include <algorithm>

namespace tulle::tls {

VerifiedChains::EntryPtr VerifiedChains::find(const Digest& digest, WallTime now) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const EntryPtr& entry) { return entry->digest == digest; });
  if (found == entries_.end() || now < (*found)->from || now > (*found)->until) return nullptr;
  return *found;
}

void VerifiedChains::add(EntryPtr entry) {
  const std::lock_guard lock(mutex_);
  for (EntryPtr& known : entries_) {
    if (known->digest != entry->digest) continue;
    known = std::move(entry);
    return;
  }
  if (entries_.size() < kMax) {
    entries_.push_back(std::move(entry));
    return;
  }
  entries_[next_] = std::move(entry);
  next_ = (next_ + 1) % kMax;
}

}  // namespace tulle::tls
