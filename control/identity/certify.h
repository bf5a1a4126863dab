// SPDX-License-Identifier: Apache-2.0
// The identity role: gives certificates to workloads that prove who they are with a token
// (docs/reference/wire-api.md §4, docs/reference/control-plane.md §4.2), and keeps the issuer it
// does that with up to date.
#pragma once

#include <functional>
#include <string>

#include "control/config.h"
#include "control/identity/issuer_store.h"
#include "control/identity/token.h"
#include "lib/grpc/server.h"
#include "lib/log/log.h"
#include "proto/identity.pb.h"

namespace tulle::control {

class Certifier {
 public:
  struct Options {
    Duration lifetime = 24h;  // > 0
    Duration skew = 20s;      // certificates begin and end so much earlier and later
    // Is told why the issuer in use cannot be used any more, each time a leaf is refused for it.
    std::function<void(std::string_view)> on_invalid = nullptr;
  };
  Certifier(const MeshConfig& config, IssuerStore& issuers, TokenVerifier& tokens,
            const log::Logger& log, Options options)
      : config_(config), issuers_(issuers), tokens_(tokens), log_(log), options_(options) {}

  net::Task<grpc::StatusOr<pb::identity::CertifyResponse>> certify(
      grpc::ServerCall& call, pb::identity::CertifyRequest request);
  // The same without a call around it.
  net::Task<grpc::StatusOr<pb::identity::CertifyResponse>> answer(
      pb::identity::CertifyRequest request);

 private:
  const MeshConfig& config_;
  IssuerStore& issuers_;
  TokenVerifier& tokens_;
  log::Logger log_;
  const Options options_;
};

}  // namespace tulle::control
