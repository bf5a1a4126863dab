// SPDX-License-Identifier: Apache-2.0
#include "proxy/route/route.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::proxy {
namespace {

std::string_view path_only(std::string_view target) noexcept {
  return target.substr(0, target.find('?'));
}
std::string_view query_only(std::string_view target) noexcept {
  const auto at = target.find('?');
  return at == std::string_view::npos ? std::string_view{} : target.substr(at + 1);
}
std::string_view without_trailing_slashes(std::string_view path) noexcept {
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return path;
}

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// application/x-www-form-urlencoded: '+' is a space, %XX a byte; a malformed escape stays as it is.
std::string form_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
               hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool match_path(const PathMatch& match, std::string_view path, std::uint32_t& size) {
  switch (match.kind) {
    case PathMatch::Kind::Any: return true;
    case PathMatch::Kind::Exact:
      size = static_cast<std::uint32_t>(match.value.size());
      return path == match.value;
    case PathMatch::Kind::Prefix: {
      const std::string_view prefix = match.value;
      size = static_cast<std::uint32_t>(prefix.size());
      if (!path.starts_with(prefix)) return false;
      return path.size() == prefix.size() || path[prefix.size()] == '/' || prefix.empty();
    }
    case PathMatch::Kind::Regex:
      size = static_cast<std::uint32_t>(path.size());
      return match.regex->full_match(path);
  }
  return false;
}

bool match_query(const ValueMatch& wanted, std::string_view query) {
  for (const std::string_view pair : split(query, '&')) {
    const auto equals = pair.find('=');
    if (form_decode(pair.substr(0, equals)) != wanted.name) continue;
    const std::string value =
        equals == std::string_view::npos ? std::string{} : form_decode(pair.substr(equals + 1));
    if (wanted.matches(value)) return true;
  }
  return false;
}

bool match_header(const ValueMatch& wanted, const http::HeaderMap& headers) {
  for (const auto field : headers) {
    if (iequals(field.name, wanted.name) && wanted.matches(field.value)) return true;
  }
  return false;
}

}  // namespace

bool ValueMatch::matches(std::string_view value) const {
  return regex ? regex->full_match(value) : value == exact;
}

void HeaderEdit::apply(http::HeaderMap& headers) const {
  for (const auto& [name, value] : add) headers.add(name, value);
  for (const auto& [name, value] : set) headers.set(name, value);
  for (const std::string& name : remove) headers.remove(name);
}

std::string_view authority_host(std::string_view authority) noexcept {
  if (!authority.empty() && authority.front() == '[') {
    const auto end = authority.find(']');
    return end == std::string_view::npos ? authority : authority.substr(1, end - 1);
  }
  return authority.substr(0, authority.rfind(':'));
}

std::optional<MatchKey> match_hosts(std::span<const HostMatch> hosts, std::string_view authority) {
  if (hosts.empty()) return MatchKey{};
  const std::string_view host = authority_host(authority);
  std::optional<MatchKey> best;
  for (const HostMatch& wanted : hosts) {
    std::string_view have = host;
    if (have.ends_with('.') && !wanted.host.ends_with('.')) have.remove_suffix(1);
    const bool applies =
        wanted.suffix ? have.size() > wanted.host.size() &&
                            iequals(have.substr(have.size() - wanted.host.size()), wanted.host)
                      : iequals(have, wanted.host);
    if (!applies) continue;
    MatchKey key;
    key.host_kind = wanted.suffix ? 1 : 2;
    key.host_size = static_cast<std::uint32_t>(wanted.host.size());
    if (!best || key > *best) best = key;
  }
  return best;
}

bool match_rule(const RouteMatch& match, const http::RequestHead& request, MatchKey& key) {
  if (match.grpc) {
    if (request.method != "POST") return false;
    const std::string_view path = path_only(request.path);
    const auto slash = path.find('/', 1);
    if (path.empty() || path.front() != '/' || slash == std::string_view::npos) return false;
    const std::string_view service = path.substr(1, slash - 1);
    const std::string_view method = path.substr(slash + 1);
    if (!match.grpc_service.empty() && match.grpc_service != service) return false;
    if (!match.grpc_method.empty() && match.grpc_method != method) return false;
    key.path_size = static_cast<std::uint32_t>(match.grpc_service.size());
    key.second = static_cast<std::uint32_t>(match.grpc_method.size());
    key.third = static_cast<std::uint32_t>(match.headers.size());
  } else {
    if (!match.method.empty() && match.method != request.method.view()) return false;
    if (!match_path(match.path, path_only(request.path), key.path_size)) return false;
    key.second = static_cast<std::uint32_t>(match.headers.size());
    key.third = static_cast<std::uint32_t>(match.query.size());
    key.method = !match.method.empty();
    const std::string_view query = query_only(request.path);
    for (const ValueMatch& wanted : match.query) {
      if (!match_query(wanted, query)) return false;
    }
  }
  return std::all_of(match.headers.begin(), match.headers.end(), [&](const ValueMatch& wanted) {
    return match_header(wanted, request.headers);
  });
}

std::optional<RedirectTo> redirect_target(const Redirect& redirect,
                                          const http::RequestHead& request, const RouteMatch* match,
                                          bool& invalid) {
  invalid = false;
  const std::string_view request_scheme = request.scheme.empty() ? "http" : request.scheme.view();
  const std::string_view scheme = redirect.scheme.empty() ? request_scheme : redirect.scheme;
  const std::string_view authority = request.authority;
  const std::string_view request_host = authority_host(authority);
  const std::string_view host =
      redirect.host.empty() ? request_host : std::string_view(redirect.host);
  if (host.empty()) {
    invalid = true;  // a location must be absolute
    return std::nullopt;
  }
  std::optional<std::uint16_t> port = redirect.port;
  if (!port) {
    const auto colon = authority.rfind(':');
    if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
      port = parse_number<std::uint16_t>(authority.substr(colon + 1));
    }
  }
  if (port && ((*port == 80 && scheme == "http") || (*port == 443 && scheme == "https")))
    port.reset();

  std::string path(request.path.view());
  if (redirect.path_kind == Redirect::Path::Full) {
    path = redirect.path;
  } else if (redirect.path_kind == Redirect::Path::Prefix) {
    if (match == nullptr || match->path.kind != PathMatch::Kind::Prefix) {
      invalid = true;
      return std::nullopt;
    }
    const std::string_view rest = request.path.view().substr(match->path.value.size());
    path = concat(without_trailing_slashes(redirect.path), rest);
    if (path.empty() || path.front() != '/') path.insert(path.begin(), '/');
  }
  const bool v6 = host.find(':') != std::string_view::npos;
  std::string location = concat(scheme, "://", v6 ? "[" : "", host, v6 ? "]" : "");
  if (port) {
    location += ':';
    append_number(location, *port);
  }
  const std::string same = concat(request_scheme, "://", authority, request.path.view());
  location += path;
  if (location == same) return std::nullopt;  // would loop
  return RedirectTo{redirect.status, std::move(location)};
}

}  // namespace tulle::proxy
