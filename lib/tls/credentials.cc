// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/credentials.h"

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "lib/base/text.h"
#include "lib/net/address.h"
#include "lib/tls/names.h"
#include "lib/tls/session.h"
#include "lib/tls/verified.h"

namespace tulle::tls {
namespace {

using native::Ptr;

// Longer chains are somebody's joke.
constexpr std::size_t kMaxChain = 10;

constexpr std::uint16_t kGroups[] = {SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519,
                                     SSL_GROUP_SECP256R1, SSL_GROUP_SECP384R1};
constexpr std::uint16_t kSignatures[] = {
    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ECDSA_SECP384R1_SHA384,
    SSL_SIGN_ECDSA_SECP521R1_SHA512, SSL_SIGN_ED25519,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PSS_RSAE_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA512};

// Connections to the same peers share one copy of the peers' certificates.
CRYPTO_BUFFER_POOL* pool() {
  static CRYPTO_BUFFER_POOL* const made = CRYPTO_BUFFER_POOL_new();
  return made;
}

VerifiedChains::Digest digest_of(const STACK_OF(CRYPTO_BUFFER) * presented, Usage usage) {
  SHA256_CTX hash;
  SHA256_Init(&hash);
  const auto kind = static_cast<std::uint8_t>(usage);
  SHA256_Update(&hash, &kind, 1);
  for (std::size_t i = 0; i < sk_CRYPTO_BUFFER_num(presented); ++i) {
    const CRYPTO_BUFFER* const der = sk_CRYPTO_BUFFER_value(presented, i);
    const std::uint64_t size = CRYPTO_BUFFER_len(der);
    SHA256_Update(&hash, &size, sizeof size);
    SHA256_Update(&hash, CRYPTO_BUFFER_data(der), size);
  }
  VerifiedChains::Digest digest;
  SHA256_Final(digest.data(), &hash);
  return digest;
}

// What is known of the session's peer, once its chain leads to the anchors now.
Result<VerifiedChains::EntryPtr> verify(const SSL* ssl, X509_STORE* store, VerifiedChains& verified,
                                        Usage usage) {
  const STACK_OF(CRYPTO_BUFFER)* const presented = SSL_get0_peer_certificates(ssl);
  const std::size_t count = presented != nullptr ? sk_CRYPTO_BUFFER_num(presented) : 0;
  if (count == 0) return Error{Errc::Unauthenticated, "verify a certificate: none"};
  if (count > kMaxChain) {
    return Error{Errc::Unauthenticated, "verify a certificate: chain too long"};
  }
  const VerifiedChains::Digest digest = digest_of(presented, usage);
  if (VerifiedChains::EntryPtr known = verified.find(digest, wall_now())) return known;
  Ptr<X509> leaf;
  const Ptr<STACK_OF(X509)> untrusted(sk_X509_new_null());
  for (std::size_t i = 0; i < count; ++i) {
    Ptr<X509> cert(X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(presented, i)));
    if (!cert) {
      ERR_clear_error();
      return Error{Errc::Unauthenticated, "verify a certificate: malformed"};
    }
    if (i == 0) {
      leaf = std::move(cert);
    } else {
      TULLE_CHECK(bssl::PushToStack(untrusted.get(), std::move(cert)));
    }
  }
  const auto valid = native::verify(store, leaf.get(), untrusted.get(), usage);
  if (!valid) return valid.error();
  auto entry = std::make_shared<VerifiedChains::Entry>(
      VerifiedChains::Entry{digest, valid->from, valid->until, native::names_of(leaf.get())});
  verified.add(entry);
  return VerifiedChains::EntryPtr(std::move(entry));
}

// "*.example.org" stands for one more label in front, of a name that has two more at least.
bool matches_host(std::string_view pattern, std::string_view host) {
  if (iequals(pattern, host)) return true;
  const std::size_t dot = host.find('.');
  if (!pattern.starts_with("*.") || dot == 0 || dot == std::string_view::npos) return false;
  const std::string_view rest = host.substr(dot);
  return rest.find('.', 1) != std::string_view::npos && iequals(pattern.substr(1), rest);
}

bool has_name(const native::Names& names, std::string_view expected, NameRule rule) {
  if (expected.find("://") != std::string_view::npos) {
    return std::find(names.uris.begin(), names.uris.end(), expected) != names.uris.end();
  }
  if (const auto ip = net::IpAddr::parse(expected)) {
    return std::find(names.ips.begin(), names.ips.end(), as_text(ip->octets())) != names.ips.end();
  }
  if (rule == NameRule::Host) {
    if (expected.ends_with('.')) expected.remove_suffix(1);
    return is_dns_name(expected) &&
           std::any_of(names.dns.begin(), names.dns.end(),
                       [&](const std::string& pattern) { return matches_host(pattern, expected); });
  }
  return std::any_of(names.identities.begin(), names.identities.end(),
                     [&](const std::string& name) { return iequals(name, expected); });
}

}  // namespace

Result<std::shared_ptr<const Credentials>> Credentials::make(Options options) {
  std::shared_ptr<Credentials> made(new Credentials(std::move(options)));
  if (const Result<void> built = made->build(); !built) return built.error();
  return std::shared_ptr<const Credentials>(std::move(made));
}

Credentials::Credentials(Options options)
    : options_(std::move(options)), verified_(std::make_unique<VerifiedChains>()) {}

Credentials::~Credentials() {
  SSL_CTX_free(context_);
  X509_STORE_free(store_);
}

Result<void> Credentials::build() {
  Result<Ptr<X509_STORE>> store = native::make_store(options_.anchors);
  if (!store) return store.error();
  store_ = store->release();
  context_ = SSL_CTX_new(TLS_with_buffers_method());
  TULLE_CHECK(context_ != nullptr);
  TULLE_CHECK(SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION) == 1);
  TULLE_CHECK(SSL_CTX_set_max_proto_version(context_, TLS1_3_VERSION) == 1);
  SSL_CTX_set_options(context_, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set0_buffer_pool(context_, pool());
  TULLE_CHECK(SSL_CTX_set1_group_ids(context_, kGroups, std::size(kGroups)) == 1);
  TULLE_CHECK(SSL_CTX_set_verify_algorithm_prefs(context_, kSignatures, std::size(kSignatures)) ==
              1);
  session::configure(context_);
  for (const std::string& protocol : options_.alpn) {
    if (protocol.empty() || protocol.size() > 255) return Error{Errc::Invalid, "use an ALPN name"};
  }
  if (!options_.own) return {};
  const Own& own = *options_.own;
  if (own.chain.empty()) return Error{Errc::Invalid, "use an empty certificate chain"};
  if (!own.chain.front().matches_key(own.key)) {
    return Error{Errc::Invalid, "match a certificate with its key"};
  }
  std::vector<Ptr<CRYPTO_BUFFER>> buffers;
  std::vector<CRYPTO_BUFFER*> chain;
  for (const Certificate& cert : own.chain) {
    const Bytes der = as_bytes(cert.der);
    buffers.emplace_back(CRYPTO_BUFFER_new(der.data(), der.size(), pool()));
    chain.push_back(buffers.back().get());
  }
  if (SSL_CTX_set_chain_and_key(context_, chain.data(), chain.size(), own.key.native(), nullptr) !=
      1) {
    ERR_clear_error();
    return Error{Errc::Invalid, "use a certificate chain"};
  }
  return {};
}

Result<std::string> Credentials::verify_client(const ssl_st* session) const {
  const auto peer = verify(session, store_, *verified_, Usage::Client);
  if (!peer) return peer.error();
  const std::vector<std::string>& identities = (*peer)->names.identities;
  return identities.empty() ? std::string() : identities.front();
}

Result<std::string> Credentials::verify_server(const ssl_st* session, std::string_view expected,
                                               NameRule rule) const {
  const auto peer = verify(session, store_, *verified_, Usage::Server);
  if (!peer) return peer.error();
  if (has_name((*peer)->names, expected, rule)) return std::string(expected);
  return Error{Errc::Unauthenticated, "verify a certificate: of somebody else"};
}

}  // namespace tulle::tls
