// SPDX-License-Identifier: Apache-2.0
// The system calls that a running proxy makes, and no other: see lib/base/confine.h.
#pragma once

#include "lib/base/result.h"

namespace tulle::proxy {

struct SandboxLog {
  int fd = 1;         // where a refused call is told, one line for each call
  bool json = false;  // as log::Sink writes it
  bool off = false;   // tell nothing
};

// Once all threads run and all ports are open. Not in builds with sanitizers, whose runtime makes
// calls of its own: Unsupported.
Result<void> enter_sandbox(const SandboxLog& log);

}  // namespace tulle::proxy
