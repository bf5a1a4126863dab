// SPDX-License-Identifier: Apache-2.0
#include "control/injector/review.h"

#include "lib/base/text.h"

namespace tulle::control {

using inject::Value;

namespace {

// Warnings reach people as HTTP headers; the API server drops them all when they are too long.
constexpr std::size_t kMaxWarning = 250;
constexpr std::size_t kMaxWarnings = 12;

std::string for_header(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (out.size() <= kMaxWarning) return out;
  std::size_t end = kMaxWarning - 3;
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xC0) == 0x80)
    --end;  // whole characters
  out.resize(end);
  return out + "…";
}

}  // namespace

std::optional<Review> parse_review(std::string_view body, std::string& problem) {
  const auto value = inject::parse_json(body, problem);
  if (!value) return std::nullopt;
  const auto fail = [&](std::string_view what) {
    problem = what;
    return std::nullopt;
  };
  Review review;
  review.api_version = (*value)["apiVersion"].string();
  if ((*value)["kind"].string() != "AdmissionReview") return fail("kind must be AdmissionReview");
  if (!review.api_version.starts_with("admission.k8s.io/"))
    return fail("apiVersion must be of admission.k8s.io");
  const Value& request = (*value)["request"];
  if (!request.is_map()) return fail("request is required");
  review.uid = request["uid"].string();
  if (review.uid.empty()) return fail("request.uid is required");
  review.group = request["kind"]["group"].string();
  review.kind = request["kind"]["kind"].string();
  if (review.kind.empty()) return fail("request.kind.kind is required");
  review.operation = request["operation"].string();
  review.ns = request["namespace"].string();
  review.name = request["name"].string();
  review.dry_run = request["dryRun"].is_true();
  review.object = request["object"];
  return review;
}

std::string to_json(const Review& review, const Answer& answer) {
  Value response = Value::map({{"uid", review.uid}, {"allowed", answer.allowed}});
  if (!answer.allowed) {
    Value status = Value::map({{"status", "Failure"}, {"message", answer.message}});
    if (answer.code != 0) status.set("code", answer.code);
    response.set("status", std::move(status));
  }
  if (!answer.patch.empty()) {
    response.set("patchType", "JSONPatch");
    response.set("patch", base64_encode(as_bytes(inject::to_json_patch(answer.patch).to_json())));
  }
  if (!answer.warnings.empty()) {
    Value warnings = Value::list();
    for (const std::string& warning : answer.warnings) {
      if (warnings.size() < kMaxWarnings) warnings.push(for_header(warning));
    }
    response.set("warnings", std::move(warnings));
  }
  return Value::map({{"kind", "AdmissionReview"},
                     {"apiVersion", review.api_version},
                     {"response", std::move(response)}})
      .to_json();
}

}  // namespace tulle::control
