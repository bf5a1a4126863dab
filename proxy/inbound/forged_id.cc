// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/forged_id.h"

#include <algorithm>

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

// How far the first line end is; nearly all bytes pass here, 32 at once.
std::size_t to_line_end(Bytes bytes) noexcept {
  constexpr std::size_t kBlock = 32;
  std::size_t i = 0;
  for (; i + kBlock <= bytes.size(); i += kBlock) {
    const Bytes block = bytes.subspan(i, kBlock);
    unsigned any = 0;
    for (std::size_t k = 0; k < kBlock; ++k)
      any |= static_cast<unsigned>(block[k] < 0x20) | static_cast<unsigned>(block[k] == 0x85);
    if (any != 0) {
      const auto end = std::find_if(block.begin(), block.end(), ends_line);
      if (end != block.end()) return i + static_cast<std::size_t>(end - block.begin());
    }
  }
  while (i < bytes.size() && !ends_line(bytes[i])) ++i;
  return i;
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

bool ForgedId::feed(Bytes bytes) noexcept {
  while (!bytes.empty() && !found()) {
    if (at_ == At::Elsewhere) bytes = bytes.subspan(to_line_end(bytes));
    if (bytes.empty()) break;
    take(bytes.front());
    bytes = bytes.subspan(1);
  }
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
