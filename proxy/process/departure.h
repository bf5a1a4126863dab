// SPDX-License-Identifier: Apache-2.0
// When a proxy leaves, and what it still takes until then (docs/decisions/0006). The state machine
// alone: it is told what happens and says what to drain; the work is done in proxy.cc.
//
//   serving ── TERM, or the application has ended ──► inbound drained ──► everything drained
//
// The second step comes at once, except for a classic sidecar that was told to terminate: kubelets
// signal all ordinary containers together, and an application that shuts down still dials. It then
// comes when the application is reported to have ended, or is seen to have no sockets any more
// (kubelets report nothing on the containers of a pod that terminates: kubernetes#128820).
#pragma once

#include <cstdint>
#include <optional>

#include "lib/base/time.h"

namespace tulle::proxy {

// The control plane's word on the pod (inbound.proto, Life).
struct PodLife {
  enum class Sidecar : std::uint8_t { Unknown, Classic, Native };
  Sidecar sidecar = Sidecar::Unknown;
  bool application_ended = false;
  friend bool operator==(const PodLife&, const PodLife&) = default;
};

class Departure {
 public:
  enum class State : std::uint8_t { Serving, InboundDrained, Drained };

  // An application that had sockets and has none has ended, if it stays so for this long …
  static constexpr Duration kGone = 2s;
  // … and one that had none when we were told to terminate, after this.
  static constexpr Duration kSilent = 5s;

  // Each returns the state from here on; it only goes forward.
  State told(PodLife life);
  // TERM: the application may have been told at the same moment.
  State terminate(TimePoint now);
  // Somebody asks who knows that the application has ended (POST /shutdown).
  State leave();
  // While InboundDrained: has the application sockets, or had some since the last time?
  State saw_sockets(bool any, TimePoint now);

  State state() const noexcept { return state_; }

 private:
  State forward(State to) {
    if (to > state_) state_ = to;
    return state_;
  }
  PodLife life_;
  State state_ = State::Serving;
  bool had_sockets_ = false;
  TimePoint silent_since_{};
};

}  // namespace tulle::proxy
