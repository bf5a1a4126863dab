// SPDX-License-Identifier: Apache-2.0
#include "control/status/writer.h"

#include <algorithm>

#include "control/status/status.h"
#include "lib/base/text.h"
#include "lib/base/time.h"
#include "lib/k8s/json_writer.h"
#include "lib/k8s/write.h"

namespace tulle::control {
namespace {

// Waits for a change of the index, or for a time.
class TimedWatch final : public Subscription {
 public:
  TimedWatch(Index& index, net::Loop& loop) : Subscription(index), signal_(loop) {}
  void watch(const TopicSet& topics) {
    changed_ = false;
    depend_on(topics);
  }
  bool changed() const noexcept { return changed_; }
  // Ends at some change; ask changed() in a loop around it.
  net::Signal::Wait wait(Deadline by) { return signal_.wait(by); }

 private:
  void on_change() override {
    changed_ = true;
    signal_.notify_all();
  }
  net::Signal signal_;
  bool changed_ = false;
};

using k8s::JsonWriter;
using k8s::StatusCondition;

void write_condition(JsonWriter& json, const StatusCondition& condition) {
  json.object([&] {
    json.member("type", condition.type);
    json.member("status", condition.status);
    json.member("reason", condition.reason);
    json.member("message", condition.message);
    json.member("lastTransitionTime", condition.last_transition);
    if (condition.observed_generation != 0) {
      json.member("observedGeneration", condition.observed_generation);
    }
  });
}

// The time at which it began to say so: that of before, unless it says something else now.
void set_times(std::vector<StatusCondition>& conditions,
               const std::vector<StatusCondition>& before) {
  for (StatusCondition& condition : conditions) {
    const auto same = std::find_if(before.begin(), before.end(), [&](const StatusCondition& old) {
      return old.type == condition.type && old.status == condition.status;
    });
    condition.last_transition = same != before.end() && !same->last_transition.empty()
                                    ? same->last_transition
                                    : format_rfc3339(wall_now());
  }
}

void write_conditions(JsonWriter& json, const std::vector<StatusCondition>& conditions) {
  json.key("conditions");
  json.list([&] {
    for (const StatusCondition& condition : conditions) write_condition(json, condition);
  });
}

void write_entry(JsonWriter& json, const k8s::RouteParentStatus& entry) {
  json.object([&] {
    json.member("controllerName", entry.controller);
    json.key("parentRef");
    json.object([&] {
      if (entry.parent.group) json.member("group", *entry.parent.group);
      if (entry.parent.kind) json.member("kind", *entry.parent.kind);
      json.member("name", entry.parent.name);
      json.member_unless_empty("namespace", entry.parent.ns);
      json.member_unless_empty("sectionName", entry.parent.section);
      if (entry.parent.port) json.member("port", *entry.parent.port);
    });
    write_conditions(json, entry.conditions);
  });
}

bool same_entry(const k8s::RouteParentStatus& a, const k8s::RouteParentStatus& b) {
  return a.parent == b.parent && same_conditions(a.conditions, b.conditions);
}

std::string body_of(const std::function<void(JsonWriter&)>& status) {
  JsonWriter json;
  json.object([&] {
    json.key("status");
    json.object([&] { status(json); });
  });
  return json.take();
}

// The patch that makes the status say what it should; nullopt if it says so.
std::optional<std::string> route_patch(const k8s::RouteStatus& there,
                                       std::vector<k8s::RouteParentStatus> ours) {
  std::vector<k8s::RouteParentStatus> before;
  std::vector<k8s::RouteParentStatus> others;
  for (const k8s::RouteParentStatus& entry : there.parents) {
    (entry.controller == kStatusController ? before : others).push_back(entry);
  }
  if (std::equal(before.begin(), before.end(), ours.begin(), ours.end(), same_entry)) {
    return std::nullopt;
  }
  for (k8s::RouteParentStatus& entry : ours) {
    const auto same = std::find_if(before.begin(), before.end(),
                                   [&](const auto& old) { return old.parent == entry.parent; });
    set_times(entry.conditions,
              same != before.end() ? same->conditions : std::vector<StatusCondition>{});
  }
  return body_of([&](JsonWriter& json) {
    json.key("parents");
    json.list([&] {
      for (const auto& entry : others) write_entry(json, entry);
      for (const auto& entry : ours) write_entry(json, entry);
    });
  });
}

std::optional<std::string> policy_patch(const k8s::PolicyStatus& there, k8s::PolicyStatus wanted) {
  if (same_conditions(there.conditions, wanted.conditions) && there.target == wanted.target) {
    return std::nullopt;
  }
  set_times(wanted.conditions, there.conditions);
  return body_of([&](JsonWriter& json) {
    write_conditions(json, wanted.conditions);
    if (!wanted.target) return;
    json.key("targetRef");
    json.object([&] {
      json.member("group", wanted.target->group);
      json.member("kind", wanted.target->kind);
      json.member("name", wanted.target->name);
      json.member_unless_empty("namespace", wanted.target->ns);
    });
  });
}

}  // namespace

StatusWriter::StatusWriter(k8s::ApiClient& client, Index& index, const MeshConfig& config,
                           const k8s::LeaderElection& election, const log::Logger& log)
    : client_(client), index_(index), config_(config), election_(election), log_(log) {}

template <typename Route>
void StatusWriter::add_routes(const View& view, const k8s::Resource& resource,
                              std::vector<Patch>& out) const {
  for (const Route* const route : view.all<Route>()) {
    auto body = route_patch(route->status, route_status(view, config_, *route));
    if (body) out.push_back({resource, route->meta.ns, route->meta.name, *std::move(body)});
  }
}

std::vector<StatusWriter::Patch> StatusWriter::wanted(TopicSet& seen) const {
  std::vector<Patch> out;
  // One topic stands for all of it; single look-ups need no notes.
  seen.add(topics::statuses());
  const View view(index_);
  add_routes<k8s::PolicyHttpRoute>(view, k8s::kPolicyHttpRoutes, out);
  add_routes<k8s::HttpRoute>(view, k8s::kHttpRoutes, out);
  add_routes<k8s::GrpcRoute>(view, k8s::kGrpcRoutes, out);
  add_routes<k8s::TlsRoute>(view, k8s::kTlsRoutes, out);
  add_routes<k8s::TcpRoute>(view, k8s::kTcpRoutes, out);
  for (const auto* const policy : view.all<k8s::HttpLocalRateLimitPolicy>()) {
    auto body = policy_patch(policy->status, rate_limit_status(view, *policy));
    if (body)
      out.push_back({k8s::kRateLimits, policy->meta.ns, policy->meta.name, *std::move(body)});
  }
  for (const auto* const network : view.all<k8s::EgressNetwork>()) {
    auto body = policy_patch(network->status, egress_status(config_, *network));
    if (body)
      out.push_back({k8s::kEgressNetworks, network->meta.ns, network->meta.name, *std::move(body)});
  }
  return out;
}

net::Task<void> StatusWriter::write(const Patch& patch) {
  k8s::ApiStatus status;
  // A server may have none but older versions of a CRD.
  for (std::size_t i = 0; !k8s::version_of(patch.resource, i).empty(); ++i) {
    const k8s::ObjectPath object{patch.resource, patch.ns, patch.name, "status",
                                 k8s::version_of(patch.resource, i)};
    const k8s::ApiResponse response =
        co_await client_.call(k8s::merge_patch(object, patch.body, kStatusController),
                              client_.loop().after(kPatchTimeout));
    if (response.ok()) {
      ++stats_.patches;
      co_return;
    }
    status = response.status;
    if (status.code != 404) break;
  }
  if (status.code == 404) co_return;  // it has gone meanwhile
  ++(status.code == 0 ? stats_.timeouts : stats_.api_errors);
  log_.warn("a status cannot be written; the next look tries again",
            {{"resource", patch.resource.plural},
             {"namespace", patch.ns},
             {"name", patch.name},
             {"reason", status.to_string()}});
}

net::Task<void> StatusWriter::run() {
  TimedWatch watch(index_, client_.loop());
  for (;;) {
    TopicSet seen;
    std::vector<Patch> patches;
    if (election_.leader()) patches = wanted(seen);
    seen.add(topics::statuses());
    watch.watch(seen);
    for (const Patch& patch : patches) {
      if (election_.leader()) co_await write(patch);
    }
    const Deadline by = client_.loop().after(election_.leader() ? kEvery : Duration{1s});
    while (!watch.changed()) {
      if (!co_await watch.wait(by)) break;
    }
    co_await net::sleep_for(client_.loop(), kSettle);
  }
}

}  // namespace tulle::control
