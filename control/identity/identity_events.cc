// SPDX-License-Identifier: Apache-2.0
#include "control/identity/identity_events.h"

#include "lib/base/text.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/manifest.h"
#include "lib/k8s/objects.h"
#include "lib/k8s/write.h"

namespace tulle::control {
namespace {

constexpr Duration kPatience = 10s;
constexpr std::size_t kMaxEarly = 16;

struct OnlyMetadata {
  k8s::ObjectMeta meta;
};
template <typename V>
void describe(V& v, OnlyMetadata& x) {
  v.field("metadata", x.meta);
}

}  // namespace

IdentityEvents::IdentityEvents(k8s::ApiClient& client, IssuerStore& store, const log::Logger& log,
                               std::string ns, std::string deployment, std::string pod,
                               std::uint64_t seed)
    : client_(client),
      events_(
          client, log,
          k8s::EventRecorder::Options{.component = "linkerd-identity", .instance = std::move(pod)},
          seed),
      target_{"apps/v1", "Deployment", std::move(ns), std::move(deployment), ""} {
  store.on_change([this, &store] {
    // The first one is no update.
    if (!std::exchange(loaded_, true)) return;
    tell(Type::Normal, "IssuerUpdated",
         concat("the issuer is replaced; it ends ",
                format_rfc3339(store.current()->issuer.certificate.not_after)));
  });
  store.on_refuse(
      [this](const std::string& reason) { tell(Type::Warning, "IssuerUpdateSkipped", reason); });
}

void IdentityEvents::validation_failed(std::string_view reason) {
  tell(Type::Warning, "IssuerValidationFailed", std::string(reason));
}
void IdentityEvents::anchors_in_use(std::string_view who) {
  tell(Type::Warning, "TrustAnchorInUse", std::string(who));
}

void IdentityEvents::tell(Type type, std::string_view reason, std::string message) {
  if (located_) return events_.record(target_, type, reason, message);
  if (early_.size() < kMaxEarly) early_.push_back({type, reason, std::move(message)});
}

net::Task<void> IdentityEvents::run() {
  const k8s::ObjectPath path{k8s::kDeployments, target_.ns, target_.name, {}, {}};
  k8s::ApiRequest request = k8s::get(path);
  const Deadline by = client_.loop().after(kPatience);
  const k8s::ApiResponse response = co_await client_.call(std::move(request), by);
  // Without a uid an Event is still there, only `describe` does not show it.
  OnlyMetadata found;
  k8s::JsonSource source(response.body, k8s::JsonSource::Skipping::Unparsed);
  if (response.ok() && source.next_document() && !k8s::decode(source, found)) {
    target_.uid = found.meta.uid;
  }
  located_ = true;
  for (Early& event : std::exchange(early_, {})) {
    events_.record(target_, event.type, event.reason, event.message);
  }
  co_await events_.run();
}

}  // namespace tulle::control
