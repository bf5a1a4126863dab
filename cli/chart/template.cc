// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/template.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <utility>

#include "cli/chart/functions.h"
#include "lib/base/text.h"

namespace tulle::chart {

namespace {

// A place for messages.
struct Place {
  std::shared_ptr<const std::string> file;
  std::size_t line = 0;
  std::string text() const { return concat(*file, ":", std::to_string(line), ": "); }
};

[[noreturn]] void fail_at(const Place& place, std::string_view what) {
  throw TemplateError(concat(place.text(), what));
}

}  // namespace

struct Pipe;

// An operand: a constant, a function, or a value with the fields that are taken of it.
struct Term {
  enum class Kind : std::uint8_t { Constant, Function, Variable, Dot, Pipeline };
  Kind kind = Kind::Dot;
  Value constant;
  std::string name;  // of a function or variable ("$", "$x")
  std::unique_ptr<Pipe> pipe;
  std::vector<std::string> fields;
};

struct Command {
  std::vector<Term> terms;
};

struct Pipe {
  Place place;
  std::vector<std::string> variables;  // declared or assigned
  bool declares = false;
  std::vector<Command> commands;
};

struct TemplateSet::Node {
  enum class Kind : std::uint8_t { Text, Action, If, With, Range, Template, Break, Continue };
  Kind kind = Kind::Text;
  Place place;
  std::string text;  // or the name of the template
  Pipe pipe;
  bool has_pipe = false;
  Nodes body;
  Nodes otherwise;
};

namespace {

using Node = TemplateSet::Node;
using Nodes = TemplateSet::Nodes;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_name(char c) { return ascii_digit(c) || c == '_' || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z'); }

// Texts and what stands between {{ and }}.
struct Piece {
  bool action = false;
  std::string text;
  std::size_t line = 1;
};

std::vector<Piece> split_pieces(std::string_view source, const std::shared_ptr<const std::string>& file) {
  std::vector<Piece> out;
  std::size_t line = 1;
  bool trim_next = false;
  const auto count = [](std::string_view text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  };
  while (!source.empty()) {
    const std::size_t open = source.find("{{");
    std::string_view text = source.substr(0, open);
    const std::size_t lines = count(text);
    const bool trims = open != std::string_view::npos && open + 3 < source.size() && source[open + 2] == '-' && is_space(source[open + 3]);
    if (trim_next) {
      while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    }
    if (trims) {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    }
    if (!text.empty()) out.push_back({false, std::string(text), line});
    line += lines;
    if (open == std::string_view::npos) break;
    std::string_view rest = source.substr(open + 2);
    if (trims) rest.remove_prefix(1);
    // The end is outside of quotes and comments.
    std::size_t end = 0;
    std::string_view inner = rest;
    while (!inner.empty() && is_space(inner.front())) inner.remove_prefix(1);
    if (inner.starts_with("/*")) {
      const std::size_t closed = rest.find("*/");
      if (closed == std::string_view::npos) fail_at({file, line}, "a comment does not end");
      end = closed + 2;
      while (end < rest.size() && !rest.substr(end).starts_with("}}")) ++end;
    } else {
      char quote = 0;
      for (; end < rest.size(); ++end) {
        const char c = rest[end];
        if (quote != 0) {
          if (c == '\\' && quote != '`') {
            ++end;
          } else if (c == quote) {
            quote = 0;
          }
        } else if (c == '"' || c == '`' || c == '\'') {
          quote = c;
        } else if (c == '}' && rest.substr(end).starts_with("}}")) {
          break;
        }
      }
    }
    if (end >= rest.size()) fail_at({file, line}, "an action does not end with }}");
    std::string_view action = rest.substr(0, end);
    const std::size_t inside = count(action);
    trim_next = action.size() >= 2 && action.back() == '-' && is_space(action[action.size() - 2]);
    if (trim_next) action.remove_suffix(1);
    while (!action.empty() && is_space(action.front())) action.remove_prefix(1);
    while (!action.empty() && is_space(action.back())) action.remove_suffix(1);
    if (!action.starts_with("/*")) out.push_back({true, std::string(action), line});
    line += inside;
    source = rest.substr(end + 2);
  }
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view text, Place place) : text_(text), place_(std::move(place)) { skip(); }
  const Place& place() const { return place_; }
  bool done() const { return text_.empty(); }
  char peek() const { return text_.empty() ? '\0' : text_.front(); }
  bool take(std::string_view what) {
    if (!text_.starts_with(what)) return false;
    text_.remove_prefix(what.size());
    skip();
    return true;
  }
  // A name like `include`, without what follows; "" if there is none.
  std::string_view word() const {
    std::size_t end = 0;
    while (end < text_.size() && is_name(text_[end])) ++end;
    return text_.substr(0, end);
  }
  bool take_word(std::string_view what) { return word() == what && take(what); }
  // Taken with no space skipped, so that ".a .b" are two.
  std::string raw_name() {
    const std::string_view name = word();
    if (name.empty()) fail_at(place_, concat("expected a name at \"", text_, "\""));
    text_.remove_prefix(name.size());
    return std::string(name);
  }
  bool raw(char c) {
    if (peek() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void skip() {
    while (!text_.empty() && is_space(text_.front())) text_.remove_prefix(1);
  }
  std::string string() {
    const char quote = text_.front();
    std::string out;
    std::size_t i = 1;
    for (; i < text_.size() && text_[i] != quote; ++i) {
      if (text_[i] != '\\' || quote == '`') {
        out += text_[i];
        continue;
      }
      if (++i >= text_.size()) break;
      switch (text_[i]) {
        case 'n': out += '\n'; break;
        case 't': out += '\t'; break;
        case 'r': out += '\r'; break;
        case '\\':
        case '"':
        case '\'': out += text_[i]; break;
        default: fail_at(place_, concat("the escape \\", text_.substr(i, 1), " is not supported"));
      }
    }
    if (i >= text_.size()) fail_at(place_, "a string does not end");
    text_.remove_prefix(i + 1);
    return out;
  }
  std::optional<Value> number() {
    std::size_t end = text_.front() == '-' || text_.front() == '+' ? 1 : 0;
    if (end >= text_.size() || !ascii_digit(text_[end])) return std::nullopt;
    bool real = false;
    while (end < text_.size() && (ascii_digit(text_[end]) || text_[end] == '.')) real |= text_[end++] == '.';
    std::string_view digits = text_.substr(0, end);
    if (digits.front() == '+') digits.remove_prefix(1);
    Value out;
    if (real) {
      double value = 0;
      std::from_chars(digits.data(), digits.data() + digits.size(), value);
      out = value;
    } else {
      std::int64_t value = 0;
      if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc()) {
        fail_at(place_, concat("the number ", digits, " is too large"));
      }
      out = value;
    }
    text_.remove_prefix(end);
    return out;
  }
  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
  Place place_;
};

bool is_known(std::string_view name) {
  return name == "include" || name == "tpl" || find_function(name) != nullptr;
}

Pipe parse_pipe(Lexer& in, int depth);

std::vector<std::string> parse_fields(Lexer& in) {
  std::vector<std::string> out;
  while (in.raw('.')) out.push_back(in.raw_name());
  return out;
}

Term parse_term(Lexer& in, int depth) {
  Term term;
  if (in.peek() == '"' || in.peek() == '`') {
    term.kind = Term::Kind::Constant;
    term.constant = in.string();
  } else if (in.raw('(')) {
    in.skip();
    term.kind = Term::Kind::Pipeline;
    term.pipe = std::make_unique<Pipe>(parse_pipe(in, depth + 1));
    if (!in.raw(')')) fail_at(in.place(), concat("expected ) at \"", in.rest(), "\""));
    term.fields = parse_fields(in);
  } else if (in.raw('$')) {
    term.kind = Term::Kind::Variable;
    term.name = "$";
    if (is_name(in.peek())) term.name += in.raw_name();
    term.fields = parse_fields(in);
  } else if (in.peek() == '.') {
    // "." alone, or ".a.b"
    in.raw('.');
    if (is_name(in.peek())) {
      term.fields.push_back(in.raw_name());
      for (std::string& field : parse_fields(in)) term.fields.push_back(std::move(field));
    }
  } else if (auto number = in.number()) {
    term.kind = Term::Kind::Constant;
    term.constant = *std::move(number);
  } else {
    const std::string name = in.raw_name();
    term.kind = Term::Kind::Constant;
    if (name == "true" || name == "false") {
      term.constant = name == "true";
    } else if (name != "nil") {
      term.kind = Term::Kind::Function;
      term.name = name;
      if (!is_known(name)) fail_at(in.place(), concat("the function \"", name, "\" is not supported"));
    }
  }
  if (!in.done() && !is_space(in.peek()) && in.peek() != ')' && in.peek() != '|' && in.peek() != ',' &&
      in.peek() != ':' && in.peek() != '=') {
    fail_at(in.place(), concat("unexpected \"", in.rest(), "\""));
  }
  in.skip();
  return term;
}

Pipe parse_pipe(Lexer& in, int depth) {
  if (depth > 50) fail_at(in.place(), "parentheses are nested too deeply");
  Pipe pipe;
  pipe.place = in.place();
  if (in.peek() == '$') {
    // "$x :=", "$x =", "$k, $v :="
    Lexer ahead = in;
    std::vector<std::string> names;
    do {
      if (!ahead.raw('$')) break;
      std::string name = "$";
      if (is_name(ahead.peek())) name += ahead.raw_name();
      names.push_back(std::move(name));
      ahead.skip();
    } while (ahead.take(","));
    const bool declares = ahead.take(":=");
    if (declares || ahead.take("=")) {
      pipe.variables = std::move(names);
      pipe.declares = declares;
      in = ahead;
    }
  }
  for (;;) {
    Command& command = pipe.commands.emplace_back();
    while (!in.done() && in.peek() != '|' && in.peek() != ')') command.terms.push_back(parse_term(in, depth));
    if (command.terms.empty()) fail_at(in.place(), "a command is missing");
    if (command.terms.size() > 1 && command.terms[0].kind == Term::Kind::Constant) {
      fail_at(in.place(), "a constant cannot be called");
    }
    if (!in.take("|")) return pipe;
  }
}

class Parser {
 public:
  using Define = std::function<void(const std::string& name, Nodes body)>;
  Parser(std::string_view source, const std::string& file, Define define)
      : file_(std::make_shared<const std::string>(file)), pieces_(split_pieces(source, file_)), define_(std::move(define)) {}

  Nodes parse() {
    Nodes out = list(0);
    if (at_ < pieces_.size()) fail_at(here(), concat("unexpected {{", pieces_[at_].text, "}}"));
    return out;
  }

 private:
  Place here() const { return {file_, pieces_[std::min(at_, pieces_.size() - 1)].line}; }
  bool ends() const {
    if (at_ >= pieces_.size() || !pieces_[at_].action) return false;
    Lexer in(pieces_[at_].text, here());
    return in.word() == "end" || in.word() == "else";
  }
  Nodes list(int depth) {
    if (depth > TemplateSet::kMaxDepth) fail_at(here(), "blocks are nested too deeply");
    Nodes out;
    while (at_ < pieces_.size() && !ends()) {
      if (auto node = one(depth)) out.push_back(std::move(node));
    }
    return out;
  }
  std::unique_ptr<Node> one(int depth) {
    auto node = std::make_unique<Node>();
    node->place = here();
    const Piece& piece = pieces_[at_++];
    if (!piece.action) {
      node->text = piece.text;
      return node;
    }
    Lexer in(piece.text, node->place);
    const auto block = [&](Node::Kind kind) {
      node->kind = kind;
      node->pipe = whole_pipe(in);
      finish_block(*node, depth);
    };
    if (in.take_word("if")) {
      block(Node::Kind::If);
    } else if (in.take_word("with")) {
      block(Node::Kind::With);
    } else if (in.take_word("range")) {
      block(Node::Kind::Range);
    } else if (in.take_word("define") || in.word() == "block") {
      if (in.word() == "block") fail_at(node->place, "block is not supported");
      if (in.peek() != '"') fail_at(node->place, "define wants a name in quotes");
      const std::string name = in.string();
      Nodes body = list(depth + 1);
      expect_end(node->place);
      define_(name, std::move(body));
      return nullptr;
    } else if (in.take_word("template")) {
      node->kind = Node::Kind::Template;
      if (in.peek() != '"') fail_at(node->place, "template wants a name in quotes");
      node->text = in.string();
      in.skip();
      node->has_pipe = !in.done();
      if (node->has_pipe) node->pipe = whole_pipe(in);
    } else if (in.take_word("break")) {
      node->kind = Node::Kind::Break;
    } else if (in.take_word("continue")) {
      node->kind = Node::Kind::Continue;
    } else {
      node->kind = Node::Kind::Action;
      node->pipe = whole_pipe(in);
    }
    return node;
  }
  Pipe whole_pipe(Lexer& in) {
    Pipe pipe = parse_pipe(in, 0);
    if (!in.done()) fail_at(in.place(), concat("unexpected \"", in.rest(), "\""));
    return pipe;
  }
  void finish_block(Node& node, int depth) {
    node.body = list(depth + 1);
    if (at_ >= pieces_.size()) fail_at(node.place, "a block does not end with {{end}}");
    Lexer in(pieces_[at_].text, here());
    if (in.take_word("else")) {
      if (in.word() == "if" || in.word() == "with") {
        // "else if" is an else with an if in it, which ends with the same end.
        pieces_[at_].text = std::string(in.rest());
        auto inner = std::make_unique<Node>();
        inner->place = here();
        Lexer again(pieces_[at_].text, inner->place);
        inner->kind = again.take_word("if") ? Node::Kind::If : Node::Kind::With;
        if (inner->kind == Node::Kind::With) again.take_word("with");
        inner->pipe = whole_pipe(again);
        ++at_;
        finish_block(*inner, depth + 1);
        node.otherwise.push_back(std::move(inner));
        return;
      }
      ++at_;
      node.otherwise = list(depth + 1);
    }
    expect_end(node.place);
  }
  void expect_end(const Place& begin) {
    if (at_ >= pieces_.size()) fail_at(begin, "a block does not end with {{end}}");
    Lexer in(pieces_[at_].text, here());
    if (!in.take_word("end") || !in.done()) fail_at(here(), concat("expected {{end}}, not {{", pieces_[at_].text, "}}"));
    ++at_;
  }

  std::shared_ptr<const std::string> file_;
  std::vector<Piece> pieces_;
  Define define_;
  std::size_t at_ = 0;
};

}  // namespace

// One rendering.
class Run {
 public:
  explicit Run(const TemplateSet& set) : set_(set) {}

  std::string render(const Nodes& nodes, const Value& dot, int depth) {
    Scope scope{{{"$", dot}}, 0};
    std::string out;
    walk(nodes, dot, scope, out, depth);
    return out;
  }

 private:
  enum class Flow : std::uint8_t { On, Break, Continue };
  struct Scope {
    std::vector<std::pair<std::string, Value>> variables;
    std::size_t unused = 0;
  };

  Flow walk(const Nodes& nodes, const Value& dot, Scope& scope, std::string& out, int depth) {
    const std::size_t mark = scope.variables.size();
    Flow flow = Flow::On;
    for (const auto& node : nodes) {
      flow = step(*node, dot, scope, out, depth);
      if (flow != Flow::On) break;
      if (out.size() > TemplateSet::kMaxOutput) fail_at(node->place, "renders too much");
    }
    scope.variables.resize(mark);
    return flow;
  }

  Flow step(const Node& node, const Value& dot, Scope& scope, std::string& out, int depth) {
    switch (node.kind) {
      case Node::Kind::Text: out += node.text; return Flow::On;
      case Node::Kind::Break: return Flow::Break;
      case Node::Kind::Continue: return Flow::Continue;
      case Node::Kind::Action: {
        const Value value = evaluate(node.pipe, dot, scope, depth);
        if (node.pipe.variables.empty()) out += value.text();
        return Flow::On;
      }
      case Node::Kind::Template: {
        const Value argument = node.has_pipe ? evaluate(node.pipe, dot, scope, depth) : Value{};
        out += call_template(node.text, argument, node.place, depth);
        return Flow::On;
      }
      case Node::Kind::If:
      case Node::Kind::With: {
        const std::size_t mark = scope.variables.size();
        const Value value = evaluate(node.pipe, dot, scope, depth);
        const bool with = node.kind == Node::Kind::With;
        const Flow flow = value.empty() ? walk(node.otherwise, dot, scope, out, depth)
                                        : walk(node.body, with ? value : dot, scope, out, depth);
        scope.variables.resize(mark);
        return flow;
      }
      case Node::Kind::Range: return range(node, dot, scope, out, depth);
    }
    return Flow::On;
  }

  Flow range(const Node& node, const Value& dot, Scope& scope, std::string& out, int depth) {
    const std::size_t mark = scope.variables.size();
    const Value over = evaluate(node.pipe, dot, scope, depth, true);
    std::vector<std::pair<Value, Value>> items;
    if (const List* const list = over.list()) {
      for (std::size_t i = 0; i < list->size(); ++i) items.emplace_back(static_cast<std::int64_t>(i), (*list)[i]);
    } else if (const Map* const map = over.map()) {
      for (const auto& [key, value] : *map) items.emplace_back(key, value);
    } else if (const auto* const count = over.integer()) {
      for (std::int64_t i = 0; i < std::min<std::int64_t>(*count, 10'000); ++i) items.emplace_back(i, i);
    } else if (!over.is_null()) {
      fail_at(node.place, concat("cannot range over a ", over.kind()));
    }
    Flow flow = Flow::On;
    if (items.empty()) flow = walk(node.otherwise, dot, scope, out, depth);
    for (const auto& [key, value] : items) {
      scope.variables.resize(mark);
      const auto& names = node.pipe.variables;
      if (names.size() == 1) scope.variables.emplace_back(names[0], value);
      if (names.size() == 2) {
        scope.variables.emplace_back(names[0], key);
        scope.variables.emplace_back(names[1], value);
      }
      if (walk(node.body, value, scope, out, depth) == Flow::Break) break;
    }
    scope.variables.resize(mark);
    return flow;
  }

  Value evaluate(const Pipe& pipe, const Value& dot, Scope& scope, int depth, bool range = false) {
    std::optional<Value> value;
    for (const Command& command : pipe.commands) value = call(command, pipe.place, value, dot, scope, depth);
    if (pipe.variables.empty() || range) return *value;
    for (const std::string& name : pipe.variables) {
      if (pipe.declares) {
        scope.variables.emplace_back(name, *value);
      } else {
        variable(name, scope, pipe.place) = *value;
      }
    }
    return *value;
  }

  Value& variable(const std::string& name, Scope& scope, const Place& place) {
    for (auto at = scope.variables.rbegin(); at != scope.variables.rend(); ++at) {
      if (at->first == name) return at->second;
    }
    fail_at(place, concat("the variable ", name, " is not defined"));
  }

  Value call(const Command& command, const Place& place, const std::optional<Value>& last, const Value& dot,
             Scope& scope, int depth) {
    const Term& head = command.terms[0];
    if (head.kind != Term::Kind::Function) return call_method(command, place, last, dot, scope, depth);
    const bool all = head.name == "and";
    if (all || head.name == "or") return fold(command, all, place, last, dot, scope, depth);
    std::vector<Value> arguments;
    for (std::size_t i = 1; i < command.terms.size(); ++i) {
      arguments.push_back(operand(command.terms[i], place, dot, scope, depth));
    }
    if (last) arguments.push_back(*last);
    return call_function(head.name, arguments, place, depth);
  }

  // What is known after a part of the arguments ends it: the others are not looked at.
  Value fold(const Command& command, bool all, const Place& place, const std::optional<Value>& last,
             const Value& dot, Scope& scope, int depth) {
    Value value;
    for (std::size_t i = 1; i < command.terms.size(); ++i) {
      value = operand(command.terms[i], place, dot, scope, depth);
      if (value.empty() == all) return value;
    }
    return last ? *last : value;
  }

  // Values with methods: .Files.Get and .Capabilities.APIVersions.Has; all others are just values.
  Value call_method(const Command& command, const Place& place, const std::optional<Value>& last,
                    const Value& dot, Scope& scope, int depth) {
    const Term& head = command.terms[0];
    const auto& path = head.fields;
    const bool method = path.size() >= 2 && ((path[path.size() - 2] == "Files" && path.back() == "Get") ||
                                             (path[path.size() - 2] == "APIVersions" && path.back() == "Has"));
    if (!method) {
      if (command.terms.size() > 1 || last) fail_at(place, "a value cannot be called");
      return operand(head, place, dot, scope, depth);
    }
    if (command.terms.size() + (last ? 1 : 0) != 2) fail_at(place, concat(path.back(), " wants one argument"));
    const Value argument = last ? *last : operand(command.terms[1], place, dot, scope, depth);
    const Value owner = operand(head, place, dot, scope, depth, 1);
    if (path.back() == "Get") return owner.get(argument.text()).text();
    const List* const versions = owner.list();
    return versions != nullptr && std::find(versions->begin(), versions->end(), argument) != versions->end();
  }

  Value call_function(const std::string& name, const std::vector<Value>& arguments, const Place& place, int depth) {
    try {
      if (name == "include") {
        if (arguments.size() != 2) fail_at(place, "include wants a name and a value");
        return call_template(arguments[0].text(), arguments[1], place, depth);
      }
      if (name == "tpl") {
        if (arguments.size() != 2) fail_at(place, "tpl wants a text and a value");
        return render_text(arguments[0].text(), arguments[1], depth);
      }
      return find_function(name)(arguments);
    } catch (const Refusal&) {
      throw;
    } catch (const TemplateError& error) {
      if (name == "include" || name == "tpl") throw;
      fail_at(place, concat(name, ": ", error.what()));
    }
  }

  std::string call_template(std::string_view name, const Value& argument, const Place& place, int depth) {
    if (depth >= TemplateSet::kMaxDepth) fail_at(place, concat("the template \"", name, "\" calls itself too deeply"));
    const auto found = set_.templates_.find(name);
    if (found == set_.templates_.end()) fail_at(place, concat("there is no template \"", name, "\""));
    return render(*found->second, argument, depth + 1);
  }

 public:
  std::string render_text(std::string_view text, const Value& dot, int depth) {
    Nodes nodes = Parser(text, "a text given to tpl", [](const std::string& name, Nodes) {
                    throw TemplateError(concat("a text given to tpl cannot define \"", name, "\""));
                  }).parse();
    return render(nodes, dot, depth + 1);
  }

 private:
  // All fields but the last `leave`.
  Value operand(const Term& term, const Place& place, const Value& dot, Scope& scope, int depth, std::size_t leave = 0) {
    Value value;
    switch (term.kind) {
      case Term::Kind::Constant: return term.constant;
      case Term::Kind::Function: return call_function(term.name, {}, place, depth);
      case Term::Kind::Variable: value = variable(term.name, scope, place); break;
      case Term::Kind::Dot: value = dot; break;
      case Term::Kind::Pipeline: value = evaluate(*term.pipe, dot, scope, depth); break;
    }
    for (std::size_t i = 0; i + leave < term.fields.size(); ++i) {
      if (value.map() == nullptr) {
        fail_at(place, value.is_null() ? concat("nil has no field ", term.fields[i])
                                       : concat("a ", value.kind(), " has no field ", term.fields[i]));
      }
      value = value.get(term.fields[i]);
    }
    return value;
  }

  const TemplateSet& set_;
};

TemplateSet::TemplateSet() = default;
TemplateSet::~TemplateSet() = default;

void TemplateSet::parse(const std::string& name, std::string_view text) {
  Nodes nodes = Parser(text, name, [this](const std::string& defined, Nodes body) {
                  templates_[defined] = std::make_shared<const Nodes>(std::move(body));
                }).parse();
  templates_[name] = std::make_shared<const Nodes>(std::move(nodes));
}

bool TemplateSet::has(std::string_view name) const { return templates_.find(name) != templates_.end(); }

std::string TemplateSet::render(const std::string& name, const Value& dot) const {
  const auto found = templates_.find(name);
  if (found == templates_.end()) throw TemplateError(concat("there is no template \"", name, "\""));
  return Run(*this).render(*found->second, dot, 0);
}

std::string TemplateSet::render_text(std::string_view text, const Value& dot) const {
  return Run(*this).render_text(text, dot, 0);
}

}  // namespace tulle::chart
