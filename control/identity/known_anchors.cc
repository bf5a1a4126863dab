// SPDX-License-Identifier: Apache-2.0
#include "control/identity/known_anchors.h"

#include <algorithm>

#include "control/config.h"
#include "control/destination/workload_endpoint.h"
#include "lib/base/text.h"

namespace tulle::control {
namespace {
constexpr std::size_t kNamed = 12;  // workloads in one sentence
}

std::string bundle_hash(std::string_view pem) { return tls::sha256_hex(pem); }

AnchorUsers anchor_users(const View& view) {
  AnchorUsers out;
  view.for_each_pod([&](const k8s::Pod& pod) {
    const std::string* const hash = pod.meta.annotations.find(kTrustRootAnnotation);
    if (hash == nullptr || !is_meshed(pod)) return;
    if (pod.status.phase == "Succeeded" || pod.status.phase == "Failed") return;
    const WorkloadName workload = workload_of(view, pod);
    out[*hash].insert(concat(workload.kind, " ", pod.meta.ns, "/", workload.name));
  });
  return out;
}

AnchorBundles next_bundles(const AnchorBundles& known, std::string_view present,
                           const AnchorUsers& users) {
  AnchorBundles out{{bundle_hash(present), std::string(present)}};
  for (const auto& [hash, pem] : known) {
    if (users.contains(hash)) out.emplace(hash, pem);
  }
  return out;
}

void trust_known(std::vector<tls::Certificate>& anchors, const AnchorBundles& known, WallTime now) {
  for (const auto& [hash, pem] : known) {
    const auto bundle = tls::Certificate::from_pem(pem);
    if (!bundle) continue;
    for (const tls::Certificate& anchor : *bundle) {
      const bool there = std::any_of(anchors.begin(), anchors.end(),
                                     [&](const auto& other) { return other.der == anchor.der; });
      if (!there && now < anchor.not_after) anchors.push_back(anchor);
    }
  }
}

std::string who_must_restart(const AnchorBundles& known, std::string_view present,
                             const AnchorUsers& users) {
  const std::string own = bundle_hash(present);
  std::set<std::string> names;
  for (const auto& [hash, pem] : known) {
    const auto at = users.find(hash);
    if (hash != own && at != users.end()) names.insert(at->second.begin(), at->second.end());
  }
  if (names.empty()) return "";
  std::string out = "trust anchors that were replaced stay trusted until these are restarted: ";
  std::size_t named = 0;
  for (const std::string& name : names) {
    if (named == kNamed) break;
    if (named++ > 0) out += ", ";
    out += name;
  }
  if (names.size() > named) {
    out += " and ";
    append_number(out, names.size() - named);
    out += " more";
  }
  return out;
}

}  // namespace tulle::control
