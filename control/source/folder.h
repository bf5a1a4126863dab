// SPDX-License-Identifier: Apache-2.0
// A folder of manifests as the source of the index: the files *.yaml, *.yml and *.json in it (not
// in folders below, not hidden ones), read once and then whenever inotify tells of a change. A file
// is read when its writer closes it or a new one is moved into its place; files that are links are
// followed, so a mounted ConfigMap works. Where events get lost (queue overflow, a file system
// without them) a look every 30 s finds what changed.
#pragma once

#include <sys/stat.h>

#include <map>
#include <set>
#include <string>

#include "control/source/manifest_files.h"
#include "lib/net/loop.h"
#include "lib/net/socket.h"

namespace tulle::control {

class FolderSource {
 public:
  FolderSource(net::Loop& loop, Index& index, const log::Logger& log, std::string path);
  ~FolderSource();

  // Reads everything and begins to watch. Fails if the folder cannot be opened.
  Result<void> start();
  // Follows changes until it is destroyed.
  net::Task<void> run();

  std::size_t files() const noexcept { return files_.size(); }
  std::size_t broken_files() const noexcept { return files_.broken(); }

 private:
  struct Stamp {
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  // False if the folder is not there.
  bool open_watch();
  void scan();
  void load(std::set<std::string> names);
  void load_one(const std::string& name, std::set<std::string>& again);
  // Reads events; true if a whole scan is due.
  bool take_events(std::set<std::string>& names);

  net::Loop& loop_;
  Index& index_;
  log::Logger log_;
  std::string path_;
  ManifestFiles files_;
  std::map<std::string, Stamp> stamps_;
  net::Fd inotify_;
  net::IoState io_;
  int watch_ = -1;  // -1: the folder is not there
};

}  // namespace tulle::control
