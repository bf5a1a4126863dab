// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/status.h"

#include <gtest/gtest.h>

namespace tulle::grpc {
namespace {

TEST(Status, TravelsInFields) {
  http::HeaderMap fields;
  write_status({Code::NotFound, "no such pod: gr\xc3\xbcn 100%\n"}, fields);
  EXPECT_EQ(fields.get("grpc-status"), "5");
  EXPECT_EQ(fields.get("grpc-message"), "no such pod: gr%C3%BCn 100%25%0A");
  EXPECT_EQ(read_status(fields), (Status{Code::NotFound, "no such pod: gr\xc3\xbcn 100%\n"}));
  http::HeaderMap ok;
  write_status({}, ok);
  EXPECT_EQ(ok.size(), 1U);
  EXPECT_EQ(read_status(ok), Status{});
  EXPECT_EQ(read_status(http::HeaderMap()), std::nullopt);
}

TEST(Status, UnknownCodesAreUnknown) {
  for (const std::string_view code : {"17", "4294967296", "-1", "", "zero", "1 "}) {
    http::HeaderMap fields;
    fields.add("grpc-status", code);
    EXPECT_EQ(read_status(fields)->code, Code::Unknown) << code;
  }
  EXPECT_EQ(to_string(Code::Unauthenticated), "UNAUTHENTICATED");
  EXPECT_EQ(to_string(static_cast<Code>(99)), "UNKNOWN");
}

TEST(Status, DecodesOnlyWholeEscapes) {
  EXPECT_EQ(decode_message_text("a%20b%2"), "a b%2");
  EXPECT_EQ(decode_message_text("%"), "%");
  EXPECT_EQ(decode_message_text("%zz%4a%4A"), "%zzJJ");
  EXPECT_EQ(decode_message_text("%00"), std::string_view("\0", 1));
}

TEST(Status, BoundsTheText) {
  http::HeaderMap fields;
  write_status({Code::Internal, std::string(100'000, '%')}, fields);
  EXPECT_LE(fields.get("grpc-message")->size(), 4096U);
  fields.set("grpc-message", std::string(100'000, 'x'));
  EXPECT_EQ(read_status(fields)->message.size(), 4096U);
}

TEST(Status, MapsLocalFailures) {
  EXPECT_EQ(status_of({Errc::Timeout, "x"}).code, Code::DeadlineExceeded);
  EXPECT_EQ(status_of({Errc::Refused, "x"}).code, Code::Unavailable);
  EXPECT_EQ(status_of({Errc::TooLarge, "x"}).code, Code::ResourceExhausted);
  EXPECT_EQ(status_of({Errc::Unsupported, "x"}).code, Code::Unimplemented);
  EXPECT_EQ(status_of({Errc::Protocol, "x"}).code, Code::Internal);
  EXPECT_EQ(status_of({Errc::Reset, "x", 0, 0x7}).code, Code::Unavailable);
  EXPECT_EQ(status_of({Errc::Reset, "x", 0, 0x8}).code, Code::Cancelled);
  EXPECT_EQ(status_of({Errc::Reset, "x", 0, 0xb}).code, Code::ResourceExhausted);
  EXPECT_EQ(status_of({Errc::Reset, "x", 0, 0xc}).code, Code::PermissionDenied);
  EXPECT_EQ(status_of({Errc::Reset, "x", 0, 0x2}).code, Code::Internal);
  EXPECT_EQ(status_of({Errc::Reset, "read stream"}).message, "read stream");
}

TEST(Status, MapsHttp) {
  EXPECT_EQ(status_of_http(404).code, Code::Unimplemented);
  EXPECT_EQ(status_of_http(503).code, Code::Unavailable);
  EXPECT_EQ(status_of_http(401).code, Code::Unauthenticated);
  EXPECT_EQ(status_of_http(500).code, Code::Unknown);
}

}  // namespace
}  // namespace tulle::grpc
