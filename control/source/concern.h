// SPDX-License-Identifier: Apache-2.0
// What a manifest that cannot be taken may concern. A policy that nobody can read may forbid
// something, so that what it may be about stays closed (Closure in control/index/index.h) until it
// can be read, instead of being open as if it had not been written. Grants need no such care: one
// that is missing grants nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/index/index.h"
#include "lib/k8s/manifest.h"

namespace tulle::control {

// The documents of a text, each with its place.
struct Document {
  std::string_view text;
  std::uint32_t number = 0;  // from 1
  std::uint32_t line = 0;    // of its first line, from 1
};
std::vector<Document> documents_of(std::string_view text, k8s::Format format);

// What this object would have forbidden; none if its absence opens nothing. `whole` says that it
// breaks no rule, so that its selector and port can be relied on.
std::vector<Closure> closures_of(const k8s::Object& object, bool whole);

// The same of a document that cannot be read at all: by the words in it.
std::vector<Closure> closures_of_text(std::string_view document);

// One object of a document that cannot be read: what is certain of it, and what it may concern.
struct Concern {
  std::optional<std::string> kind;  // absent: it may be any
  std::optional<std::string> ns;    // for a Namespace, its name
  std::optional<std::string> name;
  std::vector<Closure> closures;
};
// `last`: the file ends with this document, so that it may have been cut off.
std::vector<Concern> concerns_of(std::string_view document, k8s::Format format, bool last);

// There is no such kind in such a group, but there is one much like it: somebody's policy that
// would have no effect.
bool is_misspelt(std::string_view version, std::string_view kind);

// What the validators of a cluster refuse beyond what the typed reader does: routes and profiles
// (docs/reference/control-plane.md §6.5, §6.9). "field: reason" of the first; nullopt if there is
// nothing.
std::optional<std::string> validator_problem(std::string_view document, k8s::Format format);

}  // namespace tulle::control
