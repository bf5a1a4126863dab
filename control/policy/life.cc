// SPDX-License-Identifier: Apache-2.0
#include "control/policy/life.h"

#include <algorithm>

#include "control/config.h"

namespace tulle::control {
namespace {

constexpr std::string_view kDebugContainer = "linkerd-debug";

const k8s::Container* named(const k8s::Shared<k8s::Container>& list, std::string_view name) {
  const auto at = std::find_if(list.begin(), list.end(), [&](const k8s::Container& container) {
    return container.name == name;
  });
  return at != list.end() ? &*at : nullptr;
}

const k8s::ContainerTerminated* terminated(const k8s::Pod& pod, std::string_view name) {
  for (const k8s::ContainerStatus& status : pod.status.containers) {
    if (status.name == name) return status.state.terminated ? &*status.state.terminated : nullptr;
  }
  return nullptr;
}

// It has terminated, and the kubelet will not start it again.
bool is_over(const k8s::Pod& pod, const k8s::Container& container) {
  const k8s::ContainerTerminated* const end = terminated(pod, container.name);
  if (end == nullptr) return false;
  if (pod.meta.deleted) return true;
  const std::string& policy =
      container.restart_policy.empty() ? pod.spec.restart_policy : container.restart_policy;
  return policy == "Never" || (policy == "OnFailure" && end->exit_code == 0);
}

bool application_ended(const k8s::Pod& pod) {
  if (pod.status.phase == "Succeeded" || pod.status.phase == "Failed") return true;
  bool any = false;
  for (const k8s::Container& container : pod.spec.containers) {
    if (container.name == kProxyContainer || container.name == kDebugContainer) continue;
    any = true;
    if (!is_over(pod, container)) return false;
  }
  return any || pod.meta.deleted.has_value();
}

}  // namespace

pb::Box<pb::inbound::Life> life_of(const k8s::Pod& pod) {
  using Sidecar = pb::inbound::Life::Sidecar;
  pb::Box<pb::inbound::Life> out;
  if (pod.status.containers.empty()) return out;
  const k8s::Container* const native = named(pod.spec.init_containers, kProxyContainer);
  if (native == nullptr && named(pod.spec.containers, kProxyContainer) == nullptr) return out;
  pb::inbound::Life& life = out.make();
  life.sidecar = native != nullptr ? Sidecar::NATIVE : Sidecar::CLASSIC;
  life.application_ended = application_ended(pod);
  return out;
}

}  // namespace tulle::control
