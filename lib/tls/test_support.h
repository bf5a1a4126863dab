// SPDX-License-Identifier: Apache-2.0
// For tests only: a CA, certificates with odd extensions, and pairs of engines in memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/tls/engine.h"

namespace tulle::tls::test {

struct Ca {
  Issuer anchor = make_anchor("root.linkerd.cluster.local", 24h * 3650);
  Issuer issuer = make_issuer(anchor, "identity.linkerd.cluster.local", 24h * 365);

  Certificate leaf(std::string_view name, const PrivateKey& key,
                   const LeafOptions& options = {}) const;
  // Leaf and issuer; trusts `trusted`, or the own anchor.
  CredentialsPtr for_name(std::string_view name, const LeafOptions& options = {},
                          std::vector<std::string> alpn = {},
                          const Issuer* trusted = nullptr) const;
  // The same for any leaf of this key.
  CredentialsPtr for_leaf(Certificate leaf, const PrivateKey& key) const;
  CredentialsPtr anchors_only() const;
};
const Ca& ca();

// A certificate whose extensions are written as in OpenSSL's configuration; "" leaves one out.
struct Odd {
  std::string san;
  std::string extended_usage;
  std::string usage;
  std::string constraints;
};
Certificate odd_certificate(const Issuer& issuer, const PrivateKey& key, const Odd& odd);
// A request with these common names and alternative names, well signed.
std::string odd_csr(const PrivateKey& key, const std::vector<std::string>& common_names,
                    const std::string& san);

// Two engines and how far they came.
struct Pair {
  std::unique_ptr<Engine> client;
  std::unique_ptr<Engine> server;
  Result<void> client_result;
  Result<void> server_result;
  bool ok() const { return client_result.has_value() && server_result.has_value(); }
};
// Carries the bytes of both until both have an answer, `slice` bytes at a time (0 = all at once).
Pair handshake(Result<std::unique_ptr<Engine>> client, Result<std::unique_ptr<Engine>> server,
               std::size_t slice = 0);
Pair handshake(CredentialsPtr client, CredentialsPtr server, const ClientOptions& options,
               const ServerOptions& server_options = {}, std::size_t slice = 0);
// Moves what `from` wants to send into `to`; the bytes are kept there.
void deliver(Engine& from, Engine& to, std::size_t slice = 0);
// Everything readable, as text.
std::string read_all(Engine& engine, std::size_t buffer = 100'000);

}  // namespace tulle::tls::test
