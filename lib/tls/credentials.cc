// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/credentials.h"

#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/tls/session.h"

namespace tulle::tls {
namespace {

std::int64_t now_seconds() {
  return std::chrono::floor<std::chrono::seconds>(wall_now()).time_since_epoch().count();
}

}  // namespace

Result<std::shared_ptr<const Credentials>> Credentials::make(Options options) {
  std::shared_ptr<Credentials> made(new Credentials(std::move(options)));
  if (const Result<void> built = made->build(); !built) return built.error();
  return std::shared_ptr<const Credentials>(std::move(made));
}

Credentials::~Credentials() {
  if (context_ != nullptr) SSL_CTX_free(context_);
  if (store_ != nullptr) X509_STORE_free(static_cast<X509_STORE*>(store_));
}

Result<void> Credentials::build() {
  X509_STORE* const store = X509_STORE_new();
  store_ = store;
  for (const Certificate& anchor : options_.anchors) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(anchor.der.data());
    const bssl::UniquePtr<X509> native(d2i_X509(nullptr, &at, static_cast<long>(anchor.der.size())));
    if (!native || X509_STORE_add_cert(store, native.get()) != 1) return Error{Errc::Invalid, "read an anchor"};
  }
  SSL_CTX* const context = SSL_CTX_new(TLS_with_buffers_method());
  context_ = context;
  TULLE_CHECK(context != nullptr);
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  static constexpr std::uint16_t kGroups[] = {SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519,
                                              SSL_GROUP_SECP256R1, SSL_GROUP_SECP384R1};
  TULLE_CHECK(SSL_CTX_set1_group_ids(context, kGroups, std::size(kGroups)) == 1);
  session::configure(context);
  if (!options_.own) return {};
  const Own& own = *options_.own;
  if (own.chain.empty()) return Error{Errc::Invalid, "use an empty certificate chain"};
  if (!own.chain.front().matches_key(own.key)) return Error{Errc::Invalid, "match a certificate with its key"};
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> buffers;
  std::vector<CRYPTO_BUFFER*> chain;
  for (const Certificate& cert : own.chain) {
    buffers.emplace_back(CRYPTO_BUFFER_new(reinterpret_cast<const std::uint8_t*>(cert.der.data()), cert.der.size(), nullptr));
    chain.push_back(buffers.back().get());
  }
  if (SSL_CTX_set_chain_and_key(context, chain.data(), chain.size(), own.key.native(), nullptr) != 1) {
    return Error{Errc::Invalid, "use a certificate chain"};
  }
  return {};
}

Result<std::string> Credentials::verify(ssl_st* ssl, bool peer_is_server) const {
  const STACK_OF(CRYPTO_BUFFER)* const presented = SSL_get0_peer_certificates(ssl);
  if (presented == nullptr || sk_CRYPTO_BUFFER_num(presented) == 0) return std::string();
  if (sk_CRYPTO_BUFFER_num(presented) > 10) return Error{Errc::TooLarge, "read the peer's chain"};
  const bssl::UniquePtr<X509> leaf(X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(presented, 0)));
  const bssl::UniquePtr<STACK_OF(X509)> untrusted(sk_X509_new_null());
  for (std::size_t i = 1; i < sk_CRYPTO_BUFFER_num(presented); ++i) {
    bssl::UniquePtr<X509> cert(X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(presented, i)));
    if (!cert || !bssl::PushToStack(untrusted.get(), std::move(cert))) {
      return Error{Errc::Unauthenticated, "read the peer's chain"};
    }
  }
  const bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (!leaf || X509_STORE_CTX_init(context.get(), static_cast<X509_STORE*>(store_), leaf.get(), untrusted.get()) != 1) {
    return Error{Errc::Unauthenticated, "read the peer's certificate"};
  }
  X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time_posix(param, now_seconds());
  X509_VERIFY_PARAM_set_purpose(param, peer_is_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
  if (X509_verify_cert(context.get()) != 1) {
    switch (X509_STORE_CTX_get_error(context.get())) {
      case X509_V_ERR_CERT_HAS_EXPIRED: return Error{Errc::Unauthenticated, "verify the peer: expired"};
      case X509_V_ERR_CERT_NOT_YET_VALID: return Error{Errc::Unauthenticated, "verify the peer: not yet valid"};
      default: return Error{Errc::Unauthenticated, "verify the peer: not from a trusted anchor"};
    }
  }
  const CRYPTO_BUFFER* const der = sk_CRYPTO_BUFFER_value(presented, 0);
  const Result<Certificate> parsed = Certificate::from_der(Bytes(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der)));
  if (!parsed) return parsed.error();
  return session::identity_for(ssl, *parsed);
}

}  // namespace tulle::tls
