// SPDX-License-Identifier: Apache-2.0
#include "local/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "lib/base/text.h"
#include "local/below.h"
#include "local/process.h"

namespace tulle::local {
namespace {

constexpr std::array<std::string_view, 41> kCapabilities = {"CHOWN",
                                                            "DAC_OVERRIDE",
                                                            "DAC_READ_SEARCH",
                                                            "FOWNER",
                                                            "FSETID",
                                                            "KILL",
                                                            "SETGID",
                                                            "SETUID",
                                                            "SETPCAP",
                                                            "LINUX_IMMUTABLE",
                                                            "NET_BIND_SERVICE",
                                                            "NET_BROADCAST",
                                                            "NET_ADMIN",
                                                            "NET_RAW",
                                                            "IPC_LOCK",
                                                            "IPC_OWNER",
                                                            "SYS_MODULE",
                                                            "SYS_RAWIO",
                                                            "SYS_CHROOT",
                                                            "SYS_PTRACE",
                                                            "SYS_PACCT",
                                                            "SYS_ADMIN",
                                                            "SYS_BOOT",
                                                            "SYS_NICE",
                                                            "SYS_RESOURCE",
                                                            "SYS_TIME",
                                                            "SYS_TTY_CONFIG",
                                                            "MKNOD",
                                                            "LEASE",
                                                            "AUDIT_WRITE",
                                                            "AUDIT_CONTROL",
                                                            "SETFCAP",
                                                            "MAC_OVERRIDE",
                                                            "MAC_ADMIN",
                                                            "SYSLOG",
                                                            "WAKE_ALARM",
                                                            "BLOCK_SUSPEND",
                                                            "AUDIT_READ",
                                                            "PERFMON",
                                                            "BPF",
                                                            "CHECKPOINT_RESTORE"};
// What containers have if nobody says otherwise; no MKNOD, since the machine's devices are there.
constexpr std::array<std::string_view, 11> kUsual = {
    "CHOWN",  "DAC_OVERRIDE", "FOWNER",           "FSETID",     "KILL",   "SETGID",
    "SETUID", "SETPCAP",      "NET_BIND_SERVICE", "SYS_CHROOT", "SETFCAP"};
// What may be added to them: it concerns the pod's own network, memory, files and messages. What is
// not here is refused, whatever kernels invent:
//  - SYS_ADMIN mounts the machine's disks and enters other namespaces; DAC_READ_SEARCH opens files
//    of the machine by handle; MKNOD makes its devices; SYS_PTRACE takes over a process that is
//    still on its way into the pod, with every privilege; CHECKPOINT_RESTORE likewise;
//  - SYS_MODULE, SYS_RAWIO, SYS_BOOT, BPF, PERFMON and MAC_* change or read the kernel itself;
//  - SYS_TIME, SYS_RESOURCE, SYS_PACCT, SYS_TTY_CONFIG, SYSLOG, WAKE_ALARM, BLOCK_SUSPEND,
//    AUDIT_CONTROL and AUDIT_READ have no namespace: they are the machine's clock, limits,
//    consoles, logs and sleep.
constexpr std::array<std::string_view, 9> kAddable = {
    "NET_ADMIN", "NET_RAW",  "NET_BROADCAST", "IPC_LOCK",       "IPC_OWNER",
    "LEASE",     "SYS_NICE", "AUDIT_WRITE",   "LINUX_IMMUTABLE"};

int pidfd_open(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

void reset_signals() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int sig : {SIGPIPE, SIGCHLD, SIGTERM, SIGINT, SIGHUP}) std::signal(sig, SIG_DFL);
}

std::string in_capitals(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

void write_text(const char* path, std::string_view text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t n = ::write(fd, text.data(), text.size());
  ::close(fd);
}

bool set_capabilities(std::uint64_t bits) {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (unsigned i = 0; i < 2; ++i) {
    const auto part = static_cast<std::uint32_t>(bits >> (32 * i));
    data[i] = {part, part, 0};
  }
  return ::syscall(SYS_capset, &head, data) == 0;
}

// Leaves this process with an empty, read-only root in mounts of its own, and without privileges.
// Others in the pod may be of the same user: they find the root of a process in /proc, and may
// trace those that have no privilege which they lack.
bool retire(const std::string& scratch) {
  const std::string empty = concat(scratch, "/empty");
  if (!make_folders(empty) || ::unshare(CLONE_NEWNS) != 0) return false;
  if (::mount("tulle", empty.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
              "size=4k,mode=0555") != 0)
    return false;
  if (::chdir(empty.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 ||
      ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0)
    return false;
  for (int number = 0; number < 64; ++number) {
    if (::prctl(PR_CAPBSET_DROP, number) != 0 && errno != EINVAL) return false;
  }
  return ::setgroups(0, nullptr) == 0 && set_capabilities(0) &&
         ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

// The first process of a pod: reaps what is orphaned there, and ends when the maker is gone.
[[noreturn]] void hold(const Sandbox::Options& options, int control) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "tulle-pod");
  close_descriptors(0, {control});
  reset_signals();
  std::signal(SIGCHLD, SIG_IGN);  // the kernel reaps
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  char answer = 'n';
  const bool ok =
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
      ::sethostname(options.hostname.data(), options.hostname.size()) == 0 &&
      ::mount("tulle", options.scratch.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") == 0;
  // As container runtimes do: port 80 needs no privilege in a pod's own network.
  write_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  write_text("/proc/sys/net/ipv6/conf/all/accept_dad", "0");
  write_text("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
  if (ok) answer = 'y';
  if (::write(control, &answer, 1) != 1) _exit(1);
  // The maker holds these mounts before they are left.
  if (::read(control, &answer, 1) != 1) _exit(1);
  answer = retire(options.scratch) ? 'y' : 'n';
  if (::write(control, &answer, 1) != 1) _exit(1);
  while (::read(control, &answer, 1) > 0) {
  }
  _exit(0);
}

// Something went wrong in a child before it became the program: says what, and ends.
[[noreturn]] void give_up(int report, std::string_view what) {
  const std::string text = concat(what, ": ", std::strerror(errno));
  [[maybe_unused]] const ssize_t n = ::write(report, text.data(), text.size());
  _exit(127);
}

std::string escaped(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c == ':' || c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// Puts one thing of the machine or of a volume into the container, whatever links are on the way.
bool put_in(int root, const Bind& bind) {
  net::Fd source(::open(bind.source.c_str(), O_PATH | O_CLOEXEC));
  if (source && !bind.below.empty()) source = anything_below(source.get(), bind.below);
  struct stat info {};
  if (!source || ::fstat(source.get(), &info) != 0) return false;
  // It is put on a folder or an empty file, like itself.
  const net::Fd target =
      S_ISDIR(info.st_mode) ? folder_below(root, bind.target) : file_below(root, bind.target);
  return target && bind_to(source.get(), target.get(), bind.read_only);
}

bool bind_read_only(const std::string& path) {
  return ::mount(path.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
         ::mount(nullptr, path.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0;
}

bool make_devices(const std::string& root) {
  const std::string dev = root + "/dev";
  if (::mount("tulle", dev.c_str(), "tmpfs", MS_NOSUID, "mode=0755,size=64k") != 0) return false;
  struct Device {
    const char* name;
    unsigned minor;
    unsigned major = 1;
  };
  const mode_t old = ::umask(0);
  bool ok = true;
  for (const Device& device : {Device{"null", 3},
                               {"zero", 5},
                               {"full", 7},
                               {"random", 8},
                               {"urandom", 9},
                               {"tty", 0, 5}}) {
    ok = ::mknod(concat(dev, "/", device.name).c_str(), S_IFCHR | 0666,
                 makedev(device.major, device.minor)) == 0 &&
         ok;
  }
  ::umask(old);
  for (const auto& [name, target] : {std::pair{"/fd", "/proc/self/fd"},
                                     {"/stdin", "/proc/self/fd/0"},
                                     {"/stdout", "/proc/self/fd/1"},
                                     {"/stderr", "/proc/self/fd/2"},
                                     {"/ptmx", "pts/ptmx"}}) {
    ok = ::symlink(target, (dev + name).c_str()) == 0 && ok;
  }
  ok = make_folders(dev + "/shm") && make_folders(dev + "/pts") && ok;
  ok = ::mount("tulle", (dev + "/shm").c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0 &&
       ok;
  ::mount("tulle", (dev + "/pts").c_str(), "devpts", MS_NOSUID | MS_NOEXEC,
          "newinstance,ptmxmode=0666,mode=0620");
  return ok;
}

// What of /proc concerns the machine cannot be changed, and its secrets cannot be read.
bool make_proc(const std::string& root) {
  const std::string proc = root + "/proc";
  if (::mount("proc", proc.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return false;
  for (const char* const name : {"/sys", "/sysrq-trigger", "/irq", "/bus", "/fs"}) {
    const std::string path = proc + name;
    if (::access(path.c_str(), F_OK) == 0 && !bind_read_only(path)) return false;
  }
  for (const char* const name : {"/kcore", "/keys", "/timer_list", "/sched_debug"}) {
    const std::string path = proc + name;
    if (::access(path.c_str(), F_OK) != 0) continue;
    if (::mount((root + "/dev/null").c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
      return false;
  }
  const std::string sys = root + "/sys";
  ::mount("sysfs", sys.c_str(), "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  return true;
}

// Builds the container's root and moves into it.
void build_root(const std::string& scratch, const Launch& what, int report) {
  const std::string home = concat(scratch, "/containers/", what.name);
  const std::string root = home + "/root";
  if (!make_folders(home + "/upper") || !make_folders(home + "/work") || !make_folders(root))
    give_up(report, "make folders");
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < what.layers.size(); ++i) {
    options += (i == 0 ? "" : ":") + escaped(what.layers[i]);
  }
  options += concat(",upperdir=", escaped(home), "/upper,workdir=", escaped(home), "/work");
  if (::mount("tulle", root.c_str(), "overlay", MS_NODEV, options.c_str()) != 0)
    give_up(report, "mount the image");
  const net::Fd root_fd = open_folder(root);
  if (!root_fd) give_up(report, "open the root");
  // An image whose /dev is a link would have its devices made elsewhere.
  for (const std::string name : {"dev", "proc", "sys"}) {
    if (!plain_folder(root_fd.get(), name)) give_up(report, concat("make /", name));
  }
  if (!make_devices(root)) give_up(report, "mount /dev");
  if (!make_proc(root)) give_up(report, "mount /proc");
  for (const auto& [path, text] : what.files) {
    if (!write_below(root_fd.get(), path, text)) give_up(report, concat("write ", path));
  }
  for (const Bind& bind : what.binds) {
    if (!put_in(root_fd.get(), bind)) {
      const std::string_view slash = bind.below.empty() ? "" : "/";
      give_up(report, concat("mount ", bind.source, slash, bind.below, " on ", bind.target));
    }
  }
  if (what.read_only_root && ::mount(nullptr, root.c_str(), nullptr,
                                     MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV, nullptr) != 0)
    give_up(report, "make the root read-only");
  if (::chdir(root.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 ||
      ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0)
    give_up(report, "enter the root");
}

std::uint64_t capability_bits(const Privileges& privileges) {
  std::uint64_t bits = 0;
  for (const std::string_view name : kUsual) bits |= std::uint64_t{1} << capability_number(name);
  if (std::any_of(privileges.drop.begin(), privileges.drop.end(), means_all_capabilities)) bits = 0;
  for (const std::string& name : privileges.drop) {
    if (const int number = capability_number(name); number >= 0)
      bits &= ~(std::uint64_t{1} << number);
  }
  for (const std::string& name : privileges.add) {
    if (const int number = capability_number(name); is_grantable(number))
      bits |= std::uint64_t{1} << number;
  }
  return bits;
}

bool drop_privileges(const Privileges& privileges) {
  const std::uint64_t bits = capability_bits(privileges);
  for (int number = 0; number < 64; ++number) {
    const bool wanted = number < 64 && ((bits >> number) & 1) != 0;
    if (wanted) continue;
    if (::prctl(PR_CAPBSET_DROP, number) != 0 && errno != EINVAL) return false;
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  std::vector<gid_t> groups(privileges.groups.begin(), privileges.groups.end());
  if (::setgroups(groups.size(), groups.data()) != 0) return false;
  if (::setresgid(privileges.group, privileges.group, privileges.group) != 0) return false;
  if (::setresuid(privileges.user, privileges.user, privileges.user) != 0) return false;
  if (privileges.user == 0 && !set_capabilities(bits)) return false;
  return privileges.may_gain || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

// Replaces this process by the program; returns only if it cannot.
void become(const std::vector<std::string>& argv,
            const std::vector<std::pair<std::string, std::string>>& environment) {
  std::vector<std::string> settings;
  std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const auto& [name, value] : environment) {
    settings.push_back(concat(name, "=", value));
    if (name == "PATH") path = value;
  }
  std::vector<char*> words;
  std::vector<char*> env;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& setting : settings) env.push_back(const_cast<char*>(setting.c_str()));
  words.push_back(nullptr);
  env.push_back(nullptr);
  if (argv[0].find('/') != std::string::npos) {
    ::execve(words[0], words.data(), env.data());
    return;
  }
  int reason = ENOENT;
  for (const std::string_view dir : split(path, ':')) {
    ::execve(concat(dir, "/", argv[0]).c_str(), words.data(), env.data());
    if (errno != ENOENT && errno != ENOTDIR) reason = errno;
  }
  errno = reason;
}

[[noreturn]] void run_launch(const Sandbox& sandbox, const Launch& what, int report) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  reset_signals();
  if (::setns(sandbox.pidfd(), CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) != 0 ||
      ::setns(sandbox.mounts(), CLONE_NEWNS) != 0 || ::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    give_up(report, "enter the pod");
  ::umask(022);
  build_root(sandbox.scratch(), what, report);
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, 0);
  ::dup2(what.log >= 0 ? what.log : null, 1);
  ::dup2(1, 2);
  const int kept = ::fcntl(report, F_DUPFD_CLOEXEC, 3);
  close_descriptors(3, {kept});
  ::fcntl(kept, F_SETFD, FD_CLOEXEC);
  if (!drop_privileges(what.privileges)) give_up(kept, "give up privileges");
  if (::chdir(what.working_dir.c_str()) != 0) give_up(kept, concat("enter ", what.working_dir));
  become(what.argv, what.environment);
  give_up(kept, concat("run ", what.argv[0]));
}

}  // namespace

int capability_number(std::string_view name) {
  const std::string upper = in_capitals(name);
  std::string_view word = upper;
  if (word.starts_with("CAP_")) word.remove_prefix(4);
  for (std::size_t i = 0; i < kCapabilities.size(); ++i) {
    if (kCapabilities[i] == word) return static_cast<int>(i);
  }
  return -1;
}

bool means_all_capabilities(std::string_view name) { return in_capitals(name) == "ALL"; }

bool is_grantable(int capability) {
  const auto is = [&](std::string_view name) { return capability_number(name) == capability; };
  return capability >= 0 && (std::any_of(kUsual.begin(), kUsual.end(), is) ||
                             std::any_of(kAddable.begin(), kAddable.end(), is));
}

Result<std::unique_ptr<Sandbox>> Sandbox::create(const Options& options) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return Error{Errc::Io, "make a pod: socket pair", errno};
  net::Fd ours(ends[0]);
  net::Fd theirs(ends[1]);
  constexpr unsigned long kNamespaces =
      CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC;
  // As fork(2), into new namespaces.
  const auto pid = static_cast<pid_t>(
      ::syscall(SYS_clone, kNamespaces | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (pid == 0) hold(options, theirs.get());
  if (pid < 0) return Error{Errc::Io, "make a pod: namespaces", errno};
  theirs = net::Fd();
  std::unique_ptr<Sandbox> sandbox(new Sandbox);
  sandbox->pid_ = pid;
  sandbox->control_ = std::move(ours);
  sandbox->scratch_ = options.scratch;
  char answer = 0;
  if (::read(sandbox->control_.get(), &answer, 1) != 1 || answer != 'y')
    return Error{Errc::Io, "make a pod: mounts"};
  std::string proc = "/proc/";
  append_number(proc, pid);
  sandbox->pidfd_ = net::Fd(pidfd_open(pid));
  sandbox->netns_ = net::Fd(::open((proc + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  sandbox->pidns_ = net::Fd(::open((proc + "/ns/pid").c_str(), O_RDONLY | O_CLOEXEC));
  sandbox->mounts_ = net::Fd(::open((proc + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
  sandbox->inside_ = open_folder(concat(proc, "/root", options.scratch));
  if (!sandbox->pidfd_ || !sandbox->netns_ || !sandbox->pidns_ || !sandbox->mounts_ ||
      !sandbox->inside_)
    return Error{Errc::Io, "make a pod: open its namespaces", errno};
  if (::write(sandbox->control_.get(), &answer, 1) != 1 ||
      ::read(sandbox->control_.get(), &answer, 1) != 1 || answer != 'y')
    return Error{Errc::Io, "make a pod: leave the machine's files"};
  return sandbox;
}

Sandbox::~Sandbox() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  // It ends after every process of the pod is reaped, maybe by our own caller: no waiting here.
  ::waitpid(pid_, nullptr, WNOHANG);
}

std::string Sandbox::inside(const std::string& path) const {
  std::string out = "/proc/self/fd/";
  append_number(out, inside_.get());
  return concat(out, "/", path);
}

Started launch(const Sandbox& sandbox, const Launch& what) {
  Started started;
  int ends[2];
  if (what.argv.empty() || ::pipe2(ends, O_CLOEXEC) != 0) {
    started.problem = "there is nothing to run";
    return started;
  }
  net::Fd read(ends[0]);
  net::Fd write(ends[1]);
  // Children are born in the pod's pid namespace, but only this one.
  const net::Fd own(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
  if (!own || ::setns(sandbox.pidns(), CLONE_NEWPID) != 0) {
    started.problem = "the pod is gone";
    return started;
  }
  const pid_t pid = ::fork();
  if (pid == 0) run_launch(sandbox, what, write.get());
  TULLE_CHECK(::setns(own.get(), CLONE_NEWPID) == 0);
  write = net::Fd();
  if (pid < 0) {
    started.problem = "cannot fork";
    return started;
  }
  // Closed without a word when the program has begun.
  char text[512];
  ssize_t n = 0;
  while ((n = ::read(read.get(), text, sizeof text)) < 0 && errno == EINTR) {
  }
  if (n > 0) {
    started.problem.assign(text, static_cast<std::size_t>(n));
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return started;
  }
  started.pid = pid;
  started.pidfd = net::Fd(pidfd_open(pid));
  return started;
}

pid_t enter(const Entry& entry) {
  const pid_t outer = ::fork();
  if (outer != 0) return outer;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  reset_signals();
  const int target = pidfd_open(entry.target);
  // The pod's namespaces are the container's; only the mounts are its own.
  if (target < 0 ||
      ::setns(target, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID) != 0)
    _exit(126);
  const pid_t inner = ::fork();
  if (inner < 0) _exit(126);
  if (inner == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (entry.quiet) {
      const int null = ::open("/dev/null", O_RDWR);
      for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    }
    close_descriptors(3);
    if (!drop_privileges(entry.privileges)) _exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // changing the user has cleared it
    if (::chdir(entry.working_dir.c_str()) != 0 && ::chdir("/") != 0) _exit(126);
    become(entry.argv, entry.environment);
    if (!entry.quiet) {
      const std::string text = concat(entry.argv[0], ": ", std::strerror(errno), "\n");
      [[maybe_unused]] const ssize_t n = ::write(2, text.data(), text.size());
    }
    _exit(127);
  }
  int status = 0;
  while (::waitpid(inner, &status, 0) < 0 && errno == EINTR) {
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

}  // namespace tulle::local
