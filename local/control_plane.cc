// SPDX-License-Identifier: Apache-2.0
#include "local/control_plane.h"

#include "lib/base/text.h"
#include "local/model.h"

namespace tulle::local {
namespace {

Json service(const std::string& ns, const char* name, int port, bool headless) {
  Json out = {{"apiVersion", "v1"},
              {"kind", "Service"},
              {"metadata", {{"name", name}, {"namespace", ns}}},
              {"spec",
               {{"selector", {{"linkerd.io/control-plane-component", "control"}}},
                {"ports", {{{"name", "grpc"}, {"port", port}, {"targetPort", port}}}}}}};
  if (headless) out["spec"]["clusterIP"] = "None";
  return out;
}

}  // namespace

std::string control_plane_manifests(const std::string& ns, const std::vector<std::string>& flags) {
  std::vector<std::string> args = {
      "--manifests=/run/tulle/manifests",
      "--issuer=/run/tulle/issuer",
      "--identity-generate",
      "--token-key=/run/tulle/token.pub",
      "--controller-namespace=" + ns,
      concat("--cluster-networks=", kPodNetwork, ",", kServiceNetwork, ",", kPodNetwork6, ",",
             kServiceNetwork6),
      concat("--probe-networks=", kGateway, "/32,", kGateway6, "/128")};
  args.insert(args.end(), flags.begin(), flags.end());
  const Json pod = {
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata",
       {{"name", "linkerd-control-plane"},
        {"namespace", ns},
        {"labels",
         {{"linkerd.io/control-plane-component", "control"},
          {"linkerd.io/control-plane-ns", ns}}}}},
      {"spec",
       {{"serviceAccountName", "linkerd-control-plane"},
        {"containers",
         {{{"name", "control"},
           {"image", "local/tulle"},
           {"command", {"/usr/lib/linkerd/tulle-control"}},
           {"args", args},
           {"securityContext",
            {{"runAsUser", kControlUser},
             {"runAsGroup", kControlUser},
             {"readOnlyRootFilesystem", true}}},
           {"ports",
            {{{"name", "identity"}, {"containerPort", 8080}},
             {{"name", "destination"}, {"containerPort", 8086}},
             {{"name", "policy"}, {"containerPort", 8090}},
             {{"name", "admin-http"}, {"containerPort", 9990}}}},
           {"livenessProbe",
            {{"httpGet", {{"path", "/live"}, {"port", 9990}}}, {"initialDelaySeconds", 10}}},
           {"readinessProbe", {{"httpGet", {{"path", "/ready"}, {"port", 9990}}}}}}}}}}};
  std::string out;
  const auto add = [&](const Json& object) { out += object.dump() + "\n---\n"; };
  add({{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", ns}}}});
  add({{"apiVersion", "v1"},
       {"kind", "ServiceAccount"},
       {"metadata", {{"name", "linkerd-control-plane"}, {"namespace", ns}}}});
  add(service(ns, "linkerd-identity", 8080, false));
  add(service(ns, "linkerd-identity-headless", 8080, true));
  add(service(ns, "linkerd-dst", 8086, false));
  add(service(ns, "linkerd-dst-headless", 8086, true));
  add(service(ns, "linkerd-policy", 8090, true));
  add(pod);
  return out;
}

}  // namespace tulle::local
