// SPDX-License-Identifier: Apache-2.0
// The value formats of the environment: nothing crashes, what is accepted makes sense.
#include <cstdint>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/config/values.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle::config;
  const std::string_view text = tulle::as_text({data, size});
  if (const auto duration = parse_duration(text)) TULLE_CHECK(duration->count() >= 0);
  (void)parse_bool(text);
  if (const auto ports = parse_ports(text)) {
    for (const auto& [first, last] : *ports) TULLE_CHECK(first <= last);
  }
  if (const auto ips = parse_ips(text)) TULLE_CHECK(!ips->empty());
  if (const auto networks = parse_networks(text)) {
    for (const tulle::net::Cidr& network : *networks) {
      TULLE_CHECK(network.contains(network.ip));
      TULLE_CHECK(tulle::net::Cidr::parse(network.to_string()) == network);
    }
  }
  if (const auto suffixes = parse_suffixes(text)) {
    for (const std::string& suffix : *suffixes) {
      TULLE_CHECK(suffix.empty() || is_dns_name(suffix));
      TULLE_CHECK(suffix.empty() || under_suffix("a." + suffix + ".", *suffixes));
    }
    (void)under_suffix(text, *suffixes);
  }
  if (const auto addr = parse_host_port(text)) TULLE_CHECK(!addr->host.empty());
  (void)is_dns_name(text, false);
  return 0;
}
