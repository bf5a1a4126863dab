// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/inspect.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/x509.h>

#include "lib/base/text.h"
#include "lib/tls/native.h"

namespace tulle::tls {

CertificateKind kind_of(const Certificate& certificate) {
  CertificateKind out{"unknown", "unknown"};
  const native::Ptr<X509> x509 = native::parse(as_bytes(certificate.der));
  if (x509 == nullptr) return out;
  if (const char* const name = OBJ_nid2ln(X509_get_signature_nid(x509.get())); name != nullptr)
    out.signature = name;
  const native::Ptr<EVP_PKEY> key(X509_get_pubkey(x509.get()));
  if (key == nullptr) return out;
  switch (EVP_PKEY_id(key.get())) {
    case EVP_PKEY_EC: {
      const EC_KEY* const ec = EVP_PKEY_get0_EC_KEY(key.get());
      const int curve = ec == nullptr ? NID_undef : EC_GROUP_get_curve_name(EC_KEY_get0_group(ec));
      out.key = concat("ECDSA ", curve == NID_X9_62_prime256v1 ? "P-256"
                                 : curve == NID_secp384r1      ? "P-384"
                                 : curve == NID_secp521r1      ? "P-521"
                                                               : "of an unknown curve");
      break;
    }
    case EVP_PKEY_RSA: out.key = concat("RSA ", std::to_string(EVP_PKEY_bits(key.get()))); break;
    case EVP_PKEY_ED25519: out.key = "Ed25519"; break;
    default: break;
  }
  return out;
}

std::string print(const Certificate& certificate) {
  const native::Ptr<X509> x509 = native::parse(as_bytes(certificate.der));
  const native::Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  if (x509 == nullptr || bio == nullptr || X509_print(bio.get(), x509.get()) != 1) return "";
  return native::read_bio(bio.get());
}

}  // namespace tulle::tls
