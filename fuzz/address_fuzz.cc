// SPDX-License-Identifier: Apache-2.0
// Addresses, networks and socket addresses as text. inet_pton is the oracle; what is accepted says
// itself again.
#include <arpa/inet.h>

#include <string>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/net/address.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle::net;
  if (size > 300) return 0;
  const std::string text(tulle::as_text({data, size}));
  unsigned char octets[16];
  const bool whole = text.find('\0') == std::string::npos;
  const bool v4 = whole && ::inet_pton(AF_INET, text.c_str(), octets) == 1;
  const bool v6 = whole && ::inet_pton(AF_INET6, text.c_str(), octets) == 1;
  const auto ip = IpAddr::parse(text);
  TULLE_CHECK(ip.has_value() == (v4 || v6));
  if (ip) {
    TULLE_CHECK(IpAddr::parse(ip->to_string()) == ip);
    TULLE_CHECK(ip->octets().size() == (ip->is_v4() ? 4U : 16U));
    TULLE_CHECK(Cidr::parse(text).has_value());
    TULLE_CHECK(Cidr::parse(text)->contains(*ip));
  }
  if (const auto socket = SocketAddr::parse(text)) {
    TULLE_CHECK(SocketAddr::parse(socket->to_string()) == socket);
    sockaddr_storage native{};
    const socklen_t length = socket->to_native(native);
    TULLE_CHECK(length == (socket->ip.is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)));
    TULLE_CHECK(SocketAddr::from_native(native) == socket);
  }
  if (const auto network = Cidr::parse(text)) {
    TULLE_CHECK(network->contains(network->ip));
    TULLE_CHECK(Cidr::parse(network->to_string()) == network);
    TULLE_CHECK(network->prefix <= (network->ip.is_v4() ? 32 : 128));
  }
  return 0;
}
