// SPDX-License-Identifier: Apache-2.0
#include "lib/base/result.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tulle {

std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::Eof: return "Eof";
    case Errc::WouldBlock: return "WouldBlock";
    case Errc::Timeout: return "Timeout";
    case Errc::Io: return "Io";
    case Errc::Refused: return "Refused";
    case Errc::Reset: return "Reset";
    case Errc::Unanswered: return "Unanswered";
    case Errc::Cancelled: return "Cancelled";
    case Errc::Invalid: return "Invalid";
    case Errc::TooLarge: return "TooLarge";
    case Errc::Protocol: return "Protocol";
    case Errc::Tls: return "Tls";
    case Errc::Unauthenticated: return "Unauthenticated";
    case Errc::Forbidden: return "Forbidden";
    case Errc::NotFound: return "NotFound";
    case Errc::Unavailable: return "Unavailable";
    case Errc::ResourceExhausted: return "ResourceExhausted";
    case Errc::WrongAddress: return "WrongAddress";
    case Errc::Unsupported: return "Unsupported";
    case Errc::Internal: return "Internal";
  }
  return "Unknown";
}

void check_failed(const char* what, const char* file, int line) noexcept {
  char text[512];
  const int n = std::snprintf(text, sizeof text, "%s:%d: %s\n", file, line, what);
  if (n > 0) {
    const auto size =
        static_cast<std::size_t>(n) < sizeof text ? static_cast<std::size_t>(n) : sizeof text - 1;
    [[maybe_unused]] const ssize_t written = ::write(2, text, size);
  }
  std::abort();
}

}  // namespace tulle
