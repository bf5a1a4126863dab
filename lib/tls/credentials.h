// SPDX-License-Identifier: Apache-2.0
// The credentials of one side of mesh TLS: an immutable snapshot of anchors and, once there is one,
// the own certificate. Rotation is a new snapshot for new handshakes; connections keep what they
// began with. A snapshot may be shared by threads.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/tls/cert.h"

struct ssl_ctx_st;
struct ssl_st;
struct x509_store_st;

namespace tulle::tls {

class VerifiedChains;

// How the name that a server must have is compared with those of its certificate.
enum class NameRule : std::uint8_t {
  Workload,  // exactly: identities of the mesh have no wildcards
  Host,      // RFC 9525 §6.3: "*" may stand for the whole first label of a DNS name
};

class Credentials {
 public:
  struct Own {
    PrivateKey key;
    std::vector<Certificate> chain;  // leaf first, anchors excluded
  };
  struct Options {
    std::vector<Certificate> anchors;
    std::optional<Own> own;  // absent: clients present none, server handshakes fail
    std::vector<std::string>
        alpn;                  // what the session of a server with ALPN, or of a client, speaks
    bool verify_peers = true;  // servers: ask clients for a certificate
  };
  // Fails with Invalid when key and leaf do not belong together or a certificate is malformed.
  // Whether the own chain leads to the anchors is not checked here: see verify_chain().
  static Result<std::shared_ptr<const Credentials>> make(Options options);
  ~Credentials();
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  bool has_own() const noexcept { return options_.own.has_value(); }
  // The own leaf; only if has_own().
  const Certificate& leaf() const noexcept { return options_.own->chain.front(); }
  const std::vector<Certificate>& anchors() const noexcept { return options_.anchors; }
  const std::vector<std::string>& alpn() const noexcept { return options_.alpn; }
  bool verifies_peers() const noexcept { return options_.verify_peers; }

  // For lib/tls only. A client sends the hybrid key share alone until a server has chosen another
  // group: a second share costs a key generation in each handshake, and is wanted by old peers
  // only. They cost one round trip, once.
  bool met_classic_server() const noexcept {
    return met_classic_server_.load(std::memory_order_relaxed);
  }
  void meet_classic_server() const noexcept {
    met_classic_server_.store(true, std::memory_order_relaxed);
  }

  // For lib/tls only: the identity of the peer in a handshake, once its chain leads to the anchors
  // now. A client's is "" if its certificate holds no workload name.
  ssl_ctx_st* native() const noexcept { return context_; }
  Result<std::string> verify_client(const ssl_st* session) const;
  Result<std::string> verify_server(const ssl_st* session, std::string_view expected,
                                    NameRule rule) const;

 private:
  explicit Credentials(Options options);
  Result<void> build();
  Options options_;
  ssl_ctx_st* context_ = nullptr;
  x509_store_st* store_ = nullptr;  // the anchors
  std::unique_ptr<VerifiedChains> verified_;
  mutable std::atomic<bool> met_classic_server_{false};
};

using CredentialsPtr = std::shared_ptr<const Credentials>;

}  // namespace tulle::tls
