// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms in the exposition format that Linkerd's tooling reads (proxy.md §6).
// Series are looked up once, where a connection or a route is made; the data path only bumps through the
// pointer it was given (a relaxed atomic). Text is made when scraped. Every family has a bound: what
// comes beyond shares one overflow series and is counted in tulle_metrics_overflow_total{family}.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
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

// Label names and values in the order in which they are printed. Values need no escaping.
class Labels {
 public:
  Labels() = default;
  Labels(std::initializer_list<std::pair<std::string_view, std::string_view>> labels) {
    for (const auto& [name, value] : labels) add(name, value);
  }
  Labels& add(std::string_view name, std::string_view value);
  Labels& append(const Labels& other);
  // `a="b",c="d"`, escaped.
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void add(std::int64_t n) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  void set(std::int64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  std::int64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Cumulative when printed. Bounds are those of the family.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds), counts_(new std::atomic<std::uint64_t>[bounds.size() + 1]()) {}
  void observe(double value) noexcept {
    std::size_t at = 0;
    while (at < bounds_.size() && value > bounds_[at]) ++at;
    counts_[at].fetch_add(1, std::memory_order_relaxed);
    // In millionths: sums are exact, and one atomic add.
    sum_.fetch_add(static_cast<std::int64_t>(value * 1e6), std::memory_order_relaxed);
  }
  std::span<const double> bounds() const noexcept { return bounds_; }
  std::uint64_t count(std::size_t bucket) const noexcept {
    return counts_[bucket].load(std::memory_order_relaxed);
  }
  double sum() const noexcept {
    return static_cast<double>(sum_.load(std::memory_order_relaxed)) / 1e6;
  }

 private:
  std::span<const double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
  std::atomic<std::int64_t> sum_{0};
};

// 1 ms … 50 s, the buckets of the legacy latency histograms (proxy.md §6), in milliseconds.
std::span<const double> latency_buckets_ms() noexcept;

enum class Format : std::uint8_t {
  Legacy,       // first section; families without series are left out; series expire
  OpenMetrics,  // second section, ends with "# EOF"; series stay; counter names get _total
};

template <typename Metric>
class Family;

class FamilyBase {
 public:
  virtual ~FamilyBase() = default;
  Format format() const noexcept { return format_; }

 protected:
  FamilyBase(std::string name, std::string help, Format format)
      : name_(std::move(name)), help_(std::move(help)), format_(format) {}
  friend class Registry;
  virtual void print(std::string& out, TimePoint now, Duration retain) = 0;
  virtual std::uint64_t overflowed() const = 0;
  std::string name_;
  std::string help_;
  Format format_;
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
  struct Series {
    Ptr metric;
    std::uint64_t last_value = 0;
    TimePoint last_change{};
  };
  Family(std::string name, std::string help, Format format, std::span<const double> bounds,
         std::size_t max_series)
      : FamilyBase(std::move(name), std::move(help), format), bounds_(bounds), max_series_(max_series) {}
  Ptr make() const;
  void print(std::string& out, TimePoint now, Duration retain) override;
  std::uint64_t overflowed() const override { return overflowed_.load(std::memory_order_relaxed); }

  std::span<const double> bounds_;
  std::size_t max_series_;
  std::mutex mutex_;
  std::unordered_map<std::string, Series> series_;
  Ptr overflow_;
  std::atomic<std::uint64_t> overflowed_{0};
};

class Registry {
 public:
  explicit Registry(Duration retain_idle = 10min, std::size_t max_series_per_family = 2000)
      : retain_idle_(retain_idle), max_series_(max_series_per_family) {}

  // Families live as long as the registry. Names without _total: it is added where the format wants it
  // (OpenMetrics); legacy names are printed as given.
  Family<Counter>& counter(std::string name, std::string help, Format format = Format::Legacy);
  Family<Gauge>& gauge(std::string name, std::string help, Format format = Format::Legacy);
  Family<Histogram>& histogram(std::string name, std::string help, std::span<const double> bounds,
                               Format format = Format::Legacy);

  // Adds lines of its own at each scrape, to the given section.
  using Collector = void (*)(void* context, std::string& out);
  void collect(Format format, Collector collector, void* context);

  std::string scrape();

 private:
  template <typename Metric>
  Family<Metric>& add(std::string name, std::string help, Format format, std::span<const double> bounds);
  Duration retain_idle_;
  std::size_t max_series_;
  std::mutex mutex_;
  std::deque<std::unique_ptr<FamilyBase>> families_;
  struct Extra {
    Format format;
    Collector collector;
    void* context;
  };
  std::vector<Extra> extras_;
};

void append_real(std::string& out, double value);
// Process-wide families (proxy.md §6.5 process_*), as OpenMetrics lines.
void append_process_metrics(std::string& out, WallTime started_at);

}  // namespace tulle::metrics
