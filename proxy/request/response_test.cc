// SPDX-License-Identifier: Apache-2.0
#include "proxy/request/response.h"

#include <gtest/gtest.h>

namespace tulle::proxy {
namespace {

http::ResponseHead head(std::uint16_t status,
                        std::vector<std::pair<std::string, std::string>> headers = {}) {
  http::ResponseHead made;
  made.status = status;
  for (const auto& [name, value] : headers) made.headers.add(name, value);
  return made;
}
const WallTime kNow = std::chrono::sys_days{std::chrono::year{1994} / 11 / 6} + 8h + 49min;

TEST(LoadPenalty, OnlyWhereItIsAskedFor) {
  EXPECT_EQ(load_penalty({}, head(503), false, kNow), 0s);
  const EwmaOptions options{.penalize = true};
  EXPECT_EQ(load_penalty(options, head(200), false, kNow), 0s);
  EXPECT_EQ(load_penalty(options, head(404), false, kNow), 0s);
  for (const std::uint16_t status : {429, 500, 503, 599})
    EXPECT_EQ(load_penalty(options, head(status), false, kNow), 5s) << status;
  for (const char* code : {"8", "14", "2", "4", "13", "15"})
    EXPECT_EQ(load_penalty(options, head(200, {{"grpc-status", code}}), true, kNow), 5s) << code;
  for (const char* code : {"0", "1", "5", "7"})
    EXPECT_EQ(load_penalty(options, head(200, {{"grpc-status", code}}), true, kNow), 0s) << code;
}

TEST(LoadPenalty, ServersMayAskForMore) {
  const EwmaOptions options{.penalize = true, .max_retry_after = 60s};
  EXPECT_EQ(load_penalty(options, head(503, {{"Retry-After", "30"}}), false, kNow), 30s);
  EXPECT_EQ(load_penalty(options, head(503, {{"Retry-After", "600"}}), false, kNow), 60s);
  EXPECT_EQ(load_penalty(options, head(503, {{"Retry-After", "1"}}), false, kNow), 5s);
  EXPECT_EQ(load_penalty(options, head(503, {{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}}),
                         false, kNow),
            37s);
  EXPECT_EQ(load_penalty(options, head(503, {{"Retry-After", "soon"}}), false, kNow), 5s);
  EXPECT_EQ(load_penalty(options, head(500, {{"Retry-After", "30"}}), false, kNow),
            5s);  // no limit was hit
  EXPECT_EQ(
      load_penalty(options, head(200, {{"grpc-status", "14"}, {"grpc-retry-pushback-ms", "7000"}}),
                   true, kNow),
      7s);
}

}  // namespace
}  // namespace tulle::proxy
