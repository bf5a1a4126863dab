// SPDX-License-Identifier: Apache-2.0
#include "proxy/snapshot/convert_common.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::proxy::convert {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), ascii_lower);
  return out;
}

std::shared_ptr<const Regex> regex(std::string_view pattern) {
  Result<std::shared_ptr<const Regex>> compiled = Regex::compile(pattern);
  return compiled ? *compiled : nullptr;
}

bool headers(const pb::Box<pb::http_types::Headers>& from,
             std::vector<std::pair<std::string, std::string>>& to) {
  if (!from) return true;
  for (const auto& header : from->headers) {
    if (!http::is_token(header.name) || !http::is_field_value(header.value)) return false;
    to.emplace_back(lower(header.name), header.value);
  }
  return true;
}

template <typename Modifier>
std::optional<Filter> edit(const Modifier& modifier, Filter::Kind kind) {
  Filter filter;
  filter.kind = kind;
  if (!headers(modifier.add, filter.edit.add) || !headers(modifier.set, filter.edit.set)) {
    return std::nullopt;
  }
  for (const std::string& name : modifier.remove) {
    if (!http::is_token(name)) return std::nullopt;
    filter.edit.remove.push_back(lower(name));
  }
  return filter;
}

bool ratio(const pb::Box<pb::http_route::Ratio>& from, Filter& filter) {
  if (!from) return true;
  if (from->denominator == 0 || from->numerator > from->denominator) return false;
  filter.numerator = from->numerator;
  filter.denominator = from->denominator;
  return true;
}

std::optional<std::vector<ValueMatch>> header_matches(
    const std::vector<pb::http_route::HeaderMatch>& from) {
  std::vector<ValueMatch> to;
  for (const auto& header : from) {
    if (!http::is_token(header.name)) return std::nullopt;
    ValueMatch match{header.name, {}, nullptr};
    switch (header.value_case) {
      case pb::http_route::HeaderMatch::ValueCase::exact: match.exact = header.exact; break;
      case pb::http_route::HeaderMatch::ValueCase::regex:
        match.regex = regex(header.regex);
        if (!match.regex) return std::nullopt;
        break;
      case pb::http_route::HeaderMatch::ValueCase::none: return std::nullopt;
    }
    to.push_back(std::move(match));
  }
  return to;
}

}  // namespace

std::optional<Meta> meta(const pb::meta::Metadata& metadata) {
  switch (metadata.kind_case) {
    case pb::meta::Metadata::KindCase::default_: return Meta::implicit(metadata.default_);
    case pb::meta::Metadata::KindCase::resource: {
      const pb::meta::Resource& r = *metadata.resource;
      return Meta{r.group, r.kind,    r.namespace_,
                  r.name,  r.section, static_cast<std::uint16_t>(r.port > 65535 ? 0 : r.port)};
    }
    case pb::meta::Metadata::KindCase::none: break;
  }
  return std::nullopt;
}

std::optional<std::vector<HostMatch>> hosts(const std::vector<pb::http_route::HostMatch>& from) {
  std::vector<HostMatch> to;
  for (const auto& host : from) {
    switch (host.match_case) {
      case pb::http_route::HostMatch::MatchCase::exact:
        to.push_back({false, lower(host.exact)});
        break;
      case pb::http_route::HostMatch::MatchCase::suffix: {
        std::string suffix;
        for (const std::string& label : host.suffix->reverse_labels)
          suffix = concat(".", lower(label), suffix);
        to.push_back({true, suffix});
        break;
      }
      case pb::http_route::HostMatch::MatchCase::none: return std::nullopt;
    }
  }
  return to;
}

std::optional<std::string> method(const pb::http_types::HttpMethod& from) {
  static constexpr std::string_view kNames[] = {"GET",     "POST",    "PUT",  "DELETE", "PATCH",
                                                "OPTIONS", "CONNECT", "HEAD", "TRACE"};
  switch (from.type_case) {
    case pb::http_types::HttpMethod::TypeCase::registered:
      if (from.registered < 0 || from.registered > 8) return std::nullopt;
      return std::string(kNames[from.registered]);
    case pb::http_types::HttpMethod::TypeCase::unregistered:
      if (!http::is_token(from.unregistered)) return std::nullopt;
      return from.unregistered;
    case pb::http_types::HttpMethod::TypeCase::none: break;
  }
  return std::nullopt;
}

std::optional<RouteMatch> match(const pb::http_route::HttpRouteMatch& from) {
  RouteMatch to;
  if (from.path) {
    const pb::http_route::PathMatch& path = *from.path;
    switch (path.kind_case) {
      case pb::http_route::PathMatch::KindCase::exact:
        to.path = {PathMatch::Kind::Exact, path.exact, nullptr};
        break;
      case pb::http_route::PathMatch::KindCase::prefix: {
        std::string_view prefix = path.prefix;
        while (!prefix.empty() && prefix.back() == '/') prefix.remove_suffix(1);
        to.path = {PathMatch::Kind::Prefix, std::string(prefix), nullptr};
        break;
      }
      case pb::http_route::PathMatch::KindCase::regex:
        to.path = {PathMatch::Kind::Regex, {}, regex(path.regex)};
        if (!to.path.regex) return std::nullopt;
        break;
      case pb::http_route::PathMatch::KindCase::none: return std::nullopt;
    }
  }
  auto headers = header_matches(from.headers);
  if (!headers) return std::nullopt;
  to.headers = std::move(*headers);
  for (const auto& query : from.query_params) {
    if (query.name.empty()) return std::nullopt;
    ValueMatch wanted{query.name, {}, nullptr};
    switch (query.value_case) {
      case pb::http_route::QueryParamMatch::ValueCase::exact: wanted.exact = query.exact; break;
      case pb::http_route::QueryParamMatch::ValueCase::regex:
        wanted.regex = regex(query.regex);
        if (!wanted.regex) return std::nullopt;
        break;
      case pb::http_route::QueryParamMatch::ValueCase::none: return std::nullopt;
    }
    to.query.push_back(std::move(wanted));
  }
  if (from.method) {
    auto name = method(*from.method);
    if (!name) return std::nullopt;
    to.method = std::move(*name);
  }
  return to;
}

std::optional<RouteMatch> match(const pb::grpc_route::GrpcRouteMatch& from) {
  RouteMatch to;
  to.grpc = true;
  // Without one, as without a path of HTTP: every call.
  if (from.rpc) {
    to.grpc_service = from.rpc->service;
    to.grpc_method = from.rpc->method;
  }
  auto headers = header_matches(from.headers);
  if (!headers) return std::nullopt;
  to.headers = std::move(*headers);
  return to;
}

std::optional<Filter> filter(const pb::http_route::HttpFailureInjector& from) {
  if (from.status < 100 || from.status > 999) return std::nullopt;
  Filter to;
  to.kind = Filter::Kind::Fail;
  to.status = from.status;
  to.message = from.message;
  if (!ratio(from.ratio, to)) return std::nullopt;
  return to;
}

std::optional<Filter> filter(const pb::grpc_route::GrpcFailureInjector& from) {
  if (from.code > 65535) return std::nullopt;
  Filter to;
  to.kind = Filter::Kind::FailGrpc;
  to.status = from.code;
  to.message = from.message;
  if (!ratio(from.ratio, to)) return std::nullopt;
  return to;
}

std::optional<Filter> filter(const pb::http_route::RequestHeaderModifier& from) {
  return edit(from, Filter::Kind::RequestHeaders);
}
std::optional<Filter> filter(const pb::http_route::ResponseHeaderModifier& from) {
  return edit(from, Filter::Kind::ResponseHeaders);
}

std::optional<Filter> filter(const pb::http_route::RequestRedirect& from) {
  Filter to;
  to.kind = Filter::Kind::Redirect;
  if (from.scheme) {
    switch (from.scheme->type_case) {
      case pb::http_types::Scheme::TypeCase::registered:
        to.redirect.scheme = from.scheme->registered == 1 ? "https" : "http";
        break;
      case pb::http_types::Scheme::TypeCase::unregistered:
        to.redirect.scheme = from.scheme->unregistered;
        break;
      case pb::http_types::Scheme::TypeCase::none: return std::nullopt;
    }
  }
  to.redirect.host = from.host;
  if (from.port > 65535) return std::nullopt;
  if (from.port != 0) to.redirect.port = static_cast<std::uint16_t>(from.port);
  if (from.path) {
    switch (from.path->replace_case) {
      case pb::http_route::PathModifier::ReplaceCase::full:
        to.redirect.path_kind = Redirect::Path::Full;
        to.redirect.path = from.path->full;
        break;
      case pb::http_route::PathModifier::ReplaceCase::prefix:
        to.redirect.path_kind = Redirect::Path::Prefix;
        to.redirect.path = from.path->prefix;
        break;
      case pb::http_route::PathModifier::ReplaceCase::none: break;
    }
    if (to.redirect.path_kind != Redirect::Path::Keep && !to.redirect.path.starts_with('/')) {
      return std::nullopt;
    }
  }
  if (from.status != 0) {
    if (from.status < 100 || from.status > 999) return std::nullopt;
    to.redirect.status = static_cast<std::uint16_t>(from.status);
  }
  return to;
}

std::optional<net::IpAddr> ip(const pb::net::IPAddress& from) {
  switch (from.ip_case) {
    case pb::net::IPAddress::IpCase::ipv4: return net::IpAddr::v4(from.ipv4);
    case pb::net::IPAddress::IpCase::ipv6: {
      std::array<std::uint8_t, 16> octets{};
      for (int i = 0; i < 8; ++i) {
        octets[static_cast<std::size_t>(i)] =
            static_cast<std::uint8_t>(from.ipv6->first >> (56 - 8 * i));
        octets[static_cast<std::size_t>(8 + i)] =
            static_cast<std::uint8_t>(from.ipv6->last >> (56 - 8 * i));
      }
      return net::IpAddr::v6(octets);
    }
    case pb::net::IPAddress::IpCase::none: break;
  }
  return std::nullopt;
}

}  // namespace tulle::proxy::convert
