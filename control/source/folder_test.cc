// SPDX-License-Identifier: Apache-2.0
#include "control/source/folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "lib/base/text.h"

namespace tulle::control {
namespace {

std::string service(std::string_view name, std::string_view ip) {
  return concat("apiVersion: v1\nkind: Service\nmetadata: {name: ", name,
                "}\nspec: {clusterIP: ", ip, ", ports: [{port: 80}]}\n");
}

class ManifestFilesTest : public ::testing::Test {
 protected:
  std::string ip(std::string_view name) {
    const k8s::Service* const found = View(index).service("default", name);
    return found != nullptr ? found->spec.cluster_ip : "";
  }
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  Index index;
  ManifestFiles files{index, log::Logger(sink, "test")};
};

TEST_F(ManifestFilesTest, AddsChangesAndTakesAway) {
  files.update("a.yaml", service("one", "10.0.0.1") + "---\n" + service("two", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.1");
  EXPECT_EQ(ip("two"), "10.0.0.2");
  files.update("a.yaml", service("one", "10.0.0.9"));
  EXPECT_EQ(ip("one"), "10.0.0.9");
  EXPECT_EQ(ip("two"), "");
  files.remove("a.yaml");
  EXPECT_EQ(index.size(), 0U);
}

TEST_F(ManifestFilesTest, BrokenTextKeepsTheLastGoodState) {
  files.update("a.yaml", service("one", "10.0.0.1"));
  for (const std::string_view broken : {"apiVersion: v1\nkind: Serv", "{", "", "  \n",
                                        "apiVersion: v1\nkind: Service\nmetadata: {name: 5}\n"}) {
    files.update("a.yaml", broken);
    EXPECT_EQ(ip("one"), "10.0.0.1") << broken;
    EXPECT_EQ(files.broken(), 1U) << broken;
  }
  // Also if only one of its documents is broken.
  files.update("a.yaml", service("one", "10.0.0.7") + "---\n{\n");
  EXPECT_EQ(ip("one"), "10.0.0.1");
  files.update("a.yaml", service("one", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.2");
  EXPECT_EQ(files.broken(), 0U);
  // A comment says that there are to be no objects.
  files.update("a.yaml", "# nothing\n");
  EXPECT_EQ(ip("one"), "");
}

TEST_F(ManifestFilesTest, TheFirstFileOwnsAnObject) {
  files.update("a.yaml", service("one", "10.0.0.1"));
  files.update("b.yaml", service("one", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.1");
  EXPECT_EQ(files.remove("a.yaml"), (std::set<std::string>{"b.yaml"}));
  EXPECT_EQ(ip("one"), "");
  files.update("b.yaml", service("one", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.2");
}

TEST_F(ManifestFilesTest, OneFileMayNotDefineAnObjectTwice) {
  files.update("a.yaml", service("one", "10.0.0.1") + "---\n" + service("one", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "");
  EXPECT_EQ(files.broken(), 1U);
}

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    std::string name = (std::filesystem::temp_directory_path() / "tulle-folder-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    loop = *net::Loop::create();
  }
  ~FolderTest() override {
    scope.cancel();  // it uses the source
    source.reset();
    std::filesystem::remove_all(folder);
  }
  void start() {
    source = std::make_unique<FolderSource>(*loop, index, log::Logger(sink, "test"), folder);
    const auto started = source->start();
    ASSERT_TRUE(started);
    scope.spawn(source->run());
  }
  static void write_to(const std::string& path, std::string_view text) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
  }
  void write(std::string_view name, std::string_view text) {
    write_to(concat(folder, "/", name), text);
  }
  std::string ip(std::string_view name) {
    const k8s::Service* const found = View(index).service("default", name);
    return found != nullptr ? found->spec.cluster_ip : "";
  }
  // Turns the loop until the Service has this address.
  bool comes(std::string_view name, std::string_view address) {
    const TimePoint end = monotonic_now() + 10s;
    while (ip(name) != address && monotonic_now() < end) loop->run_once(100ms);
    return ip(name) == address;
  }
  std::string folder;
  std::unique_ptr<net::Loop> loop;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  Index index;
  std::unique_ptr<FolderSource> source;
  net::TaskScope scope;
};

TEST_F(FolderTest, ReadsWhatIsThereAndFollowsChanges) {
  write("a.yaml", service("one", "10.0.0.1"));
  write("ignored.txt", "not a manifest");
  write(".hidden.yaml", service("hidden", "10.0.0.3"));
  start();
  EXPECT_EQ(ip("one"), "10.0.0.1");
  EXPECT_EQ(ip("hidden"), "");
  write(
      "b.json",
      R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"two"},"spec":{"clusterIP":"10.0.0.2"}})");
  EXPECT_TRUE(comes("two", "10.0.0.2"));
  write("a.yaml", service("one", "10.0.0.9"));
  EXPECT_TRUE(comes("one", "10.0.0.9"));
  std::filesystem::remove(folder + "/a.yaml");
  EXPECT_TRUE(comes("one", ""));
  EXPECT_EQ(ip("two"), "10.0.0.2");
}

TEST_F(FolderTest, TakesFilesThatAreMovedIntoPlace) {
  write("a.yaml", service("one", "10.0.0.1"));
  start();
  write(".a.new", service("one", "10.0.0.2"));
  std::filesystem::rename(folder + "/.a.new", folder + "/a.yaml");
  EXPECT_TRUE(comes("one", "10.0.0.2"));
  std::filesystem::rename(folder + "/a.yaml", folder + "/elsewhere");
  EXPECT_TRUE(comes("one", ""));
}

TEST_F(FolderTest, WaitsForTheWriter) {
  write("a.yaml", service("one", "10.0.0.1"));
  start();
  const std::string path = folder + "/a.yaml";
  std::FILE* const file = std::fopen(path.c_str(), "w");  // cuts the file off
  std::fputs("apiVersion: v1\nkind: Service\n", file);
  std::fflush(file);
  write("b.yaml", service("two", "10.0.0.2"));
  EXPECT_TRUE(comes("two", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.1");
  std::fputs("metadata: {name: one}\nspec: {clusterIP: 10.0.0.3}\n", file);
  std::fclose(file);
  EXPECT_TRUE(comes("one", "10.0.0.3"));
}

TEST_F(FolderTest, FollowsAMountedVolume) {
  std::filesystem::create_directory(folder + "/..v1");
  write_to(folder + "/..v1/a.yaml", service("one", "10.0.0.1"));
  std::filesystem::create_symlink("..v1", folder + "/..data");
  std::filesystem::create_symlink("..data/a.yaml", folder + "/a.yaml");
  start();
  EXPECT_EQ(ip("one"), "10.0.0.1");
  std::filesystem::create_directory(folder + "/..v2");
  write_to(folder + "/..v2/a.yaml", service("one", "10.0.0.2"));
  std::filesystem::create_symlink("..v2", folder + "/..data_tmp");
  std::filesystem::rename(folder + "/..data_tmp", folder + "/..data");
  EXPECT_TRUE(comes("one", "10.0.0.2"));
}

TEST_F(FolderTest, AFolderThatGoesAndComesBackKeepsItsState) {
  write("a.yaml", service("one", "10.0.0.1"));
  start();
  std::filesystem::rename(folder, folder + "-away");
  loop->run_once(100ms);
  loop->run_once(0ms);
  EXPECT_EQ(ip("one"), "10.0.0.1");
  std::filesystem::create_directory(folder);
  write("a.yaml", service("one", "10.0.0.5"));
  EXPECT_TRUE(comes("one", "10.0.0.5"));
  std::filesystem::remove_all(folder + "-away");
}

TEST_F(FolderTest, RefusesAFolderThatIsNotThere) {
  FolderSource none(*loop, index, log::Logger(sink, "test"), folder + "/none");
  const auto started = none.start();
  EXPECT_FALSE(started);
}

}  // namespace
}  // namespace tulle::control
