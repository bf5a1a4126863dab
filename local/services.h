// SPDX-License-Identifier: Apache-2.0
// Which pods stand behind which Service, and what follows from it: EndpointSlices for the control
// plane, address translation for the fabric, answers of the DNS server. Pure functions over values.
#pragma once

#include <string>
#include <vector>

#include "lib/dns/message.h"
#include "local/model.h"

namespace tulle::local {

// A pod as its Services see it.
struct PodView {
  std::string ns;
  std::string name;
  std::string hostname;   // "" unless the pod says one
  std::string subdomain;  // the headless Service that gives it a name
  k8s::StringMap labels;
  std::vector<k8s::ContainerPort> ports;
  net::IpAddr ip4;
  net::IpAddr ip6;
  bool running = false;  // has addresses and has not ended
  bool ready = false;
};

// A pod behind a port of a Service.
struct Backend {
  const PodView* pod = nullptr;
  std::uint16_t port = 0;
};

bool selects(const ServiceInput& service, const PodView& pod);
// The pod's ports behind a port of a Service: a name stands for all ports that have it.
std::vector<std::uint16_t> target_ports(const k8s::ServicePort& port, const PodView& pod);
// Running pods of the Service, ready or not; pods without the port are left out.
std::vector<Backend> backends(const ServiceInput& service, const k8s::ServicePort& port,
                              const std::vector<PodView>& pods, bool ready_only);

// One slice for each address family and set of port numbers, as Kubernetes makes them.
std::vector<Json> endpoint_slices(const ServiceInput& service, const std::vector<PodView>& pods);

// A complete ruleset (for `nft -f`) that turns cluster addresses into addresses of ready pods,
// drawn at random for each connection. Replaces the one before in one transaction.
std::string translation_rules(const std::vector<ServiceInput>& services,
                              const std::vector<PodView>& pods);

// Answers for names under <domain>: Services (A, AAAA, SRV), pods of headless Services by their
// host names or dashed addresses. Everything else does not exist.
class Zone {
 public:
  explicit Zone(std::string domain = "cluster.local") : domain_(std::move(domain)) {}
  // Both must outlive the call only.
  dns::Message answer(const dns::Message& query, const std::vector<ServiceInput>& services,
                      const std::vector<PodView>& pods) const;

 private:
  std::string domain_;
};

}  // namespace tulle::local
