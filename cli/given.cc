// SPDX-License-Identifier: Apache-2.0
#include "cli/given.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lib/base/text.h"
#include "lib/net/socket.h"

namespace tulle::cli {
namespace {

bool is_open_already(const std::string& name) {
  return name == "/dev/stdin" || name.starts_with("/dev/fd/") || name.starts_with("/proc/self/fd/");
}

std::string take_all(int fd, const std::string& what, std::string& into) {
  char block[16384];
  for (;;) {
    const ssize_t n = ::read(fd, block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return concat(what, " cannot be read: ", std::strerror(errno));
    if (n == 0) return "";
    if (into.size() + static_cast<std::size_t>(n) > kMaxGivenFile)
      return concat(what, " holds more than 16 MiB");
    into.append(block, static_cast<std::size_t>(n));
  }
}

}  // namespace

std::string read_given(const std::string& name, std::string& into) {
  into.clear();
  if (name == "-") return take_all(STDIN_FILENO, "standard input", into);
  const bool waits = is_open_already(name);
  // Opening a pipe with a name would wait for its writer.
  const net::Fd fd(
      ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | (waits ? 0 : O_NONBLOCK)));
  if (!fd) return concat(name, " cannot be read: ", std::strerror(errno));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return concat(name, " cannot be read: ", std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return concat(name, " cannot be read: it is a folder");
  if (!S_ISREG(info.st_mode) && !waits)
    return concat(name, " cannot be read: it is no regular file");
  return take_all(fd.get(), name, into);
}

}  // namespace tulle::cli
