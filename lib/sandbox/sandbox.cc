// SPDX-License-Identifier: Apache-2.0
#include "lib/sandbox/sandbox.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>

#include "lib/base/time.h"

namespace tulle::sandbox {
namespace {

using If = AllowedCall::If;
constexpr std::uint32_t kWriting = O_ACCMODE | O_CREAT | O_TRUNC;

// Those of each request first. What is missing on purpose: execve, fork and new threads, files that
// are written, memory that is executed, sockets of other families, tracing, signals to others,
// mounts, keys, io_uring.
constexpr AllowedCall kCalls[] = {
    {__NR_read},
    {__NR_write},
    {__NR_readv},
    {__NR_writev},
    {__NR_recvfrom},
    {__NR_sendto},
    {__NR_recvmsg},
    {__NR_sendmsg},
    {__NR_epoll_pwait},
    {__NR_epoll_ctl},
    {__NR_splice},
    {__NR_futex},
    {__NR_close},
    {__NR_accept4},
#ifdef __NR_epoll_wait
    {__NR_epoll_wait},
#endif
    {__NR_epoll_pwait2},
    {__NR_clock_gettime},
    {__NR_restart_syscall},
    // Connections.
    {__NR_socket, If::ArgumentIs, 0, AF_INET},
    {__NR_socket, If::ArgumentIs, 0, AF_INET6},
    {__NR_connect},
    {__NR_bind},
    {__NR_listen},
    {__NR_shutdown},
    {__NR_getsockname},
    {__NR_getpeername},
    {__NR_setsockopt},
    {__NR_getsockopt},
    {__NR_pipe2},
    {__NR_fcntl},
    {__NR_eventfd2},
    {__NR_epoll_create1},
    {__NR_ppoll},  // the log asks whether it may write
#ifdef __NR_poll
    {__NR_poll},
#endif
    // Memory: malloc and stacks, nothing that is executed.
    {__NR_mmap, If::ArgumentLacks, 2, PROT_EXEC},
    {__NR_mprotect, If::ArgumentLacks, 2, PROT_EXEC},
    {__NR_munmap},
    {__NR_mremap},
    {__NR_madvise},
    {__NR_brk},
    // Files that are read: tokens, /proc, the cgroup, resolv.conf and hosts.
    {__NR_openat, If::ArgumentLacks, 2, kWriting},
#ifdef __NR_open
    {__NR_open, If::ArgumentLacks, 1, kWriting},
#endif
#ifdef __NR_stat
    {__NR_stat},
    {__NR_lstat},
#endif
    {__NR_newfstatat},
    {__NR_fstat},
    {__NR_statx},
    {__NR_lseek},
    {__NR_pread64},
    {__NR_getdents64},
    // About itself.
    {__NR_getpid},
    {__NR_gettid},
    {__NR_getuid},
    {__NR_geteuid},
    {__NR_getgid},
    {__NR_getegid},
    {__NR_getrusage},
    {__NR_prlimit64, If::ArgumentIs, 2, 0},
    {__NR_sched_getaffinity},
    {__NR_sched_yield},
    {__NR_sysinfo},
    {__NR_uname},
    {__NR_getcpu},
    {__NR_getrandom},
    {__NR_clock_getres},
    {__NR_clock_nanosleep},
    {__NR_nanosleep},
    {__NR_gettimeofday},
    // The end: a thread's, the process's, abort.
    {__NR_rt_sigprocmask},
    {__NR_rt_sigreturn},
    {__NR_sigaltstack},
    {__NR_membarrier},
    {__NR_rseq},
    {__NR_set_robust_list},
    {__NR_exit},
    {__NR_exit_group},
};

Options told;
constexpr std::size_t kMostOthers = 32;
TimePoint started;

// Fixed room, no allocation: the refused call may have been malloc's.
class Line {
 public:
  void add(std::string_view text) {
    const std::size_t size = std::min(text.size(), text_.size() - size_);
    std::memcpy(text_.data() + size_, text.data(), size);
    size_ += size;
  }
  void add(std::uint64_t value, std::size_t width = 0, char fill = '0') {
    char digits[24];
    const auto [end, ec] = std::to_chars(digits, digits + sizeof digits, value);
    const auto size = static_cast<std::size_t>(end - digits);
    for (std::size_t i = size; i < width; ++i) add({&fill, 1});
    add({digits, size});
  }
  void write_to(int fd) const {
    [[maybe_unused]] const ssize_t n = ::write(fd, text_.data(), size_);
  }

 private:
  std::array<char, 256> text_;
  std::size_t size_ = 0;
};

void add_wall_clock(Line& line) {
  const WallTime now = wall_now();
  const auto day = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(day);
  const auto us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now - day).count());
  const std::uint64_t seconds = us / 1'000'000;
  line.add(static_cast<std::uint64_t>(static_cast<int>(date.year())), 4);
  line.add("-");
  line.add(static_cast<unsigned>(date.month()), 2);
  line.add("-");
  line.add(static_cast<unsigned>(date.day()), 2);
  line.add("T");
  line.add(seconds / 3600, 2);
  line.add(":");
  line.add(seconds / 60 % 60, 2);
  line.add(":");
  line.add(seconds % 60, 2);
  line.add(".");
  line.add(us % 1'000'000, 6);
  line.add("Z");
}

void tell(int number) noexcept {
  if (told.off) return;
  Line line;
  if (told.json) {
    line.add(R"x({"timestamp":")x");
    add_wall_clock(line);
    line.add(R"x(","level":"ERROR","fields":{"message":"a system call was refused","call":)x");
    line.add(static_cast<unsigned>(number));
    line.add(R"x(},"target":")x");
    line.add(told.target);
    line.add(R"x(","spans":[],"threadId":"ThreadId(0)"})x");
  } else {
    const auto us =
        static_cast<std::uint64_t>((monotonic_now() - started) / std::chrono::microseconds(1));
    line.add("[");
    line.add(us / 1'000'000, 6, ' ');
    line.add(".");
    line.add(us % 1'000'000, 6);
    line.add("s] ERROR ThreadId(00) ");
    line.add(told.target);
    line.add(": a system call was refused call=");
    line.add(static_cast<unsigned>(number));
  }
  line.add("\n");
  line.write_to(told.fd);
}

}  // namespace

Result<void> enter(const Options& options) {
  if (kSanitized) return Error{Errc::Unsupported, "a build with sanitizers"};
  if (options.also.size() > kMostOthers) return Error{Errc::TooLarge, "limit system calls"};
  told = options;
  started = monotonic_now();
  constexpr std::size_t kCount = std::size(kCalls);
  std::array<AllowedCall, kCount + 1 + kMostOthers> calls{};
  std::copy(std::begin(kCalls), std::end(kCalls), calls.begin());
  // Signals to itself only: abort().
  calls[kCount] = {__NR_tgkill, If::ArgumentIs, 0, static_cast<std::uint32_t>(::getpid())};
  std::copy(options.also.begin(), options.also.end(), calls.begin() + kCount + 1);
  return confine(std::span(calls).first(kCount + 1 + options.also.size()), tell);
}

void limit_system_calls(const Options& options, const log::Logger& log) {
  const char* const wanted = std::getenv("TULLE_SANDBOX");
  if (wanted != nullptr && std::string_view(wanted) == "off") {
    log.warn("system calls are not limited", {{"reason", "TULLE_SANDBOX=off"}});
    return;
  }
  const Result<void> limited = enter(options);
  if (limited) {
    log.debug("system calls are limited to what the program needs");
    return;
  }
  log.warn("system calls are not limited",
           {{"reason", limited.error().where}, {"errno", limited.error().os_errno}});
}

}  // namespace tulle::sandbox
