// SPDX-License-Identifier: Apache-2.0
#include "lib/metrics/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <type_traits>

#include "lib/base/text.h"

namespace tulle::metrics {
namespace {

constexpr std::uint64_t kLegacyWrap = std::uint64_t{1} << 53;  // floats hold no larger integer exactly

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '"') {
      out += "\\\"";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

void line(std::string& out, std::string_view name, std::string_view suffix, std::string_view labels,
          std::string_view extra) {
  out += name;
  out += suffix;
  if (!labels.empty() || !extra.empty()) {
    out += '{';
    out += labels;
    if (!labels.empty() && !extra.empty()) out += ',';
    out += extra;
    out += '}';
  }
  out += ' ';
}

void print_series(std::string& out, std::string_view name, Format format, std::string_view labels,
                  const Counter& counter) {
  line(out, name, format == Format::OpenMetrics ? "_total" : "", labels, "");
  append_number(out, format == Format::Legacy ? counter.value() % kLegacyWrap : counter.value());
  out += '\n';
}
void print_series(std::string& out, std::string_view name, Format, std::string_view labels,
                  const Gauge& gauge) {
  line(out, name, "", labels, "");
  append_number(out, gauge.value());
  out += '\n';
}
void print_series(std::string& out, std::string_view name, Format format, std::string_view labels,
                  const Histogram& histogram) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= histogram.bounds().size(); ++i) {
    total += histogram.count(i);
    std::string le = "le=\"";
    if (i < histogram.bounds().size()) {
      append_real(le, histogram.bounds()[i]);
    } else {
      le += "+Inf";
    }
    le += '"';
    line(out, name, "_bucket", labels, le);
    append_number(out, total);
    out += '\n';
  }
  line(out, name, "_count", labels, "");
  append_number(out, total);
  out += '\n';
  line(out, name, "_sum", labels, "");
  if (format == Format::Legacy) {
    append_number(out, static_cast<std::uint64_t>(histogram.sum()));
  } else {
    append_real(out, histogram.sum());
  }
  out += '\n';
}

std::uint64_t fingerprint(const Counter& counter) { return counter.value(); }
std::uint64_t fingerprint(const Gauge& gauge) { return static_cast<std::uint64_t>(gauge.value()); }
std::uint64_t fingerprint(const Histogram& histogram) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= histogram.bounds().size(); ++i) total += histogram.count(i);
  return total;
}

template <typename Metric>
constexpr std::string_view type_name() {
  if constexpr (std::is_same_v<Metric, Counter>) return "counter";
  if constexpr (std::is_same_v<Metric, Gauge>) return "gauge";
  return "histogram";
}

}  // namespace

void append_real(std::string& out, double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15) {
    append_number(out, static_cast<std::int64_t>(value));
    return;
  }
  char text[32];
  const int n = std::snprintf(text, sizeof text, "%.9g", value);
  out.append(text, static_cast<std::size_t>(n));
}

std::span<const double> latency_buckets_ms() noexcept {
  static constexpr double kBuckets[] = {1,    2,    3,    4,    5,     10,    20,    30,   40,
                                        50,   100,  200,  300,  400,   500,   1000,  2000, 3000,
                                        4000, 5000, 10000, 20000, 30000, 40000, 50000};
  return kBuckets;
}

Labels& Labels::add(std::string_view name, std::string_view value) {
  if (!text_.empty()) text_ += ',';
  text_ += name;
  text_ += "=\"";
  append_escaped(text_, value);
  text_ += '"';
  return *this;
}

Labels& Labels::append(const Labels& other) {
  if (!text_.empty() && !other.text_.empty()) text_ += ',';
  text_ += other.text_;
  return *this;
}

template <typename Metric>
typename Family<Metric>::Ptr Family<Metric>::make() const {
  if constexpr (std::is_same_v<Metric, Histogram>) {
    return std::make_shared<Histogram>(bounds_);
  } else {
    return std::make_shared<Metric>();
  }
}

template <typename Metric>
typename Family<Metric>::Ptr Family<Metric>::get(const Labels& labels) {
  const std::lock_guard lock(mutex_);
  if (const auto at = series_.find(labels.text()); at != series_.end()) return at->second.metric;
  if (series_.size() >= max_series_) {
    overflowed_.fetch_add(1, std::memory_order_relaxed);
    if (!overflow_) overflow_ = make();
    return overflow_;
  }
  Series series{make(), 0, monotonic_now()};
  Ptr metric = series.metric;
  series_.emplace(labels.text(), std::move(series));
  return metric;
}

template <typename Metric>
void Family<Metric>::print(std::string& out, TimePoint now, Duration retain) {
  const std::lock_guard lock(mutex_);
  if (format_ == Format::Legacy) {
    for (auto at = series_.begin(); at != series_.end();) {
      Series& series = at->second;
      const std::uint64_t value = fingerprint(*series.metric);
      if (value != series.last_value || series.metric.use_count() > 1) {
        series.last_value = value;
        series.last_change = now;
      }
      at = now - series.last_change > retain ? series_.erase(at) : std::next(at);
    }
    if (series_.empty()) return;
  }
  out += "# HELP ";
  out += name_;
  out += ' ';
  out += help_;
  out += "\n# TYPE ";
  out += name_;
  out += ' ';
  out += type_name<Metric>();
  out += '\n';
  if (format_ == Format::OpenMetrics) {
    for (const std::string_view unit : {"seconds", "bytes"}) {
      if (name_.ends_with(concat("_", unit))) out += concat("# UNIT ", name_, " ", unit, "\n");
    }
  }
  for (const auto& [labels, series] : series_) print_series(out, name_, format_, labels, *series.metric);
  if (overflow_) print_series(out, name_, format_, "overflow=\"true\"", *overflow_);
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

template <typename Metric>
Family<Metric>& Registry::add(std::string name, std::string help, Format format,
                              std::span<const double> bounds) {
  auto family = std::unique_ptr<Family<Metric>>(
      new Family<Metric>(std::move(name), std::move(help), format, bounds, max_series_));
  Family<Metric>& added = *family;
  const std::lock_guard lock(mutex_);
  families_.push_back(std::move(family));
  return added;
}

Family<Counter>& Registry::counter(std::string name, std::string help, Format format) {
  return add<Counter>(std::move(name), std::move(help), format, {});
}
Family<Gauge>& Registry::gauge(std::string name, std::string help, Format format) {
  return add<Gauge>(std::move(name), std::move(help), format, {});
}
Family<Histogram>& Registry::histogram(std::string name, std::string help,
                                       std::span<const double> bounds, Format format) {
  return add<Histogram>(std::move(name), std::move(help), format, bounds);
}

void Registry::collect(Format format, Collector collector, void* context) {
  const std::lock_guard lock(mutex_);
  extras_.push_back({format, collector, context});
}

std::string Registry::scrape() {
  const TimePoint now = monotonic_now();
  const std::lock_guard lock(mutex_);
  std::string out;
  std::string overflow;
  for (const Format format : {Format::Legacy, Format::OpenMetrics}) {
    for (const auto& family : families_) {
      if (family->format() == format) family->print(out, now, retain_idle_);
      if (format == Format::Legacy && family->overflowed() != 0) {
        line(overflow, "tulle_metrics_overflow", "_total", concat("family=\"", family->name_, "\""), "");
        append_number(overflow, family->overflowed());
        overflow += '\n';
      }
    }
    for (const Extra& extra : extras_) {
      if (extra.format == format) extra.collector(extra.context, out);
    }
  }
  if (!overflow.empty()) {
    out += "# HELP tulle_metrics_overflow Look-ups that did not get a series of their own.\n"
           "# TYPE tulle_metrics_overflow counter\n";
    out += overflow;
  }
  out += "# EOF\n";
  return out;
}

}  // namespace tulle::metrics
