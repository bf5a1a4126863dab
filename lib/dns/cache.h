// SPDX-License-Identifier: Apache-2.0
// Answers and absences, kept until they expire, the least recently used given up first. Bounded by
// records, so by memory. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "lib/base/intrusive_list.h"
#include "lib/base/time.h"
#include "lib/dns/message.h"

namespace tulle::dns {

struct Answer {
  std::string name;  // the name that was found: after the search list, before aliases
  std::vector<net::IpAddr> addresses;  // of A and AAAA, in the order of the message
  std::vector<Srv> services;           // of SRV
  TimePoint expires{};                 // believe it until then
};

class Cache {
 public:
  struct Entry : ListHook<> {
    std::string key;
    bool exists = false;  // false: an absence; the answer has nothing but `expires`
    Answer answer;
    std::size_t cost() const noexcept {
      return 1 + answer.addresses.size() + answer.services.size();
    }
  };

  // At most `max_cost` entries and records in all.
  explicit Cache(std::size_t max_cost) : max_cost_(max_cost) {}

  static std::string key(const Question& question);
  // Null if there is none or it has expired. Valid until the next call.
  const Entry* find(const std::string& key, TimePoint now);
  // Replaces the entry that is there. An answer that would not fit alone is not kept.
  void put(std::string key, bool exists, Answer answer);
  void clear();
  std::size_t size() const noexcept { return entries_.size(); }
  std::uint64_t evicted() const noexcept { return evicted_; }

 private:
  void erase(const std::string& key);
  std::size_t max_cost_;
  std::size_t cost_ = 0;
  std::uint64_t evicted_ = 0;
  std::unordered_map<std::string, std::unique_ptr<Entry>> entries_;
  IntrusiveList<Entry> by_use_;  // least recently used first
};

}  // namespace tulle::dns
