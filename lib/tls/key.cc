// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/key.h"

#include <openssl/bytestring.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>

#include "lib/tls/native.h"

namespace tulle::tls {

using native::Ptr;

PrivateKey::PrivateKey(evp_pkey_st* key) : key_(key, EVP_PKEY_free) {}

PrivateKey PrivateKey::generate() {
  const Ptr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  TULLE_CHECK(ec != nullptr && EC_KEY_generate_key(ec.get()) == 1);
  EVP_PKEY* const key = EVP_PKEY_new();
  TULLE_CHECK(key != nullptr && EVP_PKEY_set1_EC_KEY(key, ec.get()) == 1);
  return PrivateKey(key);
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  const Ptr<BIO> bio = native::bio_over(pem);
  // Without a callback an encrypted key would ask for its password on the terminal.
  const auto no_password = [](char*, int, int, void*) { return 0; };
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr);
  ERR_clear_error();
  if (key == nullptr) return Error{Errc::Invalid, "read a private key"};
  return PrivateKey(key);
}

Result<PrivateKey> PrivateKey::from_der(Bytes der) {
  CBS in;
  CBS_init(&in, der.data(), der.size());
  Ptr<EVP_PKEY> key(EVP_parse_private_key(&in));
  ERR_clear_error();
  if (!key || CBS_len(&in) != 0) return Error{Errc::Invalid, "read a private key"};
  return PrivateKey(key.release());
}

std::string PrivateKey::to_pem() const {
  const Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  TULLE_CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr,
                                            nullptr) == 1);
  return native::read_bio(bio.get());
}

std::string PrivateKey::to_der() const {
  bssl::ScopedCBB out;
  TULLE_CHECK(CBB_init(out.get(), 256) == 1);
  TULLE_CHECK(EVP_marshal_private_key(out.get(), key_.get()) == 1);
  return std::string(native::text_of(CBB_data(out.get())), CBB_len(out.get()));
}

std::string PrivateKey::public_to_pem() const {
  const Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  TULLE_CHECK(PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
  return native::read_bio(bio.get());
}

}  // namespace tulle::tls
