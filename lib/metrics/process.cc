// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "lib/base/text.h"
#include "lib/metrics/metrics.h"

namespace tulle::metrics {
namespace {

std::string read_file(const char* path) {
  std::string out;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return out;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0) break;
    out.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(fd);
  return out;
}

std::uint64_t count_entries(const char* path) {
  DIR* const dir = ::opendir(path);
  if (dir == nullptr) return 0;
  std::uint64_t n = 0;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') ++n;
  }
  ::closedir(dir);
  return n;
}

void metric(std::string& out, std::string_view name, std::string_view type, std::string_view unit,
            std::string_view help, double value) {
  out += concat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  if (!unit.empty()) out += concat("# UNIT ", name, " ", unit, "\n");
  out += name;
  if (type == "counter") out += "_total";
  out += ' ';
  append_real(out, value);
  out += '\n';
}

double unix_seconds(WallTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

}  // namespace

void append_process_metrics(std::string& out, WallTime started_at) {
  const WallTime now = wall_now();
  metric(out, "process_start_time_seconds", "gauge", "seconds",
         "Time that the process started (in seconds since the UNIX epoch).",
         unix_seconds(started_at));
  metric(out, "process_clock_time_seconds", "gauge", "seconds",
         "Current system time for this process.", unix_seconds(now));
  metric(out, "process_uptime_seconds", "counter", "seconds",
         "Total time since the process started.",
         std::chrono::duration<double>(now - started_at).count());
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& tv) {
    return static_cast<double>(tv.tv_sec) + static_cast<double>(tv.tv_usec) / 1e6;
  };
  metric(out, "process_cpu_seconds", "counter", "seconds",
         "Total user and system CPU time spent in seconds.",
         seconds(usage.ru_utime) + seconds(usage.ru_stime));
  const std::string statm = read_file("/proc/self/statm");
  unsigned long long pages = 0;
  unsigned long long resident = 0;
  if (char* end = nullptr; !statm.empty()) {
    pages = std::strtoull(statm.c_str(), &end, 10);
    resident = std::strtoull(end, nullptr, 10);
  }
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  metric(out, "process_virtual_memory_bytes", "gauge", "bytes", "Virtual memory size in bytes.",
         static_cast<double>(pages) * page);
  metric(out, "process_resident_memory_bytes", "gauge", "bytes", "Resident memory size in bytes.",
         static_cast<double>(resident) * page);
  // Without the one that counts them.
  metric(out, "process_open_fds", "gauge", "", "Number of open file descriptors.",
         std::max(static_cast<double>(count_entries("/proc/self/fd")) - 1, 0.0));
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  metric(out, "process_max_fds", "gauge", "", "Maximum number of open file descriptors.",
         static_cast<double>(limit.rlim_cur));
  metric(out, "process_threads", "gauge", "", "Number of OS threads in the process.",
         static_cast<double>(count_entries("/proc/self/task")));
  double received = 0;
  double sent = 0;
  const std::string net_dev = read_file("/proc/self/net/dev");
  for (const std::string_view text : split(net_dev, '\n')) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) continue;
    std::string numbers(text.substr(colon + 1));
    char* at = numbers.data();
    for (int field = 0; field < 9; ++field) {
      const auto value = static_cast<double>(std::strtoull(at, &at, 10));
      if (field == 0) received += value;
      if (field == 8) sent += value;
    }
  }
  metric(out, "process_network_receive_bytes", "counter", "bytes",
         "Number of bytes received by the process over the network.", received);
  metric(out, "process_network_transmit_bytes", "counter", "bytes",
         "Number of bytes sent by the process over the network.", sent);
}

}  // namespace tulle::metrics
