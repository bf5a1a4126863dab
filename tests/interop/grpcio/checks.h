// SPDX-License-Identifier: Apache-2.0
// Our client against an echo server of another make.
#pragma once

#include "lib/grpc/client.h"
#include "proto/echo.pb.h"

namespace tulle::interop {

class Checks {
 public:
  explicit Checks(grpc::Channel& channel) : channel_(channel) {}
  // Prints each check that failed; how many did.
  net::Task<int> run_all();

 private:
  using Echo = pb::echo::Echo;
  net::Task<void> unary();
  net::Task<void> metadata();
  net::Task<void> failures();
  net::Task<void> deadlines();
  net::Task<void> server_stream();
  net::Task<void> large_messages();
  net::Task<void> too_large();
  net::Task<void> cancel();
  net::Task<void> client_stream();
  net::Task<void> bidi();
  net::Task<void> many_at_once();
  net::Task<void> count_messages(pb::echo::EchoRequest request, int& messages);
  net::Task<int> running();
  void expect(bool good, const char* what);

  grpc::Channel& channel_;
  int failed_ = 0;
};

}  // namespace tulle::interop
