// SPDX-License-Identifier: Apache-2.0
// What is printed passes through here. Names, labels, annotations, metrics and messages come from
// the cluster, where others write them; none of them may move the cursor, set a title or hide a
// line. Control characters (C0 but newline and tab, DEL, C1), marks that turn the direction of
// text, characters that nobody can see, and bytes that are no UTF-8 are written as \uXXXX, which
// also is what JSON means by them.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

namespace tulle::cli {

// The text as it may be shown. A cell of a table or one line has neither newline nor tab.
enum class Lines : bool { Keep, Escape };
std::string printable(std::string_view text, Lines lines = Lines::Keep);

// From here on std::cout and std::cerr are printable, whoever writes to them. Once, first in
// main().
void guard_output();

// Our own colors and movements of the cursor, past the guard.
void write_sequence(std::ostream& out, std::string_view sequence);
// A manifest or a log, byte by byte, where it goes to a file or a pipe; printable on a terminal.
void write_exact(std::ostream& out, std::string_view text);

}  // namespace tulle::cli
