// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/frame.h"

#include <gtest/gtest.h>

#include "lib/testing/sim.h"

namespace tulle::grpc {
namespace {

// Feeds bytes in pieces; the messages that came out, or the failure.
Result<std::vector<std::string>> decode_all(std::string_view bytes, std::size_t piece,
                                            std::size_t max = kDefaultMaxMessage) {
  FrameDecoder decoder(max);
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const Result<std::size_t> taken = decoder.feed(as_bytes(bytes.substr(0, piece)));
    if (!taken) return taken.error();
    EXPECT_GT(*taken, 0U);
    bytes.remove_prefix(*taken);
    if (decoder.complete()) out.push_back(decoder.take());
  }
  if (!decoder.idle()) return Error{Errc::Eof, "cut"};
  return out;
}

TEST(Frame, CutsMessagesHoweverTheyCome) {
  std::string bytes = frame_bytes(as_bytes("hello"));
  EXPECT_EQ(bytes, std::string_view("\0\0\0\0\5hello", 10));
  bytes += frame_bytes({});
  bytes += frame_bytes(as_bytes(std::string(70'000, 'x')));
  for (const std::size_t piece : {1U, 2U, 5U, 6U, 4096U, 1'000'000U}) {
    const auto messages = decode_all(bytes, piece);
    ASSERT_TRUE(messages) << piece;
    ASSERT_EQ(messages->size(), 3U);
    EXPECT_EQ((*messages)[0], "hello");
    EXPECT_EQ((*messages)[1], "");
    EXPECT_EQ((*messages)[2].size(), 70'000U);
  }
}

TEST(Frame, RefusesWhatItCannotRead) {
  EXPECT_EQ(decode_all("\1", 1).error().code, Errc::Unsupported);
  EXPECT_EQ(decode_all("\2", 1).error().code, Errc::Protocol);
  EXPECT_EQ(decode_all("\xff\xff\xff\xff\xff", 9).error().code, Errc::Protocol);
  EXPECT_EQ(decode_all(std::string_view("\0\0\0\0\5hell", 9), 9).error().code, Errc::Eof);
  EXPECT_EQ(decode_all(std::string_view("\0\0\0", 3), 9).error().code, Errc::Eof);
}

TEST(Frame, BoundsMessages) {
  const std::string frame = frame_bytes(as_bytes(std::string(100, 'x')));
  EXPECT_TRUE(decode_all(frame, 7, 100));
  EXPECT_EQ(decode_all(frame, 7, 99).error().code, Errc::TooLarge);
  EXPECT_EQ(decode_all(std::string_view("\0\xff\xff\xff\xff", 5), 5).error().code, Errc::TooLarge);
}

TEST(MessageReader, ReadsABody) {
  testing::SimLoop loop;
  auto [writer, reader] = http::make_body(loop);
  MessageReader messages(std::move(reader), 1000);
  writer.write(as_bytes(frame_bytes(as_bytes("one")) + frame_bytes(as_bytes("two"))));
  const Deadline soon = loop.get().after(1s);
  auto first = loop.run(messages.next(soon));
  EXPECT_EQ(**first, "one");
  auto second = loop.run(messages.next(soon));
  EXPECT_EQ(**second, "two");
  auto third = loop.run(messages.next(soon));
  EXPECT_EQ(third->error().code, Errc::Timeout);
  writer.finish();
  auto end = loop.run(messages.next({}));
  EXPECT_EQ(**end, std::nullopt);
}

TEST(MessageReader, TellsCutBodiesFromWholeOnes) {
  testing::SimLoop loop;
  {
    MessageReader messages(http::make_full_body(loop, as_bytes(std::string_view("\0\0", 2))), 1000);
    EXPECT_EQ(loop.run(messages.next({}))->error().code, Errc::Protocol);
  }
  auto [writer, reader] = http::make_body(loop);
  MessageReader messages(std::move(reader), 1000);
  writer.fail({Errc::Reset, "stream", 0, 8});
  const auto failed = loop.run(messages.next({}));
  EXPECT_EQ(failed->error().code, Errc::Reset);
  EXPECT_EQ(failed->error().detail, 8U);
  MessageReader none(http::BodyReader(), 1000);
  EXPECT_EQ(**loop.run(none.next({})), std::nullopt);
}

}  // namespace
}  // namespace tulle::grpc
