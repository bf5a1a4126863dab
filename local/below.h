// SPDX-License-Identifier: Apache-2.0
// Paths that a manifest names, resolved below a folder as if it were the root of everything:
// neither
// "..", nor a link that an image or an application has made, nor the links of /proc (/proc/1/root)
// lead out of it. The kernel resolves (openat2), so that nothing can change in between. What is
// missing on the way is made, in the folder that was reached and nowhere else.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "lib/net/socket.h"

namespace tulle::local {

// A handle (O_PATH) on a folder that exists, without rules: for the folders of our own.
net::Fd open_folder(const std::string& path);

// The folder, made if it is missing; no descriptor, and errno says why, if it cannot be reached or
// is not one. "" and "/" are the root itself.
net::Fd folder_below(int root, std::string_view path);
// The file, made empty if it is missing.
net::Fd file_below(int root, std::string_view path);
// Whatever is there, a folder if nothing is.
net::Fd anything_below(int root, std::string_view path);
// A folder right under the root that is no link.
net::Fd plain_folder(int root, const std::string& name);

// Writes the whole file or leaves what was there; `owner` is user and group, -1 for our own.
bool write_below(int root, std::string_view path, std::string_view text, mode_t mode = 0644,
                 std::int64_t owner = -1);

// Shows the one where the other is, with all that is mounted there. Fails on what belongs to the
// kernel (/proc, /sys): a mount there would take rules away.
bool bind_to(int source, int target, bool read_only);

}  // namespace tulle::local
