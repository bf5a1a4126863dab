// SPDX-License-Identifier: Apache-2.0
#include "proxy/endpoint/http_pool.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::proxy {

struct HttpPool::Http2Slot {
  std::unique_ptr<h2::ClientConnection> connection;
  bool tulle;
  TimePoint retire_at;
  TimePoint idle_since;
};

// Closes what was idle or lived too long; armed only while there is something to close.
class HttpPool::Sweep final : public net::Timer {
 public:
  explicit Sweep(HttpPool& pool) : pool_(pool) {}
  void fire() override { pool_.sweep(); }

 private:
  HttpPool& pool_;
};

HttpPool::HttpPool(net::Loop& loop, Dialer& dialer, PoolOptions options, std::uint64_t seed)
    : loop_(loop),
      dialer_(dialer),
      options_(options),
      random_(seed),
      dialed_(loop),
      sweep_(std::make_unique<Sweep>(*this)) {}

HttpPool::~HttpPool() {
  while (http1_idle_ > 0) one_less_idle();
}

void HttpPool::one_more_idle() noexcept {
  ++http1_idle_;
  if (options_.shared_idle != nullptr) ++*options_.shared_idle;
}

void HttpPool::one_less_idle() noexcept {
  --http1_idle_;
  if (options_.shared_idle != nullptr) --*options_.shared_idle;
}

bool HttpPool::idle() const noexcept {
  return http2_.empty() && http1_idle_ == 0 && busy_.empty() && dead_.empty() && !dialing_ &&
         scope_.empty();
}

std::size_t HttpPool::open_connections() const noexcept {
  return http2_.size() + http1_idle_ + busy_.size();
}

void HttpPool::drain() {
  draining_ = true;
  for (auto& slot : http2_) slot->retire_at = loop_.now();
  http1_.clear();
  while (http1_idle_ > 0) one_less_idle();
  loop_.arm(*sweep_, loop_.now() + 1ms);
}

// Prefers the busiest connection that still has room, so that spare ones become idle and close. One
// whose window is held by slow streams is used only when there are many already (docs/design.md
// §3.4).
HttpPool::Http2Slot* HttpPool::usable_http2() {
  Http2Slot* best = nullptr;
  Http2Slot* stalled = nullptr;
  for (auto& slot : http2_) {
    if (!slot->connection->accepting() || slot->connection->available() == 0) continue;
    if (loop_.now() >= slot->retire_at) continue;
    if (slot->connection->stalled()) {
      stalled = slot.get();
      continue;
    }
    if (best == nullptr || slot->connection->active() > best->connection->active())
      best = slot.get();
  }
  if (best == nullptr && http2_.size() >= options_.max_http2) return stalled;
  return best;
}

bool HttpPool::http2_to_tulle() {
  const Http2Slot* const slot = usable_http2();
  return slot != nullptr && slot->tulle;
}

net::Task<void> HttpPool::dial_http2() {
  Result<Dialled> dialled = co_await dialer_.dial(Session::Http2);
  dialing_ = false;
  ++dial_round_;
  if (!dialled) {
    dial_error_ = dialled.error();
  } else {
    dial_error_.reset();
    auto slot = std::make_unique<Http2Slot>();
    slot->connection = h2::ClientConnection::make(std::move(dialled->stream), options_.h2);
    slot->tulle = dialled->tulle;
    slot->connection->on_closed([this, connection = slot->connection.get()] {
      if (connection->silent()) {
        // What stands beside it leads to the same place, and may not have been asked: the next
        // request or probe dials.
        for (const auto& other : http2_) other->retire_at = loop_.now();
        dialer_.lost();
      }
      loop_.arm(*sweep_, loop_.now() + 1ms);
    });
    // ± 10 % of the maximum age, so that connections of one moment do not all end in one moment.
    const double factor = 0.9 + 0.2 * random_.unit();
    slot->retire_at =
        loop_.now() + Duration{static_cast<std::int64_t>(
                          static_cast<double>(options_.http2_max_age.count()) * factor)};
    slot->idle_since = loop_.now();
    http2_.push_back(std::move(slot));
    schedule_sweep();
  }
  dialed_.notify_all();
}

net::Task<Result<void>> HttpPool::prepare_http2(Deadline by) {
  for (;;) {
    if (usable_http2() != nullptr) co_return Result<void>{};
    if (!dialing_) {
      dialing_ = true;
      scope_.spawn(dial_http2());
      if (!dialing_) {
        if (dial_error_) co_return *dial_error_;
        continue;
      }
    }
    const std::uint64_t round = dial_round_;
    while (round == dial_round_) {
      const bool in_time = co_await dialed_.wait(by);
      if (!in_time) co_return Error{Errc::Timeout, "connect"};
    }
    if (dial_error_) co_return *dial_error_;
  }
}

net::Task<Result<http::Response>> HttpPool::send_http2(http::Request& request, Deadline by) {
  Http2Slot* slot = usable_http2();
  if (slot == nullptr) {
    const Result<void> ready = co_await prepare_http2(by);
    if (!ready) co_return ready.error();
    slot = usable_http2();
  }
  slot->idle_since = loop_.now();
  co_return co_await slot->connection->exchange(request, by);
}

const std::string& HttpPool::http1_key(const http::Request& request, bool keep) {
  key_.clear();
  if (keep) {
    key_ = request.form == http::TargetForm::Absolute ? 'a' : 'o';
    key_ += request.authority.view();
  }
  return key_;
}

HttpPool::Http1Slot& HttpPool::add(Http1List& list,
                                   std::unique_ptr<http1::ClientConnection> connection,
                                   std::string key) {
  list.emplace_back();
  Http1Slot& slot = list.back();
  slot.self = std::prev(list.end());
  slot.connection = std::move(connection);
  slot.connection->tag = reinterpret_cast<std::uintptr_t>(&slot);
  slot.key = std::move(key);
  return slot;
}

// A kept connection that can still be used; null if there is none. Those that cannot are dropped.
http1::ClientConnection* HttpPool::take_idle(const std::string& key) {
  const auto at = http1_.find(key);
  if (at == http1_.end()) return nullptr;
  Http1List& idle = at->second;
  while (!idle.empty()) {
    one_less_idle();
    Http1Slot& youngest = idle.back();  // the least likely to be closed
    if (youngest.connection->reusable()) {
      busy_.splice(busy_.end(), idle, youngest.self);
      return youngest.connection.get();
    }
    idle.pop_back();
  }
  return nullptr;
}

bool HttpPool::http1_ready(const http::Request& request, bool keep) {
  const auto at = http1_.find(http1_key(request, keep));
  if (at == http1_.end()) return false;
  while (!at->second.empty()) {
    if (at->second.back().connection->reusable()) return true;
    at->second.pop_back();
    one_less_idle();
  }
  return false;
}

net::Task<Result<void>> HttpPool::prepare_http1(const http::Request& request, bool keep) {
  std::string key = http1_key(request, keep);
  Result<Dialled> dialled = co_await dialer_.dial(Session::Http1);
  if (!dialled) co_return dialled.error();
  auto made = http1::ClientConnection::make(std::move(dialled->stream), options_.http1, this);
  Http1List& idle = http1_[key];
  add(idle, std::move(made), std::move(key)).until = loop_.now() + options_.http1_idle;
  one_more_idle();
  schedule_sweep();
  co_return Result<void>{};
}

net::Task<Result<http::Response>> HttpPool::send_http1(http::Request& request, bool keep,
                                                       Deadline by) {
  bool again = keep && !request.body.has_value();
  http1::ClientConnection* connection = take_idle(http1_key(request, keep));
  for (;;) {
    if (connection == nullptr) {
      again = false;  // a new connection: its end means something
      Result<Dialled> dialled = co_await dialer_.dial(Session::Http1);
      if (!dialled) co_return dialled.error();
      auto made = http1::ClientConnection::make(std::move(dialled->stream), options_.http1, this);
      connection = add(busy_, std::move(made), http1_key(request, keep)).connection.get();
    }
    Result<http::Response> response = co_await connection->exchange(request, by);
    if (response || !again || response.error().code != Errc::Refused) co_return response;
    again = false;
    connection = nullptr;
  }
}

// Called from inside the connection: it may be kept now, but destroyed only later.
void HttpPool::on_exchange_done(http1::ClientConnection& connection) {
  if (connection.tag == 0) return;
  Http1Slot& slot = *reinterpret_cast<Http1Slot*>(static_cast<std::uintptr_t>(connection.tag));
  const std::size_t kept = options_.shared_idle != nullptr ? *options_.shared_idle : http1_idle_;
  if (!slot.key.empty() && kept < options_.max_idle && !draining_ && connection.reusable()) {
    slot.until = loop_.now() + options_.http1_idle;
    Http1List& idle = http1_[slot.key];
    idle.splice(idle.end(), busy_, slot.self);
    one_more_idle();
    schedule_sweep();
    return;
  }
  connection.tag = 0;
  dead_.push_back(std::move(slot.connection));
  busy_.erase(slot.self);
  loop_.arm(*sweep_, loop_.now() + 1ms);
}

void HttpPool::schedule_sweep() {
  if (sweep_->armed()) return;
  TimePoint next = kNever;
  for (const auto& slot : http2_) {
    next = std::min(next, slot->retire_at);
    next = std::min(next, std::max(slot->idle_since, loop_.now()) + options_.http2_idle);
  }
  for (const auto& [key, idle] : http1_) {
    if (!idle.empty()) next = std::min(next, idle.front().until);
  }
  if (next != kNever) loop_.arm(*sweep_, std::max(next, loop_.now() + 1ms));
}

void HttpPool::sweep() {
  const TimePoint now = loop_.now();
  dead_.clear();
  std::erase_if(http2_, [&](const std::unique_ptr<Http2Slot>& slot) {
    h2::ClientConnection& connection = *slot->connection;
    if (connection.active() != 0 && !connection.failed()) {
      slot->idle_since = now;
      return false;
    }
    return connection.failed() || !connection.accepting() || now >= slot->retire_at ||
           now - slot->idle_since >= options_.http2_idle;
  });
  for (auto at = http1_.begin(); at != http1_.end();) {
    auto& idle = at->second;
    while (!idle.empty() && (idle.front().until <= now || !idle.front().connection->reusable())) {
      idle.pop_front();
      one_less_idle();
    }
    at = idle.empty() ? http1_.erase(at) : std::next(at);
  }
  schedule_sweep();
}

}  // namespace tulle::proxy
