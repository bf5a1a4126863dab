// SPDX-License-Identifier: Apache-2.0
// A connection to a port of a pod, on its loopback interface, through the API server: what
// `kubectl port-forward` does, over a WebSocket with the subprotocol v4.channel.k8s.io, which every
// kubelet speaks. The user needs the right to `get` pods/portforward.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "lib/k8s/client.h"
#include "lib/k8s/websocket.h"
#include "lib/net/stream.h"

namespace tulle::k8s {

// The protocol cannot end one direction alone: try_shutdown() only flushes.
class PodStream final : public net::Stream {
 public:
  explicit PodStream(net::StreamPtr inner);
  Result<std::size_t> try_read(MutableBytes into) override;
  Result<std::size_t> try_write(Bytes bytes) override;
  Result<void> try_flush() override;
  Result<void> try_shutdown() override { return try_flush(); }
  void abort() noexcept override { inner_->abort(); }
  net::IoState& io() noexcept override { return inner_->io(); }
  void hold_little(bool on) noexcept override { inner_->hold_little(on); }

  // What the kubelet said of why there is no connection (any more), such as "… connection refused";
  // "" if nothing. Shared: whoever was given the stream (a TLS session, an HTTP connection) may
  // have closed it.
  std::shared_ptr<const std::string> problem() const noexcept { return problem_; }

 private:
  static constexpr std::size_t kChannels = 2;  // data, errors
  Result<void> take(WebSocketMessage message);
  void answer(WebSocketOpcode opcode, Bytes payload);

  net::StreamPtr inner_;
  WebSocketDecoder decoder_;
  ByteQueue data_;  // read, not yet asked for
  ByteQueue out_;   // framed, not yet taken by the socket
  std::shared_ptr<std::string> problem_ = std::make_shared<std::string>();
  std::size_t heads_[kChannels] = {};  // bytes that came of the port that each channel begins with
  bool ended_ = false;
};

// The status says who refused: 403 (rights), 404 (no such pod), 400 (it does not run), or 0 with an
// error. That the port itself refuses shows only on reading: an end at once, and problem().
net::Task<std::variant<std::unique_ptr<PodStream>, ApiStatus>> forward_port(
    ApiClient& client, std::string ns, std::string pod, std::uint16_t port, Deadline by);

}  // namespace tulle::k8s
