// SPDX-License-Identifier: Apache-2.0
#include "lib/metrics/gzip.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace tulle::metrics {
namespace {

// What gzip(1) makes of it.
std::string unpacked(const std::string& packed) {
  char path[] = "/tmp/tulle-gzip-XXXXXX";
  const int fd = ::mkstemp(path);
  EXPECT_EQ(::write(fd, packed.data(), packed.size()), static_cast<ssize_t>(packed.size()));
  ::close(fd);
  std::string out;
  std::FILE* const pipe = ::popen((std::string("gzip -dc < ") + path).c_str(), "r");
  char buffer[65536];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) != 0;)
    out.append(buffer, n);
  EXPECT_EQ(::pclose(pipe), 0);
  ::unlink(path);
  return out;
}

std::string exposition(int series) {
  std::string text;
  for (int i = 0; i < series; ++i) {
    text += "response_latency_ms_bucket{direction=\"inbound\",target_addr=\"10.0.0." +
            std::to_string(i % 256) + ":8080\",le=\"" + std::to_string(i * 7 % 1000) + "\"} " +
            std::to_string(i * 7919 % 100'000) + "\n";
  }
  return text;
}

TEST(Gzip, ComesBackAsItWas) {
  std::string bytes;
  for (int i = 0; i < 70'000; ++i)
    bytes += static_cast<char>(static_cast<unsigned>(i) * static_cast<unsigned>(i) >> 3);
  std::string noise;
  unsigned state = 1;
  for (int i = 0; i < 50'000; ++i)
    noise += static_cast<char>((state = state * 1'103'515'245 + 12'345) >> 16);
  for (const std::string& text :
       {std::string(), std::string("a"), std::string("abc"), std::string(1000, 'x'),
        std::string(100'000, '\0'), bytes, noise, exposition(1), exposition(5000)}) {
    EXPECT_EQ(unpacked(gzip(text)), text) << text.size();
  }
}

TEST(Gzip, IsMuchSmallerForMetrics) {
  const std::string text = exposition(5000);
  EXPECT_LT(gzip(text).size() * 6, text.size());
}

}  // namespace
}  // namespace tulle::metrics
