// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/forged_id.h"

#include <algorithm>
#include <cstring>

#include "lib/base/text.h"
#include "lib/http/host.h"

namespace tulle::proxy {
namespace {

constexpr std::string_view kAnswer = "HTTP/";

// Besides CR and LF what str.splitlines() of Python takes, in bytes or in Latin-1.
constexpr bool ends_line(std::uint8_t byte) noexcept {
  return (byte >= 0x0A && byte <= 0x0D) || (byte >= 0x1C && byte <= 0x1E) || byte == 0x85;
}
// The rest of what is a blank to somebody.
constexpr bool is_blank(std::uint8_t byte) noexcept {
  return byte == ' ' || byte == '\t' || byte == 0x1F || byte == 0xA0;
}

// Of `size` bytes, how many are left without the blanks at the end.
std::size_t without_blanks(Bytes bytes, std::size_t size) noexcept {
  while (size > 0 && is_blank(bytes[size - 1])) --size;
  return size;
}

// Could the byte stand at that place of a name that looks like ours?
bool fits(std::uint8_t byte, std::size_t place) noexcept {
  const char c = static_cast<char>(byte);
  return byte != ':' && http::looks_like({&c, 1}, http::kClientId.substr(place, 1));
}

}  // namespace

void ForgedId::take(std::uint8_t byte) noexcept {
  const bool line_end = ends_line(byte);
  switch (at_) {
    case At::LineStart:
      if (line_end || is_blank(byte)) return;
      matched_ = 0;
      at_ = At::Name;
      [[fallthrough]];
    case At::Name:
      if (!line_end && fits(byte, matched_)) {
        if (++matched_ == http::kClientId.size()) at_ = At::AfterName;
        return;
      }
      break;
    case At::AfterName:
      if (byte == ':') at_ = At::Found;
      if (byte == ':' || is_blank(byte)) return;
      break;
    case At::Elsewhere: break;
    case At::Found: return;
  }
  at_ = line_end ? At::LineStart : At::Elsewhere;
}

std::size_t ForgedId::follow(Bytes bytes, std::size_t from) noexcept {
  while (from < bytes.size() && at_ != At::Elsewhere && !found()) take(bytes[from++]);
  return from;
}

// Nearly all bytes are passed over in search of the name's rarest, before which a line must begin.
bool ForgedId::feed(Bytes bytes) noexcept {
  constexpr std::size_t kRare = 1;
  static_assert(http::kClientId[kRare] == '5');
  std::size_t next = follow(bytes, 0);
  while (next < bytes.size() && !found()) {
    const void* const hit = std::memchr(&bytes[next], '5', bytes.size() - next);
    if (hit == nullptr) break;
    const auto at = static_cast<std::size_t>(static_cast<const std::uint8_t*>(hit) - bytes.data());
    next = at + 1;
    if (at <= kRare || !fits(bytes[at - kRare], 0)) continue;
    const std::size_t line = without_blanks(bytes, at - kRare);
    if (line == 0 || !ends_line(bytes[line - 1])) continue;
    at_ = At::LineStart;
    next = follow(bytes, line);
  }
  if (found() || at_ != At::Elsewhere) return found();
  // What the next bytes may go on with: blanks, at most a name, blanks, the end of a line.
  std::size_t tail = without_blanks(bytes, bytes.size());
  tail = without_blanks(bytes, tail - std::min(tail, http::kClientId.size()));
  for (tail -= std::min<std::size_t>(tail, 1); tail < bytes.size(); ++tail) take(bytes[tail]);
  return found();
}

Result<std::size_t> WatchedStream::try_read(MutableBytes into) {
  const Error forbidden{Errc::Forbidden, "a forged identity among bytes"};
  if (forged()) return forbidden;
  const Result<std::size_t> n = inner_->try_read(into);
  if (!n || *n == 0 || !watching()) return n;
  read_ = static_cast<std::uint32_t>(std::min<std::size_t>(read_ + *n, kWatched));
  if (forged_.feed(into.first(*n))) return forbidden;
  return n;
}

Result<std::size_t> WatchedStream::try_write(Bytes bytes) {
  const Result<std::size_t> n = inner_->try_write(bytes);
  if (!n || other_answer_) return n;
  for (std::size_t i = 0; i < *n && answered_ < kAnswer.size(); ++i) {
    if (static_cast<char>(bytes[i]) == kAnswer[answered_]) {
      ++answered_;
    } else {
      other_answer_ = true;
      break;
    }
  }
  return n;
}

}  // namespace tulle::proxy
