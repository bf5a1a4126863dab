// SPDX-License-Identifier: Apache-2.0
// The injector's webhook: pods get their proxy, pods and Services their opaque ports
// (docs/reference/control-plane.md §1.5–1.7). What a pod becomes is decided in lib/inject; here the
// cluster is asked, told and counted.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/injector/cluster.h"
#include "control/injector/review.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"

namespace tulle::control {

class InjectionWebhook final : public Webhook {
 public:
  InjectionWebhook(InjectorCluster& cluster, const log::Logger& log, metrics::Registry& metrics);
  net::Task<Answer> answer(Review review) override;

 private:
  net::Task<Answer> answer_pod(Review review, const k8s::ObjectMeta& ns,
                               const inject::Config& config);
  net::Task<inject::Owner> owner_of(std::string ns, std::vector<k8s::OwnerReference> owners);
  void count(const Review& review, const inject::Owner& owner, const inject::Outcome& outcome);

  InjectorCluster& cluster_;
  // Do pods with these labels have series of their own? The first sets have.
  bool is_counted(const std::vector<std::pair<std::string, std::string>>& chosen,
                  std::string series);

  log::Logger log_;
  metrics::Family<metrics::Counter>& requests_;
  metrics::Family<metrics::Counter>& responses_;
  std::set<std::string, std::less<>> counted_;  // label sets that have series of their own
};

}  // namespace tulle::control
