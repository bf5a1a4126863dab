// SPDX-License-Identifier: Apache-2.0
#include "lib/net/held_bytes.h"

#include <algorithm>
#include <array>

namespace tulle::net {

IpAddr source_of(const IpAddr& address) noexcept {
  if (address.is_v4()) return address;
  std::array<std::uint8_t, 16> network{};
  std::copy_n(address.octets().begin(), 8, network.begin());
  return IpAddr::v6(network);
}

void HeldBytes::Holder::hold(std::size_t bytes) {
  if (held_ == nullptr || gave_way_ || bytes == bytes_) return;
  if (bytes_ == 0) held_->oldest_first_.push_back(*this);
  if (bytes == 0) unlink();
  held_->total_ += bytes;
  held_->total_ -= std::exchange(bytes_, bytes);
  if (held_->total_ > held_->limit_) held_->make_room(source_);
}

void HeldBytes::evict(Holder& holder) {
  holder.unlink();
  total_ -= std::exchange(holder.bytes_, 0);
  holder.gave_way_ = true;
  if (shed_ != nullptr) shed_->add();
  holder.give_way();
}

// A source that holds more than half has only what is its own pushed out: one source alone cannot
// take away what others have begun. Frees some more than it must, so that not each byte of a flood
// has the list looked through.
void HeldBytes::make_room(const IpAddr& source) {
  const std::size_t enough = limit_ - limit_ / 8;
  std::size_t of_source = 0;
  oldest_first_.for_each([&](Holder& each) {
    if (each.source_ == source) of_source += each.bytes_;
  });
  const bool greedy = of_source > limit_ / 2;
  oldest_first_.for_each([&](Holder& each) {
    if (total_ > enough && (!greedy || each.source_ == source)) evict(each);
  });
}

}  // namespace tulle::net
