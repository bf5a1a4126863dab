// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/headers.h"

#include <gtest/gtest.h>

namespace tulle::grpc {
namespace {

TEST(Timeout, Reads) {
  EXPECT_EQ(parse_timeout("1H"), Duration{1h});
  EXPECT_EQ(parse_timeout("2M"), Duration{2min});
  EXPECT_EQ(parse_timeout("3S"), Duration{3s});
  EXPECT_EQ(parse_timeout("4m"), Duration{4ms});
  EXPECT_EQ(parse_timeout("5u"), Duration{5us});
  EXPECT_EQ(parse_timeout("00000006n"), Duration{6ns});
  EXPECT_EQ(parse_timeout("0S"), Duration{0});
  EXPECT_EQ(parse_timeout("99999999H"), Duration::max());
  for (const std::string_view bad :
       {"", "S", "1", "1s", "-1S", "+1S", "1.5S", "100000000n", "1 S", "0x1S", "1SS"}) {
    EXPECT_EQ(parse_timeout(bad), std::nullopt) << bad;
  }
}

TEST(Timeout, IsNeverWrittenShorter) {
  EXPECT_EQ(format_timeout(1ns), "1n");
  EXPECT_EQ(format_timeout(Duration{0}), "1n");
  EXPECT_EQ(format_timeout(-1s), "1n");
  EXPECT_EQ(format_timeout(50ms), "50000000n");
  EXPECT_EQ(format_timeout(100ms), "100000u");
  EXPECT_EQ(format_timeout(100ms + 1ns), "100001u");
  EXPECT_EQ(format_timeout(24h), "86400000m");
  EXPECT_EQ(format_timeout(Duration::max()), "2562048H");
  for (const Duration timeout : {Duration{1ns}, Duration{99'999'999ns}, Duration{100'000'001ns},
                                 Duration{123'456'789'012'345ns}, Duration{1h}, Duration::max()}) {
    const std::optional<Duration> back = parse_timeout(format_timeout(timeout));
    ASSERT_TRUE(back);
    EXPECT_GE(*back, timeout);
    EXPECT_LE(back->count() / 1.001, static_cast<double>(timeout.count()));
  }
}

TEST(Metadata, EncodesBytes) {
  http::HeaderMap fields;
  add_metadata(fields, "name", "plain");
  add_metadata(fields, "trace-bin", std::string_view("\x00\xff\x10", 3));
  add_metadata(fields, "short-bin", "a");
  EXPECT_EQ(fields.get("trace-bin"), "AP8Q");
  EXPECT_EQ(fields.get("short-bin"), "YQ");
  EXPECT_EQ(get_metadata(fields, "name"), "plain");
  EXPECT_EQ(get_metadata(fields, "trace-bin"), std::string_view("\x00\xff\x10", 3));
  EXPECT_EQ(get_metadata(fields, "short-bin"), "a");
  EXPECT_EQ(get_metadata(fields, "absent-bin"), std::nullopt);
  fields.set("short-bin", "YQ==,YWI=");
  EXPECT_EQ(get_metadata(fields, "short-bin"), "a");
  fields.set("short-bin", "not base64!");
  EXPECT_EQ(get_metadata(fields, "short-bin"), std::nullopt);
}

TEST(Metadata, CopiesOnlyWhatIsCustom) {
  http::HeaderMap from;
  for (const std::string_view name :
       {"content-type", "te", "grpc-timeout", "grpc-status", "user-agent", "l5d-require-id"}) {
    from.add(name, "x");
  }
  http::HeaderMap to;
  copy_metadata(from, to);
  EXPECT_EQ(to.size(), 1U);
  EXPECT_TRUE(to.contains("l5d-require-id"));
}

TEST(ContentType, KnowsGrpc) {
  for (const std::string_view good : {"application/grpc", "application/grpc+proto",
                                      "application/grpc; charset=utf-8", "Application/gRPC"})
    EXPECT_TRUE(is_grpc_content_type(good)) << good;
  for (const std::string_view bad : {"", "application/grpc-web", "application/json", "text/html"})
    EXPECT_FALSE(is_grpc_content_type(bad)) << bad;
}

}  // namespace
}  // namespace tulle::grpc
