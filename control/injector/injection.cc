// SPDX-License-Identifier: Apache-2.0
#include "control/injector/injection.h"

#include <algorithm>

#include "lib/base/text.h"
#include "lib/inject/names.h"

namespace tulle::control {

using inject::Outcome;
using inject::Owner;
using inject::Value;

namespace {

Answer refused(std::string message, int code = 500) {
  Answer answer;
  answer.allowed = false;
  answer.code = code;
  answer.message = concat("tulle cannot inject: ", message);
  return answer;
}

std::string lower(std::string_view text) {
  std::string out;
  for (const char c : text) out += ascii_lower(c);
  return out;
}

std::vector<k8s::OwnerReference> owners_of(const Value& object) {
  std::vector<k8s::OwnerReference> out;
  for (const Value& item : object["metadata"]["ownerReferences"].items()) {
    out.push_back({std::string(item["kind"].string()), std::string(item["name"].string()),
                   item["controller"].is_true()});
  }
  return out;
}

constexpr std::string_view kOther = "other";
constexpr std::size_t kMaxLabel = 64;     // bytes of a label's value
constexpr std::size_t kMaxCounted = 500;  // sets of labels with series of their own

std::string bounded(std::string_view value) {
  return std::string(value.size() <= kMaxLabel ? value : kOther);
}

// proxy-log-level → proxy_log_level, as the labels of the counters are called.
std::string label_name(std::string_view key) {
  std::string out(key.substr(key.find('/') + 1));
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

}  // namespace

InjectionWebhook::InjectionWebhook(InjectorCluster& cluster, const log::Logger& log,
                                   metrics::Registry& metrics)
    : cluster_(cluster),
      log_(log),
      requests_(metrics.counter("proxy_inject_admission_requests",
                                "Pods that the API server asked about",
                                metrics::Format::OpenMetrics)),
      responses_(metrics.counter("proxy_inject_admission_responses", "What the answers were",
                                 metrics::Format::OpenMetrics)) {}

net::Task<Answer> InjectionWebhook::answer(Review review) {
  const bool pod = review.group.empty() && review.kind == "Pod";
  const bool service = review.group.empty() && review.kind == "Service";
  if ((!pod && !service) || !review.object.is_map()) co_return Answer{};
  const std::shared_ptr<const inject::Config> config = cluster_.config();
  if (config == nullptr)
    co_return refused("its configuration (ConfigMap linkerd-config) is not known yet");
  std::string name = review.ns;
  Result<k8s::ObjectMeta> ns = co_await cluster_.find_namespace(std::move(name));
  if (!ns)
    co_return refused(concat("the namespace ", review.ns, " cannot be read: ", ns.error().where));
  if (pod) {
    const k8s::ObjectMeta meta = *std::move(ns);
    co_return co_await answer_pod(std::move(review), meta, *config);
  }
  Answer answer;
  const Outcome outcome = inject::annotate_service(review.object, ns->annotations, *config);
  if (outcome.kind == Outcome::Kind::Refused) co_return refused(outcome.error, 400);
  answer.patch = outcome.patch;
  co_return answer;
}

net::Task<Answer> InjectionWebhook::answer_pod(Review review, const k8s::ObjectMeta& ns,
                                               const inject::Config& config) {
  inject::Context context;
  context.ns = review.ns;
  context.ns_annotations = ns.annotations;
  context.native_sidecars = cluster_.native_sidecars();
  std::vector<k8s::OwnerReference> owners = owners_of(review.object);
  std::string ns_name = review.ns;
  context.owner = co_await owner_of(std::move(ns_name), std::move(owners));
  // The pod itself, under the name that it has or will have.
  if (context.owner.kind.empty()) {
    const Value& metadata = review.object["metadata"];
    context.owner = {"pod", std::string(metadata["name"].string())};
    if (context.owner.name.empty()) context.owner.name = metadata["generateName"].string();
  }
  if (review.object["kind"].is_null()) review.object.set("kind", "Pod");

  const Outcome outcome = inject::inject(review.object, context, config);
  count(review, context.owner, outcome);
  Answer answer;
  for (const inject::Warning& warning : outcome.warnings)
    answer.warnings.push_back(warning.to_string());
  const std::string name = concat(context.owner.kind, "/", context.owner.name);
  if (outcome.kind == Outcome::Kind::Refused) {
    log_.warn("a pod is refused",
              {{"namespace", review.ns}, {"owner", name}, {"reason", outcome.error}});
    answer = refused(outcome.error, outcome.malformed ? 400 : 500);
    if (!review.dry_run) cluster_.tell(review.ns, context.owner, "InjectionRefused", outcome.error);
    co_return answer;
  }
  answer.patch = outcome.patch;
  const bool injected = outcome.kind == Outcome::Kind::Injected;
  log_.debug("a pod is answered", {{"namespace", review.ns},
                                   {"owner", name},
                                   {"injected", injected},
                                   {"reasons", outcome.reasons_text()}});
  if (review.dry_run) co_return answer;
  // Nobody who did not ask for a proxy wants to hear of it.
  const bool asked = std::find(outcome.reasons.begin(), outcome.reasons.end(),
                               inject::Reason::EnableAnnotationAbsent) == outcome.reasons.end();
  if (injected) {
    cluster_.tell(review.ns, context.owner, "Injected", "the proxy was put into the pod");
  } else if (asked) {
    cluster_.tell(review.ns, context.owner, "InjectionSkipped", outcome.reasons_text());
  }
  for (const std::string& warning : answer.warnings) {
    cluster_.tell(review.ns, context.owner, "InjectionWarning", warning);
  }
  co_return answer;
}

// The workload that people know: a Deployment rather than its ReplicaSet, a CronJob rather than its
// Job.
net::Task<Owner> InjectionWebhook::owner_of(std::string ns,
                                            std::vector<k8s::OwnerReference> owners) {
  if (owners.size() != 1) co_return Owner{};
  const k8s::OwnerReference first = owners.front();
  Owner owner{lower(first.kind), first.name};
  const bool replica_set = first.kind == "ReplicaSet";
  if (!replica_set && first.kind != "Job") co_return owner;
  std::string kind = first.kind;
  std::string name = first.name;
  const auto above = co_await cluster_.find_owners(std::move(kind), std::move(ns), std::move(name));
  if (!above || above->size() != 1) co_return owner;
  const k8s::OwnerReference& second = above->front();
  const bool known = !replica_set || second.kind == "Deployment" || second.kind == "StatefulSet" ||
                     second.kind == "DaemonSet" || second.kind == "Job";
  if (known) owner = {lower(second.kind), second.name};
  co_return owner;
}

// Reviews are written by anybody and series stay, so both what a label holds and how many series
// there are have bounds. Beyond them pods are counted by namespace and reasons alone.
void InjectionWebhook::count(const Review& review, const Owner& owner, const Outcome& outcome) {
  std::vector<std::pair<std::string, std::string>> chosen;  // labels whose values people choose
  chosen.emplace_back("owner_kind", bounded(owner.kind));
  std::vector<std::string> seen;  // stable and alpha names share a label
  for (const inject::ConfigKey& key : inject::config_keys()) {
    if (!key.inherited) continue;
    std::string name = label_name(key.name);
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) continue;
    // Variables may hold what nobody should read here.
    const bool secret = key.name == "config.linkerd.io/proxy-additional-env";
    chosen.emplace_back(name, secret ? std::string() : bounded(outcome.annotations.get(key.name)));
    seen.push_back(std::move(name));
  }
  std::string ids;
  for (const inject::Reason reason : outcome.reasons) {
    if (!ids.empty()) ids += ',';
    ids += inject::id(reason);
  }
  if (!is_counted(chosen, concat(review.ns, " ", outcome.annotation_at, " ", ids))) {
    for (auto& [name, value] : chosen) {
      if (!value.empty()) value = kOther;
    }
  }
  metrics::Labels labels{{"owner_kind", chosen.front().second},
                         {"namespace", review.ns},
                         {"annotation_at", outcome.annotation_at}};
  for (std::size_t i = 1; i < chosen.size(); ++i) labels.add(chosen[i].first, chosen[i].second);
  requests_.get(labels)->add();
  const bool skipped = outcome.patch.empty();
  labels.add("skip", skipped ? "true" : "false").add("skip_reason", ids);
  responses_.get(labels)->add();
}

bool InjectionWebhook::is_counted(const std::vector<std::pair<std::string, std::string>>& chosen,
                                  std::string series) {
  for (const auto& [name, value] : chosen) series += concat("\n", value);
  if (counted_.contains(series)) return true;
  if (counted_.size() >= kMaxCounted) return false;
  counted_.insert(std::move(series));
  return true;
}

}  // namespace tulle::control
