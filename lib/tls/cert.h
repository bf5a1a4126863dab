// SPDX-License-Identifier: Apache-2.0
// Certificates, requests and the small CA that the control plane is. DER in std::string, PEM at the
// edges. Dates are checked against tulle::wall_now(). P-256, P-384, P-521, Ed25519 and RSA anchors
// and issuers work; keys that we make are P-256.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/tls/key.h"

namespace tulle::tls {

struct Certificate {
  std::string der;
  WallTime not_before;
  WallTime not_after;
  std::vector<std::string> dns_names;
  std::vector<std::string> uris;
  bool is_ca = false;
  // The names that the holder may be known by: the DNS and SPIFFE names that are workload names, in
  // order.
  std::vector<std::string> identities;

  static Result<Certificate> from_der(Bytes der);
  // Every certificate in the text, in order; Invalid if there is none or one is malformed.
  static Result<std::vector<Certificate>> from_pem(std::string_view pem);
  std::string to_pem() const;
  std::string fingerprint() const;  // SHA-256 of the DER, lower-case hex
  // The first of identities; "" if there is none.
  std::string identity() const;
  bool matches_key(const PrivateKey& key) const;
};

// PKCS#10 with `name` as CN and sole DNS SAN, DER. (A name beyond 64 characters, which is all that
// a CN holds, stands in the SAN alone.)
std::string make_csr(const PrivateKey& key, std::string_view name);

// A request that was read and whose signature is good.
struct Csr {
  std::string common_name;
  std::vector<std::string> dns_names;
  bool other_names = false;  // e-mail, IP, URI or other SANs
  std::string public_key;    // SubjectPublicKeyInfo, DER
  // Invalid: malformed, trailing bytes, more than one CN, a name with a NUL, a bad signature.
  static Result<Csr> from_der(Bytes der);
};

// Does the chain lead from `leaf` over `intermediates` to one of `anchors`, now? Unauthenticated if
// not.
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
Issuer make_anchor(std::string_view name, Duration lifetime,
                   PrivateKey key = PrivateKey::generate());
// An issuer signed by `parent`.
Issuer make_issuer(const Issuer& parent, std::string_view name, Duration lifetime,
                   PrivateKey key = PrivateKey::generate());

struct LeafOptions {
  Duration lifetime = 24h;
  Duration skew = 20s;
  std::uint64_t serial = 1;
};
// A leaf for the names and the key of the request (docs/reference/control-plane.md §4.2): key
// usages, dates with skew, clamped to the end of the chain. Only EC keys are signed. Whose names
// they are is the caller's question.
Result<Certificate> sign_leaf(const Issuer& issuer, const Csr& csr, const LeafOptions& options);

std::string sha256_hex(std::string_view text);
std::array<std::uint8_t, 32> sha256(std::string_view text);
// 20 bytes. Only for protocols that demand it where nothing depends on its strength (RFC 6455
// §4.2.2).
std::string sha1(std::string_view text);

}  // namespace tulle::tls
