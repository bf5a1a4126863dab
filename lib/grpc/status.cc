// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/status.h"

#include <array>

#include "lib/base/text.h"

namespace tulle::grpc {
namespace {

constexpr std::size_t kMaxMessageText = 4096;

constexpr std::array<std::string_view, 17> kNames = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

// gRPC's PROTOCOL-HTTP2, "Errors": what the code of a RST_STREAM means.
Code code_of_reset(std::uint32_t http2_code) {
  switch (http2_code) {
    case 0x7:  // REFUSED_STREAM
      return Code::Unavailable;
    case 0x8:  // CANCEL
      return Code::Cancelled;
    case 0xb:  // ENHANCE_YOUR_CALM
      return Code::ResourceExhausted;
    case 0xc:  // INADEQUATE_SECURITY
      return Code::PermissionDenied;
    default: return Code::Internal;
  }
}

Code code_of(const Error& error) {
  switch (error.code) {
    case Errc::Timeout: return Code::DeadlineExceeded;
    case Errc::Cancelled: return Code::Cancelled;
    case Errc::Reset: return error.detail == 0 ? Code::Unavailable : code_of_reset(error.detail);
    case Errc::Eof:
    case Errc::Io:
    case Errc::Refused:
    case Errc::Unanswered:
    case Errc::Tls:
    case Errc::Unavailable:
    case Errc::WrongAddress:
    case Errc::WouldBlock: return Code::Unavailable;
    case Errc::TooLarge:
    case Errc::ResourceExhausted: return Code::ResourceExhausted;
    case Errc::Unsupported: return Code::Unimplemented;
    case Errc::Unauthenticated: return Code::Unauthenticated;
    case Errc::Forbidden: return Code::PermissionDenied;
    case Errc::NotFound: return Code::NotFound;
    case Errc::Invalid:
    case Errc::Protocol:
    case Errc::Internal: return Code::Internal;
  }
  return Code::Unknown;
}

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  const char lower = ascii_lower(c);
  if (lower >= 'a' && lower <= 'f') return static_cast<std::uint8_t>(lower - 'a' + 10);
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Code code) noexcept {
  const auto number = static_cast<std::uint32_t>(code);
  return number < kNames.size() ? kNames[number] : "UNKNOWN";
}

Status status_of(const Error& error) { return {code_of(error), std::string(error.where)}; }

Status status_of_http(std::uint16_t http_status) {
  std::string message = "HTTP status ";
  append_number(message, http_status);
  switch (http_status) {
    case 400: return {Code::Internal, std::move(message)};
    case 401: return {Code::Unauthenticated, std::move(message)};
    case 403: return {Code::PermissionDenied, std::move(message)};
    case 404: return {Code::Unimplemented, std::move(message)};
    case 429:
    case 502:
    case 503:
    case 504: return {Code::Unavailable, std::move(message)};
    default: return {Code::Unknown, std::move(message)};
  }
}

std::optional<Status> read_status(const http::HeaderMap& fields) {
  const std::optional<std::string_view> code = fields.get("grpc-status");
  if (!code) return std::nullopt;
  Status status;
  // A code that we do not know, or that is no number, is UNKNOWN (gRPC's statuscodes).
  const std::optional<std::uint32_t> number = parse_number<std::uint32_t>(*code);
  status.code = number && *number < kNames.size() ? static_cast<Code>(*number) : Code::Unknown;
  if (const std::optional<std::string_view> text = fields.get("grpc-message")) {
    status.message = decode_message_text(text->substr(0, kMaxMessageText));
  }
  return status;
}

void write_status(const Status& status, http::HeaderMap& fields) {
  std::string code;
  append_number(code, static_cast<std::uint32_t>(status.code));
  fields.set("grpc-status", code);
  if (!status.message.empty()) {
    const std::string_view text(status.message);
    fields.set("grpc-message", encode_message_text(text.substr(0, kMaxMessageText / 3)));
  }
}

std::string encode_message_text(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c >= 0x20 && c <= 0x7E && c != '%') {
      out += c;
      continue;
    }
    const auto byte = static_cast<std::uint8_t>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string decode_message_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const auto high = hex_digit(text[i + 1]);
      const auto low = hex_digit(text[i + 2]);
      if (high && low) {
        out += static_cast<char>(*high << 4 | *low);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

}  // namespace tulle::grpc
