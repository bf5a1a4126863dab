// SPDX-License-Identifier: Apache-2.0
#include "control/deployment_owner.h"

#include "lib/k8s/json_writer.h"
#include "lib/k8s/metadata.h"

namespace tulle::control {
namespace {

constexpr Duration kPatience = 5s;

}  // namespace

net::Task<Result<std::string>> DeploymentOwner::references() {
  if (!known_.empty()) co_return known_;
  const k8s::ObjectPath path{k8s::kDeployments, options_.ns, options_.name, {}, {}};
  const auto read = co_await k8s::read_metadata(client_, path, "find the Deployment",
                                                client_.loop().after(kPatience));
  if (!read && read.error().code == Errc::NotFound && !options_.required) co_return std::string();
  if (!read || read->uid.empty()) {
    co_return Error{Errc::Unavailable,
                    "read the Deployment of the control plane, which owns what is made"};
  }
  k8s::JsonWriter json;
  json.list([&] {
    json.object([&] {
      json.member("apiVersion", "apps/v1");
      json.member("kind", "Deployment");
      json.member("name", options_.name);
      json.member("uid", read->uid);
    });
  });
  known_ = json.take();
  co_return known_;
}

}  // namespace tulle::control
