// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/headers.h"

#include <array>
#include <cstdint>

#include "lib/base/text.h"

namespace tulle::grpc {
namespace {

struct Unit {
  char letter;
  std::int64_t nanoseconds;
};
// From fine to coarse.
constexpr std::array<Unit, 6> kUnits = {{{'n', 1},
                                         {'u', 1'000},
                                         {'m', 1'000'000},
                                         {'S', 1'000'000'000},
                                         {'M', 60'000'000'000},
                                         {'H', 3'600'000'000'000}}};
constexpr std::int64_t kMaxDigits = 99'999'999;
constexpr std::string_view kBinary = "-bin";
constexpr std::string_view kContentType = "application/grpc";

}  // namespace

bool is_grpc_content_type(std::string_view value) noexcept {
  if (value.size() < kContentType.size() ||
      !iequals(value.substr(0, kContentType.size()), kContentType))
    return false;
  const std::string_view rest = value.substr(kContentType.size());
  return rest.empty() || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ';
}

std::optional<Duration> parse_timeout(std::string_view text) noexcept {
  if (text.size() < 2 || text.size() > 9 || !ascii_digit(text[0])) return std::nullopt;
  const std::optional<std::int64_t> number =
      parse_number<std::int64_t>(text.substr(0, text.size() - 1));
  if (!number) return std::nullopt;
  for (const Unit& unit : kUnits) {
    if (unit.letter != text.back()) continue;
    if (*number > INT64_MAX / unit.nanoseconds) return Duration::max();
    return Duration{*number * unit.nanoseconds};
  }
  return std::nullopt;
}

std::string format_timeout(Duration timeout) {
  const std::int64_t count = timeout.count() > 0 ? timeout.count() : 1;
  std::string out;
  for (const Unit& unit : kUnits) {
    const std::int64_t rounded = count / unit.nanoseconds + (count % unit.nanoseconds != 0 ? 1 : 0);
    if (rounded > kMaxDigits) continue;
    append_number(out, rounded);
    out += unit.letter;
    return out;
  }
  return "99999999H";
}

void add_metadata(http::HeaderMap& fields, std::string_view name, std::string_view value) {
  if (!name.ends_with(kBinary)) {
    fields.add(name, value);
    return;
  }
  std::string encoded = base64_encode(as_bytes(value));
  while (encoded.ends_with('=')) encoded.pop_back();  // senders should not pad
  fields.add(name, encoded);
}

std::optional<std::string> get_metadata(const http::HeaderMap& fields, std::string_view name) {
  const std::optional<std::string_view> value = fields.get(name);
  if (!value) return std::nullopt;
  if (!name.ends_with(kBinary)) return std::string(*value);
  return base64_decode(value->substr(0, value->find(',')));  // a list may have been joined
}

void copy_metadata(const http::HeaderMap& from, http::HeaderMap& to) {
  for (const http::HeaderMap::Field field : from) {
    if (field.name.starts_with("grpc-") || field.name.starts_with(':')) continue;
    if (iequals(field.name, "content-type") || iequals(field.name, "te") ||
        iequals(field.name, "user-agent"))
      continue;
    to.add(field.name, field.value);
  }
}

}  // namespace tulle::grpc
