// SPDX-License-Identifier: Apache-2.0
// PINGs a silent peer (RFC 9113 §6.7) and ends the connection when it stays silent.
#pragma once

#include <algorithm>
#include <optional>

#include "lib/h2/pump.h"

namespace tulle::h2 {

class KeepAlive final : public net::Timer {
 public:
  struct Options {
    std::optional<Duration>
        interval;             // PING after that long without a byte from the peer; unset: never
    Duration timeout = 3s;    // for a sign of life after a PING
    bool while_idle = false;  // also without open streams
    // A PING that waits behind other bytes proves no silence: while bytes are on their way to a
    // slow reader, TCP judges. Not for clients, which go on sending requests to a peer that is
    // dead.
    bool patient = false;
  };
  // `pump` outlives it. Of a connection whose pump has been started.
  KeepAlive(Pump& pump, const Options& options) : pump_(pump), options_(options) {}
  // Begins to watch; the handshake before it does not count as silence.
  void start() {
    pump_.heard_at = pump_.loop().now();
    if (options_.interval) schedule();
  }
  // Before the connection goes.
  void stop() { unlink(); }
  // The peer has acknowledged the PING.
  void answered() noexcept { asked_ = false; }
  // It ended the connection.
  bool gave_up() const noexcept { return gave_up_; }

  void fire() override {
    const bool waiting = options_.patient && !pump_.session().output().empty();
    const bool silent = !waiting && pump_.loop().now() - moved_at() >=
                                        (asked_ ? options_.timeout : *options_.interval);
    if (!silent) {
      asked_ = false;
    } else if (asked_) {
      gave_up_ = true;
      pump_.stream().abort();
      pump_.stop_reading();
      return;
    } else if (pump_.session().open_streams() != 0 || options_.while_idle) {
      asked_ = true;
      pump_.session().send_ping();
      pump_.flush_soon();
    }
    schedule();
  }

 private:
  TimePoint moved_at() const {
    return options_.patient ? std::max(pump_.heard_at, pump_.wrote_at) : pump_.heard_at;
  }
  void schedule() {
    // From the last sign of life, so that silence is noticed after the interval, not up to twice as
    // late.
    const TimePoint now = pump_.loop().now();
    const TimePoint quiet = std::max(moved_at() + *options_.interval, now + 1ms);
    const bool unasked = now - moved_at() >= *options_.interval;  // nothing is under way
    if (asked_) {
      pump_.loop().arm(*this, now + options_.timeout);
    } else {
      pump_.loop().arm(*this, unasked ? now + *options_.interval : quiet);
    }
  }

  Pump& pump_;
  Options options_;
  bool asked_ = false;
  bool gave_up_ = false;
};

}  // namespace tulle::h2
