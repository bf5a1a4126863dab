// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/resource.h"

#include "lib/base/text.h"

namespace tulle::k8s {

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const char lower = ascii_lower(c);
    if (ascii_digit(c) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '.' || c == '_' ||
        c == '~') {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

std::string_view version_of(const Resource& resource, std::size_t index) {
  const auto versions = split(resource.versions, ',');
  return index < versions.size() ? versions[index] : std::string_view();
}

std::string path_of(const Resource& resource, std::string_view ns, std::string_view name,
                    std::string_view subresource, std::string_view version) {
  if (version.empty()) version = version_of(resource);
  std::string out = resource.group.empty() ? std::string("/api") : concat("/apis/", resource.group);
  out += concat("/", version);
  if (resource.namespaced && !ns.empty()) out += concat("/namespaces/", percent_encode(ns));
  out += concat("/", resource.plural);
  if (!name.empty()) out += concat("/", percent_encode(name));
  if (!subresource.empty()) out += concat("/", subresource);
  return out;
}

}  // namespace tulle::k8s
