// SPDX-License-Identifier: Apache-2.0
#include "control/source/manifest_files.h"

#include <algorithm>

#include "control/source/concern.h"
#include "lib/base/text.h"

namespace tulle::control {
namespace {

std::string text_of(const ObjectKey& key) {
  return key.ns.empty() ? concat(key.kind, " ", key.name)
                        : concat(key.kind, " ", key.ns, "/", key.name);
}

// Kinds that there are not, in a group of which all are read: somebody's policy, misspelt.
void add_misspelt(const k8s::Manifest& manifest, std::vector<k8s::Problem>& to) {
  for (const k8s::Problem& ignored : manifest.ignored) {
    if (!ignored.path.starts_with(concat(k8s::kPolicyGroup, "/"))) continue;
    k8s::Problem problem = ignored;
    problem.reason = concat("there is no kind ", ignored.path);
    problem.path = "kind";
    to.push_back(std::move(problem));
  }
}

}  // namespace

void ManifestFiles::report(const k8s::Problem& problem) {
  log_.error("a manifest is broken; the last good state of the file stays",
             {{"file", problem.file},
              {"document", problem.document},
              {"line", problem.line},
              {"field", problem.path},
              {"reason", problem.reason}});
}

std::set<std::string> ManifestFiles::update(const std::string& file, std::string_view text) {
  const auto known = files_.find(file);
  if (trim(text).empty() && known != files_.end() && !known->second.empty()) {
    // Somebody has cut it off and will write it, or has failed to.
    broken_.insert(file);
    report({file, 0, 0, "", "the file is empty; remove it to remove its objects"});
    return {};
  }
  k8s::Manifest manifest = k8s::parse_manifest(text, k8s::format_of(file), file);
  std::set<ObjectKey> keys;
  for (const k8s::Object& object : manifest.objects) {
    if (keys.insert(key_of(object)).second) continue;
    manifest.problems.push_back(
        {file, 0, 0, "", concat(text_of(key_of(object)), " occurs twice in this file")});
  }
  add_misspelt(manifest, manifest.problems);
  if (manifest.problems.empty()) {
    for (const Document& document : documents_of(text, k8s::format_of(file))) {
      if (auto problem = validator_problem(document.text, k8s::format_of(file))) {
        manifest.problems.push_back({file, document.number, document.line, "", *problem});
      }
    }
  }
  if (!manifest.problems.empty()) {
    refuse(file, text, manifest.problems);
    return {};
  }
  broken_.erase(file);
  index_.close(file, {});
  for (const k8s::Problem& ignored : manifest.ignored) {
    // Routes and the like would change what traffic may do; a Deployment is nothing to a mesh.
    const bool matters = ignored.path.starts_with(k8s::kPolicyGroup) ||
                         ignored.path.starts_with("gateway.networking.k8s.io/") ||
                         ignored.path.starts_with("linkerd.io/");
    const log::Fields fields = {{"file", file}, {"kind", ignored.path}};
    if (matters) {
      log_.warn("objects of this kind have no effect yet", fields);
    } else {
      log_.debug("objects of this kind are not read", fields);
    }
  }
  return replace(file, std::move(manifest.objects));
}

void ManifestFiles::refuse(const std::string& file, std::string_view text,
                           const std::vector<k8s::Problem>& problems) {
  broken_.insert(file);
  for (const k8s::Problem& problem : problems) report(problem);
  std::vector<Closure> closures = concerns(file, text);
  for (const Closure& closure : closures) {
    log_.warn("what a broken manifest may concern stays closed",
              {{"file", file},
               {"namespace", closure.ns.empty() ? "every namespace" : closure.ns},
               {"direction", closure.egress ? "outbound" : "inbound"}});
  }
  index_.close(file, std::move(closures));
}

std::vector<Closure> ManifestFiles::concerns(const std::string& file, std::string_view text) const {
  std::vector<Closure> out;
  std::vector<Closure> unread;
  std::size_t unread_documents = 0;
  std::set<ObjectKey> seen;
  const k8s::Format format = k8s::format_of(file);
  const auto take = [&](const k8s::Object& object, bool whole) {
    ObjectKey key = key_of(object);
    // What is in the index has its last good state there.
    if (!owners_.contains(key)) {
      for (Closure& closure : closures_of(object, whole)) out.push_back(std::move(closure));
    }
    seen.insert(std::move(key));
  };
  for (const Document& document : documents_of(text, format)) {
    const k8s::Manifest part = k8s::parse_manifest(document.text, format, file);
    for (const k8s::Object& object : part.objects) take(object, true);
    for (const k8s::Object& object : part.refused) take(object, false);
    std::vector<k8s::Problem> misspelt;
    add_misspelt(part, misspelt);
    if (part.problems.size() + misspelt.size() == part.refused.size()) continue;
    auto closures = closures_of_text(document.text);
    if (!closures.empty()) ++unread_documents;
    unread.insert(unread.end(), closures.begin(), closures.end());
  }
  // A document that cannot be read is, where the file had as many policies that are not in it now,
  // one of those: somebody is writing it anew.
  std::size_t missing = 0;
  if (const auto known = files_.find(file); known != files_.end()) {
    missing = static_cast<std::size_t>(
        std::count_if(known->second.begin(), known->second.end(), [&](const ObjectKey* key) {
          return key->group == k8s::kPolicyGroup && !seen.contains(*key);
        }));
  }
  if (unread_documents > missing) out.insert(out.end(), unread.begin(), unread.end());
  return out;
}

std::set<std::string> ManifestFiles::replace(const std::string& file,
                                             std::vector<k8s::Object> objects) {
  auto& [name, held] = *files_.try_emplace(file).first;
  std::set<const ObjectKey*> gone(held.begin(), held.end());
  std::vector<const ObjectKey*> now;
  std::set<std::string> again;
  index_.begin_batch();
  for (k8s::Object& object : objects) {
    const auto owner = owners_.emplace(key_of(object), &name).first;
    if (owner->second != &name) {
      if (shadowed_[owner->first].insert(file).second) {
        log_.error("an object is defined in two files; the first one counts",
                   {{"object", text_of(owner->first)}, {"file", file}, {"first", *owner->second}});
      }
      continue;
    }
    index_.put(std::move(object));
    gone.erase(&owner->first);
    now.push_back(&owner->first);
  }
  for (const ObjectKey* const at : gone) {
    const ObjectKey key = *at;
    index_.erase(key);
    owners_.erase(key);
    const auto others = shadowed_.find(key);
    if (others == shadowed_.end()) continue;
    again.insert(others->second.begin(), others->second.end());
    shadowed_.erase(others);
  }
  now.shrink_to_fit();
  held = std::move(now);
  index_.end_batch();
  again.erase(file);
  return again;
}

std::set<std::string> ManifestFiles::remove(const std::string& file) {
  std::set<std::string> again = replace(file, {});
  files_.erase(file);
  broken_.erase(file);
  index_.close(file, {});
  for (auto& [key, others] : shadowed_) others.erase(file);
  std::erase_if(shadowed_, [](const auto& entry) { return entry.second.empty(); });
  return again;
}

void ManifestFiles::unreadable(const std::string& file, std::string_view why) {
  if (!broken_.insert(file).second) return;
  report({file, 0, 0, "", std::string(why)});
  // A file that was never read may say anything.
  if (!files_.contains(file)) index_.close(file, {Closure{}});
}

std::set<std::string> ManifestFiles::names() const {
  std::set<std::string> out = broken_;
  for (const auto& [name, keys] : files_) out.insert(name);
  return out;
}

}  // namespace tulle::control
