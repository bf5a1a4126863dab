// SPDX-License-Identifier: Apache-2.0
// Whole manifests: several documents, `kind: List`, any mix of kinds, YAML or JSON. Objects come
// out complete (namespace filled in) and checked as Kubernetes and the policy webhook would check
// them, as far as the fields here go. Kinds that are not listed in Object are counted, not read.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/k8s/mesh_objects.h"
#include "lib/k8s/objects.h"
#include "lib/k8s/route_objects.h"

namespace tulle::k8s {

using Object =
    std::variant<Namespace, ServiceAccount, Node, ReplicaSet, Job, Pod, Service, EndpointSlice,
                 Server, ServerAuthorization, AuthorizationPolicy, MeshTlsAuthentication,
                 NetworkAuthentication, HttpLocalRateLimitPolicy, EgressNetwork, PolicyHttpRoute,
                 HttpRoute, GrpcRoute, TlsRoute, TcpRoute, ServiceProfile, ExternalWorkload>;

const ObjectMeta& meta_of(const Object& object) noexcept;
const KindName& kind_of(const Object& object) noexcept;

struct Manifest {
  std::vector<Object> objects;
  std::vector<Problem> problems;  // a document with a problem gives no objects at all
  // Objects that could be read but break a rule: one for each problem of that sort. They are not in
  // `objects`; what they were to select may still be told from them.
  std::vector<Object> refused;
  std::vector<Problem>
      ignored;  // objects of kinds that are not read here, each named once per file
};

enum class Format { Yaml, Json };

// `file` is only for messages.
Manifest parse_manifest(std::string_view text, Format format, std::string_view file);
// By the name's ending: .json is JSON, everything else YAML (of which JSON is a subset, mostly).
Format format_of(std::string_view file_name) noexcept;

// Decodes one JSON or YAML document into one described struct, e.g. an event of a watch.
// Does not fill in or check anything beyond types.
template <typename T>
std::optional<Problem> decode(TokenSource& source, T& into) {
  Decoder decoder(source);
  decoder.read(into);
  return decoder.problem();
}

}  // namespace tulle::k8s
