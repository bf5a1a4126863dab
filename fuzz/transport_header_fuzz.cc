// SPDX-License-Identifier: Apache-2.0
// The header of transport connections: decided as early as it can be, the same for every split, and
// what is accepted survives encoding.
#include "lib/base/check.h"
#include "proxy/protocol/transport_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle;  // NOLINT: a fuzz target
  if (size > 100'000) return 0;
  const Bytes bytes(data, size);
  const auto whole = proxy::parse_transport_header(bytes);
  const std::size_t step = size / 128 + 1;
  for (std::size_t n = 0; n < size; n += step) {
    const auto some = proxy::parse_transport_header(bytes.first(n));
    if (!some) TULLE_CHECK(!whole && whole.error().code == some.error().code);
    if (some && *some) TULLE_CHECK(whole && *whole && (*whole)->size == (*some)->size);
    if (some && !*some && whole && *whole) TULLE_CHECK(n < (*whole)->size);
  }
  if (!whole || !*whole) return 0;
  TULLE_CHECK((*whole)->size <= size);
  TULLE_CHECK((*whole)->header.port != 0);
  const std::string encoded = proxy::encode_transport_header((*whole)->header);
  const auto again = proxy::parse_transport_header(as_bytes(encoded));
  TULLE_CHECK(again && *again && (*again)->size == encoded.size());
  TULLE_CHECK((*again)->header.port == (*whole)->header.port);
  TULLE_CHECK((*again)->header.name == (*whole)->header.name);
  TULLE_CHECK((*again)->header.session == (*whole)->header.session);
  return 0;
}
