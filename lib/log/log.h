// SPDX-License-Identifier: Apache-2.0
// Structured logging: a fixed sentence plus fields.
//   log.info("listening", {{"addr", text}, {"port", 4143}});
// Plain or JSON lines (docs/reference/proxy.md §8.2), one write(2) each, at most 4 KiB. The filter
// (§8.3) can change while the process runs. A reader that is too slow loses lines (counted, and
// told once it reads again), never blocks us. Secrets, tokens and header values are never given to
// a logger.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/log/filter.h"

namespace tulle::log {

// Lives as long as the call it is given to.
struct Value {
  enum class Kind : std::uint8_t { Text, Integer, Unsigned, Real, Bool, Span };
  Value(std::string_view text) : kind(Kind::Text), text_value(text) {}    // NOLINT
  Value(const char* text) : kind(Kind::Text), text_value(text) {}         // NOLINT
  Value(const std::string& text) : kind(Kind::Text), text_value(text) {}  // NOLINT
  Value(int n) : kind(Kind::Integer), integer(n) {}                       // NOLINT
  Value(long n) : kind(Kind::Integer), integer(n) {}                      // NOLINT
  Value(long long n) : kind(Kind::Integer), integer(n) {}                 // NOLINT
  Value(unsigned n) : kind(Kind::Unsigned), natural(n) {}                 // NOLINT
  Value(unsigned long n) : kind(Kind::Unsigned), natural(n) {}            // NOLINT
  Value(unsigned long long n) : kind(Kind::Unsigned), natural(n) {}       // NOLINT
  Value(double x) : kind(Kind::Real), real(x) {}                          // NOLINT
  Value(bool b) : kind(Kind::Bool), integer(b ? 1 : 0) {}                 // NOLINT
  // Written in seconds with a unit, "1.5s"; a text in JSON, too.
  template <typename Rep, typename Period>
  Value(std::chrono::duration<Rep, Period> span)  // NOLINT
      : kind(Kind::Span), integer(Duration(span).count()) {}
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
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  // Loggers follow at their next line.
  void set_filter(Filter filter);
  std::string filter_text() const;
  bool off() const noexcept { return options_.off; }
  // Writes a line that somebody else has formatted (the access log) and adds the newline. Beyond 4
  // KiB it is cut. The filter has no say.
  void write_line(std::string_view text);
  // Lines that no reader took.
  std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

 private:
  friend class Logger;
  struct Line {
    Level level;
    std::string_view target;
    std::string_view message;
    Fields fields;
    std::uint64_t held_back = 0;
  };
  void write(const Line& line);
  void emit(std::string& line);  // adds the newline
  void format_plain(std::string& out, const Line& line) const;
  void format_json(std::string& out, const Line& line) const;
  std::shared_ptr<const Filter> filter() const;

  const Options options_;
  const TimePoint started_;
  mutable std::mutex filter_mutex_;
  std::shared_ptr<const Filter> filter_;
  std::atomic<std::uint32_t> generation_{1};
  std::mutex write_mutex_;  // keeps another line from filling the pipe between poll and write
  std::uint64_t untold_drops_ = 0;  // under write_mutex_
  std::atomic<std::uint64_t> dropped_{0};
};

// Lets at most `burst` calls a period through and tells how many it held back since. One for each
// call site that the outside can make noisy; not thread-safe.
class RateLimit {
 public:
  explicit RateLimit(Duration period, unsigned burst = 1) : period_(period), burst_(burst) {}
  // True: log now; `held_back` says how many were not logged since the last.
  bool allow(TimePoint now, std::uint64_t& held_back) noexcept;

 private:
  Duration period_;
  unsigned burst_;
  unsigned used_ = 0;
  TimePoint until_{};
  std::uint64_t held_back_ = 0;
};

// A sink and a target ("linkerd", "tulle::control"). Cheap to copy; a line of a disabled level
// costs two loads and a compare. May be shared between threads.
class Logger {
 public:
  // `target` is a literal; the sink must outlive every logger.
  Logger(Sink& sink, std::string_view target) : sink_(&sink), target_(target) {}
  Logger(const Logger& other)
      : sink_(other.sink_),
        target_(other.target_),
        known_(other.known_.load(std::memory_order_relaxed)) {}
  Logger& operator=(const Logger&) = delete;

  bool enabled(Level level) const noexcept;
  void error(std::string_view message, Fields fields = {}) const {
    put(Level::Error, message, fields);
  }
  void warn(std::string_view message, Fields fields = {}) const {
    put(Level::Warn, message, fields);
  }
  void info(std::string_view message, Fields fields = {}) const {
    put(Level::Info, message, fields);
  }
  void debug(std::string_view message, Fields fields = {}) const {
    put(Level::Debug, message, fields);
  }
  void trace(std::string_view message, Fields fields = {}) const {
    put(Level::Trace, message, fields);
  }
  // Only if the limit allows; a field held_back tells how many lines it kept away.
  void limited(RateLimit& limit, TimePoint now, Level level, std::string_view message,
               Fields fields = {}) const;

 private:
  void put(Level level, std::string_view message, Fields fields) const {
    if (enabled(level)) sink_->write({level, target_, message, fields});
  }
  Sink* sink_;
  std::string_view target_;
  // The sink's generation << 3 | the level that it gives this target.
  mutable std::atomic<std::uint32_t> known_{0};
};

// Appends `text` as the inside of a JSON string. Bytes that are not UTF-8 become U+FFFD.
void append_json_escaped(std::string& out, std::string_view text);

}  // namespace tulle::log
