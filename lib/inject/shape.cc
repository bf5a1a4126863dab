// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/shape.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::inject {
namespace {

std::string_view name_of(Value::Kind kind) noexcept {
  switch (kind) {
    case Value::Kind::Null: return "null";
    case Value::Kind::Bool: return "true or false";
    case Value::Kind::Number: return "a number";
    case Value::Kind::String: return "text";
    case Value::Kind::List: return "a list";
    case Value::Kind::Map: return "a map";
  }
  return "";
}

// Looks at one object; the first problem is kept.
class Shape {
 public:
  explicit Shape(std::string_view path) : path_(path) {
    std::replace(path_.begin(), path_.end(), '/', '.');
    if (path_.starts_with('.')) path_.erase(0, 1);
  }

  // A member that is missing or null is as good as an empty one, as Kubernetes reads it.
  const Value& map(const Value& parent, std::string_view field, std::string_view below = "") {
    return member(parent, field, below, Value::Kind::Map, kMaxItems);
  }
  const Value& list(const Value& parent, std::string_view field, std::string_view below,
                    std::size_t most = kMaxItems) {
    const Value& found = member(parent, field, below, Value::Kind::List, most);
    for (std::size_t i = 0; good() && i < found.size(); ++i) {
      const Value& item = found.items()[i];
      if (!item.is_map()) {
        wrong(concat(below, below.empty() ? "" : ".", field, "[", std::to_string(i), "]"),
              concat("must be a map, it is ", name_of(item.kind())));
      }
    }
    return found;
  }
  void wrong(std::string_view where, std::string_view what) {
    if (!good()) return;
    problem_ = concat(path_, path_.empty() || where.empty() ? "" : ".", where, " ", what);
  }
  bool good() const noexcept { return problem_.empty(); }
  std::string take() { return std::move(problem_); }

 private:
  const Value& member(const Value& parent, std::string_view field, std::string_view below,
                      Value::Kind kind, std::size_t most) {
    static const Value kNull;
    const Value& found = parent[field];
    if (found.is_null()) return kNull;
    const bool fits = found.kind() == kind;
    if (fits && found.size() <= most) return found;
    const std::string where = concat(below, below.empty() ? "" : ".", field);
    if (fits) {
      wrong(where, concat("has ", std::to_string(found.size()), " items, at most ",
                          std::to_string(most), " are taken"));
    } else {
      wrong(where, concat("must be ", name_of(kind), ", it is ", name_of(found.kind())));
    }
    return kNull;
  }

  std::string path_;
  std::string problem_;
};

void metadata(Shape& shape, const Value& object) {
  const Value& meta = shape.map(object, "metadata");
  shape.map(meta, "annotations", "metadata");
  shape.map(meta, "labels", "metadata");
}

void containers(Shape& shape, const Value& spec, std::string_view field, std::size_t& ports) {
  const Value& list = shape.list(spec, field, "spec", kMaxContainers);
  for (std::size_t i = 0; shape.good() && i < list.size(); ++i) {
    const Value& container = list.items()[i];
    const std::string at = concat("spec.", field, "[", std::to_string(i), "]");
    ports += shape.list(container, "ports", at).size();
    shape.list(container, "env", at);
    shape.list(container, "volumeMounts", at);
  }
  if (ports > kMaxItems) {
    shape.wrong("spec", concat("declares more than ", std::to_string(kMaxItems), " ports"));
  }
}

}  // namespace

std::string metadata_problem(const Value& object, std::string_view path) {
  Shape shape(path);
  metadata(shape, object);
  return shape.take();
}

std::string pod_problem(const Value& pod, std::string_view path) {
  Shape shape(path);
  metadata(shape, pod);
  const Value& spec = shape.map(pod, "spec");
  std::size_t ports = 0;
  containers(shape, spec, "containers", ports);
  containers(shape, spec, "initContainers", ports);
  shape.list(spec, "volumes", "spec");
  return shape.take();
}

std::string service_problem(const Value& service) {
  Shape shape("");
  metadata(shape, service);
  const Value& spec = shape.map(service, "spec");
  shape.list(spec, "ports", "spec");
  return shape.take();
}

}  // namespace tulle::inject
