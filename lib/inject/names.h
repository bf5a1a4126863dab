// SPDX-License-Identifier: Apache-2.0
// The names that injection reads and writes (docs/reference/control-plane.md §1.2, §1.3).
#pragma once

#include <span>
#include <string_view>

namespace tulle::inject {

// Annotations that decide and configure.
inline constexpr std::string_view kInject = "linkerd.io/inject";
// Do these words behind it ask for a proxy?
constexpr bool enables(std::string_view value) noexcept {
  return value == "enabled" || value == "ingress";
}
inline constexpr std::string_view kConfigPrefix = "config.linkerd.io/";
inline constexpr std::string_view kOpaquePorts = "config.linkerd.io/opaque-ports";
inline constexpr std::string_view kTracingPrefix = "resource.opentelemetry.io/";

// Annotations and labels that an injected pod carries.
inline constexpr std::string_view kCreatedBy = "linkerd.io/created-by";
inline constexpr std::string_view kProxyVersion = "linkerd.io/proxy-version";
// Of an injection by hand: the annotations config.… that it has added, a list with commas.
inline constexpr std::string_view kInjectedConfig = "linkerd.io/injected-config";
inline constexpr std::string_view kTrustRoot = "linkerd.io/trust-root-sha256";
inline constexpr std::string_view kControlPlaneNs = "linkerd.io/control-plane-ns";
inline constexpr std::string_view kWorkloadNs = "linkerd.io/workload-ns";
inline constexpr std::string_view kComponent = "linkerd.io/control-plane-component";

// Containers and volumes; dashboards and policies select by these names.
inline constexpr std::string_view kProxyContainer = "linkerd-proxy";
inline constexpr std::string_view kInitContainer = "linkerd-init";
inline constexpr std::string_view kValidatorContainer = "linkerd-network-validator";
inline constexpr std::string_view kDebugContainer = "linkerd-debug";
inline constexpr std::string_view kXtablesVolume = "linkerd-proxy-init-xtables-lock";
inline constexpr std::string_view kIdentityVolume = "linkerd-identity-end-entity";
inline constexpr std::string_view kTokenVolume = "linkerd-identity-token";
inline constexpr std::string_view kPodInfoVolume = "linkerd-podinfo";

// An annotation that changes the configuration of one pod's proxy.
struct ConfigKey {
  std::string_view name;
  bool inherited;  // pods take it over from their namespace
};
std::span<const ConfigKey> config_keys() noexcept;
// Null if there is no such annotation.
const ConfigKey* find_config_key(std::string_view name) noexcept;
// The known annotation that is spelled most like this one; "" if none is near.
std::string_view nearest_config_key(std::string_view name) noexcept;

}  // namespace tulle::inject
