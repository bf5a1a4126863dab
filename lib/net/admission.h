// SPDX-License-Identifier: Apache-2.0
// Which connections of a listener stay when there are too many: whoever comes is let in, and
// whoever has done nothing for longest gives way. So a port that anybody may reach answers (probes,
// reviews, new proxies) whatever idle connections others have left on it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <unordered_map>

#include "lib/net/held_bytes.h"
#include "lib/net/socket.h"

namespace tulle::net {

namespace detail {
struct PlaceTag;
}
class Admission;

// The place of one connection. Its owner says what the connection does.
class Place : public ListHook<detail::PlaceTag> {
 public:
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  // Bytes came or went.
  void moved() noexcept;
  // Whether requests are under way.
  void set_busy(bool busy) noexcept;

 protected:
  Place(Admission& admission, const IpAddr& client);
  ~Place();

 private:
  friend class Admission;
  // Ends the connection, soon: must not destroy any place. Called once.
  virtual void give_way() = 0;

  Admission& admission_;
  const IpAddr source_;
  bool busy_ = false;
};

// Of one loop; not thread-safe. Outlives its places.
class Admission {
 public:
  struct Limits {
    std::size_t total = 1024;
    std::size_t per_source = 256;  // of one address, or of one /64
    // With no idle connection left, the one that has moved nothing for longest gives way. False: a
    // connection with requests under way stays, and the new one is turned away.
    bool busy_gives_way = false;
  };
  struct Counters {
    std::shared_ptr<metrics::Counter> refused;   // connections turned away
    std::shared_ptr<metrics::Counter> gave_way;  // connections ended for others
  };
  explicit Admission(const Limits& limits, Counters counters = {})
      : limits_(limits), counters_(std::move(counters)) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Makes room for one more connection of that client; false: there is none.
  bool admit(const IpAddr& client);
  std::size_t size() const noexcept { return size_; }

 private:
  friend class Place;
  using Places = IntrusiveList<Place, detail::PlaceTag>;
  Place* longest_idle(const IpAddr* source) noexcept;
  void leave(Place& place) noexcept;

  const Limits limits_;
  const Counters counters_;
  Places idle_;  // each list begins with who has moved nothing for longest
  Places busy_;
  std::size_t size_ = 0;
  std::unordered_map<IpAddr, std::size_t> by_source_;
};

// Limits that a server keeps its connections to. None is set at first.
struct Guard {
  HeldBytes* heads = nullptr;  // counts heads that are not whole
  IpAddr client;
  Place* place = nullptr;             // hears of requests
  std::optional<Duration> head_time;  // from the first byte of a request's head to its last
  std::optional<Duration> idle_time;  // without a request
};

// Bytes that a connection has sent before its purpose was known: a handshake, the bytes in which
// its protocol is looked for. Ends the connection if too much of all such is not whole.
class Arrival final : public HeldBytes::Holder {
 public:
  Arrival(HeldBytes* held, const IpAddr& client, TcpStream& stream)
      : Holder(held, client), stream_(stream) {}
  // So much has come by now.
  void received(std::uint64_t bytes) {
    if (!over_) hold(static_cast<std::size_t>(bytes));
  }
  // Whoever reads on counts for itself.
  void over() {
    over_ = true;
    hold(0);
  }

 private:
  void give_way() override { stream_.abort(); }
  TcpStream& stream_;
  bool over_ = false;
};

// A connection that has a place.
class GuestStream final : public Stream, public Place {
 public:
  // Null if there is no room. `unfinished` may be null.
  static std::unique_ptr<GuestStream> make(Admission& admission, HeldBytes* unfinished,
                                           Accepted accepted);

  TcpStream& tcp() noexcept { return *tcp_; }
  Arrival& arrival() noexcept { return arrival_; }
  Result<std::size_t> try_read(MutableBytes into) override {
    const Result<std::size_t> n = told(tcp_->try_read(into));
    arrival_.received(tcp_->bytes_read());
    return n;
  }
  Result<std::size_t> try_write(Bytes bytes) override { return told(tcp_->try_write(bytes)); }
  Result<void> try_shutdown() override { return tcp_->try_shutdown(); }
  void abort() noexcept override { tcp_->abort(); }
  IoState& io() noexcept override { return tcp_->io(); }
  void hold_little(bool on) noexcept override { tcp_->hold_little(on); }
  TcpStream* plain_tcp() noexcept override { return tcp_.get(); }

 private:
  GuestStream(Admission& admission, HeldBytes* unfinished, Accepted accepted)
      : Place(admission, accepted.client.ip),
        tcp_(std::move(accepted.stream)),
        arrival_(unfinished, accepted.client.ip, *tcp_) {}
  Result<std::size_t> told(Result<std::size_t> n) noexcept {
    if (n) moved();
    return n;
  }
  void give_way() override { tcp_->abort(); }

  std::unique_ptr<TcpStream> tcp_;
  Arrival arrival_;
};

}  // namespace tulle::net
