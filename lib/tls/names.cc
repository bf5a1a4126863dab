// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/names.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::tls {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::size_t kMaxDnsName = 253;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxUri = 2048;

bool is_alphanumeric(char c) noexcept {
  return ascii_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

}  // namespace

std::string workload_name(std::string_view service_account, std::string_view ns,
                          std::string_view control_ns, std::string_view trust_domain) {
  return concat(service_account, ".", ns, ".serviceaccount.identity.", control_ns, ".",
                trust_domain);
}

bool is_dns_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > kMaxDnsName) return false;
  std::size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
      continue;
    }
    if (!is_alphanumeric(c) && c != '-' && c != '_') return false;
    if (++label > kMaxLabel) return false;
  }
  return label != 0;
}

bool is_spiffe_uri(std::string_view name) noexcept {
  if (name.size() > kMaxUri || name.size() <= kScheme.size() ||
      !iequals(name.substr(0, kScheme.size()), kScheme)) {
    return false;
  }
  const std::string_view rest = name.substr(kScheme.size());
  const std::string_view domain = rest.substr(0, rest.find('/'));
  const auto in_domain = [](char c) {
    return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
  };
  if (domain.empty() || !std::all_of(domain.begin(), domain.end(), in_domain)) return false;
  return std::all_of(rest.begin() + static_cast<std::ptrdiff_t>(domain.size()), rest.end(),
                     [&](char c) { return in_domain(c) || c == '/'; });
}

}  // namespace tulle::tls
