// SPDX-License-Identifier: Apache-2.0
// The header map against a plain list of pairs, under any order of calls; then the removal of
// hop-by-hop fields. The input is a program: an opcode, then operands.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/http/header_map.h"
#include "lib/http1/hop.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target
using Model = std::vector<std::pair<std::string, std::string>>;

class Input {
 public:
  explicit Input(Bytes bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t out = left_[0];
    left_ = left_.subspan(1);
    return out;
  }
  std::string_view text() {
    const std::size_t wanted = byte() % 64U;  // in a statement of its own: it shortens what is left
    const std::size_t n = std::min(wanted, left_.size());
    const std::string_view out = as_text(left_.first(n));
    left_ = left_.subspan(n);
    return out;
  }

 private:
  Bytes left_;
};

void compare(const http::HeaderMap& map, const Model& model) {
  TULLE_CHECK(map.size() == model.size());
  std::size_t list = 0;
  for (std::size_t i = 0; i < model.size(); ++i) {
    TULLE_CHECK(map[i].name == model[i].first && map[i].value == model[i].second);
    list += model[i].first.size() + model[i].second.size() + 32;
  }
  TULLE_CHECK(map.list_size() == list);
}

std::size_t erase(Model& model, std::string_view name, std::size_t from = 0) {
  const auto gone = std::remove_if(model.begin() + static_cast<std::ptrdiff_t>(from), model.end(),
                                   [&](const auto& field) { return iequals(field.first, name); });
  const auto n = static_cast<std::size_t>(model.end() - gone);
  model.erase(gone, model.end());
  return n;
}

std::size_t find(const Model& model, std::string_view name) {
  return static_cast<std::size_t>(
      std::find_if(model.begin(), model.end(),
                   [&](const auto& field) { return iequals(field.first, name); }) -
      model.begin());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 8192) return 0;
  Input input({data, size});
  http::HeaderMap map;
  Model model;
  while (!input.empty()) {
    switch (input.byte() % 8) {
      case 0: {
        const std::string_view name = input.text();
        const std::string_view value = input.text();
        map.add(name, value);
        model.emplace_back(name, value);
        break;
      }
      case 1: {  // from the map into itself
        if (model.empty()) break;
        const std::size_t at = input.byte() % model.size();
        map.add(map[at].name, map[at].value);
        model.push_back(std::pair(model[at]));
        break;
      }
      case 2: {
        const std::string_view name = input.text();
        const std::string_view value = input.text();
        map.set(name, value);
        const std::size_t at = find(model, name);
        if (at == model.size()) {
          model.emplace_back(name, value);
        } else {
          erase(model, name, at + 1);
          model[at].second = value;
        }
        break;
      }
      case 3: {
        const std::string_view name = input.text();
        TULLE_CHECK(map.remove(name) == erase(model, name));
        break;
      }
      case 4: {
        if (model.empty()) break;
        const std::size_t at = input.byte() % model.size();
        map.remove_at(at);
        model.erase(model.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      }
      case 5: {
        const std::string_view name = input.text();
        const auto got = map.get(name);
        const std::size_t at = find(model, name);
        TULLE_CHECK(got.has_value() == (at != model.size()));
        if (got) TULLE_CHECK(*got == model[at].second);
        (void)map.has_token(name, input.text());
        break;
      }
      case 6: {
        http::HeaderMap copy(map);
        map = std::move(copy);
        break;
      }
      default: {
        http::HeaderMap hop(map);
        const bool keep = (input.byte() & 1) != 0;
        http1::strip_hop_headers(hop, keep);
        for (const auto field : hop) {
          TULLE_CHECK(!iequals(field.name, "keep-alive"));
          TULLE_CHECK(!iequals(field.name, "proxy-connection"));
          if (iequals(field.name, "connection")) TULLE_CHECK(keep && field.value == "upgrade");
        }
        // A client cannot have the fields removed that frame and route its message.
        for (const char* name : {"host", "content-length", "transfer-encoding"}) {
          TULLE_CHECK(hop.contains(name) == map.contains(name));
        }
        break;
      }
    }
    compare(map, model);
  }
  return 0;
}
