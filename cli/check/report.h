// SPDX-License-Identifier: Apache-2.0
// Checks as a list, how they run one after the other, and how their results are written
// (docs/reference/control-plane.md §7.3). What is checked is in the other files of this folder.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace tulle::cli {

struct Outcome {
  enum class Kind : std::uint8_t { Pass, Fail, Skip };
  Kind kind = Kind::Pass;
  // What is wrong, on which object, and what to do; may have several lines.
  std::string error;
};
inline Outcome pass() { return {}; }
inline Outcome fail(std::string error) { return {Outcome::Kind::Fail, std::move(error)}; }
// Does not apply here; nobody sees it.
inline Outcome skip() { return {Outcome::Kind::Skip, ""}; }
// Passes if there is no error.
inline Outcome unless(std::string error) { return error.empty() ? pass() : fail(std::move(error)); }

enum Traits : unsigned { kNone = 0, kFatal = 1, kWarning = 2, kRetry = 4 };

struct Check {
  std::string description;
  std::string anchor;  // of the hint; "" if there is none
  unsigned traits = kNone;
  std::function<Outcome()> run;
};
struct Category {
  std::string name;
  std::vector<Check> checks;
};

struct CheckResult {
  enum class Kind : std::uint8_t { Success, Warning, Error };
  std::string description;
  std::string hint;   // an address; only of those that did not succeed
  std::string error;  // the same
  Kind kind = Kind::Success;
};
struct CategoryResult {
  std::string name;
  std::vector<CheckResult> checks;
};

// The address of a check's hint.
std::string hint_of(std::string_view anchor);

enum class ReportFormat : std::uint8_t { Table, Basic, Json, Short };

// Writes results as they come; JSON once all are there.
class Reporter {
 public:
  // `colors` for terminals, in Table only.
  Reporter(std::ostream& out, ReportFormat format, bool colors)
      : out_(out), format_(format), colors_(colors) {}
  void begin(const std::string& category);
  void add(CheckResult result);
  // True if nothing failed (warnings are no failures).
  bool finish();

 private:
  void write(const CheckResult& result);
  std::ostream& out_;
  const ReportFormat format_;
  const bool colors_;
  std::vector<CategoryResult> categories_;
  bool title_written_ = false;
  bool any_written_ = false;
  bool success_ = true;
};

struct CheckRun {
  std::chrono::nanoseconds wait{
      std::chrono::minutes(5)};  // for what is retried, counted from the start
  std::chrono::nanoseconds pause{std::chrono::seconds(5)};
  // Between two tries; gets the time to wait.
  std::function<void(std::chrono::nanoseconds)> sleep;
  // Called before a check is tried again: what was read before must be forgotten.
  std::function<void()> forget;
  // Of a check that is tried again: description and what is wrong yet; "" and "" when that is over.
  std::function<void(std::string_view, std::string_view)> progress;
};
// Runs everything up to the first fatal failure; false if that was met.
bool run_checks(const std::vector<Category>& categories, const CheckRun& run, Reporter& reporter);

}  // namespace tulle::cli
