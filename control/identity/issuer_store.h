// SPDX-License-Identifier: Apache-2.0
// The issuer in use. Whoever finds issuers (in a folder, in a cluster) puts them here; one that
// cannot be used never replaces one that can.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/identity/issuer_files.h"
#include "lib/log/log.h"
#include "lib/net/loop.h"
#include "lib/net/task.h"

namespace tulle::control {

class IssuerStore {
 public:
  explicit IssuerStore(const log::Logger& log);
  IssuerStore(const IssuerStore&) = delete;
  IssuerStore& operator=(const IssuerStore&) = delete;

  // From now on this one, whose `origin` is for the log; the same as before changes nothing. True
  // if it is another.
  bool use(IssuerState state, std::string_view origin);
  // What is there now cannot be used; the last good one stays. The log says it once: true if that
  // was now.
  bool refuse(std::string reason, std::string_view origin);
  // Called after each change, e.g. to issue the control plane's own certificates anew.
  void on_change(std::function<void()> call) { on_change_.push_back(std::move(call)); }

  // Null while there is none.
  std::shared_ptr<const IssuerState> current() const noexcept { return current_; }
  // The last that was found could not be used: why; "" if it could.
  const std::string& problem() const noexcept { return problem_; }
  bool broken() const noexcept { return !problem_.empty(); }
  // Unique for each certificate of this process.
  std::uint64_t next_serial() noexcept { return ++serial_; }

 private:
  log::Logger log_;
  std::shared_ptr<const IssuerState> current_;
  std::string fingerprint_;  // of what current_ was made from
  std::string problem_;
  std::vector<std::function<void()>> on_change_;
  std::uint64_t serial_;
};

// Keeps a store up to date from a folder.
class FolderIssuer {
 public:
  struct Options {
    std::string folder;
    std::string anchors_file;  // "": beside the issuer
    bool generate = false;     // make what is missing, renew what ends (see generate_issuer)
    std::string name;  // of a generated issuer: identity.<controller namespace>.<trust domain>
  };
  FolderIssuer(net::Loop& loop, IssuerStore& store, Options options)
      : loop_(loop), store_(store), options_(std::move(options)) {}

  // False if there is nothing usable yet; it goes on looking in run().
  bool load();
  net::Task<void> run();

 private:
  net::Loop& loop_;
  IssuerStore& store_;
  const Options options_;
};

}  // namespace tulle::control
