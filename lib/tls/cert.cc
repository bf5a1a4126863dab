// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/cert.h"

#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::tls {
namespace {

template <typename T>
using Ptr = bssl::UniquePtr<T>;

Ptr<BIO> read_bio(std::string_view text) {
  return Ptr<BIO>(BIO_new_mem_buf(text.data(), static_cast<ossl_ssize_t>(text.size())));
}
std::string drain_bio(BIO* bio) {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  TULLE_CHECK(BIO_mem_contents(bio, &data, &size) == 1);
  return std::string(as_text(Bytes(data, size)));
}

WallTime to_wall(const ASN1_TIME* time) {
  std::int64_t seconds = 0;
  if (ASN1_TIME_to_posix(time, &seconds) != 1) return WallTime{};
  // Dates beyond what nanoseconds hold (2262) mean "for ever" here.
  return WallTime{std::chrono::seconds{std::clamp<std::int64_t>(seconds, 0, 9'000'000'000)}};
}

std::int64_t unix_seconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

void read_names(const GENERAL_NAMES* names, std::vector<std::string>& dns, std::vector<std::string>* uris,
                bool* other) {
  for (std::size_t i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS || name->type == GEN_URI) {
      const ASN1_IA5STRING* const text = name->type == GEN_DNS ? name->d.dNSName : name->d.uniformResourceIdentifier;
      std::string value(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                        static_cast<std::size_t>(ASN1_STRING_length(text)));
      if (value.find('\0') != std::string::npos) continue;  // a name that lies about its end
      if (name->type == GEN_DNS) {
        dns.push_back(std::move(value));
      } else if (uris != nullptr) {
        uris->push_back(std::move(value));
      } else if (other != nullptr) {
        *other = true;
      }
    } else if (other != nullptr) {
      *other = true;
    }
  }
}

Ptr<X509> parse(Bytes der) {
  const std::uint8_t* at = der.data();
  Ptr<X509> cert(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (cert && at != der.data() + der.size()) cert.reset();
  return cert;
}

Result<Certificate> from_native(X509* native) {
  Certificate cert;
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(native, &der);
  if (size <= 0) return Error{Errc::Invalid, "encode a certificate"};
  cert.der.assign(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  cert.not_before = to_wall(X509_get0_notBefore(native));
  cert.not_after = to_wall(X509_get0_notAfter(native));
  const Ptr<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(native, NID_subject_alt_name, nullptr, nullptr)));
  read_names(names.get(), cert.dns_names, &cert.uris, nullptr);
  cert.is_ca = X509_check_ca(native) == 1;
  return cert;
}

bool set_name(X509_NAME* name, std::string_view common_name) {
  return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                    reinterpret_cast<const std::uint8_t*>(common_name.data()),
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

void add_key_ids(X509* cert, const EVP_PKEY* subject, const EVP_PKEY* issuer) {
  const auto octets = [](const std::string& text) {
    Ptr<ASN1_OCTET_STRING> out(ASN1_OCTET_STRING_new());
    TULLE_CHECK(ASN1_OCTET_STRING_set(out.get(), reinterpret_cast<const std::uint8_t*>(text.data()),
                                      static_cast<int>(text.size())) == 1);
    return out;
  };
  const Ptr<ASN1_OCTET_STRING> own = octets(subject_key_id(subject));
  add_extension(cert, NID_subject_key_identifier, own.get(), false);
  const Ptr<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  authority->keyid = octets(subject_key_id(issuer)).release();
  add_extension(cert, NID_authority_key_identifier, authority.get(), false);
}

Ptr<X509> blank(std::uint64_t serial, WallTime not_before, WallTime not_after) {
  Ptr<X509> cert(X509_new());
  TULLE_CHECK(cert != nullptr);
  TULLE_CHECK(X509_set_version(cert.get(), X509_VERSION_3) == 1);
  const Ptr<ASN1_INTEGER> number(ASN1_INTEGER_new());
  TULLE_CHECK(ASN1_INTEGER_set_uint64(number.get(), serial) == 1);
  TULLE_CHECK(X509_set_serialNumber(cert.get(), number.get()) == 1);
  TULLE_CHECK(ASN1_TIME_set_posix(X509_getm_notBefore(cert.get()), unix_seconds(not_before)) != nullptr);
  TULLE_CHECK(ASN1_TIME_set_posix(X509_getm_notAfter(cert.get()), unix_seconds(not_after)) != nullptr);
  return cert;
}

bool sign(X509* cert, EVP_PKEY* key) {
  const EVP_MD* const digest = EVP_PKEY_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  return X509_sign(cert, key, digest) > 0;
}

std::uint64_t random_serial() {
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<std::uint8_t*>(&serial), sizeof serial);
  return serial >> 1;
}

Issuer make_ca(const Issuer* parent, std::string_view name, Duration lifetime) {
  PrivateKey key = PrivateKey::generate();
  const WallTime now = wall_now();
  Ptr<X509> cert = blank(random_serial(), now - 1min, now + lifetime);
  TULLE_CHECK(set_name(X509_get_subject_name(cert.get()), name));
  EVP_PKEY* const signer = parent != nullptr ? parent->key.native() : key.native();
  if (parent != nullptr) {
    const Ptr<X509> above = parse(as_bytes(parent->certificate.der));
    TULLE_CHECK(X509_set_issuer_name(cert.get(), X509_get_subject_name(above.get())) == 1);
  } else {
    TULLE_CHECK(X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get())) == 1);
  }
  TULLE_CHECK(X509_set_pubkey(cert.get(), key.native()) == 1);
  const Ptr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  constraints->ca = ASN1_BOOLEAN_TRUE;
  add_extension(cert.get(), NID_basic_constraints, constraints.get(), true);
  add_key_usage(cert.get(), {5, 6});  // keyCertSign, cRLSign
  const Ptr<GENERAL_NAMES> names = dns_names({std::string(name)});
  add_extension(cert.get(), NID_subject_alt_name, names.get(), false);
  add_key_ids(cert.get(), key.native(), signer);
  TULLE_CHECK(sign(cert.get(), signer));
  Result<Certificate> made = from_native(cert.get());
  TULLE_CHECK(made.has_value());
  std::vector<Certificate> chain;
  return Issuer{std::move(*made), std::move(key), std::move(chain)};
}

}  // namespace

PrivateKey::PrivateKey(evp_pkey_st* key) : key_(key, EVP_PKEY_free) {}

PrivateKey PrivateKey::generate() {
  const Ptr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  TULLE_CHECK(ec != nullptr && EC_KEY_generate_key(ec.get()) == 1);
  EVP_PKEY* const key = EVP_PKEY_new();
  TULLE_CHECK(key != nullptr && EVP_PKEY_set1_EC_KEY(key, ec.get()) == 1);
  return PrivateKey(key);
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  const Ptr<BIO> bio = read_bio(pem);
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr);
  if (key == nullptr) return Error{Errc::Invalid, "read a private key"};
  return PrivateKey(key);
}

std::string PrivateKey::to_pem() const {
  const Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  TULLE_CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return drain_bio(bio.get());
}

std::string PrivateKey::public_to_pem() const {
  const Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  TULLE_CHECK(PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
  return drain_bio(bio.get());
}

Result<Certificate> Certificate::from_der(Bytes der) {
  const Ptr<X509> native = parse(der);
  if (!native) return Error{Errc::Invalid, "read a certificate"};
  return from_native(native.get());
}

Result<std::vector<Certificate>> Certificate::from_pem(std::string_view pem) {
  const Ptr<BIO> bio = read_bio(pem);
  std::vector<Certificate> list;
  std::size_t announced = 0;
  for (auto at = pem.find("-----BEGIN CERTIFICATE-----"); at != std::string_view::npos;
       at = pem.find("-----BEGIN CERTIFICATE-----", at + 1)) {
    ++announced;
  }
  for (;;) {
    const Ptr<X509> native(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!native) break;
    Result<Certificate> cert = from_native(native.get());
    if (!cert) return cert.error();
    list.push_back(std::move(*cert));
  }
  if (list.empty() || list.size() != announced) return Error{Errc::Invalid, "read a PEM bundle"};
  return list;
}

std::string Certificate::to_pem() const {
  const Ptr<X509> native = parse(as_bytes(der));
  const Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  TULLE_CHECK(native != nullptr && PEM_write_bio_X509(bio.get(), native.get()) == 1);
  return drain_bio(bio.get());
}

std::string Certificate::fingerprint() const { return sha256_hex(der); }

std::string Certificate::identity() const {
  for (std::string name : dns_names) {
    if (name.ends_with('.')) name.pop_back();
    if (!name.empty()) return name;
  }
  return uris.empty() ? std::string() : uris.front();
}

bool Certificate::matches_key(const PrivateKey& key) const {
  const Ptr<X509> native = parse(as_bytes(der));
  return native && X509_check_private_key(native.get(), key.native()) == 1;
}

std::string make_csr(const PrivateKey& key, std::string_view name) {
  const Ptr<X509_REQ> req(X509_REQ_new());
  TULLE_CHECK(X509_REQ_set_version(req.get(), X509_REQ_VERSION_1) == 1);
  // A common name holds 64 characters; longer names stand in the SAN alone.
  if (name.size() <= 64) TULLE_CHECK(set_name(X509_REQ_get_subject_name(req.get()), name));
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
  const std::uint8_t* at = der.data();
  const Ptr<X509_REQ> req(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (!req || at != der.data() + der.size()) return Error{Errc::Invalid, "read a certificate request"};
  const Ptr<EVP_PKEY> key(X509_REQ_get_pubkey(req.get()));
  if (!key || X509_REQ_verify(req.get(), key.get()) != 1) {
    return Error{Errc::Invalid, "check the signature of a certificate request"};
  }
  Csr csr;
  const X509_NAME* const subject = X509_REQ_get_subject_name(req.get());
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index >= 0) {
    const ASN1_STRING* const text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index));
    std::uint8_t* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, text);
    if (size < 0) return Error{Errc::Invalid, "read the subject of a certificate request"};
    csr.common_name.assign(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
    OPENSSL_free(utf8);
  }
  const Ptr<STACK_OF(X509_EXTENSION)> extensions(X509_REQ_get_extensions(req.get()));
  const Ptr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
  read_names(names.get(), csr.dns_names, nullptr, &csr.other_names);
  std::uint8_t* spki = nullptr;
  const int size = i2d_PUBKEY(key.get(), &spki);
  if (size <= 0) return Error{Errc::Invalid, "read the key of a certificate request"};
  csr.public_key.assign(reinterpret_cast<const char*>(spki), static_cast<std::size_t>(size));
  OPENSSL_free(spki);
  return csr;
}

Result<void> verify_chain(const Certificate& leaf, const std::vector<Certificate>& intermediates,
                          const std::vector<Certificate>& anchors, Usage usage) {
  const Ptr<X509_STORE> store(X509_STORE_new());
  for (const Certificate& anchor : anchors) {
    const Ptr<X509> native = parse(as_bytes(anchor.der));
    if (!native || X509_STORE_add_cert(store.get(), native.get()) != 1) return Error{Errc::Invalid, "read an anchor"};
  }
  const Ptr<STACK_OF(X509)> untrusted(sk_X509_new_null());
  for (const Certificate& cert : intermediates) {
    Ptr<X509> native = parse(as_bytes(cert.der));
    if (!native || !bssl::PushToStack(untrusted.get(), std::move(native))) return Error{Errc::Invalid, "read a chain"};
  }
  const Ptr<X509> native = parse(as_bytes(leaf.der));
  const Ptr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (!native || X509_STORE_CTX_init(context.get(), store.get(), native.get(), untrusted.get()) != 1) {
    return Error{Errc::Invalid, "read a leaf"};
  }
  X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time_posix(param, unix_seconds(wall_now()));
  if (usage != Usage::Any) {
    X509_VERIFY_PARAM_set_purpose(param, usage == Usage::Server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
  }
  if (X509_verify_cert(context.get()) == 1) return {};
  switch (X509_STORE_CTX_get_error(context.get())) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return Error{Errc::Unauthenticated, "verify a chain: expired"};
    case X509_V_ERR_CERT_NOT_YET_VALID: return Error{Errc::Unauthenticated, "verify a chain: not yet valid"};
    case X509_V_ERR_INVALID_PURPOSE: return Error{Errc::Unauthenticated, "verify a chain: wrong purpose"};
    default: return Error{Errc::Unauthenticated, "verify a chain: not from a trusted anchor"};
  }
}

Issuer make_anchor(std::string_view name, Duration lifetime) { return make_ca(nullptr, name, lifetime); }
Issuer make_issuer(const Issuer& parent, std::string_view name, Duration lifetime) {
  return make_ca(&parent, name, lifetime);
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
  const Ptr<X509> above = parse(as_bytes(issuer.certificate.der));
  if (!above || X509_set_issuer_name(cert.get(), X509_get_subject_name(above.get())) != 1) {
    return Error{Errc::Invalid, "name a leaf's issuer"};
  }
  const auto* spki = reinterpret_cast<const std::uint8_t*>(csr.public_key.data());
  const Ptr<EVP_PKEY> key(d2i_PUBKEY(nullptr, &spki, static_cast<long>(csr.public_key.size())));
  if (!key || X509_set_pubkey(cert.get(), key.get()) != 1) return Error{Errc::Invalid, "set a leaf's key"};
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
  add_key_ids(cert.get(), key.get(), issuer.key.native());
  if (!sign(cert.get(), issuer.key.native())) return Error{Errc::Internal, "sign a leaf"};
  return from_native(cert.get());
}

std::string sha256_hex(std::string_view text) {
  std::uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), digest);
  return hex(digest);
}

}  // namespace tulle::tls
