// SPDX-License-Identifier: Apache-2.0
#include "local/fabric.h"

#include <cstring>

#include "lib/base/text.h"
#include "local/model.h"
#include "local/process.h"

namespace tulle::local {
namespace {

std::string run_ip(int netns, const std::string& batch) {
  RunOptions options;
  options.input = batch;
  options.netns = netns;
  const Ran ran = run_program({"ip", "-batch", "-"}, options);
  return ran.ok() ? "" : concat("ip: ", trim(ran.errors));
}

std::string number(std::uint64_t value) {
  std::string out;
  append_number(out, value);
  return out;
}

}  // namespace

std::string Fabric::create(const std::string& scratch) {
  Sandbox::Options options;
  options.hostname = "tulle-fabric";
  options.scratch = scratch;
  auto made = Sandbox::create(options);
  if (!made) {
    return concat("cannot make namespaces: ", made.error().where, ": ",
                  std::strerror(made.error().os_errno));
  }
  sandbox_ = *std::move(made);
  // The addresses of the gateway and of the DNS server belong to no device of any pod.
  std::string problem = run_ip(
      sandbox_->netns(), concat("link set lo up\naddr add ", kGateway, "/32 dev lo\naddr add ",
                                kGateway6, "/128 dev lo nodad\naddr add ", kDnsAddress,
                                "/32 dev lo\naddr add ", kDnsAddress6, "/128 dev lo nodad\n"));
  if (!problem.empty()) return problem;
  RunOptions in_fabric;
  in_fabric.netns = sandbox_->netns();
  const Ran ran = run_program(
      {"sh", "-c",
       "echo 1 >/proc/sys/net/ipv4/ip_forward && echo 1 >/proc/sys/net/ipv6/conf/all/forwarding && "
       "echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects && "
       "echo 0 >/proc/sys/net/ipv4/conf/default/send_redirects"},
      in_fabric);
  return ran.ok() ? "" : concat("cannot switch forwarding on: ", trim(ran.errors));
}

std::string Fabric::connect(const Sandbox& pod, std::uint32_t index, const net::IpAddr& ip4,
                            const net::IpAddr& ip6) {
  const std::string device = "pod" + number(index);
  std::string problem = run_ip(
      sandbox_->netns(),
      concat("link add ", device, " type veth peer name eth0 netns ",
             number(static_cast<std::uint64_t>(pod.pid())), "\naddr add fe80::1/64 dev ", device,
             " nodad\nlink set ", device, " up\nroute add ", ip4.to_string(), "/32 dev ", device,
             "\nroute add ", ip6.to_string(), "/128 dev ", device, "\n"));
  if (!problem.empty()) return problem;
  return run_ip(pod.netns(),
                concat("link set lo up\naddr add ", ip4.to_string(), "/32 dev eth0\naddr add ",
                       ip6.to_string(), "/128 dev eth0 nodad\nlink set eth0 up\nroute add ",
                       kGateway, "/32 dev eth0 scope link\nroute add default via ", kGateway,
                       " dev eth0\nroute add default via fe80::1 dev eth0\n"));
}

std::string Fabric::translate(const std::string& rules) {
  RunOptions options;
  options.input = rules;
  options.netns = sandbox_->netns();
  const Ran ran = run_program({"nft", "-f", "-"}, options);
  return ran.ok() ? "" : concat("nft: ", trim(ran.errors).substr(0, 400));
}

std::string Fabric::netns_path() const {
  return concat("/proc/", number(static_cast<std::uint64_t>(sandbox_->pid())), "/ns/net");
}

}  // namespace tulle::local
