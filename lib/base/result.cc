// SPDX-License-Identifier: Apache-2.0
#include "lib/base/result.h"

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

}  // namespace tulle
