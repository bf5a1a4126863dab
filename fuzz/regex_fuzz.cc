// SPDX-License-Identifier: Apache-2.0
// Users' regular expressions against RE2. The input is a pattern, a NUL and a text. Ours is a
// subset: what it compiles RE2 compiles too, and both match the same texts. RE2 reads Latin-1 here,
// which makes its characters the bytes that ours are.
#include <re2/re2.h>

#include <algorithm>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/regex/regex.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1000) return 0;
  const std::string_view input = tulle::as_text({data, size});
  const auto split = input.find('\0');
  const std::string pattern(input.substr(0, split));
  const std::string text(split == std::string_view::npos ? std::string_view()
                                                         : input.substr(split + 1));

  const auto ours = tulle::Regex::compile(pattern);
  if (!ours) return 0;
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_encoding(re2::RE2::Options::EncodingLatin1);
  options.set_max_mem(std::int64_t{64} << 20);
  const re2::RE2 theirs(pattern, options);
  if (!theirs.ok()) {
    // Its bounds on the product of nested repeats are tighter than our bound on states.
    if (theirs.error_code() == re2::RE2::ErrorRepeatSize ||
        theirs.error_code() == re2::RE2::ErrorPatternTooLarge)
      return 0;
    TULLE_CHECK(theirs.ok());
  }
  // Latin-1 has letters beyond ASCII that fold; bytes have not.
  const auto high = [](char c) { return (static_cast<unsigned char>(c) & 0x80) != 0; };
  const bool folds =
      pattern.find("(?") != std::string::npos && pattern.find('i') != std::string::npos;
  if (folds && (std::any_of(text.begin(), text.end(), high) ||
                std::any_of(pattern.begin(), pattern.end(), high) ||
                pattern.find("\\x") != std::string::npos)) {
    return 0;
  }
  TULLE_CHECK((*ours)->full_match(text) == re2::RE2::FullMatch(text, theirs));
  return 0;
}
