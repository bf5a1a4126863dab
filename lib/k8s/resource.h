// SPDX-License-Identifier: Apache-2.0
// Where objects live in the API: resources by group, versions and plural name, and the paths that
// follow from it (Kubernetes API concepts, "Resource URIs").
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tulle::k8s {

// Where objects of one kind live.
struct Resource {
  std::string_view group;  // "" is the core group
  std::string_view plural;
  // Newest first; a server may have any of them. Literals, separated by commas.
  std::string_view versions = "v1";
  bool namespaced = true;
};

// Core and built-in groups, which every API server has.
inline constexpr Resource kPods{"", "pods"};
inline constexpr Resource kServices{"", "services"};
inline constexpr Resource kNodes{"", "nodes", "v1", false};
inline constexpr Resource kNamespaces{"", "namespaces", "v1", false};
inline constexpr Resource kServiceAccounts{"", "serviceaccounts"};
inline constexpr Resource kSecrets{"", "secrets"};
inline constexpr Resource kConfigMaps{"", "configmaps"};
inline constexpr Resource kEvents{"", "events"};
inline constexpr Resource kEndpointSlices{"discovery.k8s.io", "endpointslices"};
inline constexpr Resource kReplicaSets{"apps", "replicasets"};
inline constexpr Resource kDeployments{"apps", "deployments"};
inline constexpr Resource kJobs{"batch", "jobs"};
inline constexpr Resource kLeases{"coordination.k8s.io", "leases"};
inline constexpr Resource kTokenReviews{"authentication.k8s.io", "tokenreviews", "v1", false};
inline constexpr Resource kSubjectAccessReviews{"authorization.k8s.io", "subjectaccessreviews",
                                                "v1", false};
inline constexpr Resource kSelfSubjectAccessReviews{"authorization.k8s.io",
                                                    "selfsubjectaccessreviews", "v1", false};

// Custom resources: which version a server has is found out at run time.
inline constexpr Resource kPolicyHttpRoutes{"policy.linkerd.io", "httproutes",
                                            "v1beta3,v1beta2,v1beta1,v1alpha1"};
inline constexpr Resource kRateLimits{"policy.linkerd.io", "httplocalratelimitpolicies",
                                      "v1alpha1"};
inline constexpr Resource kEgressNetworks{"policy.linkerd.io", "egressnetworks", "v1alpha1"};
inline constexpr Resource kHttpRoutes{"gateway.networking.k8s.io", "httproutes", "v1,v1beta1"};
inline constexpr Resource kGrpcRoutes{"gateway.networking.k8s.io", "grpcroutes", "v1,v1alpha2"};
inline constexpr Resource kTlsRoutes{"gateway.networking.k8s.io", "tlsroutes", "v1alpha3,v1alpha2"};
inline constexpr Resource kTcpRoutes{"gateway.networking.k8s.io", "tcproutes", "v1alpha2"};

// "/api/v1/namespaces/shop/pods/web-0/status". `ns` "" means all namespaces (or none), `name` ""
// the collection, `version` "" the newest. Everything is percent-encoded.
std::string path_of(const Resource& resource, std::string_view ns = {}, std::string_view name = {},
                    std::string_view subresource = {}, std::string_view version = {});
// RFC 3986 §2.1: everything but unreserved characters.
std::string percent_encode(std::string_view text);
// The i-th of the versions; "" if there are fewer.
std::string_view version_of(const Resource& resource, std::size_t index = 0);

}  // namespace tulle::k8s
