// SPDX-License-Identifier: Apache-2.0
// Kubeconfigs: either a reason why one cannot be used, or an access that keeps to what access.h
// promises: TLS but for this machine, and no half of a pair.
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/k8s/access.h"
#include "lib/net/address.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle;  // NOLINT: a fuzz target
  const std::string_view text = as_text({data, size});
  for (const std::string_view context : {std::string_view(), std::string_view("other")}) {
    const k8s::AccessResult result = k8s::parse_kubeconfig(text, "/home/x/.kube", context);
    if (const auto* const problem = std::get_if<k8s::AccessProblem>(&result)) {
      TULLE_CHECK(!problem->reason.empty());
      continue;
    }
    const auto& access = std::get<k8s::ClusterAccess>(result);
    TULLE_CHECK(!access.host.empty());
    TULLE_CHECK(access.host.find_first_of("[]/@ \t\r\n") == std::string::npos);
    TULLE_CHECK(access.prefix.empty() ||
                (access.prefix.front() == '/' && access.prefix.back() != '/'));
    TULLE_CHECK(access.certificate.empty() == access.key.empty());
    const auto ip = net::IpAddr::parse(access.host);
    TULLE_CHECK(access.tls || access.host == "localhost" || (ip && ip->is_loopback()));
    for (const auto* const credential :
         {&access.ca, &access.token, &access.certificate, &access.key}) {
      TULLE_CHECK(credential->file.empty() || credential->file.front() == '/');
    }
    (void)access.url();
    (void)access.authority();
  }
  return 0;
}
