// SPDX-License-Identifier: Apache-2.0
// resolv.conf and hosts files, names of people, targets of SRV records: nothing crashes and bounds
// hold.
#include <cstdint>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/dns/control_name.h"
#include "lib/dns/files.h"
#include "lib/dns/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle::dns;
  const std::string_view text = tulle::as_text({data, size});
  const ResolvConf conf = parse_resolv_conf(text);
  TULLE_CHECK(!conf.nameservers.empty() && conf.nameservers.size() <= 3);
  TULLE_CHECK(conf.search.size() <= 32 && conf.ndots <= 15);
  TULLE_CHECK(conf.attempts >= 1 && conf.attempts <= 5);
  TULLE_CHECK(conf.timeout >= std::chrono::seconds(1) && conf.timeout <= std::chrono::seconds(30));
  for (const std::string& domain : conf.search) TULLE_CHECK(canonical_name(domain) == domain);
  const Hosts hosts = Hosts::parse(text);
  TULLE_CHECK(hosts.size() <= size);
  if (const std::optional<std::string> name = canonical_name(text)) {
    TULLE_CHECK(name->empty() || canonical_name(*name + ".") == name);
  }
  (void)ControlName::address_of_target(text);
  return 0;
}
