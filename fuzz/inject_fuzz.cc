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

void check_injection(const inject::Value& object, bool native) {
  inject::Context context;
  context.ns = "shop";
  context.ns_annotations.insert("linkerd.io/inject", "enabled");
  context.native_sidecars = native;
  const inject::Config config;
  const inject::Outcome once = inject::inject(object, context, config);
  inject::Value patched = object;
  TULLE_CHECK(inject::apply(patched, once.patch));
  TULLE_CHECK(patched.to_json() == once.object.to_json());
  (void)inject::uninject(once.object);
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
  answer.warnings = {control::profile_problem(review->object).value_or("")};
  check_injection(review->object, true);
  check_injection(review->object, false);
  answer.patch = inject::annotate_service(review->object, {}, inject::Config()).patch;
  const std::string json = control::to_json(*review, answer);
  TULLE_CHECK(inject::parse_json(json, problem).has_value());
  return 0;
}
