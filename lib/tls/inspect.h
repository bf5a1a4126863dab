// SPDX-License-Identifier: Apache-2.0
// A certificate as people read it. Only for programs that talk to users: text, no speed.
#pragma once

#include <string>

#include "lib/tls/cert.h"

namespace tulle::tls {

struct CertificateKind {
  std::string key;        // "ECDSA P-256", "RSA 2048", "Ed25519"; "unknown"
  std::string signature;  // as OpenSSL names it: "ecdsa-with-SHA256", "sha256WithRSAEncryption"
};
CertificateKind kind_of(const Certificate& certificate);

// All that it says, in the layout that `openssl x509 -text` has; "" if the DER is malformed.
std::string print(const Certificate& certificate);

}  // namespace tulle::tls
