// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/resolver.h"

#include <algorithm>
#include <limits>

namespace tulle::dns {
namespace {

constexpr Duration kLookAgain = 1s;    // at the files
constexpr Duration kHostsTtl = 5s;     // of answers from the hosts file
constexpr Duration kServerRest = 30s;  // a silent server is asked last for so long
constexpr Duration kFamilyGrace = 500ms;
constexpr unsigned kMaxAliases = 16;  // within one message
constexpr unsigned kMaxRestarts = 8;  // messages for one name

Error not_found(std::uint32_t seconds) {
  return {.code = Errc::NotFound, .where = "resolve a name", .os_errno = 0, .detail = seconds};
}

bool is_localhost(std::string_view canonical) {
  return canonical == "localhost" || canonical.ends_with(".localhost");
}

std::uint32_t whole_seconds(Duration left) {
  const auto seconds = (left + 1s - 1ns) / 1s;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, 86'400));
}

// What a message says about a name: records, or that there are none, or only another name.
struct Reading {
  std::vector<net::IpAddr> addresses;
  std::vector<Srv> services;
  std::string name;  // where the aliases led
  bool moved = false;
  std::uint32_t ttl = std::numeric_limits<std::uint32_t>::max();  // least of all records used
  bool empty() const noexcept { return addresses.empty() && services.empty(); }
};

Reading read_answers(const Message& message, Type type) {
  Reading reading;
  reading.name = message.question.name;
  for (unsigned hops = 0; hops < kMaxAliases; ++hops) {
    const Record* alias = nullptr;
    for (const Record& record : message.answers) {
      if (record.name != reading.name) continue;
      if (record.type == Type::Cname) alias = &record;
      if (record.type != type) continue;
      reading.ttl = std::min(reading.ttl, record.ttl);
      if (type == Type::Srv) {
        reading.services.push_back(record.srv);
      } else {
        reading.addresses.push_back(record.address);
      }
    }
    if (!reading.empty() || alias == nullptr) break;
    reading.name = alias->target;
    reading.moved = true;
    reading.ttl = std::min(reading.ttl, alias->ttl);
  }
  return reading;
}

}  // namespace

Resolver::Resolver(net::Loop& loop, Exchange& exchange, ResolverOptions options, std::uint64_t seed)
    : loop_(loop),
      exchange_(exchange),
      options_(std::move(options)),
      random_(seed),
      resolv_conf_file_(options_.resolv_conf_path),
      hosts_file_(options_.hosts_path),
      cache_(options_.max_cached) {}

Resolver::Stats Resolver::stats() const {
  Stats stats = stats_;
  stats.evicted = cache_.evicted();
  return stats;
}

void Resolver::refresh_files() {
  if (loop_.now() < look_again_) return;
  look_again_ = loop_.now() + kLookAgain;
  if (hosts_file_.refresh()) hosts_ = Hosts::parse(hosts_file_.text());
  hosts_file_.forget_text();
  if (!resolv_conf_file_.refresh()) return;
  ResolvConf conf = parse_resolv_conf(resolv_conf_file_.text());
  resolv_conf_file_.forget_text();
  if (!servers_.empty() && conf == conf_) return;
  // Other servers may know other names.
  conf_ = std::move(conf);
  ++generation_;
  cache_.clear();
  servers_.clear();
  for (const net::IpAddr& ip : conf_.nameservers) servers_.push_back({.ip = ip});
}

std::optional<Result<Answer>> Resolver::answer_locally(std::string_view name,
                                                       const std::string& canonical, Type type,
                                                       bool any_family) const {
  const auto wanted = [&](const net::IpAddr& ip) {
    return any_family || ip.is_v4() == (type == Type::A);
  };
  Answer answer;
  answer.name = canonical;
  if (const auto ip = net::IpAddr::parse(name)) {
    answer.expires = kNever;
    if (type == Type::Srv || !wanted(*ip)) return not_found(0);
    answer.addresses.push_back(*ip);
    return answer;
  }
  answer.expires = loop_.now() + kHostsTtl;
  const std::vector<net::IpAddr>* ips = hosts_.find(canonical);
  static const std::vector<net::IpAddr> kLoopback = {*net::IpAddr::parse("127.0.0.1"),
                                                     *net::IpAddr::parse("::1")};
  if (ips == nullptr && is_localhost(canonical)) ips = &kLoopback;
  if (ips == nullptr) return std::nullopt;
  if (type == Type::Srv) return not_found(whole_seconds(kHostsTtl));
  std::copy_if(ips->begin(), ips->end(), std::back_inserter(answer.addresses), wanted);
  if (answer.addresses.empty()) return not_found(whole_seconds(kHostsTtl));
  return answer;
}

std::vector<std::string> Resolver::candidates(const std::string& canonical, bool absolute) const {
  std::vector<std::string> names;
  if (absolute) return {canonical};
  const auto dots = static_cast<unsigned>(std::count(canonical.begin(), canonical.end(), '.'));
  if (dots >= conf_.ndots) names.push_back(canonical);
  for (const std::string& domain : conf_.search) {
    std::optional<std::string> name = canonical_name(concat(canonical, ".", domain));
    if (name) names.push_back(std::move(*name));
  }
  if (dots < conf_.ndots) names.push_back(canonical);
  return names;
}

net::Task<Result<Answer>> Resolver::resolve(std::string name, Type type, Deadline by) {
  if (type != Type::A && type != Type::Aaaa && type != Type::Srv) {
    co_return Error{Errc::Unsupported, "resolve a name"};
  }
  co_return co_await walk(std::move(name), type, false, by);
}

net::Task<Result<Answer>> Resolver::resolve_addresses(std::string name, Deadline by) {
  co_return co_await walk(std::move(name), Type::A, true, by);
}

net::Task<Result<Answer>> Resolver::walk(std::string name, Type type, bool any_family,
                                         Deadline by) {
  refresh_files();
  const std::optional<std::string> canonical = canonical_name(name);
  if (!canonical || canonical->empty()) {
    if (std::optional<Result<Answer>> literal = answer_locally(name, "", type, any_family)) {
      co_return std::move(*literal);  // "::1" is no name but an address
    }
    co_return Error{Errc::Invalid, "resolve a name"};
  }
  std::optional<Result<Answer>> local = answer_locally(name, *canonical, type, any_family);
  if (local) co_return std::move(*local);

  std::uint32_t absent_for = std::numeric_limits<std::uint32_t>::max();
  std::optional<Error> failed;
  const std::vector<std::string> names = candidates(*canonical, name.ends_with('.'));
  for (const std::string& candidate : names) {
    Result<Answer> answer = Error{Errc::Internal, "resolve a name"};
    if (any_family) {
      answer = co_await look_up_both(candidate, by);
    } else {
      answer = co_await look_up(candidate, type, by);
    }
    if (answer) co_return answer;
    if (answer.error().code == Errc::NotFound) {
      absent_for = std::min(absent_for, answer.error().detail);
    } else if (answer.error().code == Errc::Unavailable) {
      // A server that cannot answer for one domain of the list may do so for the next.
      failed = answer.error();
    } else {
      // To go on after silence could find another name than the one that was meant.
      co_return answer;
    }
  }
  if (failed) co_return *failed;
  co_return not_found(absent_for);
}

net::Task<Result<Answer>> Resolver::look_up(std::string name, Type type, Deadline by) {
  FlightPtr flight = begin({std::move(name), type});
  co_return co_await wait(std::move(flight), by);
}

net::Task<Result<Answer>> Resolver::look_up_both(std::string name, Deadline by) {
  const FlightPtr v4_flight = begin({name, Type::A});
  const FlightPtr v6_flight = begin({std::move(name), Type::Aaaa});
  Result<Answer> v4 = co_await wait(v4_flight, by);
  const Deadline v6_by = v4 ? by.earlier(loop_.after(kFamilyGrace)) : by;
  Result<Answer> v6 = co_await wait(v6_flight, v6_by);
  if (!v4 && !v6) {
    // A failure says less than an absence: the name may exist.
    if (v4.error().code != Errc::NotFound) co_return v4;
    if (v6.error().code != Errc::NotFound) co_return v6;
    co_return not_found(std::min(v4.error().detail, v6.error().detail));
  }
  if (!v4) co_return v6;
  if (!v6) co_return v4;
  Answer both = std::move(*v4);
  both.addresses.insert(both.addresses.end(), v6->addresses.begin(), v6->addresses.end());
  both.expires = std::min(both.expires, v6->expires);
  co_return both;
}

Resolver::FlightPtr Resolver::begin(Question question) {
  const std::string key = Cache::key(question);
  auto flight = std::make_shared<Flight>(loop_);
  if (const Cache::Entry* const entry = cache_.find(key, loop_.now())) {
    ++stats_.cached;
    if (entry->exists) {
      flight->result.emplace(entry->answer);
    } else {
      flight->result.emplace(not_found(whole_seconds(entry->answer.expires - loop_.now())));
    }
    return flight;
  }
  if (const auto running = flights_.find(key); running != flights_.end()) {
    ++stats_.merged;
    return running->second;
  }
  if (flights_.size() >= options_.max_queries) {
    ++stats_.refused;
    flight->result.emplace(Error{Errc::ResourceExhausted, "resolve a name"});
    return flight;
  }
  flights_.emplace(key, flight);
  scope_.spawn(fly(flight, std::move(question)));
  return flight;
}

net::Task<Result<Answer>> Resolver::wait(FlightPtr flight, Deadline by) {
  while (!flight->result) {
    const bool in_time = co_await flight->done.wait(by);
    if (!in_time) co_return Error{Errc::Timeout, "resolve a name"};
  }
  co_return *flight->result;
}

net::Task<void> Resolver::fly(FlightPtr flight, Question question) {
  const std::string key = Cache::key(question);
  const std::uint64_t generation = generation_;
  Result<Answer> result = co_await ask_through_aliases(std::move(question));
  if (generation == generation_) {
    if (result) {
      if (result->expires > loop_.now()) cache_.put(key, true, *result);
    } else if (result.error().code == Errc::NotFound && result.error().detail > 0) {
      Answer absent;
      absent.expires = loop_.now() + std::chrono::seconds(result.error().detail);
      cache_.put(key, false, std::move(absent));
    }
  }
  flights_.erase(key);
  flight->result.emplace(std::move(result));
  flight->done.notify_all();
}

net::Task<Result<Answer>> Resolver::ask_through_aliases(Question question) {
  Answer answer;
  answer.name = question.name;
  std::uint32_t ttl = std::numeric_limits<std::uint32_t>::max();
  for (unsigned restarts = 0; restarts < kMaxRestarts; ++restarts) {
    const Result<Message> message = co_await ask(question);
    if (!message) co_return message.error();
    Reading reading = read_answers(*message, question.type);
    ttl = std::min(ttl, reading.ttl);
    if (!reading.empty()) {
      const Duration kept =
          std::clamp<Duration>(std::chrono::seconds(ttl),
                               std::min(options_.min_ttl, options_.max_ttl), options_.max_ttl);
      answer.addresses = std::move(reading.addresses);
      answer.services = std::move(reading.services);
      answer.expires = loop_.now() + kept;
      co_return answer;
    }
    const bool ends_here = message->rcode == Rcode::NxDomain || message->negative_ttl.has_value();
    if (ends_here || !reading.moved) {
      const Duration kept =
          std::min<Duration>(std::chrono::seconds(std::min(ttl, message->negative_ttl.value_or(0))),
                             options_.max_negative_ttl);
      co_return not_found(whole_seconds(kept));
    }
    // The server did not follow the alias to its end: ask for what it points to.
    question.name = std::move(reading.name);
  }
  co_return Error{Errc::Protocol, "follow DNS aliases"};
}

net::Task<Result<Message>> Resolver::ask(Question question) {
  // Copies: the configuration may change while we wait.
  const std::vector<net::IpAddr> servers = servers_in_order();
  const unsigned attempts = conf_.attempts;
  Error failure{Errc::Unavailable, "ask name servers"};
  for (unsigned attempt = 0; attempt < attempts; ++attempt) {
    bool silent = false;
    for (const net::IpAddr& ip : servers) {
      Result<Message> message = co_await ask_server(ip, question);
      if (!message) {
        failure = message.error();
        silent = silent || failure.code == Errc::Timeout;
        if (failure.code == Errc::Timeout) ++stats_.timeouts;
        if (Server* const known = server(ip)) known->bad_until = loop_.now() + kServerRest;
        continue;
      }
      if (Server* const known = server(ip)) known->bad_until = {};
      const Rcode rcode = message->rcode;
      if (rcode == Rcode::NoError || rcode == Rcode::NxDomain) co_return message;
      failure = {.code = Errc::Unavailable,
                 .where = "ask name servers",
                 .os_errno = 0,
                 .detail = static_cast<std::uint32_t>(rcode)};
    }
    // Whoever said no will say so again; only silence may have been a lost datagram.
    if (!silent) break;
  }
  co_return failure;
}

net::Task<Result<Message>> Resolver::ask_server(net::IpAddr ip, Question question) {
  const Server* const known = server(ip);
  bool edns = known == nullptr || !known->plain;
  const Duration timeout = conf_.timeout;
  const net::SocketAddr to{ip, options_.port};
  bool tcp = conf_.use_tcp;
  for (;;) {
    ++stats_.asked;
    const Deadline by = loop_.after(timeout);
    Result<Message> message = Error{Errc::Internal, "ask a name server"};
    if (tcp) {
      message = co_await exchange_.over_tcp(to, question, edns, by);
    } else {
      message = co_await exchange_.over_udp(to, question, edns, by);
    }
    if (!message) co_return message;
    if (message->truncated && !tcp) {
      tcp = true;
      ++stats_.over_tcp;
      continue;
    }
    if (message->truncated) co_return Error{Errc::Protocol, "ask a name server"};
    if (edns && (message->rcode == Rcode::FormErr || message->rcode == Rcode::NotImp)) {
      edns = false;  // RFC 6891 §7: a server from before EDNS
      if (Server* const old = server(ip)) old->plain = true;
      continue;
    }
    co_return message;
  }
}

std::vector<net::IpAddr> Resolver::servers_in_order() {
  std::vector<net::IpAddr> good;
  std::vector<net::IpAddr> resting;
  const auto count = static_cast<std::uint32_t>(servers_.size());
  const std::uint32_t first = conf_.rotate && count > 0 ? random_.below(count) : 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Server& server = servers_[(first + i) % count];
    (server.bad_until > loop_.now() ? resting : good).push_back(server.ip);
  }
  good.insert(good.end(), resting.begin(), resting.end());
  return good;
}

Resolver::Server* Resolver::server(const net::IpAddr& ip) {
  const auto at = std::find_if(servers_.begin(), servers_.end(),
                               [&ip](const Server& server) { return server.ip == ip; });
  return at == servers_.end() ? nullptr : &*at;
}

}  // namespace tulle::dns
