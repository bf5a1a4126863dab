// SPDX-License-Identifier: Apache-2.0
// Keeps the addresses of one control-plane service current (docs/reference/proxy.md §1.8): SRV
// records of a headless Service name its pods and ports, otherwise A and AAAA records with the
// configured port. Addresses that were found stay until others are found: a control plane or a DNS
// that is away changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/dns/resolver.h"

namespace tulle::dns {

struct ControlNameOptions {
  std::string host;  // a name (absolute if it ends in a dot) or an address
  std::uint16_t port = 0;
  Duration min_refresh = 5s;  // names are not asked for more often, whatever their TTL
  // After a failure that says nothing about how long it lasts: doubles from min to max.
  Duration backoff_min = 100ms;
  Duration backoff_max = 10s;
  Duration query_timeout = 10s;  // for one look-up of each kind
  // Called after each look-up, for metrics (control_dns_resolutions_total). May be empty.
  std::function<void(bool srv, bool found)> on_look_up;
};

class ControlName {
 public:
  struct Targets {
    std::vector<net::SocketAddr> addresses;  // sorted, no duplicates
    TimePoint expires{};
  };
  using Publish = std::function<void(const std::vector<net::SocketAddr>& addresses)>;

  // Both must outlive it; it must outlive its tasks.
  ControlName(net::Loop& loop, Resolver& resolver, ControlNameOptions options)
      : loop_(loop), resolver_(resolver), options_(std::move(options)) {}

  // One look-up. Errors are those of the resolver.
  net::Task<Result<Targets>> resolve();
  // Publishes the addresses, and again whenever they change; never an empty list. Ends only if the
  // host is an address.
  net::Task<void> watch(Publish publish);

  // The address in the first label of an SRV target, as the cluster's DNS writes pods that have no
  // host name: "10-1-2-3.web.ns.svc.cluster.local" or "fd00--12.…".
  static std::optional<net::IpAddr> address_of_target(std::string_view target);

 private:
  std::vector<net::SocketAddr> from_services(const std::vector<Srv>& services) const;
  net::Loop& loop_;
  Resolver& resolver_;
  const ControlNameOptions options_;
};

}  // namespace tulle::dns
