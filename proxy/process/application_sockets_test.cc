// SPDX-License-Identifier: Apache-2.0
#include "proxy/process/application_sockets.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/socket.h"

namespace tulle::proxy {
namespace {

constexpr uid_t kProxy = 2102;
constexpr std::string_view kHead =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n";
constexpr std::string_view kOwn =
    "   0: 00000000:102F 00000000:0000 0A 00000000:00000000 00:00000000 00000000  2102        0 "
    "4711 1 0000000000000000 100 0 0 10 0\n";
constexpr std::string_view kTimeWait =
    "   1: 0100007F:1F90 0100007F:A3C2 06 00000000:00000000 03:00001388 00000000     0        0 0 "
    "3 0000000000000000\n";
constexpr std::string_view kForeign =
    "   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
    "4712 1 0000000000000000 100 0 0 10 0\n";

TEST(ApplicationSockets, OnlyThoseThatAnotherUserHolds) {
  EXPECT_FALSE(holds_foreign_socket("", kProxy));
  EXPECT_FALSE(holds_foreign_socket(kHead, kProxy));
  EXPECT_FALSE(holds_foreign_socket(std::string(kHead) + std::string(kOwn), kProxy));
  EXPECT_FALSE(holds_foreign_socket(std::string(kHead) + std::string(kOwn) + std::string(kTimeWait),
                                    kProxy));
  EXPECT_TRUE(
      holds_foreign_socket(std::string(kHead) + std::string(kOwn) + std::string(kForeign), kProxy));
  EXPECT_TRUE(holds_foreign_socket(std::string(kHead) + std::string(kOwn), 0));
  EXPECT_FALSE(holds_foreign_socket(std::string(kHead) + "  0: cut off 1 2\n\n", kProxy));
}

TEST(ApplicationSockets, TablesThatCannotBeReadSayNothing) {
  EXPECT_TRUE(application_has_sockets("/nonexistent"));
}

// The kernel's own format: a socket of ours is seen by others, and not by us.
TEST(ApplicationSockets, TheKernelsTableIsUnderstood) {
  const net::Fd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  ASSERT_TRUE(listener);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  std::string table(1 << 20, '\0');
  const net::Fd file{::open("/proc/self/net/tcp", O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(file);
  const ssize_t n = ::read(file.get(), table.data(), table.size());
  ASSERT_GT(n, 0);
  table.resize(static_cast<std::size_t>(n));
  EXPECT_TRUE(holds_foreign_socket(table, ::getuid() + 1));
}

}  // namespace
}  // namespace tulle::proxy
