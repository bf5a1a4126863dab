// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/metadata.h"

#include "lib/base/text.h"
#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/manifest.h"

namespace tulle::k8s {
namespace {

struct AnyObject {
  ObjectMeta meta;
};
template <typename V>
void describe(V& v, AnyObject& x) {
  v.field("metadata", x.meta);
}

}  // namespace

std::string accept_metadata(std::string_view kind) {
  return concat("application/json;as=", kind, ";g=meta.k8s.io;v=v1,application/json");
}

Error error_of(const ApiStatus& status, std::string_view where) {
  switch (status.code) {
    case 404: return {Errc::NotFound, where};
    case 409:
    case 422: return {Errc::Refused, where};  // a JSON Patch whose test fails is 422
    default: return {Errc::Unavailable, where};
  }
}

net::Task<Result<ObjectMeta>> read_metadata(ApiClient& client, ObjectPath path,
                                            std::string_view where, Deadline by) {
  ApiRequest request = get(path);
  request.accept = accept_metadata("PartialObjectMetadata");
  const ApiResponse response = co_await client.call(std::move(request), by);
  if (!response.ok()) co_return error_of(response.status, where);
  JsonSource source(response.body, JsonSource::Skipping::Unparsed);
  AnyObject read;
  if (!source.next_document() || decode(source, read)) co_return Error{Errc::Invalid, where};
  co_return std::move(read.meta);
}

}  // namespace tulle::k8s
