// SPDX-License-Identifier: Apache-2.0
// Turns names into addresses and services, as resolv.conf(5) and hosts(5) of this machine say:
// search list, several servers, TCP where UDP is too small, answers and absences cached (RFC 1035,
// 2308, 2782, 6891). Both files are read again when they change. One per workload and loop; not
// thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "lib/base/text.h"
#include "lib/dns/cache.h"
#include "lib/dns/exchange.h"
#include "lib/dns/files.h"
#include "lib/net/loop.h"
#include "lib/net/task.h"

namespace tulle::dns {

struct ResolverOptions {
  std::string resolv_conf_path = "/etc/resolv.conf";
  std::string hosts_path = "/etc/hosts";
  std::uint16_t port = 53;           // of the name servers
  Duration min_ttl{0};               // answers are believed at least this long (DNS_MIN_TTL)
  Duration max_ttl = 24h;            // and at most this long (DNS_MAX_TTL); wins over min_ttl
  Duration max_negative_ttl = 5min;  // absences
  std::size_t max_cached = 4096;     // entries and records
  std::size_t max_queries = 256;     // different questions at once; more fail
};

class Resolver {
 public:
  // Counts since the start.
  struct Stats {
    std::uint64_t cached = 0;    // answered from the cache
    std::uint64_t merged = 0;    // waited for the same question of another caller
    std::uint64_t asked = 0;     // messages sent
    std::uint64_t timeouts = 0;  // tries without an answer
    std::uint64_t over_tcp = 0;  // repeated over TCP because the answer was too large
    std::uint64_t refused = 0;   // failed because of max_queries
    std::uint64_t evicted = 0;   // given up by a full cache
  };

  // All must outlive it, and it must outlive whoever waits. Files are read at the first question.
  Resolver(net::Loop& loop, Exchange& exchange, ResolverOptions options, std::uint64_t seed);

  // The A, AAAA or SRV records of a name. A trailing dot makes it absolute; otherwise the search
  // list is tried, before the name itself if that has fewer dots than `ndots`. An address as name
  // is its own answer. Names in the hosts file and localhost (RFC 6761 §6.3) never leave the
  // machine. Fails with NotFound (no such name, or no such records; `detail` is how many seconds
  // that may be believed, 0 if nobody said), Unavailable (every server failed; `detail` is the
  // response code), Timeout, Refused, Invalid (not a name), ResourceExhausted.
  net::Task<Result<Answer>> resolve(std::string name, Type type, Deadline by = {});
  // A and AAAA records together, asked side by side; IPv4 first. Fails only if both fail. Once one
  // family has answered, the other is waited for half a second more.
  net::Task<Result<Answer>> resolve_addresses(std::string name, Deadline by = {});

  Stats stats() const;

 private:
  struct Flight {
    explicit Flight(net::Loop& loop) : done(loop) {}
    net::Signal done;
    std::optional<Result<Answer>> result;
  };
  using FlightPtr = std::shared_ptr<Flight>;
  struct Server {
    net::IpAddr ip;
    TimePoint bad_until{};  // did not answer lately: asked after the others
    bool plain = false;     // does not understand EDNS
  };

  void refresh_files();
  std::optional<Result<Answer>> answer_locally(std::string_view name, const std::string& canonical,
                                               Type type, bool any_family) const;
  std::vector<std::string> candidates(const std::string& canonical, bool absolute) const;
  net::Task<Result<Answer>> walk(std::string name, Type type, bool any_family, Deadline by);
  net::Task<Result<Answer>> look_up(std::string name, Type type, Deadline by);
  net::Task<Result<Answer>> look_up_both(std::string name, Deadline by);

  // Gives the cached result, joins a running question, or starts it.
  FlightPtr begin(Question question);
  net::Task<Result<Answer>> wait(FlightPtr flight, Deadline by);
  net::Task<void> fly(FlightPtr flight, Question question);
  net::Task<Result<Answer>> ask_through_aliases(Question question);
  net::Task<Result<Message>> ask(Question question);
  net::Task<Result<Message>> ask_server(net::IpAddr server, Question question);
  std::vector<net::IpAddr> servers_in_order();
  Server* server(const net::IpAddr& ip);

  net::Loop& loop_;
  Exchange& exchange_;
  const ResolverOptions options_;
  Random random_;
  WatchedFile resolv_conf_file_;
  WatchedFile hosts_file_;
  TimePoint look_again_{};
  ResolvConf conf_;
  Hosts hosts_;
  std::vector<Server> servers_;
  std::uint64_t generation_ = 0;  // of conf_: what was asked under an older one is not cached
  Cache cache_;
  Stats stats_;
  std::unordered_map<std::string, FlightPtr> flights_;
  net::TaskScope scope_;
};

}  // namespace tulle::dns
