// SPDX-License-Identifier: Apache-2.0
// What the control plane tells proxies, and who pods prove to be: asked over the same ports and in
// the same words as proxies use, through ports that the API server forwards.
#pragma once

#include <string>
#include <vector>

#include "cli/check/view.h"
#include "cli/cluster.h"
#include "lib/tls/cert.h"

namespace tulle::cli {

// A pod of the control plane; `name`: this one. The problem says why there is none.
struct ControlPod {
  std::string name;
  std::string problem;
};
ControlPod control_pod(Cluster& cluster, const std::string& name);

// "web.shop.svc.cluster.local:8080": where the control plane says that it leads.
struct EndpointRow {
  std::string ns, ip, pod, service;
  std::uint32_t port = 0;
};
struct Endpoints {
  std::vector<EndpointRow> rows;
  std::string problem;
};
// `token` is what a proxy sends to say where it is; may be "".
Endpoints endpoints(Cluster& cluster, const std::string& pod,
                    const std::vector<std::string>& authorities, const std::string& token);

struct Told {
  Value message;
  std::string problem;
};
// The profile of an authority: one name and port, or the address of a pod or a Service and a port.
Told profile(Cluster& cluster, const std::string& pod, const std::string& authority,
             const std::string& token);
// What may come in on a port of a pod of this name.
Told inbound_policy(Cluster& cluster, const std::string& pod, const std::string& ns,
                    const std::string& name, std::uint16_t port);
// Where traffic of a namespace to an authority goes.
Told outbound_policy(Cluster& cluster, const std::string& pod, const std::string& ns,
                     const std::string& authority);

// Who a pod's proxy proves to be, by a handshake with its admin port.
struct Proof {
  std::vector<tls::Certificate> chain;  // leaf first; verified
  std::string problem;
};
// One for each pod, in their order. `more_anchors`: those of the control plane, PEM; may be "".
std::vector<Proof> prove(Cluster& cluster, const std::vector<PodView>& pods,
                         const std::string& more_anchors);

}  // namespace tulle::cli
