// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/cert.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "lib/base/text.h"
#include "lib/tls/names.h"
#include "lib/tls/native.h"

namespace tulle::tls {
namespace {

using native::Ptr;

WallTime to_wall(const ASN1_TIME* time) {
  std::int64_t seconds = 0;
  if (ASN1_TIME_to_posix(time, &seconds) != 1) return WallTime{};
  // Dates beyond what nanoseconds hold (2262) mean "for ever" here.
  return WallTime{std::chrono::seconds{std::clamp<std::int64_t>(seconds, 0, 9'000'000'000)}};
}

bool contains_nul(const ASN1_STRING* text) {
  return std::memchr(ASN1_STRING_get0_data(text), 0,
                     static_cast<std::size_t>(ASN1_STRING_length(text))) != nullptr;
}

std::string copy(const ASN1_STRING* text) {
  return std::string(native::text_of(ASN1_STRING_get0_data(text)),
                     static_cast<std::size_t>(ASN1_STRING_length(text)));
}

Error why_not_trusted(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return {Errc::Unauthenticated, "verify a certificate: expired"};
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return {Errc::Unauthenticated, "verify a certificate: not yet valid"};
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_INVALID_CA:
      return {Errc::Unauthenticated, "verify a certificate: not for this use"};
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return {Errc::Unauthenticated, "verify a certificate: bad signature"};
    default: return {Errc::Unauthenticated, "verify a certificate: not from a trusted anchor"};
  }
}

}  // namespace

namespace native {

std::string read_bio(BIO* bio) {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  TULLE_CHECK(BIO_mem_contents(bio, &data, &size) == 1);
  return std::string(text_of(data), size);
}

Ptr<BIO> bio_over(std::string_view text) {
  return Ptr<BIO>(BIO_new_mem_buf(text.data(), static_cast<ossl_ssize_t>(text.size())));
}

Ptr<X509> parse(Bytes der) {
  const std::uint8_t* at = der.data();
  Ptr<X509> cert(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (cert && at != der.data() + der.size()) cert.reset();
  ERR_clear_error();
  return cert;
}

Names read_names(const GENERAL_NAMES* list) {
  Names names;
  for (std::size_t i = 0; list != nullptr && i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(list, i);
    switch (name->type) {
      case GEN_DNS: {
        if (contains_nul(name->d.dNSName)) {
          names.malformed = true;
          continue;
        }
        const std::string& dns = names.dns.emplace_back(copy(name->d.dNSName));
        if (!is_dns_name(dns)) continue;
        std::string& usable = names.identities.emplace_back(dns);
        std::transform(usable.begin(), usable.end(), usable.begin(), ascii_lower);
        continue;
      }
      case GEN_URI: {
        if (contains_nul(name->d.uniformResourceIdentifier)) {
          names.malformed = true;
          continue;
        }
        const std::string& uri = names.uris.emplace_back(copy(name->d.uniformResourceIdentifier));
        if (is_spiffe_uri(uri)) names.identities.push_back(uri);
        continue;
      }
      case GEN_IPADD: {
        const std::string& ip = names.ips.emplace_back(copy(name->d.iPAddress));
        if (ip.size() != 4 && ip.size() != 16) names.malformed = true;
        continue;
      }
      default: names.other = true;
    }
  }
  return names;
}

Names names_of(const X509* cert) {
  const Ptr<GENERAL_NAMES> list(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr)));
  return read_names(list.get());
}

Result<Certificate> describe(X509* cert) {
  Certificate out;
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(cert, &der);
  if (size <= 0) return Error{Errc::Invalid, "encode a certificate"};
  out.der.assign(text_of(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  out.not_before = to_wall(X509_get0_notBefore(cert));
  out.not_after = to_wall(X509_get0_notAfter(cert));
  Names names = names_of(cert);
  out.dns_names = std::move(names.dns);
  out.uris = std::move(names.uris);
  out.identities = std::move(names.identities);
  out.is_ca = X509_check_ca(cert) == 1;
  return out;
}

Result<Ptr<X509_STORE>> make_store(const std::vector<Certificate>& anchors) {
  Ptr<X509_STORE> store(X509_STORE_new());
  TULLE_CHECK(store != nullptr);
  for (const Certificate& anchor : anchors) {
    const Ptr<X509> cert = parse(as_bytes(anchor.der));
    if (!cert || X509_STORE_add_cert(store.get(), cert.get()) != 1) {
      return Error{Errc::Invalid, "read an anchor"};
    }
  }
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  return store;
}

Result<Validity> verify(X509_STORE* store, X509* leaf, STACK_OF(X509) * untrusted, Usage usage) {
  const Ptr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store, leaf, untrusted) != 1) {
    return Error{Errc::Internal, "verify a certificate"};
  }
  X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time_posix(param, unix_seconds(wall_now()));
  if (usage != Usage::Any) {
    X509_VERIFY_PARAM_set_purpose(
        param, usage == Usage::Server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
  }
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good) return why_not_trusted(X509_STORE_CTX_get_error(context.get()));
  Validity valid{WallTime::min(), WallTime::max()};
  const STACK_OF(X509)* const chain = X509_STORE_CTX_get0_chain(context.get());
  for (std::size_t i = 0; i < sk_X509_num(chain); ++i) {
    const X509* const cert = sk_X509_value(chain, i);
    valid.from = std::max(valid.from, to_wall(X509_get0_notBefore(cert)));
    valid.until = std::min(valid.until, to_wall(X509_get0_notAfter(cert)));
  }
  return valid;
}

}  // namespace native

Result<Certificate> Certificate::from_der(Bytes der) {
  const Ptr<X509> cert = native::parse(der);
  if (!cert) return Error{Errc::Invalid, "read a certificate"};
  return native::describe(cert.get());
}

Result<std::vector<Certificate>> Certificate::from_pem(std::string_view pem) {
  static constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  std::size_t announced = 0;
  for (auto at = pem.find(kBegin); at != std::string_view::npos; at = pem.find(kBegin, at + 1)) {
    ++announced;
  }
  const Ptr<BIO> bio = native::bio_over(pem);
  std::vector<Certificate> list;
  for (;;) {
    const Ptr<X509> cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!cert) break;
    Result<Certificate> described = native::describe(cert.get());
    if (!described) return described.error();
    list.push_back(std::move(*described));
  }
  ERR_clear_error();
  if (list.empty() || list.size() != announced) return Error{Errc::Invalid, "read a PEM bundle"};
  return list;
}

std::string Certificate::to_pem() const {
  const Ptr<X509> cert = native::parse(as_bytes(der));
  const Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  TULLE_CHECK(cert != nullptr && PEM_write_bio_X509(bio.get(), cert.get()) == 1);
  return native::read_bio(bio.get());
}

std::string Certificate::fingerprint() const { return sha256_hex(der); }

std::string Certificate::identity() const {
  return identities.empty() ? std::string() : identities.front();
}

bool Certificate::matches_key(const PrivateKey& key) const {
  const Ptr<X509> cert = native::parse(as_bytes(der));
  const bool good = cert && X509_check_private_key(cert.get(), key.native()) == 1;
  ERR_clear_error();
  return good;
}

Result<void> verify_chain(const Certificate& leaf, const std::vector<Certificate>& intermediates,
                          const std::vector<Certificate>& anchors, Usage usage) {
  const Result<Ptr<X509_STORE>> store = native::make_store(anchors);
  if (!store) return store.error();
  const Ptr<STACK_OF(X509)> untrusted(sk_X509_new_null());
  for (const Certificate& between : intermediates) {
    Ptr<X509> cert = native::parse(as_bytes(between.der));
    if (!cert || !bssl::PushToStack(untrusted.get(), std::move(cert))) {
      return Error{Errc::Invalid, "read a chain"};
    }
  }
  const Ptr<X509> cert = native::parse(as_bytes(leaf.der));
  if (!cert) return Error{Errc::Invalid, "read a certificate"};
  const auto good = native::verify(store->get(), cert.get(), untrusted.get(), usage);
  if (!good) return good.error();
  return {};
}

std::array<std::uint8_t, 32> sha256(std::string_view text) {
  std::array<std::uint8_t, 32> digest;
  static_assert(SHA256_DIGEST_LENGTH == sizeof digest);
  SHA256(as_bytes(text).data(), text.size(), digest.data());
  return digest;
}

std::string sha256_hex(std::string_view text) {
  const auto digest = sha256(text);
  return hex(digest);
}

std::string sha1(std::string_view text) {
  std::string digest(SHA_DIGEST_LENGTH, '\0');
  SHA1(as_bytes(text).data(), text.size(), reinterpret_cast<std::uint8_t*>(digest.data()));
  return digest;
}

}  // namespace tulle::tls
