// SPDX-License-Identifier: Apache-2.0
#include "proxy/detect.h"

#include "lib/http1/detect.h"
#include "lib/tls/client_hello.h"

namespace tulle::proxy {
namespace {

constexpr std::size_t kMaxHello = 8192 + 5;
constexpr std::size_t kMaxHttp = 8192;

// One more read into `held`; the number of bytes, 0 at the end.
net::Task<Result<std::size_t>> read_more(net::Stream& stream, ByteQueue& held, std::size_t limit,
                                         Deadline by) {
  for (;;) {
    const MutableBytes room = stream.loop().scratch().first(limit - held.size());
    const Result<std::size_t> n = stream.try_read(room);
    if (n) {
      held.append(Bytes(room.data(), *n));
      co_return *n;
    }
    if (n.error().code != Errc::WouldBlock) co_return n.error();
    const bool in_time = co_await net::readable(stream.io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "detect"};
  }
}

net::StreamPtr replay(net::StreamPtr stream, ByteQueue held) {
  if (held.empty()) return stream;
  return std::make_unique<net::ReplayStream>(std::move(stream), std::move(held));
}

}  // namespace

net::Task<Result<DetectedTls>> detect_tls(net::StreamPtr stream, Deadline by) {
  ByteQueue held;
  DetectedTls detected;
  for (;;) {
    Result<std::size_t> n = co_await read_more(*stream, held, kMaxHello, by);
    if (!n) co_return n.error();
    const tls::ClientHello hello = tls::parse_client_hello(held.data());
    if (hello.state == tls::ClientHello::State::NeedMore && *n != 0 && held.size() < kMaxHello)
      continue;
    if (*n == 0 && held.empty()) co_return Error{Errc::Eof, "detect"};
    detected.tls = hello.state == tls::ClientHello::State::Found;
    if (detected.tls) detected.sni = hello.sni;
    break;
  }
  detected.stream = replay(std::move(stream), std::move(held));
  co_return Result<std::decay_t<decltype(detected)>>(std::move(detected));
}

net::Task<Result<DetectedHttp>> detect_http(net::StreamPtr stream, Deadline by) {
  ByteQueue held;
  DetectedHttp detected;
  for (;;) {
    Result<std::size_t> n = co_await read_more(*stream, held, kMaxHttp, by);
    if (!n && n.error().code == Errc::Timeout) {
      detected.spoken = Spoken::Timeout;
      break;
    }
    if (!n) co_return n.error();
    if (*n == 0 && held.empty()) co_return Error{Errc::Eof, "detect"};
    const http1::Detected seen = http1::detect(held.data());
    if (seen == http1::Detected::NeedMore && *n != 0 && held.size() < kMaxHttp) continue;
    if (seen == http1::Detected::Http1) detected.spoken = Spoken::Http1;
    if (seen == http1::Detected::Http2) detected.spoken = Spoken::Http2;
    break;
  }
  detected.stream = replay(std::move(stream), std::move(held));
  co_return Result<std::decay_t<decltype(detected)>>(std::move(detected));
}

net::Task<bool> spoke_within(net::Stream& stream, Deadline by) {
  net::TcpStream* const tcp = stream.plain_tcp();
  if (tcp == nullptr) {  // TLS: readable means that a record came; the caller reads it
    co_return co_await net::readable(stream.io(), by);
  }
  std::uint8_t byte[1];
  for (;;) {
    const Result<std::size_t> n = tcp->try_peek(byte);
    if (n || n.error().code != Errc::WouldBlock) co_return true;  // bytes, the end or a failure
    const bool in_time = co_await net::readable(stream.io(), by);
    if (!in_time) co_return false;
  }
}

}  // namespace tulle::proxy
