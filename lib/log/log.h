// SPDX-License-Identifier: Apache-2.0
// Structured logging: a fixed sentence plus fields.
//   log.info("listening", {{"addr", text}, {"port", 4143}});
// Plain or JSON lines (proxy.md §8.2), one write(2) each. The filter (§8.3) can change while the
// process runs. A reader that is too slow loses lines (counted), never blocks us. Secrets, tokens and
// header values are never given to a logger.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/time.h"

namespace tulle::log {

enum class Level : std::uint8_t { Off, Error, Warn, Info, Debug, Trace };
std::string_view to_string(Level level) noexcept;

// "warn,linkerd=info,tulle::h2=debug": the longest target prefix wins.
class Filter {
 public:
  // Strict: any directive that cannot be understood fails with Invalid.
  static Result<Filter> parse(std::string_view text);
  // Lenient: such directives are ignored.
  static Filter parse_lenient(std::string_view text);
  Level level_for(std::string_view target) const noexcept;
  Level most_verbose() const noexcept;
  std::string_view text() const noexcept { return text_; }

 private:
  struct Directive {
    std::string target;  // empty: everything
    Level level;
  };
  static bool parse_into(std::string_view text, Filter& filter);
  std::vector<Directive> directives_;
  std::string text_;
};

struct Value {
  enum class Kind : std::uint8_t { Text, Integer, Unsigned, Real, Bool };
  Value(std::string_view text) : kind(Kind::Text), text_value(text) {}  // NOLINT
  Value(const char* text) : kind(Kind::Text), text_value(text) {}       // NOLINT
  Value(const std::string& text) : kind(Kind::Text), text_value(text) {}  // NOLINT
  Value(int n) : kind(Kind::Integer), integer(n) {}                     // NOLINT
  Value(long n) : kind(Kind::Integer), integer(n) {}                    // NOLINT
  Value(long long n) : kind(Kind::Integer), integer(n) {}               // NOLINT
  Value(unsigned n) : kind(Kind::Unsigned), natural(n) {}               // NOLINT
  Value(unsigned long n) : kind(Kind::Unsigned), natural(n) {}          // NOLINT
  Value(unsigned long long n) : kind(Kind::Unsigned), natural(n) {}     // NOLINT
  Value(double x) : kind(Kind::Real), real(x) {}                        // NOLINT
  Value(bool b) : kind(Kind::Bool), integer(b ? 1 : 0) {}               // NOLINT
  Kind kind;
  std::string_view text_value;
  std::int64_t integer = 0;
  std::uint64_t natural = 0;
  double real = 0;
};
struct Field {
  std::string_view name;
  Value value;
};
using Fields = std::initializer_list<Field>;

// Where lines go; one per process, shared by its loggers. Thread-safe.
class Sink {
 public:
  struct Options {
    int fd = 1;
    bool json = false;
    bool off = false;
  };
  Sink(const Options& options, Filter filter);
  ~Sink();
  void set_filter(Filter filter);
  std::string filter_text() const;
  bool off() const noexcept { return options_.off; }
  std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

 private:
  friend class Logger;
  void write(Level level, std::string_view target, std::string_view message, Fields fields);
  std::shared_ptr<const Filter> filter() const;

  Options options_;
  TimePoint started_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Filter> filter_;
  std::atomic<std::uint32_t> generation_{1};
  std::atomic<std::uint64_t> dropped_{0};
};

// A sink and a target ("linkerd", "tulle::control"). Cheap to copy; disabled levels cost one load.
class Logger {
 public:
  Logger(Sink& sink, std::string_view target) : sink_(&sink), target_(target) {}
  Logger(const Logger& other) : sink_(other.sink_), target_(other.target_) {}
  Logger& operator=(const Logger&) = delete;

  bool enabled(Level level) const noexcept;
  void error(std::string_view message, Fields fields = {}) const { put(Level::Error, message, fields); }
  void warn(std::string_view message, Fields fields = {}) const { put(Level::Warn, message, fields); }
  void info(std::string_view message, Fields fields = {}) const { put(Level::Info, message, fields); }
  void debug(std::string_view message, Fields fields = {}) const { put(Level::Debug, message, fields); }
  void trace(std::string_view message, Fields fields = {}) const { put(Level::Trace, message, fields); }

 private:
  void put(Level level, std::string_view message, Fields fields) const {
    if (enabled(level)) sink_->write(level, target_, message, fields);
  }
  Sink* sink_;
  std::string_view target_;  // a string literal
  mutable std::atomic<std::uint32_t> generation_{0};
  mutable std::atomic<Level> level_{Level::Off};
};

// Lets at most one call a period through and tells how many it held back since.
class RateLimit {
 public:
  explicit RateLimit(Duration period) : period_(period) {}
  // True: log now; `held_back` says how many were not logged since the last.
  bool allow(TimePoint now, std::uint64_t& held_back) noexcept;

 private:
  Duration period_;
  TimePoint next_{};
  std::uint64_t held_back_ = 0;
};

// Appends `text` as the inside of a JSON string.
void append_json_escaped(std::string& out, std::string_view text);

}  // namespace tulle::log
