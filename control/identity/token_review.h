// SPDX-License-Identifier: Apache-2.0
// Tokens of service accounts, checked by the API server (docs/reference/control-plane.md §4.2).
#pragma once

#include "control/identity/token.h"
#include "lib/k8s/client.h"
#include "lib/log/log.h"

namespace tulle::control {

// Tokens must be for the audience identity.l5d.io. With `projection` off (the chart's
// identity.serviceAccountTokenProjection: false) proxies hold the token that every pod has, which
// is for the API server: then that will do, too.
class ReviewedTokens final : public TokenVerifier {
 public:
  ReviewedTokens(k8s::ApiClient& client, const log::Logger& log, bool projection)
      : client_(client), log_(log), projection_(projection) {}
  net::Task<grpc::StatusOr<TokenHolder>> review(std::string token) override;

 private:
  net::Task<grpc::StatusOr<TokenHolder>> ask(std::string token, std::string audience);

  k8s::ApiClient& client_;
  log::Logger log_;
  const bool projection_;
};

}  // namespace tulle::control
