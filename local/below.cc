// SPDX-License-Identifier: Apache-2.0
#include "local/below.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "lib/base/text.h"
#include "local/process.h"

namespace tulle::local {
namespace {

net::Fd open_below(int root, const std::string& path, int flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  return net::Fd(static_cast<int>(
      ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how)));
}

net::Fd reach(int root, const std::string& path, bool folder) {
  return open_below(root, path, O_PATH | (folder ? O_DIRECTORY : 0), RESOLVE_IN_ROOT);
}

// The folder a path is in, and its last name.
std::pair<std::string_view, std::string> parted(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", std::string(path)};
  return {path.substr(0, slash), std::string(path.substr(slash + 1))};
}

bool is_name(std::string_view name) { return !name.empty() && name != "." && name != ".."; }

bool is_the_kernels(int fd) {
  struct statfs info {};
  if (::fstatfs(fd, &info) != 0) return true;
  return info.f_type == PROC_SUPER_MAGIC || info.f_type == SYSFS_MAGIC;
}

}  // namespace

net::Fd open_folder(const std::string& path) {
  return net::Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

net::Fd folder_below(int root, std::string_view path) {
  std::string reached;
  net::Fd at = reach(root, reached, true);
  for (const std::string_view name : split(path, '/')) {
    if (!at) break;
    if (name.empty() || name == ".") continue;
    reached += concat("/", name);
    net::Fd next = reach(root, reached, true);
    if (!next && errno == ENOENT && is_name(name)) {
      if (::mkdirat(at.get(), std::string(name).c_str(), 0755) != 0) return {};
      next = reach(root, reached, true);
    }
    at = std::move(next);
  }
  return at;
}

net::Fd file_below(int root, std::string_view path) {
  const auto [folder, name] = parted(path);
  net::Fd there = reach(root, std::string(path), false);
  if (there || errno != ENOENT || !is_name(name)) return there;
  const net::Fd in = folder_below(root, folder);
  if (!in) return {};
  const net::Fd made(
      ::openat(in.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!made) return {};
  return reach(root, std::string(path), false);
}

net::Fd anything_below(int root, std::string_view path) {
  net::Fd there = reach(root, std::string(path), false);
  return there || errno != ENOENT ? std::move(there) : folder_below(root, path);
}

net::Fd plain_folder(int root, const std::string& name) {
  if (::mkdirat(root, name.c_str(), 0755) != 0 && errno != EEXIST) return {};
  return open_below(root, name, O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

bool write_below(int root, std::string_view path, std::string_view text, mode_t mode,
                 std::int64_t owner) {
  const auto [folder, name] = parted(path);
  if (!is_name(name)) return false;
  const net::Fd in = folder_below(root, folder);
  if (!in) return false;
  // Hidden until it is complete: nobody who reads the folder takes it for the real one.
  const std::string fresh = concat(".", name, ".new");
  ::unlinkat(in.get(), fresh.c_str(), 0);
  const net::Fd fd(::openat(in.get(), fresh.c_str(),
                            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return false;
  ::fchmod(fd.get(), mode);
  if (!write_all(fd.get(), text)) return false;
  const auto user = static_cast<uid_t>(owner);
  if (owner >= 0 && ::fchown(fd.get(), user, static_cast<gid_t>(user)) != 0) return false;
  return ::renameat(in.get(), fresh.c_str(), in.get(), name.c_str()) == 0;
}

bool bind_to(int source, int target, bool read_only) {
  if (is_the_kernels(target)) {
    errno = EPERM;
    return false;
  }
  const net::Fd tree(static_cast<int>(
      ::syscall(SYS_open_tree, source, "",
                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE)));
  if (!tree) return false;
  if (read_only) {
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
    if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                  sizeof attributes) != 0)
      return false;
  }
  return ::syscall(SYS_move_mount, tree.get(), "", target, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
}

}  // namespace tulle::local
