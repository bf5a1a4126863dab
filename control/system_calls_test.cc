// SPDX-License-Identifier: Apache-2.0
#include "control/system_calls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>

#include "control/identity/issuer_files.h"
#include "lib/sandbox/testing.h"

namespace tulle::control {
namespace {

using sandbox::Ended;
using sandbox::impossible;
using sandbox::refused;
using sandbox::start_a_program;

template <typename Body>
Ended in_sandbox(const Options& options, Body body) {
  const std::vector<AllowedCall> calls = system_calls(options);
  return sandbox::in_sandbox({.target = "tulle::control", .also = calls}, std::move(body));
}

class Folder {
 public:
  Folder() { EXPECT_NE(::mkdtemp(path_), nullptr); }
  ~Folder() {
    for (const char* name : {"ca.crt", "ca.key", "tls.crt", "tls.key"})
      ::unlink((issuer() + "/" + name).c_str());
    ::rmdir(issuer().c_str());
    ::rmdir(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string issuer() const { return std::string(path_) + "/issuer"; }

 private:
  char path_[32] = "/tmp/tulle-calls-XXXXXX";
};

TEST(SystemCalls, AControlPlaneStartsNothingAndWritesNothing) {
  const Ended ended = in_sandbox(Options{}, [] {
    if (start_a_program() != 0) return 2;
    if (!refused(::syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0))) return 3;
    if (!refused(::syscall(__NR_openat, AT_FDCWD, "/tmp/tulle", O_WRONLY | O_CREAT, 0600)))
      return 4;
    if (!refused(::syscall(__NR_unlinkat, AT_FDCWD, "/tmp/tulle", 0))) return 5;
    if (!refused(::syscall(__NR_socket, AF_UNIX, SOCK_STREAM, 0))) return 6;
    if (!refused(::syscall(__NR_mkdirat, AT_FDCWD, "/tmp/tulle", 0700))) return 7;
    if (!refused(::syscall(__NR_kill, 1, 0))) return 8;
    return 0;
  });
  if (impossible(ended)) return;
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(std::count(ended.said.begin(), ended.said.end(), '\n'), 7) << ended.said;
  EXPECT_NE(ended.said.find("tulle::control: a system call was refused call="), std::string::npos)
      << ended.said;
}

TEST(SystemCalls, FoldersAreFollowed) {
  const Ended ended = in_sandbox(Options{}, [] {
    const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch < 0) return 2;
    const int folder = ::inotify_add_watch(watch, "/tmp", IN_CLOSE_WRITE);
    if (folder < 0 || ::inotify_rm_watch(watch, folder) != 0) return 3;
    if (::access("/", R_OK) != 0) return 4;
    return ::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 ? 5 : 0;
  });
  if (impossible(ended)) return;
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.said, "");
}

// Only who keeps its issuer in files writes files; a program it starts no more than others.
TEST(SystemCalls, AnIssuerInFilesIsMadeAndRenewed) {
  const Folder folder;
  Options options;
  options.issuer = folder.issuer();
  const auto make = [&] {
    if (start_a_program() != 0) return 2;
    return generate_issuer(folder.issuer(), "identity.linkerd.cluster.local").empty() ? 0 : 3;
  };
  const Ended without = in_sandbox(options, make);
  options.generate_issuer = true;
  const Ended with = in_sandbox(options, make);
  if (impossible(without) && impossible(with)) return;
  EXPECT_EQ(without.status, 3) << "it was not asked to make one";
  EXPECT_EQ(with.status, 0) << with.said;
  EXPECT_EQ(std::count(with.said.begin(), with.said.end(), '\n'), 1) << with.said;
  EXPECT_TRUE(std::holds_alternative<IssuerState>(load_issuer(folder.issuer(), "")));
}

}  // namespace
}  // namespace tulle::control
