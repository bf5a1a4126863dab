// SPDX-License-Identifier: Apache-2.0
#include "control/deployment_owner.h"

#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/json_writer.h"
#include "lib/k8s/manifest.h"
#include "lib/k8s/write.h"

namespace tulle::control {
namespace {

constexpr Duration kPatience = 5s;

struct Named {
  k8s::ObjectMeta metadata;
};
template <typename V>
void describe(V& v, Named& x) {
  v.field("metadata", x.metadata);
}

}  // namespace

net::Task<Result<std::string>> DeploymentOwner::references() {
  if (!known_.empty()) co_return known_;
  const k8s::ObjectPath path{k8s::kDeployments, options_.ns, options_.name, {}, {}};
  k8s::ApiRequest request = k8s::get(path);
  const Deadline by = client_.loop().after(kPatience);
  const k8s::ApiResponse response = co_await client_.call(std::move(request), by);
  if (response.status.code == 404 && !options_.required) co_return std::string();
  k8s::JsonSource source(response.body, k8s::JsonSource::Skipping::Unparsed);
  Named read;
  if (!response.ok() || !source.next_document() || k8s::decode(source, read) || read.metadata.uid.empty()) {
    co_return Error{Errc::Unavailable, "read the Deployment of the control plane, which owns what is made"};
  }
  k8s::JsonWriter json;
  json.list([&] {
    json.object([&] {
      json.member("apiVersion", "apps/v1");
      json.member("kind", "Deployment");
      json.member("name", options_.name);
      json.member("uid", read.metadata.uid);
    });
  });
  known_ = json.take();
  co_return known_;
}

}  // namespace tulle::control
