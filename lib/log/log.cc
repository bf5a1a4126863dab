// SPDX-License-Identifier: Apache-2.0
#include "lib/log/log.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "lib/base/text.h"

namespace tulle::log {
namespace {

// A pipe takes so much at once or not at all (PIPE_BUF), so lines of several threads never mix and
// a pipe that poll(2) calls writable does not block.
constexpr std::size_t kMaxLine = 4096;
constexpr std::string_view kCut = "...";

// Threads are numbered in the order of their first line.
unsigned thread_number() noexcept {
  static std::atomic<unsigned> last{0};
  static thread_local const unsigned number = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return number;
}

// The length of the UTF-8 sequence that `text` begins with, 0 if it is none (RFC 3629 §4).
std::size_t utf8_length(std::string_view text) noexcept {
  const auto at = [text](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto tail = [&at](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (first == 0xE0 && at(1) < 0xA0) return 0;
    if (first == 0xED && at(1) > 0x9F) return 0;  // surrogates
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (first == 0xF0 && at(1) < 0x90) return 0;
    if (first == 0xF4 && at(1) > 0x8F) return 0;
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void append_two(std::string& out, char c) {
  out += '\\';
  out += c;
}

// Zero-padded, or padded with `fill`, to at least `width` digits.
void append_padded(std::string& out, std::uint64_t value, std::size_t width, char fill = '0') {
  char text[24];
  const auto [end, ec] = std::to_chars(text, text + sizeof text, value);
  const auto size = static_cast<std::size_t>(end - text);
  if (size < width) out.append(width - size, fill);
  out.append(text, size);
}

void append_seconds(std::string& out, Duration span) {
  std::int64_t ns = span.count();
  if (ns < 0) {
    out += '-';
    ns = ns == INT64_MIN ? INT64_MAX : -ns;
  }
  append_number(out, ns / 1'000'000'000);
  std::string fraction;
  append_padded(fraction, static_cast<std::uint64_t>(ns % 1'000'000'000), 9);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (!fraction.empty()) {
    out += '.';
    out += fraction;
  }
  out += 's';
}

void append_real(std::string& out, double value, bool json) {
  char text[32];
  const int size = std::snprintf(text, sizeof text, "%.6g", value);
  const std::string_view shown(text, static_cast<std::size_t>(size));
  // JSON has no infinity.
  const bool number = shown.find_first_of("in") == std::string_view::npos;
  if (json && !number) out += '"';
  out += shown;
  if (json && !number) out += '"';
}

// Texts of one word stay as they are; others are quoted, so that fields can be told apart.
void append_plain_text(std::string& out, std::string_view text) {
  const bool word = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > 0x20 && c < 0x7F && c != '"' && c != '\\';
  });
  if (word) {
    out += text;
    return;
  }
  out += '"';
  append_json_escaped(out, text);
  out += '"';
}

void append_value(std::string& out, const Value& value, bool json) {
  switch (value.kind) {
    case Value::Kind::Text:
      if (!json) {
        append_plain_text(out, value.text_value);
        return;
      }
      out += '"';
      append_json_escaped(out, value.text_value);
      out += '"';
      return;
    case Value::Kind::Integer: append_number(out, value.integer); return;
    case Value::Kind::Unsigned: append_number(out, value.natural); return;
    case Value::Kind::Bool: out += value.integer != 0 ? "true" : "false"; return;
    case Value::Kind::Real: append_real(out, value.real, json); return;
    case Value::Kind::Span:
      if (json) out += '"';
      append_seconds(out, Duration{value.integer});
      if (json) out += '"';
      return;
  }
}

}  // namespace

void append_json_escaped(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  while (!text.empty()) {
    const char c = text.front();
    const auto byte = static_cast<unsigned char>(c);
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      append_two(out, c);
    } else if (c == '\n') {
      append_two(out, 'n');
    } else if (c == '\r') {
      append_two(out, 'r');
    } else if (c == '\t') {
      append_two(out, 't');
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 0xF];
    } else if (length == 2 && byte == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0) {
      out += "\\u00";  // control characters of terminals
      out += kHex[static_cast<unsigned char>(text[1]) >> 4];
      out += kHex[static_cast<unsigned char>(text[1]) & 0xF];
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

Sink::Sink(const Options& options, Filter filter)
    : options_(options),
      started_(monotonic_now()),
      filter_(std::make_shared<const Filter>(std::move(filter))) {}
Sink::~Sink() = default;

std::shared_ptr<const Filter> Sink::filter() const {
  const std::lock_guard lock(filter_mutex_);
  return filter_;
}
void Sink::set_filter(Filter filter) {
  {
    const std::lock_guard lock(filter_mutex_);
    filter_ = std::make_shared<const Filter>(std::move(filter));
  }
  generation_.fetch_add(1, std::memory_order_release);
}
std::string Sink::filter_text() const { return std::string(filter()->text()); }

bool Logger::enabled(Level level) const noexcept {
  const std::uint32_t generation = sink_->generation_.load(std::memory_order_acquire) << 3;
  std::uint32_t known = known_.load(std::memory_order_relaxed);
  if ((known & ~7U) != generation) {
    const Level shown = sink_->off() ? Level::Off : sink_->filter()->level_for(target_);
    known = generation | static_cast<std::uint32_t>(shown);
    known_.store(known, std::memory_order_relaxed);
  }
  return static_cast<std::uint32_t>(level) <= (known & 7U);
}

void Logger::limited(RateLimit& limit, TimePoint now, Level level, std::string_view message,
                     Fields fields) const {
  if (!enabled(level)) return;
  std::uint64_t held_back = 0;
  if (!limit.allow(now, held_back)) return;
  sink_->write({level, target_, message, fields, held_back});
}

void Sink::format_plain(std::string& out, const Line& line) const {
  // "[     0.001234s]  INFO ThreadId(01) target: message field=value"
  const auto us = static_cast<std::uint64_t>((monotonic_now() - started_) / 1us);
  out += '[';
  append_padded(out, us / 1'000'000, 6, ' ');
  out += '.';
  append_padded(out, us % 1'000'000, 6);
  out += "s] ";
  const std::string_view level = to_string(line.level);
  out.append(5 - level.size(), ' ');
  out += level;
  out += " ThreadId(";
  append_padded(out, thread_number(), 2);
  out += ") ";
  out += line.target;
  out += ": ";
  out += line.message;
  const auto field = [&out](std::string_view name, const Value& value) {
    out += ' ';
    out += name;
    out += '=';
    append_value(out, value, false);
  };
  for (const Field& each : line.fields) field(each.name, each.value);
  if (line.held_back != 0) field("held_back", line.held_back);
}

void Sink::format_json(std::string& out, const Line& line) const {
  out += R"({"timestamp":")";
  out += format_rfc3339(wall_now(), true);
  out += R"(","level":")";
  out += to_string(line.level);
  out += R"(","fields":{"message":")";
  append_json_escaped(out, line.message);
  out += '"';
  std::string tail = R"(},"target":")";
  append_json_escaped(tail, line.target);
  tail += R"(","spans":[],"threadId":"ThreadId()";
  append_number(tail, thread_number());
  tail += ")\"}";
  bool cut = false;
  const auto field = [&](std::string_view name, const Value& value) {
    const std::size_t before = out.size();
    out += ",\"";
    append_json_escaped(out, name);
    out += "\":";
    append_value(out, value, true);
    if (out.size() + tail.size() + 24 <= kMaxLine) return;
    out.resize(before);  // half a value would not be JSON
    cut = true;
  };
  if (line.held_back != 0) field("held_back", line.held_back);
  for (const Field& each : line.fields) {
    if (!cut) field(each.name, each.value);
  }
  if (cut) out += R"(,"cut":true)";
  out += tail;
}

void Sink::write(const Line& line) {
  std::string out;
  out.reserve(256);
  if (options_.json) {
    format_json(out, line);
  } else {
    format_plain(out, line);
  }
  emit(out);
}

void Sink::write_line(std::string_view text) {
  if (off()) return;
  std::string out(text.substr(0, kMaxLine));
  emit(out);
}

void Sink::emit(std::string& line) {
  if (line.size() >= kMaxLine) {
    line.resize(kMaxLine - 1 - kCut.size());
    line += kCut;
  }
  line += '\n';
  bool written = false;
  std::uint64_t lost = 0;
  {
    const std::lock_guard lock(write_mutex_);
    // Never wait for a reader: if the descriptor is not writable now, the line is lost and counted.
    pollfd ready{options_.fd, POLLOUT, 0};
    if (::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0) {
      ssize_t n = 0;
      do n = ::write(options_.fd, line.data(), line.size());
      while (n < 0 && errno == EINTR);
      written = n >= 0;
    }
    if (written) {
      lost = std::exchange(untold_drops_, 0);
    } else {
      ++untold_drops_;
    }
  }
  if (!written) dropped_.fetch_add(1, std::memory_order_relaxed);
  if (lost != 0) {
    write(
        {Level::Warn, "tulle::log", "lines were lost, the reader is too slow", {{"lines", lost}}});
  }
}

bool RateLimit::allow(TimePoint now, std::uint64_t& held_back) noexcept {
  if (now >= until_) {
    until_ = now + period_;
    used_ = 0;
  }
  if (used_ >= burst_) {
    ++held_back_;
    return false;
  }
  ++used_;
  held_back = std::exchange(held_back_, 0);
  return true;
}

}  // namespace tulle::log
