// SPDX-License-Identifier: Apache-2.0
// Memory of targets: did HTTP come (then its server is never dialled early), or did
// its server speak first (then it is dialled at once)? Only what an application said counts.
// Learned per (service or address, port), one for the whole proxy, bounded.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "lib/net/address.h"

namespace tulle::proxy {

// From any worker.
class LearnedTargets {
 public:
  enum class What : std::uint8_t { Nothing, Http, ServerFirst };
  What of(const net::SocketAddr& target) {
    const std::lock_guard lock(mutex_);
    const auto at = seen_.find(target);
    return at == seen_.end() ? What::Nothing : at->second.what;
  }
  // The right to find out, given to one connection at a time.
  bool begin_try(const net::SocketAddr& target) {
    const std::lock_guard lock(mutex_);
    Entry& seen = entry(target);
    if (seen.trying) return false;
    seen.trying = true;
    return true;
  }
  // Every begin_try() that said true is followed by one, whatever came of it.
  void end_try(const net::SocketAddr& target) {
    const std::lock_guard lock(mutex_);
    entry(target).trying = false;
  }
  // HTTP may also come to a server that speaks first (a scrape of every port there is). It clears
  // what was learned at once: a silent client is given its 2 ms again. Only when nothing else comes
  // for a while is it believed that the server has changed; until then one may still find out.
  void http(const net::SocketAddr& target) {
    const std::lock_guard lock(mutex_);
    Entry& seen = entry(target);
    if (seen.what == What::ServerFirst) seen.doubts = kDoubts;
    if (seen.doubts != 0) --seen.doubts;
    set(seen, seen.doubts == 0 ? What::Http : What::Nothing);
  }
  void server_first(const net::SocketAddr& target) {
    const std::lock_guard lock(mutex_);
    Entry& seen = entry(target);
    seen.doubts = 0;
    set(seen, What::ServerFirst);
  }
  // Changes whenever something was learned.
  std::uint32_t version() const noexcept { return version_.load(std::memory_order_acquire); }

 private:
  // What is kept of one target.
  struct Entry {
    What what = What::Nothing;
    bool trying = false;
    std::uint8_t doubts = 0;  // so often HTTP must still come before it is believed
  };
  // Targets; beyond that any one is forgotten, which costs its next connection the 2 ms.
  static constexpr std::size_t kMax = 4096;
  static constexpr std::uint8_t kDoubts = 16;
  Entry& entry(const net::SocketAddr& target) {
    if (seen_.size() >= kMax && !seen_.contains(target)) seen_.erase(seen_.begin());
    return seen_[target];
  }
  void set(Entry& seen, What what) {
    if (std::exchange(seen.what, what) != what) version_.fetch_add(1, std::memory_order_release);
  }
  std::mutex mutex_;  // taken where something is learned, and once a worker and target
  std::unordered_map<net::SocketAddr, Entry> seen_;
  std::atomic<std::uint32_t> version_{0};
};

// A worker's view of it, without a lock for what is known.
class Learned {
 public:
  using What = LearnedTargets::What;
  // `all` outlives it.
  explicit Learned(LearnedTargets& all) : all_(all) {}

  What of(const net::SocketAddr& target) {
    if (const std::uint32_t version = all_.version(); version != version_) {
      known_.clear();
      version_ = version;
    }
    const auto at = known_.find(target);
    if (at != known_.end()) return at->second;
    const What what = all_.of(target);
    if (what != What::Nothing) known_[target] = what;
    return what;
  }
  void http(const net::SocketAddr& target) {
    if (of(target) != What::Http) all_.http(target);
  }
  void server_first(const net::SocketAddr& target) { all_.server_first(target); }

  // Held by the connection that finds out, until its protocol is known. Of others it is false.
  class Try {
   public:
    Try() = default;
    Try(Try&& other) noexcept : all_(std::exchange(other.all_, nullptr)), target_(other.target_) {}
    Try& operator=(Try&& other) noexcept {
      std::swap(all_, other.all_);
      std::swap(target_, other.target_);
      return *this;
    }
    ~Try() {
      if (all_ != nullptr) all_->end_try(target_);
    }
    explicit operator bool() const noexcept { return all_ != nullptr; }

   private:
    friend class Learned;
    LearnedTargets* all_ = nullptr;
    net::SocketAddr target_;
  };
  // True for one connection at a time and target, from any worker; it gives the right back when it
  // is destroyed.
  Try begin_try(const net::SocketAddr& target) {
    Try mine;
    if (!all_.begin_try(target)) return mine;
    mine.all_ = &all_;
    mine.target_ = target;
    return mine;
  }

 private:
  LearnedTargets& all_;
  std::uint32_t version_ = 0;
  std::unordered_map<net::SocketAddr, What> known_;
};

}  // namespace tulle::proxy
