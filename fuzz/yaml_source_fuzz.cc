// SPDX-License-Identifier: Apache-2.0
// YAML as tokens: every document ends, brackets close in order, bounds hold; and JSON, which is
// YAML too, gives the tokens that the JSON source gives.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/yaml_source.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target
using Kind = k8s::Token::Kind;

struct Seen {
  Kind kind;
  std::string text;
  bool operator==(const Seen&) const = default;
};

// The tokens of all documents; nullopt if one of them is bad.
std::optional<std::vector<Seen>> read(k8s::TokenSource& source) {
  std::vector<Seen> seen;
  while (source.next_document()) {
    std::vector<Kind> open;
    for (;;) {
      const k8s::Token token = source.next();
      if (token.kind == Kind::Bad) {
        TULLE_CHECK(!token.text.empty());
        return std::nullopt;
      }
      if (token.kind == Kind::End) break;
      if (token.kind == Kind::MapBegin || token.kind == Kind::ListBegin) open.push_back(token.kind);
      if (token.kind == Kind::MapEnd || token.kind == Kind::ListEnd) {
        TULLE_CHECK(!open.empty());
        TULLE_CHECK((open.back() == Kind::MapBegin) == (token.kind == Kind::MapEnd));
        open.pop_back();
      }
      TULLE_CHECK(open.size() <= 65);
      seen.push_back({token.kind, std::string(token.text)});
    }
    TULLE_CHECK(open.empty());
    seen.push_back({Kind::End, ""});
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  k8s::YamlSource yaml(text);
  const auto tokens = read(yaml);
  k8s::JsonSource json(text);
  const auto same = read(json);
  // JSON documents may follow each other without anything between them; YAML's may not.
  const auto one = [](const auto& all) {
    return std::count(all->begin(), all->end(), Seen{Kind::End, ""}) == 1;
  };
  if (tokens && same && one(same)) {
    // Only structure: what a scalar is follows different rules.
    TULLE_CHECK(tokens->size() == same->size());
    for (std::size_t i = 0; i < same->size(); ++i) {
      TULLE_CHECK((*tokens)[i].kind == (*same)[i].kind);
    }
  }
  return 0;
}
