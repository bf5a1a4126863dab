// SPDX-License-Identifier: Apache-2.0
// Events (core/v1) that tell users what happened to an object. The same again is counted in the
// Event that is there; many that differ only in their message become one; all together are limited
// in rate and number, so that no fault of ours or theirs floods the API server.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "lib/base/text.h"
#include "lib/k8s/client.h"
#include "lib/log/log.h"

namespace tulle::k8s {

// The object that an Event is about.
struct EventTarget {
  std::string api_version = "v1";
  std::string kind;
  std::string ns;  // "" for what has none: such Events live in "default"
  std::string name;
  std::string uid;
};

class EventRecorder {
 public:
  enum class Type : std::uint8_t { Normal, Warning };
  struct Options {
    std::string component = "tulle-control";  // who says it
    std::string instance;                     // the pod's name
    unsigned burst = 25;                      // requests at once …
    Duration refill = 2s;                     // … and one more each
    Duration quiet = 10s;         // an Event that is there is written again at most so often
    Duration forget = 20min;      // then it is a new one
    unsigned similar = 10;        // messages of one reason and target before they become one
    std::size_t max_known = 512;  // more are dropped, and counted
  };

  // Client and log must outlive it.
  EventRecorder(ApiClient& client, const log::Logger& log, Options options, std::uint64_t seed);

  // Never waits; what is recorded is sent by run().
  void record(const EventTarget& target, Type type, std::string_view reason,
              std::string_view message);
  // Sends until it is destroyed.
  net::Task<void> run();

  std::uint64_t dropped() const noexcept { return dropped_; }
  std::uint64_t sent() const noexcept { return sent_; }

 private:
  struct Known {
    EventTarget target;
    Type type = Type::Normal;
    std::string reason;
    std::string message;
    std::string name;  // of the Event; "" until it was made
    std::uint32_t count = 0;
    std::uint32_t told = 0;  // the count that the server knows
    WallTime first{}, last{};
    TimePoint used{};        // when it was recorded last
    TimePoint not_before{};  // the next request
  };
  struct Similar {
    unsigned messages = 0;
    TimePoint since{};
  };
  void forget_old(TimePoint now);
  // The next to send whose time has come; null if there is none, and `wait` says for how long.
  Known* next(TimePoint now, Duration& wait);
  bool take_token(TimePoint now, Duration& wait);
  net::Task<void> send(std::string key);
  std::string body(const Known& known) const;

  ApiClient& client_;
  log::Logger log_;
  const Options options_;
  Random random_;
  std::map<std::string, Known> known_;
  std::map<std::string, Similar> similar_;
  net::Signal recorded_;
  double tokens_;
  TimePoint tokens_at_{};
  std::uint64_t dropped_ = 0;
  std::uint64_t sent_ = 0;
  bool refused_ = false;  // was logged
};

}  // namespace tulle::k8s
