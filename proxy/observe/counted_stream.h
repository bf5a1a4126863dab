// SPDX-License-Identifier: Apache-2.0
// A TCP connection that is accounted for: open and close when it is made and goes, bytes whenever
// somebody scrapes (fold), at no cost to the bytes themselves.
#pragma once

#include <memory>
#include <optional>

#include "lib/base/intrusive_list.h"
#include "lib/net/admission.h"
#include "lib/net/drain.h"
#include "lib/net/socket.h"
#include "proxy/observe/metrics.h"

namespace tulle::proxy {

struct AccountTag;

// What has counts that are to be added up when somebody scrapes.
class Account : public ListHook<AccountTag> {
 public:
  // Adds to the counters what was not added yet. On the worker's thread.
  virtual void fold() = 0;

 protected:
  ~Account() = default;
};
using AccountList = IntrusiveList<Account, AccountTag>;

// Cuts a connection of which nobody knows yet what it wants, when the proxy leaves: there is
// nothing to finish. What is on its way then, as after a dial a moment ago, is given kLeaveHold.
class LeavesUnsettled final : net::DrainListener, net::Timer {
 public:
  static constexpr Duration kLeaveHold = 1s;
  LeavesUnsettled(net::TcpStream& tcp, net::Drain& drain) : tcp_(tcp) {
    drain.add(*this);
    if (drain.started()) on_drain();
  }

 private:
  void on_drain() override {
    net::Loop& loop = tcp_.loop();
    loop.arm(*this, loop.now() + kLeaveHold);
  }
  void fire() override { tcp_.abort(); }
  net::TcpStream& tcp_;
};

class CountedStream final : public net::Stream, public Account {
 public:
  // `accounts` belongs to the worker. Metrics may come later (the labels of a client are known only
  // after its handshake); until then nothing is lost. `unfinished` counts what a client sends
  // before it is known what it wants; null for connections that we have made.
  CountedStream(std::unique_ptr<net::TcpStream> tcp, AccountList& accounts,
                net::HeldBytes* unfinished = nullptr, const net::IpAddr& client = {})
      : tcp_(std::move(tcp)), arrival_(unfinished, client, *tcp_) {
    accounts.push_back(*this);
  }
  // Counts the last bytes and the close, by the error that ended it.
  ~CountedStream() override {
    fold();
    if (metrics_) {
      metrics_->open_connections->add(-1);
      metrics_->closed(tcp_->last_errno());
    }
  }
  // Counts the open now. Once.
  void set_metrics(std::shared_ptr<TransportMetrics> metrics) {
    metrics_ = std::move(metrics);
    metrics_->open_total->add();
    metrics_->open_connections->add(1);
  }
  void fold() override {
    if (!metrics_) return;
    metrics_->read_bytes->add(tcp_->bytes_read() - read_);
    metrics_->write_bytes->add(tcp_->bytes_written() - written_);
    if (metrics_->cost.sent) {
      metrics_->cost.received->add(tcp_->bytes_read() - read_);
      metrics_->cost.sent->add(tcp_->bytes_written() - written_);
    }
    read_ = tcp_->bytes_read();
    written_ = tcp_->bytes_written();
  }
  // The socket below, for its options and its addresses.
  net::TcpStream& tcp() noexcept { return *tcp_; }
  // Of a client's connection: until it is settled, it ends with the drain, wherever it waits.
  void leave_with(net::Drain& drain) { leaves_.emplace(*tcp_, drain); }
  // What it wants is known: whoever serves it counts and drains for itself.
  void settled() {
    arrival_.over();
    leaves_.reset();
  }

  Result<std::size_t> try_read(MutableBytes into) override {
    const Result<std::size_t> n = tcp_->try_read(into);
    arrival_.received(tcp_->bytes_read());
    return n;
  }
  Result<std::size_t> try_write(Bytes bytes) override { return tcp_->try_write(bytes); }
  Result<void> try_shutdown() override { return tcp_->try_shutdown(); }
  void abort() noexcept override { tcp_->abort(); }
  net::IoState& io() noexcept override { return tcp_->io(); }
  void hold_little(bool on) noexcept override { tcp_->hold_little(on); }
  net::TcpStream* plain_tcp() noexcept override { return tcp_.get(); }

 private:
  std::unique_ptr<net::TcpStream> tcp_;
  net::Arrival arrival_;
  std::optional<LeavesUnsettled> leaves_;
  std::shared_ptr<TransportMetrics> metrics_;
  std::uint64_t read_ = 0;
  std::uint64_t written_ = 0;
};

}  // namespace tulle::proxy
