// SPDX-License-Identifier: Apache-2.0
// Whatever the control plane makes in the cluster at run time goes with its Deployment: Kubernetes
// collects what names an owner that is gone. So nothing may be made without that name, least of all
// while the mesh is being taken away and its Secrets vanish one by one.
#pragma once

#include <string>

#include "lib/k8s/client.h"

namespace tulle::control {

class DeploymentOwner {
 public:
  struct Options {
    std::string ns;
    std::string name = "linkerd-control-plane";
    // Off for a control plane that runs outside of the cluster: what it makes stays where there is
    // no such Deployment.
    bool required = true;
  };
  // The client must outlive it.
  DeploymentOwner(k8s::ApiClient& client, Options options)
      : client_(client), options_(std::move(options)) {}

  // ownerReferences as JSON; "" if there is no Deployment and none is required. Unavailable while
  // it cannot be read, or has gone: then nothing must be written.
  net::Task<Result<std::string>> references();

 private:
  k8s::ApiClient& client_;
  const Options options_;
  std::string known_;
};

}  // namespace tulle::control
