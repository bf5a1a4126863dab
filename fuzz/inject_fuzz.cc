// SPDX-License-Identifier: Apache-2.0
// What the injector's webhook reads: nothing crashes, the answer is JSON, the patch applies and
// makes the object that injection says it makes, and a second injection changes nothing.
#include <cstdint>
#include <string_view>

#include "control/injector/review.h"
#include "control/injector/validation.h"
#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/inject/inject.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target

// `other`: as another mesh may be installed, by another hand.
void check_injection(const inject::Value& object, bool other) {
  inject::Context context;
  context.ns = "shop";
  context.ns_annotations.insert("linkerd.io/inject", "enabled");
  context.native_sidecars = !other;
  inject::Config config;
  if (other) {
    context.owner = {"Deployment", "web"};
    context.is_webhook = false;
    config.cni_enabled = true;
    config.token_projection = false;
    config.proxy.tracing = {.enabled = true, .endpoint = "c:4317", .account = "c", .ns = "obs"};
  }
  const inject::Outcome once = inject::inject(object, context, config);
  inject::Value patched = object;
  TULLE_CHECK(inject::apply(patched, once.patch));
  TULLE_CHECK(patched.to_json() == once.object.to_json());
  (void)inject::uninject(once.object);
  TULLE_CHECK(once.reasons.empty() == once.reasons_text().empty());
  for (const inject::Reason reason : once.reasons) TULLE_CHECK(!inject::id(reason).empty());
  for (const inject::Warning& warning : once.warnings) TULLE_CHECK(!warning.to_string().empty());
  if (once.kind != inject::Outcome::Kind::Injected) return;
  TULLE_CHECK(inject::inject(once.object, context, config).patch.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  std::string problem;
  const auto review = control::parse_review(text, problem);
  if (!review) {
    TULLE_CHECK(!problem.empty());
    return 0;
  }
  control::Answer answer;
  answer.allowed = false;
  answer.message = control::policy_problem(*review).value_or("");
  answer.warnings = {control::profile_problem(review->object).value_or(""), std::string(text)};
  check_injection(review->object, false);
  check_injection(review->object, true);
  // By hand, in ingress mode: only what stands on the pod speaks against it.
  inject::Context by_hand;
  by_hand.by_hand = by_hand.ingress = true;
  (void)inject::inject(review->object, by_hand, {});
  k8s::StringMap of_namespace;
  of_namespace.insert("config.linkerd.io/opaque-ports", "3306");
  answer.patch = inject::annotate_service(review->object, of_namespace, inject::Config()).patch;
  const std::string json = control::to_json(*review, answer);
  TULLE_CHECK(inject::parse_json(json, problem).has_value());
  return 0;
}
