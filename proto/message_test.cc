// SPDX-License-Identifier: Apache-2.0
// What the generated structs promise to those who use them.
#include "proto/message.h"

#include <gtest/gtest.h>

#include "lib/base/text.h"
#include "proto/destination.pb.h"
#include "proto/http_types.pb.h"
#include "proto/identity.pb.h"
#include "proto/inbound.pb.h"
#include "proto/outbound.pb.h"
#include "proto/transport.pb.h"

namespace tulle::pb {
namespace {

using destination::RequestMatch;
using destination::Update;
using http_types::HttpMethod;

std::string hex_of(std::string_view bytes) { return hex(as_bytes(bytes)); }

TEST(Message, SendsZeroMembersOfOneofs) {
  HttpMethod method;
  EXPECT_EQ(encode_message(method), "");
  method.set_registered(HttpMethod::Registered::GET);
  EXPECT_EQ(hex_of(encode_message(method)), "0800");
  destination::ProtocolHint hint;
  hint.set_h2();
  EXPECT_EQ(hex_of(encode_message(hint)), "0a00");
  hint.h2.reset();  // chosen is chosen
  EXPECT_EQ(hex_of(encode_message(hint)), "0a00");
}

TEST(Message, TheLastMemberOfAOneofCounts) {
  const auto method = decode_message<HttpMethod>(as_bytes("\x08\x03\x12\x03GET\x08\x04"));
  ASSERT_TRUE(method);
  EXPECT_EQ(method->type_case, HttpMethod::TypeCase::registered);
  EXPECT_EQ(method->registered, 4);
  EXPECT_EQ(method->unregistered, "");
  Update update;
  update.set_add().addrs.emplace_back();
  update.set_no_endpoints().exists = true;
  EXPECT_FALSE(update.add);
  EXPECT_EQ(hex_of(encode_message(update)), "1a020801");
  update.set_no_endpoints();  // made anew
  EXPECT_EQ(hex_of(encode_message(update)), "1a00");
}

TEST(Message, AnUnknownMemberOfAOneofIsSeen) {
  const auto authn = decode_message<inbound::Authn>(as_bytes("\x4a\x02\x08\x01"));
  ASSERT_TRUE(authn);
  EXPECT_EQ(authn->permit_case, inbound::Authn::PermitCase::none);
  EXPECT_TRUE(authn->unknown_fields);
  EXPECT_FALSE(*authn == inbound::Authn());
  // The right number with the wrong wire type is as unknown.
  const auto other = decode_message<inbound::Authn>(as_bytes("\x08\x01"));
  ASSERT_TRUE(other);
  EXPECT_TRUE(other->unknown_fields);
  const auto known = decode_message<inbound::Authn>(as_bytes(std::string_view("\x0a\x00", 2)));
  ASSERT_TRUE(known);
  EXPECT_FALSE(known->unknown_fields);
}

TEST(Message, MergesAMessageThatComesTwice) {
  const auto weighted = decode_message<destination::WeightedAddr>(
      as_bytes("\x0a\x02\x10\x07\x18\x01\x0a\x07\x0a\x05\x0d\x01\x00\x00\x7f"));
  EXPECT_FALSE(weighted);  // the literal ends at its NUL: cut input
  const auto whole = decode_message<destination::WeightedAddr>(as_bytes(
      std::string_view("\x0a\x02\x10\x07\x18\x01\x0a\x07\x0a\x05\x0d\x01\x00\x00\x7f", 15)));
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->addr->port, 7U);
  EXPECT_EQ(whole->addr->ip->ipv4, 0x7f000001U);
  EXPECT_EQ(whole->weight, 1U);
}

TEST(Message, BoundsNesting) {
  RequestMatch deep;
  RequestMatch* at = &deep;
  for (int i = 1; i < kMaxDepth; ++i) at = &at->set_not();
  at->set_path().regex = "/";
  EXPECT_FALSE(decode_message<RequestMatch>(as_bytes(encode_message(deep))));
  const std::string allowed = encode_message(*deep.not_);
  const auto back = decode_message<RequestMatch>(as_bytes(allowed));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, *deep.not_);
  RequestMatch copy = *back;  // deep, by value
  copy.not_->not_->set_path();
  EXPECT_FALSE(copy == *back);
}

TEST(Message, RefusesStringsThatAreNotUtf8ButTakesAnyBytes) {
  EXPECT_FALSE(decode_message<destination::GetDestination>(as_bytes("\x12\x01\xff")));
  const auto request = decode_message<identity::CertifyRequest>(as_bytes("\x12\x01\xff"));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->token, "\xff");
}

TEST(Message, MapsAreSortedAndTheLastValueWins) {
  destination::WeightedAddrSet set;
  set.metric_labels["z"] = "1";
  set.metric_labels["a"] = "";
  const std::string bytes = encode_message(set);
  EXPECT_EQ(hex_of(bytes), "12050a0161120012060a017a120131");
  const auto doubled =
      decode_message<destination::WeightedAddrSet>(as_bytes(bytes + "\x12\x06\x0a\x01z\x12\x01"
                                                                    "9\x12\x03\x12\x01v"));
  ASSERT_TRUE(doubled);
  EXPECT_EQ(doubled->metric_labels.at("z"), "9");
  EXPECT_EQ(doubled->metric_labels.at(""), "v");
  EXPECT_EQ(doubled->metric_labels.size(), 3U);
}

TEST(Message, SpellsRetryConditionsAsTheWireDoes) {
  outbound::GrpcRoute::Retry::Conditions conditions;
  conditions.deadine_exceeded = true;
  conditions.unavailable = true;
  EXPECT_EQ(hex_of(encode_message(conditions)), "20017001");
}

TEST(Message, TrustAnchorsRideAsField1000) {
  identity::CertifyResponse response;
  response.trust_anchors.push_back("der");
  EXPECT_EQ(hex_of(encode_message(response)), "c23e03646572");
}

TEST(Message, NegativeNumbersTakeTenBytes) {
  transport::Header header;
  header.port = -1;
  const std::string bytes = encode_message(header);
  EXPECT_EQ(bytes.size(), 11U);
  const auto back = decode_message<transport::Header>(as_bytes(bytes));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->port, -1);
}

TEST(Message, NamesItsServices) {
  using Get = destination::Destination::Get;
  static_assert(Get::kPath == "/io.linkerd.proxy.destination.Destination/Get");
  static_assert(Get::kServerStreams && !Get::kClientStreams);
  static_assert(std::is_same_v<Get::Response, Update>);
  static_assert(!identity::Identity::Certify::kServerStreams);
}

TEST(Message, ConvertsTimes) {
  EXPECT_EQ(from_pb(to_pb(Duration{1'500ms})), Duration{1'500ms});
  EXPECT_EQ(from_pb(to_pb(Duration{-1ms})), std::nullopt);
  protobuf::Duration broken;
  broken.nanos = 1'000'000'000;
  EXPECT_EQ(from_pb(broken), std::nullopt);
  protobuf::Duration forever;
  forever.seconds = INT64_MAX;
  EXPECT_EQ(from_pb(forever), Duration{std::chrono::seconds{315'576'000}});
  const WallTime now{1'764'000'000'123'456'789ns};
  EXPECT_EQ(from_pb(to_pb(now)), now);
  protobuf::Timestamp late;
  late.seconds = INT64_MAX;
  EXPECT_EQ(from_pb(late), std::nullopt);
}

}  // namespace
}  // namespace tulle::pb
