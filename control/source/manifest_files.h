// SPDX-License-Identifier: Apache-2.0
// Manifests as files whose objects live in the index: what each file adds, changes and takes away
// when it is read again. A file with any problem changes nothing, so the last good state of it
// stays, and what policies in it that were never read may concern is closed (concern.h); the log
// names file, document, line, field and reason. Knows no file system: see folder.h.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/index/index.h"
#include "control/source/concern.h"
#include "lib/log/log.h"

namespace tulle::control {

class ManifestFiles {
 public:
  ManifestFiles(Index& index, const log::Logger& log) : index_(index), log_(log) {}

  // The file has this text now. Where two files define one object the first that came keeps it.
  // Gives the names of files that must be read again, because an object is theirs now.
  std::set<std::string> update(const std::string& file, std::string_view written);
  // The file is gone, and its objects with it.
  std::set<std::string> remove(const std::string& file);
  // It cannot be read; its last good state stays.
  void unreadable(const std::string& file, std::string_view why);

  // It has objects here, or keeps something closed.
  bool knows(const std::string& file) const {
    return files_.contains(file) || broken_.contains(file);
  }
  std::size_t size() const noexcept { return files_.size(); }
  // Files whose present text is not what the index has.
  std::size_t broken() const noexcept { return broken_.size(); }
  // Of all files that it knows.
  std::set<std::string> names() const;

 private:
  std::set<std::string> replace(const std::string& file, std::vector<k8s::Object> objects);
  void report(const k8s::Problem& problem);
  // Marks the file as broken, and closes what its present text may concern but no state has.
  void refuse(const std::string& file, std::string_view text,
              const std::vector<k8s::Problem>& problems);
  // The same for closures that are known, each of which is told in the log.
  void close(const std::string& file, std::vector<Closure> closures);
  std::vector<Closure> concerns(const std::string& file, std::string_view text) const;
  bool is_owned(const Concern& concern) const;
  void add_unknown(const std::string& file, const std::set<ObjectKey>& seen,
                   std::vector<Concern> unread, std::vector<Closure>& out) const;

  Index& index_;
  log::Logger log_;
  // What each file has in the index. Keys and names are kept once: those of the maps.
  std::map<std::string, std::vector<const ObjectKey*>> files_;
  std::map<ObjectKey, const std::string*> owners_;
  std::map<ObjectKey, std::set<std::string>> shadowed_;  // files that define it, too
  std::set<std::string> broken_;
  std::map<std::string, std::string> unread_;  // why not; told once
};

}  // namespace tulle::control
