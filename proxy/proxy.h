// SPDX-License-Identifier: Apache-2.0
// A whole proxy: one workload on the control loop of the calling thread, workers on threads of
// their own. Built from a configuration, started, run until told to drain (docs/reference/proxy.md
// §1.2, §1.7).
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "lib/dns/control_name.h"
#include "proxy/admin/handler.h"
#include "proxy/process/departure.h"
#include "proxy/workload/workload.h"

namespace tulle::proxy {

class AdminServer;
class ControlClient;
class IdentityWatch;
class Worker;

// From the control loop only.
class Proxy final : public AdminHost {
 public:
  // References outlive it. Nothing is opened before start(). `sink`: the log, `access`: the access
  // log; every socket is made by `sockets`.
  Proxy(net::Loop& control, const Config& config, log::Sink& sink, log::Sink& access,
        net::SocketFactory& sockets);
  ~Proxy();

  // Binds every listener and starts everything; accepting begins with the first certificate.
  Result<void> start();
  // Both drain: listeners close, connections finish; the control loop stops when all are done or
  // the grace period is over. From the control loop; a second call adds nothing. shut_down(): the
  // application has ended, everything drains at once. terminate(): it may still be shutting down;
  // see departure.h.
  void shut_down() override;
  void terminate();

  // For the admin server.
  const Config& config() const noexcept override { return config_; }
  Metrics& metrics() noexcept override { return metrics_; }
  log::Sink& sink() noexcept override { return sink_; }
  net::Loop& loop() noexcept override { return control_; }
  net::SocketFactory& sockets() noexcept { return sockets_; }
  const CredentialsPtr& credentials() const noexcept { return credentials_; }
  // The policy that stands now, as the control loop knows it; workers may be a moment behind.
  ServerPolicyPtr server_policy(std::uint16_t port) const override;
  // There is a certificate, and the policy of each port that the pod declares.
  bool ready() const noexcept override;
  // Everything that can be scraped, with the bytes of live connections counted in.
  net::Task<std::string> scrape() override;

 private:
  struct WorkerThread;
  // `client`: identity, destination or policy, for metrics.
  net::Task<std::vector<net::SocketAddr>> resolve(std::string_view client, std::string host,
                                                  std::uint16_t port);
  // The credentials that we show to the control plane.
  tls::CredentialsPtr control_credentials();
  void on_certified(CredentialsPtr credentials);
  void count_unsupported(std::string_view feature);
  Result<void> bind_worker(WorkerThread& worker, bool shared_ports);
  net::Task<void> warn_while_waiting();
  bool waits_for_policies() const noexcept;
  void told_life(PodLife life);
  void drain(Departure::State state);
  net::Task<void> leave_when_drained();

  net::Loop& control_;
  const Config& config_;
  log::Sink& sink_;
  log::Sink& access_sink_;
  log::Logger log_;
  net::SocketFactory& sockets_;
  WallTime started_at_;
  Metrics metrics_;
  dns::SocketExchange exchange_;
  dns::Resolver resolver_;
  CredentialsPtr credentials_;
  Unsupported unsupported_;
  std::vector<std::string> unsupported_seen_;
  std::unique_ptr<ControlClient> identity_client_;
  std::unique_ptr<ControlClient> destination_client_;
  std::unique_ptr<ControlClient> policy_client_;
  std::unique_ptr<IdentityWatch> identity_;
  ServerPolicyHub server_policies_;
  ClientPolicyHub client_policies_;
  EndpointHub endpoints_;
  ProxyWide wide_;
  std::unique_ptr<WorkloadParts> parts_;
  std::vector<std::unique_ptr<WorkerThread>> workers_;
  std::unique_ptr<AdminServer> admin_;
  bool certified_ = false;
  Departure departure_;
  Departure::State drained_ = Departure::State::Serving;  // what the workers have been told
  net::TaskScope scope_;
};

}  // namespace tulle::proxy
