// SPDX-License-Identifier: Apache-2.0
// Objects of which only the metadata is wanted: the API server leaves the rest out.
#pragma once

#include <string>
#include <string_view>

#include "lib/k8s/client.h"
#include "lib/k8s/meta.h"
#include "lib/k8s/write.h"

namespace tulle::k8s {

// For `accept` of a request: `kind` is PartialObjectMetadata or PartialObjectMetadataList. Whoever
// cannot reduce objects (few can not) may send them whole.
std::string accept_metadata(std::string_view kind);

// The server's failure as one of ours: NotFound, Refused (a conflict, or a JSON Patch whose test
// fails), else Unavailable; `where` is a literal.
Error error_of(const ApiStatus& status, std::string_view where);

// Of one object; errors as above, and Invalid for what cannot be read. The path's texts must
// outlive the call until its first suspension.
net::Task<Result<ObjectMeta>> read_metadata(ApiClient& client, ObjectPath path,
                                            std::string_view where, Deadline by);

}  // namespace tulle::k8s
