// SPDX-License-Identifier: Apache-2.0
// How connections to one place are made: TCP, then mesh TLS, then the transport header, all before
// one deadline. Implemented for mesh endpoints (outbound) and for the local application (inbound).
#pragma once

#include "lib/base/result.h"
#include "lib/net/stream.h"
#include "lib/net/task.h"
#include "proxy/protocol/transport_header.h"

namespace tulle::proxy {

struct Dialled {
  net::StreamPtr stream;
  bool tulle = false;  // the other end is a proxy of our kind (mesh_tls.h)
};

class Dialer {
 public:
  // A connection ready for the first application byte. Errors: Refused and Io (nothing was sent),
  // Timeout, Tls, Unauthenticated (the peer is not who it should be).
  virtual net::Task<Result<Dialled>> dial(Session session) = 0;
  // The peer of a connection that was dialled here did not answer a PING in time.
  virtual void lost() {}

 protected:
  ~Dialer() = default;
};

}  // namespace tulle::proxy
