// SPDX-License-Identifier: Apache-2.0
// A bound for what many connections hold together of things that are not whole yet: half a request
// head, half a message. Beyond it the oldest gives way, so that who begins now is served, whatever
// others have left lying about.
#pragma once

#include <cstddef>
#include <memory>

#include "lib/base/intrusive_list.h"
#include "lib/metrics/metrics.h"
#include "lib/net/address.h"

namespace tulle::net {

// Whom a bound counts an address for: itself, or for IPv6 its /64, since who has one address there
// has all of them.
IpAddr source_of(const IpAddr& address) noexcept;

namespace detail {
struct HeldTag;
}

// Of one loop; not thread-safe.
class HeldBytes {
 public:
  // `shed` counts those that gave way; may be null.
  explicit HeldBytes(std::size_t limit, std::shared_ptr<metrics::Counter> shed = nullptr)
      : limit_(limit), shed_(std::move(shed)) {}
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  class Holder : public ListHook<detail::HeldTag> {
   public:
    // `held` may be null: then nothing is counted. It outlives this, and is where this was made.
    Holder(HeldBytes* held, const IpAddr& client) : held_(held), source_(source_of(client)) {}
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    // The bytes that this holds from now on; 0: all is whole. Its age counts from when it began to
    // hold. Calls give_way() of others or of this one.
    void hold(std::size_t bytes);

   protected:
    ~Holder() { hold(0); }

   private:
    friend class HeldBytes;
    // Ends what is not whole, soon: must destroy neither this nor another holder. Called once;
    // afterwards hold() does nothing.
    virtual void give_way() = 0;

    HeldBytes* const held_;
    const IpAddr source_;
    bool gave_way_ = false;
    std::size_t bytes_ = 0;
  };

  std::size_t total() const noexcept { return total_; }

 private:
  void make_room(const IpAddr& source);
  void evict(Holder& holder);

  const std::size_t limit_;
  const std::shared_ptr<metrics::Counter> shed_;
  std::size_t total_ = 0;
  IntrusiveList<Holder, detail::HeldTag> oldest_first_;
};

}  // namespace tulle::net
