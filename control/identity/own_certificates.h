// SPDX-License-Identifier: Apache-2.0
// The control plane's own certificates: it is the issuer, so it needs no sidecar and asks nobody.
// One for each name under which its ports are known, chosen by SNI; renewed at 70 % of their life
// and whenever the issuer changes.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/identity/certify.h"
#include "lib/tls/credentials.h"

namespace tulle::control {

class OwnCertificates {
 public:
  OwnCertificates(net::Loop& loop, const log::Logger& log, IssuerStore& issuers,
                  std::vector<std::string> names, Certifier::Options options);

  // Null for a name that is not ours, or while there is no issuer.
  tls::CredentialsPtr choose(std::string_view name) const;
  // Renews; runs until it is destroyed.
  net::Task<void> run();

 private:
  void renew();

  net::Loop& loop_;
  log::Logger log_;
  IssuerStore& issuers_;
  const std::vector<std::string> names_;
  const Certifier::Options options_;
  std::map<std::string, tls::CredentialsPtr, std::less<>> credentials_;
  WallTime renew_at_{};
  WallTime begins_ = WallTime::min();  // all are valid from then on
};

}  // namespace tulle::control
