// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/cache.h"

#include "lib/base/text.h"

namespace tulle::dns {

std::string Cache::key(const Question& question) {
  std::string key = question.name;
  key += ' ';
  append_number(key, static_cast<unsigned>(question.type));
  return key;
}

const Cache::Entry* Cache::find(const std::string& key, TimePoint now) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return nullptr;
  Entry& entry = *at->second;
  if (entry.answer.expires <= now) {
    erase(key);
    return nullptr;
  }
  entry.unlink();
  by_use_.push_back(entry);
  return &entry;
}

void Cache::put(std::string key, bool exists, Answer answer) {
  erase(key);
  auto entry = std::make_unique<Entry>();
  entry->key = key;
  entry->exists = exists;
  entry->answer = std::move(answer);
  if (entry->cost() > max_cost_) return;
  while (cost_ + entry->cost() > max_cost_) {
    const std::string oldest = by_use_.front().key;
    erase(oldest);
    ++evicted_;
  }
  cost_ += entry->cost();
  by_use_.push_back(*entry);
  entries_.emplace(std::move(key), std::move(entry));
}

void Cache::erase(const std::string& key) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return;
  cost_ -= at->second->cost();
  entries_.erase(at);
}

void Cache::clear() {
  entries_.clear();
  cost_ = 0;
}

}  // namespace tulle::dns
