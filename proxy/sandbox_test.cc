// SPDX-License-Identifier: Apache-2.0
#include "proxy/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>

namespace tulle::proxy {
namespace {

struct Ended {
  int status = -1;
  std::string said;
};
constexpr int kUnsupported = 77;

// What a proxy's process can do once it runs: `body` in a child.
template <typename Body>
Ended in_sandbox(bool json, bool off, Body body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const Result<void> entered = enter_sandbox({.fd = ends[1], .json = json, .off = off});
    if (!entered) ::_exit(entered.error().code == Errc::Unsupported ? kUnsupported : 1);
    ::_exit(body());
  }
  ::close(ends[1]);
  Ended ended;
  char block[512];
  for (ssize_t n = 0; (n = ::read(ends[0], block, sizeof block)) > 0;)
    ended.said.append(block, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  return ended;
}

// Sanitizers and emulators cannot have it, and it must say so.
bool impossible(const Ended& ended) {
  if (!kSanitized && std::getenv("TULLE_EMULATED") == nullptr) return false;
  return ended.status == kUnsupported;
}

bool refused(long result) { return result == -1 && errno == EPERM; }

int start_a_program() {
  char name[] = "/bin/true";
  char* const arguments[] = {name, nullptr};
  return refused(::syscall(__NR_execve, name, arguments, nullptr)) ? 0 : 1;
}

TEST(Sandbox, AProxyStartsNothingAndWritesNothing) {
  const Ended ended = in_sandbox(false, false, [] {
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
  const Ended ended = in_sandbox(false, false, [] {
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
  const Ended ended = in_sandbox(false, false, [] {
    std::abort();
    return 0;
  });
  if (impossible(ended)) return;
  EXPECT_EQ(ended.status, 1000 + SIGABRT);
}

TEST(Sandbox, ALineTellsOfEachCall) {
  const Ended plain =
      in_sandbox(false, false, [] { return start_a_program() + start_a_program(); });
  if (impossible(plain)) return;
  EXPECT_EQ(plain.status, 0);
  EXPECT_EQ(plain.said.find("[     "), 0U) << plain.said;
  const std::string call = std::to_string(__NR_execve);
  EXPECT_NE(
      plain.said.find("ERROR ThreadId(00) linkerd: a system call was refused call=" + call + "\n"),
      std::string::npos)
      << plain.said;

  const Ended json = in_sandbox(true, false, start_a_program);
  EXPECT_EQ(json.said.find(R"({"timestamp":"20)"), 0U) << json.said;
  EXPECT_NE(
      json.said.find(R"("fields":{"message":"a system call was refused","call":)" + call + "}"),
      std::string::npos)
      << json.said;
  EXPECT_EQ(json.said.substr(json.said.size() - 2), "}\n");

  EXPECT_EQ(in_sandbox(false, true, start_a_program).said, "");
}

}  // namespace
}  // namespace tulle::proxy
