// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/detect.h"

#include <algorithm>

#include "lib/tls/client_hello.h"
#include "proxy/protocol/proxy_head.h"

namespace tulle::proxy {
namespace {

constexpr std::size_t kMaxHello = 8192 + 5;
constexpr std::size_t kMaxHttp = 8192;
// What an undecided stream keeps for the case that it turns out to be HTTP.
constexpr std::size_t kMaxKept = std::size_t{16} * 1024;

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
    detected.ended = *n == 0 && held.empty();
    detected.tls = hello.state == tls::ClientHello::State::Found;
    if (detected.tls) detected.sni = hello.sni;
    break;
  }
  detected.stream = replay(std::move(stream), std::move(held));
  co_return Result<std::decay_t<decltype(detected)>>(std::move(detected));
}

namespace {

// So much of a head's beginning is no accident.
constexpr std::size_t kSurelyProxy = 5;

}  // namespace

net::Task<Result<DetectedHttp>> detect_http(net::StreamPtr stream, Deadline by, Duration hold,
                                            ProxyHeads look) {
  ByteQueue held;
  DetectedHttp detected;
  http1::FirstLine line;
  std::size_t before = 0;  // so much is a head of the PROXY protocol
  std::size_t seen_to = 0;
  bool head_begun = false;
  for (;;) {
    // Bytes that no request has begun with so far are not waited for long. Behind a head of the
    // PROXY protocol the server may be the one that speaks first.
    const bool silent = held.size() == before;
    const bool hopeful = silent ? before == 0 : head_begun || line.looks_like_a_request();
    const Deadline next = hopeful ? by : by.earlier(stream->loop().after(hold));
    Result<std::size_t> n = co_await read_more(*stream, held, kMaxHttp, next);
    if (!n && n.error().code == Errc::Timeout) {
      if (head_begun) co_return n.error();
      detected.spoken = by.passed(stream->loop().now()) ? Spoken::Timeout : Spoken::NotHttp;
      break;
    }
    if (!n) co_return n.error();
    if (look == ProxyHeads::LookBehind) {
      const ProxyHead head = parse_proxy_head(held.data());
      if (head.state == ProxyHead::State::TooLong)
        co_return Error{Errc::Invalid, "PROXY protocol head"};
      const bool part =
          head.state == ProxyHead::State::NeedMore && held.size() - head.size >= kSurelyProxy;
      head_begun = part && *n != 0;
      if (head_begun) continue;
      if (head.size != before) {
        before = seen_to = head.size;
        line = http1::FirstLine();
      }
    }
    const http1::Detected seen = line.feed(held.data().subspan(seen_to));
    seen_to = held.size();
    if (seen == http1::Detected::NeedMore && *n != 0 && held.size() < kMaxHttp) continue;
    if (seen == http1::Detected::Http1) detected.spoken = Spoken::Http1;
    if (seen == http1::Detected::Http2) detected.spoken = Spoken::Http2;
    if (*n == 0 && held.empty()) detected.spoken = Spoken::Ended;
    break;
  }
  if (detected.spoken == Spoken::NotHttp || detected.spoken == Spoken::Timeout) {
    // A few servers take more for a request than is worth to wait for.
    http1::FirstLine any(http1::FirstLine::Grammar::Anybody);
    const http1::Detected seen = any.feed(held.data().subspan(before));
    if (seen == http1::Detected::Http1) detected.spoken = Spoken::Http1;
    detected.undecided = seen == http1::Detected::NeedMore;
  }
  detected.proxy_head = as_text(held.data().first(before));
  held.consume(before);
  detected.stream = replay(std::move(stream), std::move(held));
  co_return Result<std::decay_t<decltype(detected)>>(std::move(detected));
}

Result<std::size_t> UndecidedStream::try_read(MutableBytes into) {
  if (is_http()) return Error{Errc::Forbidden, "a request among bytes"};
  // No more at once than can be kept, while a request may still come of it.
  if (whole_ && line_.seen() == http1::Detected::NeedMore && kept_.size() < kMaxKept)
    into = into.first(std::min(into.size(), kMaxKept - kept_.size()));
  const Result<std::size_t> n = inner_->try_read(into);
  if (!n || *n == 0 || line_.seen() == http1::Detected::NotHttp) return n;
  const Bytes got = into.first(*n);
  if (kept_.size() + got.size() > kMaxKept) whole_ = false;
  if (whole_) {
    kept_.append(got);
  } else {
    kept_.clear();
  }
  const http1::Detected seen = line_.feed(got);
  if (seen == http1::Detected::NotHttp) {
    const bool late_head = look_ == ProxyHeads::LookBehind && whole_ &&
                           parse_proxy_head(kept_.data()).state != ProxyHead::State::None;
    if (late_head) {
      inner_->abort();
      return Error{Errc::Forbidden, "a PROXY protocol head after a pause"};
    }
    kept_.clear();
  }
  if (is_http()) return Error{Errc::Forbidden, "a request among bytes"};
  return n;
}

Result<std::size_t> UndecidedStream::try_write(Bytes bytes) {
  const Result<std::size_t> n = inner_->try_write(bytes);
  if (n && *n != 0) answered_ = true;
  return n;
}

Result<void> UndecidedStream::try_shutdown() {
  answered_ = true;
  return inner_->try_shutdown();
}

net::StreamPtr UndecidedStream::release() { return replay(std::move(inner_), std::move(kept_)); }

namespace {

// Does a server's first word say that it serves HTTP? HTTP/2 servers send SETTINGS at once (RFC
// 9113 §3.4); some servers of HTTP/1 answer 408 to those who are silent.
Heard judge_greeting(Bytes seen) {
  constexpr std::string_view kAnswer = "HTTP/";
  const std::size_t same = std::min(seen.size(), kAnswer.size());
  if (as_text(seen.first(same)) == kAnswer.substr(0, same))
    return same == kAnswer.size() ? Heard::Http : Heard::Nothing;
  // Length (a multiple of 6, at most 16,384), type 4, no flags, stream 0.
  constexpr std::size_t kHead = 9;
  for (std::size_t i = 0; i < std::min(seen.size(), kHead); ++i) {
    const bool fits = i == 1 ? seen[i] <= 0x40 : i == 2 || seen[i] == (i == 3 ? 4 : 0);
    if (!fits) return Heard::Bytes;
  }
  if (seen.size() >= 3 && (seen[1] * 256U + seen[2]) % 6 != 0) return Heard::Bytes;
  return seen.size() < kHead ? Heard::Nothing : Heard::Http;
}

// Bytes that had to be read go back in front of the stream, also when the listening is cancelled.
struct GiveBack {
  net::StreamPtr& stream;
  ByteQueue held;
  net::TcpStream* peeked = nullptr;  // what was seen there is still to be read
  ~GiveBack() {
    if (peeked != nullptr) peeked->io().readable = true;
    stream = replay(std::move(stream), std::move(held));
  }
};

net::Task<Heard> hear(net::StreamPtr& stream, bool server, Deadline by) {
  GiveBack back{stream, {}, nullptr};
  net::TcpStream* const tcp = stream->plain_tcp();
  for (;;) {
    const MutableBytes room = stream->loop().scratch().first(64);
    const Result<std::size_t> n = tcp != nullptr ? tcp->try_peek(room) : stream->try_read(room);
    if (n && *n == 0) co_return Heard::Gone;
    if (!n && n.error().code != Errc::WouldBlock) co_return Heard::Gone;
    if (n) {
      if (tcp == nullptr) back.held.append(Bytes(room.data(), *n));
      const Bytes seen = tcp != nullptr ? Bytes(room.data(), *n) : back.held.data();
      const Heard heard = server ? judge_greeting(seen) : Heard::Bytes;
      if (heard != Heard::Nothing) co_return heard;
      if (tcp == nullptr) continue;
      tcp->io().readable = false;  // what is there was seen; the next byte wakes
      back.peeked = tcp;
    }
    const bool in_time = co_await net::readable(stream->io(), by);
    if (!in_time) co_return Heard::Nothing;
  }
}

net::Task<void> note(net::StreamPtr& stream, bool server, Deadline by, Heard& heard,
                     net::Signal& told) {
  const Heard now = co_await hear(stream, server, by);
  heard = now;
  told.notify_all();
}

}  // namespace

net::Task<Heard> hear_client(net::StreamPtr& stream, Deadline by) {
  co_return co_await hear(stream, false, by);
}
net::Task<Heard> hear_server(net::StreamPtr& stream, Deadline by) {
  co_return co_await hear(stream, true, by);
}

net::Task<First> who_speaks_first(net::StreamPtr& client, net::StreamPtr& server, Deadline by) {
  First first;
  net::Signal told{client->loop()};
  {
    net::TaskScope scope;
    scope.spawn(note(client, false, by, first.client, told));
    scope.spawn(note(server, true, by, first.server, told));
    while (first.client == Heard::Nothing && first.server == Heard::Nothing && !scope.empty()) {
      const bool woken = co_await told.wait(by);
      if (!woken) break;
    }
  }
  co_return first;
}

}  // namespace tulle::proxy
