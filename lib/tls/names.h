// SPDX-License-Identifier: Apache-2.0
// The names of workloads (control-plane.md §4.1).
#pragma once

#include <string>
#include <string_view>

#include "lib/base/text.h"

namespace tulle::tls {

// "<sa>.<ns>.serviceaccount.identity.<control-plane ns>.<trust domain>"
inline std::string workload_name(std::string_view service_account, std::string_view ns,
                                 std::string_view control_ns, std::string_view trust_domain) {
  return concat(service_account, ".", ns, ".serviceaccount.identity.", control_ns, ".", trust_domain);
}

}  // namespace tulle::tls
