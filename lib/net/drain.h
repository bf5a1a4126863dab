// SPDX-License-Identifier: Apache-2.0
// Polite shutdown of many connections: each registers a listener, start() tells them all once. A
// connection that registers later hears it at once through started().
#pragma once

#include "lib/base/intrusive_list.h"

namespace tulle::net {

namespace detail {
struct DrainTag;
}

class DrainListener : public ListHook<detail::DrainTag> {
 public:
  // Finish what is under way, take nothing new. Must not destroy other listeners.
  virtual void on_drain() = 0;

 protected:
  ~DrainListener() = default;
};

// One per loop (or per connection, to close that one politely); not thread-safe.
class Drain {
 public:
  // Is it to end? What begins later asks this itself.
  bool started() const noexcept { return started_; }
  void add(DrainListener& listener) noexcept { listeners_.push_back(listener); }
  // Tells everybody who has registered; a second call does nothing.
  void start() {
    if (started_) return;
    started_ = true;
    listeners_.for_each([](DrainListener& listener) { listener.on_drain(); });
  }

 private:
  bool started_ = false;
  IntrusiveList<DrainListener, detail::DrainTag> listeners_;
};

}  // namespace tulle::net
