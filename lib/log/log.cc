// SPDX-License-Identifier: Apache-2.0
#include "lib/log/log.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>

#include "lib/base/text.h"

namespace tulle::log {
namespace {

std::optional<Level> parse_level(std::string_view text) {
  for (const Level level : {Level::Off, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace}) {
    if (iequals(text, to_string(level))) return level;
  }
  return std::nullopt;
}

void append_value(std::string& out, const Value& value, bool json) {
  switch (value.kind) {
    case Value::Kind::Text:
      if (json) {
        out += '"';
        append_json_escaped(out, value.text_value);
        out += '"';
      } else {
        for (const char c : value.text_value) {  // one line stays one line
          if (static_cast<unsigned char>(c) < 0x20) {
            out += c == '\n' ? "\\n" : "?";
          } else {
            out += c;
          }
        }
      }
      return;
    case Value::Kind::Integer: append_number(out, value.integer); return;
    case Value::Kind::Unsigned: append_number(out, value.natural); return;
    case Value::Kind::Bool: out += value.integer != 0 ? "true" : "false"; return;
    case Value::Kind::Real: {
      char text[32];
      const int n = std::snprintf(text, sizeof text, "%.6g", value.real);
      out.append(text, static_cast<std::size_t>(n));
      return;
    }
  }
}

}  // namespace

std::string_view to_string(Level level) noexcept {
  switch (level) {
    case Level::Off: return "OFF";
    case Level::Error: return "ERROR";
    case Level::Warn: return "WARN";
    case Level::Info: return "INFO";
    case Level::Debug: return "DEBUG";
    case Level::Trace: return "TRACE";
  }
  return "OFF";
}

void append_json_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char escape[8];
          std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
          out += escape;
        } else {
          out += c;
        }
    }
  }
}

bool Filter::parse_into(std::string_view text, Filter& filter) {
  filter.text_ = text;
  bool ok = true;
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) {
      if (text[i] == '[' || text[i] == '{') ++depth;
      if (text[i] == ']' || text[i] == '}') --depth;
      if (text[i] != ',' || depth > 0) continue;
    }
    const std::string_view piece = trim(text.substr(start, i - start));
    start = i + 1;
    if (piece.empty()) continue;
    const auto equals = piece.rfind('=');
    if (equals == std::string_view::npos) {
      if (const auto level = parse_level(piece)) {
        filter.directives_.push_back({"", *level});
      } else if (piece.find_first_of(" \t") == std::string_view::npos &&
                 piece.find_first_of("[{") == std::string_view::npos) {
        filter.directives_.push_back({std::string(piece), Level::Trace});  // a bare target
      } else {
        ok = false;
      }
      continue;
    }
    const auto level = parse_level(piece.substr(equals + 1));
    if (!level) {
      ok = false;
      continue;
    }
    // Spans do not exist here: a directive for one is accepted and matches nothing.
    if (piece.find('[') != std::string_view::npos) continue;
    filter.directives_.push_back({std::string(piece.substr(0, equals)), *level});
  }
  std::stable_sort(filter.directives_.begin(), filter.directives_.end(),
                   [](const Directive& a, const Directive& b) { return a.target.size() > b.target.size(); });
  return ok;
}

Result<Filter> Filter::parse(std::string_view text) {
  Filter filter;
  if (!parse_into(text, filter)) return Error{Errc::Invalid, "read a log filter"};
  return filter;
}

Filter Filter::parse_lenient(std::string_view text) {
  Filter filter;
  [[maybe_unused]] const bool ok = parse_into(text, filter);
  return filter;
}

Level Filter::level_for(std::string_view target) const noexcept {
  for (const Directive& directive : directives_) {
    if (directive.target.empty() || target == directive.target ||
        (target.starts_with(directive.target) &&
         target.substr(directive.target.size()).starts_with("::"))) {
      return directive.level;
    }
  }
  return directives_.empty() ? Level::Warn : Level::Off;
}

Level Filter::most_verbose() const noexcept {
  Level level = Level::Off;
  for (const Directive& directive : directives_) level = std::max(level, directive.level);
  return level;
}

Sink::Sink(const Options& options, Filter filter)
    : options_(options),
      started_(monotonic_now()),
      filter_(std::make_shared<const Filter>(std::move(filter))) {}
Sink::~Sink() = default;

std::shared_ptr<const Filter> Sink::filter() const {
  const std::lock_guard lock(mutex_);
  return filter_;
}
void Sink::set_filter(Filter filter) {
  {
    const std::lock_guard lock(mutex_);
    filter_ = std::make_shared<const Filter>(std::move(filter));
  }
  generation_.fetch_add(1, std::memory_order_release);
}
std::string Sink::filter_text() const { return std::string(filter()->text()); }

bool Logger::enabled(Level level) const noexcept {
  const std::uint32_t generation = sink_->generation_.load(std::memory_order_acquire);
  if (generation_.load(std::memory_order_relaxed) != generation) {
    level_.store(sink_->off() ? Level::Off : sink_->filter()->level_for(target_), std::memory_order_relaxed);
    generation_.store(generation, std::memory_order_relaxed);
  }
  return level <= level_.load(std::memory_order_relaxed);
}

void Sink::write(Level level, std::string_view target, std::string_view message, Fields fields) {
  std::string line;
  line.reserve(160);
  if (options_.json) {
    line += R"({"timestamp":")";
    line += format_rfc3339(wall_now(), true);
    line += R"(","level":")";
    line += to_string(level);
    line += R"(","fields":{"message":")";
    append_json_escaped(line, message);
    line += '"';
    for (const Field& field : fields) {
      line += ",\"";
      append_json_escaped(line, field.name);
      line += "\":";
      append_value(line, field.value, true);
    }
    line += R"(},"target":")";
    append_json_escaped(line, target);
    line += "\",\"spans\":[],\"threadId\":\"ThreadId(1)\"}\n";
  } else {
    char head[48];
    const double uptime = std::chrono::duration<double>(monotonic_now() - started_).count();
    const int n = std::snprintf(head, sizeof head, "[%13.6fs] %5s ThreadId(01) ", uptime,
                                to_string(level).data());
    line.append(head, static_cast<std::size_t>(n));
    line += target;
    line += ": ";
    line += message;
    for (const Field& field : fields) {
      line += ' ';
      line += field.name;
      line += '=';
      append_value(line, field.value, false);
    }
    line += '\n';
  }
  // Never wait for a reader: if the descriptor is not writable now, the line is lost and counted.
  pollfd ready{options_.fd, POLLOUT, 0};
  if (::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0) {
    if (::write(options_.fd, line.data(), line.size()) >= 0) return;
  }
  dropped_.fetch_add(1, std::memory_order_relaxed);
}

bool RateLimit::allow(TimePoint now, std::uint64_t& held_back) noexcept {
  if (now < next_) {
    ++held_back_;
    return false;
  }
  next_ = now + period_;
  held_back = std::exchange(held_back_, 0);
  return true;
}

}  // namespace tulle::log
