// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/yaml_source.h"

#include <iterator>

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

std::string json_number(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != '_') digits += c;
  }
  std::string sign;
  if (digits.starts_with('+') || digits.starts_with('-')) {
    if (digits[0] == '-') sign = "-";
    digits.erase(0, 1);
  }
  int base = 10;
  std::size_t skip = 0;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = ascii_lower(digits[1]);
    if (mark == 'x') base = 16, skip = 2;
    if (mark == 'o') base = 8, skip = 2;
    if (mark == 'b') base = 2, skip = 2;
    if (ascii_digit(digits[1])) base = 8, skip = 1;
  }
  if (skip != 0) {
    if (const auto value =
            parse_number<std::uint64_t>(std::string_view(digits).substr(skip), base)) {
      return sign + std::to_string(*value);
    }
    if (base == 8) {  // 09 is decimal
      const std::size_t first = digits.find_first_not_of('0');
      return sign + (first == std::string::npos ? "0" : digits.substr(first));
    }
  }
  if (digits.starts_with('.')) digits.insert(0, "0");
  const std::size_t point = digits.find('.');
  if (point != std::string::npos &&
      (point + 1 == digits.size() || !ascii_digit(digits[point + 1]))) {
    digits.insert(point + 1, "0");
  }
  return sign + digits;
}

YamlSource::YamlSource(std::string_view text) : merges_(text.find("<<") != std::string_view::npos) {
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
  open_.clear();
  given_.clear();
  given_at_ = 0;
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

Token YamlSource::next() { return merges_ ? merged() : raw(); }

Token YamlSource::raw() {
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
  plain_ = false;
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
      plain_ = scalar.plain_implicit != 0;
      if (plain_) token.type = plain_type(token.text);
      if (token.type == Token::Type::Int) token.text = number_ = json_number(token.text);
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
  plain_ = kept.plain;
  // The node itself stays alive in anchors_, so the view stays valid.
  if (replay_at_ == replay_->size()) replay_.reset();
  return token;
}

Token YamlSource::merged() {
  for (;;) {
    if (failed_) return raw();
    if (given_at_ < given_.size()) {
      const Kept& kept = given_[given_at_++];
      return {kept.kind, kept.type, open_.back().line, kept.text};
    }
    if (!given_.empty()) {  // and now the end of their map
      const std::uint32_t line = open_.back().line;
      given_.clear();
      given_at_ = 0;
      open_.pop_back();
      return {Token::Kind::MapEnd, Token::Type::Null, line, {}};
    }
    const Token token = raw();
    const bool key = !open_.empty() && open_.back().map && open_.back().at_key;
    switch (token.kind) {
      case Token::Kind::Bad:
      case Token::Kind::End: return token;
      case Token::Kind::Scalar:
        if (key && plain_ && token.text == "<<") {
          const Token problem = read_merge(token.line);
          if (problem.kind == Token::Kind::Bad) return problem;
          continue;
        }
        if (key) open_.back().keys.emplace(token.text);
        if (!open_.empty()) open_.back().at_key = !key;
        return token;
      case Token::Kind::MapBegin:
      case Token::Kind::ListBegin: {
        if (key) return bad("a key must be text", token.line);
        if (!open_.empty()) open_.back().at_key = true;
        const bool map = token.kind == Token::Kind::MapBegin;
        open_.push_back({map, map, {}, {}, token.line});
        return token;
      }
      case Token::Kind::MapEnd:
        close();
        if (!given_.empty()) continue;
        open_.pop_back();
        return token;
      case Token::Kind::ListEnd: open_.pop_back(); return token;
    }
  }
}

// The tokens of the node that begins with `last`; false if it is broken, and `last` is Bad then.
bool YamlSource::read_node(Node& into, Token& last) {
  int depth = 0;
  for (;;) {
    if (last.kind == Token::Kind::Bad) return false;
    if (++replayed_ > kMaxAliasTokens) {
      last = bad("aliases repeat more than 20000 values", last.line);
      return false;
    }
    into.push_back({last.kind, last.type, false, std::string(last.text)});
    if (last.kind == Token::Kind::MapBegin || last.kind == Token::Kind::ListBegin) ++depth;
    if (last.kind == Token::Kind::MapEnd || last.kind == Token::Kind::ListEnd) --depth;
    if (depth == 0) return true;
    last = merged();
  }
}

// The value of a merge key: a map, a list of maps, or null.
Token YamlSource::read_merge(std::uint32_t line) {
  const std::size_t at = open_.size() - 1;
  open_[at].at_key = false;
  Node node;
  Token token = merged();
  const bool list = token.kind == Token::Kind::ListBegin;
  if (list) token = merged();
  while (!(list && token.kind == Token::Kind::ListEnd)) {
    const bool null = token.kind == Token::Kind::Scalar && token.type == Token::Type::Null;
    if (token.kind == Token::Kind::Bad) return token;
    if (token.kind != Token::Kind::MapBegin && !null) return bad("<< must refer to maps", line);
    Node map;
    if (!read_node(map, token)) return token;
    if (!null) {
      node.insert(node.end(), std::make_move_iterator(map.begin() + 1),
                  std::make_move_iterator(map.end() - 1));
    }
    if (!list) break;
    token = merged();
  }
  Open& open = open_[at];
  open.at_key = true;
  open.line = line;
  open.merged.insert(open.merged.end(), std::make_move_iterator(node.begin()),
                     std::make_move_iterator(node.end()));
  return {};
}

void YamlSource::close() {
  Open& open = open_.back();
  bool wanted = false;
  bool key = true;
  int depth = 0;
  for (Kept& kept : open.merged) {
    if (key) wanted = open.keys.insert(kept.text).second;
    if (kept.kind == Token::Kind::MapBegin || kept.kind == Token::Kind::ListBegin) ++depth;
    if (kept.kind == Token::Kind::MapEnd || kept.kind == Token::Kind::ListEnd) --depth;
    key = depth == 0 && !key;
    if (wanted) given_.push_back(std::move(kept));
  }
  open.merged.clear();
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
    recording.node->push_back({token.kind, token.type, plain_, std::string(token.text)});
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
