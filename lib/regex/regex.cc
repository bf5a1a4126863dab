// SPDX-License-Identifier: Apache-2.0
// Parsed by descent into instructions of a Pike machine, run over all threads at once: no input
// makes it slower than states × bytes.
#include "lib/regex/regex.h"

#include <algorithm>
#include <bitset>
#include <optional>
#include <vector>

#include "lib/base/text.h"

namespace tulle {
namespace {

using ByteSet = std::bitset<256>;
constexpr std::size_t kMaxStates = 10'000;
constexpr int kMaxDepth = 200;

struct Op {
  enum class Kind : std::uint8_t {
    Set,
    Split,
    Jump,
    Begin,
    End,
    WordEdge,
    NotWordEdge,
    Match
  } kind;
  std::uint32_t next = 0;
  std::uint32_t other = 0;
  std::uint32_t set = 0;
};

bool is_word(int c) {
  return c >= 0 &&
         (ascii_digit(static_cast<char>(c)) ||
          (ascii_lower(static_cast<char>(c)) >= 'a' && ascii_lower(static_cast<char>(c)) <= 'z') ||
          c == '_');
}

// A piece of program as a tree, so that repeats can be written out more than once.
struct Node {
  enum class Kind : std::uint8_t {
    Empty,
    Set,
    Cat,
    Alt,
    Repeat,
    Begin,
    End,
    WordEdge,
    NotWordEdge
  } kind = Kind::Empty;
  ByteSet set;
  std::vector<Node> children;
  int min = 0;
  int max = -1;  // -1: no end
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}
  std::optional<Node> parse() {
    std::optional<Node> node = alternatives(0);
    if (!node || at_ != text_.size()) return std::nullopt;
    return node;
  }

 private:
  bool more() const { return at_ < text_.size(); }
  char peek() const { return text_[at_]; }
  bool eat(char c) {
    if (!more() || peek() != c) return false;
    ++at_;
    return true;
  }

  std::optional<Node> alternatives(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    Node alt{Node::Kind::Alt, {}, {}, 0, -1};
    do {
      Node cat{Node::Kind::Cat, {}, {}, 0, -1};
      while (more() && peek() != '|' && peek() != ')') {
        std::optional<Node> piece = repeated(depth);
        if (!piece) return std::nullopt;
        cat.children.push_back(std::move(*piece));
      }
      alt.children.push_back(std::move(cat));
    } while (eat('|'));
    if (alt.children.size() == 1) return std::move(alt.children.front());
    return alt;
  }

  std::optional<Node> repeated(int depth) {
    std::optional<Node> atom = this->atom(depth);
    if (!atom) return std::nullopt;
    if (atom->kind == Node::Kind::Empty) {  // flags: RE2 would repeat what stands before them
      if (more() && (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{'))
        return std::nullopt;
      return atom;
    }
    for (int stacked = 0; more(); ++stacked) {
      int min = 0;
      int max = -1;
      if (eat('*')) {
      } else if (eat('+')) {
        min = 1;
      } else if (eat('?')) {
        max = 1;
      } else if (peek() == '{') {
        const auto bounds = read_bounds();
        if (!bounds) break;  // a brace that is no repeat is a literal
        min = bounds->first;
        max = bounds->second;
        if (min > 1000 || max > 1000 || (max >= 0 && min > max)) return std::nullopt;
      } else {
        break;
      }
      if (stacked > 0) return std::nullopt;  // RE2: "bad repetition operator"
      eat('?');                              // lazy: the same for a full match
      Node repeat{Node::Kind::Repeat, {}, {}, min, max};
      repeat.children.push_back(std::move(*atom));
      atom = std::move(repeat);
    }
    return atom;
  }

  // A number as RE2 takes it: digits without leading zeros; what is too large for anything is a
  // billion.
  static std::optional<int> read_count(std::string_view text) {
    if (text.empty() || !std::all_of(text.begin(), text.end(), ascii_digit) ||
        (text.size() > 1 && text.front() == '0')) {
      return std::nullopt;
    }
    return text.size() > 9 ? 1'000'000'000 : parse_number<int>(text);
  }
  std::optional<std::pair<int, int>> read_bounds() {
    const auto close = text_.find('}', at_);
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view inside = text_.substr(at_ + 1, close - at_ - 1);
    const auto comma = inside.find(',');
    const auto min = read_count(inside.substr(0, comma));
    if (!min) return std::nullopt;
    int max = *min;
    if (comma != std::string_view::npos) {
      const std::string_view rest = inside.substr(comma + 1);
      max = -1;
      if (!rest.empty()) {
        const auto parsed = read_count(rest);
        if (!parsed) return std::nullopt;
        max = *parsed;
      }
    }
    at_ = close + 1;
    return std::pair{*min, max};
  }

  Node set_node(const ByteSet& set) const {
    Node node{Node::Kind::Set, set, {}, 0, -1};
    if (fold_) {
      for (int c = 'a'; c <= 'z'; ++c) {
        const auto lower = static_cast<std::size_t>(c);
        const std::size_t upper = lower - 32;
        if (set[lower] || set[upper]) node.set[lower] = node.set[upper] = true;
      }
    }
    return node;
  }
  static ByteSet single(std::uint8_t byte) {
    ByteSet set;
    set[byte] = true;
    return set;
  }

  // Names of groups mean nothing here, but must be ones.
  bool take_name(std::string_view name) {
    if (name.empty() ||
        !std::all_of(name.begin(), name.end(),
                     [](char c) { return is_word(static_cast<unsigned char>(c)); }) ||
        std::find(names_.begin(), names_.end(), name) != names_.end()) {
      return false;
    }
    names_.push_back(name);
    return true;
  }

  std::optional<Node> atom(int depth) {
    const char c = peek();
    ++at_;
    switch (c) {
      case '(': {
        const bool fold_before = fold_;
        const bool dot_before = dot_all_;
        if (eat('?')) {
          if (eat('P')) {
            if (!eat('<')) return std::nullopt;
            const auto end = text_.find('>', at_);
            if (end == std::string_view::npos || !take_name(text_.substr(at_, end - at_)))
              return std::nullopt;
            at_ = end + 1;
          } else {
            bool on = true;
            bool flag_wanted = false;  // after a minus
            while (more() && peek() != ':' && peek() != ')') {
              const char flag = text_[at_++];
              if (flag == '-') {
                if (!on) return std::nullopt;
                on = false;
                flag_wanted = true;
                continue;
              }
              flag_wanted = false;
              if (flag == 'i') {
                fold_ = on;
              } else if (flag == 's') {
                dot_all_ = on;
              } else {
                return std::nullopt;  // look-around, multi-line and the like
              }
            }
            if (flag_wanted) return std::nullopt;
            if (eat(')')) return Node{};  // flags for the rest of the group around it
            if (!eat(':')) return std::nullopt;
          }
        }
        std::optional<Node> inner = alternatives(depth + 1);
        if (!inner || !eat(')')) return std::nullopt;
        fold_ = fold_before;
        dot_all_ = dot_before;
        return inner;
      }
      case '[': return char_class();
      case '.': {
        ByteSet any;
        any.set();
        if (!dot_all_) any['\n'] = false;
        return Node{Node::Kind::Set, any, {}, 0, -1};
      }
      case '^': return Node{Node::Kind::Begin, {}, {}, 0, -1};
      case '$': return Node{Node::Kind::End, {}, {}, 0, -1};
      case '*':
      case '+':
      case '?':
      case ')': return std::nullopt;
      case '{':
        --at_;
        if (read_bounds()) return std::nullopt;  // a repeat of nothing
        ++at_;
        return set_node(single('{'));
      case '\\': return escaped();
      default: return set_node(single(static_cast<std::uint8_t>(c)));
    }
  }

  static std::optional<ByteSet> perl_class(char c) {
    ByteSet set;
    switch (ascii_lower(c)) {
      case 'd':
        for (int b = '0'; b <= '9'; ++b) set[static_cast<std::size_t>(b)] = true;
        break;
      case 'w':
        for (int b = 0; b < 128; ++b) set[static_cast<std::size_t>(b)] = is_word(b);
        break;
      case 's':
        for (const char b : {' ', '\t', '\n', '\r', '\f'}) set[static_cast<std::uint8_t>(b)] = true;
        break;
      default: return std::nullopt;
    }
    return c >= 'A' && c <= 'Z' ? ~set : set;
  }

  // After a backslash: one byte, or nullopt.
  std::optional<std::uint8_t> escaped_byte() {
    if (!more()) return std::nullopt;
    const char c = text_[at_++];
    switch (c) {
      case 'n': return '\n';
      case 't': return '\t';
      case 'r': return '\r';
      case 'f': return '\f';
      case 'v': return '\v';
      case 'a': return '\a';
      case 'x': {
        const auto value = parse_number<std::uint8_t>(text_.substr(at_, 2), 16);
        if (!value || at_ + 2 > text_.size()) return std::nullopt;
        at_ += 2;
        return value;
      }
      default: break;
    }
    // Only punctuation may be escaped to itself: letters are kept for meanings that are not
    // supported.
    if (is_word(c) || static_cast<std::uint8_t>(c) >= 0x80) return std::nullopt;
    return static_cast<std::uint8_t>(c);
  }

  std::optional<Node> escaped() {
    if (!more()) return std::nullopt;
    if (const auto set = perl_class(peek())) {
      ++at_;
      return Node{Node::Kind::Set, *set, {}, 0, -1};
    }
    if (eat('A')) return Node{Node::Kind::Begin, {}, {}, 0, -1};
    if (eat('z')) return Node{Node::Kind::End, {}, {}, 0, -1};
    if (eat('b')) return Node{Node::Kind::WordEdge, {}, {}, 0, -1};
    if (eat('B')) return Node{Node::Kind::NotWordEdge, {}, {}, 0, -1};
    const auto byte = escaped_byte();
    if (!byte) return std::nullopt;
    return set_node(single(*byte));
  }

  static std::optional<ByteSet> posix_class(std::string_view name) {
    ByteSet set;
    for (int b = 0; b < 128; ++b) {
      const bool upper = b >= 'A' && b <= 'Z';
      const bool lower = b >= 'a' && b <= 'z';
      const bool digit = b >= '0' && b <= '9';
      bool in = false;
      if (name == "alpha")
        in = upper || lower;
      else if (name == "digit")
        in = digit;
      else if (name == "alnum")
        in = upper || lower || digit;
      else if (name == "upper")
        in = upper;
      else if (name == "lower")
        in = lower;
      else if (name == "space")
        in = b == ' ' || (b >= 9 && b <= 13);
      else if (name == "punct")
        in = b > 32 && b < 127 && !upper && !lower && !digit;
      else if (name == "xdigit")
        in = digit || (b >= 'a' && b <= 'f') || (b >= 'A' && b <= 'F');
      else if (name == "word")
        in = is_word(b);
      else
        return std::nullopt;
      set[static_cast<std::size_t>(b)] = in;
    }
    return set;
  }

  std::optional<Node> char_class() {
    const bool negated = eat('^');
    ByteSet set;
    for (bool first = true; more() && (first || peek() != ']'); first = false) {
      if (peek() == '[' && at_ + 1 < text_.size() && text_[at_ + 1] == ':') {
        const auto end = text_.find(":]", at_ + 2);
        if (end == std::string_view::npos) return std::nullopt;
        const auto named = posix_class(text_.substr(at_ + 2, end - at_ - 2));
        if (!named) return std::nullopt;
        set |= *named;
        at_ = end + 2;
        continue;
      }
      std::optional<std::uint8_t> low;
      if (eat('\\')) {
        if (more()) {
          if (const auto perl = perl_class(peek())) {
            ++at_;
            set |= *perl;
            continue;
          }
        }
        low = escaped_byte();
      } else {
        low = static_cast<std::uint8_t>(text_[at_++]);
        if (*low >= 0x80) return std::nullopt;  // a class of bytes would split a character
      }
      if (!low) return std::nullopt;
      std::uint8_t high = *low;
      if (more() && peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        const std::optional<std::uint8_t> end =
            eat('\\') ? escaped_byte() : static_cast<std::uint8_t>(text_[at_++]);
        if (!end || *end < *low || *end >= 0x80) return std::nullopt;
        high = *end;
      }
      for (unsigned b = *low; b <= high; ++b) set[b] = true;
    }
    if (!eat(']')) return std::nullopt;
    Node node = set_node(set);
    if (negated) node.set = ~node.set;
    return node;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool fold_ = false;
  bool dot_all_ = false;
  std::vector<std::string_view> names_;
};

}  // namespace

struct Regex::Program {
  std::vector<Op> ops;
  std::vector<ByteSet> sets;

  // Appends code for the node; false when there would be too much of it.
  bool emit(const Node& node) {
    if (ops.size() > kMaxStates) return false;
    const auto here = [this] { return static_cast<std::uint32_t>(ops.size()); };
    switch (node.kind) {
      case Node::Kind::Empty: return true;
      case Node::Kind::Set:
        sets.push_back(node.set);
        ops.push_back({Op::Kind::Set, here() + 1, 0, static_cast<std::uint32_t>(sets.size() - 1)});
        return true;
      case Node::Kind::Begin: ops.push_back({Op::Kind::Begin, here() + 1, 0, 0}); return true;
      case Node::Kind::End: ops.push_back({Op::Kind::End, here() + 1, 0, 0}); return true;
      case Node::Kind::WordEdge: ops.push_back({Op::Kind::WordEdge, here() + 1, 0, 0}); return true;
      case Node::Kind::NotWordEdge:
        ops.push_back({Op::Kind::NotWordEdge, here() + 1, 0, 0});
        return true;
      case Node::Kind::Cat:
        for (const Node& child : node.children) {
          if (!emit(child)) return false;
        }
        return true;
      case Node::Kind::Alt: {
        std::vector<std::uint32_t> ends;
        for (std::size_t i = 0; i < node.children.size(); ++i) {
          const bool last = i + 1 == node.children.size();
          const std::uint32_t split = here();
          if (!last) ops.push_back({Op::Kind::Split, split + 1, 0, 0});
          if (!emit(node.children[i])) return false;
          if (!last) {
            ends.push_back(here());
            ops.push_back({Op::Kind::Jump, 0, 0, 0});
            ops[split].other = here();
          }
        }
        for (const std::uint32_t end : ends) ops[end].next = here();
        return true;
      }
      case Node::Kind::Repeat: {
        const Node& child = node.children.front();
        for (int i = 0; i < node.min; ++i) {
          if (!emit(child)) return false;
        }
        if (node.max < 0) {
          const std::uint32_t split = here();
          ops.push_back({Op::Kind::Split, split + 1, 0, 0});
          if (!emit(child)) return false;
          ops.push_back({Op::Kind::Jump, split, 0, 0});
          ops[split].other = here();
          return true;
        }
        std::vector<std::uint32_t> splits;
        for (int i = node.min; i < node.max; ++i) {
          splits.push_back(here());
          ops.push_back({Op::Kind::Split, here() + 1, 0, 0});
          if (!emit(child)) return false;
        }
        for (const std::uint32_t split : splits) ops[split].other = here();
        return true;
      }
    }
    return false;
  }
};

Regex::Regex(std::unique_ptr<Program> program) : program_(std::move(program)) {}
Regex::~Regex() = default;

Result<std::shared_ptr<const Regex>> Regex::compile(std::string_view pattern) {
  if (pattern.size() > 4096) return Error{Errc::TooLarge, "compile a regular expression"};
  const std::optional<Node> tree = Parser(pattern).parse();
  if (!tree) return Error{Errc::Invalid, "compile a regular expression"};
  auto program = std::make_unique<Program>();
  if (!program->emit(*tree)) return Error{Errc::TooLarge, "compile a regular expression"};
  program->ops.push_back({Op::Kind::Match, 0, 0, 0});
  return std::shared_ptr<const Regex>(new Regex(std::move(program)));
}

bool Regex::full_match(std::string_view text) const {
  const std::vector<Op>& ops = program_->ops;
  std::vector<std::uint32_t> now;
  std::vector<std::uint32_t> next;
  std::vector<std::uint32_t> stack;
  std::vector<std::size_t> seen(ops.size(), SIZE_MAX);
  bool matched = false;
  // Adds a thread and all that it reaches without a byte.
  const auto add = [&](std::vector<std::uint32_t>& list, std::uint32_t start, std::size_t at) {
    stack.push_back(start);
    while (!stack.empty()) {
      const std::uint32_t i = stack.back();
      stack.pop_back();
      if (seen[i] == at) continue;
      seen[i] = at;
      const Op& op = ops[i];
      const bool before = at > 0 && is_word(static_cast<unsigned char>(text[at - 1]));
      const bool after = at < text.size() && is_word(static_cast<unsigned char>(text[at]));
      switch (op.kind) {
        case Op::Kind::Set: list.push_back(i); break;
        case Op::Kind::Split:
          stack.push_back(op.next);
          stack.push_back(op.other);
          break;
        case Op::Kind::Jump: stack.push_back(op.next); break;
        case Op::Kind::Begin:
          if (at == 0) stack.push_back(op.next);
          break;
        case Op::Kind::End:
          if (at == text.size()) stack.push_back(op.next);
          break;
        case Op::Kind::WordEdge:
          if (before != after) stack.push_back(op.next);
          break;
        case Op::Kind::NotWordEdge:
          if (before == after) stack.push_back(op.next);
          break;
        case Op::Kind::Match: matched = at == text.size(); break;
      }
    }
  };
  add(now, 0, 0);
  for (std::size_t at = 0; at < text.size() && !now.empty(); ++at) {
    next.clear();
    for (const std::uint32_t i : now) {
      if (program_->sets[ops[i].set][static_cast<std::uint8_t>(text[at])])
        add(next, ops[i].next, at + 1);
    }
    now.swap(next);
  }
  return matched;
}

}  // namespace tulle
