// SPDX-License-Identifier: Apache-2.0
#include "local/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "lib/base/text.h"

namespace tulle::local {
namespace {

struct Pipe {
  net::Fd read;
  net::Fd write;
};
bool open_pipe(Pipe& into) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return false;
  into.read = net::Fd(fds[0]);
  into.write = net::Fd(fds[1]);
  return true;
}

// Takes what is there; false at the end.
bool take(const net::Fd& fd, std::string& into, std::size_t most) {
  char block[4096];
  const ssize_t n = ::read(fd.get(), block, sizeof block);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  into.append(block, std::min(static_cast<std::size_t>(n), most - std::min(into.size(), most)));
  return true;
}

[[noreturn]] void become(const std::vector<std::string>& argv, const RunOptions& options, int in,
                         int out, int err) {
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  if (options.netns >= 0 && ::setns(options.netns, CLONE_NEWNET) != 0) _exit(127);
  if (!options.dir.empty() && ::chdir(options.dir.c_str()) != 0) _exit(127);
  close_descriptors(3);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::setenv("LC_ALL", "C", 1);
  const char* const path = std::getenv("PATH");
  // Tools such as nft live where an ordinary user's path does not look.
  const std::string full = concat(path == nullptr ? "/usr/bin:/bin" : path, ":/usr/sbin:/sbin");
  ::setenv("PATH", full.c_str(), 1);
  ::execvp(words[0], words.data());
  const std::string reason = concat(argv[0], ": ", std::strerror(errno), "\n");
  [[maybe_unused]] const ssize_t n = ::write(2, reason.data(), reason.size());
  _exit(127);
}

}  // namespace

Ran run_program(const std::vector<std::string>& argv, const RunOptions& options) {
  Ran ran;
  Pipe in;
  Pipe out;
  Pipe err;
  if (!open_pipe(in) || !open_pipe(out) || !open_pipe(err)) {
    ran.errors = "no more descriptors";
    return ran;
  }
  const pid_t pid = ::fork();
  if (pid == 0) become(argv, options, in.read.get(), out.write.get(), err.write.get());
  in.read = net::Fd();
  out.write = net::Fd();
  err.write = net::Fd();
  if (pid < 0) {
    ran.errors = "cannot fork";
    return ran;
  }
  struct sigaction ignore {};
  struct sigaction old {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &old);
  std::string_view left = options.input;
  ::fcntl(in.write.get(), F_SETFL, O_NONBLOCK);
  const auto end = std::chrono::steady_clock::now() + options.limit;
  while (out.read || err.read) {
    int wait = -1;
    if (options.limit.count() > 0) {
      const auto rest =
          std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      if (rest.count() <= 0) {
        ::kill(pid, SIGKILL);
        break;
      }
      wait = static_cast<int>(rest.count());
    }
    if (left.empty()) in.write = net::Fd();
    pollfd fds[3] = {
        {out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}, {in.write.get(), POLLOUT, 0}};
    if (::poll(fds, 3, wait) < 0 && errno != EINTR) break;
    if (fds[0].revents != 0 && !take(out.read, ran.output, options.most)) out.read = net::Fd();
    if (fds[1].revents != 0 && !take(err.read, ran.errors, options.most)) err.read = net::Fd();
    if (fds[2].revents != 0) {
      const ssize_t n = ::write(in.write.get(), left.data(), left.size());
      if (n > 0) left.remove_prefix(static_cast<std::size_t>(n));
      if (n < 0 && errno != EAGAIN && errno != EINTR) left = {};
    }
  }
  sigaction(SIGPIPE, &old, nullptr);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

void close_descriptors(int first, const std::vector<int>& keep) {
  std::vector<int> kept;
  for (const int fd : keep) {
    if (fd >= first) kept.push_back(fd);
  }
  std::sort(kept.begin(), kept.end());
  unsigned from = static_cast<unsigned>(first);
  for (const int fd : kept) {
    if (static_cast<unsigned>(fd) > from)
      ::syscall(SYS_close_range, from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  ::syscall(SYS_close_range, from, ~0U, 0);
}

std::uint64_t start_time(pid_t pid) {
  std::string path = "/proc/";
  append_number(path, pid);
  std::string text;
  if (pid <= 0 || !read_file(path + "/stat", text)) return 0;
  // The command's name may hold anything, even ") ": fields begin after the last one.
  const std::size_t begin = text.rfind(") ");
  if (begin == std::string::npos) return 0;
  const auto fields = split(std::string_view(text).substr(begin + 2), ' ');
  if (fields.size() < 20 || fields[0] == "Z" || fields[0] == "X") return 0;
  return parse_number<std::uint64_t>(fields[19]).value_or(0);
}

bool read_file(const std::string& path, std::string& into) {
  const net::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  into.clear();
  char block[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return true;
    into.append(block, static_cast<std::size_t>(n));
  }
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool replace_file(const std::string& path, std::string_view text, mode_t mode) {
  const std::size_t slash = path.rfind('/');
  // Hidden until it is complete: nobody who reads the folder takes it for the real one.
  const std::string fresh = concat(path.substr(0, slash + 1), ".", path.substr(slash + 1), ".new");
  ::unlink(fresh.c_str());
  const net::Fd fd(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return false;
  ::fchmod(fd.get(), mode);
  if (!write_all(fd.get(), text)) return false;
  return ::rename(fresh.c_str(), path.c_str()) == 0;
}

bool make_folders(const std::string& path, mode_t mode) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    ::mkdir(path.substr(0, at).c_str(), 0755);
  }
  if (::mkdir(path.c_str(), mode) == 0) return ::chmod(path.c_str(), mode) == 0;
  struct stat info {};
  return errno == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return !std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

}  // namespace tulle::local
