// SPDX-License-Identifier: Apache-2.0
// For tests: what a process can do behind a filter.
#pragma once

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "lib/sandbox/sandbox.h"

namespace tulle::sandbox {

struct Ended {
  int status = -1;
  std::string said;
};
inline constexpr int kUnsupported = 77;

// What a process can do once it runs: `body` in a child, whose log is in what it said.
template <typename Body>
Ended in_sandbox(Options options, Body body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    options.fd = ends[1];
    const Result<void> entered = enter(options);
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
inline bool impossible(const Ended& ended) {
  if (!kSanitized && std::getenv("TULLE_EMULATED") == nullptr) return false;
  return ended.status == kUnsupported;
}

inline bool refused(long result) { return result == -1 && errno == EPERM; }

// 0: refused.
inline int start_a_program() {
  char name[] = "/bin/true";
  char* const arguments[] = {name, nullptr};
  return refused(::syscall(__NR_execve, name, arguments, nullptr)) ? 0 : 1;
}

}  // namespace tulle::sandbox
