// SPDX-License-Identifier: Apache-2.0
// The machine's own files about names: /etc/resolv.conf (resolv.conf(5)) and /etc/hosts (hosts(5)),
// as pure parsers that skip what they do not understand, and a reader that notices when a file
// changes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/base/time.h"
#include "lib/net/address.h"

namespace tulle::dns {

struct ResolvConf {
  std::vector<net::IpAddr> nameservers;  // the first three; 127.0.0.1 if the file names none
  std::vector<std::string> search;       // canonical names, at most 32
  unsigned ndots = 1;                    // at most 15
  // For one try at one server; at most 30 s. Without `timeout` and `attempts` in the file we wait
  // less and try more often than resolv.conf(5) does: one lost datagram should not cost 5 s.
  Duration timeout = 2s;
  unsigned attempts = 3;  // rounds over all servers, 1 to 5
  bool rotate = false;    // spread queries over the servers
  bool use_tcp = false;   // "use-vc"
  friend bool operator==(const ResolvConf&, const ResolvConf&) = default;
};
ResolvConf parse_resolv_conf(std::string_view text);

// Addresses by canonical name. At most 65,536 names are taken.
class Hosts {
 public:
  static Hosts parse(std::string_view text);
  // Null if the file says nothing about the name. Lines are in the order of the file.
  const std::vector<net::IpAddr>* find(const std::string& canonical) const;
  std::size_t size() const noexcept { return names_.size(); }

 private:
  std::unordered_map<std::string, std::vector<net::IpAddr>> names_;
};

// A small file that is read again when it was changed or replaced. Looking costs one stat(2).
class WatchedFile {
 public:
  explicit WatchedFile(std::string path) : path_(std::move(path)) {}
  // True if the text differs from the last look; a file that cannot be read has the text "".
  bool refresh();
  const std::string& text() const noexcept { return text_; }
  // The text is not needed any more (what was parsed from it is kept instead).
  void forget_text() { std::string().swap(text_); }

 private:
  struct Stamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = -1;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  std::string path_;
  std::string text_;
  Stamp stamp_;
  bool looked_ = false;
};

}  // namespace tulle::dns
