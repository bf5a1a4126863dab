// SPDX-License-Identifier: Apache-2.0
// What one side of mesh TLS needs: an immutable snapshot of anchors and, once there is one, the own
// certificate. Rotation is a new snapshot for new handshakes; connections keep what they began with.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/tls/cert.h"

struct ssl_ctx_st;
struct ssl_st;

namespace tulle::tls {

class Credentials {
 public:
  struct Own {
    PrivateKey key;
    std::vector<Certificate> chain;  // leaf first, anchors excluded
  };
  struct Options {
    std::vector<Certificate> anchors;
    std::optional<Own> own;          // absent: clients present none, server handshakes fail
    std::vector<std::string> alpn;   // what the session of a server with ALPN, or of a client, speaks
    bool verify_peers = true;        // ask clients for a certificate
  };
  // Fails with Invalid when key and leaf do not belong together or a certificate is malformed.
  static Result<std::shared_ptr<const Credentials>> make(Options options);
  ~Credentials();

  bool has_own() const noexcept { return options_.own.has_value(); }
  // The own leaf; only if has_own().
  const Certificate& leaf() const noexcept { return options_.own->chain.front(); }
  const std::vector<Certificate>& anchors() const noexcept { return options_.anchors; }
  const std::vector<std::string>& alpn() const noexcept { return options_.alpn; }

  // For lib/tls only.
  ssl_ctx_st* native() const noexcept { return context_; }
  Result<std::string> verify(ssl_st* session, bool peer_is_server) const;

 private:
  explicit Credentials(Options options) : options_(std::move(options)) {}
  Result<void> build();
  Options options_;
  ssl_ctx_st* context_ = nullptr;
  void* store_ = nullptr;  // X509_STORE of the anchors
};

using CredentialsPtr = std::shared_ptr<const Credentials>;

}  // namespace tulle::tls
