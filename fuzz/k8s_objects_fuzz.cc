// SPDX-License-Identifier: Apache-2.0
// Manifests as YAML and as JSON: nothing crashes, memory and time stay within bounds, problems say
// where they are, and what both formats understand means the same. What is JSON is decided alike by
// RapidJSON.
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <cstdint>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/manifest.h"
#include "lib/k8s/yaml_source.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target

// One document, and all of it.
bool is_json(std::string_view text) {
  k8s::JsonSource source(text);
  if (!source.next_document()) return false;
  for (;;) {
    const k8s::Token token = source.next();
    if (token.kind == k8s::Token::Kind::Bad) return false;
    if (token.kind == k8s::Token::Kind::End) return !source.next_document();
  }
}

void compare_with_rapidjson(std::string_view text) {
  // RapidJSON 1.1 ends at NUL bytes and lets half a surrogate pair pass; we bound the depth.
  if (text.find('\0') != std::string_view::npos) return;
  const bool ours = is_json(text);
  rapidjson::MemoryStream stream(text.data(), text.size());
  rapidjson::Reader reader;
  rapidjson::BaseReaderHandler<> handler;
  constexpr unsigned kFlags = rapidjson::kParseNumbersAsStringsFlag |
                              rapidjson::kParseValidateEncodingFlag |
                              rapidjson::kParseIterativeFlag;
  const rapidjson::ParseResult result = reader.Parse<kFlags>(stream, handler);
  const bool theirs = !result.IsError();
  if (result.Code() == rapidjson::kParseErrorNumberTooBig) return;  // a number is text to us
  if (ours) TULLE_CHECK(theirs);
  if (theirs && !ours) {
    std::size_t opens = 0;
    for (const char c : text) opens += c == '[' || c == '{' ? 1U : 0U;
    TULLE_CHECK(text.find("\\u") != std::string_view::npos || opens > 64);
  }
}

// What is not wanted is skipped without being looked into: the rest is read as if it had been.
void check_skipping(std::string_view text) {
  const bool good = is_json(text);
  k8s::JsonSource skipping(text, k8s::JsonSource::Skipping::Unparsed);
  k8s::JsonSource raw(text);
  if (raw.next_document()) {
    const std::string_view whole = raw.take_raw();
    if (good) TULLE_CHECK(!whole.empty() && is_json(whole));
  }
  while (skipping.next_document()) {
    for (int depth = 0;;) {
      const k8s::Token token = skipping.next();
      if (token.kind == k8s::Token::Kind::Bad) {
        TULLE_CHECK(!good);
        return;
      }
      if (token.kind == k8s::Token::Kind::End) break;
      const bool opens =
          token.kind == k8s::Token::Kind::MapBegin || token.kind == k8s::Token::Kind::ListBegin;
      if (opens && depth == 1) {
        if (!skipping.skip_open()) TULLE_CHECK(!good);
        continue;
      }
      if (opens) ++depth;
      if (token.kind == k8s::Token::Kind::MapEnd || token.kind == k8s::Token::Kind::ListEnd)
        --depth;
    }
  }
}

void check_manifest(const k8s::Manifest& manifest) {
  for (const k8s::Problem& problem : manifest.problems) {
    TULLE_CHECK(problem.document > 0);
    TULLE_CHECK(!problem.reason.empty());
    (void)problem.to_string();
  }
  for (const k8s::Object& object : manifest.objects) {
    const k8s::ObjectMeta& meta = k8s::meta_of(object);
    TULLE_CHECK(!meta.name.empty());
    TULLE_CHECK(meta.ns.empty() != k8s::kind_of(object).namespaced);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  const k8s::Manifest yaml = k8s::parse_manifest(text, k8s::Format::Yaml, "fuzz.yaml");
  const k8s::Manifest json = k8s::parse_manifest(text, k8s::Format::Json, "fuzz.json");
  check_manifest(yaml);
  check_manifest(json);
  if (yaml.problems.empty() && json.problems.empty() && is_json(text)) {
    TULLE_CHECK(yaml.objects == json.objects);
  }
  compare_with_rapidjson(text);
  check_skipping(text);
  return 0;
}
