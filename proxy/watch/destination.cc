// SPDX-License-Identifier: Apache-2.0
#include "proxy/watch/destination.h"

#include <map>

namespace tulle::proxy {
namespace {

using Get = pb::destination::Destination::Get;

}  // namespace

net::Task<void> watch_endpoints(WatchParts parts, EndpointKey key, PublishEndpoints publish) {
  std::map<net::SocketAddr, EndpointPtr> known;
  bool exists = true;
  Backoff backoff(parts.config.outbound.backoff, 1);
  net::Loop& loop = parts.client.loop();
  const StreamLimits limits = stream_limits(parts.config, parts.config.destination);
  const auto tell = [&](std::string failure) {
    auto set = std::make_shared<EndpointSet>();
    set->known = true;
    set->exists = exists;
    set->failure = std::move(failure);
    for (const auto& [addr, endpoint] : known) set->endpoints.push_back(endpoint);
    publish(std::move(set));
  };
  pb::destination::GetDestination request;
  request.path = key.path;
  request.context_token = parts.config.destination_context;
  using Asked = pb::destination::IpFamily;
  request.ip_family = key.family == Family::V6 ? Asked::IPV6 : Asked::IPV4;
  for (;;) {
    auto stream = grpc::open_stream<Get>(parts.client.channel(), request);
    const Deadline end = limits.lifetime ? loop.after(*limits.lifetime) : Deadline::never();
    bool first = true;
    bool replaced = false;  // this stream has given a whole set
    for (;;) {
      const std::optional<Duration>& limit = first ? limits.initial : limits.idle;
      const Deadline by = limit ? loop.after(*limit).earlier(end) : end;
      auto message = co_await stream.read(by);
      if (message && message->has_value()) {
        first = false;
        backoff.reset();
        const pb::destination::Update& update = **message;
        using Kind = pb::destination::Update::UpdateCase;
        switch (update.update_case) {
          case Kind::add: {
            std::map<net::SocketAddr, EndpointPtr> added;
            for (const auto& addr : update.add->addrs) {
              if (EndpointPtr endpoint = endpoint_from(addr, update.add->metric_labels))
                added[endpoint->addr] = endpoint;
            }
            if (added.empty()) break;
            if (!replaced) known.clear();
            replaced = true;
            exists = true;
            for (auto& [addr, endpoint] : added) known[addr] = std::move(endpoint);
            tell("");
            break;
          }
          case Kind::remove:
            if (!replaced) break;  // of a set that this stream never gave
            for (const auto& addr : update.remove->addrs) {
              if (const auto at = address_from(addr)) known.erase(*at);
            }
            tell("");
            break;
          case Kind::no_endpoints:
            known.clear();
            replaced = true;
            exists = update.no_endpoints->exists;
            tell("");
            break;
          case Kind::none: break;
        }
        continue;
      }
      if (!message && (message.status().code == grpc::Code::InvalidArgument ||
                       message.status().code == grpc::Code::FailedPrecondition)) {
        parts.log.warn("no endpoints will come",
                       {{"path", key.path}, {"message", message.status().message}});
        known.clear();
        tell(message.status().message.empty() ? std::string("refused") : message.status().message);
        co_return;
      }
      break;
    }
    co_await net::sleep_for(loop, backoff.next());
  }
}

}  // namespace tulle::proxy
