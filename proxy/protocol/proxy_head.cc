// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/proxy_head.h"

#include <algorithm>
#include <string_view>

namespace tulle::proxy {
namespace {

using State = ProxyHead::State;

constexpr std::string_view kBinary("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kBinaryFixed = 16;  // signature, version, family, length
constexpr std::size_t kMaxLine = 512;     // 107 are allowed; some readers take more

// 0: no; 1: begins as `what` does; 2: has all of it.
int begins(std::string_view text, std::string_view what) {
  const std::size_t n = std::min(text.size(), what.size());
  if (text.substr(0, n) != what.substr(0, n)) return 0;
  return n == what.size() ? 2 : 1;
}

// "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n"; a bare line feed ends it, too, for some readers.
ProxyHead parse_line(std::string_view text) {
  int best = 0;
  for (const std::string_view family : {"PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN"})
    best = std::max(best, begins(text, family));
  if (best == 0) return {};
  const std::size_t end = text.substr(0, kMaxLine).find('\n');
  if (best == 2 && end != std::string_view::npos) return {State::Found, end + 1};
  return {text.size() < kMaxLine ? State::NeedMore : State::TooLong, 0};
}

ProxyHead parse_binary(Bytes bytes) {
  if (begins(as_text(bytes), kBinary) == 0) return {};
  if (bytes.size() < kBinaryFixed) return {State::NeedMore, 0};
  if (bytes[12] >> 4 != 2) return {};
  const std::size_t size = kBinaryFixed + (bytes[14] * 256U + bytes[15]);
  if (size > kMaxProxyHead) return {State::TooLong, 0};
  if (bytes.size() < size) return {State::NeedMore, 0};
  return {State::Found, size};
}

ProxyHead parse_one(Bytes bytes) {
  if (bytes.empty()) return {};
  const ProxyHead binary = parse_binary(bytes);
  return binary.state != State::None ? binary : parse_line(as_text(bytes));
}

}  // namespace

ProxyHead parse_proxy_head(Bytes bytes) noexcept {
  ProxyHead all;
  for (;;) {
    const ProxyHead next = parse_one(bytes.subspan(all.size));
    if (next.state == State::None) return all;
    if (next.state != State::Found) return {next.state, all.size};
    all.state = State::Found;
    all.size += next.size;
    if (all.size > kMaxProxyHead) return {State::TooLong, 0};
  }
}

}  // namespace tulle::proxy
