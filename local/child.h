// SPDX-License-Identifier: Apache-2.0
// Waiting, on an event loop, for a child process to end.
#pragma once

#include <sys/types.h>

#include <optional>

#include "lib/net/loop.h"
#include "lib/net/task.h"

namespace tulle::local {

// The exit status (128 + n if signal n ended it), reaped; nullopt when `by` passes first.
net::Task<std::optional<int>> wait_for_child(net::Loop& loop, pid_t pid, int pidfd, Deadline by);

}  // namespace tulle::local
