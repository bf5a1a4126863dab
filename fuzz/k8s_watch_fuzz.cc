// SPDX-License-Identifier: Apache-2.0
// What an API server sends to those who watch and list: cut into values, whatever the slices in which it comes, and read as
// events. The first byte says how large the slices are.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/check.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/json_split.h"
#include "lib/k8s/watch_event.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target
using Splitter = k8s::JsonSplitter;

struct Collect final : Splitter::Sink {
  std::vector<std::string> values;
  void on_json(std::string_view json) override { values.emplace_back(json); }
};

struct Cut {
  std::vector<std::string> values;
  std::string envelope;
  bool whole = false;
};

Cut cut(Splitter::Mode mode, std::string_view text, std::size_t slice) {
  Splitter splitter(mode);
  Collect collect;
  bool taken = true;
  for (; !text.empty() && taken; text.remove_prefix(std::min(slice, text.size()))) {
    taken = splitter.feed(as_bytes(text.substr(0, slice)), collect).has_value();
    TULLE_CHECK(splitter.held() <= Splitter::kMaxValue);
  }
  if (!taken) TULLE_CHECK(!splitter.feed(as_bytes("{}"), collect));
  return {std::move(collect.values), splitter.envelope(), taken && splitter.finish()};
}

// How many documents there are if all of the text is JSON; -1 otherwise.
int documents(std::string_view text, bool& scalars) {
  k8s::JsonSource source(text);
  int count = 0;
  for (; source.next_document(); ++count) {
    for (bool first = true;; first = false) {
      const k8s::Token token = source.next();
      if (token.kind == k8s::Token::Kind::Bad) return -1;
      if (token.kind == k8s::Token::Kind::End) break;
      if (first && token.kind == k8s::Token::Kind::Scalar) scalars = true;
    }
  }
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t slice = data[0] % 16U + 1;
  const std::string_view text = as_text({data + 1, size - 1});
  for (const auto mode : {Splitter::Mode::Documents, Splitter::Mode::Items}) {
    const Cut once = cut(mode, text, std::max<std::size_t>(text.size(), 1));
    const Cut sliced = cut(mode, text, slice);
    TULLE_CHECK(once.values == sliced.values);
    TULLE_CHECK(once.whole == sliced.whole);
    if (once.whole) TULLE_CHECK(once.envelope == sliced.envelope);
    bool scalars = false;
    const int count = documents(text, scalars);
    // What is JSON is cut into what it is made of, and nothing is lost of it.
    if (mode == Splitter::Mode::Documents && count >= 0 && !scalars) {
      TULLE_CHECK(once.whole);
      TULLE_CHECK(once.values.size() == static_cast<std::size_t>(count));
    }
    for (const std::string& value : once.values) {
      TULLE_CHECK(value.front() == '{' || value.front() == '[');
      if (count >= 0) TULLE_CHECK(documents(value, scalars) == 1);
      const auto event = k8s::read_watch_event(value);
      if (!event) continue;
      TULLE_CHECK(!event->type.empty() && !event->object.empty());
      TULLE_CHECK(event->object.data() >= value.data() && event->object.data() + event->object.size() <= value.data() + value.size());
    }
  }
  return 0;
}
