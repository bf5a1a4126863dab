// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/events.h"

#include <algorithm>

#include "lib/k8s/json_writer.h"
#include "lib/k8s/write.h"

namespace tulle::k8s {
namespace {

constexpr Duration kAnswer = 10s;
constexpr Duration kAfterFailure = 5s;
constexpr std::size_t kMaxMessage = 1024;  // what the API server takes

// Sources that are given as text are kept apart by a byte that occurs in none.
std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) {
    out += part;
    out += '\0';
  }
  return out;
}

std::string_view type_name(EventRecorder::Type type) {
  return type == EventRecorder::Type::Normal ? "Normal" : "Warning";
}

std::string_view namespace_of(const EventTarget& target) {
  return target.ns.empty() ? std::string_view("default") : std::string_view(target.ns);
}

}  // namespace

EventRecorder::EventRecorder(ApiClient& client, const log::Logger& log, Options options,
                             std::uint64_t seed)
    : client_(client),
      log_(log),
      options_(std::move(options)),
      random_(seed),
      recorded_(client.loop()),
      tokens_(options_.burst) {}

void EventRecorder::forget_old(TimePoint now) {
  std::erase_if(known_, [&](const auto& entry) {
    const Known& known = entry.second;
    return known.told == known.count && now - known.used >= options_.forget;
  });
  std::erase_if(similar_,
                [&](const auto& entry) { return now - entry.second.since >= options_.forget; });
}

void EventRecorder::record(const EventTarget& target, Type type, std::string_view reason,
                           std::string_view message) {
  const TimePoint now = client_.loop().now();
  forget_old(now);
  message = message.substr(0, kMaxMessage);
  std::string group =
      join({target.kind, target.ns, target.name, target.uid, type_name(type), reason});
  std::string key = group + std::string(message);
  std::string combined;
  if (!known_.contains(key)) {
    Similar& similar = similar_[group];
    if (similar.messages == 0) similar.since = now;
    if (++similar.messages > options_.similar) {
      key = std::move(group);
      combined = concat("(combined from similar events): ", message).substr(0, kMaxMessage);
      message = combined;
    }
  }
  const auto found = known_.find(key);
  if (found == known_.end() && known_.size() >= options_.max_known) {
    ++dropped_;
    return;
  }
  Known& known = found != known_.end() ? found->second : known_[key];
  if (known.count == 0) {
    known.target = target;
    known.type = type;
    known.reason = reason;
    known.first = wall_now();
  }
  known.message = message;
  ++known.count;
  known.last = wall_now();
  known.used = now;
  recorded_.notify_all();
}

EventRecorder::Known* EventRecorder::next(TimePoint now, Duration& wait) {
  Known* best = nullptr;
  for (auto& [key, known] : known_) {
    if (known.told == known.count) continue;
    if (best == nullptr || known.not_before < best->not_before) best = &known;
  }
  if (best == nullptr) {
    wait = Duration::max();
  } else if (best->not_before > now) {
    wait = best->not_before - now;
    best = nullptr;
  }
  return best;
}

bool EventRecorder::take_token(TimePoint now, Duration& wait) {
  const double gained = std::chrono::duration<double>(now - tokens_at_) /
                        std::chrono::duration<double>(options_.refill);
  tokens_ = std::min<double>(options_.burst, tokens_ + gained);
  tokens_at_ = now;
  if (tokens_ < 1) {
    wait = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options_.refill) *
                                                (1 - tokens_)) +
           1ms;
    return false;
  }
  tokens_ -= 1;
  return true;
}

net::Task<void> EventRecorder::run() {
  net::Loop& loop = client_.loop();
  for (;;) {
    Duration wait{0};
    const Known* const due = next(loop.now(), wait);
    if (due == nullptr) {
      const Deadline by = wait == Duration::max() ? Deadline::never() : loop.after(wait);
      [[maybe_unused]] const bool told = co_await recorded_.wait(by);
      continue;
    }
    if (!take_token(loop.now(), wait)) {
      co_await net::sleep_for(loop, wait);
      continue;
    }
    const auto at = std::find_if(known_.begin(), known_.end(),
                                 [&](const auto& entry) { return &entry.second == due; });
    std::string key = at->first;
    co_await send(std::move(key));
  }
}

std::string EventRecorder::body(const Known& known) const {
  JsonWriter json;
  json.object([&] {
    if (!known.name.empty() && known.told != 0) {
      json.member("count", known.count);
      json.member("message", known.message);
      json.member("lastTimestamp", format_rfc3339(known.last));
      return;
    }
    json.member("apiVersion", "v1");
    json.member("kind", "Event");
    json.key("metadata");
    json.object([&] {
      json.member("name", known.name);
      json.member("namespace", namespace_of(known.target));
    });
    json.key("involvedObject");
    json.object([&] {
      json.member_unless_empty("apiVersion", known.target.api_version);
      json.member("kind", known.target.kind);
      json.member_unless_empty("namespace", known.target.ns);
      json.member("name", known.target.name);
      json.member_unless_empty("uid", known.target.uid);
    });
    json.member("reason", known.reason);
    json.member("message", known.message);
    json.member("type", type_name(known.type));
    json.member("count", known.count);
    json.member("firstTimestamp", format_rfc3339(known.first));
    json.member("lastTimestamp", format_rfc3339(known.last));
    json.key("source");
    json.object([&] {
      json.member("component", options_.component);
      json.member_unless_empty("host", options_.instance);
    });
    json.member("reportingComponent", options_.component);
    json.member("reportingInstance", options_.instance);
  });
  return json.take();
}

net::Task<void> EventRecorder::send(std::string key) {
  net::Loop& loop = client_.loop();
  // The entry may go while we wait: it is looked up anew afterwards.
  Known* known = &known_.at(key);
  const bool is_new = known->told == 0;
  if (is_new && known->name.empty()) {
    const std::uint64_t unique = random_.next();
    // Names of objects are shorter than 253 characters; so must this be.
    known->name = concat(known->target.name.substr(0, 230), ".",
                         hex({reinterpret_cast<const std::uint8_t*>(&unique), sizeof unique}));
  }
  const std::uint32_t count = known->count;
  const std::string ns(namespace_of(known->target)), name = known->name;
  ApiRequest request = is_new ? create({kEvents, ns, {}}, body(*known))
                              : merge_patch({kEvents, ns, name}, body(*known), options_.component);
  const Deadline by = loop.after(kAnswer);
  const ApiResponse response = co_await client_.call(std::move(request), by);
  const auto found = known_.find(key);
  if (found == known_.end()) co_return;
  known = &found->second;
  known->not_before = loop.now() + options_.quiet;
  if (response.ok() || (is_new && response.status.code == 409)) {
    known->told = count;
    ++sent_;
    refused_ = false;
    co_return;
  }
  if (response.status.code == 404 && !is_new) {
    // Events live for an hour on the server: it is a new one then.
    known->told = 0;
    known->name.clear();
    known->not_before = loop.now();
    co_return;
  }
  const bool may_come =
      response.status.code == 0 || response.status.code == 429 || response.status.code >= 500;
  if (may_come) {
    known->not_before = loop.now() + kAfterFailure;
    co_return;
  }
  // Not to be had: no right, no such namespace. The count says that something was lost.
  known->told = known->count;
  ++dropped_;
  if (!std::exchange(refused_, true)) {
    log_.warn("an event is refused",
              {{"event", known->reason}, {"reason", response.status.to_string()}});
  }
}

}  // namespace tulle::k8s
