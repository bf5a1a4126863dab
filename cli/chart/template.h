// SPDX-License-Identifier: Apache-2.0
// Go's text/template, as much of it as charts use: actions, pipelines, variables, if, else, with,
// range, break, continue, define, block, template, comments and the trimming of spaces. A set of
// templates knows each other by name. Which functions there are is functions.h; a name that is not
// one of them is refused when the text is added.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

inline constexpr int kMaxNesting = 100;        // of parentheses and of blocks in each other
inline constexpr int kMaxTemplateDepth = 200;  // of templates that call each other
inline constexpr std::size_t kMaxOutput = std::size_t{64} * 1024 * 1024;

// --- what a text is parsed into ---

struct Pipeline;

// One word of a command.
struct Operand {
  enum class Kind : std::uint8_t { Dot, Nil, Literal, Variable, Function, Nested };
  Kind kind = Kind::Dot;
  std::string name;  // of a Variable with its $, of a Function
  Value literal;
  std::unique_ptr<Pipeline> nested;  // what stands in parentheses
  std::vector<std::string> fields;   // .a.b after it
  int line = 0;
};

using Command = std::vector<Operand>;

struct Pipeline {
  std::vector<std::string> variables;  // that it declares or assigns, with their $
  bool assigns = false;
  std::vector<Command> commands;
  int line = 0;
};

struct Node {
  enum class Kind : std::uint8_t { Text, Action, If, With, Range, Template, Break, Continue };
  Kind kind = Kind::Text;
  std::string text;   // of a Text; the name of a Template
  Pipeline pipeline;  // without commands: none (of a Template)
  std::vector<Node> body;
  std::vector<Node> otherwise;
  int line = 0;
};

struct Definition {
  std::string file;  // for messages
  std::vector<Node> body;
};

// --- a set of them ---

class TemplateSet {
 public:
  // Parses `text` as the template `name` with all that it defines; `file` stands in messages. False
  // and a problem
  // ("FILE:LINE: …") if it is none.
  bool add(std::string_view name, std::string_view text, std::string_view file,
           std::string& problem);
  const Definition* find(std::string_view name) const noexcept;

 private:
  std::map<std::string, std::shared_ptr<const Definition>, std::less<>> definitions_;
};

// Executes `name` with `dot`, appending to `out`. False and a problem if it fails.
bool execute(const TemplateSet& templates, std::string_view name, const Value& dot,
             std::string& out, std::string& problem);

}  // namespace tulle::chart
