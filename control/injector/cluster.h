// SPDX-License-Identifier: Apache-2.0
// What the injector asks of the cluster and tells it. Answered by the index and the API client on
// Kubernetes, by a fake in tests.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/inject/inject.h"
#include "lib/k8s/meta.h"
#include "lib/net/task.h"

namespace tulle::control {

class InjectorCluster {
 public:
  // The metadata of a Namespace. NotFound if there is none, also after asking the API server: a
  // namespace made a moment ago counts.
  virtual net::Task<Result<k8s::ObjectMeta>> find_namespace(std::string name) = 0;
  // Who owns the ReplicaSet or Job of that name.
  virtual net::Task<Result<std::vector<k8s::OwnerReference>>> find_owners(std::string kind,
                                                                          std::string ns,
                                                                          std::string name) = 0;
  // Tells people what became of the owner's pod, as an Event (reason, message). Best effort;
  // returns at once. `kind` as in `Owner`, lower-case.
  virtual void tell(std::string_view ns, const inject::Owner& owner, std::string_view reason,
                    std::string_view message) = 0;
  // What to inject with now: the Helm values, trust anchors put in. Null while they are not known:
  // then pods that are to be injected must wait.
  virtual std::shared_ptr<const inject::Config> config() const = 0;
  // The API server has containers that restart among the init containers (≥ 1.29).
  virtual bool native_sidecars() const = 0;

 protected:
  ~InjectorCluster() = default;
};

}  // namespace tulle::control
