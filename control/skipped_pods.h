// SPDX-License-Identifier: Apache-2.0
// Pods that stay out of the mesh although their namespace is in it, and that no webhook sees: those
// on the host's network and those that opted out (the webhooks' matchConditions leave them out, so
// that they start whatever becomes of the injector). Users are told why by an Event on the
// workload, as for all other pods.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "control/index/index.h"
#include "lib/base/time.h"
#include "lib/inject/inject.h"

namespace tulle::control {

class SkippedPods {
 public:
  static constexpr Duration kEvery = 5s;
  // What tells: the namespace, the workload, why.
  using Tell =
      std::function<void(std::string_view ns, const inject::Owner& owner, std::string_view reason)>;

  // The index must outlive it. Pods made before `since` are not told of: whoever was the leader
  // then has done so.
  SkippedPods(const Index& index, WallTime since, Tell tell)
      : index_(index), since_(since), tell_(std::move(tell)) {}

  // Looks at all pods and tells of those that are new to it.
  void look();

 private:
  const Index& index_;
  const WallTime since_;
  const Tell tell_;
  std::set<std::string> told_;  // uids of pods that are there
};

}  // namespace tulle::control
