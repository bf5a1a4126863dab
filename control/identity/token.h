// SPDX-License-Identifier: Apache-2.0
// Who holds a token? Signed tokens where there is no Kubernetes; a TokenReview is another
// implementation of the same question.
#pragma once

#include <string>
#include <string_view>

#include "lib/grpc/status.h"
#include "lib/net/task.h"

namespace tulle::control {

inline constexpr std::string_view kTokenAudience = "identity.l5d.io";

struct TokenHolder {
  std::string type;  // "serviceaccount"
  std::string ns;
  std::string name;
};

class TokenVerifier {
 public:
  virtual ~TokenVerifier() = default;
  // InvalidArgument: this is no token. FailedPrecondition: nobody vouches for it. Internal: could
  // not be asked.
  virtual net::Task<grpc::StatusOr<TokenHolder>> review(std::string token) = 0;
};

// "system:serviceaccount:<ns>:<name>"; InvalidArgument for anything else.
grpc::StatusOr<TokenHolder> parse_subject(std::string_view subject);

// Tokens that are JWTs signed with ES256. The key file (a public key, PEM) is read for each token,
// so that it can be replaced any time.
class SignedTokens final : public TokenVerifier {
 public:
  explicit SignedTokens(std::string key_file) : key_file_(std::move(key_file)) {}
  net::Task<grpc::StatusOr<TokenHolder>> review(std::string token) override;

 private:
  std::string key_file_;
};

}  // namespace tulle::control
