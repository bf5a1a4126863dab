// SPDX-License-Identifier: Apache-2.0
// HTTP/1 connections: a server that calls a handler for one request after the other, and a client
// that carries one request at a time. Idle connections hold no buffer.
#pragma once

#include <memory>
#include <optional>

#include "lib/http/message.h"
#include "lib/http1/codec.h"
#include "lib/net/admission.h"
#include "lib/net/drain.h"
#include "lib/net/stream.h"

namespace tulle::http1 {

struct ServerOptions {
  Limits limits;
  std::size_t body_window = std::size_t{64} * 1024;  // request bytes held for a slow handler
  net::Guard guard;  // a head that takes too long is answered with 408
};

// Serves the connection until either side ends it. A client that is reset while its request is
// handled cancels the handler; one that only ends its own side still gets its answer. Malformed
// requests are answered with 400, 431 or 501, then the connection closes. Draining: an idle
// connection closes at once, a busy one after the exchange under way.
net::Task<void> serve(net::StreamPtr stream, http::Handler& handler, ServerOptions options,
                      net::Drain& drain);

class ClientConnection;

// Hears when a connection has finished an exchange (its body was read to the end, or failed, or was
// dropped). Must not destroy the connection from inside the call.
class ClientOwner {
 public:
  virtual void on_exchange_done(ClientConnection& connection) = 0;

 protected:
  ~ClientOwner() = default;
};

class ClientConnection final : public http::Client, public SlabAllocated {
 public:
  static std::unique_ptr<ClientConnection> make(net::StreamPtr stream, Limits limits = {},
                                                ClientOwner* owner = nullptr);
  ~ClientConnection() override;

  // One at a time: only while idle(). See http::Client for the errors.
  net::Task<Result<http::Response>> send(http::Request request, Deadline by) override;
  // As send(), with a request that the caller keeps: its head is left as it is, its body is taken.
  // So a request without a body can be sent elsewhere after Refused.
  net::Task<Result<http::Response>> exchange(http::Request& request, Deadline by);

  // Nothing is under way.
  bool idle() const noexcept;
  // Idle, kept alive by both sides, and the peer has neither closed nor spoken since. Looks at the
  // socket.
  bool reusable();
  // For the owner's lists.
  std::uint64_t tag = 0;

 private:
  class Impl;
  explicit ClientConnection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tulle::http1
