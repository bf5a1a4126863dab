// SPDX-License-Identifier: Apache-2.0
#include "proxy/process/application_sockets.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "lib/base/text.h"
#include "lib/net/socket.h"

namespace tulle::proxy {
namespace {

// Fields of a line, separated by any number of spaces (proc_net_tcp): sl local remote st queues
// timer retransmits uid timeout inode …
constexpr int kUid = 7;
constexpr int kInode = 9;

bool is_foreign(std::string_view line, uid_t own) {
  std::optional<std::uint64_t> uid;
  for (int field = 0; field <= kInode; ++field) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin == std::string_view::npos) return false;
    line.remove_prefix(begin);
    const std::string_view text = line.substr(0, line.find(' '));
    line.remove_prefix(text.size());
    if (field == kUid) uid = parse_number<std::uint64_t>(text);
    if (field == kInode) return uid && *uid != own && text != "0";
  }
  return false;
}

}  // namespace

bool holds_foreign_socket(std::string_view table, uid_t own) {
  table.remove_prefix(std::min(table.find('\n'), table.size()));  // the names of the columns
  while (!table.empty()) {
    table.remove_prefix(1);
    const std::string_view line = table.substr(0, table.find('\n'));
    if (is_foreign(line, own)) return true;
    table.remove_prefix(line.size());
  }
  return false;
}

bool application_has_sockets(const std::string& folder) {
  bool read_any = false;
  for (const std::string_view name : {"tcp", "tcp6", "udp", "udp6"}) {
    const net::Fd fd{::open(concat(folder, "/", name).c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd) continue;  // a kernel without IPv6
    std::string table;
    std::array<char, 16384> block;
    for (;;) {
      const ssize_t n = ::read(fd.get(), block.data(), block.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return true;
      if (n == 0) break;
      table.append(block.data(), static_cast<std::size_t>(n));
    }
    read_any = true;
    if (holds_foreign_socket(table, ::getuid())) return true;
  }
  return !read_any;
}

}  // namespace tulle::proxy
