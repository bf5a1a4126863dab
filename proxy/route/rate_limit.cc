// SPDX-License-Identifier: Apache-2.0
#include "proxy/route/rate_limit.h"

namespace tulle::proxy {

RateLimit::RateLimit(Spec spec) : spec_(std::move(spec)) {
  if (spec_.total != 0) total_.emplace(spec_.total);
  for (const Override& entry : spec_.overrides) {
    if (entry.per_second == 0) continue;
    const auto bucket = std::make_shared<RateBucket>(entry.per_second);
    for (const std::string& identity : entry.identities) overrides_.emplace(identity, bucket);
  }
  if (spec_.identity != 0) overflow_ = std::make_unique<RateBucket>(spec_.identity);
}

RateLimit::Scope RateLimit::admit(const std::string& identity, TimePoint now) {
  if (total_ && !total_->admit(now)) return Scope::Total;
  if (!identity.empty()) {
    if (const auto at = overrides_.find(identity); at != overrides_.end()) {
      return at->second->admit(now) ? Scope::None : Scope::Identity;
    }
  }
  if (spec_.identity == 0) return Scope::None;
  const std::lock_guard lock(mutex_);
  auto at = identities_.find(identity);
  if (at == identities_.end()) {
    if (identities_.size() >= kMaxIdentities) {
      return overflow_->admit(now) ? Scope::None : Scope::Identity;
    }
    at = identities_.emplace(identity, std::make_unique<RateBucket>(spec_.identity)).first;
  }
  return at->second->admit(now) ? Scope::None : Scope::Identity;
}

}  // namespace tulle::proxy
