// SPDX-License-Identifier: Apache-2.0
// One attempt of a probe: HTTP and TCP from the fabric's gateway to the pod's address, as a kubelet
// does from its node; commands inside the container.
#pragma once

#include "lib/net/loop.h"
#include "lib/net/socket.h"
#include "local/sandbox.h"
#include "local/spec.h"

namespace tulle::local {

struct ProbeTarget {
  net::IpAddr ip;
  std::vector<k8s::ContainerPort> ports;  // of the container, for ports by name
  Entry entry;                            // for commands; argv is the probe's
};

net::Task<bool> attempt(net::Loop& loop, net::SocketFactory& sockets, Probe probe,
                        ProbeTarget target);

}  // namespace tulle::local
