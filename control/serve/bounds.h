// SPDX-License-Identifier: Apache-2.0
// What the ports of the control plane keep their clients to. Nobody has said who he is when these
// bounds matter, so they hold for all: a place a connection, a time a head, memory for what is not
// whole, and in each of them the oldest gives way to the newest.
#pragma once

#include <memory>
#include <string_view>

#include "lib/metrics/metrics.h"
#include "lib/net/admission.h"

namespace tulle::control {

inline constexpr Duration kHeadTime = 10s;  // for a head, a handshake, the first byte

// Watches of clients without a certificate, on each port, wherever they come from: what they keep
// open takes no place from those who have one. A proxy whose certificate has ended is such a client
// until it has its next.
inline constexpr std::size_t kStreamsOfStrangers = 2000;

struct PortBounds {
  struct Sizes {
    // Handshakes, heads and gRPC messages of all ports. A thousand proxies that all ask for their
    // certificate in one moment need a few megabytes.
    std::size_t unfinished = std::size_t{8} * 1024 * 1024;
    // Reviews of all webhooks: the largest objects that an API server takes, some at a time.
    std::size_t reviews = std::size_t{24} * 1024 * 1024;
  };
  explicit PortBounds(metrics::Registry& registry, const Sizes& sizes)
      : refused(registry.counter("tulle_connections_refused_total",
                                 "Connections, requests and messages that a bound has ended")),
        unfinished(sizes.unfinished, count("all", "unfinished")),
        reviews(sizes.reviews, count("webhooks", "unfinished")),
        max_answering(sizes.reviews) {}
  explicit PortBounds(metrics::Registry& registry) : PortBounds(registry, Sizes{}) {}

  std::shared_ptr<metrics::Counter> count(std::string_view port, std::string_view reason) {
    return refused.get({{"port", port}, {"reason", reason}});
  }
  net::Admission::Counters counters(std::string_view port) {
    return {count(port, "no_place"), count(port, "gave_way")};
  }

  metrics::Family<metrics::Counter>& refused;
  net::HeldBytes unfinished;
  net::HeldBytes reviews;           // that have not come whole
  const std::size_t max_answering;  // bytes of reviews that are being answered
  std::size_t answering = 0;
};

}  // namespace tulle::control
