// SPDX-License-Identifier: Apache-2.0
#include "lib/net/socket.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace tulle::net {
namespace {

// linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h clash with netinet/in.h.
constexpr int kSoOriginalDst = 80;
// Connections that are taken before others have their turn.
constexpr unsigned kAcceptsInARow = 64;
constexpr Duration kAcceptPause = 100ms;

Error io_error(const char* where) { return {Errc::Io, where, errno}; }

void set_option(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

void apply_options(int fd, const TcpOptions& options) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options.unsent);
  if (options.keepalive) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(*options.keepalive).count();
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, static_cast<int>(seconds)));
  }
  if (options.user_timeout) {
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(*options.user_timeout).count();
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(ms));
  }
}

// Before connect and listen only. Over the loopback interface segments are 64 KiB, and the sender's
// kernel makes its own buffer some dozens of segments large: smaller ones keep that small too. Bulk
// still moves in larger pieces (GSO).
void bound_receiving(int fd, const TcpOptions& options) {
  if (!options.receive_buffer) return;
  set_option(fd, SOL_SOCKET, SO_RCVBUF, *options.receive_buffer);
  set_option(fd, IPPROTO_TCP, TCP_MAXSEG, 16 * 1024);
}

// What accept4 says of one connection that it has taken off the queue (accept(2), "Error
// handling").
bool failed_before_accept(int os_errno) noexcept {
  switch (os_errno) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH: return true;
    default: return false;
  }
}

Error connect_error(int os_errno) {
  switch (os_errno) {
    case ECONNREFUSED: return {Errc::Refused, "connect", os_errno};
    case ETIMEDOUT: return {Errc::Timeout, "connect", os_errno};
    default: return {Errc::Io, "connect", os_errno};
  }
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}
Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

TcpStream::TcpStream(Loop& loop, Fd fd, bool connecting) : fd_(std::move(fd)) {
  io_.loop = &loop;
  // Nothing can have come yet: the loop will say so.
  io_.readable = io_.writable = !connecting;
  io_.out_armed = connecting;
  if (const Result<void> watched = loop.watch(fd_.get(), io_); !watched) {
    last_errno_ = watched.error().os_errno;
    fd_ = Fd{};  // every call fails with EBADF
  }
}

TcpStream::~TcpStream() {
  if (fd_) io_.loop->forget(fd_.get(), io_);
}

Result<std::size_t> TcpStream::try_read(MutableBytes into) {
  // Nothing came since the socket was last emptied: the loop would have said so.
  if (!io_.readable) return Error{Errc::WouldBlock, "read"};
  for (;;) {
    const ssize_t n = ::recv(fd_.get(), into.data(), into.size(), 0);
    if (n >= 0) {
      const auto got = static_cast<std::size_t>(n);
      bytes_read_ += got;
      // A short read emptied the socket (epoll(7)); only a pending end must be read for.
      if (got != 0 && got < into.size() && !io_.hang_up) io_.readable = false;
      return got;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      io_.readable = false;
      return Error{Errc::WouldBlock, "read"};
    }
    last_errno_ = errno;
    return Error{errno == ECONNRESET ? Errc::Reset : Errc::Io, "read", errno};
  }
}

Result<std::size_t> TcpStream::try_peek(MutableBytes into) {
  for (;;) {
    const ssize_t n = ::recv(fd_.get(), into.data(), into.size(), MSG_PEEK);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      io_.readable = false;
      return Error{Errc::WouldBlock, "peek"};
    }
    last_errno_ = errno;
    return Error{errno == ECONNRESET ? Errc::Reset : Errc::Io, "peek", errno};
  }
}

Result<std::size_t> TcpStream::try_write(Bytes bytes) {
  if (bytes.empty()) return std::size_t{0};
  for (;;) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      const auto sent = static_cast<std::size_t>(n);
      bytes_written_ += sent;
      if (sent < bytes.size()) io_.writable = false;
      return sent;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      io_.writable = false;
      return Error{Errc::WouldBlock, "write"};
    }
    last_errno_ = errno;
    return Error{errno == ECONNRESET || errno == EPIPE ? Errc::Reset : Errc::Io, "write", errno};
  }
}

Result<void> TcpStream::try_shutdown() {
  if (::shutdown(fd_.get(), SHUT_WR) != 0 && errno != ENOTCONN) return io_error("shut down");
  return {};
}

void TcpStream::abort() noexcept {
  if (!fd_) return;
  const linger cut{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &cut, sizeof cut);
  io_.loop->forget(fd_.get(), io_);
  fd_ = Fd{};
  io_.set_readable();
  io_.set_writable();
}

void TcpStream::hold_little(bool on) noexcept {
  constexpr int kLittle = 192 * 1024;
  constexpr int kBufLock = 72;     // SO_BUF_LOCK, Linux 5.14; before, what is set once stays
  constexpr int kReceiveLock = 2;  // SOCK_RCVBUF_LOCK
  if (receiving_ == Receiving::Unknown) {
    int locks = 0;
    socklen_t size = sizeof locks;
    const bool known = ::getsockopt(fd_.get(), SOL_SOCKET, kBufLock, &locks, &size) == 0;
    receiving_ = known && (locks & kReceiveLock) != 0 ? Receiving::Fixed : Receiving::Free;
  }
  if (on && receiving_ == Receiving::Free) {
    set_option(fd_.get(), SOL_SOCKET, SO_RCVBUF, kLittle);
    receiving_ = Receiving::Little;
  } else if (!on && receiving_ == Receiving::Little) {
    set_option(fd_.get(), SOL_SOCKET, kBufLock, 0);
    receiving_ = Receiving::Free;
  }
}

Result<SocketAddr> TcpStream::peer_addr() const {
  sockaddr_storage native{};
  socklen_t size = sizeof native;
  if (::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&native), &size) != 0) {
    return io_error("read the peer's address");
  }
  const auto addr = SocketAddr::from_native(native);
  if (!addr) return Error{Errc::Unsupported, "read the peer's address"};
  return *addr;
}

Result<SocketAddr> TcpStream::local_addr() const {
  sockaddr_storage native{};
  socklen_t size = sizeof native;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&native), &size) != 0) {
    return io_error("read the local address");
  }
  const auto addr = SocketAddr::from_native(native);
  if (!addr) return Error{Errc::Unsupported, "read the local address"};
  return *addr;
}

Result<SocketAddr> original_dst(const Accepted& accepted) {
  sockaddr_storage native{};
  socklen_t size = sizeof native;
  // A v4 client of a v6 socket is redirected by the IPv4 tables.
  const int level = accepted.client.ip.is_v4() ? IPPROTO_IP : IPPROTO_IPV6;
  if (::getsockopt(accepted.stream->fd(), level, kSoOriginalDst, &native, &size) != 0) {
    return Error{Errc::NotFound, "read the original destination", errno};
  }
  const auto addr = SocketAddr::from_native(native);
  if (!addr) return Error{Errc::NotFound, "read the original destination"};
  return *addr;
}

TcpListener::TcpListener(Loop& loop, Fd fd)
    : fd_(std::move(fd)), reserve_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {
  io_.loop = &loop;
  [[maybe_unused]] const Result<void> watched = loop.watch(fd_.get(), io_);
  sockaddr_storage native{};
  socklen_t size = sizeof native;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&native), &size) == 0) {
    local_ = SocketAddr::from_native(native).value_or(SocketAddr{});
  }
}

TcpListener::~TcpListener() {
  if (fd_) io_.loop->forget(fd_.get(), io_);
}

void TcpListener::close() noexcept {
  closed_ = true;
  if (fd_) {
    io_.loop->forget(fd_.get(), io_);
    fd_ = Fd{};
  }
  io_.set_readable();
}

Task<Result<Accepted>> TcpListener::accept() {
  for (;;) {
    if (closed_) co_return Error{Errc::Cancelled, "accept"};
    if (++in_a_row_ > kAcceptsInARow) {
      in_a_row_ = 0;
      co_await yield(*io_.loop);
      continue;
    }
    sockaddr_storage native{};
    socklen_t size = sizeof native;
    const int fd = ::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&native), &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Accepted accepted;
      accepted.client = SocketAddr::from_native(native).value_or(SocketAddr{});
      accepted.stream = std::make_unique<TcpStream>(*io_.loop, Fd{fd});
      co_return accepted;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      io_.readable = false;
      in_a_row_ = 0;
      co_await readable(io_);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE) {
      // Turn one connection away so that its client learns of it, then give others time to end.
      reserve_ = Fd{};
      const int turned_away = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (turned_away >= 0) ::close(turned_away);
      reserve_ = Fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
      co_await sleep_for(*io_.loop, kAcceptPause);
      continue;
    }
    if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
      co_return Error{Errc::Cancelled, "accept", errno};
    }
    // The connection failed before we took it; the listener survives. Anything else (no memory,
    // what a kernel to come may say) is likely to be said again at once.
    if (!failed_before_accept(errno)) co_await sleep_for(*io_.loop, kAcceptPause);
  }
}

UdpSocket::UdpSocket(Loop& loop, Fd fd) : fd_(std::move(fd)) {
  io_.loop = &loop;
  [[maybe_unused]] const Result<void> watched = loop.watch(fd_.get(), io_);
}
UdpSocket::~UdpSocket() {
  if (fd_) io_.loop->forget(fd_.get(), io_);
}

Result<void> UdpSocket::try_send(Bytes datagram) {
  const ssize_t n = ::send(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL);
  if (n >= 0) return {};
  if (errno == EAGAIN) {
    io_.writable = false;
    return Error{Errc::WouldBlock, "send a datagram"};
  }
  return io_error("send a datagram");
}

Result<void> UdpSocket::try_send_to(Bytes datagram, const SocketAddr& to) {
  sockaddr_storage native;
  const socklen_t size = to.to_native(native);
  const ssize_t n = ::sendto(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&native), size);
  if (n >= 0) return {};
  if (errno == EAGAIN) {
    io_.writable = false;
    return Error{Errc::WouldBlock, "send a datagram"};
  }
  return io_error("send a datagram");
}

Result<std::size_t> UdpSocket::try_receive(MutableBytes into, SocketAddr* from) {
  for (;;) {
    sockaddr_storage native{};
    socklen_t size = sizeof native;
    const ssize_t n = ::recvfrom(fd_.get(), into.data(), into.size(), 0,
                                 reinterpret_cast<sockaddr*>(&native), &size);
    if (n >= 0) {
      if (from != nullptr) *from = SocketAddr::from_native(native).value_or(SocketAddr{});
      return static_cast<std::size_t>(n);
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      io_.readable = false;
      return Error{Errc::WouldBlock, "receive a datagram"};
    }
    return io_error("receive a datagram");
  }
}

Result<Fd> HostSockets::make(int family, int type) {
  const int fd = ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return io_error("make a socket");
  return Fd{fd};
}

Result<std::unique_ptr<NamespaceSockets>> NamespaceSockets::open(const char* path) {
  Fd target{::open(path, O_RDONLY | O_CLOEXEC)};
  if (!target) return io_error("open the network namespace");
  Fd own{::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
  if (!own) return io_error("open the own network namespace");
  return std::unique_ptr<NamespaceSockets>(new NamespaceSockets(std::move(target), std::move(own)));
}

Result<Fd> NamespaceSockets::make(int family, int type) {
  if (::setns(target_.get(), CLONE_NEWNET) != 0) return io_error("enter the network namespace");
  const int fd = ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int saved = errno;
  TULLE_CHECK(::setns(own_.get(), CLONE_NEWNET) == 0);
  if (fd < 0) return Error{Errc::Io, "make a socket", saved};
  return Fd{fd};
}

Task<Result<std::unique_ptr<TcpStream>>> connect_tcp(Loop& loop, SocketFactory& sockets,
                                                     SocketAddr to, TcpOptions options,
                                                     Deadline by) {
  Result<Fd> fd = sockets.make(to.ip.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM);
  if (!fd) co_return fd.error();
  bound_receiving(fd->get(), options);
  apply_options(fd->get(), options);
  sockaddr_storage native;
  const socklen_t size = to.to_native(native);
  const int raw = fd->get();
  const int started = ::connect(raw, reinterpret_cast<const sockaddr*>(&native), size);
  if (started != 0 && errno != EINPROGRESS) co_return connect_error(errno);
  auto stream = std::make_unique<TcpStream>(loop, std::move(*fd), started != 0);
  if (started == 0) co_return std::move(stream);
  const bool in_time = co_await writable(stream->io(), by);
  if (!in_time) co_return Error{Errc::Timeout, "connect"};
  int failure = 0;
  socklen_t failure_size = sizeof failure;
  ::getsockopt(raw, SOL_SOCKET, SO_ERROR, &failure, &failure_size);
  if (failure != 0) co_return connect_error(failure);
  co_return std::move(stream);
}

Result<std::unique_ptr<TcpListener>> listen_tcp(Loop& loop, SocketFactory& sockets, SocketAddr at,
                                                TcpOptions options, bool reuse_port) {
  Result<Fd> fd = sockets.make(at.ip.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM);
  if (!fd) return fd.error();
  set_option(fd->get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (reuse_port) set_option(fd->get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (at.ip.is_v6())
    set_option(fd->get(), IPPROTO_IPV6, IPV6_V6ONLY, at.ip.is_unspecified() ? 0 : 1);
  sockaddr_storage native;
  const socklen_t size = at.to_native(native);
  if (::bind(fd->get(), reinterpret_cast<const sockaddr*>(&native), size) != 0)
    return io_error("bind");
  // Accepted sockets inherit all of these; the buffer must stand before the handshake tells the
  // window's scale.
  apply_options(fd->get(), options);
  bound_receiving(fd->get(), options);
  if (::listen(fd->get(), options.backlog) != 0) return io_error("listen");
  return std::make_unique<TcpListener>(loop, std::move(*fd));
}

Result<std::unique_ptr<UdpSocket>> connect_udp(Loop& loop, SocketFactory& sockets, SocketAddr to) {
  Result<Fd> fd = sockets.make(to.ip.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM);
  if (!fd) return fd.error();
  sockaddr_storage native;
  const socklen_t size = to.to_native(native);
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&native), size) != 0) {
    return io_error("connect a datagram socket");
  }
  return std::make_unique<UdpSocket>(loop, std::move(*fd));
}

Result<std::unique_ptr<UdpSocket>> bind_udp(Loop& loop, SocketFactory& sockets, SocketAddr at) {
  Result<Fd> fd = sockets.make(at.ip.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM);
  if (!fd) return fd.error();
  sockaddr_storage native;
  const socklen_t size = at.to_native(native);
  if (::bind(fd->get(), reinterpret_cast<const sockaddr*>(&native), size) != 0)
    return io_error("bind");
  return std::make_unique<UdpSocket>(loop, std::move(*fd));
}

}  // namespace tulle::net
