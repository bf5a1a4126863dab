// SPDX-License-Identifier: Apache-2.0
// Keys, certificates, requests and the small CA that the control plane is. DER in std::string, PEM at
// the edges. Dates are checked against tulle::wall_now().
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/time.h"

struct evp_pkey_st;

namespace tulle::tls {

// A private key. Copies share it; immutable.
class PrivateKey {
 public:
  // ECDSA P-256.
  static PrivateKey generate();
  // "PRIVATE KEY" (PKCS#8), "EC PRIVATE KEY" or "RSA PRIVATE KEY".
  static Result<PrivateKey> from_pem(std::string_view pem);
  std::string to_pem() const;         // PKCS#8
  std::string public_to_pem() const;  // SubjectPublicKeyInfo
  evp_pkey_st* native() const noexcept { return key_.get(); }

 private:
  explicit PrivateKey(evp_pkey_st* key);
  std::shared_ptr<evp_pkey_st> key_;
};

struct Certificate {
  std::string der;
  WallTime not_before;
  WallTime not_after;
  std::vector<std::string> dns_names;
  std::vector<std::string> uris;
  bool is_ca = false;

  static Result<Certificate> from_der(Bytes der);
  // Every certificate in the text, in order; Invalid if there is none or one is malformed.
  static Result<std::vector<Certificate>> from_pem(std::string_view pem);
  std::string to_pem() const;
  std::string fingerprint() const;  // SHA-256 of the DER, lower-case hex
  // The first usable SAN: a DNS name without trailing dot, or a URI; "" if there is none.
  std::string identity() const;
  bool matches_key(const PrivateKey& key) const;
};

// PKCS#10 with `name` as CN and sole DNS SAN, DER.
std::string make_csr(const PrivateKey& key, std::string_view name);

// A request that was read and whose signature is good.
struct Csr {
  std::string common_name;
  std::vector<std::string> dns_names;
  bool other_names = false;  // e-mail, IP or URI SANs
  std::string public_key;    // SubjectPublicKeyInfo, DER
  static Result<Csr> from_der(Bytes der);
};

// Does the chain lead from `leaf` over `intermediates` to one of `anchors`, now?
enum class Usage : std::uint8_t { Server, Client, Any };
Result<void> verify_chain(const Certificate& leaf, const std::vector<Certificate>& intermediates,
                          const std::vector<Certificate>& anchors, Usage usage);

// An issuing certificate with its key and the chain above it (anchors excluded).
struct Issuer {
  Certificate certificate;
  PrivateKey key;
  std::vector<Certificate> chain;
};

// A self-signed anchor.
Issuer make_anchor(std::string_view name, Duration lifetime);
// An issuer signed by `parent`.
Issuer make_issuer(const Issuer& parent, std::string_view name, Duration lifetime);

struct LeafOptions {
  Duration lifetime = 24h;
  Duration skew = 20s;
  std::uint64_t serial = 1;
};
// A leaf for the names and the key of the request (control-plane.md §4.2): key usages, dates with skew,
// clamped to the end of the chain.
Result<Certificate> sign_leaf(const Issuer& issuer, const Csr& csr, const LeafOptions& options);

std::string sha256_hex(std::string_view text);

}  // namespace tulle::tls
