// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/known.h"

#include <algorithm>

namespace tulle::proxy {
namespace {

// Ports that are not declared, of a whole proxy: watched although unused, and in all.
constexpr std::size_t kFewPorts = 128;
constexpr std::size_t kMostPorts = 1024;

}  // namespace

PortHandle watch_port(Worker& worker, std::uint16_t port) {
  auto& policies = worker.server_policies();
  if (!worker.declares(port) && !policies.contains(port)) {
    const std::size_t workers = std::max(worker.config().workers, 1U);
    const bool room =
        policies.make_room(std::max<std::size_t>(kFewPorts / workers, 16),
                           std::max<std::size_t>(kMostPorts / workers, 128),
                           [&](std::uint16_t known) { return !worker.declares(known); });
    if (!room) {
      worker.metrics().shed.get({{"direction", "inbound"}, {"reason", "ports"}})->add();
      return {};
    }
  }
  return policies.acquire(port);
}

net::Task<void> policy_known(InboundSession& session) {
  if (session.port.get()->known) co_return;
  Worker& worker = session.worker;
  const Deadline by = worker.loop().after(kPolicyHold);
  bool in_time = true;
  while (in_time && !session.port.get()->known) in_time = co_await session.port.changed().wait(by);
  const bool known = session.port.get()->known;
  worker.metrics().policy_holds.get({{"outcome", known ? "known" : "refused"}})->add();
  if (known) co_return;
  worker.log().info(
      "Connection refused: the policy of its port is not known yet",
      {{"client", session.peer.addr.to_string()}, {"target", session.target.to_string()}});
}

}  // namespace tulle::proxy
