// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/control_name.h"

#include <algorithm>

namespace tulle::dns {
namespace {

void sort_unique(std::vector<net::SocketAddr>& addresses) {
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
}

}  // namespace

std::optional<net::IpAddr> ControlName::address_of_target(std::string_view target) {
  std::string label(target.substr(0, target.find('.')));
  std::string v4 = label;
  std::replace(v4.begin(), v4.end(), '-', '.');
  if (const auto ip = net::IpAddr::parse(v4)) return ip;
  std::replace(label.begin(), label.end(), '-', ':');
  return net::IpAddr::parse(label);
}

// Empty if any target is not an address: then the plain records say more.
std::vector<net::SocketAddr> ControlName::from_services(const std::vector<Srv>& services) const {
  std::vector<net::SocketAddr> addresses;
  for (const Srv& srv : services) {
    const std::optional<net::IpAddr> ip = address_of_target(srv.target);
    if (!ip || srv.port == 0) return {};
    addresses.push_back({*ip, srv.port});
  }
  // A Service with several ports has records for all of them.
  const auto ours = [this](const net::SocketAddr& addr) { return addr.port == options_.port; };
  if (std::any_of(addresses.begin(), addresses.end(), ours)) {
    std::erase_if(addresses, [&ours](const net::SocketAddr& addr) { return !ours(addr); });
  }
  sort_unique(addresses);
  return addresses;
}

net::Task<Result<ControlName::Targets>> ControlName::resolve() {
  Targets targets;
  if (const auto ip = net::IpAddr::parse(options_.host)) {
    targets.addresses.push_back({*ip, options_.port});
    targets.expires = kNever;
    co_return targets;
  }
  const Deadline srv_by = loop_.after(options_.query_timeout);
  const Result<Answer> services = co_await resolver_.resolve(options_.host, Type::Srv, srv_by);
  if (options_.on_look_up) options_.on_look_up(true, services.has_value());
  if (services) {
    targets.addresses = from_services(services->services);
    targets.expires = services->expires;
    if (!targets.addresses.empty()) co_return targets;
  }
  const Deadline by = loop_.after(options_.query_timeout);
  const Result<Answer> plain = co_await resolver_.resolve_addresses(options_.host, by);
  if (options_.on_look_up) options_.on_look_up(false, plain.has_value());
  if (!plain) co_return plain.error();
  for (const net::IpAddr& ip : plain->addresses) {
    targets.addresses.push_back({ip, options_.port});
  }
  sort_unique(targets.addresses);
  targets.expires = plain->expires;
  co_return targets;
}

net::Task<void> ControlName::watch(Publish publish) {
  std::vector<net::SocketAddr> last;
  Duration backoff = options_.backoff_min;
  for (;;) {
    const Result<Targets> targets = co_await resolve();
    TimePoint next = loop_.now() + options_.min_refresh;
    if (targets) {
      backoff = options_.backoff_min;
      if (targets->addresses != last) {
        last = targets->addresses;
        publish(last);
      }
      if (targets->expires == kNever) co_return;
      next = std::max(next, targets->expires);
    } else if (targets.error().code == Errc::NotFound && targets.error().detail > 0) {
      next = loop_.now() + std::chrono::seconds(targets.error().detail);
    } else {
      next = loop_.now() + backoff;
      backoff = std::min(backoff * 2, options_.backoff_max);
    }
    co_await net::sleep_until(loop_, next);
  }
}

}  // namespace tulle::dns
