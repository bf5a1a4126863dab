// SPDX-License-Identifier: Apache-2.0
// What the kernel may say to accept4. Stands in for that call in the whole test program.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "lib/net/socket.h"

namespace {
int failure = 0;  // said instead of accepting; 0: none
int calls = 0;
}  // namespace

extern "C" int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  ++calls;
  if (failure != 0) {
    errno = failure;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_accept4, fd, address, size, flags));
}

namespace tulle::net {
namespace {

Task<void> take(TcpListener* listener, int* taken) {
  for (;;) {
    Result<Accepted> accepted = co_await listener->accept();
    if (!accepted) co_return;
    ++*taken;
  }
}

struct Accepting : ::testing::Test {
  Accepting() : loop(*Loop::create()) {
    listener = *listen_tcp(*loop, sockets, *SocketAddr::parse("127.0.0.1:0"), {});
    calls = 0;
  }
  ~Accepting() override { failure = 0; }
  int connect() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_storage native{};
    const socklen_t size = listener->local_addr().to_native(native);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&native), size), 0);
    return fd;
  }
  std::unique_ptr<Loop> loop;
  HostSockets sockets;
  std::unique_ptr<TcpListener> listener;
  int taken = 0;
  TaskScope scope;
};

// No memory, and what nobody has heard of: tried again after a pause, not at once.
TEST_F(Accepting, PausesAfterWhatIsNotTheConnectionsFault) {
  for (const int error : {ENOMEM, ENOBUFS, 999}) {
    failure = error;
    calls = 0;
    TaskScope one;
    one.spawn(take(listener.get(), &taken));
    for (int turn = 0; turn < 20; ++turn) loop->run_once(0ms);
    EXPECT_EQ(calls, 1) << error;
  }
  failure = 0;
  const Fd client{connect()};
  scope.spawn(take(listener.get(), &taken));
  while (taken == 0) loop->run_once(1s);
}

// A connection that failed before it was taken is passed over at once; a row of them ends a turn.
TEST_F(Accepting, PassesOverConnectionsThatFailed) {
  failure = ECONNABORTED;
  scope.spawn(take(listener.get(), &taken));
  for (int turn = 1; turn <= 5; ++turn) {
    EXPECT_GE(calls, turn * 10);
    EXPECT_LE(calls, turn * 200);
    loop->run_once(0ms);
  }
  failure = 0;
  const Fd client{connect()};
  while (taken == 0) loop->run_once(1s);
}

}  // namespace
}  // namespace tulle::net
