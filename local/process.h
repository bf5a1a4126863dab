// SPDX-License-Identifier: Apache-2.0
// Short-lived helper programs (ip, nft, apt-get, tar): run, feed, collect. They are run with a
// clean set of descriptors and never through a shell. Also small file helpers of the runtime.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/net/socket.h"

namespace tulle::local {

struct Ran {
  int status = -1;     // exit status; 127 if it could not be started, 128 + n if signal n ended it
  std::string output;  // standard output
  std::string errors;  // standard error
  bool ok() const noexcept { return status == 0; }
};

struct RunOptions {
  std::string_view input;
  int netns = -1;                             // a network namespace to run in
  std::string dir;                            // the working directory; "": ours
  std::size_t most = std::size_t{64} * 1024;  // kept of each output; the rest is read and dropped
  std::chrono::milliseconds limit{0};         // then it is killed (status 137); 0: no limit
};
// Blocks until the program has ended.
Ran run_program(const std::vector<std::string>& argv, const RunOptions& options = {});

// Closes every descriptor from `first` up, but for `keep`. For children before exec.
void close_descriptors(int first, const std::vector<int>& keep = {});

// When the process was started, in clock ticks since boot; 0 if there is none. With its pid this
// names a process for good.
std::uint64_t start_time(pid_t pid);

bool read_file(const std::string& path, std::string& into);
// Writes all of it, however the kernel cuts it.
bool write_all(int fd, std::string_view text);
// Writes a new file and moves it into place, so that readers see the old or the new one, whole.
bool replace_file(const std::string& path, std::string_view text, mode_t mode = 0644);
bool make_folders(const std::string& path, mode_t mode = 0755);
// Removes a folder and everything in it, without following links or crossing into mounts.
bool remove_tree(const std::string& path);

}  // namespace tulle::local
