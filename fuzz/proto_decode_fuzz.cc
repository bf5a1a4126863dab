// SPDX-License-Identifier: Apache-2.0
// Messages that proxies and controllers get from each other: decoding never crashes, and what was
// decoded survives encoding. The first byte chooses the message.
#include <cstdint>

#include "lib/base/check.h"
#include "proto/destination.pb.h"
#include "proto/identity.pb.h"
#include "proto/inbound.pb.h"
#include "proto/message.h"
#include "proto/outbound.pb.h"
#include "proto/tap.pb.h"
#include "proto/transport.pb.h"

namespace {

template <typename M>
void check(tulle::Bytes bytes) {
  const tulle::Result<M> message = tulle::pb::decode_message<M>(bytes);
  if (!message) return;
  const std::string once = tulle::pb::encode_message(*message);
  const tulle::Result<M> again = tulle::pb::decode_message<M>(tulle::as_bytes(once));
  TULLE_CHECK(again.has_value());
  // Bytes, not values: a NaN is not equal to itself.
  TULLE_CHECK(tulle::pb::encode_message(*again) == once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tulle::pb;
  if (size == 0) return 0;
  const tulle::Bytes bytes(data + 1, size - 1);
  switch (data[0] % 8) {
    case 0: check<destination::Update>(bytes); break;
    case 1: check<destination::DestinationProfile>(bytes); break;
    case 2: check<inbound::Server>(bytes); break;
    case 3: check<outbound::OutboundPolicy>(bytes); break;
    case 4: check<outbound::TrafficSpec>(bytes); break;
    case 5: check<tap::ObserveRequest>(bytes); break;
    case 6: check<identity::CertifyResponse>(bytes); break;
    default: check<transport::Header>(bytes);
  }
  return 0;
}
