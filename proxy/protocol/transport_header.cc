// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/transport_header.h"

#include "lib/config/values.h"
#include "proto/message.h"
#include "proto/transport.pb.h"

namespace tulle::proxy {
namespace {

constexpr std::string_view kPreface = "transport.l5d.io/v1\r\n\r\n";
constexpr std::size_t kMaxMessage = std::size_t{64} * 1024 - kPreface.size() - 4;

}  // namespace

std::string encode_transport_header(const TransportHeader& header) {
  pb::transport::Header message;
  message.port = header.port;
  message.name = header.name;
  if (header.session != Session::Opaque) {
    pb::transport::SessionProtocol& protocol = message.session_protocol.make();
    using Kind = pb::transport::SessionProtocol::KindCase;
    if (header.session == Session::Http1) {
      protocol.http1.make();
      protocol.kind_case = Kind::http1;
    } else {
      protocol.http2.make();
      protocol.kind_case = Kind::http2;
    }
  }
  const std::string body = pb::encode_message(message);
  std::string out(kPreface);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(body.size() >> shift);
  return out + body;
}

Result<std::optional<ParsedHeader>> parse_transport_header(Bytes bytes) {
  const std::string_view text = as_text(bytes);
  const std::size_t seen = std::min(text.size(), kPreface.size());
  if (text.substr(0, seen) != kPreface.substr(0, seen)) {
    return Error{Errc::Invalid, "read the transport header's preface"};
  }
  if (bytes.size() < kPreface.size() + 4) return std::optional<ParsedHeader>{};
  const Bytes rest = bytes.subspan(kPreface.size());
  const std::size_t size = static_cast<std::size_t>(rest[0]) << 24 |
                           static_cast<std::size_t>(rest[1]) << 16 |
                           static_cast<std::size_t>(rest[2]) << 8 | rest[3];
  if (size > kMaxMessage) return Error{Errc::TooLarge, "read the transport header"};
  if (rest.size() < 4 + size) return std::optional<ParsedHeader>{};
  auto message = pb::decode_message<pb::transport::Header>(rest.subspan(4, size));
  if (!message) return message.error();
  ParsedHeader parsed;
  if (message->port < 1 || message->port > 65535)
    return Error{Errc::Invalid, "read the transport header's port"};
  if (!message->name.empty() && !config::is_dns_name(message->name)) {
    return Error{Errc::Invalid, "read the transport header's name"};
  }
  parsed.header.port = static_cast<std::uint16_t>(message->port);
  parsed.header.name = message->name;
  if (message->session_protocol) {
    using Kind = pb::transport::SessionProtocol::KindCase;
    switch (message->session_protocol->kind_case) {
      case Kind::http1: parsed.header.session = Session::Http1; break;
      case Kind::http2: parsed.header.session = Session::Http2; break;
      case Kind::none:
        // A protocol that this version does not know must not be passed on as plain bytes.
        if (message->session_protocol->unknown_fields) {
          return Error{Errc::Unsupported, "read the transport header's protocol"};
        }
        break;
    }
  }
  parsed.size = kPreface.size() + 4 + size;
  return std::optional<ParsedHeader>{std::move(parsed)};
}

}  // namespace tulle::proxy
