// SPDX-License-Identifier: Apache-2.0
#include "proxy/watch/identity.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "lib/tls/anchors.h"
#include "proto/identity.pb.h"
#include "proto/message.h"
#include "proxy/protocol/mesh_tls.h"

namespace tulle::proxy {
namespace {

Result<std::string> read_small_file(const std::string& path) {
  const net::Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) return Error{Errc::Io, "open the token file", errno};
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0) return Error{Errc::Io, "read the token file", errno};
    if (n == 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > 65'536) return Error{Errc::TooLarge, "read the token file"};
  }
}

}  // namespace

IdentityWatch::IdentityWatch(ControlClient& client, const Config& config, Metrics& metrics,
                             log::Logger log, tls::CredentialsPtr anchors_only, Publish publish)
    : client_(client),
      config_(config),
      metrics_(metrics),
      log_(log),
      publish_(std::move(publish)),
      key_(tls::PrivateKey::generate()),
      csr_(tls::make_csr(key_, config.local_name)),
      anchors_(anchors_only->anchors()) {}

// Once for each.
void IdentityWatch::tell_of_strangers(const std::vector<tls::Certificate>& offered,
                                      const std::vector<tls::Certificate>& believed) {
  std::vector<std::string> strangers;
  for (const tls::Certificate& one : offered) {
    const bool known = std::any_of(believed.begin(), believed.end(),
                                   [&](const auto& other) { return other.der == one.der; });
    if (known || !tls::is_self_issued(one)) continue;
    strangers.push_back(one.fingerprint());
    if (std::find(told_.begin(), told_.end(), strangers.back()) != told_.end()) continue;
    log_.warn(
        "a trust anchor is not followed: no trusted one has signed it; pods that are "
        "injected anew have it",
        {{"sha256", strangers.back()}, {"until", format_rfc3339(one.not_after)}});
  }
  told_ = std::move(strangers);
}

net::Task<Result<IdentityWatch::Validity>> IdentityWatch::certify() {
  pb::identity::CertifyRequest request;
  request.identity = config_.local_name;
  Result<std::string> token = read_small_file(config_.token_file);
  if (!token) co_return token.error();
  request.token = std::move(*token);
  request.certificate_signing_request = csr_;
  grpc::CallOptions options;
  options.deadline = client_.loop().after(10s);
  auto answer = co_await grpc::call_unary<pb::identity::Identity::Certify>(
      client_.channel(), request, std::move(options));
  client_.forget();
  if (!answer) {
    log_.warn("certification refused", {{"code", grpc::to_string(answer.status().code)},
                                        {"message", answer.status().message}});
    co_return Error{Errc::Unauthenticated, "certify"};
  }
  tls::Credentials::Options made;
  Result<tls::Certificate> leaf = tls::Certificate::from_der(as_bytes(answer->leaf_certificate));
  if (!leaf) co_return leaf.error();
  std::vector<tls::Certificate> chain;
  for (const std::string& der : answer->intermediate_certificates) {
    Result<tls::Certificate> cert = tls::Certificate::from_der(as_bytes(der));
    if (!cert) co_return cert.error();
    chain.push_back(std::move(*cert));
  }
  // A newer bundle is followed where the anchors that are trusted have signed the new ones: that
  // the answer came from who holds an issuer of theirs is not enough.
  std::vector<tls::Certificate> offered;
  for (const std::string& der : answer->trust_anchors) {
    Result<tls::Certificate> cert = tls::Certificate::from_der(as_bytes(der));
    if (!cert) co_return cert.error();
    offered.push_back(std::move(*cert));
  }
  std::vector<tls::Certificate> anchors = tls::vouched_anchors(offered, chain, anchors_);
  tell_of_strangers(offered, anchors);
  if (leaf->identity() != config_.local_name)
    co_return Error{Errc::Unauthenticated, "use a certificate for another name"};
  Result<void> valid = tls::verify_chain(*leaf, chain, anchors, tls::Usage::Server);
  if (!valid) co_return valid.error();
  // The issuer may want it renewed before it ends.
  const std::optional<WallTime> until =
      answer->valid_until ? pb::from_pb(*answer->valid_until) : std::nullopt;
  if (!until || *until <= wall_now())
    co_return Error{Errc::Invalid, "use a certificate that has ended"};
  const Validity validity{leaf->not_before, std::min(*until, leaf->not_after)};
  made.anchors = anchors;
  chain.insert(chain.begin(), std::move(*leaf));
  made.own = tls::Credentials::Own{key_, std::move(chain)};
  made.alpn = {std::string(kTransportAlpn)};
  Result<tls::CredentialsPtr> credentials = tls::Credentials::make(std::move(made));
  if (!credentials) co_return credentials.error();
  anchors_ = std::move(anchors);
  publish_(std::move(*credentials));
  co_return validity;
}

net::Task<void> IdentityWatch::run() {
  bool certified = false;
  unsigned failures = 0;  // in a row
  WallTime expires{};
  auto& refreshes = metrics_.cert_refreshes;
  for (;;) {
    const Result<Validity> outcome = co_await certify();
    if (outcome) {
      expires = outcome->expires;
      refreshes.get({{"result", "ok"}})->add();
      metrics_.cert_refreshed.get({})->set(
          std::chrono::floor<std::chrono::seconds>(wall_now()).time_since_epoch().count());
      metrics_.cert_expiry.get({})->set(
          std::chrono::floor<std::chrono::seconds>(expires).time_since_epoch().count());
      if (!certified) log_.info("Certified identity", {{"id", config_.local_name}});
      certified = true;
    } else {
      refreshes.get({{"result", "error"}})->add();
      log_.warn("identity not certified; trying again",
                {{"step", outcome.error().where},
                 {"now", format_rfc3339(wall_now())},
                 {"expires", certified ? format_rfc3339(expires) : std::string("never held")}});
    }
    // Before the first certificate nothing works: try soon. The clock may step, so wait in short
    // pieces and look at the wall each time.
    const WallTime began = wall_now();
    Duration wait = 1s;
    if (certified) {
      const Duration left = std::max<Duration>(expires - began, 0s);
      wait = std::clamp<Duration>(Duration{left.count() / 10 * 7}, config_.min_refresh,
                                  config_.max_refresh);
    }
    // 1, 2, 4, 8 s, then as often as renewals may be.
    failures = outcome ? 0 : failures + 1;
    if (!outcome)
      wait = std::min<Duration>(config_.min_refresh, 1s * (1U << std::min(failures - 1, 6U)));
    const WallTime due = began + wait;
    const TimePoint due_at = client_.loop().now() + wait;
    // A certificate that has become one of the future: the clock was ahead when it was issued, and
    // has come right.
    const auto is_early = [&outcome] { return outcome && wall_now() < outcome->begins; };
    while (wall_now() < due && client_.loop().now() < due_at && !is_early()) {
      const Duration piece = std::min<Duration>(due_at - client_.loop().now(), 1s);
      co_await net::sleep_for(client_.loop(), std::max<Duration>(piece, 1ms));
    }
  }
}

}  // namespace tulle::proxy
