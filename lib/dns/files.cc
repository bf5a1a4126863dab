// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "lib/base/text.h"
#include "lib/dns/message.h"
#include "lib/net/socket.h"

namespace tulle::dns {
namespace {

constexpr std::size_t kMaxNameservers = 3;
constexpr std::size_t kMaxSearch = 32;
constexpr std::size_t kMaxHosts = 65'536;
constexpr std::size_t kMaxHostAddresses = 64;  // of one name
constexpr std::size_t kMaxFile = std::size_t{4} * 1024 * 1024;

// Takes the next word off the front of `line`; "" at its end.
std::string_view next_word(std::string_view& line) {
  const std::size_t begin = std::min(line.find_first_not_of(" \t\r\v\f"), line.size());
  line.remove_prefix(begin);
  const std::string_view word = line.substr(0, line.find_first_of(" \t\r\v\f"));
  line.remove_prefix(word.size());
  return word;
}

// Calls f(line) for each line.
template <typename F>
void each_line(std::string_view text, F&& f) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    f(line);
  }
}

unsigned number_option(std::string_view text, unsigned low, unsigned high, unsigned otherwise) {
  const std::optional<unsigned> value = parse_number<unsigned>(text);
  return value ? std::clamp(*value, low, high) : otherwise;
}

void read_options(std::string_view line, ResolvConf& conf) {
  for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
    const std::size_t colon = std::min(word.find(':'), word.size());
    const std::string_view value = word.substr(std::min(colon + 1, word.size()));
    const std::string_view name = word.substr(0, colon);
    if (name == "ndots") conf.ndots = number_option(value, 0, 15, conf.ndots);
    if (name == "attempts") conf.attempts = number_option(value, 1, 5, conf.attempts);
    if (name == "timeout") {
      const auto now = static_cast<unsigned>(conf.timeout / 1s);
      conf.timeout = std::chrono::seconds(number_option(value, 1, 30, now));
    }
    if (name == "rotate") conf.rotate = true;
    if (name == "use-vc") conf.use_tcp = true;
  }
}

}  // namespace

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf conf;
  each_line(text, [&conf](std::string_view line) {
    if (line.starts_with('#') || line.starts_with(';')) return;
    const std::string_view keyword = next_word(line);
    if (keyword == "nameserver") {
      // Zones ("fe80::1%eth0") are not supported: such a server is skipped.
      const std::optional<net::IpAddr> ip = net::IpAddr::parse(next_word(line));
      if (ip && conf.nameservers.size() < kMaxNameservers) conf.nameservers.push_back(*ip);
    } else if (keyword == "search" || keyword == "domain") {
      conf.search.clear();  // the last line wins
      for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
        std::optional<std::string> name = canonical_name(word);
        if (name && !name->empty() && conf.search.size() < kMaxSearch) {
          conf.search.push_back(std::move(*name));
        }
      }
    } else if (keyword == "options") {
      read_options(line, conf);
    }
  });
  if (conf.nameservers.empty()) conf.nameservers.push_back(net::IpAddr::v4(0x7F00'0001));
  return conf;
}

Hosts Hosts::parse(std::string_view text) {
  Hosts hosts;
  each_line(text, [&hosts](std::string_view line) {
    line = line.substr(0, line.find('#'));
    const std::optional<net::IpAddr> ip = net::IpAddr::parse(next_word(line));
    if (!ip) return;
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
      std::optional<std::string> name = canonical_name(word);
      if (!name || name->empty()) continue;
      const auto at = hosts.names_.find(*name);
      if (at == hosts.names_.end()) {
        if (hosts.names_.size() < kMaxHosts) {
          hosts.names_.emplace(std::move(*name), std::vector<net::IpAddr>{*ip});
        }
        continue;
      }
      std::vector<net::IpAddr>& ips = at->second;
      if (ips.size() >= kMaxHostAddresses) continue;
      if (std::find(ips.begin(), ips.end(), *ip) == ips.end()) ips.push_back(*ip);
    }
  });
  return hosts;
}

const std::vector<net::IpAddr>* Hosts::find(const std::string& canonical) const {
  const auto at = names_.find(canonical);
  return at == names_.end() ? nullptr : &at->second;
}

bool WatchedFile::refresh() {
  struct stat found {};
  Stamp stamp;
  if (::stat(path_.c_str(), &found) == 0) {
    const auto ns = [](const timespec& time) {
      return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    };
    stamp = {found.st_dev, found.st_ino, found.st_size, ns(found.st_mtim), ns(found.st_ctim)};
  }
  if (looked_ && stamp == stamp_) return false;
  looked_ = true;
  stamp_ = stamp;
  text_.clear();
  const net::Fd fd{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  while (fd && text_.size() < kMaxFile) {
    char buffer[4096];
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text_.append(buffer, static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace tulle::dns
