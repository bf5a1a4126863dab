// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/yaml_source.h"

#include "lib/base/text.h"

namespace tulle::k8s {
namespace {

constexpr std::size_t kMaxRecorded = 100'000;

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

bool all_digits(std::string_view text, int base) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c == '_') continue;
    const int digit = ascii_digit(c)                                     ? c - '0'
                      : (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f') ? ascii_lower(c) - 'a' + 10
                                                                         : 99;
    if (digit >= base) return false;
  }
  return true;
}

bool is_float(std::string_view text) {
  if (one_of(text, {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"})) return true;
  std::size_t digits = 0;
  std::size_t i = 0;
  while (i < text.size() && ascii_digit(text[i])) ++i, ++digits;
  if (i < text.size() && text[i] == '.') {
    ++i;
    while (i < text.size() && ascii_digit(text[i])) ++i, ++digits;
  }
  if (digits == 0) return false;
  if (i < text.size() && ascii_lower(text[i]) == 'e') {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (i == text.size()) return false;
    while (i < text.size() && ascii_digit(text[i])) ++i;
  }
  return i == text.size();
}

}  // namespace

std::string_view describe_type(Token::Type type) noexcept {
  switch (type) {
    case Token::Type::Null: return "null";
    case Token::Type::Bool: return "a boolean";
    case Token::Type::Int:
    case Token::Type::Float: return "a number";
    case Token::Type::String: return "text";
  }
  return "";
}

Token::Type plain_type(std::string_view text) noexcept {
  using Type = Token::Type;
  if (one_of(text, {"", "~", "null", "Null", "NULL"})) return Type::Null;
  if (one_of(text,
             {"true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes", "YES", "no", "No",
              "NO",   "on",   "On",   "ON",    "off",   "Off",   "OFF", "y",   "Y",   "n",  "N"})) {
    return Type::Bool;
  }
  std::string_view digits = text;
  if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
  if (digits.empty()) return Type::String;
  if (digits.size() > 2 && digits[0] == '0') {
    const char base = ascii_lower(digits[1]);
    if (base == 'x') return all_digits(digits.substr(2), 16) ? Type::Int : Type::String;
    if (base == 'o') return all_digits(digits.substr(2), 8) ? Type::Int : Type::String;
    if (base == 'b') return all_digits(digits.substr(2), 2) ? Type::Int : Type::String;
  }
  if (digits[0] != '_' && all_digits(digits, 10)) return Type::Int;
  return is_float(digits) ? Type::Float : Type::String;
}

YamlSource::YamlSource(std::string_view text) {
  TULLE_CHECK(yaml_parser_initialize(&parser_) == 1);
  yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                               text.size());
  if (text.size() > kMaxDocumentBytes) bad("larger than 16 MiB", 1);
}

YamlSource::~YamlSource() {
  if (has_event_) yaml_event_delete(&event_);
  yaml_parser_delete(&parser_);
}

Token YamlSource::bad(std::string reason, std::uint32_t line) {
  failed_ = true;
  reason_ = std::move(reason);
  bad_line_ = line;
  return {Token::Kind::Bad, Token::Type::Null, bad_line_, reason_};
}

bool YamlSource::pull() {
  if (has_event_) yaml_event_delete(&event_);
  has_event_ = false;
  if (yaml_parser_parse(&parser_, &event_) != 1) {
    std::string reason = "not valid YAML: ";
    if (parser_.problem != nullptr) reason += parser_.problem;
    if (parser_.context != nullptr) {
      reason += ' ';
      reason += parser_.context;
    }
    bad(std::move(reason), static_cast<std::uint32_t>(parser_.problem_mark.line + 1));
    return false;
  }
  has_event_ = true;
  return true;
}

bool YamlSource::next_document() {
  if (stream_ended_) return false;
  if (failed_) {  // too large, or broken between documents: reported once, as a document
    stream_ended_ = true;
    return !in_document_;
  }
  while (in_document_) {
    const Token token = next();
    if (token.kind == Token::Kind::Bad) {
      stream_ended_ = true;
      return false;
    }
  }
  anchors_.clear();
  recordings_.clear();
  recorded_ = replayed_ = 0;
  replay_.reset();
  depth_ = 0;
  while (pull()) {
    if (event_.type == YAML_DOCUMENT_START_EVENT) {
      in_document_ = true;
      return true;
    }
    if (event_.type == YAML_STREAM_END_EVENT) {
      stream_ended_ = true;
      return false;
    }
  }
  return true;  // the Bad token follows
}

Token YamlSource::next() {
  if (failed_) return {Token::Kind::Bad, Token::Type::Null, bad_line_, reason_};
  if (!in_document_) return {};
  if (replay_ != nullptr) return track(replay_next());
  if (!pull()) return {Token::Kind::Bad, Token::Type::Null, bad_line_, reason_};
  const auto line = static_cast<std::uint32_t>(event_.start_mark.line + 1);
  if (event_.type == YAML_DOCUMENT_END_EVENT) {
    in_document_ = false;
    return {Token::Kind::End, Token::Type::Null, line, {}};
  }
  if (event_.type == YAML_ALIAS_EVENT) {
    replay_line_ = line;
    const std::string anchor(reinterpret_cast<const char*>(event_.data.alias.anchor));
    return track(follow_alias(anchor));
  }
  return track(from_event());
}

Token YamlSource::from_event() {
  const auto line = static_cast<std::uint32_t>(event_.start_mark.line + 1);
  const unsigned char* anchor = nullptr;
  Token token{Token::Kind::Scalar, Token::Type::String, line, {}};
  switch (event_.type) {
    case YAML_MAPPING_START_EVENT:
      token.kind = Token::Kind::MapBegin;
      anchor = event_.data.mapping_start.anchor;
      break;
    case YAML_SEQUENCE_START_EVENT:
      token.kind = Token::Kind::ListBegin;
      anchor = event_.data.sequence_start.anchor;
      break;
    case YAML_MAPPING_END_EVENT: token.kind = Token::Kind::MapEnd; break;
    case YAML_SEQUENCE_END_EVENT: token.kind = Token::Kind::ListEnd; break;
    case YAML_SCALAR_EVENT: {
      const auto& scalar = event_.data.scalar;
      anchor = scalar.anchor;
      token.text = {reinterpret_cast<const char*>(scalar.value), scalar.length};
      const std::string_view tag =
          scalar.tag != nullptr ? reinterpret_cast<const char*>(scalar.tag) : "";
      if (scalar.plain_implicit != 0) token.type = plain_type(token.text);
      if (!tag.empty() && tag != "!" && tag != YAML_STR_TAG)
        return bad("tags are not used here", line);
      break;
    }
    default: return bad("unexpected YAML event", line);
  }
  if (anchor != nullptr) {
    if (recordings_.size() > static_cast<std::size_t>(kMaxDepth))
      return bad("too many anchors", line);
    recordings_.push_back({reinterpret_cast<const char*>(anchor)});
  }
  return token;
}

Token YamlSource::follow_alias(std::string_view anchor) {
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end()) {
    return bad(concat("alias *", anchor, " has no anchor before it"), replay_line_);
  }
  replay_ = found->second;
  replay_at_ = 0;
  return replay_next();
}

Token YamlSource::replay_next() {
  if (++replayed_ > kMaxAliasTokens) {
    replay_.reset();
    return bad("aliases repeat more than 20000 values", replay_line_);
  }
  const Kept& kept = (*replay_)[replay_at_++];
  const Token token{kept.kind, kept.type, replay_line_, kept.text};
  // The node itself stays alive in anchors_, so the view stays valid.
  if (replay_at_ == replay_->size()) replay_.reset();
  return token;
}

// Counts depth and copies the token into every anchor that is being recorded.
Token YamlSource::track(Token token) {
  if (token.kind == Token::Kind::Bad) return token;
  const bool opens = token.kind == Token::Kind::MapBegin || token.kind == Token::Kind::ListBegin;
  const bool closes = token.kind == Token::Kind::MapEnd || token.kind == Token::Kind::ListEnd;
  if (opens && ++depth_ > kMaxDepth) return bad("nested deeper than 64 levels", token.line);
  if (closes) --depth_;
  if (recordings_.empty()) return token;
  for (Recording& recording : recordings_) {
    if (++recorded_ > kMaxRecorded) return bad("too much text under anchors", token.line);
    recording.node->push_back({token.kind, token.type, std::string(token.text)});
    if (opens) ++recording.depth;
    if (closes) --recording.depth;
  }
  while (!recordings_.empty() && recordings_.back().depth == 0) {
    anchors_[recordings_.back().anchor] = recordings_.back().node;
    recordings_.pop_back();
  }
  return token;
}

}  // namespace tulle::k8s
