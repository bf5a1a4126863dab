// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/schema.h"

#include <algorithm>
#include <cmath>

#include "cli/chart/yaml.h"
#include "lib/base/text.h"

namespace tulle::chart {

namespace {

constexpr std::string_view kAnnotations[] = {"$schema",  "$id",         "$comment",
                                             "title",    "description", "default",
                                             "examples", "definitions", "$defs"};

double number_of(const Value& value) {
  return value.is_int() ? static_cast<double>(value.as_int()) : value.as_float();
}

std::string_view type_of(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::None:
    case Value::Kind::Nil: return "null";
    case Value::Kind::Bool: return "boolean";
    case Value::Kind::String: return "string";
    case Value::Kind::List: return "array";
    case Value::Kind::Map: return "object";
    default: return "number";
  }
}

bool is_of(const Value& value, std::string_view type) {
  const std::string_view mine = type_of(value);
  return mine == type || (type == "integer" && mine == "number" &&
                          number_of(value) == std::floor(number_of(value)));
}

// Numbers are equal across their types here.
bool same(const Value& a, const Value& b) {
  return type_of(a) == "number" && type_of(b) == "number" ? number_of(a) == number_of(b) : a == b;
}

class Checker {
 public:
  explicit Checker(const Value& root) : root_(root) {}

  void check(const Value& schema, const Value& value, const std::string& at, int depth = 0) {
    if (schema.kind() == Value::Kind::Bool) {
      if (!schema.is_true()) wrong(at, "not allowed");
      return;
    }
    if (depth > 64) return wrong(at, "the schema is nested too deeply");
    for (const auto& [keyword, rule] : schema.members()) {
      if (std::find(std::begin(kAnnotations), std::end(kAnnotations), keyword) ==
          std::end(kAnnotations))
        apply(keyword, rule, schema, value, at, depth);
    }
  }

  std::vector<std::string> problems;

 private:
  void wrong(const std::string& at, std::string_view what) {
    problems.push_back(concat("at '", at, "': ", what));
  }

  void apply(const std::string& keyword, const Value& rule, const Value& schema, const Value& value,
             const std::string& at, int depth) {
    const bool is_number = type_of(value) == "number";
    if (keyword == "type") return type(rule, value, at);
    if (keyword == "enum") {
      if (std::none_of(rule.items().begin(), rule.items().end(),
                       [&](const Value& one) { return same(one, value); }))
        wrong(at, concat("value must be one of ", listed(rule)));
    } else if (keyword == "const") {
      if (!same(rule, value)) wrong(at, concat("value must be ", quoted(rule)));
    } else if (keyword == "minimum") {
      if (is_number && number_of(value) < number_of(rule))
        wrong(at, concat("minimum: got ", value.print(), ", want ", rule.print()));
    } else if (keyword == "maximum") {
      if (is_number && number_of(value) > number_of(rule))
        wrong(at, concat("maximum: got ", value.print(), ", want ", rule.print()));
    } else if (keyword == "minLength") {
      if (value.is_string() && static_cast<double>(value.text().size()) < number_of(rule))
        wrong(at, concat("minLength: got ", std::to_string(value.text().size()), ", want ",
                         rule.print()));
    } else if (keyword == "minItems") {
      if (value.is_list() && static_cast<double>(value.items().size()) < number_of(rule))
        wrong(at, concat("minItems: got ", std::to_string(value.items().size()), ", want ",
                         rule.print()));
    } else if (keyword == "required") {
      required(rule, value, at);
    } else if (keyword == "properties") {
      for (const auto& [name, inner] : rule.members()) {
        if (const Value* const member = value.find(name))
          check(inner, *member, concat(at, "/", name), depth + 1);
      }
    } else if (keyword == "additionalProperties") {
      additional(rule, schema, value, at, depth);
    } else if (keyword == "items") {
      for (std::size_t i = 0; i < value.items().size(); ++i)
        check(rule, value.items()[i], concat(at, "/", std::to_string(i)), depth + 1);
    } else if (keyword == "allOf") {
      for (const Value& one : rule.items()) check(one, value, at, depth + 1);
    } else if (keyword == "anyOf" || keyword == "oneOf") {
      some(keyword, rule, value, at, depth);
    } else if (keyword == "$ref") {
      reference(rule.text(), value, at, depth);
    } else {
      wrong(at,
            concat("the schema has the keyword ", quote_go(keyword), ", which is not known here"));
    }
  }

  void type(const Value& rule, const Value& value, const std::string& at) {
    std::string wanted;
    const Value::List alone = {rule};
    for (const Value& one : rule.is_list() ? rule.items() : alone) {
      if (is_of(value, one.text())) return;
      wanted += concat(wanted.empty() ? "" : " or ", one.text());
    }
    wrong(at, concat("got ", type_of(value), ", want ", wanted));
  }

  static std::string quoted(const Value& value) {
    return value.is_string() ? concat("'", value.text(), "'") : to_json(value);
  }
  static std::string listed(const Value& values) {
    std::string out;
    for (const Value& one : values.items()) out += concat(out.empty() ? "" : ", ", quoted(one));
    return out;
  }

  void required(const Value& rule, const Value& value, const std::string& at) {
    if (!value.is_map()) return;
    for (const Value& name : rule.items()) {
      if (value.find(name.text()) == nullptr)
        wrong(at, concat("missing property '", name.text(), "'"));
    }
  }

  void additional(const Value& rule, const Value& schema, const Value& value, const std::string& at,
                  int depth) {
    const Value* const known = schema.find("properties");
    std::string refused;
    for (const auto& [name, member] : value.members()) {
      if (known != nullptr && known->find(name) != nullptr) continue;
      if (rule.kind() == Value::Kind::Bool && !rule.is_true()) {
        refused += concat(refused.empty() ? "'" : ", '", name, "'");
      } else {
        check(rule, member, concat(at, "/", name), depth + 1);
      }
    }
    if (!refused.empty()) wrong(at, concat("additional properties ", refused, " not allowed"));
  }

  void some(const std::string& keyword, const Value& rule, const Value& value,
            const std::string& at, int depth) {
    std::size_t fitting = 0;
    for (const Value& one : rule.items()) {
      Checker inner(root_);
      inner.check(one, value, at, depth + 1);
      if (inner.problems.empty()) ++fitting;
    }
    if (fitting == 0 || (keyword == "oneOf" && fitting > 1))
      wrong(at, concat("'", keyword, "' failed"));
  }

  void reference(const std::string& to, const Value& value, const std::string& at, int depth) {
    const Value* target = &root_;
    for (const std::string_view step : split(to, '/')) {
      if (step != "#" && target != nullptr) target = target->find(step);
    }
    if (target == nullptr || !to.starts_with('#'))
      return wrong(at, concat("the schema refers to ", quote_go(to), ", which is not in it"));
    check(*target, value, at, depth + 1);
  }

  const Value& root_;
};

}  // namespace

std::vector<std::string> check_schema(std::string_view schema, const Value& values) {
  std::string problem;
  const auto root = parse_json(schema, problem);
  if (!root) return {concat("values.schema.json: ", problem)};
  Checker checker(*root);
  checker.check(*root, values, "");
  return std::move(checker.problems);
}

}  // namespace tulle::chart
