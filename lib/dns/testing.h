// SPDX-License-Identifier: Apache-2.0
// For tests only: name servers that answer from a table, in virtual time, and files that last as
// long as a test.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lib/base/text.h"
#include "lib/dns/exchange.h"

namespace tulle::dns {

// Answers what the test says, per question; "no such name" (for 30 s) for everything else.
class FakeExchange final : public Exchange {
 public:
  struct Call {
    net::SocketAddr server;
    Question question;
    bool edns;
    bool tcp;
  };
  // Decides about each call; the default reads the table.
  using Handler = std::function<Result<Message>(const Call&)>;

  explicit FakeExchange(net::Loop& loop) : loop_(loop) {}

  void add(std::string name, Type type, std::uint32_t ttl, std::string_view data) {
    Record record{.name = name, .type = type, .ttl = ttl};
    if (type == Type::A || type == Type::Aaaa) record.address = *net::IpAddr::parse(data);
    if (type == Type::Cname) record.target = std::string(data);
    if (type == Type::Srv) {  // "port target"
      const auto parts = split(data, ' ');
      record.srv.port = *parse_number<std::uint16_t>(parts[0]);
      record.srv.target = std::string(parts[1]);
    }
    records_.push_back(std::move(record));
  }
  void clear() { records_.clear(); }

  // The table's answer, aliases followed.
  Message answer(const Question& question) const {
    Message message;
    message.response = true;
    message.question = question;
    std::string name = question.name;
    bool known = false;
    for (int hop = 0; hop < 20; ++hop) {
      const Record* alias = nullptr;
      for (const Record& record : records_) {
        if (record.name != name) continue;
        known = true;
        if (record.type == question.type) message.answers.push_back(record);
        if (record.type == Type::Cname) alias = &record;
      }
      if (alias == nullptr) break;
      message.answers.push_back(*alias);
      name = alias->target;
    }
    const bool found = !message.answers.empty() && message.answers.back().type == question.type;
    if (!found) message.negative_ttl = 30;
    if (!known) message.rcode = Rcode::NxDomain;
    return message;
  }

  net::Task<Result<Message>> over_udp(net::SocketAddr server, Question question, bool edns,
                                      Deadline by) override {
    return call({server, std::move(question), edns, false}, by);
  }
  net::Task<Result<Message>> over_tcp(net::SocketAddr server, Question question, bool edns,
                                      Deadline by) override {
    return call({server, std::move(question), edns, true}, by);
  }

  Handler handler;
  Duration delay = 1ms;
  std::vector<Call> calls;

 private:
  net::Task<Result<Message>> call(Call call, Deadline by) {
    calls.push_back(call);
    Result<Message> message = answer(call.question);
    if (handler) message = handler(call);
    if (!message && message.error().code == Errc::Timeout) {
      co_await net::sleep_until(loop_, by.at());
      co_return message;
    }
    co_await net::sleep_for(loop_, delay);
    co_return message;
  }
  net::Loop& loop_;
  std::vector<Record> records_;
};

// A file with a text of its own, removed at the end.
class TempFile {
 public:
  explicit TempFile(std::string_view text) {
    char path[] = "/tmp/tulle_dns_XXXXXX";
    const int fd = ::mkstemp(path);
    if (fd >= 0) ::close(fd);
    path_ = path;
    write(text);
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  ~TempFile() { ::unlink(path_.c_str()); }
  void write(std::string_view text) const { std::ofstream(path_) << text; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace tulle::dns
