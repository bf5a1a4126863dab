// SPDX-License-Identifier: Apache-2.0
#include "lib/metrics/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <type_traits>

#include "lib/base/text.h"

namespace tulle::metrics {
namespace {

constexpr std::uint64_t kLegacyWrap = std::uint64_t{1}
                                      << 53;  // doubles hold no larger ones exactly
constexpr Duration kExpiryPause = 1s;         // a full family looks for idle series no more often

void append_escaped(std::string& out, std::string_view text) {
  std::size_t from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '\\' && c != '"' && c != '\n') continue;
    out += text.substr(from, i - from);
    out += '\\';
    out += c == '\n' ? 'n' : c;
    from = i + 1;
  }
  out += text.substr(from);
}

// Labels grow piece by piece; all of them fit into this, mostly.
void make_room(std::string& text, std::size_t more) {
  constexpr std::size_t kUsual = 250;
  if (text.capacity() - text.size() < more)
    text.reserve(std::max({kUsual, text.size() + more, 2 * text.capacity()}));
}

// OpenMetrics writes floats with a point, and `le` is compared as text by some readers.
void append_float(std::string& out, double value, Format format) {
  const std::size_t before = out.size();
  append_real(out, value);
  const std::string_view digits = std::string_view(out).substr(before);
  if (format == Format::OpenMetrics &&
      digits.find_first_not_of("-0123456789") == std::string::npos) {
    out += ".0";
  }
}

void line(std::string& out, std::string_view name, std::string_view suffix, std::string_view labels,
          std::string_view extra = {}) {
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
  line(out, name, format == Format::OpenMetrics ? "_total" : "", labels);
  append_number(out, format == Format::Legacy ? counter.value() % kLegacyWrap : counter.value());
  out += '\n';
}
void print_series(std::string& out, std::string_view name, Format, std::string_view labels,
                  const Gauge& gauge) {
  line(out, name, "", labels);
  append_number(out, gauge.value());
  out += '\n';
}
void print_series(std::string& out, std::string_view name, Format format, std::string_view labels,
                  const Histogram& histogram) {
  std::uint64_t total = 0;
  std::string le;
  for (std::size_t i = 0; i <= histogram.bounds().size(); ++i) {
    total += histogram.count(i);
    le = "le=\"";
    if (i < histogram.bounds().size()) {
      append_float(le, histogram.bounds()[i], format);
    } else {
      le += "+Inf";
    }
    le += '"';
    line(out, name, "_bucket", labels, le);
    append_number(out, total);
    out += '\n';
  }
  line(out, name, "_count", labels);
  append_number(out, total);
  out += '\n';
  line(out, name, "_sum", labels);
  if (format == Format::Legacy) {
    append_number(out, static_cast<std::uint64_t>(std::max(histogram.sum(), 0.0)) % kLegacyWrap);
  } else {
    append_float(out, histogram.sum(), format);
  }
  out += '\n';
}

// Changes whenever the metric is used (a gauge that returns to its value is not told apart).
std::uint64_t fingerprint(const Counter& counter) { return counter.value(); }
std::uint64_t fingerprint(const Gauge& gauge) { return static_cast<std::uint64_t>(gauge.value()); }
std::uint64_t fingerprint(const Histogram& histogram) { return histogram.total(); }

template <typename Metric>
constexpr std::string_view type_name() {
  if constexpr (std::is_same_v<Metric, Counter>) return "counter";
  if constexpr (std::is_same_v<Metric, Gauge>) return "gauge";
  return "histogram";
}

template <typename Metric>
Metric make_metric(std::span<const double> bounds) {
  if constexpr (std::is_same_v<Metric, Histogram>) {
    return Histogram(bounds);
  } else {
    return Metric();
  }
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
  static constexpr double kBuckets[] = {1,    2,    3,     4,     5,     10,    20,   30,   40,
                                        50,   100,  200,   300,   400,   500,   1000, 2000, 3000,
                                        4000, 5000, 10000, 20000, 30000, 40000, 50000};
  return kBuckets;
}

Labels& Labels::add(std::string_view name, std::string_view value) {
  make_room(text_, name.size() + value.size() + 4);
  if (!text_.empty()) text_ += ',';
  text_ += name;
  text_ += "=\"";
  append_escaped(text_, value);
  text_ += '"';
  return *this;
}

Labels& Labels::append(const Labels& other) {
  make_room(text_, other.text_.size() + 1);
  if (!text_.empty() && !other.text_.empty()) text_ += ',';
  text_ += other.text_;
  return *this;
}

void Output::flush() {
  if (text_.empty()) return;
  chunk_(std::move(text_));
  text_.clear();
}

template <typename Metric>
Family<Metric>::Series::Series(std::string labels_text, std::span<const double> bounds)
    : labels(std::move(labels_text)), metric(make_metric<Metric>(bounds)) {}

template <typename Metric>
typename Family<Metric>::Ptr Family<Metric>::get(const Labels& labels) {
  const std::lock_guard lock(mutex_);
  const auto at = series_.find(labels.text());
  std::shared_ptr<Series> series;
  if (at != series_.end()) {
    series = at->second;
  } else {
    const TimePoint now = monotonic_now();
    if (series_.size() >= max_series_ && now >= next_expiry_) {
      next_expiry_ = now + kExpiryPause;
      expire(now);
    }
    if (series_.size() < max_series_) {
      series = std::make_shared<Series>(labels.text(), bounds_);
      series->last_change = now;
      series_.emplace(series->labels, series);
    } else {
      overflowed_.fetch_add(1, std::memory_order_relaxed);
      if (!overflow_) overflow_ = std::make_shared<Series>("overflow=\"true\"", bounds_);
      series = overflow_;
    }
  }
  Metric* const metric = &series->metric;
  return Ptr(std::move(series), metric);
}

template <typename Metric>
void Family<Metric>::expire(TimePoint now) {
  if (format_ != Format::Legacy) return;
  for (auto at = series_.begin(); at != series_.end();) {
    Series& series = *at->second;
    const std::uint64_t value = fingerprint(series.metric);
    if (value != series.last_value || at->second.use_count() > 1) {
      series.last_value = value;
      series.last_change = now;
    }
    at = now - series.last_change > retain_idle_ ? series_.erase(at) : std::next(at);
  }
}

template <typename Metric>
void Family<Metric>::print(Output& out, TimePoint now) {
  // Who asks for a series meanwhile does not wait until all of them are printed.
  std::vector<std::shared_ptr<Series>> series;
  {
    const std::lock_guard lock(mutex_);
    expire(now);
    series.reserve(series_.size() + 1);
    for (const auto& [labels, each] : series_) series.push_back(each);
    if (overflow_) series.push_back(overflow_);
  }
  if (series.empty() && format_ == Format::Legacy) return;
  std::string& text = out.text();
  text += concat("# HELP ", name_, " ", help_, "\n# TYPE ", name_, " ", type_name<Metric>(), "\n");
  if (format_ == Format::OpenMetrics) {
    for (const std::string_view unit : {"seconds", "bytes"}) {
      if (name_.ends_with(concat("_", unit))) text += concat("# UNIT ", name_, " ", unit, "\n");
    }
  }
  for (const std::shared_ptr<Series>& each : series) {
    print_series(out.text(), name_, format_, each->labels, each->metric);
    out.checkpoint();
  }
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

template <typename Metric>
Family<Metric>& Registry::add(std::string name, std::string help, Format format,
                              std::span<const double> bounds) {
  auto family = std::unique_ptr<Family<Metric>>(new Family<Metric>(
      std::move(name), std::move(help), format, bounds, max_series_, retain_idle_));
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

void Registry::scrape(const Output::Chunk& chunk) {
  const std::lock_guard scraping(scrape_mutex_);
  std::vector<FamilyBase*> families;
  std::vector<Extra> extras;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& family : families_) families.push_back(family.get());
    extras = extras_;
  }
  const TimePoint now = monotonic_now();
  Output out(chunk);
  for (const Format format : {Format::Legacy, Format::OpenMetrics}) {
    for (FamilyBase* const family : families) {
      if (family->format() == format) family->print(out, now);
    }
    for (const Extra& extra : extras) {
      if (extra.format == format) extra.collector(extra.context, out.text());
      out.checkpoint();
    }
  }
  bool first = true;
  for (const FamilyBase* const family : families) {
    if (family->overflowed() == 0) continue;
    std::string& text = out.text();
    if (std::exchange(first, false)) {
      text +=
          "# HELP tulle_metrics_overflow Look-ups that did not get a series of their own.\n"
          "# TYPE tulle_metrics_overflow counter\n";
    }
    line(text, "tulle_metrics_overflow", "_total", concat("family=\"", family->name_, "\""));
    append_number(text, family->overflowed());
    text += '\n';
  }
  out.text() += "# EOF\n";
  out.flush();
}

std::string Registry::scrape() {
  std::string all;
  scrape([&all](std::string&& text) {
    if (all.empty()) {
      all = std::move(text);
    } else {
      all += text;
    }
  });
  return all;
}

}  // namespace tulle::metrics
