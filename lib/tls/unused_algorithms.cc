// SPDX-License-Identifier: Apache-2.0
// What BoringSSL refers to and the mesh has no use for (third_party/CMakeLists.txt leads it here):
// the linker then leaves the algorithms out of every program, a quarter of a megabyte.
#include <openssl/evp.h>

#include "lib/base/check.h"

extern "C" {

// The key exchange MLKEM1024: no context enables the group (credentials.cc, kGroups).
void tulle_not_enabled_generate_key() { TULLE_UNREACHABLE(); }
void tulle_not_enabled_parse_public_key() { TULLE_UNREACHABLE(); }
void tulle_not_enabled_encap() { TULLE_UNREACHABLE(); }
void tulle_not_enabled_decap() { TULLE_UNREACHABLE(); }

// Kinds of keys that X.509 may carry: certificates with ML-DSA or ML-KEM keys are refused as of an
// unknown kind. The list they stand in takes no null, and is not hurt by one kind named twice.
const EVP_PKEY_ALG* __wrap_EVP_pkey_ml_dsa_44() { return EVP_pkey_ed25519(); }    // NOLINT
const EVP_PKEY_ALG* __wrap_EVP_pkey_ml_dsa_65() { return EVP_pkey_ed25519(); }    // NOLINT
const EVP_PKEY_ALG* __wrap_EVP_pkey_ml_dsa_87() { return EVP_pkey_ed25519(); }    // NOLINT
const EVP_PKEY_ALG* __wrap_EVP_pkey_ml_kem_768() { return EVP_pkey_ed25519(); }   // NOLINT
const EVP_PKEY_ALG* __wrap_EVP_pkey_ml_kem_1024() { return EVP_pkey_ed25519(); }  // NOLINT

}  // extern "C"
