// SPDX-License-Identifier: Apache-2.0
// What the mesh asks of trust anchors and issuers (docs/reference/control-plane.md §4.3), in words
// for users: `tulle check` holds those of a cluster against it, `tulle install` those that it is
// given.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/tls/cert.h"

namespace tulle::cli {

// Who has less than this left is warned.
inline constexpr auto kSoon = std::chrono::hours(24 * 60);

struct Chain {
  std::vector<tls::Certificate> certificates;  // the first is whose it is; empty with a problem
  std::string problem;
  const tls::Certificate& first() const { return certificates.front(); }
  std::vector<tls::Certificate> rest() const {
    return {certificates.begin() + 1, certificates.end()};
  }
};
// `where` names the text in the problem: "Secret linkerd/linkerd-identity-issuer, tls.crt".
Chain read_chain(std::string_view pem, std::string_view where);

// Each gives "" or what is wrong, as a sentence about `what`. `todo` ends it.
std::string outside_validity(std::string_view what, const tls::Certificate& certificate,
                             std::string_view todo);
std::string ends_soon(std::string_view what, const tls::Certificate& certificate,
                      std::string_view todo);
std::string unusable_anchor_key(std::string_view what, const tls::Certificate& certificate);
std::string unusable_issuer_key(std::string_view what, const tls::Certificate& certificate);

// The issuer's own parts: a CA that may sign, a key that can be read, and that they are a pair.
struct IssuerKey {
  std::optional<tls::PrivateKey> key;  // absent with a problem
  std::string problem;
};
IssuerKey read_issuer_key(const tls::Certificate& issuer, std::string_view certificate_where,
                          std::string_view key_pem, std::string_view key_where);

// "" or why proxies that trust these anchors would not accept what the issuer signs: a leaf is
// signed as the control plane would do it, and verified as a proxy does it. Path lengths and
// extended key usages count, which are not to be seen in the issuer alone.
std::string not_accepted(const Chain& issuer, const tls::PrivateKey& key,
                         const std::vector<tls::Certificate>& anchors);

// What somebody gave for an installation; a part with an empty text was not given.
struct GivenIssuer {
  struct Part {
    std::string pem;
    std::string name;  // "identityTrustAnchorsPEM (--identity-trust-anchors-file ca.crt)"
  };
  Part certificate, key, anchors;
  std::string identity;  // which name Linkerd's control plane wants the issuer to have
};
struct IssuerVerdict {
  std::vector<std::string> problems;  // all of them, a sentence each
  std::vector<std::string> warnings;
};
IssuerVerdict judge(const GivenIssuer& given);

}  // namespace tulle::cli
