// SPDX-License-Identifier: Apache-2.0
// Tells that something in a folder has changed, without saying what: for a few files that are read
// together (an issuer and its key). inotify underneath; a look now and then in any case.
#pragma once

#include <string>

#include "lib/net/loop.h"
#include "lib/net/socket.h"

namespace tulle::control {

class FolderWatch {
 public:
  FolderWatch(net::Loop& loop, std::string folder);
  ~FolderWatch();
  // Waits for a change, at most for `at_most`; changes since the last call count.
  net::Task<void> changed(Duration at_most);

 private:
  void take_events();

  net::Loop& loop_;
  std::string folder_;
  net::Fd inotify_;
  net::IoState io_;
  int watch_ = -1;
};

}  // namespace tulle::control
