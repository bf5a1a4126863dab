// SPDX-License-Identifier: Apache-2.0
// Files that a command line names.
#pragma once

#include <cstddef>
#include <string>

namespace tulle::cli {

// What one file may hold, in bytes: as much as one of the folder that the control plane reads.
inline constexpr std::size_t kMaxGivenFile = std::size_t{16} * 1024 * 1024;

// Reads a whole file, or standard input for "-". Waits for nobody but the writers of standard input
// and of descriptors that the shell has opened (/dev/fd/N): pipes with a name and devices are
// errors, as is a file of more than kMaxGivenFile. "" or what is wrong, with the name.
std::string read_given(const std::string& name, std::string& into);

}  // namespace tulle::cli
