// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/lease.h"

#include <algorithm>

#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/json_writer.h"
#include "lib/k8s/manifest.h"
#include "lib/k8s/write.h"

namespace tulle::k8s {
namespace {

constexpr Duration kAnswer = 5s;

struct LeaseMeta {
  std::string resource_version;
};
struct LeaseSpec {
  std::string holder, renewed;
  std::int64_t seconds = 0;
  std::int64_t transitions = 0;
};
struct Lease {
  LeaseMeta meta;
  LeaseSpec spec;
};
template <typename V>
void describe(V& v, LeaseMeta& x) {
  v.field("resourceVersion", x.resource_version);
}
template <typename V>
void describe(V& v, LeaseSpec& x) {
  v.field("holderIdentity", x.holder);
  v.field("renewTime", x.renewed);
  v.field("leaseDurationSeconds", x.seconds);
  v.field("leaseTransitions", x.transitions);
}
template <typename V>
void describe(V& v, Lease& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}

// metav1.MicroTime.
std::string micro_time(WallTime time) { return format_rfc3339(time, true); }

std::int64_t in_seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

}  // namespace

LeaderElection::LeaderElection(ApiClient& client, const log::Logger& log, Options options,
                               std::uint64_t seed)
    : client_(client), log_(log), options_(std::move(options)), random_(seed) {}

net::Task<void> LeaderElection::run() {
  net::Loop& loop = client_.loop();
  for (;;) {
    Duration wait = co_await step();
    if (leading_) {
      // Whoever asks is told at the moment when we may not write any more.
      if (!leader()) {
        lose("it could not be renewed");
      } else {
        wait = std::min<Duration>(wait, lead_until_ - loop.now());
      }
    }
    co_await net::sleep_for(loop, wait);
    if (leading_ && !leader()) lose("it could not be renewed");
  }
}

net::Task<Duration> LeaderElection::step() {
  net::Loop& loop = client_.loop();
  // Replicas that look at the same moment only meet in conflicts.
  const Duration retry = options_.retry * (900 + random_.below(200)) / 1000;
  if (leading_) co_return co_await take(true);
  ApiRequest request = get({kLeases, options_.ns, options_.name});
  const Deadline by = loop.after(kAnswer);
  const ApiResponse response = co_await client_.call(std::move(request), by);
  if (response.status.code == 404) co_return co_await take(false);
  if (!response.ok() || !saw(response)) {
    log_.debug("a lease cannot be read",
               {{"lease", options_.name}, {"reason", response.status.to_string()}});
    co_return retry;
  }
  const Duration theirs = std::chrono::seconds(std::max<std::int64_t>(seen_.seconds, 1));
  const bool ours = seen_.holder == options_.identity;  // of this replica before it restarted
  const bool over = loop.now() - seen_at_ >= theirs;
  if (seen_.holder.empty() || ours || over) co_return co_await take(true);
  co_return std::min<Duration>(retry, seen_at_ + theirs - loop.now() + 1ms);
}

bool LeaderElection::saw(const ApiResponse& response) {
  JsonSource source(response.body, JsonSource::Skipping::Unparsed);
  Lease lease;
  if (!source.next_document() || decode(source, lease)) return false;
  const bool changed = lease.spec.holder != seen_.holder || lease.spec.renewed != seen_.renewed ||
                       seen_at_ == TimePoint{};
  if (changed) seen_at_ = client_.loop().now();
  seen_ = {std::move(lease.spec.holder), std::move(lease.spec.renewed),
           std::move(lease.meta.resource_version), lease.spec.seconds, lease.spec.transitions};
  return true;
}

std::string LeaderElection::body(bool exists, std::string_view holder,
                                 std::string_view owners) const {
  JsonWriter json;
  json.object([&] {
    json.member("apiVersion", "coordination.k8s.io/v1");
    json.member("kind", "Lease");
    json.key("metadata");
    json.object([&] {
      json.member("name", options_.name);
      json.member("namespace", options_.ns);
      if (exists) json.member("resourceVersion", seen_.version);  // 409 if somebody was faster
      if (!owners.empty()) {
        json.key("ownerReferences");
        json.raw(owners);
      }
    });
    json.key("spec");
    json.object([&] {
      const bool another = exists && seen_.holder != options_.identity && !holder.empty();
      json.member("holderIdentity", holder);
      json.member("leaseDurationSeconds", holder.empty() ? 1 : in_seconds(options_.duration));
      json.member("renewTime", micro_time(wall_now()));
      if (!leading_) json.member("acquireTime", micro_time(wall_now()));
      json.member("leaseTransitions", exists ? seen_.transitions + (another ? 1 : 0) : 0);
    });
  });
  return json.take();
}

net::Task<Result<std::string>> LeaderElection::owners() {
  // Renewing leaves them as they are.
  if (leading_ || !options_.owner) co_return std::string();
  co_return co_await options_.owner();
}

net::Task<Duration> LeaderElection::take(bool exists) {
  net::Loop& loop = client_.loop();
  const Result<std::string> owner = co_await owners();
  if (!owner && !exists) {
    log_.debug("a lease is not made", {{"lease", options_.name}, {"reason", owner.error().where}});
    co_return options_.retry;
  }
  const TimePoint asked = loop.now();
  ApiRequest request =
      exists ? merge_patch({kLeases, options_.ns, options_.name},
                           body(true, options_.identity, owner ? *owner : ""), options_.manager)
             : create({kLeases, options_.ns, {}}, body(false, options_.identity, *owner));
  const Deadline by = loop.after(kAnswer);
  const ApiResponse response = co_await client_.call(std::move(request), by);
  if (response.ok() && saw(response)) {
    lead(asked);
    co_return options_.renew;
  }
  log_.debug("a lease cannot be taken",
             {{"lease", options_.name}, {"reason", response.status.to_string()}});
  // A conflict: somebody else has written. Look who leads.
  if (leading_ && response.status.code == 409) lose("somebody else holds it");
  co_return options_.retry;
}

void LeaderElection::lead(TimePoint since) {
  lead_until_ = since + options_.give_up;
  if (leading_) return;
  leading_ = true;
  log_.info("leading", {{"lease", options_.name}, {"identity", options_.identity}});
  if (on_change_) on_change_(true);
}

void LeaderElection::lose(std::string_view why) {
  if (!leading_) return;
  leading_ = false;
  log_.warn("not leading any more", {{"lease", options_.name}, {"reason", why}});
  if (on_change_) on_change_(false);
}

net::Task<void> LeaderElection::release(Deadline by) {
  if (!leading_) co_return;
  ApiRequest request =
      merge_patch({kLeases, options_.ns, options_.name}, body(true, "", ""), options_.manager);
  lose("it is given back");
  const ApiResponse response = co_await client_.call(std::move(request), by);
  if (!response.ok()) {
    log_.debug("a lease cannot be given back",
               {{"lease", options_.name}, {"reason", response.status.to_string()}});
  }
}

}  // namespace tulle::k8s
