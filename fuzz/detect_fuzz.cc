// SPDX-License-Identifier: Apache-2.0
// What a client speaks, from its first bytes. Once decided, no further byte changes the mind; a
// ClientHello is not HTTP; whatever the HTTP/1 codec takes for a request is seen as one.
#include <algorithm>

#include "lib/base/check.h"
#include "lib/http1/codec.h"
#include "lib/http1/detect.h"
#include "lib/tls/client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tulle::http1::Detected;
  if (size > 20'000) return 0;
  const tulle::Bytes bytes(data, size);
  const Detected whole = tulle::http1::detect(bytes);
  const std::size_t step = size / 256 + 1;
  Detected before = Detected::NeedMore;
  for (std::size_t n = 0; n <= size; n += step) {
    const Detected now = tulle::http1::detect(bytes.first(n));
    TULLE_CHECK(before == Detected::NeedMore || now == before);
    before = now;
  }
  TULLE_CHECK(before == Detected::NeedMore || before == whole);
  // A request line that is longer than detection looks is the codec's to refuse.
  TULLE_CHECK(whole != Detected::NeedMore || size < 8000);
  // What watches bytes that pass finds at least the requests that detection finds, as far as that
  // reads on: a line that is too long it calls a request without having seen its end.
  tulle::http1::FirstLine watch(tulle::http1::FirstLine::Grammar::Anybody);
  if (whole == Detected::Http1 && size < 8000) TULLE_CHECK(watch.feed(bytes) != Detected::NotHttp);

  // Half a line that looks like a request may still become one, and nothing that is decided is
  // waited for.
  for (const auto grammar :
       {tulle::http1::FirstLine::Grammar::Usual, tulle::http1::FirstLine::Grammar::Anybody}) {
    tulle::http1::FirstLine line(grammar);
    for (std::size_t n = 0; n < size; n += step) {
      const Detected seen = line.feed(bytes.subspan(n, std::min(step, size - n)));
      TULLE_CHECK(seen == line.seen());
      if (line.looks_like_a_request()) TULLE_CHECK(seen == Detected::NeedMore && !line.blank());
    }
  }

  const auto hello = tulle::tls::parse_client_hello(bytes);
  if (hello.state == tulle::tls::ClientHello::State::Found) TULLE_CHECK(whole == Detected::NotHttp);

  std::size_t searched = 0;
  std::size_t consumed = 0;
  const auto request = tulle::http1::parse_request(bytes, {}, searched, consumed);
  if (request && *request) {
    const std::size_t line = tulle::as_text(bytes).find(' ');
    // Detection gives up on methods beyond 32 bytes and lines beyond 8000; nobody sends those
    // first.
    if (line <= 32 && consumed < 8000) TULLE_CHECK(whole == Detected::Http1);
  }
  return 0;
}
