// SPDX-License-Identifier: Apache-2.0
// The CPUs that the container may use, by its control group (version 2, or 1) as the proxy sees it
// from inside. Its memory: memory_limit.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tulle::proxy {

class Cgroup {
 public:
  // `root`: where the control group is mounted.
  explicit Cgroup(std::string root = "/sys/fs/cgroup") : root_(std::move(root)) {}
  // CPUs that the quota gives, rounded up; nullopt: no quota.
  std::optional<unsigned> cpus() const;

 private:
  std::optional<std::string> read(const char* name) const;
  std::string root_;
};

}  // namespace tulle::proxy
