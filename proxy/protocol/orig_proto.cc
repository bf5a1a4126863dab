// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/orig_proto.h"

#include "lib/http/host.h"
#include "lib/http1/hop.h"
#include "proxy/protocol/spelling.h"

namespace tulle::proxy {

Upgraded upgrade_request(http::Request& request, const UpgradeFor& peer) {
  Upgraded upgraded{.version = request.version, .tulle = peer.tulle};
  const bool http10 = request.version == http::Version::Http10;
  http1::strip_hop_headers(request.headers, false);
  request.headers.remove(kOrigProto);
  SmallText value __attribute__((uninitialized));  // 1 KiB, of which what is appended is read
  value.append(http10 ? "HTTP/1.0" : "HTTP/1.1");
  if (request.form == http::TargetForm::Absolute) {
    value.append("; absolute-form");
    // Between our proxies :authority is the one place for both, and the target's takes it.
    const auto host = request.headers.get("host");
    if (peer.tulle && host && *host != request.authority.view() &&
        host->find(';') == std::string_view::npos) {
      value.append("; hostname=", *host);
    }
  }
  if (peer.tulle) {
    describe_spelling(request.headers, value);
    if (!request.authority.empty()) request.headers.remove("host");
  } else if (request.authority.empty()) {
    request.authority = peer.default_authority;
    upgraded.authority_added = true;
  }
  request.headers.remove("transfer-encoding");
  request.headers.add(kOrigProto, value.view());
  if (request.scheme.empty()) {
    request.scheme = "http";
    upgraded.scheme_added = true;
  }
  request.version = http::Version::Http2;
  return upgraded;
}

void undo_upgrade(http::Request& request, const Upgraded& upgraded) {
  const auto found = request.headers.get(kOrigProto);
  const SlabString value(found ? *found : std::string_view{});
  request.headers.remove(kOrigProto);
  if (upgraded.tulle) {
    const std::string_view host =
        orig_proto_parameter(value, "hostname").value_or(request.authority.view());
    restore_spelling(value, host, false, request.headers);
  }
  if (upgraded.authority_added) request.authority.clear();
  if (upgraded.scheme_added) request.scheme.clear();
  request.version = upgraded.version;
}

Downgrade downgrade_request(http::Request& request, bool from_tulle) {
  Downgrade downgrade;
  const auto found = request.headers.get(kOrigProto);
  if (!found) return downgrade;
  const SlabString value(*found);
  const std::string_view text = value;
  const bool http11 = text.starts_with("HTTP/1.1");
  const bool http10 = text.starts_with("HTTP/1.0");
  const bool absolute = text.size() > 10 && text.substr(10).starts_with("absolute-form");
  request.headers.remove(kOrigProto);
  if (!http11 && !http10) return downgrade;
  downgrade.done = true;
  downgrade.tulle = from_tulle && orig_proto_parameter(text, "names").has_value();
  request.version = http11 ? http::Version::Http11 : http::Version::Http10;
  request.form = absolute ? http::TargetForm::Absolute : http::TargetForm::Origin;
  if (!absolute) request.scheme.clear();
  if (request.path == "*") request.form = http::TargetForm::Asterisk;
  if (downgrade.tulle) {
    // How Host spelled the target's host; never another one.
    std::string_view host = request.authority;
    const auto spelled = orig_proto_parameter(text, "hostname");
    if (spelled && http::is_authority(*spelled) && http::same_host(*spelled, host, request.scheme))
      host = *spelled;
    const bool chunked = request.body.has_value() && !request.body_length;
    restore_spelling(text, host, chunked, request.headers);
  }
  return downgrade;
}

void upgrade_response(http::Response& response, Downgrade downgrade) {
  http1::strip_hop_headers(response.headers, false);
  if (response.version != http::Version::Http2) {
    SmallText value __attribute__((uninitialized));  // 1 KiB, of which what is appended is read
    value.append(response.version == http::Version::Http10 ? "HTTP/1.0" : "HTTP/1.1");
    if (downgrade.tulle) {
      describe_spelling(response.headers, value);
      // A phrase of the application's own; last, because it may hold anything.
      if (!response.reason.empty() && response.reason != http::reason_phrase(response.status)) {
        value.append("; reason=", response.reason.view());
      }
    }
    response.headers.remove("transfer-encoding");
    response.headers.set(kOrigProto, value.view());
  } else {
    response.headers.remove("transfer-encoding");
  }
  response.version = http::Version::Http2;
}

void downgrade_response(http::Response& response, const Upgraded& request) {
  response.version = request.version;
  const auto found = response.headers.get(kOrigProto);
  if (!found) return;
  const SlabString value(*found);
  const std::string_view text = value;
  if (text.starts_with("HTTP/1.1")) response.version = http::Version::Http11;
  if (text.starts_with("HTTP/1.0")) response.version = http::Version::Http10;
  response.headers.remove(kOrigProto);
  if (!request.tulle) return;
  const auto reason = text.find("; reason=");
  const std::string_view parameters = text.substr(0, reason);
  restore_spelling(parameters, {}, response.body.has_value() && !response.body_length,
                   response.headers);
  if (reason != std::string_view::npos) response.reason = text.substr(reason + 9);
}

namespace {
constexpr std::string_view kRefused = "l5d-tulle-refused";
}

RefusedMark refused_mark(const Error& error) noexcept {
  if (error.code == Errc::Refused) return RefusedMark::Refused;
  return error.code == Errc::Unanswered ? RefusedMark::Unanswered : RefusedMark::None;
}

void mark_refused(http::Response& response, RefusedMark mark) {
  if (mark == RefusedMark::None) return;
  response.headers.set(kRefused, mark == RefusedMark::Refused ? "1" : "unanswered");
}

RefusedMark take_refused_mark(http::Response& response) {
  const auto value = response.headers.get(kRefused);
  if (!value) return RefusedMark::None;
  const RefusedMark mark = *value == "1" ? RefusedMark::Refused : RefusedMark::Unanswered;
  response.headers.remove(kRefused);
  return mark;
}

}  // namespace tulle::proxy
