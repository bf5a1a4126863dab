// SPDX-License-Identifier: Apache-2.0
// The templates of charts: the language of Go's text/template (pkg.go.dev/text/template) with the
// functions of functions.h. What is outside of it is refused by name, never guessed.
#pragma once

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

// "templates/x.yaml:12: function \"dateInZone\" is not supported"
class TemplateError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// What `fail` and `required` say: the chart's author speaks to the user.
class Refusal : public TemplateError {
 public:
  using TemplateError::TemplateError;
};

class TemplateSet {
 public:
  static constexpr int kMaxDepth = 100;              // of templates in templates
  static constexpr std::size_t kMaxOutput = 16 << 20;  // bytes of one rendering

  TemplateSet();
  ~TemplateSet();
  TemplateSet(const TemplateSet&) = delete;
  TemplateSet& operator=(const TemplateSet&) = delete;

  // Adds a file under its name, and what it defines under theirs. Throws TemplateError.
  void parse(const std::string& name, std::string_view text);
  bool has(std::string_view name) const;
  // Throws TemplateError.
  std::string render(const std::string& name, const Value& dot) const;
  // The `tpl` function: a text as a template that knows all the others.
  std::string render_text(std::string_view text, const Value& dot) const;

  struct Node;
  using Nodes = std::vector<std::unique_ptr<Node>>;

 private:
  friend class Run;
  std::map<std::string, std::shared_ptr<const Nodes>, std::less<>> templates_;
};

}  // namespace tulle::chart
