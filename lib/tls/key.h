// SPDX-License-Identifier: Apache-2.0
// Private keys: made in memory, or read from PEM and DER.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

struct evp_pkey_st;

namespace tulle::tls {

// Copies share the key; immutable, so threads may share it too.
class PrivateKey {
 public:
  // ECDSA P-256.
  static PrivateKey generate();
  // The first of "PRIVATE KEY" (PKCS#8), "EC PRIVATE KEY" or "RSA PRIVATE KEY", not encrypted.
  static Result<PrivateKey> from_pem(std::string_view pem);
  // PKCS#8.
  static Result<PrivateKey> from_der(Bytes der);
  std::string to_pem() const;         // PKCS#8
  std::string to_der() const;         // PKCS#8
  std::string public_to_pem() const;  // SubjectPublicKeyInfo
  // For lib/tls only.
  evp_pkey_st* native() const noexcept { return key_.get(); }

 private:
  explicit PrivateKey(evp_pkey_st* key);
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace tulle::tls
