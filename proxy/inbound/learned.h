// SPDX-License-Identifier: Apache-2.0
// What was seen of a target before: did HTTP come (then its server is never dialled early), or did its
// server speak first (then it is dialled at once)? Learned per (service or address, port), bounded.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "lib/net/address.h"

namespace tulle::proxy {

class Learned {
 public:
  enum class What : std::uint8_t { Nothing, Http, ServerFirst };
  What of(const net::SocketAddr& target) const {
    const auto at = seen_.find(target);
    return at == seen_.end() ? What::Nothing : at->second.what;
  }
  // At most one early dial per target is under way at a time and, until it taught something, in all.
  bool may_try(const net::SocketAddr& target) {
    Entry& entry = this->entry(target);
    if (entry.what != What::Nothing || entry.tried) return entry.what == What::ServerFirst;
    entry.tried = true;
    return true;
  }
  void http(const net::SocketAddr& target) { entry(target).what = What::Http; }
  void server_first(const net::SocketAddr& target) {
    Entry& seen = entry(target);
    if (seen.what == What::Nothing) seen.what = What::ServerFirst;
  }

 private:
  struct Entry {
    What what = What::Nothing;
    bool tried = false;
  };
  static constexpr std::size_t kMax = 4096;
  Entry& entry(const net::SocketAddr& target) {
    if (seen_.size() >= kMax && !seen_.contains(target)) seen_.erase(seen_.begin());
    return seen_[target];
  }
  std::unordered_map<net::SocketAddr, Entry> seen_;
};

}  // namespace tulle::proxy
