// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/json_split.h"

namespace tulle::k8s {
namespace {

constexpr std::size_t kKeepCapacity = std::size_t{16} * 1024;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
Error invalid() { return {Errc::Invalid, "cut JSON into values"}; }
Error too_large() { return {Errc::TooLarge, "cut JSON into values"}; }

}  // namespace

bool JsonSplitter::track(char c) noexcept {
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
    return false;
  }
  if (c == '"') in_string_ = true;
  if (c == '{' || c == '[') ++depth_;
  if (c == '}' || c == ']') return --depth_ == 0;
  return false;
}

std::size_t JsonSplitter::run_length(std::string_view text) const noexcept {
  if (escaped_) return 0;
  const std::size_t end = in_string_ ? text.find_first_of("\"\\") : text.find_first_of("{}[]\"");
  return end == std::string_view::npos ? text.size() : end;
}

void JsonSplitter::give(Sink& sink) {
  sink.on_json(value_);
  value_.clear();
  // Memory belongs to bytes in flight: an event of a megabyte is rare.
  if (value_.capacity() > kKeepCapacity) std::string().swap(value_);
}

Result<void> JsonSplitter::feed(Bytes bytes, Sink& sink) {
  if (failed_) return invalid();
  Result<void> taken = take(bytes, sink);
  failed_ = !taken;
  return taken;
}

Result<void> JsonSplitter::take(Bytes bytes, Sink& sink) {
  std::string_view text = as_text(bytes);
  while (!text.empty()) {
    if (!value_.empty()) {
      // Inside of a value.
      const std::size_t run = run_length(text);
      if (value_.size() + run >= kMaxValue) return too_large();
      value_.append(text.substr(0, run));
      text.remove_prefix(run);
      if (text.empty()) break;
    }
    const char c = text.front();
    text.remove_prefix(1);
    Result<void> taken = mode_ == Mode::Documents ? take_document(c, sink)
                         : in_items_              ? take_item(c, sink)
                                                  : take_envelope(c);
    if (!taken) return taken;
  }
  return {};
}

Result<void> JsonSplitter::take_document(char c, Sink& sink) {
  if (value_.empty()) {
    if (is_space(c)) return {};
    if (c != '{' && c != '[') return invalid();
  }
  value_ += c;
  if (track(c)) give(sink);
  return {};
}

Result<void> JsonSplitter::take_item(char c, Sink& sink) {
  if (value_.empty()) {
    if (is_space(c) || c == ',') return {};
    if (c == ']') {
      in_items_ = false;
      depth_ = items_depth_;
      envelope_ += c;
      return {};
    }
    if (c != '{') return invalid();
    depth_ = 0;
  }
  value_ += c;
  if (track(c)) give(sink);
  return {};
}

Result<void> JsonSplitter::take_envelope(char c) {
  if (done_) return is_space(c) ? Result<void>() : Result<void>(invalid());
  if (envelope_.empty()) {
    if (is_space(c)) return {};
    if (c != '{') return invalid();
  }
  if (envelope_.size() >= kMaxEnvelope) return too_large();
  if (c == '[' && !in_string_ && depth_ == 1 && key_ == "items") {
    in_items_ = true;
    items_depth_ = depth_;
    key_.clear();
    envelope_ += c;
    return {};
  }
  if (depth_ == 1) {
    if (in_string_ && reading_key_) {
      if (c != '"' || escaped_) key_ += c;
    } else if (c == '"' && !in_string_) {
      key_.clear();
      reading_key_ = true;
    } else if (!in_string_ && c == ',') {
      key_.clear();
    }
  }
  envelope_ += c;
  if (track(c)) done_ = true;
  if (!in_string_) reading_key_ = false;
  return {};
}

Result<void> JsonSplitter::finish() const {
  if (failed_) return invalid();
  const bool whole = value_.empty() && !in_items_ && (mode_ == Mode::Documents || done_);
  return whole ? Result<void>() : Result<void>(invalid());
}

}  // namespace tulle::k8s
