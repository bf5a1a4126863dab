// SPDX-License-Identifier: Apache-2.0
#include "proxy/orig_proto.h"

#include "lib/http1/hop.h"

namespace tulle::proxy {

void upgrade_request(http::Request& request) {
  const bool http10 = request.version == http::Version::Http10;
  const bool absolute = request.form == http::TargetForm::Absolute;
  http1::strip_hop_headers(request.headers, false);
  request.headers.remove("transfer-encoding");
  request.headers.remove(kOrigProto);
  request.headers.add(kOrigProto, http10 ? (absolute ? "HTTP/1.0; absolute-form" : "HTTP/1.0")
                                         : (absolute ? "HTTP/1.1; absolute-form" : "HTTP/1.1"));
  if (request.scheme.empty()) request.scheme = "http";
  request.version = http::Version::Http2;
}

bool downgrade_request(http::Request& request) {
  const auto value = request.headers.get(kOrigProto);
  if (!value) return false;
  const bool http11 = value->starts_with("HTTP/1.1");
  const bool http10 = value->starts_with("HTTP/1.0");
  const bool absolute = value->size() > 10 && value->substr(10) == "absolute-form";
  request.headers.remove(kOrigProto);
  if (!http11 && !http10) return false;
  request.version = http11 ? http::Version::Http11 : http::Version::Http10;
  request.form = absolute ? http::TargetForm::Absolute : http::TargetForm::Origin;
  if (!absolute) request.scheme.clear();
  if (request.path == "*") request.form = http::TargetForm::Asterisk;
  return true;
}

void upgrade_response(http::Response& response) {
  http1::strip_hop_headers(response.headers, false);
  response.headers.remove("transfer-encoding");
  if (response.version != http::Version::Http2) {
    response.headers.set(kOrigProto,
                         response.version == http::Version::Http10 ? "HTTP/1.0" : "HTTP/1.1");
  }
  response.version = http::Version::Http2;
}

void downgrade_response(http::Response& response, http::Version requested) {
  response.version = requested;
  if (const auto value = response.headers.get(kOrigProto)) {
    if (*value == "HTTP/1.1") response.version = http::Version::Http11;
    if (*value == "HTTP/1.0") response.version = http::Version::Http10;
    response.headers.remove(kOrigProto);
  }
}

namespace {
constexpr std::string_view kRefused = "l5d-tulle-refused";
}

void mark_refused(http::Response& response) { response.headers.set(kRefused, "1"); }

bool take_refused_mark(http::Response& response) {
  if (!response.headers.contains(kRefused)) return false;
  response.headers.remove(kRefused);
  return true;
}

}  // namespace tulle::proxy
