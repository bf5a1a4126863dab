// SPDX-License-Identifier: Apache-2.0
#include "cli/yaml_text.h"

#include <yaml.h>

#include <algorithm>
#include <utility>

#include "lib/base/text.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::cli {

using inject::Value;

namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxNodes = 2'000'000;
constexpr std::size_t kMaxCopied = 200'000;  // values repeated by aliases

// libyaml counts characters; edits need bytes.
class Offsets {
 public:
  explicit Offsets(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) mark_ = 3;
    if (std::none_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
      return;
    for (std::size_t i = mark_; i <= text.size(); ++i) {
      if (i == text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80)
        bytes_.push_back(static_cast<std::uint32_t>(i));
    }
  }
  std::size_t operator()(const yaml_mark_t& mark) const {
    if (bytes_.empty()) return mark.index + mark_;
    return bytes_[std::min<std::size_t>(mark.index, bytes_.size() - 1)];
  }

 private:
  std::size_t mark_ = 0;
  std::vector<std::uint32_t> bytes_;
};

std::string_view view(const yaml_char_t* text) {
  return text != nullptr ? reinterpret_cast<const char*>(text) : "";
}

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text), offsets_(text) {
    TULLE_CHECK(yaml_parser_initialize(&parser_) == 1);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  ~Parser() {
    if (has_event_) yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // False at the end of the stream or after a problem.
  bool next_document(YamlNode& root, Value& value) {
    anchors_.clear();
    while (pull()) {
      if (event_.type == YAML_STREAM_END_EVENT) return false;
      if (event_.type != YAML_DOCUMENT_START_EVENT) continue;
      if (!pull()) return false;
      root = node(0);
      if (failed()) return false;
      value = to_value(root, 0);
      return !failed();
    }
    return false;
  }
  bool failed() const { return !problem_.empty(); }
  const std::string& problem() const { return problem_; }
  // Where the "-" of block lists are: known once everything was read.
  static std::vector<std::size_t> dashes(const std::string& text) {
    std::vector<std::size_t> out;
    const Offsets offsets(text);
    yaml_parser_t scanner;
    TULLE_CHECK(yaml_parser_initialize(&scanner) == 1);
    yaml_parser_set_input_string(&scanner, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
    for (bool going = true; going;) {
      yaml_token_t token;
      if (yaml_parser_scan(&scanner, &token) != 1) break;
      if (token.type == YAML_BLOCK_ENTRY_TOKEN) out.push_back(offsets(token.start_mark));
      going = token.type != YAML_STREAM_END_TOKEN;
      yaml_token_delete(&token);
    }
    yaml_parser_delete(&scanner);
    return out;
  }

 private:
  bool pull() {
    if (failed()) return false;
    if (has_event_) yaml_event_delete(&event_);
    has_event_ = yaml_parser_parse(&parser_, &event_) == 1;
    if (!has_event_)
      fail(parser_.problem != nullptr ? parser_.problem : "not valid YAML", parser_.problem_mark);
    return has_event_;
  }
  void fail(std::string_view what, const yaml_mark_t& mark) {
    if (problem_.empty()) problem_ = concat("line ", std::to_string(mark.line + 1), ": ", what);
  }

  // The node of the event at hand.
  YamlNode node(std::size_t depth) {
    YamlNode out;
    if (depth > kMaxDepth) fail("nested too deeply", event_.start_mark);
    if (++count_ > kMaxNodes) fail("too many values", event_.start_mark);
    if (failed()) return out;
    out.start = offsets_(event_.start_mark);
    out.end = offsets_(event_.end_mark);
    switch (event_.type) {
      case YAML_ALIAS_EVENT:
        out.kind = YamlNode::Kind::Alias;
        out.anchor = view(event_.data.alias.anchor);
        break;
      case YAML_SCALAR_EVENT: scalar(out); break;
      case YAML_SEQUENCE_START_EVENT:
        out.kind = YamlNode::Kind::List;
        out.anchor = view(event_.data.sequence_start.anchor);
        out.flow = event_.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
        collection(out, YAML_SEQUENCE_END_EVENT, depth);
        break;
      case YAML_MAPPING_START_EVENT:
        out.kind = YamlNode::Kind::Map;
        out.anchor = view(event_.data.mapping_start.anchor);
        out.flow = event_.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
        collection(out, YAML_MAPPING_END_EVENT, depth);
        break;
      default: fail("unexpected", event_.start_mark);
    }
    return out;
  }
  void scalar(YamlNode& out) {
    const auto& data = event_.data.scalar;
    out.anchor = view(data.anchor);
    const std::string_view text(reinterpret_cast<const char*>(data.value), data.length);
    out.block_scalar =
        data.style == YAML_LITERAL_SCALAR_STYLE || data.style == YAML_FOLDED_SCALAR_STYLE;
    out.scalar = data.plain_implicit != 0 && !reading_key_ ? typed(text) : Value(text);
    out.merge = reading_key_ && data.plain_implicit != 0 && text == "<<";
  }
  // The type that the reader shared by all parts gives to it.
  Value typed(std::string_view text) {
    if (k8s::plain_type(text) == k8s::Token::Type::String) return text;
    std::string ignored;
    return inject::parse_yaml(text, ignored).value_or(Value(text));
  }
  void collection(YamlNode& out, yaml_event_type_t last, std::size_t depth) {
    while (pull()) {
      if (event_.type == last) {
        if (out.flow) {
          out.end = offsets_(event_.end_mark);
        } else {
          out.end = out.items.empty() ? out.start : out.items.back().end;
        }
        return;
      }
      reading_key_ = last == YAML_MAPPING_END_EVENT && event_.type == YAML_SCALAR_EVENT;
      YamlNode child = node(depth + 1);
      reading_key_ = false;
      if (failed()) return;
      if (last == YAML_SEQUENCE_END_EVENT) {
        out.items.push_back(std::move(child));
        continue;
      }
      if (child.kind != YamlNode::Kind::Scalar)
        return fail("a key must be text", event_.start_mark);
      out.keys.push_back(std::move(child));
      if (!pull()) return;
      out.items.push_back(node(depth + 1));
    }
  }

  Value to_value(const YamlNode& from, std::size_t depth) {
    Value out;
    if (failed() || depth > kMaxDepth) return out;
    switch (from.kind) {
      case YamlNode::Kind::Scalar: out = from.scalar; break;
      case YamlNode::Kind::Alias: {
        const auto found = anchors_.find(from.anchor);
        if (found == anchors_.end() || ++copied_ > kMaxCopied) {
          problem_ = concat("the alias *", from.anchor,
                            " has no anchor before it, or aliases repeat too much");
          return out;
        }
        copied_ += found->second.to_json().size() / 16;
        return found->second;
      }
      case YamlNode::Kind::List:
        out = Value::list();
        for (const YamlNode& item : from.items) out.push(to_value(item, depth + 1));
        break;
      case YamlNode::Kind::Map:
        out = Value::map();
        for (std::size_t i = 0; i < from.items.size(); ++i) {
          if (from.keys[i].merge) continue;
          const std::string key(key_text(from.keys[i]));
          if (out.find(key) != nullptr) {
            const auto line =
                1 + std::count(text_.begin(),
                               text_.begin() + static_cast<std::ptrdiff_t>(from.keys[i].start),
                               '\n');
            problem_ = concat("line ", std::to_string(line), ": \"", key, "\" occurs twice");
            return out;
          }
          Value value = to_value(from.items[i], depth + 1);
          out.set_unchecked(key, std::move(value));
        }
        for (std::size_t i = 0; i < from.items.size(); ++i) {
          if (from.keys[i].merge) merge(from.items[i], out, depth);
        }
        break;
    }
    if (!from.anchor.empty()) anchors_[from.anchor] = out;
    return out;
  }

  // Members of what << refers to; those that the map has itself, or of an earlier one, stay.
  void merge(const YamlNode& from, Value& into, std::size_t depth) {
    const Value value = to_value(from, depth + 1);
    const auto add = [&](const Value& map) {
      if (!map.is_map() && !map.is_null()) return false;
      for (std::size_t i = 0; i < map.size(); ++i) {
        if (into.find(map.keys()[i]) == nullptr) into.set(map.keys()[i], map.items()[i]);
      }
      return true;
    };
    bool good = true;
    if (value.is_list()) {
      for (const Value& item : value.items()) good = add(item) && good;
    } else {
      good = add(value);
    }
    if (good || failed()) return;
    const auto line = 1 + std::count(text_.begin(),
                                     text_.begin() + static_cast<std::ptrdiff_t>(from.start), '\n');
    problem_ = concat("line ", std::to_string(line), ": << must refer to maps");
  }

 public:
  static std::string_view key_text(const YamlNode& key) { return key.scalar.text(); }

 private:
  const std::string& text_;
  Offsets offsets_;
  yaml_parser_t parser_;
  yaml_event_t event_;
  bool has_event_ = false;
  bool reading_key_ = false;
  std::size_t count_ = 0;
  std::size_t copied_ = 0;
  std::string problem_;
  std::map<std::string, Value> anchors_;
};

void set_dashes(YamlNode& node, const std::vector<std::size_t>& dashes) {
  for (YamlNode& item : node.items) {
    if (node.kind == YamlNode::Kind::List && !node.flow) {
      const auto after = std::lower_bound(dashes.begin(), dashes.end(), item.start);
      if (after != dashes.begin()) item.dash = *(after - 1);
    }
    set_dashes(item, dashes);
  }
}

// Turns differences into edits of the text.
class Editor {
 public:
  explicit Editor(const std::string& text)
      : text_(text), newline_(text.find("\r\n") != std::string::npos ? "\r\n" : "\n") {}

  // `is` is the node's value now. `column`: of the key whose value it is; `in_flow`: inside of {}
  // or [].
  void edit(const YamlNode& node, const Value& is, const Value& wanted, std::size_t column,
            bool in_flow) {
    if (!problem_.empty() || is == wanted) return;
    if (node.kind == YamlNode::Kind::Alias) {
      return fail(node,
                  concat("stands as the alias *", node.anchor, ", which cannot be changed alone"));
    }
    const bool map = node.kind == YamlNode::Kind::Map && wanted.is_map() && !node.items.empty() &&
                     !wanted.empty();
    const bool list = node.kind == YamlNode::Kind::List && wanted.is_list() &&
                      !node.items.empty() && !wanted.empty();
    if (map) return edit_map(node, is, wanted, in_flow);
    if (list) return edit_list(node, is, wanted, in_flow);
    replace(node, wanted, column, in_flow);
  }

  // Writes aliases and merge keys below this node out, where they stand.
  void expand(const YamlNode& node, const Value& is, std::size_t column_of_key, bool in_flow) {
    const bool flow = node.flow || in_flow;
    if (node.kind == YamlNode::Kind::Alias) return replace(node, is, column_of_key, in_flow);
    if (node.kind == YamlNode::Kind::List) {
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        expand(node.items[i], is.items()[i], flow ? 0 : column(node.items[i].start), flow);
      }
    }
    if (node.kind != YamlNode::Kind::Map) return;
    const bool merges =
        std::any_of(node.keys.begin(), node.keys.end(), [](const YamlNode& k) { return k.merge; });
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      if (node.keys[i].merge) continue;
      expand(node.items[i], *is.find(key(node, i)), flow ? 0 : column(node.keys[i].start), flow);
    }
    if (merges) expand_merges(node, is, flow);
  }

  const std::string& problem() const { return problem_; }
  std::string apply() {
    std::stable_sort(edits_.begin(), edits_.end(), [](const Edit& a, const Edit& b) {
      return a.from != b.from ? a.from < b.from : a.to < b.to;
    });
    std::string out;
    std::size_t at = 0;
    for (const Edit& edit : edits_) {
      // Never seen; the text as it was is then found to say something else, and refused.
      if (edit.from < at || edit.to < edit.from) return text_;
      out.append(text_, at, edit.from - at);
      out += edit.text;
      at = edit.to;
    }
    out.append(text_, at, std::string::npos);
    return out;
  }

 private:
  struct Edit {
    std::size_t from;
    std::size_t to;
    std::string text;
  };
  void change(std::size_t from, std::size_t to, std::string text) {
    edits_.push_back({from, to, std::move(text)});
  }
  void insert(std::size_t at, std::string text) { change(at, at, std::move(text)); }
  void fail(const YamlNode& node, std::string_view what) {
    if (!problem_.empty()) return;
    const auto line = 1 + std::count(text_.begin(),
                                     text_.begin() + static_cast<std::ptrdiff_t>(node.start), '\n');
    problem_ = concat("line ", std::to_string(line), ": ", what);
  }

  std::size_t line_start(std::size_t at) const {
    const std::size_t before = at == 0 ? std::string::npos : text_.rfind('\n', at - 1);
    return before == std::string::npos ? 0 : before + 1;
  }
  // Behind the line that ends what ends at `at`.
  std::size_t next_line(std::size_t at) const {
    if (at > 0 && text_[at - 1] == '\n') return at;
    const std::size_t end = text_.find('\n', at);
    return end == std::string::npos ? text_.size() : end + 1;
  }
  // Indentation counts characters.
  std::size_t column(std::size_t at) const {
    std::size_t out = 0;
    for (std::size_t i = line_start(at); i < at; ++i) {
      if ((static_cast<unsigned char>(text_[i]) & 0xC0) != 0x80) ++out;
    }
    return out;
  }
  bool first_on_line(std::size_t at) const {
    const std::size_t start = line_start(at);
    return text_.find_first_not_of(' ', start) == at;
  }
  std::string lines(std::string text) const {
    if (newline_ == "\n") return text;
    std::string out;
    for (const char c : text) {
      if (c == '\n') out += '\r';
      out += c;
    }
    return out;
  }

  // A value on the line of its key or dash, or below it.
  std::string behind_key(const Value& value, std::size_t key_column) const {
    if (!value.empty()) {
      const std::size_t indent = value.is_list() ? key_column : key_column + 2;
      std::string block = value.to_yaml(indent);
      block.pop_back();  // its last newline: what follows has its own
      return lines("\n" + block);
    }
    return " " + (value.is_string() ? inject::yaml_scalar(value.text()) : value.to_json());
  }
  std::string in_line(const Value& value, bool in_flow) const {
    return value.is_string() && !in_flow ? inject::yaml_scalar(value.text()) : value.to_json();
  }

  // Puts `wanted` where the node stands, whatever it was.
  void replace(const YamlNode& node, const Value& wanted, std::size_t key_column, bool in_flow) {
    const std::string end = node.block_scalar ? newline_ : "";
    const bool collection =
        node.kind != YamlNode::Kind::Scalar && !node.flow && !node.items.empty();
    if (in_flow || collection || wanted.empty()) {
      // Also right for an empty value, in front of which a space may be missing.
      const bool glued =
          node.start > 0 && (text_[node.start - 1] == ':' || text_[node.start - 1] == '-');
      // A list may stand in the column of its key; nothing else may.
      const bool below = collection && first_on_line(node.start);
      return change(node.start, node.end,
                    (glued   ? " "
                     : below ? "  "
                             : "") +
                        in_line(wanted, in_flow) + end);
    }
    std::size_t from = node.start;
    while (from > 0 && text_[from - 1] == ' ') --from;
    // Only what stands behind its key can go below it.
    if (from > 0 && text_[from - 1] == ':')
      return change(from, node.end, behind_key(wanted, key_column) + end);
    const bool glued = node.start > 0 && text_[node.start - 1] == '-';
    change(node.start, node.end, (glued ? " " : "") + in_line(wanted, false) + end);
  }

  void edit_map(const YamlNode& node, const Value& is, const Value& wanted, bool in_flow) {
    const bool flow = node.flow || in_flow;
    // A pair alone in a list has no braces: [a: b].
    if (node.flow && text_.find('{', node.start) >= node.keys.front().start) {
      return fail(node, "is written in a way that cannot be changed here");
    }
    if (!node.flow && node.keys.front().start != skip_properties(node)) {
      return fail(node, "has keys in a notation that cannot be changed here");
    }
    std::vector<std::size_t> kept;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      if (wanted.find(key(node, i)) != nullptr) kept.push_back(i);
    }
    if (kept.empty()) return replace(node, wanted, 0, flow);
    for (const std::size_t i : kept) {
      edit(node.items[i], *is.find(key(node, i)), *wanted.find(key(node, i)),
           flow ? 0 : column(node.keys[i].start), flow);
    }
    remove_others(node, kept, flow, [&](std::size_t i) { return node.keys[i].start; });
    std::string added;
    const std::size_t at = node.keys[kept.front()].start;
    const std::size_t indent = column(at);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const std::string& name = wanted.keys()[i];
      if (is.find(name) != nullptr) continue;
      if (flow) {
        inject::append_json_string(added, name);
        added += concat(": ", wanted.items()[i].to_json(), ", ");
      } else {
        added += concat(inject::yaml_scalar(name), ":", behind_key(wanted.items()[i], indent),
                        newline_, std::string(indent, ' '));
      }
    }
    if (!added.empty()) insert(at, std::move(added));
  }

  // All that << brings stands where the first << is; any other goes.
  void expand_merges(const YamlNode& node, const Value& is, bool flow) {
    const auto own = [&](std::string_view name) {
      for (std::size_t i = 0; i < node.keys.size(); ++i) {
        if (!node.keys[i].merge && key(node, i) == name) return true;
      }
      return false;
    };
    std::vector<std::size_t> kept;
    bool written = false;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      if (!node.keys[i].merge) {
        kept.push_back(i);
        continue;
      }
      if (std::exchange(written, true)) continue;
      const std::size_t at = node.keys[i].start;
      std::string text;
      for (std::size_t k = 0; k < is.size(); ++k) {
        if (own(is.keys()[k])) continue;
        if (flow) {
          if (!text.empty()) text += ", ";
          inject::append_json_string(text, is.keys()[k]);
          text += concat(": ", is.items()[k].to_json());
        } else {
          if (!text.empty()) text += concat(newline_, std::string(column(at), ' '));
          text +=
              concat(inject::yaml_scalar(is.keys()[k]), ":", behind_key(is.items()[k], column(at)));
        }
      }
      if (text.empty()) continue;
      change(at, node.items[i].end, std::move(text));
      kept.push_back(i);
    }
    if (kept.empty()) return fail(node, "has nothing but <<, which brings nothing");
    if (kept.size() == node.items.size()) return;
    remove_others(node, kept, flow, [&](std::size_t i) { return node.keys[i].start; });
  }

  // Behind "&anchor !tag" of a block map.
  std::size_t skip_properties(const YamlNode& node) const {
    return node.anchor.empty() ? node.start : node.keys.front().start;
  }
  static std::string_view key(const YamlNode& node, std::size_t i) {
    return Parser::key_text(node.keys[i]);
  }

  // Takes out the entries that are not kept, run by run; `begin` says where one begins.
  template <typename Begin>
  void remove_others(const YamlNode& node, const std::vector<std::size_t>& kept, bool flow,
                     Begin&& begin) {
    std::size_t first = 0;
    for (std::size_t k = 0; k <= kept.size(); ++k) {
      const std::size_t end = k < kept.size() ? kept[k] : node.items.size();
      if (first < end) {
        const std::size_t from = begin(first);
        const std::size_t behind = node.items[end - 1].end;
        if (!flow && first_on_line(from)) {
          change(line_start(from), next_line(behind), "");
        } else if (k < kept.size()) {
          change(from, begin(end), "");  // what is kept moves up
        } else if (flow) {
          change(node.items[kept.back()].end, behind, "");
        } else {
          fail(node, "cannot be taken out of its line");
        }
      }
      first = end + 1;
    }
  }

  void edit_list(const YamlNode& node, const Value& is, const Value& wanted, bool in_flow) {
    const bool flow = node.flow || in_flow;
    const auto& old_items = is.items();
    const auto& new_items = wanted.items();
    if (old_items.size() == new_items.size()) {
      for (std::size_t i = 0; i < new_items.size(); ++i) {
        edit(node.items[i], old_items[i], new_items[i], flow ? 0 : column(node.items[i].start),
             flow);
      }
      return;
    }
    // Which new item each old one becomes: the longest common sequence.
    const std::vector<std::size_t> match = matches(old_items, new_items);
    std::vector<std::size_t> kept;
    for (std::size_t i = 0; i < match.size(); ++i) {
      if (match[i] != kNone) kept.push_back(i);
    }
    if (kept.empty()) return replace(node, wanted, 0, flow);
    remove_others(node, kept, flow,
                  [&](std::size_t i) { return flow ? node.items[i].start : node.items[i].dash; });
    std::size_t next = 0;  // of the new items
    for (const std::size_t i : kept) {
      std::string added;
      for (; next < match[i]; ++next) added += item(node, new_items[next], flow, true);
      if (!added.empty()) insert(flow ? node.items[i].start : node.items[i].dash, std::move(added));
      next = match[i] + 1;
    }
    std::string added;
    for (; next < new_items.size(); ++next) added += item(node, new_items[next], flow, false);
    if (added.empty()) return;
    const YamlNode& last = node.items[kept.back()];
    if (flow) return insert(last.end, std::move(added));
    const std::size_t at = next_line(last.end);
    if (at == text_.size() && (at == 0 || text_[at - 1] != '\n')) {
      added.insert(0, newline_);
      added.erase(added.size() - newline_.size());
    }
    insert(at, std::move(added));
  }

  // `before`: in front of an item that is there, whose place it takes; else on lines of its own.
  std::string item(const YamlNode& node, const Value& value, bool flow, bool before) const {
    if (flow) return before ? value.to_json() + ", " : ", " + value.to_json();
    const std::size_t indent = column(node.items.front().dash);
    const std::string block = lines(Value::list({value}).to_yaml(indent));
    if (!before) return block;
    return block.substr(indent) + std::string(indent, ' ');
  }

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  static std::vector<std::size_t> matches(const std::vector<Value>& a,
                                          const std::vector<Value>& b) {
    std::vector<std::size_t> out(a.size(), kNone);
    if (a.size() * b.size() > 250'000) return out;
    std::vector<std::vector<std::uint32_t>> best(a.size() + 1,
                                                 std::vector<std::uint32_t>(b.size() + 1));
    for (std::size_t i = a.size(); i-- > 0;) {
      for (std::size_t k = b.size(); k-- > 0;) {
        best[i][k] =
            a[i] == b[k] ? best[i + 1][k + 1] + 1 : std::max(best[i + 1][k], best[i][k + 1]);
      }
    }
    for (std::size_t i = 0, k = 0; i < a.size() && k < b.size();) {
      if (a[i] == b[k]) {
        out[i++] = k++;
      } else if (best[i + 1][k] >= best[i][k + 1]) {
        ++i;
      } else {
        ++k;
      }
    }
    return out;
  }

  const std::string& text_;
  const std::string newline_;
  std::vector<Edit> edits_;
  std::string problem_;
};

}  // namespace

std::optional<YamlText> YamlText::parse(std::string text, std::string& problem) {
  YamlText out;
  out.text_ = std::move(text);
  Parser parser(out.text_);
  YamlNode root;
  Value value;
  while (parser.next_document(root, value)) {
    out.roots_.push_back(std::move(root));
    out.values_.push_back(std::move(value));
    root = YamlNode();
  }
  if (parser.failed()) {
    problem = parser.problem();
    return std::nullopt;
  }
  const std::vector<std::size_t> dashes = Parser::dashes(out.text_);
  for (YamlNode& document : out.roots_) set_dashes(document, dashes);
  return out;
}

namespace {
bool has_references(const YamlNode& node) {
  const auto in = [](const std::vector<YamlNode>& nodes) {
    return std::any_of(nodes.begin(), nodes.end(), has_references);
  };
  return node.kind == YamlNode::Kind::Alias || node.merge || in(node.keys) || in(node.items);
}
}  // namespace

std::string YamlText::expanded(const std::vector<Value>& wanted, std::string& problem) const {
  Editor editor(text_);
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    if (values_[i] != wanted[i]) editor.expand(roots_[i], values_[i], 0, false);
  }
  problem = editor.problem();
  return problem.empty() ? editor.apply() : "";
}

std::optional<std::string> YamlText::with(const std::vector<Value>& wanted,
                                          std::string& problem) const {
  TULLE_CHECK(wanted.size() == roots_.size());
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    if (values_[i] == wanted[i] || !has_references(roots_[i])) continue;
    std::string out = expanded(wanted, problem);
    if (!problem.empty()) return std::nullopt;
    const auto plain = parse(std::move(out), problem);
    bool same = plain && plain->size() == values_.size();
    for (std::size_t k = 0; same && k < values_.size(); ++k) {
      same = plain->values_[k] == values_[k] &&
             (values_[k] == wanted[k] || !has_references(plain->roots_[k]));
    }
    if (same) return plain->with(wanted, problem);
    problem = "has aliases or merge keys in a way that cannot be written out here";
    return std::nullopt;
  }
  Editor editor(text_);
  for (std::size_t i = 0; i < roots_.size(); ++i)
    editor.edit(roots_[i], values_[i], wanted[i], 0, false);
  if (!editor.problem().empty()) {
    problem = editor.problem();
    return std::nullopt;
  }
  std::string out = editor.apply();
  // What was written must say what was meant.
  std::string broken;
  const auto again = parse(out, broken);
  bool same = again && again->size() == wanted.size();
  for (std::size_t i = 0; same && i < wanted.size(); ++i) same = again->value(i) == wanted[i];
  if (same) return out;
  problem = "is written in a way that cannot be changed here";
  return std::nullopt;
}

}  // namespace tulle::cli
