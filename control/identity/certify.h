// SPDX-License-Identifier: Apache-2.0
// The identity role: gives certificates to workloads that prove who they are with a token
// (wire-api.md §4, control-plane.md §4.2), and keeps the issuer it does that with up to date.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/config.h"
#include "control/identity/issuer_files.h"
#include "control/identity/token.h"
#include "lib/grpc/server.h"
#include "lib/log/log.h"
#include "proto/identity.pb.h"

namespace tulle::control {

// The issuer in use. Loaded from a folder, again on each change; one that cannot be used never
// replaces one that can.
class IssuerStore {
 public:
  struct Options {
    std::string folder;
    std::string anchors_file;  // "": beside the issuer
    bool generate = false;     // make what is missing, renew what ends (see generate_issuer)
    std::string name;  // of a generated issuer: identity.<controller namespace>.<trust domain>
  };
  IssuerStore(net::Loop& loop, const log::Logger& log, Options options);

  // False if there is nothing usable yet; it goes on looking in run().
  bool load();
  net::Task<void> run();
  // Called after each change, e.g. to issue the control plane's own certificates anew.
  void on_change(std::function<void()> call) { on_change_.push_back(std::move(call)); }

  // Null while there is none.
  std::shared_ptr<const IssuerState> current() const noexcept { return current_; }
  // The last attempt to load failed.
  bool broken() const noexcept { return !problem_.empty(); }
  // Unique for each certificate of this process.
  std::uint64_t next_serial() noexcept { return ++serial_; }

 private:
  net::Loop& loop_;
  log::Logger log_;
  const Options options_;
  std::shared_ptr<const IssuerState> current_;
  std::string fingerprint_;  // of what current_ was made from
  std::string problem_;
  std::vector<std::function<void()>> on_change_;
  std::uint64_t serial_;
};

class Certifier {
 public:
  struct Options {
    Duration lifetime = 24h;  // > 0
    Duration skew = 20s;      // certificates begin and end so much earlier and later
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
