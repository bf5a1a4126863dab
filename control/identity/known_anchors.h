// SPDX-License-Identifier: Apache-2.0
// Anchors that somebody else replaces (docs/design.md §5): pods that were injected with the bundle
// before show leaves of the anchors in it, and trust no others when they start. So each bundle
// stays known, and its anchors trusted, until no living pod was injected with it: pods say that in
// the annotation linkerd.io/trust-root-sha256. Only bundles that were once the mesh's own are
// known; what a pod says can prolong the trust in one of those, and nothing else. Plain functions.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/index/index.h"
#include "lib/base/time.h"
#include "lib/tls/cert.h"

namespace tulle::control {

// What pods carry of a bundle: hex SHA-256 of its text as it was read.
std::string bundle_hash(std::string_view pem);

// Bundles by their hash.
using AnchorBundles = std::map<std::string, std::string>;
// The workloads ("deployment shop/web") of living pods, by the hash of the bundle they were
// injected with.
using AnchorUsers = std::map<std::string, std::set<std::string>, std::less<>>;

AnchorUsers anchor_users(const View& view);

// What is to be known from now on: the present bundle, and those before it that are in use.
AnchorBundles next_bundles(const AnchorBundles& known, std::string_view present,
                           const AnchorUsers& users);

// Adds to the anchors of the present bundle those of the others that are not there and have not
// ended. A bundle that cannot be read adds nothing.
void trust_known(std::vector<tls::Certificate>& anchors, const AnchorBundles& known, WallTime now);

// Who was injected with another bundle than the present, in one sentence; "" if nobody was.
std::string who_must_restart(const AnchorBundles& known, std::string_view present,
                             const AnchorUsers& users);

}  // namespace tulle::control
