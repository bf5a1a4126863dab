// SPDX-License-Identifier: Apache-2.0
#include "cli/given.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tulle::cli {
namespace {

using testing::HasSubstr;

class Given : public testing::Test {
 protected:
  Given() {
    std::string name = testing::TempDir() + "given-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~Given() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

TEST_F(Given, FilesAreReadWhole) {
  std::ofstream(at("a")) << "one\ntwo";
  std::string text = "before";
  EXPECT_EQ(read_given(at("a"), text), "");
  EXPECT_EQ(text, "one\ntwo");
}

TEST_F(Given, WhatIsNoRegularFileIsNamed) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("pipe", at("link"));
  for (const std::string& name : {at("pipe"), at("link"), folder_, std::string("/dev/zero"),
                                  std::string("/dev/null"), at("none")}) {
    std::string text;
    const std::string problem = read_given(name, text);
    EXPECT_THAT(problem, HasSubstr(name));
    EXPECT_THAT(problem, HasSubstr("cannot be read"));
    EXPECT_EQ(text, "");
  }
}

TEST_F(Given, SizesAreBounded) {
  std::ofstream(at("a")).close();
  std::string text;
  std::filesystem::resize_file(at("a"), kMaxGivenFile);
  EXPECT_EQ(read_given(at("a"), text), "");
  EXPECT_EQ(text.size(), kMaxGivenFile);
  std::filesystem::resize_file(at("a"), kMaxGivenFile + 1);
  EXPECT_THAT(read_given(at("a"), text), HasSubstr("16 MiB"));
}

}  // namespace
}  // namespace tulle::cli
