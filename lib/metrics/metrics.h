// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms in the exposition format that Linkerd's tooling reads
// (docs/reference/proxy.md §6). Series are looked up once, where a connection or a route is made;
// the data path only bumps through the pointer it was given (a relaxed atomic). Text is made when
// scraped, without a lock that the data path could wait for. Every family has a bound: what comes
// beyond shares one overflow series and is counted in tulle_metrics_overflow_total{family}.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/base/time.h"

namespace tulle::metrics {

// Label names and values in the order in which they are printed. Values are escaped here.
class Labels {
 public:
  Labels() = default;
  Labels(std::initializer_list<std::pair<std::string_view, std::string_view>> labels) {
    for (const auto& [name, value] : labels) add(name, value);
  }
  // `name` must be a valid label name; the value may be any UTF-8.
  Labels& add(std::string_view name, std::string_view value);
  Labels& append(const Labels& other);
  // `a="b",c="d"`, escaped.
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

// Only grows. From any thread, 8 bytes.
class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Goes up and down. From any thread, 8 bytes.
class Gauge {
 public:
  void add(std::int64_t n) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  void set(std::int64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  std::int64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Cumulative when printed. Bounds (ascending, inclusive) are those of the family and outlive it.
// With the 25 latency buckets it takes 248 bytes.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds), counts_(new std::atomic<std::uint64_t>[bounds.size() + 1]()) {}
  // In the unit of the bounds. O(buckets), no lock.
  void observe(double value) noexcept {
    std::size_t at = 0;
    while (at < bounds_.size() && value > bounds_[at]) ++at;
    counts_[at].fetch_add(1, std::memory_order_relaxed);
    double sum = sum_.load(std::memory_order_relaxed);
    while (!sum_.compare_exchange_weak(sum, sum + value, std::memory_order_relaxed)) {
    }
  }
  std::span<const double> bounds() const noexcept { return bounds_; }
  // Of the bucket alone, not cumulative; bounds().size() is the one above all bounds.
  std::uint64_t count(std::size_t bucket) const noexcept {
    return counts_[bucket].load(std::memory_order_relaxed);
  }
  std::uint64_t total() const noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i <= bounds_.size(); ++i) sum += count(i);
    return sum;
  }
  double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

 private:
  std::span<const double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
  std::atomic<double> sum_{0};
};

// 1 ms … 50 s, the buckets of the legacy latency histograms (docs/reference/proxy.md §6), in
// milliseconds.
std::span<const double> latency_buckets_ms() noexcept;

enum class Format : std::uint8_t {
  Legacy,       // first section; families without series are left out; series expire
  OpenMetrics,  // second section, ends with "# EOF"; series stay; counter names get _total
};

// Takes the text as it grows: call checkpoint() between lines.
class Output {
 public:
  using Chunk = std::function<void(std::string&& text)>;
  explicit Output(Chunk chunk) : chunk_(std::move(chunk)) {}
  std::string& text() noexcept { return text_; }
  void checkpoint() {
    if (text_.size() >= kChunk) flush();
  }
  void flush();

 private:
  static constexpr std::size_t kChunk = std::size_t{32} * 1024;
  Chunk chunk_;
  std::string text_;
};

// What the registry knows of a family, whatever its type.
class FamilyBase {
 public:
  virtual ~FamilyBase() = default;
  Format format() const noexcept { return format_; }

 protected:
  FamilyBase(std::string name, std::string help, Format format)
      : name_(std::move(name)), help_(std::move(help)), format_(format) {}
  friend class Registry;
  virtual void print(Output& out, TimePoint now) = 0;
  virtual std::uint64_t overflowed() const = 0;
  const std::string name_;
  const std::string help_;
  const Format format_;
};

// All series of one name. Thread-safe; look-ups take a lock and are not for the request path.
template <typename Metric>
class Family final : public FamilyBase {
 public:
  using Ptr = std::shared_ptr<Metric>;
  // The series with these labels, made if it is not there. Keep the pointer while it may be used: a
  // legacy series with no holder expires once it was idle long enough.
  Ptr get(const Labels& labels);

 private:
  friend class Registry;
  // One allocation holds a series and its labels; pointers given out share it.
  struct Series {
    Series(std::string labels_text, std::span<const double> bounds);
    const std::string labels;
    Metric metric;
    std::uint64_t last_value = 0;
    TimePoint last_change{};
  };
  Family(std::string name, std::string help, Format format, std::span<const double> bounds,
         std::size_t max_series, Duration retain_idle)
      : FamilyBase(std::move(name), std::move(help), format),
        bounds_(bounds),
        max_series_(max_series),
        retain_idle_(retain_idle) {}
  void print(Output& out, TimePoint now) override;
  std::uint64_t overflowed() const override { return overflowed_.load(std::memory_order_relaxed); }
  void expire(TimePoint now);  // under mutex_

  const std::span<const double> bounds_;
  const std::size_t max_series_;
  const Duration retain_idle_;
  std::mutex mutex_;
  std::unordered_map<std::string_view, std::shared_ptr<Series>> series_;  // by its own labels
  std::shared_ptr<Series> overflow_;
  TimePoint next_expiry_{};
  std::atomic<std::uint64_t> overflowed_{0};
};

// All families of a process. Thread-safe. `retain_idle`: so long a legacy series without a holder
// is kept after its last change.
class Registry {
 public:
  explicit Registry(Duration retain_idle = 10min, std::size_t max_series_per_family = 2000)
      : retain_idle_(retain_idle), max_series_(max_series_per_family) {}

  // Families live as long as the registry. Names without _total: it is added where the format wants
  // it (OpenMetrics); legacy names are printed as given. Bounds must outlive the registry.
  Family<Counter>& counter(std::string name, std::string help, Format format = Format::Legacy);
  Family<Gauge>& gauge(std::string name, std::string help, Format format = Format::Legacy);
  Family<Histogram>& histogram(std::string name, std::string help, std::span<const double> bounds,
                               Format format = Format::Legacy);

  // Adds lines of its own at each scrape, to the given section. Called on the scraping thread.
  using Collector = void (*)(void* context, std::string& out);
  void collect(Format format, Collector collector, void* context);

  // The whole text, in pieces of about 32 KiB or at once. One scrape at a time; others wait.
  void scrape(const Output::Chunk& chunk);
  std::string scrape();

 private:
  struct Extra {
    Format format;
    Collector collector;
    void* context;
  };
  template <typename Metric>
  Family<Metric>& add(std::string name, std::string help, Format format,
                      std::span<const double> bounds);
  const Duration retain_idle_;
  const std::size_t max_series_;
  std::mutex scrape_mutex_;
  std::mutex mutex_;  // of the two lists
  std::deque<std::unique_ptr<FamilyBase>> families_;
  std::vector<Extra> extras_;
};

// Whole numbers without a point, others with up to nine digits.
void append_real(std::string& out, double value);
// Process-wide families (docs/reference/proxy.md §6.5 process_*), as OpenMetrics lines.
void append_process_metrics(std::string& out, WallTime started_at);

}  // namespace tulle::metrics
