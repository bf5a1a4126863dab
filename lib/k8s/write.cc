// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/write.h"

#include "lib/base/text.h"
#include "lib/k8s/json_writer.h"

namespace tulle::k8s {
namespace {

constexpr std::string_view kJson = "application/json";

ApiRequest request(std::string_view method, const ObjectPath& object, std::string_view type = {},
                   std::string body = {}) {
  ApiRequest out;
  out.method = method;
  out.path = path_of(object.resource, object.ns, object.name, object.subresource, object.version);
  out.content_type = type;
  out.body = std::move(body);
  return out;
}

ApiRequest patch(const ObjectPath& object, std::string_view type, std::string body,
                 std::string_view manager) {
  ApiRequest out = request("PATCH", object, type, std::move(body));
  if (!manager.empty()) out.path += concat("?fieldManager=", percent_encode(manager));
  return out;
}

}  // namespace

ApiRequest get(const ObjectPath& object) { return request("GET", object); }

ApiRequest create(const ObjectPath& object, std::string body) {
  return request("POST", object, kJson, std::move(body));
}

ApiRequest replace(const ObjectPath& object, std::string body) {
  return request("PUT", object, kJson, std::move(body));
}

ApiRequest remove(const ObjectPath& object, std::string_view uid) {
  if (uid.empty()) return request("DELETE", object);
  JsonWriter json;
  json.object([&] {
    json.member("apiVersion", "v1");
    json.member("kind", "DeleteOptions");
    json.key("preconditions");
    json.object([&] { json.member("uid", uid); });
  });
  return request("DELETE", object, kJson, json.take());
}

ApiRequest merge_patch(const ObjectPath& object, std::string body, std::string_view manager) {
  return patch(object, "application/merge-patch+json", std::move(body), manager);
}

ApiRequest json_patch(const ObjectPath& object, std::string body, std::string_view manager) {
  return patch(object, "application/json-patch+json", std::move(body), manager);
}

ApiRequest apply(const ObjectPath& object, std::string body, std::string_view manager, bool force) {
  // JSON is YAML.
  ApiRequest out = patch(object, "application/apply-patch+yaml", std::move(body), manager);
  if (force) out.path += "&force=true";
  return out;
}

}  // namespace tulle::k8s
