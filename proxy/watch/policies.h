// SPDX-License-Identifier: Apache-2.0
// Watches of server policy (by port) and of client policy with profile (by target), each published
// as snapshots (docs/reference/proxy.md §2.2, §3.2; docs/reference/wire-api.md §2).
#pragma once

#include "lib/log/log.h"
#include "proxy/config/config.h"
#include "proxy/observe/metrics.h"
#include "proxy/process/departure.h"
#include "proxy/snapshot/convert.h"
#include "proxy/watch/control_client.h"

namespace tulle::proxy {

// What a watch uses; all outlives it.
struct WatchParts {
  const Config& config;
  ControlClient& client;
  Metrics& metrics;
  log::Logger log;
  const Unsupported& unsupported;
};

// Limits of a long-lived stream: its first message, silence, age. Unset on loopback.
struct StreamLimits {
  std::optional<Duration> initial;
  std::optional<Duration> idle;
  std::optional<Duration> lifetime;
};
StreamLimits stream_limits(const Config& config, const ControlService& service);

// A watch ends only when the control plane refuses it for good; what was published last then stays.
// To stop one is to destroy its task. A malformed policy is published as an invalid one; elements
// that this version does not know are told to `unsupported`.
using PublishServer = std::function<void(ServerPolicyPtr)>;
// Is told of the life of our pod; one stream is enough for that, the others have none.
using TellLife = std::function<void(PodLife)>;
net::Task<void> watch_server_policy(WatchParts parts, std::uint16_t port, PublishServer publish,
                                    TellLife tell_life);

// Both streams have told their first state before the first snapshot is published. NotFound and
// Unimplemented are answers, too: the policy is then made of the profile, or forwards to the target
// (docs/reference/proxy.md §3.2).
using PublishClient = std::function<void(ClientPolicyPtr)>;
// `profiles` is the destination service's client.
net::Task<void> watch_client_policy(WatchParts parts, ControlClient& profiles,
                                    net::SocketAddr target, PublishClient publish);

// Runs one server stream again and again: `on_message(message)` for each message; returns with the
// status that ends it for good.
template <typename Method, typename OnMessage>
net::Task<grpc::Status> watch_stream(WatchParts parts, StreamLimits limits,
                                     typename Method::Request request,
                                     std::vector<grpc::Code> terminal, OnMessage on_message) {
  Backoff backoff(parts.config.outbound.backoff, 1);
  net::Loop& loop = parts.client.loop();
  for (;;) {
    auto stream = grpc::open_stream<Method>(parts.client.channel(), request);
    const Deadline end = limits.lifetime ? loop.after(*limits.lifetime) : Deadline::never();
    bool first = true;
    for (;;) {
      const std::optional<Duration>& limit = first ? limits.initial : limits.idle;
      const Deadline by = limit ? loop.after(*limit).earlier(end) : end;
      auto message = co_await stream.read(by);
      if (message && message->has_value()) {
        backoff.reset();
        first = false;
        on_message(**message);
        continue;
      }
      if (!message &&
          std::find(terminal.begin(), terminal.end(), message.status().code) != terminal.end()) {
        co_return message.status();
      }
      if (!message && message.status().code != grpc::Code::DeadlineExceeded) {
        parts.log.debug("control stream ended", {{"path", Method::kPath},
                                                 {"code", grpc::to_string(message.status().code)},
                                                 {"message", message.status().message}});
      }
      break;
    }
    co_await net::sleep_for(loop, backoff.next());
  }
}

}  // namespace tulle::proxy
