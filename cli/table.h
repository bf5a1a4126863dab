// SPDX-License-Identifier: Apache-2.0
// Tables on a terminal: the first column to the left, the others to the right, three spaces between
// (docs/reference/viz.md §3.1).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tulle::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  // Cells are made printable (terminal.h): what a cell says stays in its cell.
  void add(std::vector<std::string> cells);
  // Columns from this one on are to the right; 1 by default, a large number for none.
  void right_from(std::size_t column) { right_from_ = column; }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::size_t right_from_ = 1;
};

// printf("%.*f").
std::string fixed(double value, int digits);

}  // namespace tulle::cli
