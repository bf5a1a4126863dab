// SPDX-License-Identifier: Apache-2.0
// The webhooks on Kubernetes, put together: three ports, what keeps their certificates and
// configurations (injector/webhook_keeper.h), and the cluster as the injector sees it. The only
// place where injector/ meets index and API server.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/deployment_owner.h"
#include "control/identity/issuer_store.h"
#include "control/identity/kubernetes_issuer.h"
#include "control/index/index.h"
#include "control/injector/cluster.h"
#include "control/injector/injection.h"
#include "control/injector/validation.h"
#include "control/injector/webhook_keeper.h"
#include "control/injector/webhook_port.h"
#include "control/unmeshed_pods.h"
#include "lib/dns/files.h"
#include "lib/k8s/client.h"
#include "lib/k8s/events.h"
#include "lib/k8s/lease.h"

namespace tulle::control {

// What the injector asks of the cluster.
class KubernetesCluster final : public InjectorCluster {
 public:
  // `values` is the file with the Helm values (linkerd-config), read again when it changes.
  KubernetesCluster(k8s::ApiClient& client, const Index& index, const IssuerStore& issuers,
                    const log::Logger& log, const std::string& values, std::string ns,
                    k8s::EventRecorder& events);

  net::Task<Result<k8s::ObjectMeta>> find_namespace(std::string name) override;
  net::Task<Result<std::vector<k8s::OwnerReference>>> find_owners(std::string kind, std::string ns,
                                                                  std::string name) override;
  void tell(std::string_view ns, const inject::Owner& owner, std::string_view reason,
            std::string_view message) override;
  void tell(std::string_view ns, const inject::Owner& owner, std::string_view reason,
            std::string_view message, k8s::EventRecorder::Type type);
  std::shared_ptr<const inject::Config> config() const override { return config_; }
  bool native_sidecars() const override { return native_sidecars_; }

  // Keeps the configuration and what is known of the API server up to date.
  net::Task<void> run();

 private:
  void read_values();
  net::Task<void> ask_version();
  net::Task<void> record(std::string ns, inject::Owner owner, std::string reason,
                         std::string message, k8s::EventRecorder::Type type);

  k8s::ApiClient& client_;
  const Index& index_;
  const IssuerStore& issuers_;
  log::Logger log_;
  dns::WatchedFile values_;
  const std::string values_file_;
  const std::string ns_;
  k8s::EventRecorder& events_;
  std::shared_ptr<const inject::Config> config_;
  std::string anchors_;  // that config_ was made with
  bool native_sidecars_ = true;
  bool version_known_ = false;
  net::TaskScope telling_;
};

// Secrets and webhook configurations through the API server.
class KubernetesWebhookStore final : public WebhookStore {
 public:
  KubernetesWebhookStore(k8s::ApiClient& client, std::string ns,
                         const k8s::LeaderElection& election, DeploymentOwner& owner)
      : client_(client), ns_(std::move(ns)), election_(election), owner_(owner) {}
  net::Task<Result<Secret>> read_secret(std::string name) override;
  net::Task<Result<void>> write_secret(std::string name, Secret secret) override;
  net::Task<Result<inject::Value>> read_configuration(std::string kind, std::string name) override;
  net::Task<Result<void>> patch_configuration(std::string kind, std::string name,
                                              std::string patch) override;
  bool is_leader() const override { return election_.leader(); }

 private:
  k8s::ApiClient& client_;
  const std::string ns_;
  const k8s::LeaderElection& election_;
  DeploymentOwner& owner_;
};

class Webhooks {
 public:
  struct Options {
    std::string ns;      // of the control plane
    std::string values;  // file
    std::uint16_t injector_port = 8443;
    std::uint16_t profile_port = 8444;
    std::uint16_t policy_port = 9443;
    net::IpAddr listen;
    std::string pod;  // our name, for events
  };
  // All must outlive it. Only who leads writes Secrets and webhook configurations.
  Webhooks(net::Loop& loop, const log::Logger& log, k8s::ApiClient& client, Index& index,
           const IssuerStore& issuers, k8s::LeaderElection& election, DeploymentOwner& owner,
           net::Drain& drain, metrics::Registry& metrics, PortBounds& bounds, Options options,
           std::uint64_t seed);
  ~Webhooks();

  // "" or what has failed.
  std::string listen(net::SocketFactory& sockets);
  // Works until it is destroyed.
  net::Task<void> run();
  void stop();
  std::size_t connections() const;
  // What is missing before pods can be injected; "" if nothing is.
  std::string missing() const;
  // Appends metrics as text.
  void collect(std::string& out) const;

 private:
  class NamespaceWatch;
  struct Hook {
    std::string_view name;
    std::uint16_t port;
    std::unique_ptr<WebhookKeeper> keeper;
    std::unique_ptr<WebhookPort> server;
  };
  void add(std::string_view name, std::uint16_t port, Webhook& webhook, KeptWebhook kept,
           metrics::Registry& metrics, PortBounds& bounds);
  std::set<std::string> annotated() const;
  net::Task<void> watch_unmeshed();

  net::Loop& loop_;
  log::Logger log_;
  Index& index_;
  net::Drain& drain_;
  const Options options_;
  k8s::LeaderElection& election_;
  k8s::EventRecorder events_;
  KubernetesCluster cluster_;
  KubernetesWebhookStore store_;
  InjectionWebhook injection_;
  PolicyWebhook policy_;
  ProfileWebhook profile_;
  std::vector<Hook> hooks_;
  std::unique_ptr<NamespaceWatch> namespaces_;
  UnmeshedPods unmeshed_;
  net::TaskScope tasks_;  // destroyed first
};

}  // namespace tulle::control
