// SPDX-License-Identifier: Apache-2.0
// One pod and port as a proxy is to reach it: address, identity, protocol hint, labels
// (docs/reference/control-plane.md §5.3 "WeightedAddr"). Shared by endpoints of Services and by
// profiles of single pods.
#pragma once

#include <cstdint>

#include "control/config.h"
#include "control/index/index.h"
#include "proto/destination.pb.h"

namespace tulle::control {

// The workload behind a pod, what dashboards group by (docs/reference/control-plane.md §1.5, owner
// resolution): the Deployment of its ReplicaSet, the CronJob of its Job, the pod itself if it has
// none.
struct WorkloadName {
  std::string kind;  // lower case
  std::string name;
};
WorkloadName workload_of(const View& view, const k8s::Pod& pod);

// Does the pod's annotation, or the default list in its absence, or a Server that selects the port
// with proxyProtocol opaque, say that this port carries opaque bytes?
bool is_opaque_port(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                    std::uint16_t port);
bool is_opaque_port(const View& view, const MeshConfig& config,
                    const k8s::ExternalWorkload& workload, std::uint16_t port);

// `zone` is that of the endpoint, `client_zone` that of who asks; "" if not known.
pb::destination::WeightedAddr pod_endpoint(const View& view, const MeshConfig& config,
                                           const k8s::Pod& pod, const net::SocketAddr& address,
                                           std::string_view zone, std::string_view client_zone);

// The same for a machine outside of the cluster, which has a proxy always.
pb::destination::WeightedAddr external_endpoint(const View& view, const MeshConfig& config,
                                                const k8s::ExternalWorkload& workload,
                                                const net::SocketAddr& address,
                                                std::string_view zone,
                                                std::string_view client_zone);

// How a proxy is to keep HTTP/2 connections to another one alive.
pb::destination::Http2ClientParams meshed_http2_params(const MeshConfig& config);

// Is this one of the ports of the pod that a number or a name stands for?
bool port_matches(const k8s::IntOrString& wanted, const k8s::Pod& pod, std::uint16_t port);
bool port_matches(const k8s::IntOrString& wanted, const k8s::ExternalWorkload& workload,
                  std::uint16_t port);

// Does a Server of the pod's namespace select this pod and port? (Its port may be a name.)
bool selects(const k8s::Server& server, const k8s::Pod& pod, std::uint16_t port);
bool selects(const k8s::Server& server, const k8s::ExternalWorkload& workload, std::uint16_t port);

}  // namespace tulle::control
