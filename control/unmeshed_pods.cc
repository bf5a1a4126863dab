// SPDX-License-Identifier: Apache-2.0
#include "control/unmeshed_pods.h"

#include <optional>

#include "control/destination/workload_endpoint.h"
#include "lib/inject/names.h"

namespace tulle::control {
namespace {

constexpr std::string_view kMissing =
    "a pod has no proxy: it was made before its namespace was annotated, or while the injector was "
    "away. Pods made anew have one, such as by kubectl rollout restart";

// One of ours, or of another mesh.
bool has_proxy(const k8s::Pod& pod) {
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : list->get()) {
      if (container.name == inject::kProxyContainer || container.name == "istio-proxy") return true;
    }
  }
  return false;
}

struct Unmeshed {
  std::optional<inject::Reason> reason;  // why it stays out; without one it should be in
};

std::optional<Unmeshed> look_at(const View& view, const k8s::Pod& pod) {
  const k8s::Namespace* const ns = view.name_space(pod.meta.ns);
  if (ns == nullptr || ns->meta.labels.get("config.linkerd.io/admission-webhooks") == "disabled")
    return std::nullopt;
  const std::string_view own = pod.meta.annotations.get(inject::kInject);
  if (!inject::enables(own) && !inject::enables(ns->meta.annotations.get(inject::kInject)))
    return std::nullopt;
  if (pod.status.phase == "Succeeded" || pod.status.phase == "Failed" || pod.meta.deleted ||
      has_proxy(pod))
    return std::nullopt;
  if (pod.spec.host_network) return Unmeshed{inject::Reason::HostNetwork};
  if (own == "disabled") return Unmeshed{inject::Reason::DisableAnnotationPresent};
  // Whatever else it says there, the webhook has told of it.
  if (!own.empty() && !inject::enables(own)) return std::nullopt;
  return Unmeshed{};
}

}  // namespace

void UnmeshedPods::look(TimePoint now) {
  const View view(index_);
  std::map<std::string, TimePoint> seen;
  std::set<std::string> told;
  missing_.clear();
  view.for_each_pod([&](const k8s::Pod& pod) {
    const std::optional<Unmeshed> found = look_at(view, pod);
    if (!found) return;
    const std::string& uid = pod.meta.uid;
    if (found->reason) {
      if (!pod.meta.created ||
          WallTime(std::chrono::seconds(pod.meta.created->unix_seconds)) < since_)
        return;
    } else {
      ++missing_[pod.meta.ns];
      const auto before = seen_.find(uid);
      const TimePoint first = before == seen_.end() ? now : before->second;
      seen.emplace(uid, first);
      if (now - first < kPatience) return;
    }
    told.insert(uid);
    if (told_.contains(uid)) return;
    const WorkloadName workload = workload_of(view, pod);
    const inject::Owner owner{workload.kind, workload.name};
    tell_({.ns = pod.meta.ns,
           .workload = owner,
           .skipped = found->reason.has_value(),
           .message = found->reason ? inject::text(*found->reason) : kMissing});
  });
  seen_ = std::move(seen);
  told_ = std::move(told);
}

}  // namespace tulle::control
