// SPDX-License-Identifier: Apache-2.0
#include "control/identity/identity_events.h"

#include "lib/base/text.h"
#include "lib/k8s/metadata.h"
#include "lib/k8s/resource.h"

namespace tulle::control {
namespace {

constexpr Duration kPatience = 10s;
constexpr std::size_t kMaxEarly = 16;

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
  // Without a uid an Event is still there, only `describe` does not show it.
  if (auto found = co_await k8s::read_metadata(client_, path, "find the Deployment",
                                               client_.loop().after(kPatience)))
    target_.uid = found->uid;
  located_ = true;
  for (Early& event : std::exchange(early_, {})) {
    events_.record(target_, event.type, event.reason, event.message);
  }
  co_await events_.run();
}

}  // namespace tulle::control
