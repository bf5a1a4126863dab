// SPDX-License-Identifier: Apache-2.0
// The nat tables of iptables and ip6tables, read and replaced by the socket options that iptables
// itself uses.
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "lib/net/socket.h"
#include "lib/redirect/xtables.h"

namespace tulle::redirect {
namespace {

constexpr std::string_view kNat = "nat";
constexpr int kTries = 5;  // somebody else may change the table meanwhile

// ENOPROTOOPT: no ip_tables; ENOENT: no nat table in it, nor a module for it, nor for a match or
// target.
Error failed(const char* step, int code) {
  return {code == ENOPROTOOPT || code == ENOENT ? Errc::Unsupported : Errc::Io, step, code};
}

template <typename Family>
struct ReadTable {
  typename Family::Info info{};
  XtTable table;
};

template <typename Family>
Result<ReadTable<Family>> read_table(const net::Fd& fd) {
  using GetEntries = typename Family::GetEntries;
  static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES);
  for (int tries = 0;; ++tries) {
    ReadTable<Family> read;
    kNat.copy(read.info.name, sizeof read.info.name - 1);
    socklen_t size = sizeof read.info;
    if (::getsockopt(fd.get(), Family::kLevel, IPT_SO_GET_INFO, &read.info, &size) != 0)
      return failed("read the nat table", errno);
    std::vector<std::uint64_t> room((sizeof(GetEntries) + read.info.size) / sizeof(std::uint64_t) +
                                    1);  // aligned
    auto* const request = reinterpret_cast<GetEntries*>(room.data());
    kNat.copy(request->name, sizeof request->name - 1);
    request->size = read.info.size;
    size = static_cast<socklen_t>(sizeof(GetEntries) + read.info.size);
    if (::getsockopt(fd.get(), Family::kLevel, IPT_SO_GET_ENTRIES, request, &size) != 0) {
      if (errno == EAGAIN && tries < kTries) continue;
      return failed("read the nat table", errno);
    }
    const auto* const entries = reinterpret_cast<const std::uint8_t*>(request) + sizeof(GetEntries);
    Result<XtTable> table = parse_table<Family>(read.info, Bytes(entries, read.info.size));
    if (!table) return table.error();
    read.table = std::move(*table);
    return read;
  }
}

template <typename Family>
Result<void> replace_table(const net::Fd& fd, const typename Family::Info& old,
                           const XtTable& table) {
  using Replace = typename Family::Replace;
  static_assert(IPT_SO_SET_REPLACE == IP6T_SO_SET_REPLACE &&
                IPT_SO_SET_ADD_COUNTERS == IP6T_SO_SET_ADD_COUNTERS);
  const XtBlob blob = encode_table<Family>(table);
  std::vector<xt_counters> counters(old.num_entries);
  Replace head{};
  kNat.copy(head.name, sizeof head.name - 1);
  head.valid_hooks = table.hooks;
  head.num_entries = blob.count;
  head.size = static_cast<unsigned>(blob.entries.size());
  std::memcpy(head.hook_entry, blob.hook_entry.data(), sizeof head.hook_entry);
  std::memcpy(head.underflow, blob.underflow.data(), sizeof head.underflow);
  head.num_counters = old.num_entries;  // EAGAIN if that is not what is there now
  head.counters = counters.data();
  std::string message(reinterpret_cast<const char*>(&head), sizeof head);
  message += blob.entries;
  if (::setsockopt(fd.get(), Family::kLevel, IPT_SO_SET_REPLACE, message.data(),
                   static_cast<socklen_t>(message.size())) != 0) {
    return failed("install the rules", errno);
  }
  // Rules that stay go on counting where they were.
  xt_counters_info counted{};
  kNat.copy(counted.name, sizeof counted.name - 1);
  counted.num_counters = blob.count;
  message.assign(reinterpret_cast<const char*>(&counted), sizeof counted);
  for (const int from : blob.old_index) {
    const xt_counters count = from < 0 ? xt_counters{} : counters[static_cast<std::size_t>(from)];
    message.append(reinterpret_cast<const char*>(&count), sizeof count);
  }
  if (::setsockopt(fd.get(), Family::kLevel, IPT_SO_SET_ADD_COUNTERS, message.data(),
                   static_cast<socklen_t>(message.size())) != 0) {
    return failed("keep the counters", errno);
  }
  return {};
}

// Reads the table, has it changed, and replaces it whole.
template <typename Family, typename Change>
Result<void> change_table(const net::Fd& fd, Change change) {
  for (int tries = 0;; ++tries) {
    Result<ReadTable<Family>> read = read_table<Family>(fd);
    if (!read) return read.error();
    change(read->table);
    const Result<void> replaced = replace_table<Family>(fd, read->info, read->table);
    if (replaced || replaced.error().os_errno != EAGAIN || tries == kTries) return replaced;
  }
}

template <typename Family>
Result<net::Fd> open_raw() {
  net::Fd fd{::socket(Family::kFamily, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)};
  if (!fd) return Error{Errc::Io, "open a raw socket", errno};
  return fd;
}

template <typename Family>
Result<void> install_family(const net::Fd& fd, const Rules& rules) {
  const Result<void> changed =
      change_table<Family>(fd, [&](XtTable& table) { put_rules<Family>(table, rules); });
  if (!changed) return changed;
  const Result<ReadTable<Family>> read = read_table<Family>(fd);
  if (!read) return read.error();
  if (!holds_rules<Family>(read->table, rules)) return Error{Errc::Internal, "verify the rules"};
  return {};
}

}  // namespace

Result<void> install_xtables(const Rules& rules) {
  const Result<net::Fd> v4 = open_raw<Ipv4>();
  if (!v4) return v4.error();
  if (const Result<void> installed = install_family<Ipv4>(*v4, rules); !installed) return installed;
  if (!rules.ipv6) return {};
  const Result<net::Fd> v6 = open_raw<Ipv6>();
  if (!v6 && v6.error().os_errno == EAFNOSUPPORT) return {};  // no IPv6 at all: nothing to redirect
  const Result<void> installed = v6 ? install_family<Ipv6>(*v6, rules) : Result<void>(v6.error());
  // Both or none.
  if (!installed) (void)change_table<Ipv4>(*v4, take_rules);
  return installed;
}

Result<Backend> install(const Rules& rules, Backend first) {
  const Backend second = first == Backend::NfTables ? Backend::XTables : Backend::NfTables;
  Result<Backend> outcome = first;
  for (const Backend backend : {first, second}) {
    const Result<void> installed =
        backend == Backend::NfTables ? install_nftables(rules) : install_xtables(rules);
    if (installed) return backend;
    // Of two that are lacking, the one that was asked for is told.
    if (outcome || installed.error().code != Errc::Unsupported) outcome = installed.error();
    if (installed.error().code != Errc::Unsupported) break;
  }
  return outcome;
}

}  // namespace tulle::redirect
