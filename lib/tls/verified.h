// SPDX-License-Identifier: Apache-2.0
// For the sources of lib/tls only: chains that were verified before, so that a peer which connects
// again costs a digest instead of two signature checks and the parsing of its certificates. Nothing
// can take a verified chain back but time (there is no revocation in the mesh), and that is
// compared on every use. An entry is good for one set of anchors: each Credentials owns its own
// memory.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "lib/base/time.h"
#include "lib/tls/native.h"

namespace tulle::tls {

// Safe to use from several threads.
class VerifiedChains {
 public:
  // SHA-256 over the usage and every certificate presented, each with its length.
  using Digest = std::array<std::uint8_t, 32>;
  struct Entry {
    Digest digest{};
    WallTime from;  // the time in which every certificate of the chain is valid
    WallTime until;
    native::Names names;  // of the leaf
  };
  using EntryPtr = std::shared_ptr<const Entry>;

  // Null if unknown, or not valid at this time.
  EntryPtr find(const Digest& digest, WallTime now) const;
  void add(EntryPtr entry);

 private:
  static constexpr std::size_t kMax = 64;
  mutable std::mutex mutex_;
  std::vector<EntryPtr> entries_;  // a ring once it is full
  std::size_t next_ = 0;
};

}  // namespace tulle::tls
