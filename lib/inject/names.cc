// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/names.h"

#include "lib/base/edit_distance.h"

namespace tulle::inject {
namespace {

constexpr ConfigKey kKeys[] = {
    {"config.linkerd.io/proxy-image", true},
    {"config.linkerd.io/proxy-version", true},
    {"config.linkerd.io/image-pull-policy", true},
    {"config.linkerd.io/debug-image", false},
    {"config.linkerd.io/debug-image-version", false},
    {"config.linkerd.io/debug-image-pull-policy", false},
    {"config.linkerd.io/enable-debug-sidecar", true},
    {"config.linkerd.io/control-port", true},
    {"config.linkerd.io/admin-port", true},
    {"config.linkerd.io/inbound-port", true},
    {"config.linkerd.io/outbound-port", true},
    {"config.linkerd.io/pod-inbound-ports", true},
    {"config.linkerd.io/skip-inbound-ports", true},
    {"config.linkerd.io/skip-outbound-ports", true},
    {"config.linkerd.io/skip-subnets", true},
    {"config.linkerd.io/opaque-ports", true},
    {"config.linkerd.io/proxy-require-identity-inbound-ports", true},
    {"config.linkerd.io/proxy-cpu-request", true},
    {"config.linkerd.io/proxy-cpu-limit", true},
    {"config.linkerd.io/proxy-cpu-ratio-limit", false},
    {"config.linkerd.io/proxy-memory-request", true},
    {"config.linkerd.io/proxy-memory-limit", true},
    {"config.linkerd.io/proxy-ephemeral-storage-request", true},
    {"config.linkerd.io/proxy-ephemeral-storage-limit", true},
    {"config.linkerd.io/proxy-uid", true},
    {"config.linkerd.io/proxy-gid", true},
    {"config.linkerd.io/proxy-admin-shutdown", true},
    {"config.linkerd.io/proxy-log-level", true},
    {"config.linkerd.io/proxy-log-http-headers", true},
    {"config.linkerd.io/proxy-log-format", true},
    {"config.linkerd.io/access-log", true},
    {"config.linkerd.io/enable-external-profiles", true},
    {"config.linkerd.io/proxy-metrics-hostname-labels", true},
    {"config.linkerd.io/proxy-outbound-connect-timeout", true},
    {"config.linkerd.io/proxy-inbound-connect-timeout", true},
    {"config.linkerd.io/proxy-outbound-discovery-cache-unused-timeout", true},
    {"config.linkerd.io/proxy-inbound-discovery-cache-unused-timeout", true},
    {"config.linkerd.io/proxy-disable-outbound-protocol-detect-timeout", true},
    {"config.linkerd.io/proxy-disable-inbound-protocol-detect-timeout", true},
    {"config.linkerd.io/shutdown-grace-period", true},
    {"config.linkerd.io/default-inbound-policy", true},
    {"config.linkerd.io/proxy-await", true},
    {"config.linkerd.io/enable-gateway", false},
    {"config.linkerd.io/close-wait-timeout", false},
    {"config.linkerd.io/proxy-enable-native-sidecar", true},
    {"config.beta.linkerd.io/proxy-enable-native-sidecar", false},
    {"config.alpha.linkerd.io/proxy-enable-native-sidecar", true},
    {"config.alpha.linkerd.io/proxy-wait-before-exit-seconds", true},
    {"config.linkerd.io/proxy-additional-env", true},
};

}  // namespace

std::span<const ConfigKey> config_keys() noexcept { return kKeys; }

const ConfigKey* find_config_key(std::string_view name) noexcept {
  for (const ConfigKey& key : kKeys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string_view nearest_config_key(std::string_view name) noexcept {
  if (name.size() > 200) return "";
  std::string_view best;
  std::size_t least = 5;
  for (const ConfigKey& key : kKeys) {
    const std::size_t away = edit_distance(name, key.name);
    if (away < least) {
      least = away;
      best = key.name;
    }
  }
  return best;
}

}  // namespace tulle::inject
