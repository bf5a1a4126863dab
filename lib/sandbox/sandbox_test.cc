// SPDX-License-Identifier: Apache-2.0
#include "lib/sandbox/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>

#include "lib/sandbox/testing.h"

namespace tulle::sandbox {
namespace {

TEST(Sandbox, AServerStartsNothingAndWritesNothing) {
  const Ended ended = in_sandbox({}, [] {
    if (start_a_program() != 0) return 2;
    if (!refused(::syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0))) return 3;
    if (!refused(::syscall(__NR_openat, AT_FDCWD, "/tmp/tulle", O_WRONLY | O_CREAT, 0600)))
      return 4;
    if (!refused(::syscall(__NR_unlinkat, AT_FDCWD, "/tmp/tulle", 0))) return 5;
    if (!refused(::syscall(__NR_socket, AF_UNIX, SOCK_STREAM, 0))) return 6;
    if (!refused(::syscall(__NR_ptrace, 0, 0, 0, 0))) return 7;
    if (!refused(::syscall(__NR_kill, 1, 0))) return 8;
    if (!refused(::syscall(__NR_tgkill, 1, 1, 0))) return 9;
    if (!refused(::syscall(__NR_prlimit64, 0, 7, "0123456789abcdef", nullptr))) return 10;
    return 0;
  });
  if (impossible(ended)) return;
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(std::count(ended.said.begin(), ended.said.end(), '\n'), 9) << ended.said;
}

TEST(Sandbox, ItsOwnWorkGoesOn) {
  const Ended ended = in_sandbox({}, [] {
    if (::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0) return 2;
    if (::open("/proc/self/stat", O_RDONLY | O_CLOEXEC) < 0) return 3;
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK) != 0) return 4;
    void* const block = std::malloc(std::size_t{8} << 20);
    if (block == nullptr) return 5;
    std::free(block);
    return 0;
  });
  if (impossible(ended)) return;
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.said, "");
}

TEST(Sandbox, AFailedCheckStillEndsTheProcess) {
  const Ended ended = in_sandbox({}, [] {
    std::abort();
    return 0;
  });
  if (impossible(ended)) return;
  EXPECT_EQ(ended.status, 1000 + SIGABRT);
}

TEST(Sandbox, ALineTellsOfEachCall) {
  const Ended plain = in_sandbox({}, [] { return start_a_program() + start_a_program(); });
  if (impossible(plain)) return;
  EXPECT_EQ(plain.status, 0);
  EXPECT_EQ(plain.said.find("[     "), 0U) << plain.said;
  const std::string call = std::to_string(__NR_execve);
  EXPECT_NE(
      plain.said.find("ERROR ThreadId(00) linkerd: a system call was refused call=" + call + "\n"),
      std::string::npos)
      << plain.said;

  const Ended json = in_sandbox({.json = true}, start_a_program);
  EXPECT_EQ(json.said.find(R"({"timestamp":"20)"), 0U) << json.said;
  EXPECT_NE(
      json.said.find(R"("fields":{"message":"a system call was refused","call":)" + call + "}"),
      std::string::npos)
      << json.said;
  EXPECT_EQ(json.said.substr(json.said.size() - 2), "}\n");

  EXPECT_EQ(in_sandbox({.off = true}, start_a_program).said, "");
}

}  // namespace
}  // namespace tulle::sandbox
