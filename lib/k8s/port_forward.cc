// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/port_forward.h"

#include <sys/random.h>

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::k8s {
namespace {

constexpr std::string_view kSubprotocol = "v4.channel.k8s.io";
constexpr std::uint8_t kDataChannel = 0;  // the other one carries errors
constexpr std::size_t kPortBytes = 2;
constexpr std::size_t kMaxMessage = std::size_t{1} * 1024 * 1024;
constexpr std::size_t kMaxProblem = 4096;
constexpr std::size_t kMostUnsent = std::size_t{64} * 1024;
constexpr std::size_t kPiece = std::size_t{16} * 1024;

template <std::size_t kSize>
std::array<std::uint8_t, kSize> random_bytes() {
  std::array<std::uint8_t, kSize> out;
  while (::getrandom(out.data(), kSize, 0) != static_cast<ssize_t>(kSize)) {
  }
  return out;
}

}  // namespace

PodStream::PodStream(net::StreamPtr inner) : inner_(std::move(inner)), decoder_(kMaxMessage) {}

void PodStream::answer(WebSocketOpcode opcode, Bytes payload) {
  if (out_.size() < kMostUnsent) append_message(opcode, payload, random_bytes<4>(), out_);
}

Result<void> PodStream::take(WebSocketMessage message) {
  switch (message.opcode) {
    case WebSocketOpcode::Ping: answer(WebSocketOpcode::Pong, as_bytes(message.data)); return {};
    case WebSocketOpcode::Close:
      answer(WebSocketOpcode::Close,
             as_bytes(message.data).first(std::min<std::size_t>(message.data.size(), 2)));
      ended_ = true;
      return {};
    case WebSocketOpcode::Pong: return {};
    default: break;
  }
  if (message.data.empty()) return {};
  const auto channel = static_cast<std::uint8_t>(message.data.front());
  if (channel >= kChannels) return Error{Errc::Protocol, "read from a pod's port: unknown channel"};
  Bytes rest = as_bytes(message.data).subspan(1);
  // Each channel begins with the number of its port.
  const std::size_t head = std::min(rest.size(), kPortBytes - heads_[channel]);
  heads_[channel] += head;
  rest = rest.subspan(head);
  if (channel == kDataChannel) {
    data_.append(rest);
  } else if (!rest.empty()) {
    *problem_ += as_text(
        rest.first(std::min(rest.size(), kMaxProblem - std::min(kMaxProblem, problem_->size()))));
    ended_ = true;
  }
  return {};
}

Result<std::size_t> PodStream::try_read(MutableBytes into) {
  while (data_.empty() && !ended_) {
    // Not into `into`: that may be scratch memory which the inner stream uses, too.
    std::uint8_t piece[kPiece];
    const Result<std::size_t> n = inner_->try_read(piece);
    if (!n) return n;
    if (*n == 0) {
      ended_ = true;
      break;
    }
    decoder_.feed(Bytes(piece, *n));
    for (;;) {
      Result<std::optional<WebSocketMessage>> message = decoder_.next();
      if (!message) return message.error();
      if (!*message) break;
      if (const Result<void> taken = take(std::move(**message)); !taken) return taken.error();
    }
    const Result<void> flushed = try_flush();
    if (!flushed && flushed.error().code != Errc::WouldBlock && data_.empty())
      return flushed.error();
  }
  const std::size_t n = std::min(into.size(), data_.size());
  std::copy_n(data_.data().begin(), n, into.begin());
  data_.consume(n);
  // Whoever waits for readiness must not miss what is here already.
  if (!data_.empty() || ended_) io().readable = true;
  return n;
}

Result<std::size_t> PodStream::try_write(Bytes bytes) {
  if (bytes.empty()) return std::size_t{0};
  if (ended_) return Error{Errc::Reset, "write to a pod's port"};
  if (const Result<void> flushed = try_flush(); !flushed) return flushed.error();
  const std::size_t n = std::min(bytes.size(), kPiece);
  std::string message(1, static_cast<char>(kDataChannel));
  message += as_text(bytes.first(n));
  append_message(WebSocketOpcode::Binary, as_bytes(message), random_bytes<4>(), out_);
  if (const Result<void> flushed = try_flush();
      !flushed && flushed.error().code != Errc::WouldBlock)
    return flushed.error();
  return n;
}

Result<void> PodStream::try_flush() {
  while (!out_.empty()) {
    const Result<std::size_t> n = inner_->try_write(out_.data());
    if (!n) return n.error();
    out_.consume(*n);
  }
  return inner_->try_flush();
}

net::Task<std::variant<std::unique_ptr<PodStream>, ApiStatus>> forward_port(
    ApiClient& client, std::string ns, std::string pod, std::uint16_t port, Deadline by) {
  using Out = std::variant<std::unique_ptr<PodStream>, ApiStatus>;
  const std::string key = base64_encode(random_bytes<16>());
  std::vector<std::pair<std::string, std::string>> headers = {
      {"connection", "upgrade"},
      {"upgrade", "websocket"},
      {"sec-websocket-version", "13"},
      {"sec-websocket-key", key},
      {"sec-websocket-protocol", std::string(kSubprotocol)}};
  std::string path = concat(path_of(kPods, ns, pod), "/portforward?ports=", std::to_string(port));
  auto upgraded = co_await client.upgrade(std::move(path), std::move(headers), by);
  if (auto* const refused = std::get_if<ApiStatus>(&upgraded)) {
    Out out(std::move(*refused));
    co_return out;
  }
  auto& accepted = std::get<ApiClient::Upgraded>(upgraded);
  if (accepted.headers.get("sec-websocket-accept") != websocket_accept(key) ||
      accepted.headers.get("sec-websocket-protocol") != kSubprotocol) {
    ApiStatus status;
    status.error = {Errc::Protocol,
                    "open a port of a pod: the answer is not that of v4.channel.k8s.io"};
    Out out(std::move(status));
    co_return out;
  }
  Out out(std::make_unique<PodStream>(std::move(accepted.stream)));
  co_return out;
}

}  // namespace tulle::k8s
