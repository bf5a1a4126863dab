// SPDX-License-Identifier: Apache-2.0
// Puts the proxy into pods: a pure function from (object, namespace, configuration) to the injected
// object, the JSON Patch that makes it, and the reasons against (docs/reference/control-plane.md
// §1). The webhook, `tulle inject --manual` and `tulle local` all call it.
//
//   std::vector<ConfigProblem> problems;
//   const Config config = read_config_yaml(configmap["values"], problems);
//   const Outcome outcome = inject(pod, {.ns = "shop", .ns_annotations = …}, config);
//   if (outcome.kind == Outcome::Kind::Injected) use(outcome.object);  // or outcome.patch
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/inject/config.h"
#include "lib/inject/overrides.h"
#include "lib/inject/patch.h"
#include "lib/inject/value.h"
#include "lib/k8s/meta.h"

namespace tulle::inject {

// Why a pod stays as it is, in the order in which reasons are told (docs/reference/control-plane.md
// §1.5).
enum class Reason : std::uint8_t {
  HostNetwork,
  SidecarExists,
  UnsupportedResource,
  EnableAnnotationAbsent,
  DisableAnnotationPresent,
  InvalidAtNamespace,
  InvalidAtWorkload,
  AutomountDisabled,  // only without projected tokens
  UdpPorts,           // a warning; never blocks
};
// For metrics: "host_network_enabled".
std::string_view id(Reason reason) noexcept;
// For people: "hostNetwork is enabled".
std::string_view text(Reason reason) noexcept;
constexpr bool blocks(Reason reason) noexcept { return reason != Reason::UdpPorts; }

// The owner of a pod: the name that its labels, events and metrics carry. Kinds are lower-case.
struct Owner {
  std::string kind;
  std::string name;
  friend bool operator==(const Owner&, const Owner&) = default;
};

struct Context {
  std::string ns;  // the pod's namespace
  k8s::StringMap ns_annotations;
  Owner owner;  // empty: the pod itself
  bool native_sidecars =
      true;  // what the API server has; asked for by configuration and annotations
  // The call itself asks for the injection (`inject --manual`): only `disabled` on the pod
  // speaks against it, and linkerd.io/inject is not written.
  bool by_hand = false;
  bool ingress = false;    // by hand: in ingress mode
  std::string created_by;  // "": linkerd/proxy-injector <version>
  bool is_webhook = true;  // false: the object is a template that a person wrote
};

struct Outcome {
  enum class Kind : std::uint8_t {
    Injected,
    OpaquePorts,  // only the opaque-ports annotation was added
    Unchanged,
    Refused,  // `error` says why: the pod must not start like this
  };
  Kind kind = Kind::Unchanged;
  bool malformed = false;  // Refused, because the object is none that Kubernetes would take
  std::vector<Reason> reasons;
  std::vector<Warning> warnings;
  std::string error;
  Patch patch;   // empty unless Injected or OpaquePorts
  Value object;  // what the patch makes of the object; the object itself if there is none
  std::string_view annotation_at;  // "namespace" or "workload": who decided; "" if nobody
  k8s::StringMap annotations;      // the pod's, with those inherited
  // The reasons' texts, joined by ", ".
  std::string reasons_text() const;
};

// `object` is a Pod or something with a pod template (Deployment, ReplicationController,
// ReplicaSet, Job, DaemonSet, StatefulSet, CronJob). Injecting twice changes nothing the second
// time.
Outcome inject(const Value& object, const Context& context, const Config& config);

// The opaque-ports annotation that a Service takes over from its namespace or the defaults.
Outcome annotate_service(const Value& service, const k8s::StringMap& ns_annotations,
                         const Config& config);

// Takes out what inject() has put in. Annotations config.linkerd.io/* stay: they are the user's,
// but for those that linkerd.io/injected-config lists.
Value uninject(const Value& object);
// Names of the things that uninject() removes.
bool is_injected_container(std::string_view name) noexcept;
bool is_injected_volume(std::string_view name) noexcept;
bool is_injected_key(std::string_view key, std::string_view value) noexcept;

// Where the pod template of this object is ("", "/spec/template", …); nullopt if it has none. Kinds
// are told apart by their group: a Job of batch.volcano.sh is none of Kubernetes'. Items of a
// PodList do not say their group.
std::optional<std::string_view> template_prefix(const Value& object) noexcept;
// Is it of this kind of this group ("" is the core group)?
bool is_kind(const Value& object, std::string_view group, std::string_view kind) noexcept;
// Does the pod have a proxy, or one of another mesh?
bool has_sidecar(const Value& spec, const Config& config);
// The annotations (or labels) of an object's or template's metadata; what is no text is left out.
k8s::StringMap string_map(const Value& map);

}  // namespace tulle::inject
