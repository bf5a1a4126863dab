// SPDX-License-Identifier: Apache-2.0
// How control-plane state reaches workers. A WatchHub lives on the control loop: one watch per key,
// whatever the number of workers. A WatchCache lives on each worker: the latest immutable snapshot
// of each key that is in use, so that a request reads it without a lock. Snapshots travel by
// post(); a slow worker gets the latest, in order. State that went out of use is remembered for all
// workers (last_known.h) and stands in when the control plane cannot be asked again.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/net/loop.h"
#include "lib/net/task.h"
#include "proxy/watch/last_known.h"

namespace tulle::proxy {

template <typename Key, typename T>
class WatchCache;

// Control loop only, except for what says that any thread may call it.
template <typename Key, typename T>
class WatchHub {
 public:
  using Value = std::shared_ptr<const T>;
  using Publish = std::function<void(Value)>;
  // Runs one watch for ever, publishing each state; destroyed when nobody is subscribed any more.
  using Watch = std::function<net::Task<void>(Key key, Publish publish)>;

  // The service that tells the states: when it was last heard of, and a question whether it is
  // there (the answer comes within a second, if it is). From any thread.
  struct Teller {
    std::function<TimePoint()> heard_at;
    std::function<void()> ask;
    std::function<bool()> away;  // it was tried and not reached
  };

  WatchHub(net::Loop& loop, Watch watch, Teller teller = {})
      : loop_(loop), watch_(std::move(watch)), teller_(std::move(teller)) {}
  // Without a Teller everything counts as heard of and nothing as away.
  bool heard_since(TimePoint at) const { return !teller_.heard_at || teller_.heard_at() > at; }
  void ask() const {
    if (teller_.ask) teller_.ask();
  }
  bool away() const { return teller_.away && teller_.away(); }

  net::Loop& loop() noexcept { return loop_; }
  // From any thread, both.
  void subscribe(Key key, WatchCache<Key, T>* cache) {
    loop_.post([this, key, cache] { add(key, cache); });
  }
  void unsubscribe(Key key, WatchCache<Key, T>* cache) {
    loop_.post([this, key, cache] { drop(key, cache); });
  }
  // Keeps a watch although no worker uses it (eager ports).
  void pin(const Key& key) {
    Entry& at = entry(key);
    if (!at.pinned && !at.value) ++awaited_;
    at.pinned = true;
  }
  // Pinned keys that nobody has told the first state of yet.
  std::size_t awaited() const noexcept { return awaited_; }
  std::size_t size() const noexcept { return entries_.size(); }
  // The last published state, null before the first or if nobody is subscribed. From any thread.
  Value current(const Key& key) const {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(key);
    return at == entries_.end() ? nullptr : at->second->value;
  }
  // A state that went out of use on some worker; `bytes`: an estimate, for the bound. From any
  // thread.
  void remember(const Key& key, Value value, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    last_known_.put(key, std::move(value), bytes);
  }
  Value last_known(const Key& key) const {
    const std::lock_guard lock(mutex_);
    return last_known_.find(key);
  }
  std::size_t remembered() const {
    const std::lock_guard lock(mutex_);
    return last_known_.size();
  }

 private:
  struct Entry {
    Value value;
    std::vector<WatchCache<Key, T>*> caches;
    bool pinned = false;
    net::TaskScope scope;
  };
  Entry& entry(const Key& key) {
    if (const auto at = entries_.find(key); at != entries_.end()) return *at->second;
    auto owned = std::make_unique<Entry>();
    Entry& made = *owned;
    {
      const std::lock_guard lock(mutex_);
      entries_.emplace(key, std::move(owned));
    }
    made.scope.spawn(watch_(key, [this, key, &made](Value value) {
      if (made.pinned && !made.value) --awaited_;
      {
        const std::lock_guard lock(mutex_);
        made.value = value;
      }
      for (WatchCache<Key, T>* const cache : made.caches) send(cache, key, value);
    }));
    return made;
  }
  void add(const Key& key, WatchCache<Key, T>* cache) {
    Entry& at = entry(key);
    at.caches.push_back(cache);
    if (at.value) send(cache, key, at.value);
  }
  void drop(const Key& key, WatchCache<Key, T>* cache) {
    const auto at = entries_.find(key);
    if (at == entries_.end()) return;
    std::erase(at->second->caches, cache);
    if (!at->second->caches.empty() || at->second->pinned) return;
    std::unique_ptr<Entry> ended;  // its watch ends after the lock
    const std::lock_guard lock(mutex_);
    ended = std::move(at->second);
    entries_.erase(at);
  }
  static void send(WatchCache<Key, T>* cache, Key key, Value value) {
    cache->loop().post(
        [cache, key = std::move(key), value = std::move(value)] { cache->receive(key, value); });
  }

  net::Loop& loop_;
  Watch watch_;
  Teller teller_;
  mutable std::mutex mutex_;  // for threads that read what the control loop alone changes: entries_
                              // and their values
  std::unordered_map<Key, std::unique_ptr<Entry>> entries_;
  LastKnown<Key, T> last_known_;
  std::size_t awaited_ = 0;
};

// Worker only.
template <typename Key, typename T>
class WatchCache {
 public:
  using Value = std::shared_ptr<const T>;
  // One key on this worker. Its timer forgets it when it was idle, and has the last known state
  // stand in while it waits.
  struct Entry final : net::Timer {
    Entry(WatchCache& c, Key k) : cache(c), key(std::move(k)), changed(c.loop_) {}
    void fire() override { users != 0 ? cache.stand_in(*this) : cache.expire(key); }
    WatchCache& cache;
    Key key;
    Value value;
    bool known = false;  // it was told, now or before; otherwise it only stands in
    net::Signal changed;
    bool preferred = false;
    std::uint32_t users = 0;
    TimePoint unused_since{};
    TimePoint asked_at{};  // for a sign of life, before this is forgotten
    std::vector<std::function<void(const Value&)>*> listeners;
  };

  // Keeps a key alive. `initial` of the cache stands in until a state is known.
  class Handle {
   public:
    Handle() = default;
    Handle(Handle&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(entry_, other.entry_);
      return *this;
    }
    Handle(const Handle& other) : entry_(other.entry_) {
      if (entry_) ++entry_->users;
    }
    Handle& operator=(const Handle& other) {
      Handle copy(other);
      std::swap(entry_, copy.entry_);
      return *this;
    }
    ~Handle() {
      if (entry_ != nullptr && --entry_->users == 0) entry_->cache.unused(*entry_);
    }
    explicit operator bool() const noexcept { return entry_ != nullptr; }
    // Null until there is a first state, unless the cache has an `initial`.
    const Value& get() const noexcept { return entry_->value; }
    net::Signal& changed() const noexcept { return entry_->changed; }
    // `listener` is called with each new state until removed; it must outlive its registration.
    void listen(std::function<void(const Value&)>* listener) const {
      entry_->listeners.push_back(listener);
    }
    void unlisten(std::function<void(const Value&)>* listener) const {
      std::erase(entry_->listeners, listener);
    }

   private:
    friend class WatchCache;
    explicit Handle(Entry* entry) : entry_(entry) { ++entry_->users; }
    Entry* entry_ = nullptr;
  };

  using Initial = std::function<Value(const Key&)>;
  // An estimate of the bytes that a state takes, for the bound of what is remembered.
  using Weigh = std::function<std::size_t(const T&)>;
  WatchCache(net::Loop& loop, WatchHub<Key, T>& hub, Duration idle, Weigh weigh,
             Initial initial = {})
      : loop_(loop),
        hub_(hub),
        idle_(idle),
        weigh_(std::move(weigh)),
        initial_(std::move(initial)) {}

  net::Loop& loop() noexcept { return loop_; }
  // Begins to watch the key if nobody does; never null. A key that goes out of use stays for
  // `idle`.
  Handle acquire(const Key& key) {
    auto& slot = entries_[key];
    if (!slot) {
      slot = std::make_unique<Entry>(*this, key);
      hub_.subscribe(key, this);
    }
    if (slot->users == 0) {
      slot->unlink();  // no longer idle
      if (!slot->known) begin(*slot);
    }
    return Handle{slot.get()};
  }
  std::size_t size() const noexcept { return entries_.size(); }
  bool contains(const Key& key) const { return entries_.contains(key); }
  // The state that is known, or stands in, for a key that is in the cache, otherwise null.
  Value peek(const Key& key) const {
    const auto at = entries_.find(key);
    return at == entries_.end() ? nullptr : at->second->value;
  }
  // Keys that are preferred go last when room is made.
  void prefer(const Key& key) {
    if (const auto at = entries_.find(key); at != entries_.end()) at->second->preferred = true;
  }
  // Makes room for one more of the keys that `counts`: there may be up to `most` of them; beyond
  // `few` the longest unused goes, and is remembered, but not within a second: whoever is asked
  // would take that for an attack. False: there is no room. Looks at all keys.
  template <typename Counts>
  bool make_room(std::size_t few, std::size_t most, const Counts& counts) {
    std::size_t found = 0;
    Entry* least = nullptr;
    const TimePoint young = loop_.now() - kYoung;
    for (const auto& [key, entry] : entries_) {
      if (!counts(key)) continue;
      ++found;
      if (entry->users != 0 || entry->unused_since > young) continue;
      if (least == nullptr || std::pair(entry->preferred, entry->unused_since) <
                                  std::pair(least->preferred, least->unused_since)) {
        least = entry.get();
      }
    }
    if (found < few) return true;
    if (least == nullptr) return found < most;
    forget(*least);
    return true;
  }

 private:
  template <typename, typename>
  friend class WatchHub;
  // So long the control plane has for a first state before the last known one stands in.
  static constexpr Duration kFreshWait = 1s;
  static constexpr Duration kYoung = 1s;

  // A state that another worker knows serves at once; a remembered one, when nobody can be asked.
  void begin(Entry& entry) {
    Value known = hub_.current(entry.key);
    if (!known) {
      known = hub_.last_known(entry.key);
      if (known && !hub_.away()) {
        loop_.arm(entry, loop_.now() + kFreshWait);
        known = nullptr;
      }
    }
    entry.known = known != nullptr;
    if (entry.known) {
      entry.value = std::move(known);
    } else if (initial_) {
      entry.value = initial_(entry.key);
    }
  }
  void stand_in(Entry& entry) {
    if (entry.known) return;
    if (const Value known = hub_.last_known(entry.key)) set(entry, known);
  }
  void receive(const Key& key, const Value& value) {
    const auto at = entries_.find(key);
    if (at == entries_.end()) return;
    set(*at->second, value);
  }
  void set(Entry& entry, const Value& value) {
    entry.value = value;
    entry.known = true;
    const auto listeners = entry.listeners;
    for (auto* const listener : listeners) (*listener)(value);
    entry.changed.notify_all();
  }
  void unused(Entry& entry) {
    entry.asked_at = TimePoint{};
    entry.unused_since = loop_.now();
    loop_.arm(entry, loop_.now() + idle_);
  }
  void expire(const Key& key) {
    const auto at = entries_.find(key);
    if (at == entries_.end() || at->second->users != 0) return;
    // A state that cannot be asked for again is not thrown away: the control plane may be gone for
    // a day (docs/design.md §3.11).
    Entry& entry = *at->second;
    const bool asked = entry.asked_at != TimePoint{};
    if (entry.known && (!asked || !hub_.heard_since(entry.asked_at))) {
      loop_.arm(entry, loop_.now() + (asked ? idle_ : Duration{1s}));
      entry.asked_at = loop_.now();
      hub_.ask();
      return;
    }
    forget(entry);
  }
  void forget(Entry& entry) {
    const Key key = entry.key;
    if (entry.known) hub_.remember(key, entry.value, weigh_(*entry.value));
    entries_.erase(key);
    hub_.unsubscribe(key, this);
  }

  net::Loop& loop_;
  WatchHub<Key, T>& hub_;
  Duration idle_;
  Weigh weigh_;
  Initial initial_;
  std::unordered_map<Key, std::unique_ptr<Entry>> entries_;
};

}  // namespace tulle::proxy
