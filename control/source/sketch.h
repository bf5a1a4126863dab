// SPDX-License-Identifier: Apache-2.0
// What is certain of the objects in a text that is broken: everything in front of the break. A text
// that was cut off says nothing about what was to follow.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/k8s/manifest.h"

namespace tulle::control {

struct Sketch {
  // Absent: it does not say so for certain.
  std::optional<std::string> api_version;
  std::optional<std::string> kind;
  std::optional<std::string> name;
  std::optional<std::string> ns;  // "default" where it certainly names none
  bool whole = false;             // its end is there
  bool manifest = false;          // it has a field that only manifests have
  bool rest = false;              // stands for items behind the break of a list
};

// As UTF-8 with line feeds, whatever encoding and ends of lines it has, so that every reader sees
// the same lines in it; the text itself where nothing is to be done.
std::string readable(std::string_view text, k8s::Format format);

// The objects of one document, those of lists one by one; one of which nothing is known where there
// may be more. `last` says that the file ends with it, so that it may have been cut off. Empty if
// it has no objects.
std::vector<Sketch> sketches_of(std::string_view document, k8s::Format format, bool last);

// The document without what may be a half of a word at its end.
std::string_view without_half_words(std::string_view document);

// It breaks off where more was to follow, rather than being wrong in its middle.
bool ends_too_early(std::string_view document, k8s::Format format);

}  // namespace tulle::control
