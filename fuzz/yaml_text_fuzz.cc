// SPDX-License-Identifier: Apache-2.0
// Manifests that are edited in place: nothing crashes, what stays the same stays byte for byte, and
// what is changed reads back as meant (YamlText checks that itself and refuses otherwise).
#include <cstdint>
#include <string>

#include "cli/inject.h"
#include "cli/yaml_text.h"
#include "lib/base/bytes.h"
#include "lib/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle;  // NOLINT: a fuzz target
  const std::string text(as_text({data, size}));
  std::string problem;
  const auto parsed = cli::YamlText::parse(text, problem);
  if (!parsed) return 0;
  std::vector<inject::Value> values;
  for (std::size_t i = 0; i < parsed->size(); ++i) values.push_back(parsed->value(i));
  const auto same = parsed->with(values, problem);
  TULLE_CHECK(!same || *same == text);
  for (const bool manual : {false, true}) {
    cli::InjectOptions options;
    options.manual = manual;
    (void)cli::transform({{"a.yaml", text}}, options);
  }
  cli::InjectOptions options;
  options.uninject = true;
  (void)cli::transform({{"a.yaml", text}}, options);
  return 0;
}
