// SPDX-License-Identifier: Apache-2.0
// One TLS 1.3 session as a plain state machine: ciphertext in, plaintext out and the other way
// round. No sockets, no waiting; stream.h puts it over a net::Stream. Idle sessions hold no buffer.
// Each call either makes progress or says WouldBlock: send outgoing(), feed() more, call again.
// Groups: X25519MLKEM768, X25519, P-256, P-384; a client sends the first one's key share only,
// until a server of its credentials has chosen another. No tickets, no resumption, no early data
// (docs/reference/proxy.md §4). Not thread-safe; does not move.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/slab.h"
#include "lib/tls/credentials.h"

namespace tulle::tls {

struct ServerOptions {
  bool alpn = false;  // negotiate the credentials' protocols: a client that offers others only is
                      // refused, one that offers none is served
  bool request_client = true;  // ask for a certificate; a client may still have none
  // Chosen before all others if the client offers it (a literal; "": nothing). Without `alpn` a
  // client that offers others only is served as if it had offered none.
  std::string_view prefer{};
};
// Chooses credentials by SNI ("" if there is none); null refuses the handshake.
using ChooseCredentials = std::function<CredentialsPtr(std::string_view sni)>;

struct ClientOptions {
  std::string server_name;  // SNI; "" or an IP address sends none
  // The name that the server must prove: a DNS or URI SAN of its leaf, exactly (no wildcards), or
  // an IP SAN if this is an address. Never empty.
  std::string identity;
  bool alpn = false;  // offer the credentials' protocols
  // Servers outside of the mesh (the API server): a DNS SAN may have a wildcard as its first label.
  NameRule names = NameRule::Workload;
  std::string_view prefer{};  // a literal, offered before all others; "": nothing
};

class Engine final : public SlabAllocated {
 public:
  // Plaintext that one write() takes at most: twelve full records.
  static constexpr std::size_t kMaxWrite = std::size_t{192} * 1024;

  static Result<std::unique_ptr<Engine>> connect(CredentialsPtr credentials,
                                                 const ClientOptions& options);
  // Fails with Tls while there is no own certificate.
  static Result<std::unique_ptr<Engine>> accept(CredentialsPtr credentials,
                                                const ServerOptions& options);
  static Result<std::unique_ptr<Engine>> accept(ChooseCredentials choose,
                                                const ServerOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Ciphertext for the calls that follow; borrowed until they have consumed it or keep() is called.
  void feed(Bytes ciphertext);
  // Nothing more will come.
  void feed_end() noexcept { ended_ = true; }
  // Copies what is left of the borrowed bytes. Call before their memory is used for something else.
  void keep();
  // There is input that was not consumed, or plaintext that was not read.
  bool has_input() const noexcept;

  // Success: the handshake is over and the peer verified. Errors: Unauthenticated (the peer is not
  // who it should be; `where` says why), Tls (detail = the alert sent or received, 0 if none),
  // Reset (the peer left). Also then outgoing() may hold an alert.
  Result<void> handshake();

  // Fills `into` (not empty) as far as input goes; 0 after the peer's close_notify. Errors: Tls, or
  // Reset if the connection ended without one (what came may have been cut short).
  Result<std::size_t> read(MutableBytes into);
  // Encrypts a prefix of at most kMaxWrite bytes into outgoing() and returns its length. The caller
  // bounds memory by writing again only once outgoing() is empty.
  Result<std::size_t> write(Bytes plaintext);
  // The next write() begins with new keys for our side. It also happens by itself long before a key
  // has protected as many records as AES-GCM allows (RFC 8446 §5.5).
  Result<void> update_key();
  // Appends close_notify; idempotent. Reading goes on.
  void close();
  // Ciphertext to send: consume() what was sent.
  ByteQueue& outgoing() noexcept { return outgoing_; }

  // The peer's identity; empty if it presented no certificate (or one without a workload name).
  const std::string& peer_identity() const noexcept { return peer_; }
  // The peer's certificates, leaf first, DER; empty if it presented none, or before the
  // handshake.
  std::vector<std::string> peer_chain() const;
  // The protocol that ALPN chose; empty if none.
  std::string alpn() const;
  // The key exchange, e.g. "X25519MLKEM768".
  std::string group() const;

 private:
  friend struct EngineHooks;
  struct Setup;  // what only the handshake needs
  explicit Engine(std::unique_ptr<Setup> setup);
  void start_server(const ServerOptions& options);
  Error failure(int ssl_error, const char* where);

  ssl_st* ssl_ = nullptr;
  Bytes incoming_;  // borrowed, read after held_
  ByteQueue held_;  // kept
  ByteQueue outgoing_;
  std::string peer_;
  std::unique_ptr<Setup> setup_;
  std::uint32_t records_ = 0;  // written with the current key
  std::uint8_t alert_ = 0;
  bool ended_ = false;
  bool closed_ = false;
};

}  // namespace tulle::tls
