// SPDX-License-Identifier: Apache-2.0
#include "lib/net/admission.h"

namespace tulle::net {

Place::Place(Admission& admission, const IpAddr& client)
    : admission_(admission), source_(source_of(client)) {
  admission_.idle_.push_back(*this);
  ++admission_.size_;
  ++admission_.by_source_[source_];
}

Place::~Place() { admission_.leave(*this); }

void Place::moved() noexcept {
  if (!linked()) return;  // it has given way
  unlink();
  (busy_ ? admission_.busy_ : admission_.idle_).push_back(*this);
}

void Place::set_busy(bool busy) noexcept {
  if (busy == busy_) return;
  busy_ = busy;
  moved();
}

// Of `source`, or of all; null if all are busy.
Place* Admission::longest_idle(const IpAddr* source) noexcept {
  Place* found = nullptr;
  const auto look = [&](Place& place) {
    if (found == nullptr && (source == nullptr || place.source_ == *source)) found = &place;
  };
  idle_.for_each(look);
  if (limits_.busy_gives_way && found == nullptr) busy_.for_each(look);
  return found;
}

void Admission::leave(Place& place) noexcept {
  if (!place.linked()) return;
  place.unlink();
  --size_;
  const auto at = by_source_.find(place.source_);
  if (--at->second == 0) by_source_.erase(at);
}

bool Admission::admit(const IpAddr& client) {
  const IpAddr source = source_of(client);
  const auto known = by_source_.find(source);
  const bool source_full = known != by_source_.end() && known->second >= limits_.per_source;
  if (!source_full && size_ < limits_.total) return true;
  Place* const place = longest_idle(source_full ? &source : nullptr);
  if (place == nullptr) {
    if (counters_.refused != nullptr) counters_.refused->add();
    return false;
  }
  leave(*place);
  if (counters_.gave_way != nullptr) counters_.gave_way->add();
  place->give_way();
  return true;
}

std::unique_ptr<GuestStream> GuestStream::make(Admission& admission, HeldBytes* unfinished,
                                               Accepted accepted) {
  if (!admission.admit(accepted.client.ip)) {
    accepted.stream->abort();
    return nullptr;
  }
  return std::unique_ptr<GuestStream>(new GuestStream(admission, unfinished, std::move(accepted)));
}

}  // namespace tulle::net
