// SPDX-License-Identifier: Apache-2.0
// HTTP/1 carried over HTTP/2 between two proxies: the header l5d-orig-proto
// (docs/reference/proxy.md §2.7), with what else HTTP/2 cannot say of an HTTP/1 head as parameters
// (spelling.h).
#pragma once

#include "lib/http/message.h"

namespace tulle::proxy {

inline constexpr std::string_view kOrigProto = "l5d-orig-proto";

// The kind of a request that came over HTTP/2.
struct Downgrade {
  bool done = false;   // it is an HTTP/1 request now
  bool tulle = false;  // by a proxy of our kind, which understands parameters
};

// The proxy that will turn a request back.
struct UpgradeFor {
  // A proxy of our kind: the head comes out there as it went in here. Others get what every
  // implementation reads: Host beside :authority, also when they differ, and no parameters of ours.
  bool tulle = false;
  // The :authority that others get with a request that names no host (one of HTTP/1.0): without one
  // they refuse it. Its Host stays missing. Used during the call only.
  std::string_view default_authority{};
};
// The changes of an upgrade that the request itself does not tell.
struct Upgraded {
  http::Version version = http::Version::Http11;  // what it was
  bool tulle = false;
  bool scheme_added = false;
  bool authority_added = false;
};
// Outbound: turns an HTTP/1 request into the HTTP/2 request that stands for it.
Upgraded upgrade_request(http::Request& request, const UpgradeFor& peer);
// Turns it back in the same proxy, to be sent elsewhere; of a request without a body all is as it
// was.
void undo_upgrade(http::Request& request, const Upgraded& upgraded);
// Inbound: turns such a request back; not done if it carries no usable l5d-orig-proto (left as it
// is, the header removed). `from_tulle`: its sender is known to be of our kind; parameters of
// others mean nothing.
Downgrade downgrade_request(http::Request& request, bool from_tulle);
// Inbound: marks the response of a downgraded request with the version the application spoke.
void upgrade_response(http::Response& response, Downgrade downgrade);
// Outbound: restores the version; what the head was like, too, if a proxy of our kind says so.
void downgrade_response(http::Response& response, const Upgraded& request);

// Our own mark on an answer that the inbound proxy made because the application refused the
// connection, or closed it before it answered: an outbound proxy of ours may ask another endpoint
// (docs/design.md §3.10). To others it is an ordinary 502.
enum class RefusedMark : std::uint8_t {
  None,
  Refused,     // nothing was processed
  Unanswered,  // that is not certain, but the request was safe
};
// None for an error that gives no reason to ask again.
RefusedMark refused_mark(const Error& error) noexcept;
void mark_refused(http::Response& response, RefusedMark mark);
// Takes the mark away and returns it.
RefusedMark take_refused_mark(http::Response& response);

}  // namespace tulle::proxy
