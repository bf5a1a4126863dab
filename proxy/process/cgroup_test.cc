// SPDX-License-Identifier: Apache-2.0
#include "proxy/process/cgroup.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

namespace tulle::proxy {
namespace {

struct CgroupTest : ::testing::Test {
  CgroupTest() {
    char path[] = "/tmp/tulle-cgroup-XXXXXX";
    root = ::mkdtemp(path);
  }
  ~CgroupTest() override { (void)std::system(("rm -rf " + root).c_str()); }
  void write(const std::string& name, const std::string& text) {
    const auto slash = name.find('/');
    if (slash != std::string::npos) ::mkdir((root + "/" + name.substr(0, slash)).c_str(), 0700);
    std::FILE* const file = std::fopen((root + "/" + name).c_str(), "w");
    ASSERT_NE(file, nullptr);
    std::fputs(text.c_str(), file);
    std::fclose(file);
  }
  std::string root;
};

TEST_F(CgroupTest, Version2) {
  const Cgroup group(root);
  EXPECT_FALSE(group.cpus());
  write("cpu.max", "max 100000\n");
  EXPECT_FALSE(group.cpus());
  write("cpu.max", "150000 100000\n");
  EXPECT_EQ(group.cpus(), 2U);
  write("cpu.max", "50000 100000\n");
  EXPECT_EQ(group.cpus(), 1U);
}

TEST_F(CgroupTest, Version1) {
  const Cgroup group(root);
  write("cpu/cpu.cfs_quota_us", "-1\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(group.cpus());
  write("cpu/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(group.cpus(), 3U);
}

}  // namespace
}  // namespace tulle::proxy
