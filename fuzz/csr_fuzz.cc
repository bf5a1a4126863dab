// SPDX-License-Identifier: Apache-2.0
// What strangers send to be certified, and certificates and keys from files. The first byte
// chooses.
#include "lib/base/check.h"
#include "lib/tls/cert.h"

using namespace tulle;  // NOLINT: a program of one function

namespace {

// A key that is taken can be written, used to ask for a certificate, and is in both what it was.
void check_key(const Result<tls::PrivateKey>& key) {
  if (!key) return;
  TULLE_CHECK(!key->public_to_pem().empty());
  const auto from_pem = tls::PrivateKey::from_pem(key->to_pem());
  TULLE_CHECK(from_pem && from_pem->public_to_pem() == key->public_to_pem());
  const std::string der = key->to_der();
  const auto from_der = tls::PrivateKey::from_der(as_bytes(der));
  TULLE_CHECK(from_der && from_der->to_der() == der);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tls::Issuer issuer = tls::make_anchor("fuzz", 24h * 365);
  static const tls::Issuer below = tls::make_issuer(issuer, "below", 24h * 30);
  static const std::string request = tls::make_csr(issuer.key, "web.shop");
  TULLE_CHECK(tls::Csr::from_der(as_bytes(request)));
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
      TULLE_CHECK(tls::verify_chain(*leaf, {}, {issuer.certificate}, tls::Usage::Client));
      const Result<tls::Certificate> other = tls::sign_leaf(below, *csr, {});
      TULLE_CHECK(other && tls::verify_chain(*other, {below.certificate}, {issuer.certificate},
                                             tls::Usage::Server));
      TULLE_CHECK(!tls::verify_chain(*other, {}, {issuer.certificate}, tls::Usage::Server));
      TULLE_CHECK(leaf->identity().empty() == leaf->identities.empty());
      return 0;
    }
    case 1: {
      const Result<tls::Certificate> cert = tls::Certificate::from_der(bytes);
      if (!cert) return 0;
      TULLE_CHECK(cert->fingerprint().size() == 64);
      TULLE_CHECK(!tls::verify_chain(*cert, {*cert}, {issuer.certificate}, tls::Usage::Server));
      return 0;
    }
    case 2: {
      const auto certs = tls::Certificate::from_pem(as_text(bytes));
      if (!certs) return 0;
      TULLE_CHECK(!certs->empty());
      for (const tls::Certificate& cert : *certs) {
        const auto again = tls::Certificate::from_pem(cert.to_pem());
        TULLE_CHECK(again && again->size() == 1 && again->front().der == cert.der);
        TULLE_CHECK(!cert.matches_key(issuer.key));
      }
      (void)tls::verify_chain(certs->front(), *certs, *certs, tls::Usage::Any);
      return 0;
    }
    case 3: check_key(tls::PrivateKey::from_pem(as_text(bytes))); return 0;
    default: check_key(tls::PrivateKey::from_der(bytes)); return 0;
  }
}
