// SPDX-License-Identifier: Apache-2.0
// The workload's certificate: a key made in memory, certified by the identity service, renewed at
// 70 % of its remaining life (docs/reference/proxy.md §4). Trust anchors follow the control plane's
// while the process runs, as far as those that it started with vouch for the new ones.
#pragma once

#include <functional>
#include <string>

#include "lib/log/log.h"
#include "lib/net/loop.h"
#include "lib/tls/credentials.h"
#include "proxy/config/config.h"
#include "proxy/observe/metrics.h"
#include "proxy/watch/control_client.h"

namespace tulle::proxy {

class IdentityWatch {
 public:
  // Gets each new certificate, with the anchors that are trusted from then on.
  using Publish = std::function<void(tls::CredentialsPtr)>;
  // All references outlive it. `anchors_only`: the anchors of the environment, with which the
  // identity service is believed at first.
  IdentityWatch(ControlClient& client, const Config& config, Metrics& metrics, log::Logger log,
                tls::CredentialsPtr anchors_only, Publish publish);
  // For ever: certify, publish, wait, again. Failures are tried again after the same wait, at least
  // 10 s apart once there is a certificate.
  net::Task<void> run();

 private:
  struct Validity {
    WallTime begins, expires;
  };
  // One call to the service; publishes the certificate once it has been verified.
  net::Task<Result<Validity>> certify();
  // Logs anchors that were offered and that no trusted one has signed, each once.
  void tell_of_strangers(const std::vector<tls::Certificate>& offered,
                         const std::vector<tls::Certificate>& believed);

  ControlClient& client_;
  const Config& config_;
  Metrics& metrics_;
  log::Logger log_;
  Publish publish_;
  tls::PrivateKey key_;
  std::string csr_;
  std::vector<tls::Certificate> anchors_;
  std::vector<std::string> told_;  // anchors that were offered and not believed
};

}  // namespace tulle::proxy
