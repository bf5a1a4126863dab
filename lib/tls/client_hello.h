// SPDX-License-Identifier: Apache-2.0
// Is this the beginning of a TLS connection, and to whom? A pure function over the first bytes
// (docs/reference/proxy.md §2.3; RFC 8446 §4.1.2, RFC 6066 §3). A ClientHello may span several
// reads (with a hybrid key share it does) and several records. Once the answer is not NeedMore,
// more bytes do not change it. Whether the name is one of ours, or a name at all, is the caller's
// question.
#pragma once

#include <string>

#include "lib/base/bytes.h"

namespace tulle::tls {

struct ClientHello {
  enum class State : std::uint8_t { NeedMore, NotTls, Found };
  State state = State::NeedMore;
  std::string sni;  // Found: the server name, "" if there is none
};
ClientHello parse_client_hello(Bytes bytes);

}  // namespace tulle::tls
