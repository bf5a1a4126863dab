// SPDX-License-Identifier: Apache-2.0
// The network between the pods: one namespace that routes from pod to pod and translates cluster
// addresses, with no way out. Each pod hangs on it by a pair of virtual Ethernet devices and has
// host routes only, so every packet between pods passes here and is seen in both directions.
#pragma once

#include <memory>
#include <string>

#include "lib/net/address.h"
#include "local/sandbox.h"

namespace tulle::local {

class Fabric {
 public:
  // Problems are texts; "" is success.
  std::string create(const std::string& scratch);
  std::string connect(const Sandbox& pod, std::uint32_t index, const net::IpAddr& ip4,
                      const net::IpAddr& ip6);
  // Replaces the rules of translation (services.h).
  std::string translate(const std::string& rules);
  const Sandbox& sandbox() const noexcept { return *sandbox_; }
  // Where lib/net opens sockets from: "/proc/PID/ns/net".
  std::string netns_path() const;

 private:
  std::unique_ptr<Sandbox> sandbox_;
};

}  // namespace tulle::local
