// SPDX-License-Identifier: Apache-2.0
// How anchors and issuers that the mesh owns follow each other, as a state machine without a clock,
// a cluster or a disk: advance() says what the next stored state is, and whoever stores it calls
// again. A crash between two calls loses nothing, since everything it decides by is in the state.
//
// A new anchor comes in three stages, so that no two workloads ever meet without a common anchor:
//
//   Steady ──(old one is due, or asked for)──▶ Announced ──(every leaf was renewed)──▶ Switched
//     ▲                                                                                   │
//     └───────────────────────(every leaf of the old anchor has ended)────────────────────┘
//
//   Announced: the bundle holds both; leaves still come from the old one. Proxies learn the new one
//              with their next leaf (CertifyResponse.trust_anchors), at the latest when theirs
//              ends; they believe it because the chain of leaves carries its bridge from now on:
//              the new anchor's name and key, signed by the old anchor (lib/tls/anchors.h).
//   Switched:  leaves come from the new one, whose bridge stays in their chain. Who starts with the
//              old anchor alone (a pod whose containers are started again, a proxy that cannot be
//              told) can follow it, for as long as the old anchor itself is valid.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/time.h"
#include "lib/tls/cert.h"

namespace tulle::control {

struct OwnAnchor {
  tls::Certificate certificate;
  tls::PrivateKey key;
  // Absent for the first anchor, and once the anchor before it has ended.
  std::optional<tls::Certificate> bridge;
  WallTime since;  // when it came into the bundle
};

struct Rotation {
  std::vector<OwnAnchor> anchors;  // the bundle: oldest first, one or two
  tls::Certificate issuer;
  tls::PrivateKey issuer_key;
  std::size_t issued_by = 0;  // which of the anchors signed the issuer
  WallTime issuer_since;

  enum class Stage : std::uint8_t { Steady, Announced, Switched };
  Stage stage() const noexcept {
    return anchors.size() == 1 ? Stage::Steady
           : issued_by == 0    ? Stage::Announced
                               : Stage::Switched;
  }
  // What leaves are signed with, the bridges in its chain.
  tls::Issuer signer() const;
  std::vector<tls::Certificate> bundle() const;
  std::string bundle_pem() const;

  // One text for a Secret; it holds private keys. from_text: Invalid if it is not one, with the
  // step that failed.
  std::string to_text() const;
  static Result<Rotation> from_text(std::string_view text);
};

struct RotationPolicy {
  std::string name;                       // identity.<controller namespace>.<trust domain>
  Duration anchor_lifetime = 24h * 3650;  // > issuer_lifetime
  Duration issuer_lifetime = 24h * 365;   // > leaf_lifetime
  Duration leaf_lifetime = 24h;           // of leaves, with skew: how long a stage lasts
  double renew_at = 0.7;                  // share of a life after which the next one is made
};

// An anchor and an issuer from nothing.
Rotation begin_rotation(const RotationPolicy& policy);

// The state after the next step that is due at `now` (which must be wall_now()); nullopt if none
// is. `replace` asks for a new anchor though the old one is not due; without effect while one is on
// its way. Dates in the future (the clock was wrong when they were written) count as now.
std::optional<Rotation> advance(const Rotation& state, const RotationPolicy& policy, WallTime now,
                                bool replace = false);

// When advance() has something to do next, if nobody asks for a new anchor.
WallTime next_step(const Rotation& state, const RotationPolicy& policy);

}  // namespace tulle::control
