// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <iostream>
#include <sstream>

#include "cli/check/report.h"
#include "cli/table.h"

namespace tulle::cli {
namespace {

TEST(Printable, EscapesWhatMovesTheCursorOrTurnsTheText) {
  const struct {
    std::string_view text, shown;
  } cases[] = {
      {"web-0", "web-0"},
      {"größe · 猫 🐈", "größe · 猫 🐈"},
      {"a\x1b[2Jb", "a\\u001b[2Jb"},
      {"\x1b]0;title\x07", "\\u001b]0;title\\u0007"},
      {"a\rb\bc\x7f", "a\\u000db\\u0008c\\u007f"},
      {std::string_view("a\0b", 3), "a\\u0000b"},
      {"a\xc2\x9b"
       "2J",
       "a\\u009b2J"},  // CSI in one character
      {"a\x9b"
       "2J\xff",
       "a\\ufffd2J\\ufffd"},  // the same as a byte; no UTF-8
      {"\xc0\x9b\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd"},
      {"a\xe2\x80\xae"
       "b\xe2\x81\xa6",
       "a\\u202eb\\u2066"},
      {"we\u200bb a\u00adb \u2060x\u3164", "we\\u200bb a\\u00adb \\u2060x\\u3164"},
      {"v1\U000E0041", "v1\\udb40\\udc41"},
      {"a\xe2\x80", "a\\ufffd\\ufffd"},
      {"a\nb\tc", "a\nb\tc"},
  };
  for (const auto& c : cases) EXPECT_EQ(printable(c.text), c.shown);
  EXPECT_EQ(printable("a\nb\tc", Lines::Escape), "a\\u000ab\\u0009c");
}

// A name with a newline is no second row.
TEST(Printable, WhatACellSaysStaysInItsCell) {
  Table table({"NAME", "N"});
  table.add({"a\nfake", "1"});
  table.add({"b\x1b[1A", "2"});
  EXPECT_EQ(table.text(), "NAME          N\na\\u000afake   1\nb\\u001b[1A    2\n");
}

TEST(Printable, ReportsOfChecksToo) {
  std::ostringstream out;
  Reporter reporter(out, ReportFormat::Table, false);
  reporter.begin("c");
  reporter.add({"it is", "", "pod \x1b[31mx\x1b[0m\nmore", CheckResult::Kind::Error});
  EXPECT_EQ(out.str().find('\x1b'), std::string::npos);
  EXPECT_NE(out.str().find("    pod \\u001b[31mx\\u001b[0m\n    more\n"), std::string::npos);
}

// What is written to the standard streams, however it is cut, arrives as above; our own sequences
// and exact bytes for a pipe pass.
TEST(Printable, TheStandardStreamsAreGuarded) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const int kept = ::dup(1);
  std::cout.flush();
  ::dup2(ends[1], 1);
  guard_output();
  std::cout << "x\x1b[2J" << '\x1b' << "\xc2"
            << "\x9b"
            << "\xc3"
            << "\xa4" << 5 << "\n";
  write_sequence(std::cout, "\x1b[32m");
  write_exact(std::cout, "\x1b\r\n");
  std::cout.flush();
  ::dup2(kept, 1);
  ::close(kept);
  ::close(ends[1]);
  char text[256];
  const ssize_t n = ::read(ends[0], text, sizeof text);
  ::close(ends[0]);
  ASSERT_GT(n, 0);
  EXPECT_EQ(std::string_view(text, static_cast<std::size_t>(n)),
            "x\\u001b[2J\\u001b\\u009b\xc3\xa4"
            "5\n\x1b[32m\x1b\r\n");
}

}  // namespace
}  // namespace tulle::cli
