// SPDX-License-Identifier: Apache-2.0
#include "control/names.h"

#include "lib/base/text.h"
#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"

namespace tulle::control {
namespace {

struct ContextJson {
  std::string ns, node, pod, external;
};
template <typename V>
void describe(V& v, ContextJson& x) {
  v.field("ns", x.ns);
  v.field("nodeName", x.node);
  v.field("pod", x.pod);
  v.field("external_workload", x.external);
}

std::optional<ContextJson> parse_json(std::string_view text) {
  if (text.size() > 4096) return std::nullopt;
  k8s::JsonSource source(text);
  if (!source.next_document()) return std::nullopt;
  ContextJson out;
  k8s::Decoder decoder(source);
  decoder.read(out);
  if (decoder.failed() || source.next_document()) return std::nullopt;
  return out;
}

// True for one DNS label.
bool is_label(std::string_view text) {
  if (text.empty() || text.size() > 63) return false;
  for (const char c : text) {
    if (!ascii_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_') return false;
  }
  return true;
}

bool ends_with_labels(std::string_view& host, std::string_view suffix) {
  if (!host.ends_with(suffix)) return false;
  host.remove_suffix(suffix.size());
  return true;
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) {
  Authority out;
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return std::nullopt;
    if (!rest.empty()) port = rest.substr(1);
    if (!rest.empty() && port.empty()) return std::nullopt;
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    if (text.find(':', colon + 1) != std::string_view::npos) return std::nullopt;
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (port.empty()) return std::nullopt;
  }
  if (!port.empty()) {
    const auto number = parse_number<std::uint16_t>(port);
    if (!number || *number == 0) return std::nullopt;
    out.port = *number;
  }
  if (const auto ip = net::IpAddr::parse(host)) {
    out.host = *ip;
    return out;
  }
  if (text.starts_with('[')) return std::nullopt;
  std::string name;
  for (const char c : host) name += ascii_lower(c);
  if (name.ends_with('.')) name.pop_back();
  if (name.empty() || name.size() > 253) return std::nullopt;
  for (const std::string_view label : split(name, '.')) {
    if (!is_label(label)) return std::nullopt;
  }
  out.host = std::move(name);
  return out;
}

std::optional<ServiceName> parse_service_name(std::string_view host,
                                              std::string_view cluster_domain) {
  if (!ends_with_labels(host, concat(".svc.", cluster_domain))) return std::nullopt;
  const auto labels = split(host, '.');
  if (labels.size() == 2) return ServiceName{"", std::string(labels[0]), std::string(labels[1])};
  if (labels.size() != 3) return std::nullopt;
  return ServiceName{std::string(labels[0]), std::string(labels[1]), std::string(labels[2])};
}

std::optional<ServiceName> parse_policy_name(std::string_view host,
                                             std::string_view cluster_domain) {
  ends_with_labels(host, concat(".", cluster_domain));
  if (!ends_with_labels(host, ".svc")) return std::nullopt;
  const auto labels = split(host, '.');
  if (labels.size() != 2) return std::nullopt;
  return ServiceName{"", std::string(labels[0]), std::string(labels[1])};
}

ClientContext parse_context(std::string_view token) {
  token = trim(token);
  if (token.starts_with("ns:")) return {std::string(token.substr(3)), "", ""};
  auto json = parse_json(token);
  if (!json) return {};
  return {std::move(json->ns), std::move(json->node), std::move(json->pod)};
}

std::optional<Workload> parse_workload(std::string_view text) {
  text = trim(text);
  if (text.starts_with('{')) {
    auto json = parse_json(text);
    if (!json || json->ns.empty() || json->pod.empty() == json->external.empty()) {
      return std::nullopt;
    }
    return Workload{std::move(json->ns), std::move(json->pod), std::move(json->external)};
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view ns = text.substr(0, colon), pod = text.substr(colon + 1);
  if (ns.empty() || pod.empty() || pod.find(':') != std::string_view::npos) return std::nullopt;
  return Workload{std::string(ns), std::string(pod), ""};
}

}  // namespace tulle::control
