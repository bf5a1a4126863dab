// SPDX-License-Identifier: Apache-2.0
// The protocol of a client, found from its first bytes; the bytes are given back in front of the
// stream.
#pragma once

#include <string>

#include "lib/http1/detect.h"
#include "lib/net/socket.h"
#include "lib/net/stream.h"

namespace tulle::proxy {

// A first line without an end that has not begun as requests do (`hello`) is not waited for any
// longer than this after its last byte.
inline constexpr Duration kLineHold = 20ms;
// So long a silent client is waited for before its server is dialled early.
inline constexpr Duration kFirstByteHold = 2ms;
// So long a server is given to speak first, after a client that was silent for all of detection.
inline constexpr Duration kLateHold = 1s;
// So long a client whose bytes will not pass may still begin a request, after detection.
inline constexpr Duration kSilentHold = 50s;

struct DetectedTls {
  net::StreamPtr stream;  // replays what was read
  bool tls = false;
  bool ended = false;  // the client ended its side before its first byte
  std::string sni;     // empty: none
};
// Reads until a ClientHello was seen or cannot come any more (docs/reference/proxy.md §2.3). Fails
// with Timeout, Reset.
net::Task<Result<DetectedTls>> detect_tls(net::StreamPtr stream, Deadline by);

enum class Spoken : std::uint8_t { Http1, Http2, NotHttp, Timeout, Ended };
struct DetectedHttp {
  net::StreamPtr stream;
  std::string proxy_head;  // what came before, taken off the stream (proxy_head.h)
  Spoken spoken = Spoken::NotHttp;
  // Of NotHttp and Timeout: what came, if anything, could still become a request.
  bool undecided = false;
};
// Reads until the first bytes can only be HTTP/1, HTTP/2 or neither, or the client has ended its
// side before its first byte (Ended). A first line without an end is NotHttp after `hold`, unless
// it looks like a request. `look`: behind a head of the PROXY protocol, too; one that does not end
// is a Timeout, one that is too long Invalid.
enum class ProxyHeads : std::uint8_t { AreBytes, LookBehind };
net::Task<Result<DetectedHttp>> detect_http(net::StreamPtr stream, Deadline by,
                                            Duration hold = kLineHold,
                                            ProxyHeads look = ProxyHeads::AreBytes);

// A client's stream of which it is not known yet whether HTTP comes: bytes pass, and the first line
// is watched. Once it turns out to be a request's, reading fails; then the connection can still be
// served as HTTP, if nothing came back from the server so far and all that went there was kept.
class UndecidedStream final : public net::Stream {
 public:
  // `look`: LookBehind: a head of the PROXY protocol that comes only now ends the connection.
  explicit UndecidedStream(net::StreamPtr inner, ProxyHeads look = ProxyHeads::AreBytes)
      : inner_(std::move(inner)), look_(look) {}
  Result<std::size_t> try_read(MutableBytes into) override;
  Result<std::size_t> try_write(Bytes bytes) override;
  Result<void> try_flush() override { return inner_->try_flush(); }
  Result<void> try_shutdown() override;
  void abort() noexcept override {
    if (!turned()) inner_->abort();
  }
  net::IoState& io() noexcept override { return inner_->io(); }
  void hold_little(bool on) noexcept override { inner_->hold_little(on); }

  // A request came where it can be served.
  bool turned() const noexcept { return is_http() && whole_ && !answered_; }
  bool is_http() const noexcept {
    return line_.seen() == http1::Detected::Http1 || line_.seen() == http1::Detected::Http2;
  }
  bool http2() const noexcept { return line_.seen() == http1::Detected::Http2; }
  // The stream with all that was read of it in front.
  net::StreamPtr release();

 private:
  net::StreamPtr inner_;
  const ProxyHeads look_;
  http1::FirstLine line_{http1::FirstLine::Grammar::Anybody};
  ByteQueue kept_;
  bool whole_ = true;
  bool answered_ = false;
};

// The first words of a side that may speak first. Only the application's own bytes are speech: a
// TLS record, a ticket, the end, a failure are none.
enum class Heard : std::uint8_t {
  Nothing,  // until the deadline
  Bytes,
  Http,  // of a server: it greets as HTTP/2 servers do, or answers before it was asked
  Gone,  // ended or failed without a byte
};
// The bytes that had to be read are given back: `stream` is replaced by one that replays it.
net::Task<Heard> hear_client(net::StreamPtr& stream, Deadline by);
net::Task<Heard> hear_server(net::StreamPtr& stream, Deadline by);

// Waits until one of the two speaks.
struct First {
  Heard client = Heard::Nothing;
  Heard server = Heard::Nothing;
  // The server greeted a client that was still there and silent.
  bool server_speaks_first() const noexcept {
    return server == Heard::Bytes && client != Heard::Bytes;
  }
};
net::Task<First> who_speaks_first(net::StreamPtr& client, net::StreamPtr& server, Deadline by);

}  // namespace tulle::proxy
