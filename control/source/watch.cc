// SPDX-License-Identifier: Apache-2.0
#include "control/source/watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace tulle::control {

FolderWatch::FolderWatch(net::Loop& loop, std::string folder)
    : loop_(loop), folder_(std::move(folder)) {
  inotify_ = net::Fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (inotify_) {
    const auto watched = loop_.watch(inotify_.get(), io_);
    if (!watched) inotify_ = net::Fd();
  }
}

FolderWatch::~FolderWatch() {
  if (inotify_) loop_.forget(inotify_.get(), io_);
}

net::Task<void> FolderWatch::changed(Duration at_most) {
  if (!inotify_) {
    co_await net::sleep_for(loop_, at_most);
    co_return;
  }
  const bool was_there = watch_ >= 0;
  if (watch_ < 0) {
    watch_ = ::inotify_add_watch(inotify_.get(), folder_.c_str(),
                                 IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                     IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
    if (watch_ < 0 || !was_there) {
      // What happened before the watch began is not told: look soon.
      const Duration soon = at_most < 1s ? at_most : Duration{1s};
      co_await net::sleep_for(loop_, soon);
      co_return;
    }
  }
  co_await net::readable(io_, loop_.after(at_most));
  take_events();
}

void FolderWatch::take_events() {
  alignas(inotify_event) std::array<char, 4096> block;
  for (;;) {
    const ssize_t n = ::read(inotify_.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    for (ssize_t at = 0; at < n;) {
      inotify_event event;
      std::memcpy(&event, block.data() + at, sizeof event);
      at += static_cast<ssize_t>(sizeof event + event.len);
      const bool gone = (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
      if (gone && event.wd == watch_) watch_ = -1;
    }
  }
  io_.readable = false;
}

}  // namespace tulle::control
