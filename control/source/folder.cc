// SPDX-License-Identifier: Apache-2.0
#include "control/source/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "lib/base/text.h"

namespace tulle::control {
namespace {

constexpr Duration kLookAgain = 30s;
constexpr Duration kFolderGone = 1s;
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                  IN_CREATE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                  IN_ONLYDIR;

bool is_manifest(std::string_view name) {
  if (name.starts_with('.')) return false;
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
}

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// The whole file, at most one byte more than a manifest may have (the parser then refuses it).
Result<std::string> read_file(const std::string& path) {
  const net::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return Error{Errc::Io, "open", errno};
  std::string text;
  std::array<char, 65536> block;
  while (text.size() <= k8s::kMaxDocumentBytes) {
    const ssize_t n = ::read(fd.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error{Errc::Io, "read", errno};
    if (n == 0) break;
    text.append(block.data(), static_cast<std::size_t>(n));
  }
  return text;
}

}  // namespace

FolderSource::FolderSource(net::Loop& loop, Index& index, const log::Logger& log, std::string path)
    : loop_(loop), index_(index), log_(log), path_(std::move(path)), files_(index, log) {
  while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
}

FolderSource::~FolderSource() {
  if (inotify_) loop_.forget(inotify_.get(), io_);
}

Result<void> FolderSource::start() {
  inotify_ = net::Fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify_) return Error{Errc::Io, "inotify_init1", errno};
  if (auto watched = loop_.watch(inotify_.get(), io_); !watched) {
    inotify_ = net::Fd();
    return watched;
  }
  // Watch first, then look: what changes in between is seen twice rather than not at all.
  if (!open_watch()) return Error{Errc::Io, "watch the folder of manifests", errno};
  scan();
  return {};
}

bool FolderSource::open_watch() {
  watch_ = ::inotify_add_watch(inotify_.get(), path_.c_str(), kEvents);
  return watch_ >= 0;
}

net::Task<void> FolderSource::run() {
  for (;;) {
    const Duration pause = watch_ < 0 ? kFolderGone : kLookAgain;
    const bool told = co_await net::readable(io_, loop_.after(pause));
    if (watch_ < 0 && !open_watch()) {
      if (told) io_.readable = false;
      continue;
    }
    std::set<std::string> names;
    const bool everything = take_events(names) || !told;
    if (everything) scan();
    load(std::move(names));
  }
}

bool FolderSource::take_events(std::set<std::string>& names) {
  alignas(inotify_event) std::array<char, 16384> block;
  bool everything = false;
  for (;;) {
    const ssize_t n = ::read(inotify_.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      io_.readable = false;
      return everything;
    }
    for (ssize_t at = 0; at < n;) {
      inotify_event event;
      std::memcpy(&event, block.data() + at, sizeof event);
      const char* const raw = block.data() + at + sizeof event;
      const std::string name(raw, ::strnlen(raw, event.len));
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) everything = true;
      if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0 && event.wd == watch_) {
        if ((event.mask & IN_MOVE_SELF) != 0) ::inotify_rm_watch(inotify_.get(), watch_);
        watch_ = -1;
        log_.error("the folder of manifests is gone; its last state stays", {{"folder", path_}});
        return false;
      }
      // "..data" of a mounted volume: all of its files have moved at once.
      if (name.starts_with("..")) everything = true;
      if (!is_manifest(name)) continue;
      if ((event.mask & IN_CREATE) != 0) {
        // A plain new file is read when its writer closes it; a link is whole at once.
        struct stat info {};
        const bool there = ::lstat(concat(path_, "/", name).c_str(), &info) == 0;
        if (there && S_ISREG(info.st_mode) && info.st_nlink == 1) continue;
      }
      // A change of permissions matters only to a file that could not be read.
      if ((event.mask & IN_ATTRIB) != 0 && files_.broken() == 0) continue;
      names.insert(name);
    }
  }
}

void FolderSource::scan() {
  DIR* const folder = ::opendir(path_.c_str());
  if (folder == nullptr) return;  // the last state stays
  std::set<std::string> present;
  while (const dirent* const entry = ::readdir(folder)) {
    const std::string name(entry->d_name);
    if (is_manifest(name)) present.insert(name);
  }
  ::closedir(folder);
  std::set<std::string> names;
  for (const std::string& name : files_.names()) {
    if (!present.contains(name)) names.insert(name);
  }
  for (const std::string& name : present) {
    struct stat info {};
    if (::stat(concat(path_, "/", name).c_str(), &info) != 0) {
      names.insert(name);
      continue;
    }
    const Stamp stamp{info.st_ino, info.st_size, nanoseconds(info.st_mtim),
                      nanoseconds(info.st_ctim)};
    const auto known = stamps_.find(name);
    if (known == stamps_.end() || known->second != stamp) names.insert(name);
  }
  load(std::move(names));
}

void FolderSource::load(std::set<std::string> names) {
  if (names.empty()) return;
  index_.begin_batch();
  // A file that goes may leave objects to others; nobody is asked more often than there are files.
  for (std::size_t rounds = 0; !names.empty() && rounds <= files_.size() + 1; ++rounds) {
    std::set<std::string> again;
    for (const std::string& name : names) load_one(name, again);
    names = std::move(again);
  }
  index_.end_batch();
}

void FolderSource::load_one(const std::string& name, std::set<std::string>& again) {
  const std::string path = concat(path_, "/", name);
  struct stat info {};
  std::set<std::string> others;
  const int failed = ::stat(path.c_str(), &info) != 0 ? errno : 0;
  struct stat link {};
  const bool gone = (failed == ENOENT || failed == ENOTDIR) && ::lstat(path.c_str(), &link) != 0;
  if (gone) {
    stamps_.erase(name);
    if (files_.knows(name)) others = files_.remove(name);
  } else if (failed != 0) {  // also a link to nothing or to itself
    stamps_.erase(name);
    return files_.unreadable(name, std::strerror(failed));
  } else if (!S_ISREG(info.st_mode)) {
    stamps_.erase(name);
    return files_.unreadable(name, "is not a file");
  } else {
    stamps_[name] = {info.st_ino, info.st_size, nanoseconds(info.st_mtim),
                     nanoseconds(info.st_ctim)};
    const auto text = read_file(path);
    if (!text) {
      stamps_.erase(name);  // to try again at every look
      return files_.unreadable(name, std::strerror(text.error().os_errno));
    }
    others = files_.update(name, *text);
  }
  again.insert(others.begin(), others.end());
}

}  // namespace tulle::control
