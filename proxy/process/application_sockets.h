// SPDX-License-Identifier: Apache-2.0
// Has anybody but us a socket in our network namespace? In a pod that is the application.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace tulle::proxy {

// A table of the kernel (/proc/net/tcp and the like): true if a line is of a socket that some
// process holds whose user is not `own`. What the kernel keeps after a process (TIME_WAIT, orphans)
// has no inode and does not count. The user tells the proxy apart: redirection leaves out the
// connections of its user, so no application of a meshed pod can have the same.
bool holds_foreign_socket(std::string_view table, uid_t own);

// TCP and UDP of both families. True, too, if the tables cannot be read: nothing is known then.
// Costs what the kernel needs to write them, about a millisecond for a thousand sockets.
bool application_has_sockets(const std::string& folder = "/proc/self/net");

}  // namespace tulle::proxy
