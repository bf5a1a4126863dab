// SPDX-License-Identifier: Apache-2.0
#include "lib/base/confine.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <vector>

namespace tulle {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "no filter of system calls for this architecture"
#endif

constexpr int kByFilter = 1;  // SYS_SECCOMP, which the C library does not name
constexpr std::size_t kMaxRules = 200;
constexpr unsigned kNumbers = 512;  // calls that are told apart; no kernel has more yet

std::atomic<TellRefused> tell_refused{nullptr};
std::array<std::atomic<bool>, kNumbers> told;

void fail_with_eperm(void* context) noexcept {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  registers.gregs[REG_RAX] = -EPERM;
#else
  registers.regs[0] = static_cast<unsigned long long>(-EPERM);
#endif
}

void on_refused(int, siginfo_t* info, void* context) {
  if (info->si_code != kByFilter) return;
  const int saved = errno;
  fail_with_eperm(context);
  const auto number = static_cast<unsigned>(info->si_syscall);
  const unsigned slot = number < kNumbers ? number : kNumbers - 1;
  const TellRefused tell = tell_refused.load(std::memory_order_acquire);
  if (tell != nullptr && !told[slot].exchange(true, std::memory_order_relaxed)) {
    tell(info->si_syscall);
  }
  errno = saved;
}

class Program {
 public:
  Program() {
    load(offsetof(seccomp_data, arch));
    // Calls of another architecture's ABI have other numbers: none is allowed.
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
    end(SECCOMP_RET_TRAP);
    load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
    // The x32 ABI has calls of its own behind the same architecture.
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000U, 0, 1));
    end(SECCOMP_RET_TRAP);
#endif
  }
  void allow(const AllowedCall& rule) {
    const auto number = static_cast<std::uint32_t>(rule.number);
    if (rule.when == AllowedCall::If::Always) {
      code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
      end(SECCOMP_RET_ALLOW);
      return;
    }
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
    // Both architectures are little-endian: the lower half of an argument comes first.
    load(static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8U * rule.argument));
    if (rule.when == AllowedCall::If::ArgumentIs) {
      code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule.value, 0, 1));
    } else {
      code_.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, rule.value, 1, 0));
    }
    end(SECCOMP_RET_ALLOW);
    load(offsetof(seccomp_data, nr));
  }
  sock_fprog finish() {
    end(SECCOMP_RET_TRAP);
    return {static_cast<unsigned short>(code_.size()), code_.data()};
  }

 private:
  void load(std::uint32_t offset) { code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)); }
  void end(std::uint32_t action) { code_.push_back(BPF_STMT(BPF_RET | BPF_K, action)); }
  std::vector<sock_filter> code_;
};

// 0 or an errno.
int install(const sock_fprog& program) {
  // Nothing in this process runs foreign code, so the mitigation for such that some kernels tie to
  // a filter is not wanted: it slows down everything.
  unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  long done = ::syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (done < 0 && errno == EINVAL) {  // before Linux 4.17
    flags = SECCOMP_FILTER_FLAG_TSYNC;
    done = ::syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  }
  if (done < 0) return errno;
  return done == 0 ? 0 : ESRCH;  // else the thread that could not take it
}

}  // namespace

Result<void> confine(std::span<const AllowedCall> allowed, TellRefused tell) {
  if (allowed.size() > kMaxRules) return Error{Errc::TooLarge, "limit system calls"};
  struct sigaction action = {};
  action.sa_sigaction = on_refused;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  tell_refused.store(tell, std::memory_order_release);
  if (::sigaction(SIGSYS, &action, nullptr) != 0)
    return Error{Errc::Io, "handle refused system calls", errno};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return Error{Errc::Unsupported, "give up new privileges", errno};
  Program program;
  for (const AllowedCall& rule : allowed) program.allow(rule);
  const sock_fprog code = program.finish();
  if (const int failed = install(code); failed != 0)
    return Error{Errc::Unsupported, "limit system calls", failed};
  return {};
}

}  // namespace tulle
