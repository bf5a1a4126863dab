// SPDX-License-Identifier: Apache-2.0
// Requests and the CA: what signs, and what asks to be signed.
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>

#include "lib/base/text.h"
#include "lib/tls/cert.h"
#include "lib/tls/native.h"

namespace tulle::tls {
namespace {

using native::Ptr;
using native::unix_seconds;

constexpr std::size_t kMaxCsr = 64 * 1024;
constexpr std::size_t kMaxCommonName = 64;  // RFC 5280, ub-common-name

bool set_name(X509_NAME* name, std::string_view common_name) {
  return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                    as_bytes(common_name).data(),
                                    static_cast<ossl_ssize_t>(common_name.size()), -1, 0) == 1;
}

Ptr<GENERAL_NAMES> dns_names(const std::vector<std::string>& names) {
  Ptr<GENERAL_NAMES> list(GENERAL_NAMES_new());
  for (const std::string& name : names) {
    Ptr<GENERAL_NAME> entry(GENERAL_NAME_new());
    ASN1_IA5STRING* const text = ASN1_IA5STRING_new();
    TULLE_CHECK(ASN1_STRING_set(text, name.data(), static_cast<ossl_ssize_t>(name.size())) == 1);
    GENERAL_NAME_set0_value(entry.get(), GEN_DNS, text);
    TULLE_CHECK(bssl::PushToStack(list.get(), std::move(entry)));
  }
  return list;
}

void add_extension(X509* cert, int nid, void* value, bool critical) {
  TULLE_CHECK(X509_add1_ext_i2d(cert, nid, value, critical ? 1 : 0, X509V3_ADD_APPEND) == 1);
}

void add_key_usage(X509* cert, std::initializer_list<int> bits) {
  const Ptr<ASN1_BIT_STRING> usage(ASN1_BIT_STRING_new());
  for (const int bit : bits) TULLE_CHECK(ASN1_BIT_STRING_set_bit(usage.get(), bit, 1) == 1);
  add_extension(cert, NID_key_usage, usage.get(), true);
}

std::string subject_key_id(const EVP_PKEY* key) {
  Ptr<X509_PUBKEY> pub;
  X509_PUBKEY* raw = nullptr;
  TULLE_CHECK(X509_PUBKEY_set(&raw, const_cast<EVP_PKEY*>(key)) == 1);
  pub.reset(raw);
  const std::uint8_t* bits = nullptr;
  int size = 0;
  TULLE_CHECK(X509_PUBKEY_get0_param(nullptr, &bits, &size, nullptr, pub.get()) == 1);
  std::uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(bits, static_cast<std::size_t>(size), digest);
  return std::string(reinterpret_cast<const char*>(digest), 20);
}

void add_subject_key_id(X509* cert, const EVP_PKEY* key) {
  const std::string id = subject_key_id(key);
  const Ptr<ASN1_OCTET_STRING> octets(ASN1_OCTET_STRING_new());
  TULLE_CHECK(
      ASN1_OCTET_STRING_set(octets.get(), as_bytes(id).data(), static_cast<int>(id.size())) == 1);
  add_extension(cert, NID_subject_key_identifier, octets.get(), false);
}

// Repeats what the issuer's certificate says, however its maker computed it: verifiers compare the
// two.
void add_authority_key_id(X509* cert, const X509* issuer) {
  const ASN1_OCTET_STRING* const id = X509_get0_subject_key_id(const_cast<X509*>(issuer));
  if (id == nullptr) return;
  const Ptr<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  authority->keyid = ASN1_OCTET_STRING_dup(id);
  TULLE_CHECK(authority->keyid != nullptr);
  add_extension(cert, NID_authority_key_identifier, authority.get(), false);
}

Ptr<X509> blank(std::uint64_t serial, WallTime not_before, WallTime not_after) {
  Ptr<X509> cert(X509_new());
  TULLE_CHECK(cert != nullptr);
  TULLE_CHECK(X509_set_version(cert.get(), X509_VERSION_3) == 1);
  const Ptr<ASN1_INTEGER> number(ASN1_INTEGER_new());
  TULLE_CHECK(ASN1_INTEGER_set_uint64(number.get(), serial) == 1);
  TULLE_CHECK(X509_set_serialNumber(cert.get(), number.get()) == 1);
  TULLE_CHECK(ASN1_TIME_set_posix(X509_getm_notBefore(cert.get()), unix_seconds(not_before)) !=
              nullptr);
  TULLE_CHECK(ASN1_TIME_set_posix(X509_getm_notAfter(cert.get()), unix_seconds(not_after)) !=
              nullptr);
  return cert;
}

// The digest that fits the signer's key.
const EVP_MD* digest_for(const EVP_PKEY* key) {
  switch (EVP_PKEY_id(key)) {
    case EVP_PKEY_ED25519: return nullptr;
    case EVP_PKEY_EC: {
      const int bits = EVP_PKEY_bits(key);
      return bits > 384 ? EVP_sha512() : bits > 256 ? EVP_sha384() : EVP_sha256();
    }
    default: return EVP_sha256();
  }
}

bool sign(X509* cert, EVP_PKEY* key) { return X509_sign(cert, key, digest_for(key)) > 0; }

std::uint64_t random_serial() {
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<std::uint8_t*>(&serial), sizeof serial);
  return serial >> 1;
}

bool is_anchor(const Issuer& issuer) {
  const Ptr<X509> cert = native::parse(as_bytes(issuer.certificate.der));
  return cert &&
         X509_NAME_cmp(X509_get_subject_name(cert.get()), X509_get_issuer_name(cert.get())) == 0;
}

Issuer make_ca(const Issuer* parent, std::string_view name, Duration lifetime, PrivateKey key) {
  const WallTime now = wall_now();
  Ptr<X509> cert = blank(random_serial(), now - 1min, now + lifetime);
  TULLE_CHECK(set_name(X509_get_subject_name(cert.get()), name.substr(0, kMaxCommonName)));
  Ptr<X509> above;
  if (parent != nullptr) {
    above = native::parse(as_bytes(parent->certificate.der));
    TULLE_CHECK(above != nullptr);
  }
  const X509* const signer = above ? above.get() : cert.get();
  TULLE_CHECK(X509_set_issuer_name(cert.get(), X509_get_subject_name(signer)) == 1);
  TULLE_CHECK(X509_set_pubkey(cert.get(), key.native()) == 1);
  const Ptr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  constraints->ca = ASN1_BOOLEAN_TRUE;
  add_extension(cert.get(), NID_basic_constraints, constraints.get(), true);
  add_key_usage(cert.get(), {5, 6});  // keyCertSign, cRLSign
  const Ptr<GENERAL_NAMES> names = dns_names({std::string(name)});
  add_extension(cert.get(), NID_subject_alt_name, names.get(), false);
  add_subject_key_id(cert.get(), key.native());
  if (above) add_authority_key_id(cert.get(), above.get());
  TULLE_CHECK(sign(cert.get(), parent != nullptr ? parent->key.native() : key.native()));
  Result<Certificate> made = native::describe(cert.get());
  TULLE_CHECK(made.has_value());
  // The chain above an issuer leaves its anchor out.
  std::vector<Certificate> chain;
  if (parent != nullptr && !is_anchor(*parent)) {
    chain = parent->chain;
    chain.insert(chain.begin(), parent->certificate);
  }
  return Issuer{std::move(*made), std::move(key), std::move(chain)};
}

}  // namespace

std::string make_csr(const PrivateKey& key, std::string_view name) {
  const Ptr<X509_REQ> req(X509_REQ_new());
  TULLE_CHECK(X509_REQ_set_version(req.get(), X509_REQ_VERSION_1) == 1);
  // A common name holds 64 characters; longer names stand in the SAN alone.
  if (name.size() <= kMaxCommonName)
    TULLE_CHECK(set_name(X509_REQ_get_subject_name(req.get()), name));
  TULLE_CHECK(X509_REQ_set_pubkey(req.get(), key.native()) == 1);
  const Ptr<GENERAL_NAMES> names = dns_names({std::string(name)});
  STACK_OF(X509_EXTENSION)* raw = sk_X509_EXTENSION_new_null();
  TULLE_CHECK(X509V3_add1_i2d(&raw, NID_subject_alt_name, names.get(), 0, X509V3_ADD_APPEND) == 1);
  const Ptr<STACK_OF(X509_EXTENSION)> extensions(raw);
  TULLE_CHECK(X509_REQ_add_extensions(req.get(), extensions.get()) == 1);
  TULLE_CHECK(X509_REQ_sign(req.get(), key.native(), EVP_sha256()) > 0);
  std::uint8_t* der = nullptr;
  const int size = i2d_X509_REQ(req.get(), &der);
  TULLE_CHECK(size > 0);
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

Result<Csr> Csr::from_der(Bytes der) {
  if (der.size() > kMaxCsr) return Error{Errc::Invalid, "read a certificate request"};
  const std::uint8_t* at = der.data();
  const Ptr<X509_REQ> req(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!req || at != der.data() + der.size()) {
    return Error{Errc::Invalid, "read a certificate request"};
  }
  const Ptr<EVP_PKEY> key(X509_REQ_get_pubkey(req.get()));
  const bool signed_by_key = key && X509_REQ_verify(req.get(), key.get()) == 1;
  ERR_clear_error();
  if (!signed_by_key) return Error{Errc::Invalid, "check the signature of a certificate request"};
  Csr csr;
  const Error bad_subject{Errc::Invalid, "read the subject of a certificate request"};
  const X509_NAME* const subject = X509_REQ_get_subject_name(req.get());
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index >= 0) {
    // A second CN would be one that nobody compares with the identity.
    if (X509_NAME_get_index_by_NID(subject, NID_commonName, index) >= 0) return bad_subject;
    const ASN1_STRING* const text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index));
    std::uint8_t* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, text);
    ERR_clear_error();
    if (size < 0) return bad_subject;
    csr.common_name.assign(native::text_of(utf8), static_cast<std::size_t>(size));
    OPENSSL_free(utf8);
    if (csr.common_name.find('\0') != std::string::npos) return bad_subject;
  }
  const Ptr<STACK_OF(X509_EXTENSION)> extensions(X509_REQ_get_extensions(req.get()));
  int critical = 0;
  const Ptr<GENERAL_NAMES> list(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions.get(), NID_subject_alt_name, &critical, nullptr)));
  ERR_clear_error();
  native::Names names = native::read_names(list.get());
  // -1 is "no such extension"; what is there must be readable and stand there once.
  if ((!list && critical != -1) || names.malformed) {
    return Error{Errc::Invalid, "read the names of a certificate request"};
  }
  csr.dns_names = std::move(names.dns);
  csr.other_names = names.other || !names.uris.empty() || !names.ips.empty();
  std::uint8_t* spki = nullptr;
  const int size = i2d_PUBKEY(key.get(), &spki);
  if (size <= 0) return Error{Errc::Invalid, "read the key of a certificate request"};
  csr.public_key.assign(native::text_of(spki), static_cast<std::size_t>(size));
  OPENSSL_free(spki);
  return csr;
}

Issuer make_anchor(std::string_view name, Duration lifetime, PrivateKey key) {
  return make_ca(nullptr, name, lifetime, std::move(key));
}

Issuer make_issuer(const Issuer& parent, std::string_view name, Duration lifetime, PrivateKey key) {
  return make_ca(&parent, name, lifetime, std::move(key));
}

Result<Certificate> sign_leaf(const Issuer& issuer, const Csr& csr, const LeafOptions& options) {
  const WallTime now = wall_now();
  WallTime not_after = now + options.lifetime + options.skew;
  not_after = std::min(not_after, issuer.certificate.not_after);
  for (const Certificate& above : issuer.chain) not_after = std::min(not_after, above.not_after);
  Ptr<X509> cert = blank(options.serial, now - options.skew, not_after);
  if (!csr.common_name.empty() && !set_name(X509_get_subject_name(cert.get()), csr.common_name)) {
    return Error{Errc::Invalid, "name a leaf"};
  }
  const Ptr<X509> above = native::parse(as_bytes(issuer.certificate.der));
  if (!above || X509_set_issuer_name(cert.get(), X509_get_subject_name(above.get())) != 1) {
    return Error{Errc::Invalid, "name a leaf's issuer"};
  }
  const std::uint8_t* spki = as_bytes(csr.public_key).data();
  const Ptr<EVP_PKEY> key(d2i_PUBKEY(nullptr, &spki, static_cast<long>(csr.public_key.size())));
  if (!key || EVP_PKEY_id(key.get()) != EVP_PKEY_EC)
    return Error{Errc::Unsupported, "sign a key that is not EC"};
  TULLE_CHECK(X509_set_pubkey(cert.get(), key.get()) == 1);
  const Ptr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  add_extension(cert.get(), NID_basic_constraints, constraints.get(), true);
  add_key_usage(cert.get(), {0, 2});  // digitalSignature, keyEncipherment
  const Ptr<EXTENDED_KEY_USAGE> usage(sk_ASN1_OBJECT_new_null());
  for (const int nid : {NID_server_auth, NID_client_auth}) {
    Ptr<ASN1_OBJECT> object(OBJ_dup(OBJ_nid2obj(nid)));
    TULLE_CHECK(bssl::PushToStack(usage.get(), std::move(object)));
  }
  add_extension(cert.get(), NID_ext_key_usage, usage.get(), false);
  const Ptr<GENERAL_NAMES> names = dns_names(csr.dns_names);
  // RFC 5280 §4.2.1.6: without a subject the names are critical.
  add_extension(cert.get(), NID_subject_alt_name, names.get(), csr.common_name.empty());
  add_subject_key_id(cert.get(), key.get());
  add_authority_key_id(cert.get(), above.get());
  if (!sign(cert.get(), issuer.key.native())) return Error{Errc::Internal, "sign a leaf"};
  return native::describe(cert.get());
}

}  // namespace tulle::tls
