// SPDX-License-Identifier: Apache-2.0
// From text to nodes: first the pieces between delimiters, then the words inside, then the tree.
#include <algorithm>
#include <charconv>
#include <optional>

#include "cli/chart/functions.h"
#include "cli/chart/template.h"
#include "lib/base/text.h"

namespace tulle::chart {

namespace {

constexpr std::string_view kSpaces = " \t\r\n";

bool is_space(char c) { return kSpaces.find(c) != std::string_view::npos; }
bool is_word(char c) {
  return c == '_' || ascii_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
         (static_cast<unsigned char>(c) & 0x80) != 0;
}

struct Word {
  enum class Kind : std::uint8_t {
    End,
    Dot,
    Field,
    Variable,
    Name,
    Literal,
    Pipe,
    Declare,
    Assign,
    Comma,
    Open,
    Close
  };
  Kind kind = Kind::End;
  std::string text;  // of a Field without its dot, of a Variable with its $
  Value literal;
  bool spaced = true;  // a space stands before it
  int line = 0;
};

struct Piece {
  std::string text;         // of a piece of text
  std::vector<Word> words;  // of an action: what is between the delimiters, then End
};

std::size_t append_utf8(std::string& out, std::uint32_t code) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
  return out.size();
}

// Splits a text into pieces and actions into words.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  bool run(std::vector<Piece>& pieces) {
    while (at_ < text_.size()) {
      const std::size_t open = text_.find("{{", at_);
      std::string_view plain =
          text_.substr(at_, open == std::string_view::npos ? open : open - at_);
      count_lines(plain);
      at_ += plain.size();
      const bool trims = open != std::string_view::npos && text_.substr(open + 2, 1) == "-" &&
                         open + 3 < text_.size() && is_space(text_[open + 3]);
      if (trim_next_) plain.remove_prefix(std::min(plain.find_first_not_of(kSpaces), plain.size()));
      if (trims) plain = plain.substr(0, plain.find_last_not_of(kSpaces) + 1);
      trim_next_ = false;
      if (!plain.empty()) pieces.push_back({std::string(plain), {}});
      if (open == std::string_view::npos) break;
      at_ = open + (trims ? 4 : 2);
      if (trims && text_[open + 3] == '\n') ++line_;
      if (!action(pieces)) return false;
    }
    return true;
  }

  const std::string& problem() const { return problem_; }
  int line() const { return line_; }

 private:
  bool fail(std::string reason) {
    problem_ = std::move(reason);
    return false;
  }

  void count_lines(std::string_view text) {
    for (const char c : text) line_ += c == '\n' ? 1 : 0;
  }

  bool starts(std::string_view what) const { return text_.substr(at_).starts_with(what); }

  // Behind the delimiter that ends an action, if it is here.
  bool at_end() {
    if (starts("}}")) {
      at_ += 2;
      return true;
    }
    if (at_ + 1 < text_.size() && is_space(text_[at_]) &&
        text_.substr(at_ + 1).starts_with("-}}")) {
      if (text_[at_] == '\n') ++line_;
      at_ += 4;
      trim_next_ = true;
      return true;
    }
    return false;
  }

  bool action(std::vector<Piece>& pieces) {
    if (starts("/*")) {
      const std::size_t end = text_.find("*/", at_);
      if (end == std::string_view::npos) return fail("unclosed comment");
      count_lines(text_.substr(at_, end - at_));
      at_ = end + 2;
      return at_end() || fail("comment ends before closing delimiter");
    }
    std::vector<Word> words;
    bool spaced = true;
    while (!at_end()) {
      if (at_ >= text_.size()) return fail("unclosed action");
      const char c = text_[at_];
      if (is_space(c)) {
        if (c == '\n') ++line_;
        spaced = true;
        ++at_;
        continue;
      }
      Word word;
      word.spaced = std::exchange(spaced, false);
      word.line = line_;
      if (!read(word, c)) return false;
      words.push_back(std::move(word));
    }
    Word end;
    end.line = line_;
    words.push_back(std::move(end));
    pieces.push_back({{}, std::move(words)});
    return true;
  }

  bool read(Word& word, char c) {
    using Kind = Word::Kind;
    const auto sign = [&](Kind kind, std::size_t size) {
      word.kind = kind;
      at_ += size;
      return true;
    };
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c == ':' && next == '=') return sign(Kind::Declare, 2);
    if (c == '=') return sign(Kind::Assign, 1);
    if (c == '|') return sign(Kind::Pipe, 1);
    if (c == ',') return sign(Kind::Comma, 1);
    if (c == '(') return sign(Kind::Open, 1);
    if (c == ')') return sign(Kind::Close, 1);
    if (c == '"' || c == '\'') return quoted(word, c);
    if (c == '`') return raw(word);
    if (ascii_digit(c) || c == '+' || c == '-' || (c == '.' && ascii_digit(next)))
      return number(word);
    if (c == '.' || c == '$') {
      word.kind = c == '.' ? Kind::Field : Kind::Variable;
      ++at_;
      word.text = name();
      if (c == '$') word.text.insert(word.text.begin(), '$');
      if (word.text.empty()) word.kind = Kind::Dot;
      return true;
    }
    if (!is_word(c))
      return fail(concat("unexpected ", quote_go(text_.substr(at_, 1)), " in an action"));
    word.text = name();
    word.kind = Kind::Name;
    if (word.text == "true" || word.text == "false") {
      word.kind = Kind::Literal;
      word.literal = Value(word.text == "true");
    }
    return true;
  }

  std::string name() {
    const std::size_t start = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }

  bool raw(Word& word) {
    const std::size_t end = text_.find('`', at_ + 1);
    if (end == std::string_view::npos) return fail("unterminated raw quoted string");
    word.kind = Word::Kind::Literal;
    std::string text(text_.substr(at_ + 1, end - at_ - 1));
    count_lines(text);
    std::erase(text, '\r');
    word.literal = Value(std::move(text));
    at_ = end + 1;
    return true;
  }

  // "text" as a string, 'c' as the number of its character.
  bool quoted(Word& word, char quote) {
    word.kind = Word::Kind::Literal;
    std::string text;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] == '\n') return fail("unterminated quoted string");
      if (text_[at_] != '\\') {
        text += text_[at_];
      } else if (!escape(text)) {
        return fail("invalid syntax in a quoted string");
      }
    }
    if (at_ >= text_.size()) return fail("unterminated quoted string");
    ++at_;
    if (quote == '"') {
      word.literal = Value(std::move(text));
    } else {
      if (text.size() != 1) return fail("a character constant has one ASCII character here");
      word.literal = Value::integer(static_cast<unsigned char>(text[0]));
    }
    return true;
  }

  bool escape(std::string& text) {
    if (++at_ >= text_.size()) return false;
    static constexpr std::string_view kLetters = "abtnvfr";
    const char c = text_[at_];
    if (const std::size_t letter = kLetters.find(c); letter != std::string_view::npos) {
      text += static_cast<char>(7 + letter);
      return true;
    }
    if (c == '\\' || c == '"' || c == '\'') {
      text += c;
      return true;
    }
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 3;
    const bool octal = c >= '0' && c <= '7';
    if (digits == 3 && !octal) return false;
    if (!octal) ++at_;
    if (at_ + digits > text_.size()) return false;
    const auto code = parse_number<std::uint32_t>(text_.substr(at_, digits), octal ? 8 : 16);
    if (!code || *code > 0x10FFFF || (digits < 4 && *code > 0xFF)) return false;
    at_ += digits - 1;
    if (digits < 4) {
      text += static_cast<char>(*code);
    } else {
      append_utf8(text, *code);
    }
    return true;
  }

  bool number(Word& word) {
    word.kind = Word::Kind::Literal;
    const std::size_t start = at_;
    const bool signed_one = text_[at_] == '+' || text_[at_] == '-';
    if (signed_one) ++at_;
    while (at_ < text_.size() &&
           (is_word(text_[at_]) || text_[at_] == '.' ||
            ((text_[at_] == '+' || text_[at_] == '-') && ascii_lower(text_[at_ - 1]) == 'e'))) {
      ++at_;
    }
    const std::string written(text_.substr(start, at_ - start));
    std::string digits = written.substr(signed_one ? 1 : 0);
    std::erase(digits, '_');
    const bool negative = written[0] == '-';
    std::string_view view = digits;
    int base = 10;
    if (view.size() > 1 && view[0] == '0' && view.find('.') == std::string_view::npos) {
      const char letter = ascii_lower(view[1]);
      base = letter == 'x' ? 16 : letter == 'b' ? 2 : ascii_digit(letter) || letter == 'o' ? 8 : 10;
      if (base != 10) view.remove_prefix(ascii_digit(letter) ? 1 : 2);
    }
    if (const auto whole = parse_number<std::int64_t>(view, base); whole && *whole >= 0) {
      word.literal = Value::integer(negative ? -*whole : *whole);
      return true;
    }
    double fraction = 0;
    const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), fraction);
    if (digits.empty() || bad != std::errc{} || end != digits.data() + digits.size())
      return fail(concat("bad number syntax: ", quote_go(written)));
    word.literal = Value::number(negative ? -fraction : fraction);
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool trim_next_ = false;
  std::string problem_;
};

bool is_blank(const std::vector<Node>& body) {
  for (const Node& node : body) {
    if (node.kind != Node::Kind::Text || node.text.find_first_not_of(kSpaces) != std::string::npos)
      return false;
  }
  return true;
}

class Parser {
 public:
  using Add = std::map<std::string, std::vector<Node>>;
  Parser(std::vector<Piece> pieces, std::string_view file)
      : pieces_(std::move(pieces)), file_(file) {}

  // The text's own nodes; what it defines goes to `defined`.
  std::optional<std::vector<Node>> run(Add& defined) {
    defined_ = &defined;
    std::vector<Node> body;
    variables_ = {"$"};
    const std::string end = list(body);
    if (problem_.empty() && !end.empty()) fail(concat("unexpected {{", end, "}}"));
    if (!problem_.empty()) return std::nullopt;
    return body;
  }

  const std::string& problem() const { return problem_; }

 private:
  using Kind = Word::Kind;

  std::string fail(std::string_view reason) {
    if (problem_.empty()) problem_ = concat(file_, ":", std::to_string(line_), ": ", reason);
    return "";
  }

  const Word& word() const { return (*words_)[at_]; }
  const Word& take() { return (*words_)[at_ + 1 < words_->size() ? at_++ : at_]; }
  bool take_if(Kind kind) {
    if (word().kind != kind) return false;
    take();
    return true;
  }
  bool take_name(std::string_view name) {
    if (word().kind != Kind::Name || word().text != name) return false;
    take();
    return true;
  }

  // Nodes up to an action that ends or divides a block; gives its name, "" at the end of the text.
  std::string list(std::vector<Node>& into) {
    if (++depth_ > kMaxNesting) return fail("blocks and parentheses are nested too deeply");
    std::string end;
    while (problem_.empty() && end.empty() && piece_ < pieces_.size()) {
      Piece& piece = pieces_[piece_++];
      if (piece.words.empty()) {
        Node node;
        node.text = std::move(piece.text);
        into.push_back(std::move(node));
        continue;
      }
      words_ = &piece.words;
      at_ = 0;
      line_ = piece.words.front().line;
      end = action(into);
    }
    --depth_;
    return problem_.empty() ? end : "";
  }

  std::string action(std::vector<Node>& into) {
    const std::string name = word().kind == Kind::Name ? word().text : "";
    Node node;
    node.line = line_;
    if (name == "end") {
      take();
      return word().kind == Kind::End ? "end" : fail("unexpected word after end");
    }
    if (name == "else") {
      take();
      return "else";
    }
    if (name == "if" || name == "with" || name == "range") {
      take();
      node.kind = name == "if"     ? Node::Kind::If
                  : name == "with" ? Node::Kind::With
                                   : Node::Kind::Range;
      block(node);
    } else if (name == "define") {
      take();
      return define();
    } else if (name == "block") {
      take();
      node.kind = Node::Kind::Template;
      return define_block(node, into);
    } else if (name == "template") {
      take();
      node.kind = Node::Kind::Template;
      if (!read_name(node.text)) return "";
      if (word().kind != Kind::End) node.pipeline = pipeline(false);
      expect_end();
    } else if (name == "break" || name == "continue") {
      take();
      if (ranges_ == 0) return fail(concat("{{", name, "}} outside {{range}}"));
      node.kind = name == "break" ? Node::Kind::Break : Node::Kind::Continue;
      expect_end();
    } else {
      node.kind = Node::Kind::Action;
      node.pipeline = pipeline(false);
      expect_end();
    }
    into.push_back(std::move(node));
    return "";
  }

  void expect_end() {
    if (word().kind != Kind::End) fail("unexpected word in an action");
  }

  bool read_name(std::string& into) {
    if (word().kind != Kind::Literal || !word().literal.is_string()) {
      fail("a quoted name is expected");
      return false;
    }
    into = take().literal.text();
    return true;
  }

  // if, with, range: variables of the pipeline are known until the end.
  void block(Node& node) {
    const std::size_t known = variables_.size();
    const bool is_range = node.kind == Node::Kind::Range;
    node.pipeline = pipeline(is_range);
    expect_end();
    if (is_range) ++ranges_;
    std::string end = list(node.body);
    if (is_range) --ranges_;
    if (problem_.empty() && end == "else")
      otherwise(node);
    else if (problem_.empty() && end != "end")
      fail(concat("a block of line ", std::to_string(node.line), " has no {{end}}"));
    variables_.resize(known);
  }

  void otherwise(Node& node) {
    // {{else if …}} is a block of its own that shares our {{end}}.
    if (word().kind == Kind::Name && (word().text == "if" || word().text == "with")) {
      Node inner;
      inner.line = line_;
      const bool is_if = take().text == "if";
      inner.kind = is_if ? Node::Kind::If : Node::Kind::With;
      if (node.kind != inner.kind) return static_cast<void>(fail("unexpected word after else"));
      if (++depth_ > kMaxNesting)
        return static_cast<void>(fail("blocks and parentheses are nested too deeply"));
      block(inner);
      --depth_;
      node.otherwise.push_back(std::move(inner));
      return;
    }
    expect_end();
    const std::string end = list(node.otherwise);
    if (problem_.empty() && end != "end")
      fail(concat("a block of line ", std::to_string(node.line), " has no {{end}}"));
  }

  std::string define() {
    if (depth_ > 1) return fail("unexpected {{define}} inside a block");
    std::string name;
    if (!read_name(name)) return "";
    expect_end();
    body_of(name);
    return "";
  }

  std::string define_block(Node& node, std::vector<Node>& into) {
    if (!read_name(node.text)) return "";
    node.pipeline = pipeline(false);
    expect_end();
    body_of(node.text);
    into.push_back(std::move(node));
    return "";
  }

  void body_of(const std::string& name) {
    const int line = line_;
    std::vector<std::string> outer = std::exchange(variables_, {"$"});
    const int ranges = std::exchange(ranges_, 0);
    std::vector<Node> body;
    const std::string end = list(body);
    if (problem_.empty() && end != "end")
      fail(concat("{{define}} of line ", std::to_string(line), " has no {{end}}"));
    variables_ = std::move(outer);
    ranges_ = ranges;
    std::vector<Node>& known = (*defined_)[name];
    if (is_blank(known)) {
      known = std::move(body);
    } else if (!is_blank(body)) {
      fail(concat("multiple definition of template ", quote_go(name)));
    }
  }

  Pipeline pipeline(bool is_range) {
    Pipeline out;
    out.line = line_;
    declarations(out, is_range);
    if (++depth_ > kMaxNesting) fail("blocks and parentheses are nested too deeply");
    do {
      out.commands.push_back(command());
      const Command& last = out.commands.back();
      if (problem_.empty() && out.commands.size() > 1 && last.front().fields.empty() &&
          (last.front().kind == Operand::Kind::Literal || last.front().kind == Operand::Kind::Nil ||
           last.front().kind == Operand::Kind::Dot)) {
        fail(concat("non executable command in pipeline stage ",
                    std::to_string(out.commands.size())));
      }
    } while (problem_.empty() && take_if(Kind::Pipe));
    --depth_;
    // A variable is known from here on, not inside its own pipeline.
    if (!out.assigns)
      variables_.insert(variables_.end(), out.variables.begin(), out.variables.end());
    return out;
  }

  void declarations(Pipeline& out, bool is_range) {
    if (word().kind != Kind::Variable) return;
    const Word& next = (*words_)[at_ + 1];
    const bool pair = is_range && next.kind == Kind::Comma;
    if (next.kind != Kind::Declare && next.kind != Kind::Assign && !pair) return;
    out.variables.push_back(take().text);
    if (pair) {
      take();
      if (word().kind != Kind::Variable)
        return static_cast<void>(fail("range can only initialize variables"));
      out.variables.push_back(take().text);
    }
    out.assigns = word().kind == Kind::Assign;
    if (word().kind != Kind::Declare && word().kind != Kind::Assign)
      return static_cast<void>(fail("missing := of a declaration"));
    take();
    if (!out.assigns) return;
    for (const std::string& name : out.variables) check_variable(name);
  }

  void check_variable(const std::string& name) {
    if (std::find(variables_.begin(), variables_.end(), name) == variables_.end())
      fail(concat("undefined variable ", quote_go(name)));
  }

  Command command() {
    Command out;
    while (problem_.empty() && word().kind != Kind::End && word().kind != Kind::Pipe &&
           word().kind != Kind::Close) {
      if (!out.empty() && !word().spaced) fail("two words without a space between them");
      out.push_back(operand());
    }
    if (out.empty()) {
      fail("missing value");
      out.emplace_back();
    }
    return out;
  }

  Operand operand() {
    Operand out;
    line_ = out.line = word().line;
    const Word& first = take();
    switch (first.kind) {
      case Kind::Dot: break;
      case Kind::Field: out.fields.push_back(first.text); break;
      case Kind::Variable:
        out.kind = Operand::Kind::Variable;
        out.name = first.text;
        check_variable(out.name);
        break;
      case Kind::Literal:
        out.kind = Operand::Kind::Literal;
        out.literal = first.literal;
        break;
      case Kind::Name:
        out.kind = first.text == "nil" ? Operand::Kind::Nil : Operand::Kind::Function;
        out.name = first.text;
        if (out.kind == Operand::Kind::Function) check_function(out.name);
        break;
      case Kind::Open:
        out.kind = Operand::Kind::Nested;
        out.nested = std::make_unique<Pipeline>(pipeline(false));
        if (problem_.empty() && !take_if(Kind::Close)) fail("unclosed left paren");
        break;
      default: fail("unexpected sign in an action"); break;
    }
    while (problem_.empty() && word().kind == Kind::Field && !word().spaced) {
      if (out.kind == Operand::Kind::Literal || out.kind == Operand::Kind::Nil ||
          out.kind == Operand::Kind::Function) {
        fail(concat("unexpected .", word().text, " after a value that has no fields"));
      }
      out.fields.push_back(take().text);
    }
    return out;
  }

  void check_function(const std::string& name) {
    if (find_function(name) != nullptr) return;
    fail(is_left_out(name)
             ? concat("Helm's function ", quote_go(name), " is not one that tulle has")
             : concat("function ", quote_go(name), " not defined"));
  }

  std::vector<Piece> pieces_;
  std::size_t piece_ = 0;
  std::vector<Word>* words_ = nullptr;
  std::size_t at_ = 0;
  std::string file_;
  int line_ = 1;
  int depth_ = 0;
  int ranges_ = 0;
  std::vector<std::string> variables_;
  Add* defined_ = nullptr;
  std::string problem_;
};

}  // namespace

bool TemplateSet::add(std::string_view name, std::string_view text, std::string_view file,
                      std::string& problem) {
  Lexer lexer(text);
  std::vector<Piece> pieces;
  if (!lexer.run(pieces)) {
    problem = concat(file, ":", std::to_string(lexer.line()), ": ", lexer.problem());
    return false;
  }
  Parser parser(std::move(pieces), file);
  Parser::Add defined;
  auto body = parser.run(defined);
  if (!body) {
    problem = parser.problem();
    return false;
  }
  defined.emplace(name, std::move(*body));
  for (auto& [key, nodes] : defined) {
    // What is empty replaces nothing that is not.
    auto& slot = definitions_[key];
    if (slot && is_blank(nodes)) continue;
    slot = std::make_shared<const Definition>(Definition{std::string(file), std::move(nodes)});
  }
  return true;
}

const Definition* TemplateSet::find(std::string_view name) const noexcept {
  const auto found = definitions_.find(name);
  return found == definitions_.end() ? nullptr : found->second.get();
}

}  // namespace tulle::chart
