// SPDX-License-Identifier: Apache-2.0
#include "control/source/manifest_files.h"

#include <algorithm>
#include <iterator>

#include "control/source/concern.h"
#include "control/source/sketch.h"
#include "lib/base/text.h"

namespace tulle::control {
namespace {

std::string text_of(const ObjectKey& key) {
  return key.ns.empty() ? concat(key.kind, " ", key.name)
                        : concat(key.kind, " ", key.ns, "/", key.name);
}

// Kinds or groups that there are not: somebody's policy, misspelt.
void add_misspelt(const k8s::Manifest& manifest, std::vector<k8s::Problem>& to) {
  for (const k8s::Problem& ignored : manifest.ignored) {
    const std::string_view what = ignored.path;
    const std::size_t blank = what.find(' ');
    if (!is_misspelt(what.substr(0, blank), what.substr(blank + 1))) continue;
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

std::set<std::string> ManifestFiles::update(const std::string& file, std::string_view written) {
  // Of more than this only the beginning may be there.
  if (written.size() > k8s::kMaxDocumentBytes) {
    unreadable(file, "larger than 16 MiB");
    return {};
  }
  const std::string text = readable(written, k8s::format_of(file));
  unread_.erase(file);
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
  close(file, concerns(file, text));
}

void ManifestFiles::close(const std::string& file, std::vector<Closure> closures) {
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
  std::vector<Concern> unread;
  std::set<ObjectKey> seen;
  const k8s::Format format = k8s::format_of(file);
  const auto take = [&](const k8s::Object& object, bool whole, bool anywhere) {
    ObjectKey key = key_of(object);
    // What is in the index has its last good state there.
    if (!owners_.contains(key)) {
      for (Closure& closure : closures_of(object, whole)) {
        if (anywhere && closure.ns == "default") closure.ns.clear();
        out.push_back(std::move(closure));
      }
    }
    seen.insert(std::move(key));
  };
  const std::vector<Document> documents = documents_of(text, format);
  for (const Document& document : documents) {
    const bool last = &document == &documents.back();
    const auto read = [&](std::string_view part, std::size_t& unreadable) {
      k8s::Manifest manifest = k8s::parse_manifest(part, format, file);
      std::vector<k8s::Problem> misspelt;
      add_misspelt(manifest, misspelt);
      unreadable = manifest.problems.size() + misspelt.size() - manifest.refused.size();
      return manifest;
    };
    std::size_t unreadable = 0;
    k8s::Manifest part = read(document.text, unreadable);
    const bool broken = unreadable > 0 || !part.refused.empty();
    // The last word of what was cut off may be half of it.
    if (broken && last) part = read(without_half_words(document.text), unreadable);
    auto concerns = broken ? concerns_of(document.text, format, last) : std::vector<Concern>();
    const bool anywhere = std::any_of(concerns.begin(), concerns.end(),
                                      [](const Concern& concern) { return !concern.ns; });
    for (const k8s::Object& object : part.objects) take(object, true, anywhere);
    for (const k8s::Object& object : part.refused) take(object, false, anywhere);
    // A list is given up at its first problem, whatever else it has.
    const std::size_t read_objects = part.objects.size() + part.refused.size();
    if (unreadable == 0 && read_objects > 0 && concerns.size() == 1) continue;
    for (Concern& concern : concerns) {
      const bool known =
          std::any_of(part.refused.begin(), part.refused.end(), [&](const auto& object) {
            const k8s::ObjectMeta& meta = k8s::meta_of(object);
            return concern.kind == k8s::kind_of(object).kind && concern.ns == meta.ns &&
                   concern.name == meta.name;
          });
      if (!known) unread.push_back(std::move(concern));
    }
  }
  add_unknown(file, seen, std::move(unread), out);
  return out;
}

// It has its last good state, of another file.
bool ManifestFiles::is_owned(const Concern& concern) const {
  if (!concern.kind || !concern.ns || !concern.name) return false;
  constexpr std::string_view kGroups[] = {k8s::kPolicyGroup, k8s::kGatewayGroup, ""};
  return std::any_of(std::begin(kGroups), std::end(kGroups), [&](std::string_view group) {
    return owners_.contains({group, *concern.kind, *concern.ns, *concern.name});
  });
}

// An object that cannot be read is, where the file had one that is not in it now and may be the
// same, that one: somebody is writing it anew, and its last good state stays.
void ManifestFiles::add_unknown(const std::string& file, const std::set<ObjectKey>& seen,
                                std::vector<Concern> unread, std::vector<Closure>& out) const {
  std::vector<const ObjectKey*> missing;
  if (const auto known = files_.find(file); known != files_.end()) {
    std::copy_if(known->second.begin(), known->second.end(), std::back_inserter(missing),
                 [&](const ObjectKey* key) { return !seen.contains(*key); });
  }
  // Those of which most is known choose first.
  const auto parts = [](const Concern& concern) {
    return int{concern.kind.has_value()} + int{concern.ns.has_value()} +
           int{concern.name.has_value()};
  };
  std::stable_sort(unread.begin(), unread.end(),
                   [&](const Concern& a, const Concern& b) { return parts(a) > parts(b); });
  for (Concern& concern : unread) {
    const auto same = std::find_if(missing.begin(), missing.end(), [&](const ObjectKey* key) {
      const bool cluster = key->ns.empty();
      return concern.kind.value_or(std::string(key->kind)) == key->kind &&
             (cluster || concern.ns.value_or(key->ns) == key->ns) &&
             concern.name.value_or(key->name) == key->name;
    });
    if (same != missing.end()) {
      missing.erase(same);
      continue;
    }
    if (is_owned(concern)) continue;
    std::move(concern.closures.begin(), concern.closures.end(), std::back_inserter(out));
  }
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
  unread_.erase(file);
  index_.close(file, {});
  for (auto& [key, others] : shadowed_) others.erase(file);
  std::erase_if(shadowed_, [](const auto& entry) { return entry.second.empty(); });
  return again;
}

void ManifestFiles::unreadable(const std::string& file, std::string_view why) {
  std::string& known = unread_[file];
  if (known == why) return;
  known = why;
  broken_.insert(file);
  report({file, 0, 0, "", std::string(why)});
  // A file that was never read may say anything.
  const auto held = files_.find(file);
  if (held != files_.end() && !held->second.empty()) return;
  Closure closure;
  std::vector<Closure> all = {closure};
  closure.egress = true;
  all.push_back(closure);
  close(file, std::move(all));
}

std::set<std::string> ManifestFiles::names() const {
  std::set<std::string> out = broken_;
  for (const auto& [name, keys] : files_) out.insert(name);
  return out;
}

}  // namespace tulle::control
