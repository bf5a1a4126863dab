// SPDX-License-Identifier: Apache-2.0
// Log filters, which arrive over the admin port, and the escaping of what is logged.
#include <cstdint>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/log/log.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle::log;
  const std::string_view text = tulle::as_text({data, size});
  const Filter lenient = Filter::parse_lenient(text);
  if (const tulle::Result<Filter> strict = Filter::parse(text)) {
    TULLE_CHECK(strict->text() == text);
    for (const std::string_view target : {"linkerd", "tulle::h2", "", "x"}) {
      TULLE_CHECK(strict->level_for(target) == lenient.level_for(target));
    }
  }
  (void)lenient.level_for(text);
  std::string escaped;
  append_json_escaped(escaped, text);
  for (const char c : escaped) {
    TULLE_CHECK(static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) != 0x7F);
  }
  TULLE_CHECK(escaped.size() <= 6 * size);
  return 0;
}
