// SPDX-License-Identifier: Apache-2.0
// Issuer and anchors on Kubernetes: the Secret `linkerd-identity-issuer` (both schemes of
// docs/reference/control-plane.md §4.3) and the ConfigMap `linkerd-identity-trust-roots`, followed
// through the API server, so that a change counts within a second.
//
// With `generate` nobody brings them: the state of a rotation (rotation.h) is kept in the Secret
// `linkerd-identity-rotation`, and Secret and ConfigMap above are written from it, for whoever
// reads them as Linkerd's. Several replicas may do that at once: a write names the version that it
// replaces, and who comes second reads again. What is made here is owned by the Deployment and goes
// with it. The annotation linkerd.io/replace-anchor on that Secret asks for a new anchor; it is
// taken away when the rotation has begun.
//
// Anchors that others bring may be replaced while pods run that know only the ones before: those
// stay trusted while they are needed (known_anchors.h). The ConfigMap
// `linkerd-identity-known-roots` keeps them over restarts; whoever deletes a key there ends the
// trust in that bundle at once.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/deployment_owner.h"
#include "control/identity/issuer_store.h"
#include "control/identity/known_anchors.h"
#include "control/identity/rotation.h"
#include "lib/k8s/client.h"
#include "lib/log/log.h"

namespace tulle::control {

class KubernetesIssuer {
 public:
  struct Options {
    std::string ns;  // of the control plane
    bool generate = false;
    RotationPolicy policy;  // with `generate`
    // Without `generate`: who uses which bundle, nullopt while that is not known; null: nobody
    // looks, and what is replaced is not trusted any more.
    std::function<std::optional<AnchorUsers>()> anchor_users;
    // Is told who must restart so that a replaced bundle can go; again when that changes.
    std::function<void(const std::string&)> on_stale_anchors;
  };
  static constexpr std::string_view kIssuerSecret = "linkerd-identity-issuer";
  static constexpr std::string_view kRotationSecret = "linkerd-identity-rotation";
  static constexpr std::string_view kTrustRoots = "linkerd-identity-trust-roots";
  static constexpr std::string_view kKnownRoots = "linkerd-identity-known-roots";
  static constexpr std::string_view kTrustRootsKey = "ca-bundle.crt";
  static constexpr std::string_view kReplaceAnnotation = "linkerd.io/replace-anchor";

  // All must outlive it.
  KubernetesIssuer(k8s::ApiClient& client, DeploymentOwner& owner, IssuerStore& store,
                   const log::Logger& log, Options options, std::uint64_t seed);
  ~KubernetesIssuer();

  // Follows the objects, and makes and renews them with `generate`, until it is destroyed.
  net::Task<void> run();
  // The stage of a rotation of ours, for metrics; nullopt without one.
  std::optional<Rotation::Stage> stage() const;

 private:
  class Followed;
  net::Task<void> generate();
  net::Task<bool> step();
  net::Task<bool> publish(const Rotation& state);
  net::Task<bool> write(const Followed& object, std::string_view kind, std::string data);
  void load();
  net::Task<void> keep_known();
  void notify() {
    ++changes_;
    changed_.notify_all();
  }

  k8s::ApiClient& client_;
  IssuerStore& store_;
  log::Logger log_;
  DeploymentOwner& owner_;
  const Options options_;
  net::Signal changed_;
  std::uint64_t changes_ = 0;  // seen by changed_, which forgets those that nobody waited for
  std::unique_ptr<Followed> issuer_;
  std::unique_ptr<Followed> roots_;
  std::unique_ptr<Followed> rotation_;  // with generate
  std::unique_ptr<Followed> known_;     // bundles that pods have, with Options::anchor_users
  std::string told_;                    // to Options::on_stale_anchors
  std::optional<Rotation> state_;
  net::TaskScope tasks_;  // destroyed first
};

}  // namespace tulle::control
