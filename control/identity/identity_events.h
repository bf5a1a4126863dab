// SPDX-License-Identifier: Apache-2.0
// What happens to issuer and anchors, as Events on the control plane's Deployment under the names
// that Linkerd gives them (docs/reference/control-plane.md §4): IssuerUpdated, IssuerUpdateSkipped,
// IssuerValidationFailed; and ours, TrustAnchorInUse. (IssuedLeafCertificate is a line of the log
// only: one for each leaf of each proxy would push the others out.)
#pragma once

#include <string>
#include <vector>

#include "control/identity/issuer_store.h"
#include "lib/k8s/events.h"

namespace tulle::control {

class IdentityEvents {
 public:
  // Follows the store from here on. All must outlive it.
  IdentityEvents(k8s::ApiClient& client, IssuerStore& store, const log::Logger& log, std::string ns,
                 std::string deployment, std::string pod, std::uint64_t seed);

  void validation_failed(std::string_view reason);
  void anchors_in_use(std::string_view who);
  // Sends until it is destroyed.
  net::Task<void> run();

 private:
  using Type = k8s::EventRecorder::Type;
  void tell(Type type, std::string_view reason, std::string message);

  k8s::ApiClient& client_;
  k8s::EventRecorder events_;
  k8s::EventTarget target_;
  bool located_ = false;  // the target's uid was looked for
  struct Early {
    Type type;
    std::string_view reason;
    std::string message;
  };
  std::vector<Early> early_;  // told before that
  bool loaded_ = false;       // there has been an issuer
};

}  // namespace tulle::control
