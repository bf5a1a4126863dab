// SPDX-License-Identifier: Apache-2.0
// TLS 1.3 over another stream: handshakes as tasks, then a net::Stream that holds no buffer while idle.
// Records are decrypted from the loop's second scratch buffer straight into the caller's memory; several
// records go out in one write.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/net/stream.h"
#include "lib/tls/credentials.h"

namespace tulle::tls {

class TlsStream final : public net::Stream {
 public:
  ~TlsStream() override;
  Result<std::size_t> try_read(MutableBytes into) override;
  Result<std::size_t> try_write(Bytes bytes) override;
  Result<void> try_flush() override;
  Result<void> try_shutdown() override;
  void abort() noexcept override { inner_->abort(); }
  net::IoState& io() noexcept override { return inner_->io(); }

  // The peer's identity; empty if it presented no certificate.
  const std::string& peer_identity() const noexcept { return peer_; }
  // The protocol that ALPN chose; empty if none.
  std::string alpn() const;
  // The key exchange, e.g. "X25519MLKEM768".
  std::string group() const;

 private:
  friend struct Handshake;
  TlsStream(net::StreamPtr inner, ssl_st* ssl, CredentialsPtr credentials)
      : inner_(std::move(inner)), ssl_(ssl), credentials_(std::move(credentials)) {}
  Result<std::size_t> refill();
  Error tls_error(int code, const char* where);

  net::StreamPtr inner_;
  ssl_st* ssl_;
  CredentialsPtr credentials_;  // dropped after the handshake
  Bytes incoming_;   // ciphertext in the scratch buffer, during one call
  ByteQueue outgoing_;  // ciphertext that the inner stream has not taken
  std::string peer_;
  std::string expected_;  // client: the identity that the server must have
  Error verify_error_{Errc::Tls, ""};
  bool verify_failed_ = false;
  bool is_client_ = false;
  bool inner_ended_ = false;
  bool sent_close_ = false;
};

struct ServerOptions {
  bool alpn = false;  // negotiate the credentials' protocols: a client that offers others only is refused
  bool request_client = true;
};
// Chooses credentials by SNI ("" if there is none); null refuses the handshake.
using ChooseCredentials = std::function<CredentialsPtr(std::string_view sni)>;

net::Task<Result<std::unique_ptr<TlsStream>>> accept_tls(net::StreamPtr inner, CredentialsPtr credentials,
                                                         ServerOptions options, Deadline by);
net::Task<Result<std::unique_ptr<TlsStream>>> accept_tls(net::StreamPtr inner, ChooseCredentials choose,
                                                         ServerOptions options, Deadline by);

struct ClientOptions {
  std::string server_name;  // SNI
  std::string identity;     // what the server must prove to be: a DNS or URI SAN of its leaf
  bool alpn = false;        // offer the credentials' protocols
};
// Errors: Unauthenticated (the server is not who it should be), Tls (detail = the alert), Timeout, Reset.
net::Task<Result<std::unique_ptr<TlsStream>>> connect_tls(net::StreamPtr inner, CredentialsPtr credentials,
                                                          ClientOptions options, Deadline by);

}  // namespace tulle::tls
