// SPDX-License-Identifier: Apache-2.0
// What an inbound proxy makes of a request with these routes: "/admin" and what is below it,
// everything of the host admin.example, and the rest. For each line on standard input, a request
// head in hexadecimal digits, one line: "admin", "public" or "refused", and the head that the
// application gets.
#include <unistd.h>

#include <cstdio>
#include <string>

#include "lib/base/text.h"
#include "lib/http1/codec.h"
#include "proxy/inbound/settle.h"
#include "proxy/route/readings.h"
#include "proxy/snapshot/server_policy.h"

namespace {

using namespace tulle;  // NOLINT: a program

std::vector<proxy::InboundRoute> routes() {
  std::vector<proxy::InboundRoute> all(3);
  proxy::RouteMatch admin;
  admin.path = {proxy::PathMatch::Kind::Prefix, "/admin", nullptr};
  all[0].rules.emplace_back().matches = {admin};
  all[1].hosts = {{false, "admin.example"}};
  all[1].rules.emplace_back();
  all[2].rules.emplace_back();
  return all;
}

std::string unhex(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(*parse_number<unsigned>(text.substr(i, 2), 16));
  return out;
}

std::string answer(const std::string& head) {
  std::size_t searched = 0;
  std::size_t consumed = 0;
  auto parsed = http1::parse_request(as_bytes(head), {}, searched, consumed);
  if (!parsed || !*parsed) return "refused";
  http::Request& request = (*parsed)->request;
  const proxy::Downgrade none;
  if (!proxy::settle_request(request, none)) return "refused";
  const auto all = routes();
  const auto found = proxy::find_route(all, request);
  if (!found || !proxy::readings_agree(all, request, *found)) return "refused";
  proxy::add_ours(request, none, {});
  ByteQueue out;
  http1::encode_request(request, (*parsed)->framing, out);
  return concat(found->route == 2 ? "public " : "admin ", hex(out.data()));
}

}  // namespace

int main() {
  std::string line;
  for (int c = std::getchar(); c != EOF; c = std::getchar()) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    std::printf("%s\n", answer(unhex(line)).c_str());
    line.clear();
  }
  return std::fflush(stdout);
}
