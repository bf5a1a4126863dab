// SPDX-License-Identifier: Apache-2.0
// The issuer and the trust anchors as files in a folder, in the layouts of both Secret types
// (docs/reference/control-plane.md §4.3): tls.crt, tls.key, ca.crt (kubernetes.io/tls, what
// cert-manager writes) or crt.pem, key.pem (linkerd.io/tls) with the anchors in ca.crt or
// ca-bundle.crt beside them or in a file of their own. Reading and checking only; issuer_store.h
// keeps the result up to date.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/tls/cert.h"

namespace tulle::control {

struct IssuerState {
  tls::Issuer issuer;
  std::vector<tls::Certificate> anchors;
  std::string anchors_pem;  // as it was read: what pods carry a hash of
};

// Why it cannot be used, for the log; names files, never their contents.
struct IssuerProblem {
  std::string reason;
};

// The texts of an issuer, wherever they stand; the names are for messages.
struct IssuerParts {
  std::string certificate_pem, certificate_name;
  std::string key_pem, key_name;
  std::string anchors_pem, anchors_name;
};
// Checks as load_issuer() does.
std::variant<IssuerState, IssuerProblem> make_issuer_state(const IssuerParts& parts);

// Reads and checks: key and certificate match, it may issue, and its chain leads to an anchor now.
// `anchors_file` may be "".
std::variant<IssuerState, IssuerProblem> load_issuer(const std::string& folder,
                                                     const std::string& anchors_file);

// For those who have no PKI: an empty folder gets an anchor (10 years, with its key in ca.key) and
// an issuer (1 year); an issuer past 70 % of its life is replaced by a new one of the same anchor.
// Other people's files are never touched: without ca.key nothing happens. "" if all is well.
std::string generate_issuer(const std::string& folder, std::string_view name);

// Still good, as of now?
Result<void> check_issuer(const IssuerState& state);

}  // namespace tulle::control
