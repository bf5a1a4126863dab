// SPDX-License-Identifier: Apache-2.0
// TLS 1.3 over another stream: handshakes as tasks, then a net::Stream that holds no buffer while
// idle. Ciphertext comes into the loop's second scratch buffer, so callers may read into the first;
// several records go out in one write.
#pragma once

#include <memory>
#include <string>

#include "lib/net/stream.h"
#include "lib/tls/engine.h"

namespace tulle::tls {

class TlsStream final : public net::Stream {
 public:
  Result<std::size_t> try_read(MutableBytes into) override;
  // Takes at most Engine::kMaxWrite bytes, and none while earlier ones wait for the inner stream.
  Result<std::size_t> try_write(Bytes bytes) override;
  Result<void> try_flush() override;
  Result<void> try_shutdown() override;
  void abort() noexcept override { inner_->abort(); }
  net::IoState& io() noexcept override { return inner_->io(); }
  void hold_little(bool on) noexcept override { inner_->hold_little(on); }

  // The peer's identity; empty if it presented no certificate.
  const std::string& peer_identity() const noexcept { return engine_->peer_identity(); }
  // The certificates that the peer presented, leaf first, DER.
  std::vector<std::string> peer_chain() const { return engine_->peer_chain(); }
  // The protocol that ALPN chose; empty if none.
  std::string alpn() const { return engine_->alpn(); }
  // The key exchange, e.g. "X25519MLKEM768".
  std::string group() const { return engine_->group(); }

 private:
  friend struct Handshake;
  TlsStream(net::StreamPtr inner, std::unique_ptr<Engine> engine)
      : inner_(std::move(inner)), engine_(std::move(engine)) {}
  Result<std::size_t> refill(std::size_t room);

  net::StreamPtr inner_;
  std::unique_ptr<Engine> engine_;
};

using TlsResult = Result<std::unique_ptr<TlsStream>>;

// Errors of all: Unauthenticated (the peer is not who it should be), Tls (detail = the alert),
// Timeout, Reset. On failure the inner stream is closed, after the alert where it takes that at
// once.
net::Task<TlsResult> accept_tls(net::StreamPtr inner, CredentialsPtr credentials,
                                ServerOptions options, Deadline by);
net::Task<TlsResult> accept_tls(net::StreamPtr inner, ChooseCredentials choose,
                                ServerOptions options, Deadline by);
net::Task<TlsResult> connect_tls(net::StreamPtr inner, CredentialsPtr credentials,
                                 ClientOptions options, Deadline by);

}  // namespace tulle::tls
