// SPDX-License-Identifier: Apache-2.0
// Whatever comes first on a connection. Once the detector has decided, no further byte changes its
// mind.
#include "lib/base/check.h"
#include "lib/tls/client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using State = tulle::tls::ClientHello::State;
  if (size > 20'000) return 0;
  const tulle::tls::ClientHello whole = tulle::tls::parse_client_hello({data, size});
  TULLE_CHECK(whole.sni.empty() || whole.state == State::Found);
  TULLE_CHECK(whole.sni.size() <= size);
  // Every prefix of short inputs, some of long ones.
  const std::size_t step = size / 64 + 1;
  State before = State::NeedMore;
  for (std::size_t n = 0; n <= size; n += step) {
    const tulle::tls::ClientHello some = tulle::tls::parse_client_hello({data, n});
    TULLE_CHECK(before == State::NeedMore || some.state == before);
    if (some.state == State::Found) TULLE_CHECK(some.sni == whole.sni);
    before = some.state;
  }
  TULLE_CHECK(before == State::NeedMore || before == whole.state);
  return 0;
}
