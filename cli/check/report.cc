// SPDX-License-Identifier: Apache-2.0
#include "cli/check/report.h"

#include <algorithm>

#include "cli/terminal.h"
#include "lib/base/text.h"
#include "lib/inject/value.h"

namespace tulle::cli {
namespace {

using Kind = CheckResult::Kind;

std::string_view sign(Kind kind) {
  return kind == Kind::Success ? "√" : kind == Kind::Warning ? "‼" : "×";
}
std::string_view color(Kind kind) {
  return kind == Kind::Success ? "\033[32m" : kind == Kind::Warning ? "\033[33m" : "\033[31m";
}
std::string_view word(Kind kind) {
  return kind == Kind::Success ? "success" : kind == Kind::Warning ? "warning" : "error";
}

}  // namespace

std::string hint_of(std::string_view anchor) {
  return concat("https://linkerd.io/2/checks/#", anchor);
}

void Reporter::begin(const std::string& category) {
  categories_.push_back({category, {}});
  title_written_ = false;
}

void Reporter::add(CheckResult result) {
  if (result.kind == Kind::Error) success_ = false;
  if (format_ != ReportFormat::Json &&
      (format_ != ReportFormat::Short || result.kind != Kind::Success))
    write(result);
  categories_.back().checks.push_back(std::move(result));
}

void Reporter::write(const CheckResult& result) {
  if (!title_written_) {
    const std::string& name = categories_.back().name;
    if (any_written_) out_ << "\n";
    out_ << name << "\n" << std::string(name.size(), '-') << "\n";
    title_written_ = any_written_ = true;
  }
  if (colors_) {
    write_sequence(out_, color(result.kind));
    out_ << sign(result.kind);
    write_sequence(out_, "\033[0m");
  } else {
    out_ << sign(result.kind);
  }
  out_ << " " << printable(result.description) << "\n";
  if (!result.error.empty()) {
    const std::string error = printable(result.error);
    for (const std::string_view line : split(error, '\n')) out_ << "    " << line << "\n";
  }
  if (!result.hint.empty()) out_ << "    see " << printable(result.hint) << " for hints\n";
  out_.flush();
}

bool Reporter::finish() {
  if (format_ != ReportFormat::Json) {
    if (any_written_) out_ << "\n";
    out_ << "Status check results are " << sign(success_ ? Kind::Success : Kind::Error) << "\n";
    return success_;
  }
  inject::Value all = inject::Value::list();
  for (const CategoryResult& category : categories_) {
    if (category.checks.empty()) continue;
    inject::Value checks = inject::Value::list();
    for (const CheckResult& result : category.checks) {
      inject::Value check = inject::Value::map({{"description", result.description}});
      if (!result.hint.empty()) check.set("hint", result.hint);
      if (!result.error.empty()) check.set("error", result.error);
      check.set("result", word(result.kind));
      checks.push(std::move(check));
    }
    all.push(inject::Value::map({{"categoryName", category.name}, {"checks", std::move(checks)}}));
  }
  out_ << inject::Value::map({{"success", success_}, {"categories", std::move(all)}})
              .to_pretty_json()
       << "\n";
  return success_;
}

bool run_checks(const std::vector<Category>& categories, const CheckRun& run, Reporter& reporter) {
  std::chrono::nanoseconds left = run.wait;
  for (const Category& category : categories) {
    reporter.begin(category.name);
    for (const Check& check : category.checks) {
      Outcome outcome = check.run();
      bool waited = false;
      while (outcome.kind == Outcome::Kind::Fail && (check.traits & kRetry) != 0 &&
             left > std::chrono::nanoseconds{0}) {
        const auto pause = std::min(run.pause, left);
        waited = true;
        run.progress(check.description, outcome.error);
        run.sleep(pause);
        left -= pause;
        run.forget();
        outcome = check.run();
      }
      if (waited) run.progress("", "");
      if (outcome.kind == Outcome::Kind::Skip) continue;
      CheckResult result;
      result.description = check.description;
      if (outcome.kind == Outcome::Kind::Fail) {
        result.kind = (check.traits & kWarning) != 0 ? Kind::Warning : Kind::Error;
        result.error = std::move(outcome.error);
        if (!check.anchor.empty()) result.hint = hint_of(check.anchor);
      }
      const bool stop = result.kind == Kind::Error && (check.traits & kFatal) != 0;
      reporter.add(std::move(result));
      if (stop) return false;
    }
  }
  return true;
}

}  // namespace tulle::cli
