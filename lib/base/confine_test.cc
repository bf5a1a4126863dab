// SPDX-License-Identifier: Apache-2.0
#include "lib/base/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

namespace tulle {
namespace {

// The runtime of the thread sanitizer makes more calls of its own than are worth naming.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TULLE_NO_FILTER 1
#endif
#endif
#ifndef TULLE_NO_FILTER

using If = AllowedCall::If;

constexpr AllowedCall kCalls[] = {
    {__NR_write},
    {__NR_exit_group},
    {__NR_rt_sigreturn},
    {__NR_close},
    {__NR_futex},
    {__NR_socket, If::ArgumentIs, 0, AF_INET},
    {__NR_socket, If::ArgumentIs, 0, AF_INET6},
    {__NR_openat, If::ArgumentLacks, 2, O_ACCMODE | O_CREAT},
    {__NR_mprotect, If::ArgumentLacks, 2, PROT_EXEC},
    // What the runtime of sanitizers does meanwhile and at the end.
    {__NR_mmap},
    {__NR_munmap},
    {__NR_madvise},
    {__NR_sigaltstack},
    {__NR_sched_yield},
    {__NR_rt_sigprocmask},
    {__NR_exit},
    {__NR_read},
    {__NR_getpid},
    {__NR_gettid},
    {__NR_prctl},
    {__NR_tgkill},
    {__NR_rt_sigaction},
    {__NR_readlinkat},
    {__NR_prlimit64},
    {__NR_clock_gettime},
};

int told_at = -1;
void tell(int number) noexcept {
  char text[8] = {};
  int at = sizeof text;
  text[--at] = ' ';
  for (; number > 0; number /= 10) text[--at] = static_cast<char>('0' + number % 10);
  [[maybe_unused]] const ssize_t n =
      ::write(told_at, text + at, sizeof text - static_cast<std::size_t>(at));
}
std::string numbers(std::initializer_list<int> calls) {
  std::string text;
  for (const int call : calls) text += std::to_string(call) + " ";
  return text;
}

struct Ended {
  int status;
  std::string told;
};
constexpr int kUnsupported = 77;

// Runs `body` in a child that has limited itself; what it returns is its exit status.
template <typename Body>
Ended in_sandbox(Body body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    told_at = ends[1];
    if (const Result<void> done = confine(kCalls, tell); !done) ::_exit(kUnsupported);
    ::_exit(body());
  }
  ::close(ends[1]);
  Ended ended{-1, {}};
  char letter = 0;
  while (::read(ends[0], &letter, 1) == 1) ended.told += letter;
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  return ended;
}

bool refused(long result) { return result == -1 && errno == EPERM; }

// Emulators have no filters; confine() says so there, which is what a program is told.
#define SUPPORTED(ended) \
  if ((ended).status == kUnsupported && std::getenv("TULLE_EMULATED")) return (void)0

TEST(Confine, WhatIsNotAllowedFailsAndIsToldOnce) {
  const Ended ended = in_sandbox([] {
    for (int i = 0; i < 3; ++i) {
      if (!refused(::syscall(__NR_getppid))) return 1;
    }
    char name[] = "/bin/true";
    char* const arguments[] = {name, nullptr};
    if (!refused(::syscall(__NR_execve, name, arguments, nullptr))) return 2;
    return 0;
  });
  SUPPORTED(ended);
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.told, numbers({__NR_getppid, __NR_execve}));
}

TEST(Confine, ArgumentsDecideWhereTheyAreNamed) {
  const Ended ended = in_sandbox([] {
    if (::syscall(__NR_socket, AF_INET, SOCK_STREAM, 0) < 0) return 1;
    if (::syscall(__NR_socket, AF_INET6, SOCK_STREAM, 0) < 0 && errno != EAFNOSUPPORT) return 2;
    if (!refused(::syscall(__NR_socket, AF_UNIX, SOCK_STREAM, 0))) return 3;
    if (!refused(::syscall(__NR_socket, AF_NETLINK, SOCK_RAW, 0))) return 4;
    if (::syscall(__NR_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY, 0) < 0) return 5;
    if (!refused(::syscall(__NR_openat, AT_FDCWD, "/dev/null", O_WRONLY, 0))) return 6;
    if (!refused(::syscall(__NR_openat, AT_FDCWD, "/dev/null", O_RDWR, 0))) return 7;
    if (!refused(::syscall(__NR_openat, AT_FDCWD, "/tmp/x", O_RDONLY | O_CREAT, 0))) return 8;
    if (!refused(::syscall(__NR_mprotect, 0, 0, PROT_READ | PROT_EXEC))) return 9;
    if (refused(::syscall(__NR_mprotect, 0, 0, PROT_READ))) return 10;
    return 0;
  });
  SUPPORTED(ended);
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.told, numbers({__NR_socket, __NR_openat, __NR_mprotect}));
}

TEST(Confine, HoldsForThreadsThatRunAlready) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    told_at = ends[1];
    static std::atomic<int> stage{0};
    std::thread other([] {
      stage.store(1);
      while (stage.load() != 2) std::this_thread::yield();
      ::_exit(refused(::syscall(__NR_getppid)) ? 0 : 1);
    });
    while (stage.load() != 1) std::this_thread::yield();
    if (!confine(kCalls, tell)) ::_exit(kUnsupported);
    stage.store(2);
    for (;;) std::this_thread::yield();
  }
  ::close(ends[1]);
  ::close(ends[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kUnsupported && std::getenv("TULLE_EMULATED")) return;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

#endif

TEST(Confine, TooManyRulesChangeNothing) {
  const std::vector<AllowedCall> many(201, AllowedCall{__NR_write});
  const Result<void> done = confine(many, nullptr);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::TooLarge);
}

}  // namespace
}  // namespace tulle
