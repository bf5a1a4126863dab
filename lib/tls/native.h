// SPDX-License-Identifier: Apache-2.0
// For the sources of lib/tls only: certificates as BoringSSL holds them.
#pragma once

#include <openssl/base.h>
#include <openssl/x509.h>

#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/tls/cert.h"

namespace tulle::tls::native {

template <typename T>
using Ptr = bssl::UniquePtr<T>;

inline const char* text_of(const std::uint8_t* data) { return reinterpret_cast<const char*>(data); }
inline std::int64_t unix_seconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

// Null if the DER is malformed or followed by anything.
Ptr<X509> parse(Bytes der);
Result<Certificate> describe(X509* cert);

// The subject alternative names of a certificate or a request.
struct Names {
  std::vector<std::string> dns;
  std::vector<std::string> uris;
  std::vector<std::string> ips;         // 4 or 16 octets each
  std::vector<std::string> identities;  // usable workload names, in order
  bool other = false;                   // there are names of other kinds
  bool malformed = false;               // a name lies about its end, or an IP has a strange length
};
Names read_names(const GENERAL_NAMES* names);
Names names_of(const X509* cert);

std::string read_bio(BIO* bio);
// A reading BIO over the text, which must outlive it.
Ptr<BIO> bio_over(std::string_view text);

// When every certificate of a verified chain, its anchor included, is valid.
struct Validity {
  WallTime from;
  WallTime until;
};
// Runs X509_verify_cert at wall_now().
Result<Validity> verify(X509_STORE* store, X509* leaf, STACK_OF(X509) * untrusted, Usage usage);
// Trusts every anchor as it stands: it need not be self-signed.
Result<Ptr<X509_STORE>> make_store(const std::vector<Certificate>& anchors);

}  // namespace tulle::tls::native
