// SPDX-License-Identifier: Apache-2.0
// What strangers send to be certified, and certificates and keys from files. The first byte
// chooses.
#include "lib/base/check.h"
#include "lib/tls/cert.h"

using namespace tulle;  // NOLINT: a program of one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tls::Issuer issuer = tls::make_anchor("fuzz", 24h * 365);
  if (size == 0) return 0;
  const Bytes bytes(data + 1, size - 1);
  switch (data[0] % 5) {
    case 0: {
      const Result<tls::Csr> csr = tls::Csr::from_der(bytes);
      if (!csr) return 0;
      TULLE_CHECK(csr->common_name.find('\0') == std::string::npos);
      const Result<tls::Certificate> leaf = tls::sign_leaf(issuer, *csr, {});
      if (!leaf) return 0;
      TULLE_CHECK(leaf->dns_names == csr->dns_names && leaf->uris.empty() && !leaf->is_ca);
      TULLE_CHECK(leaf->not_after <= issuer.certificate.not_after);
      return 0;
    }
    case 1: {
      const Result<tls::Certificate> cert = tls::Certificate::from_der(bytes);
      if (!cert) return 0;
      TULLE_CHECK(cert->fingerprint().size() == 64);
      TULLE_CHECK(!tls::verify_chain(*cert, {*cert}, {issuer.certificate}, tls::Usage::Server));
      return 0;
    }
    case 2: (void)tls::Certificate::from_pem(as_text(bytes)); return 0;
    case 3: (void)tls::PrivateKey::from_pem(as_text(bytes)); return 0;
    default: (void)tls::PrivateKey::from_der(bytes); return 0;
  }
}
