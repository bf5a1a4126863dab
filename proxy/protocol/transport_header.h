// SPDX-License-Identifier: Apache-2.0
// The header of a transport connection between two proxies (docs/reference/proxy.md §2.4,
// docs/reference/wire-api.md §11).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tulle::proxy {

// What the bytes after the header are.
enum class Session : std::uint8_t { Opaque, Http1, Http2 };

struct TransportHeader {
  std::uint16_t port = 0;
  std::string name;  // empty: a local target
  Session session = Session::Opaque;
};

// Preface, length and message, ready to be written.
std::string encode_transport_header(const TransportHeader& header);

struct ParsedHeader {
  TransportHeader header;
  std::size_t size = 0;  // bytes it took; what follows is the application's
};
// nullopt: more bytes are needed. Fails with Invalid (wrong preface, port, message) or TooLarge.
Result<std::optional<ParsedHeader>> parse_transport_header(Bytes bytes);

}  // namespace tulle::proxy
