// SPDX-License-Identifier: Apache-2.0
// The whole control plane in one object: everything is made here, in the order of dependence, from
// the options. main gives it a loop; a test may make several.
#pragma once

#include <memory>
#include <optional>

#include "control/identity/certify.h"
#include "control/identity/identity_events.h"
#include "control/identity/kubernetes_issuer.h"
#include "control/identity/own_certificates.h"
#include "control/index/index.h"
#include "control/options.h"
#include "control/serve/admin.h"
#include "control/serve/port.h"
#include "control/serve/services.h"
#include "control/source/folder.h"
#include "control/source/kubernetes.h"
#include "control/status/writer.h"
#include "control/webhooks.h"
#include "lib/grpc/server.h"
#include "lib/k8s/client.h"
#include "lib/k8s/lease.h"

namespace tulle::control {

class Control {
 public:
  Control(net::Loop& loop, const log::Logger& log, const Options& options);
  ~Control();

  // Reads, listens, and starts to work. "" or what has failed.
  std::string start(net::SocketFactory& sockets);
  // No new connections, streams end, connections finish what is under way; true if all went in
  // time.
  net::Task<bool> drain(Deadline by);

  struct Addresses {
    std::optional<net::SocketAddr> identity, destination, policy, admin, dest_admin;
  };
  Addresses addresses() const;

 private:
  // Gives back what bursts have left, now and then.
  net::Task<void> give_memory_back();
  // "" if ready to serve, else what is missing.
  std::string missing() const;
  static void collect(void* self, std::string& out);
  void collect_calls(std::string& out) const;
  void collect_kubernetes(std::string& out) const;
  template <typename Port>
  std::string listen(net::SocketFactory& sockets, Port& port, std::string_view name,
                     std::uint16_t number);
  // Makes what reads from Kubernetes; "" or what is wrong with the way there.
  std::string connect_to_kubernetes(net::SocketFactory& sockets);
  std::string listen_admin(net::SocketFactory& sockets);
  std::string listen_grpc(net::SocketFactory& sockets);
  void serve_grpc();
  // Serves once the index is complete: an answer from half of it would be wrong.
  net::Task<void> serve_when_synced(net::SocketFactory& sockets);
  std::unique_ptr<GrpcPort> make_port(grpc::Server& server, std::string_view name);

  net::Loop& loop_;
  log::Logger log_;
  const Options options_;
  const WallTime started_at_ = wall_now();
  metrics::Registry metrics_;
  PortMetrics port_metrics_{metrics_};
  PortBounds bounds_{metrics_};
  net::Drain drain_;

  Index index_;
  std::unique_ptr<FolderSource> source_;
  std::unique_ptr<k8s::Dialer> dialer_;
  std::unique_ptr<k8s::ApiClient> api_;
  std::unique_ptr<KubernetesSource> kubernetes_;
  std::unique_ptr<k8s::LeaderElection> election_;  // on Kubernetes: which replica writes
  net::Signal synced_;
  std::unique_ptr<IssuerStore> issuers_;  // null: no TLS
  std::unique_ptr<FolderIssuer> folder_issuer_;
  std::unique_ptr<DeploymentOwner> owner_;  // of what is made in the cluster
  std::unique_ptr<KubernetesIssuer> kubernetes_issuer_;
  std::unique_ptr<IdentityEvents> identity_events_;  // on Kubernetes, with the identity role
  std::unique_ptr<OwnCertificates> own_;
  std::unique_ptr<TokenVerifier> tokens_;
  std::unique_ptr<Certifier> certifier_;
  std::unique_ptr<Webhooks> webhooks_;      // on Kubernetes
  std::unique_ptr<StatusWriter> statuses_;  // the same, with the policy role
  DestinationService destination_{options_.mesh, index_};
  PolicyService policy_{options_.mesh, index_};
  bool loaded_ = false;
  std::string problem_;  // why we cannot listen, found out after the start

  // One server a port: who may reach one port does not reach the others' services through it.
  grpc::Server identity_server_;
  grpc::Server destination_server_;
  grpc::Server policy_server_;
  std::unique_ptr<GrpcPort> identity_port_;
  std::unique_ptr<GrpcPort> destination_port_;
  std::unique_ptr<GrpcPort> policy_port_;
  std::unique_ptr<AdminPort> admin_port_;
  std::unique_ptr<AdminPort> dest_admin_port_;
  net::TaskScope tasks_;  // destroyed first
};

}  // namespace tulle::control
