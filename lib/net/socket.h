// SPDX-License-Identifier: Apache-2.0
// TCP and UDP sockets on a loop. Only a SocketFactory makes sockets: a Workload owns one, so that
// traffic of different workloads can live in different network namespaces.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "lib/net/address.h"
#include "lib/net/stream.h"

namespace tulle::net {

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

struct TcpOptions {
  // SO_KEEPALIVE with TCP_KEEPIDLE; keepalive itself is always on
  std::optional<Duration> keepalive;
  std::optional<Duration> user_timeout;  // TCP_USER_TIMEOUT
  int backlog = 1024;                    // listen(2)
  // SO_RCVBUF: what the kernel may hold for us unread, about. Unset: it grows with the speed of the
  // path, to megabytes. A connection that stays on the machine needs little.
  std::optional<int> receive_buffer;
  // TCP_NOTSENT_LOWAT: what the kernel takes from us that it cannot send yet. Without it that is
  // megabytes too, which a peer that reads slowly would have to take before the sender hears of it.
  int unsent = 128 * 1024;
};

// A connected TCP socket. TCP_NODELAY is on.
class TcpStream final : public Stream {
 public:
  // Registers with the loop. `connecting`: connect(2) goes on; writable() tells when it is over.
  TcpStream(Loop& loop, Fd fd, bool connecting = false);
  ~TcpStream() override;
  Result<std::size_t> try_read(MutableBytes into) override;
  Result<std::size_t> try_write(Bytes bytes) override;
  Result<void> try_shutdown() override;
  void abort() noexcept override;
  IoState& io() noexcept override { return io_; }
  void hold_little(bool on) noexcept override;
  TcpStream* plain_tcp() noexcept override { return this; }

  int fd() const noexcept { return fd_.get(); }
  // Looks at bytes without taking them (MSG_PEEK); as try_read otherwise.
  Result<std::size_t> try_peek(MutableBytes into);
  // Bytes moved since the stream was made, for metrics.
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }
  std::uint64_t bytes_written() const noexcept { return bytes_written_; }
  void count_spliced(std::uint64_t read, std::uint64_t written) noexcept {
    bytes_read_ += read;
    bytes_written_ += written;
  }
  // errno of the failure that ended the stream, 0 if none.
  int last_errno() const noexcept { return last_errno_; }
  Result<SocketAddr> peer_addr() const;
  Result<SocketAddr> local_addr() const;

 private:
  Fd fd_;
  IoState io_;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t bytes_written_ = 0;
  int last_errno_ = 0;
  // The one that decides how much the kernel holds unread: not asked yet, whoever made the socket,
  // the kernel, hold_little().
  enum class Receiving : std::uint8_t {
    Unknown,
    Fixed,
    Free,
    Little
  } receiving_ = Receiving::Unknown;
};

struct Accepted {
  std::unique_ptr<TcpStream> stream;
  SocketAddr client;
};
// Where a connection was going before the kernel redirected it to us (SO_ORIGINAL_DST of the
// client's address family); NotFound if it was not redirected.
Result<SocketAddr> original_dst(const Accepted& accepted);

class TcpListener {
 public:
  TcpListener(Loop& loop, Fd fd);  // accepted sockets inherit the options of this one
  ~TcpListener();
  // Waits for the next connection. Out of descriptors: frees a reserve, turns the connection away,
  // waits 100 ms and goes on. Errors of one connection are skipped; after any other it waits, too.
  Task<Result<Accepted>> accept();
  SocketAddr local_addr() const noexcept { return local_; }
  // Stops: a waiting accept() returns Cancelled.
  void close() noexcept;

 private:
  Fd fd_;
  Fd reserve_;
  IoState io_;
  SocketAddr local_;
  unsigned in_a_row_ = 0;  // taken without waiting
  bool closed_ = false;
};

class UdpSocket {
 public:
  UdpSocket(Loop& loop, Fd fd);
  ~UdpSocket();
  Result<void> try_send(Bytes datagram);  // connected sockets
  Result<void> try_send_to(Bytes datagram, const SocketAddr& to);
  Result<std::size_t> try_receive(MutableBytes into, SocketAddr* from = nullptr);
  IoState& io() noexcept { return io_; }

 private:
  Fd fd_;
  IoState io_;
};

// Makes sockets. The host's own factory uses the namespace of the process.
class SocketFactory {
 public:
  virtual ~SocketFactory() = default;
  // A socket(2) of the family, non-blocking and close-on-exec.
  virtual Result<Fd> make(int family, int type) = 0;
};
class HostSockets final : public SocketFactory {
 public:
  Result<Fd> make(int family, int type) override;
};
// Makes its sockets in another network namespace (a path such as /run/netns/NAME); the calling
// thread is moved there and back for each socket(2).
class NamespaceSockets final : public SocketFactory {
 public:
  static Result<std::unique_ptr<NamespaceSockets>> open(const char* path);
  Result<Fd> make(int family, int type) override;

 private:
  NamespaceSockets(Fd target, Fd own) : target_(std::move(target)), own_(std::move(own)) {}
  Fd target_;
  Fd own_;
};

Task<Result<std::unique_ptr<TcpStream>>> connect_tcp(Loop& loop, SocketFactory& sockets,
                                                     SocketAddr to, TcpOptions options,
                                                     Deadline by);
// SO_REUSEADDR; an IPv6 wildcard also takes IPv4. reuse_port lets several workers share a port.
Result<std::unique_ptr<TcpListener>> listen_tcp(Loop& loop, SocketFactory& sockets, SocketAddr at,
                                                TcpOptions options, bool reuse_port = false);
Result<std::unique_ptr<UdpSocket>> connect_udp(Loop& loop, SocketFactory& sockets, SocketAddr to);
Result<std::unique_ptr<UdpSocket>> bind_udp(Loop& loop, SocketFactory& sockets, SocketAddr at);

}  // namespace tulle::net
