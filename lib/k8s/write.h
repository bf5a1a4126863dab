// SPDX-License-Identifier: Apache-2.0
// Requests that read and change single objects, for ApiClient::call. Bodies are JSON; make them
// with json_writer.h.
#pragma once

#include <string>
#include <string_view>

#include "lib/k8s/client.h"
#include "lib/k8s/resource.h"

namespace tulle::k8s {

struct ObjectPath {
  Resource resource;
  std::string_view ns;           // "" for what has none
  std::string_view name;         // "" with create()
  std::string_view subresource;  // e.g. "status"
  std::string_view version;      // "": the newest that we know
};

ApiRequest get(const ObjectPath& object);
ApiRequest create(const ObjectPath& object, std::string body);
// The body must carry the resourceVersion that it replaces; 409 if that is not the last.
ApiRequest replace(const ObjectPath& object, std::string body);
// `uid` "" deletes whatever has the name; otherwise 409 if that is another object.
ApiRequest remove(const ObjectPath& object, std::string_view uid = {});
// RFC 7396: members replace, null removes. `manager` owns what changes (managedFields).
ApiRequest merge_patch(const ObjectPath& object, std::string body, std::string_view manager);
// RFC 6902.
ApiRequest json_patch(const ObjectPath& object, std::string body, std::string_view manager);
// Server-side apply: the body (apiVersion, kind, metadata.name and what we want) is all that
// `manager` owns; what it owned before and no longer names goes. `force` takes fields from others,
// else 409.
ApiRequest apply(const ObjectPath& object, std::string body, std::string_view manager, bool force);

}  // namespace tulle::k8s
