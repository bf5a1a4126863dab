// SPDX-License-Identifier: Apache-2.0
#include "control/skipped_pods.h"

#include <optional>

#include "control/destination/workload_endpoint.h"
#include "lib/inject/names.h"

namespace tulle::control {
namespace {

bool has_proxy(const k8s::Pod& pod) {
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : list->get()) {
      if (container.name == inject::kProxyContainer) return true;
    }
  }
  return false;
}

std::optional<inject::Reason> reason_of(const View& view, const k8s::Pod& pod) {
  const k8s::Namespace* const ns = view.name_space(pod.meta.ns);
  if (ns == nullptr || ns->meta.labels.get("config.linkerd.io/admission-webhooks") == "disabled")
    return std::nullopt;
  const std::string_view own = pod.meta.annotations.get(inject::kInject);
  if (!inject::enables(own) && !inject::enables(ns->meta.annotations.get(inject::kInject)))
    return std::nullopt;
  if (pod.status.phase == "Succeeded" || pod.status.phase == "Failed" || has_proxy(pod))
    return std::nullopt;
  if (pod.spec.host_network) return inject::Reason::HostNetwork;
  if (own == "disabled") return inject::Reason::DisableAnnotationPresent;
  return std::nullopt;
}

}  // namespace

void SkippedPods::look() {
  const View view(index_);
  std::set<std::string> there;
  view.for_each_pod([&](const k8s::Pod& pod) {
    if (!pod.meta.created ||
        WallTime(std::chrono::seconds(pod.meta.created->unix_seconds)) < since_)
      return;
    const std::optional<inject::Reason> reason = reason_of(view, pod);
    if (!reason) return;
    there.insert(pod.meta.uid);
    if (told_.contains(pod.meta.uid)) return;
    const WorkloadName workload = workload_of(view, pod);
    tell_(pod.meta.ns, {workload.kind, workload.name}, inject::text(*reason));
  });
  told_ = std::move(there);
}

}  // namespace tulle::control
