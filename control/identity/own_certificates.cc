// SPDX-License-Identifier: Apache-2.0
#include "control/identity/own_certificates.h"

#include <algorithm>

namespace tulle::control {

OwnCertificates::OwnCertificates(net::Loop& loop, const log::Logger& log, IssuerStore& issuers,
                                 std::vector<std::string> names, Certifier::Options options)
    : loop_(loop), log_(log), issuers_(issuers), names_(std::move(names)), options_(options) {
  issuers_.on_change([this] { renew(); });
  renew();
}

tls::CredentialsPtr OwnCertificates::choose(std::string_view name) const {
  const auto found = credentials_.find(name);
  return found != credentials_.end() ? found->second : nullptr;
}

void OwnCertificates::renew() {
  const std::shared_ptr<const IssuerState> state = issuers_.current();
  if (state == nullptr) return;
  const WallTime now = wall_now();
  renew_at_ = now + 10s;  // if anything below fails
  WallTime soonest = WallTime::max();
  WallTime begins = WallTime::min();
  for (const std::string& name : names_) {
    const tls::PrivateKey key = tls::PrivateKey::generate();
    const auto csr = tls::Csr::from_der(as_bytes(tls::make_csr(key, name)));
    if (!csr) return;
    auto leaf = tls::sign_leaf(state->issuer, *csr,
                               {options_.lifetime, options_.skew, issuers_.next_serial()});
    if (!leaf) return;
    soonest = std::min(soonest, leaf->not_after);
    begins = std::max(begins, leaf->not_before);
    tls::Credentials::Own own{key, {*std::move(leaf), state->issuer.certificate}};
    own.chain.insert(own.chain.end(), state->issuer.chain.begin(), state->issuer.chain.end());
    auto made = tls::Credentials::make({state->anchors, std::move(own), {}, true});
    if (!made) {
      log_.error("an own certificate cannot be used", {{"name", name}});
      return;
    }
    credentials_[name] = *std::move(made);
  }
  begins_ = begins;
  // 70 % of what is left; an issuer that has ended is asked again every 10 s.
  if (soonest > now) renew_at_ = std::max(now + (soonest - now) / 10 * 7, now + 1s);
}

net::Task<void> OwnCertificates::run() {
  for (;;) {
    // Certificates end by the wall clock, which may be set: look at it often enough.
    co_await net::sleep_for(loop_, 1s);
    // Not valid yet: the clock was ahead when they were made, and has come right.
    if (const WallTime now = wall_now(); now >= renew_at_ || now < begins_) renew();
  }
}

}  // namespace tulle::control
