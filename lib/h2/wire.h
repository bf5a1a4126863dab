// SPDX-License-Identifier: Apache-2.0
// Numbers of the HTTP/2 wire (RFC 9113 §4–6).
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/base/bytes.h"

namespace tulle::h2 {

// Frame types (§6.1 to §6.10); others are ignored.
namespace frame {
inline constexpr std::uint8_t kData = 0, kHeaders = 1, kPriority = 2, kRstStream = 3, kSettings = 4,
                              kPushPromise = 5, kPing = 6, kGoaway = 7, kWindowUpdate = 8,
                              kContinuation = 9;
}
// A number means something else with each type: kAck of SETTINGS and PING is kEndStream of DATA.
namespace flag {
inline constexpr std::uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8,
                              kPriority = 0x20;
}
// Identifiers of SETTINGS (§6.5.2); others are ignored.
namespace setting {
inline constexpr std::uint16_t kTableSize = 1, kEnablePush = 2, kMaxStreams = 3, kInitialWindow = 4,
                               kMaxFrame = 5, kMaxHeaderList = 6;
}

// Fields that HTTP/2 does not carry (RFC 9113 §8.2.2); the name in lower case.
inline bool connection_specific(std::string_view name) {
  switch (name.size()) {
    case 7: return name == "upgrade";
    case 10: return name == "connection" || name == "keep-alive";
    case 16: return name == "proxy-connection";
    case 17: return name == "transfer-encoding";
    default: return false;
  }
}

// What a client sends before its first frame (§3.4).
inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A header block that is far larger than any list we take is an attack.
inline std::size_t max_block(std::uint32_t max_header_list) {
  return std::size_t{max_header_list} * 4 + std::size_t{64} * 1024;
}

// Numbers in network order. read32 looks at four bytes, write_header writes nine (§4.1).
inline std::uint32_t read32(const std::uint8_t* at) noexcept {
  return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
         static_cast<std::uint32_t>(at[2]) << 8 | at[3];
}
inline void put16(ByteQueue& out, std::uint16_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
inline void put32(ByteQueue& out, std::uint32_t value) {
  put16(out, static_cast<std::uint16_t>(value >> 16));
  put16(out, static_cast<std::uint16_t>(value));
}
inline void write_header(std::uint8_t* at, std::uint32_t length, std::uint8_t type,
                         std::uint8_t flags, std::uint32_t stream) noexcept {
  at[0] = static_cast<std::uint8_t>(length >> 16);
  at[1] = static_cast<std::uint8_t>(length >> 8);
  at[2] = static_cast<std::uint8_t>(length);
  at[3] = type;
  at[4] = flags;
  at[5] = static_cast<std::uint8_t>(stream >> 24);
  at[6] = static_cast<std::uint8_t>(stream >> 16);
  at[7] = static_cast<std::uint8_t>(stream >> 8);
  at[8] = static_cast<std::uint8_t>(stream);
}

}  // namespace tulle::h2
