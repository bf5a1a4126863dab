// SPDX-License-Identifier: Apache-2.0
// Nobody but us tells an application who the client is, also where bytes pass. Detection knows what
// usual servers take for a request; some application takes more: other words for the version, bytes
// in a target that no grammar has, other blanks. Whatever its grammar is, to believe a forged
// identity it must read a line `l5d-client-id: …`, so that line is what no client may send.
#pragma once

#include <cstdint>

#include "lib/net/stream.h"

namespace tulle::proxy {

// Looks for a line that begins with the name of the client's identity, or what applications take
// for it (http::looks_like), and a colon. Before either there may be blanks. A line begins with the
// first byte and after whatever some library ends lines at.
class ForgedId {
 public:
  // True once such a line has begun, in pieces of any size.
  bool feed(Bytes bytes) noexcept;
  bool found() const noexcept { return at_ == At::Found; }

 private:
  enum class At : std::uint8_t { LineStart, Name, AfterName, Elsewhere, Found };
  void take(std::uint8_t byte) noexcept;
  // Takes bytes from there on while a line that may be it goes on; where that was over.
  std::size_t follow(Bytes bytes, std::size_t from) noexcept;

  At at_ = At::LineStart;
  std::uint8_t matched_ = 0;  // bytes of the name
};

// A client's stream whose bytes pass. Reading fails with Forbidden where a forged identity begins,
// before the last byte of its name and colon was given on. It is looked for in the first kWatched
// bytes, and beyond them while the server has said nothing yet or answers as HTTP servers do: then
// another request may follow.
class WatchedStream final : public net::Stream {
 public:
  // More than the longest head that servers take unless told to.
  static constexpr std::uint32_t kWatched = 64 * 1024;

  explicit WatchedStream(net::StreamPtr inner) : inner_(std::move(inner)) {}
  Result<std::size_t> try_read(MutableBytes into) override;
  Result<std::size_t> try_write(Bytes bytes) override;
  Result<void> try_flush() override { return inner_->try_flush(); }
  Result<void> try_shutdown() override { return inner_->try_shutdown(); }
  void abort() noexcept override { inner_->abort(); }
  net::IoState& io() noexcept override { return inner_->io(); }
  void hold_little(bool on) noexcept override { inner_->hold_little(on); }

  bool forged() const noexcept { return forged_.found(); }

 private:
  bool watching() const noexcept { return read_ < kWatched || !other_answer_; }

  net::StreamPtr inner_;
  ForgedId forged_;
  std::uint32_t read_ = 0;     // up to kWatched
  std::uint8_t answered_ = 0;  // bytes of the server's first word that are as in HTTP
  bool other_answer_ = false;  // it is no HTTP
};

}  // namespace tulle::proxy
