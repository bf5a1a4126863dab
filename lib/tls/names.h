// SPDX-License-Identifier: Apache-2.0
// The names of workloads: DNS-shaped ("web.shop.serviceaccount.identity.linkerd.cluster.local") or
// SPIFFE URIs. The rule which names may be a peer's identity is here (docs/reference/proxy.md §4,
// docs/reference/control-plane.md §4.1).
#pragma once

#include <string>
#include <string_view>

namespace tulle::tls {

// "<sa>.<ns>.serviceaccount.identity.<control-plane ns>.<trust domain>"
std::string workload_name(std::string_view service_account, std::string_view ns,
                          std::string_view control_ns, std::string_view trust_domain);

// Letters, digits, '-' and '_' in labels of 1 to 63, at most 253 in all; no wildcard, no trailing
// dot.
bool is_dns_name(std::string_view name) noexcept;
// "spiffe://<trust domain>[/<path>]", at most 2048 bytes, no query or fragment.
bool is_spiffe_uri(std::string_view name) noexcept;

}  // namespace tulle::tls
