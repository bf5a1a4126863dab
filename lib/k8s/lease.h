// SPDX-License-Identifier: Apache-2.0
// Leader election by a Lease (coordination.k8s.io/v1), compatible with client-go's: of several
// replicas one writes. Times of other machines are never compared: a lease is over when it has not
// changed for its duration by our own clock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "lib/base/text.h"
#include "lib/k8s/client.h"
#include "lib/log/log.h"

namespace tulle::k8s {

class LeaderElection {
 public:
  struct Options {
    std::string ns;
    std::string name;
    std::string identity;           // of this replica, e.g. the pod's name
    std::string manager = "tulle";  // field manager
    // ownerReferences of the Lease as JSON, "" for none, asked before each attempt to lead: the
    // Lease goes with its owner. While there is an error none is made; one that exists is taken as
    // it is.
    std::function<net::Task<Result<std::string>>()> owner;
    Duration duration = 30s;  // others take over after it
    Duration renew = 10s;     // we renew so often …
    Duration give_up = 25s;   // … and do not write any more that long after the last success
    Duration retry = 2s;      // after a failure, and between looks of those who do not lead
  };

  // All must outlive it, and it its tasks.
  LeaderElection(ApiClient& client, const log::Logger& log, Options options, std::uint64_t seed);

  // Takes part until it is destroyed.
  net::Task<void> run();
  // Gives the lease back, so that another replica need not wait for its end. After run() was
  // destroyed.
  net::Task<void> release(Deadline by);

  // May we write? Ask right before each write.
  bool leader() const noexcept { return leading_ && client_.loop().now() < lead_until_; }
  // The leader, as far as we know; "" if there is none.
  const std::string& holder() const noexcept { return seen_.holder; }
  // Called whenever leader() changes.
  void on_change(std::function<void(bool leader)> call) { on_change_ = std::move(call); }

 private:
  struct Record {
    std::string holder;
    std::string renewed;  // as written
    std::string version;
    std::int64_t seconds = 0;
    std::int64_t transitions = 0;
  };
  // One look or write; how long to wait before the next.
  net::Task<Duration> step();
  net::Task<Duration> take(bool exists);
  net::Task<Result<std::string>> owners();
  // Notes what the server says about the lease; false if that cannot be read.
  bool saw(const ApiResponse& response);
  void lead(TimePoint since);
  void lose(std::string_view why);
  std::string body(bool exists, std::string_view holder, std::string_view owners) const;

  ApiClient& client_;
  log::Logger log_;
  const Options options_;
  Random random_;
  Record seen_;
  TimePoint seen_at_{};  // when seen_ changed last
  bool leading_ = false;
  TimePoint lead_until_{};
  std::function<void(bool)> on_change_;
};

}  // namespace tulle::k8s
