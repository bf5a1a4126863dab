// SPDX-License-Identifier: Apache-2.0
#include "local/child.h"

#include <sys/wait.h>

namespace tulle::local {
namespace {

// A descriptor on the loop for as long as somebody waits for it.
struct Watched {
  Watched(net::Loop& on, int what) : loop(on), fd(what), ok(on.watch(what, io).has_value()) {}
  ~Watched() {
    if (ok) loop.forget(fd, io);
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  net::Loop& loop;
  int fd;
  net::IoState io;
  bool ok;
};

}  // namespace

net::Task<std::optional<int>> wait_for_child(net::Loop& loop, pid_t pid, int pidfd, Deadline by) {
  Watched watched(loop, pidfd);
  for (;;) {
    watched.io.readable = false;  // before looking, so that an end in between is not missed
    int status = 0;
    const pid_t ended = ::waitpid(pid, &status, WNOHANG);
    if (ended != 0) {
      if (ended < 0) co_return 255;
      co_return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    const bool in_time = co_await net::readable(watched.io, by);
    if (!in_time) co_return std::nullopt;
  }
}

}  // namespace tulle::local
