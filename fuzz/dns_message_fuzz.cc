// SPDX-License-Identifier: Apache-2.0
// DNS messages: decoding ends, keeps its bounds, and what it kept survives encoding.
#include <cstdint>

#include "lib/base/check.h"
#include "lib/dns/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle::dns;
  const tulle::Result<Message> message = decode({data, size});
  if (!message) return 0;
  TULLE_CHECK(message->answers.size() <= kMaxAnswers);
  TULLE_CHECK(message->question.name.size() <= 253);
  for (const Record& record : message->answers) {
    for (const std::string& name : {record.name, record.target, record.srv.target}) {
      TULLE_CHECK(name.empty() || canonical_name(name) == name);
    }
  }
  const std::string once = encode(*message);
  TULLE_CHECK(once.size() <= kMaxMessage);
  const tulle::Result<Message> again = decode(tulle::as_bytes(once));
  TULLE_CHECK(again.has_value());
  // Without compression a message may grow beyond what fits; then it says so.
  TULLE_CHECK(again->truncated || *again == *message);
  const std::string small = encode(*message, 512);
  TULLE_CHECK(small.size() <= 512 + 64 || message->answers.empty());
  return 0;
}
