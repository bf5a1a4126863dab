// SPDX-License-Identifier: Apache-2.0
// Signed tokens where there is no Kubernetes to review them: JWT with ES256 (RFC 7519, RFC 7518
// §3.4).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/tls/cert.h"

namespace tulle::tls {

struct Token {
  std::string subject;  // "system:serviceaccount:<ns>:<sa>"
  std::vector<std::string> audience;
  WallTime not_before{};
  WallTime expires{};
  std::map<std::string, std::string> claims;  // further claims that are strings
};

// `key` is a P-256 key.
std::string sign_token(const Token& token, const PrivateKey& key);
// The same for claims that are already JSON.
std::string sign_claims(std::string_view json, const PrivateKey& key);
// Checks form, algorithm, signature and dates (30 s of slack before not_before), and that
// `audience` is among the token's. Claims are read strictly: no member twice, \u escapes of ASCII
// only. Errors: Invalid (not such a token), Internal (no such key), Unauthenticated (anything else;
// `where` says what).
Result<Token> verify_token(std::string_view text, std::string_view public_key_pem,
                           std::string_view audience);

}  // namespace tulle::tls
