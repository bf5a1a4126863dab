// SPDX-License-Identifier: Apache-2.0
#include "control/identity/rotation.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::control {
namespace {

constexpr std::string_view kHeader = "tulle rotation 1\n";

WallTime due(const tls::Certificate& certificate, const RotationPolicy& policy) {
  const Duration life = certificate.not_after - certificate.not_before;
  return certificate.not_before +
         Duration(static_cast<Duration::rep>(static_cast<double>(life.count()) * policy.renew_at));
}

bool valid(const tls::Certificate& certificate, WallTime now) {
  return certificate.not_before <= now && now < certificate.not_after;
}

tls::Issuer as_issuer(const OwnAnchor& anchor) { return {anchor.certificate, anchor.key, {}}; }

// Names differ, so that a bridge is never taken for an anchor that signed itself.
std::string anchor_name(const RotationPolicy& policy, WallTime now) {
  std::string out = "root-";
  append_number(out,
                std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  return concat(out, ".", policy.name);
}

OwnAnchor new_anchor(const RotationPolicy& policy, WallTime now) {
  tls::Issuer made = tls::make_anchor(anchor_name(policy, now), policy.anchor_lifetime);
  return {std::move(made.certificate), std::move(made.key), std::nullopt, now};
}

void new_issuer(Rotation& state, const RotationPolicy& policy, std::size_t anchor, WallTime now) {
  const OwnAnchor& parent = state.anchors[anchor];
  // An issuer that outlives its anchor would sign leaves that nobody can verify.
  const Duration life =
      std::min<Duration>(policy.issuer_lifetime, parent.certificate.not_after - now);
  tls::Issuer made = tls::make_issuer(as_issuer(parent), policy.name, life);
  state.issuer = std::move(made.certificate);
  state.issuer_key = std::move(made.key);
  state.issued_by = anchor;
  state.issuer_since = now;
}

// A stage is over when the longest-lived leaf of before it has ended.
WallTime over(WallTime since, const RotationPolicy& policy) { return since + policy.leaf_lifetime; }

std::string encode_time(WallTime time) {
  std::string out;
  append_number(out,
                std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
  return out;
}

// Cuts "<word> <number>\n" off the text.
std::optional<std::int64_t> take_number(std::string_view& text, std::string_view word) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(word) || text.size() < word.size() + 1)
    return std::nullopt;
  const auto number =
      parse_number<std::int64_t>(text.substr(word.size() + 1, end - word.size() - 1));
  text.remove_prefix(end + 1);
  return number;
}

// Cuts one PEM block off the text.
std::optional<std::string_view> take_pem(std::string_view& text) {
  constexpr std::string_view kEnd = "\n-----END ";
  if (!text.starts_with("-----BEGIN ")) return std::nullopt;
  const std::size_t end = text.find(kEnd);
  if (end == std::string_view::npos) return std::nullopt;
  const std::size_t line = text.find('\n', end + 1);
  if (line == std::string_view::npos) return std::nullopt;
  const std::string_view block = text.substr(0, line + 1);
  text.remove_prefix(line + 1);
  return block;
}

Result<tls::Certificate> take_certificate(std::string_view& text) {
  const auto pem = take_pem(text);
  if (!pem) return Error{Errc::Invalid, "read a certificate of the rotation"};
  auto list = tls::Certificate::from_pem(*pem);
  if (!list) return list.error();
  return std::move(list->front());
}

Result<tls::PrivateKey> take_key(std::string_view& text) {
  const auto pem = take_pem(text);
  if (!pem) return Error{Errc::Invalid, "read a key of the rotation"};
  return tls::PrivateKey::from_pem(*pem);
}

}  // namespace

tls::Issuer Rotation::signer() const {
  tls::Issuer out{issuer, issuer_key, {}};
  for (const OwnAnchor& anchor : anchors) {
    if (anchor.bridge) out.chain.push_back(*anchor.bridge);
  }
  return out;
}

std::vector<tls::Certificate> Rotation::bundle() const {
  std::vector<tls::Certificate> out;
  for (const OwnAnchor& anchor : anchors) out.push_back(anchor.certificate);
  return out;
}

std::string Rotation::bundle_pem() const {
  std::string out;
  for (const OwnAnchor& anchor : anchors) out += anchor.certificate.to_pem();
  return out;
}

std::string Rotation::to_text() const {
  std::string out(kHeader);
  out += concat("issued-by ", encode_time(WallTime(std::chrono::seconds(issued_by))), "\n");
  out += concat("issuer-since ", encode_time(issuer_since), "\n", issuer.to_pem(),
                issuer_key.to_pem());
  for (const OwnAnchor& anchor : anchors) {
    out += concat("anchor-since ", encode_time(anchor.since), "\n", anchor.certificate.to_pem(),
                  anchor.key.to_pem());
    if (anchor.bridge) out += concat("bridge 1\n", anchor.bridge->to_pem());
  }
  return out;
}

Result<Rotation> Rotation::from_text(std::string_view text) {
  const Error broken{Errc::Invalid, "read the state of the rotation"};
  if (!text.starts_with(kHeader)) return broken;
  text.remove_prefix(kHeader.size());
  const auto issued_by = take_number(text, "issued-by");
  const auto issuer_since = take_number(text, "issuer-since");
  if (!issued_by || !issuer_since) return broken;
  Result<tls::Certificate> issuer = take_certificate(text);
  if (!issuer) return issuer.error();
  Result<tls::PrivateKey> issuer_key = take_key(text);
  if (!issuer_key) return issuer_key.error();
  std::vector<OwnAnchor> anchors;
  while (!text.empty()) {
    const auto since = take_number(text, "anchor-since");
    if (!since || anchors.size() == 2) return broken;
    Result<tls::Certificate> certificate = take_certificate(text);
    if (!certificate) return certificate.error();
    Result<tls::PrivateKey> key = take_key(text);
    if (!key) return key.error();
    OwnAnchor anchor{std::move(*certificate), std::move(*key), std::nullopt,
                     WallTime(std::chrono::seconds(*since))};
    if (text.starts_with("bridge ")) {
      if (!take_number(text, "bridge")) return broken;
      Result<tls::Certificate> bridge = take_certificate(text);
      if (!bridge) return bridge.error();
      anchor.bridge = std::move(*bridge);
    }
    if (!anchor.certificate.matches_key(anchor.key)) return broken;
    anchors.push_back(std::move(anchor));
  }
  if (anchors.empty() || *issued_by < 0 || static_cast<std::size_t>(*issued_by) >= anchors.size())
    return broken;
  if (!issuer->matches_key(*issuer_key)) return broken;
  return Rotation{std::move(anchors), std::move(*issuer), std::move(*issuer_key),
                  static_cast<std::size_t>(*issued_by),
                  WallTime(std::chrono::seconds(*issuer_since))};
}

Rotation begin_rotation(const RotationPolicy& policy) {
  const WallTime now = std::chrono::floor<std::chrono::seconds>(wall_now());
  OwnAnchor anchor = new_anchor(policy, now);
  const tls::Issuer issuer =
      tls::make_issuer(as_issuer(anchor), policy.name, policy.issuer_lifetime);
  std::vector<OwnAnchor> anchors;
  anchors.push_back(std::move(anchor));
  return {std::move(anchors), issuer.certificate, issuer.key, 0, now};
}

std::optional<Rotation> advance(const Rotation& state, const RotationPolicy& policy, WallTime now,
                                bool replace) {
  now = std::chrono::floor<std::chrono::seconds>(now);
  Rotation next = state;
  // The clock was ahead when these were written: what they wait for begins now.
  bool changed = false;
  const auto not_later = [&](WallTime& time) {
    if (time <= now) return;
    time = now;
    changed = true;
  };
  not_later(next.issuer_since);
  for (OwnAnchor& anchor : next.anchors) not_later(anchor.since);
  // Certificates of the future or of the past cannot wait for stages: nobody can verify them.
  if (!valid(next.anchors[next.issued_by].certificate, now)) {
    const auto good =
        std::find_if(next.anchors.begin(), next.anchors.end(),
                     [&](const OwnAnchor& anchor) { return valid(anchor.certificate, now); });
    if (good == next.anchors.end()) {
      next.anchors.assign(1, new_anchor(policy, now));
    } else if (next.anchors.size() > 1) {
      OwnAnchor kept = *good;
      kept.bridge.reset();
      next.anchors.assign(1, std::move(kept));
    }
    new_issuer(next, policy, 0, now);
    return next;
  }
  // A bridge ends with the anchor that signed it.
  for (OwnAnchor& anchor : next.anchors) {
    if (!anchor.bridge || valid(*anchor.bridge, now)) continue;
    anchor.bridge.reset();
    changed = true;
  }
  switch (next.stage()) {
    case Rotation::Stage::Steady:
      if (replace || now >= due(next.anchors[0].certificate, policy)) {
        const OwnAnchor& old = next.anchors[0];
        OwnAnchor added = new_anchor(policy, now);
        const tls::Issuer bridge = tls::make_issuer(as_issuer(old), anchor_name(policy, now),
                                                    old.certificate.not_after - now, added.key);
        added.bridge = bridge.certificate;
        next.anchors.push_back(std::move(added));
        changed = true;
      }
      break;
    case Rotation::Stage::Announced:
      if (now >= over(next.anchors[1].since, policy)) {
        new_issuer(next, policy, 1, now);
        return next;
      }
      break;
    case Rotation::Stage::Switched:
      if (now >= over(next.issuer_since, policy)) {
        next.anchors.erase(next.anchors.begin());
        next.issued_by = 0;
        changed = true;
      }
      break;
  }
  if (!valid(next.issuer, now) || now >= due(next.issuer, policy)) {
    const WallTime since = next.issuer_since;
    const bool switched = next.stage() == Rotation::Stage::Switched;
    new_issuer(next, policy, next.issued_by, now);
    // The stage counts from when leaves first came from the new anchor.
    if (switched) next.issuer_since = since;
    changed = true;
  }
  if (!changed) return std::nullopt;
  return next;
}

WallTime next_step(const Rotation& state, const RotationPolicy& policy) {
  WallTime at =
      std::min(due(state.issuer, policy), state.anchors[state.issued_by].certificate.not_after);
  switch (state.stage()) {
    case Rotation::Stage::Steady:
      at = std::min(at, due(state.anchors[0].certificate, policy));
      break;
    case Rotation::Stage::Announced: at = std::min(at, over(state.anchors[1].since, policy)); break;
    case Rotation::Stage::Switched: at = std::min(at, over(state.issuer_since, policy)); break;
  }
  for (const OwnAnchor& anchor : state.anchors) {
    if (anchor.bridge) at = std::min(at, anchor.bridge->not_after);
  }
  return at;
}

}  // namespace tulle::control
