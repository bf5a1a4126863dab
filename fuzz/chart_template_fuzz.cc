// SPDX-License-Identifier: Apache-2.0
// The texts of templates and of --set: nothing crashes, whatever they say. Templates are not
// executed: they may loop as long as they like.
#include <cstdint>
#include <string>

#include "cli/chart/set.h"
#include "cli/chart/template.h"
#include "lib/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle;      // NOLINT: a fuzz target
  if (size > 4096) return 0;  // longer ones only take longer
  const std::string text(as_text({data, size}));
  chart::TemplateSet templates;
  std::string problem;
  (void)templates.add("t", text, "t.yaml", problem);
  const chart::Value into = chart::Value::map();
  (void)chart::set_values(text, chart::SetKind::Typed, into);
  return 0;
}
