// SPDX-License-Identifier: Apache-2.0
// For tests only: a stream that is always readable and always writable, so that whoever serves it
// must let others have their turn by itself.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "lib/net/stream.h"

namespace tulle::testing {

class EndlessStream final : public net::Stream {
 public:
  // Gives `first`, then `again` on and on, until `most` bytes were given; then the end.
  EndlessStream(net::Loop& loop, std::string first, std::string again, std::size_t most)
      : pattern_(std::move(first)), again_(std::move(again)), most_(most) {
    io_.loop = &loop;
  }
  Result<std::size_t> try_read(MutableBytes into) override {
    std::size_t n = 0;
    while (n < into.size() && given < most_) {
      if (at_ == pattern_.size()) {
        pattern_ = again_;
        at_ = 0;
      }
      const std::size_t piece = std::min(into.size() - n, pattern_.size() - at_);
      std::copy_n(pattern_.data() + at_, piece, into.begin() + static_cast<std::ptrdiff_t>(n));
      at_ += piece;
      n += piece;
      given += piece;
    }
    return n;
  }
  Result<std::size_t> try_write(Bytes bytes) override {
    taken += bytes.size();
    return bytes.size();
  }
  Result<void> try_shutdown() override { return {}; }
  void abort() noexcept override { most_ = 0; }
  net::IoState& io() noexcept override { return io_; }
  void hold_little(bool /*on*/) noexcept override {}

  std::size_t given = 0;
  std::size_t taken = 0;

 private:
  net::IoState io_;
  std::string pattern_;
  const std::string again_;
  std::size_t most_;
  std::size_t at_ = 0;
};

}  // namespace tulle::testing
