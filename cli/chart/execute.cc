// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "cli/chart/files.h"
#include "cli/chart/functions.h"
#include "cli/chart/template.h"
#include "lib/base/text.h"

namespace tulle::chart {

namespace {

constexpr std::string_view kNoValue = "<no value>";

// One template that is being executed, and those that it calls. After a failure everything gives
// nothing, quickly.
class Executor final : public Host {
 public:
  Executor(const TemplateSet& templates, std::string& out, std::string& problem)
      : templates_(&templates), out_(&out), problem_(problem) {}

  bool run(std::string_view name, const Value& dot) {
    const Definition* const definition = templates_->find(name);
    if (definition == nullptr) {
      fail(concat("template ", quote_go(name), " not defined"));
      return false;
    }
    if (++depth_ > kMaxTemplateDepth) {
      fail(concat("templates call each other more than ", std::to_string(kMaxTemplateDepth),
                  " deep: ", name));
      return false;
    }
    const std::string_view file = std::exchange(file_, std::string_view(definition->file));
    std::vector<Variable> outer = std::exchange(variables_, {{"$", dot}});
    walk(definition->body, dot);
    variables_ = std::move(outer);
    file_ = file;
    --depth_;
    return problem_.empty();
  }

  std::string include(std::string_view name, const Value& dot) override {
    std::string text;
    std::string* const outer = std::exchange(out_, &text);
    run(name, dot);
    out_ = outer;
    return text;
  }

  std::string tpl(std::string_view text, const Value& dot) override {
    static constexpr std::string_view kName = "text of tpl";
    TemplateSet with_text = *templates_;
    std::string why;
    if (!with_text.add(kName, text, kName, why)) {
      fail(why);
      return "";
    }
    const TemplateSet* const outer = std::exchange(templates_, &with_text);
    std::string out = include(kName, dot);
    templates_ = outer;
    return without_no_value(std::move(out));
  }

  // Helm takes out what Go prints for a value that is not there.
  static std::string without_no_value(std::string text) {
    for (std::size_t at = text.find(kNoValue); at != std::string::npos;
         at = text.find(kNoValue, at))
      text.erase(at, kNoValue.size());
    return text;
  }

 private:
  struct Variable {
    std::string name;
    Value value;
  };
  enum class Flow : std::uint8_t { On, Break, Continue };

  Value fail(std::string_view reason) {
    if (problem_.empty()) problem_ = concat(file_, ":", std::to_string(line_), ": ", reason);
    return {};
  }
  bool failed() const { return !problem_.empty(); }

  void write(std::string_view text) {
    if (out_->size() + text.size() > kMaxOutput) {
      fail("the output is larger than 64 MiB");
    } else {
      *out_ += text;
    }
  }

  Flow walk(const std::vector<Node>& nodes, const Value& dot) {
    for (const Node& node : nodes) {
      if (failed()) return Flow::Break;
      if (node.line != 0) line_ = node.line;
      const Flow flow = walk(node, dot);
      if (flow != Flow::On) return flow;
    }
    return Flow::On;
  }

  Flow walk(const Node& node, const Value& dot) {
    switch (node.kind) {
      case Node::Kind::Text: write(node.text); return Flow::On;
      case Node::Kind::Action: {
        const Value value = evaluate(node.pipeline, dot);
        if (!failed() && node.pipeline.variables.empty()) write(value.print());
        return Flow::On;
      }
      case Node::Kind::Template: {
        const Value argument =
            node.pipeline.commands.empty() ? Value() : evaluate(node.pipeline, dot);
        if (failed()) return Flow::Break;
        const int line = line_;
        run(node.text, argument);
        line_ = line;
        return Flow::On;
      }
      case Node::Kind::Break: return Flow::Break;
      case Node::Kind::Continue: return Flow::Continue;
      case Node::Kind::Range: return range(node, dot);
      case Node::Kind::If:
      case Node::Kind::With: break;
    }
    const std::size_t known = variables_.size();
    const Value value = evaluate(node.pipeline, dot);
    const bool truth = value.truth();
    const Flow flow = failed() ? Flow::Break
                               : walk(truth ? node.body : node.otherwise,
                                      truth && node.kind == Node::Kind::With ? value : dot);
    variables_.resize(known);
    return flow;
  }

  Flow range(const Node& node, const Value& dot) {
    const std::size_t known = variables_.size();
    const Value over = evaluate(node.pipeline, dot);
    bool any = false;
    const auto once = [&](const Value& key, const Value& item) {
      any = true;
      const std::size_t mark = variables_.size();
      set_range_variables(node.pipeline, key, item);
      const Flow flow = walk(node.body, item.kind() == Value::Kind::Nil ? Value() : item);
      variables_.resize(mark);
      return flow != Flow::Break && !failed();
    };
    if (over.is_list()) {
      const Value::List items = over.items();  // a copy: the body may change the list
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (!once(Value::integer(static_cast<std::int64_t>(i)), items[i])) break;
      }
    } else if (over.is_map() && (over.struct_type().empty() || over.struct_type() == kFilesType)) {
      const Value::Members members = over.members();
      for (const auto& [key, item] : members) {
        if (!once(Value(key), item)) break;
      }
    } else if (over.is_int()) {
      for (std::int64_t i = 0; i < over.as_int(); ++i) {
        if (!once(Value::integer(i), Value::integer(i))) break;
      }
    } else if (!over.is_null()) {
      fail(concat("range can't iterate over ", over.print()));
    }
    Flow flow = failed() ? Flow::Break : Flow::On;
    if (!any && !failed()) flow = walk(node.otherwise, dot);
    variables_.resize(known);
    return flow;
  }

  void set_range_variables(const Pipeline& pipeline, const Value& key, const Value& item) {
    const std::vector<std::string>& names = pipeline.variables;
    if (names.empty()) return;
    const auto set = [&](const std::string& name, const Value& value) {
      if (pipeline.assigns) {
        assign(name, value);
      } else {
        variables_.push_back({name, value});
      }
    };
    if (names.size() == 2) set(names[0], key);
    set(names.back(), item);
  }

  void assign(const std::string& name, const Value& value) {
    const auto found = std::find_if(variables_.rbegin(), variables_.rend(),
                                    [&](const Variable& known) { return known.name == name; });
    if (found != variables_.rend()) found->value = value;
  }

  Value evaluate(const Pipeline& pipeline, const Value& dot) {
    Value value;
    bool first = true;
    for (const Command& command : pipeline.commands) {
      if (failed()) return {};
      value = evaluate(command, dot, first ? nullptr : &value);
      first = false;
      if (value.kind() == Value::Kind::Nil) value = Value();
    }
    const bool is_range = pipeline.variables.size() == 2;
    if (failed() || is_range || pipeline.variables.empty()) return value;
    if (pipeline.assigns) {
      assign(pipeline.variables[0], value);
    } else {
      variables_.push_back({pipeline.variables[0], value});
    }
    return value;
  }

  // `last`: what the command before it in the pipeline gave.
  Value evaluate(const Command& command, const Value& dot, const Value* last) {
    const Operand& first = command.front();
    line_ = first.line != 0 ? first.line : line_;
    if (first.kind == Operand::Kind::Function) return call_function(first.name, command, dot, last);
    if (first.kind == Operand::Kind::Nil) return fail("nil is not a command");
    if (command.size() == 1 && last == nullptr) return operand(first, dot);
    if (first.fields.empty()) return fail("can't give argument to non-function");
    std::vector<Value> arguments;
    for (std::size_t i = 1; i < command.size(); ++i) arguments.push_back(operand(command[i], dot));
    if (last != nullptr) arguments.push_back(*last);
    return operand(first, dot, &arguments);
  }

  Value operand(const Operand& operand, const Value& dot,
                const std::vector<Value>* arguments = nullptr) {
    if (failed()) return {};
    Value value;
    switch (operand.kind) {
      case Operand::Kind::Dot: value = dot; break;
      case Operand::Kind::Nil: value = Value::nil(); break;
      case Operand::Kind::Literal: value = operand.literal; break;
      case Operand::Kind::Variable: value = variable(operand.name); break;
      case Operand::Kind::Nested: value = evaluate(*operand.nested, dot); break;
      case Operand::Kind::Function: {
        static const Command kAlone(1);
        value = call_function(operand.name, kAlone, dot, nullptr);
        break;
      }
    }
    for (std::size_t i = 0; i < operand.fields.size() && !failed(); ++i) {
      value = field(value, operand.fields[i], i + 1 == operand.fields.size() ? arguments : nullptr);
    }
    return value;
  }

  Value variable(const std::string& name) {
    const auto found = std::find_if(variables_.rbegin(), variables_.rend(),
                                    [&](const Variable& known) { return known.name == name; });
    return found == variables_.rend() ? fail(concat("undefined variable: ", name)) : found->value;
  }

  Value field(const Value& of, const std::string& name, const std::vector<Value>* arguments) {
    if (of.is_none()) return {};
    if (of.is_null()) return fail(concat("nil pointer evaluating interface {}.", name));
    if (of.is_map() && !of.struct_type().empty()) {
      static const std::vector<Value> kNone;
      std::string error;
      if (auto answer = call_method(of, name, arguments != nullptr ? *arguments : kNone, error)) {
        return error.empty() ? *answer : fail(concat("error calling ", name, ": ", error));
      }
    }
    if (arguments != nullptr) return fail(concat(name, " is not a method but has arguments"));
    const Value* const member = of.find(name);
    if (member != nullptr) return member->is_null() ? Value::nil() : *member;
    if (of.is_map() && of.struct_type().empty()) return Value::nil();
    return fail(concat("can't evaluate field ", name, " in type ", of.type_name()));
  }

  Value call_function(const std::string& name, const Command& command, const Value& dot,
                      const Value* last) {
    const Function* const function = find_function(name);
    if (function == nullptr) return fail(concat("function ", quote_go(name), " not defined"));
    if (function->call == nullptr) return short_circuit(name, command, dot, last);
    Call call{*this, {}, {}};
    for (std::size_t i = 1; i < command.size(); ++i) call.args.push_back(operand(command[i], dot));
    if (last != nullptr) call.args.push_back(*last);
    if (failed()) return {};
    Value value = chart::call(*function, call);
    if (call.error.empty()) return value;
    return fail(call.by_chart ? call.error : concat("error calling ", name, ": ", call.error));
  }

  // `and`, `or`: the rest is not looked at once the answer is known.
  Value short_circuit(const std::string& name, const Command& command, const Value& dot,
                      const Value* last) {
    const std::size_t count = command.size() - 1 + (last != nullptr ? 1 : 0);
    if (count == 0)
      return fail(concat("wrong number of args for ", name, ": want at least 1 got 0"));
    Value value;
    for (std::size_t i = 0; i < count && !failed(); ++i) {
      value = i + 1 < command.size() ? operand(command[i + 1], dot) : *last;
      if (value.truth() == (name == "or")) break;
    }
    return value;
  }

  const TemplateSet* templates_;
  std::string* out_;
  std::string& problem_;
  std::vector<Variable> variables_;
  std::string_view file_;
  int line_ = 0;
  int depth_ = 0;
};

}  // namespace

bool execute(const TemplateSet& templates, std::string_view name, const Value& dot,
             std::string& out, std::string& problem) {
  std::string text;
  Executor executor(templates, text, problem);
  if (!executor.run(name, dot)) return false;
  out += Executor::without_no_value(std::move(text));
  return true;
}

}  // namespace tulle::chart
