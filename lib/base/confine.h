// SPDX-License-Identifier: Apache-2.0
// A process limits itself to the system calls that it needs (seccomp(2)): whoever took it over can
// start nothing, load no code and reach nothing beyond what the program itself does. Every other
// call fails with EPERM and is told once for each call.
#pragma once

#include <cstdint>
#include <span>

#include "lib/base/result.h"

namespace tulle {

// A system call that stays allowed. Several rules for one call: any of them suffices.
struct AllowedCall {
  enum class If : std::uint8_t {
    Always,
    ArgumentIs,     // the argument's lower half equals `value`
    ArgumentLacks,  // the argument has none of the bits of `value`
  };
  int number;  // __NR_…
  If when = If::Always;
  std::uint8_t argument = 0;  // 0 to 5
  std::uint32_t value = 0;
};

// Called in the thread whose call was refused, in a signal handler, once for each number and
// process: it must be async-signal-safe and make allowed calls only.
using TellRefused = void (*)(int number) noexcept;

// From here on, for all threads of the process and for ever. At most 200 rules; those that run most
// often first. Calls made while SIGSYS is blocked or ignored end the process instead of failing.
// Fails, and changes nothing that matters, where the kernel (or an emulator) has no such filter:
// Unsupported or Io.
Result<void> confine(std::span<const AllowedCall> allowed, TellRefused tell);

}  // namespace tulle
