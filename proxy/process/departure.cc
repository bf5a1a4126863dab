// SPDX-License-Identifier: Apache-2.0
#include "proxy/process/departure.h"

namespace tulle::proxy {

Departure::State Departure::told(PodLife life) {
  life_ = life;
  // A native sidecar is told by the kubelet when the time has come.
  const bool last = life.sidecar == PodLife::Sidecar::Classic && life.application_ended;
  return last ? forward(State::Drained) : state_;
}

Departure::State Departure::terminate(TimePoint now) {
  if (state_ != State::Serving) return state_;
  silent_since_ = now;
  return forward(life_.sidecar == PodLife::Sidecar::Classic ? State::InboundDrained
                                                            : State::Drained);
}

Departure::State Departure::leave() { return forward(State::Drained); }

Departure::State Departure::saw_sockets(bool any, TimePoint now) {
  if (state_ != State::InboundDrained) return state_;
  if (any) {
    had_sockets_ = true;
    silent_since_ = now;
    return state_;
  }
  return now - silent_since_ >= (had_sockets_ ? kGone : kSilent) ? forward(State::Drained) : state_;
}

}  // namespace tulle::proxy
