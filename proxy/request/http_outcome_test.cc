// SPDX-License-Identifier: Apache-2.0
#include "proxy/request/http_outcome.h"

#include <gtest/gtest.h>

#include "lib/testing/sim.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

http::RequestHead head(http::Version version, std::string_view type = "") {
  http::RequestHead made;
  made.version = version;
  if (!type.empty()) made.headers.add("content-type", type);
  return made;
}

// The tables of docs/reference/proxy.md §2.8 and §3.11.
TEST(Outcome, StatusesCodesAndWhatCloses) {
  struct Row {
    Cause cause;
    std::uint16_t status;
    std::uint8_t grpc;
    bool close;
    std::string_view label;
  };
  for (const Row& row : {
           Row{Cause::NoRoute, 404, 5, false, ""},
           Row{Cause::Unauthorized, 403, 7, false, ""},
           Row{Cause::RateLimited, 429, 8, false, ""},
           Row{Cause::InvalidPolicy, 500, 13, true, "unexpected"},
           Row{Cause::UnsupportedPolicy, 500, 13, true, "unexpected"},
           Row{Cause::InvalidRedirect, 500, 13, true, "unexpected"},
           Row{Cause::Failfast, 504, 4, true, "failfast"},
           Row{Cause::LoadShed, 503, 14, true, "loadshed"},
           Row{Cause::NoBackend, 503, 14, true, "loadshed"},
           Row{Cause::BackendUndefined, 502, 14, true, "unexpected"},
           Row{Cause::ConnectFailed, 502, 14, true, "i/o"},
           Row{Cause::ConnectTimeout, 504, 4, true, "i/o"},
           Row{Cause::RequireIdMismatch, 502, 14, true, "identity required"},
           Row{Cause::IdentityUnusable, 502, 14, true, "identity required"},
           Row{Cause::Timeout, 504, 4, false, "response timeout"},
           Row{Cause::Loop, 508, 10, true, "unexpected"},
           Row{Cause::Unexpected, 500, 13, true, "unexpected"},
       }) {
    const CauseInfo info = info_of(row.cause);
    EXPECT_EQ(info.status, row.status);
    EXPECT_EQ(info.grpc, row.grpc);
    EXPECT_EQ(info.close, row.close) << row.status;
    EXPECT_EQ(info.label, row.label) << row.status;
  }
}

TEST(Outcome, ErrorsOfSending) {
  EXPECT_EQ(cause_of({Errc::Refused, "connect"}), Cause::ConnectFailed);
  EXPECT_EQ(cause_of({Errc::Reset, "read"}), Cause::ConnectFailed);
  EXPECT_EQ(cause_of({Errc::Timeout, "connect"}), Cause::ConnectTimeout);
  EXPECT_EQ(cause_of({Errc::Unavailable, "no endpoints"}), Cause::Failfast);
  EXPECT_EQ(cause_of({Errc::Unavailable, "discovery failed"}), Cause::Unexpected);
  EXPECT_EQ(cause_of({Errc::ResourceExhausted, "queue full"}), Cause::LoadShed);
  EXPECT_EQ(cause_of({Errc::Unauthenticated, "handshake"}), Cause::IdentityUnusable);
  EXPECT_EQ(cause_of({Errc::Internal, ""}), Cause::Unexpected);
}

TEST(Outcome, Http) {
  const http::Response response =
      reply(head(http::Version::Http11), Cause::Failfast, {true, "no endpoints"});
  EXPECT_EQ(response.status, 504);
  EXPECT_EQ(*response.headers.get("content-length"), "0");
  EXPECT_EQ(*response.headers.get("l5d-proxy-error"), "no endpoints");
  EXPECT_EQ(*response.headers.get("l5d-proxy-connection"), "close");
  EXPECT_TRUE(response.close_connection);
  const http::Response quiet =
      reply(head(http::Version::Http11), Cause::Unauthorized, {false, "who are you"});
  EXPECT_EQ(quiet.status, 403);
  EXPECT_EQ(quiet.headers.size(), 1U);
  EXPECT_FALSE(quiet.close_connection);
  // What cannot stand in a header is not put there.
  EXPECT_EQ(*reply(head(http::Version::Http11), Cause::NoRoute, {true, "a\nb"})
                 .headers.get("l5d-proxy-error"),
            "unexpected error");
}

TEST(Outcome, Grpc) {
  const http::Response response = reply(head(http::Version::Http2, "application/grpc+proto"),
                                        Cause::RateLimited, {true, "slower"});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(*response.headers.get("grpc-status"), "8");
  EXPECT_EQ(*response.headers.get("grpc-message"), "slower");
  EXPECT_EQ(*response.headers.get("content-type"), "application/grpc");
  EXPECT_FALSE(response.headers.contains("content-length"));
  // Over HTTP/1 there is no gRPC.
  EXPECT_EQ(
      reply(head(http::Version::Http11, "application/grpc"), Cause::RateLimited, {true, ""}).status,
      429);
}

TEST(Outcome, AGrpcBodyThatFailsEndsWithAStatus) {
  testing::SimLoop loop;
  for (const bool informational : {true, false}) {
    auto [writer, reader] = http::make_body(loop);
    rescue_grpc_body(reader, informational);
    writer.write(as_bytes("half"));
    writer.fail({Errc::Reset, "the peer went away"});
    EXPECT_EQ(reader.failure(), nullptr);
    EXPECT_FALSE(reader.ended());
    reader.consume(4);
    ASSERT_TRUE(reader.ended());
    EXPECT_EQ(*reader.trailers().get("grpc-status"), "14");
    EXPECT_EQ(reader.trailers().contains("grpc-message"), informational);
  }
  auto [writer, reader] = http::make_body(loop);
  writer.fail({Errc::Timeout, "late"});
  rescue_grpc_body(reader, false);
  EXPECT_EQ(*reader.trailers().get("grpc-status"), "4");
  EXPECT_TRUE(reader.ended());
}

}  // namespace
}  // namespace tulle::proxy
