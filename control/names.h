// SPDX-License-Identifier: Apache-2.0
// The texts inside of requests: authorities, names of Services, and the JSON in which proxies say
// who they are (docs/reference/wire-api.md §2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "lib/net/address.h"

namespace tulle::control {

struct Authority {
  std::variant<net::IpAddr, std::string> host;  // names in lower case, without a trailing dot
  std::uint16_t port = 80;
  const net::IpAddr* ip() const noexcept { return std::get_if<net::IpAddr>(&host); }
  const std::string& name() const { return std::get<std::string>(host); }
};
// "name", "name:80", "10.0.0.1:80", "[fd00::1]:80". The port must be from 1 to 65535.
std::optional<Authority> parse_authority(std::string_view text);

struct ServiceName {
  std::string instance;  // "" unless one pod is meant
  std::string service;
  std::string ns;
  friend bool operator==(const ServiceName&, const ServiceName&) = default;
};
// [instance.]service.ns.svc.<cluster domain>, nothing shorter.
std::optional<ServiceName> parse_service_name(std::string_view host,
                                              std::string_view cluster_domain);
// service.ns.svc[.<cluster domain>], as outbound policies take it; no instance.
std::optional<ServiceName> parse_policy_name(std::string_view host,
                                             std::string_view cluster_domain);

// Who asks for endpoints. Every part may be empty.
struct ClientContext {
  std::string ns;
  std::string node;
  std::string pod;
};
// {"ns":…,"nodeName":…,"pod":…}, or "ns:<ns>"; anything else gives an empty context.
ClientContext parse_context(std::string_view token);

// Who asks for policies.
struct Workload {
  std::string ns;
  std::string pod;
  std::string external;  // an ExternalWorkload, instead of a pod
};
// {"ns":…,"pod":…}, {"ns":…,"external_workload":…} or "<ns>:<pod>".
std::optional<Workload> parse_workload(std::string_view text);

}  // namespace tulle::control
