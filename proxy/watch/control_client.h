// SPDX-License-Identifier: Apache-2.0
// The way to one control-plane service (docs/reference/proxy.md §1.8): resolves its name, dials it
// with mesh TLS (plain text on loopback), keeps one HTTP/2 connection, and tries again for ever
// with back-off.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "lib/grpc/client.h"
#include "lib/h2/connection.h"
#include "lib/log/log.h"
#include "lib/net/socket.h"
#include "lib/tls/credentials.h"
#include "proxy/config/backoff.h"
#include "proxy/config/config.h"
#include "proxy/observe/balancer_metrics.h"

namespace tulle::proxy {

// Finds the addresses of a control-plane service; empty on failure.
struct EndpointMetrics;

using ResolveControl =
    std::function<net::Task<std::vector<net::SocketAddr>>(std::string host, std::uint16_t port)>;
// The workload's certificate, or the anchors alone while there is none.
using CurrentCredentials = std::function<tls::CredentialsPtr()>;

class ControlClient final : public http::Client {
 public:
  // References outlive it. Begins to resolve and to dial at once. `credentials`: those of now,
  // asked at each dial; `seed`: of the jitter.
  ControlClient(net::Loop& loop, net::SocketFactory& sockets, const ControlService& service,
                const SideConfig& side, log::Logger log, CurrentCredentials credentials,
                ResolveControl resolve, std::shared_ptr<EndpointMetrics> metrics,
                std::unique_ptr<BalancerMetrics> balancer, std::uint64_t seed);
  ~ControlClient() override;

  // Waits for a connection, however long it takes, up to `by`.
  net::Task<Result<http::Response>> send(http::Request request, Deadline by) override;
  // Calls over the one connection, whichever that is when they begin.
  grpc::Channel& channel() noexcept { return channel_; }
  net::Loop& loop() noexcept { return loop_; }
  // When something last came from the service, as far as was noticed; ask() has it noticed within a
  // second. From any thread.
  void ask();
  // The last try to reach it has failed, and none has succeeded since. From any thread.
  bool away() const noexcept { return away_.load(std::memory_order_relaxed); }
  TimePoint heard_at() const noexcept {
    return TimePoint{Duration{heard_ns_.load(std::memory_order_relaxed)}};
  }
  // Identity: the next call uses a new connection (docs/reference/wire-api.md §4).
  void forget();

 private:
  net::Task<void> keep_connected();
  net::Task<void> probe();
  void note_heard() noexcept;
  net::Task<Result<std::unique_ptr<h2::ClientConnection>>> dial(net::SocketAddr to);

  net::Loop& loop_;
  net::SocketFactory& sockets_;
  const ControlService& service_;
  const SideConfig& side_;
  log::Logger log_;
  CurrentCredentials credentials_;
  ResolveControl resolve_;
  std::shared_ptr<EndpointMetrics> metrics_;   // control_request_total and so on
  std::unique_ptr<BalancerMetrics> balancer_;  // control_*_balancer_*
  std::size_t addresses_ = 0;                  // as the name was resolved last
  Random random_;
  Backoff backoff_;
  std::shared_ptr<h2::ClientConnection> connection_;
  std::atomic<std::int64_t> heard_ns_{0};
  std::atomic<std::uint32_t> asked_{0};  // since the last probe began
  std::atomic<bool> away_{false};
  net::Signal connected_;
  net::Signal wanted_;
  grpc::Channel channel_;
  net::TaskScope scope_;
};

}  // namespace tulle::proxy
