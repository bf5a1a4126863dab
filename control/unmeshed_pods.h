// SPDX-License-Identifier: Apache-2.0
// Pods without a proxy although their namespace or they themselves ask for one, found in the index
// because no webhook sees them: those on the host's network and those that opted out (the webhooks'
// matchConditions leave them out, so that they start whatever becomes of the injector), and those
// that were made before their namespace was annotated or while the injector was away. Users are
// told why by an Event on the workload, as for all other pods; the last are counted, too.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "control/index/index.h"
#include "lib/base/time.h"
#include "lib/inject/inject.h"

namespace tulle::control {

class UnmeshedPods {
 public:
  static constexpr Duration kEvery = 5s;
  // Who annotates a namespace is given this long to restart what runs there before Events speak.
  static constexpr Duration kPatience = 60s;

  struct News {
    std::string_view ns;
    const inject::Owner& workload;
    bool skipped;              // it stays out on purpose; otherwise it should have a proxy
    std::string_view message;  // why, and what to do
  };
  using Tell = std::function<void(const News&)>;

  // The index must outlive it. Pods that stay out on purpose and were made before `since` are not
  // told of: whoever was the leader then has done so.
  UnmeshedPods(const Index& index, WallTime since, Tell tell)
      : index_(index), since_(since), tell_(std::move(tell)) {}

  // Looks at all pods and tells of those that are new to it.
  void look(TimePoint now);
  // By namespace, how many pods should have a proxy and have none, when it last looked.
  const std::map<std::string, std::size_t>& missing() const noexcept { return missing_; }

 private:
  const Index& index_;
  const WallTime since_;
  const Tell tell_;
  // By the uid of pods that are there: when each was first seen to be without, and who was told of.
  std::map<std::string, TimePoint> seen_;
  std::set<std::string> told_;
  std::map<std::string, std::size_t> missing_;
};

}  // namespace tulle::control
