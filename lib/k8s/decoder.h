// SPDX-License-Identifier: Apache-2.0
// Turns tokens into typed structs. A struct is described once, by a function found by its argument:
//
//   template <typename V> void describe(V& v, ServicePort& port) {
//     v.field("name", port.name);
//     v.field("port", port.port);
//   }
//
// and is then readable from YAML and JSON alike. Fields that are not described are skipped without
// being looked at; null counts as absent; a described field that occurs twice is an error, and so
// is a value of the wrong type (an unquoted 8080 where text is due, as in Kubernetes). After the
// first error everything else is a no-op: check problem() once at the end.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "lib/base/text.h"
#include "lib/k8s/meta.h"
#include "lib/k8s/token.h"
#include "lib/net/address.h"

namespace tulle::k8s {

// A mistake and its place: enough for the author of the file to find it.
struct Problem {
  std::string file;
  std::uint32_t document = 0;  // from 1
  std::uint32_t line = 0;      // from 1; 0 if unknown
  std::string path;            // e.g. "spec.ports[1].port"
  std::string reason;
  // "pods.yaml:12: document 2: spec.ports[1].port: must be a number, not text"
  std::string to_string() const;
};

class Decoder {
 public:
  explicit Decoder(TokenSource& source) : source_(source) { advance(); }

  bool failed() const noexcept { return problem_.has_value(); }
  const std::optional<Problem>& problem() const noexcept { return problem_; }
  // Records the first error, at the current token and path.
  void fail(std::string reason);
  // The same for a part of what was read before: `path` continues the current one.
  void fail_at(std::string_view path, std::uint32_t line, std::string reason);
  // Takes over the problem of another decoder that read a part of this document.
  void fail_as(Problem problem);
  const Token& peek() const noexcept { return token_; }
  bool at(Token::Kind kind) const noexcept { return !failed() && token_.kind == kind; }
  void advance();
  // Skips one value, whatever it is.
  void skip();
  // Opens a map or a list; on anything else fails, says false. Null is an empty one: says false
  // too.
  bool open(Token::Kind begin, std::string_view what);
  // The next key of an open map into `key`; false (and the map is closed) at its end.
  bool next_key(std::string& key);
  // True while the open list has another item (now at peek()); closes the list at its end.
  bool next_item();

  void read(std::string& into);
  void read(bool& into);
  void read(IntOrString& into);
  void read(StringMap& into);
  void read(Time& into);
  void read(net::IpAddr& into);
  void read(net::Cidr& into);
  template <typename T>
  requires std::is_integral_v<T>
  void read(T& into) {
    if (!scalar(Token::Type::Int, "a number")) return;
    const std::optional<T> value = parse_number<T>(token_.text);
    if (!value) return fail(concat("the number ", token_.text, " is out of range here"));
    into = *value;
    advance();
  }
  template <typename T>
  void read(std::optional<T>& into) {
    read(into.emplace());
  }
  template <typename T>
  void read(std::vector<T>& into) {
    if (!open(Token::Kind::ListBegin, "a list")) return;
    std::size_t index = 0;
    while (next_item()) {
      push_index(index++);
      read(into.emplace_back());
      pop();
    }
    into.shrink_to_fit();
  }
  template <typename T>
  void read(Shared<T>& into) {
    read(into.edit());
  }
  template <typename T>
  requires std::is_class_v<T>
  void read(T& into) {
    if (!open(Token::Kind::MapBegin, "an object")) return;
    std::string key;
    std::uint64_t seen = 0;
    while (next_key(key)) read_field(into, key, seen);
  }
  // Reads the value at hand into the field of that name, or skips it. `seen` has one bit per field.
  template <typename T>
  void read_field(T& into, std::string_view key, std::uint64_t& seen) {
    FieldVisitor visitor{*this, key, seen};
    describe(visitor, into);
    if (!visitor.matched) skip();
  }

  // Parts of the path in messages.
  void push(std::string_view name);
  void push_index(std::size_t index);
  void pop();

 private:
  struct FieldVisitor {
    Decoder& decoder;
    std::string_view key;
    std::uint64_t& seen;
    bool matched = false;
    unsigned index = 0;

    template <typename T>
    void field(std::string_view name, T& into) {
      const std::uint64_t bit = std::uint64_t{1} << index++;
      if (matched || name != key) return;
      matched = true;
      decoder.push(name);
      if ((seen & bit) != 0) decoder.fail("occurs twice");
      seen |= bit;
      if (decoder.null()) {
        decoder.advance();
      } else {
        decoder.read(into);
      }
      decoder.pop();
    }
  };
  bool null() const noexcept {
    return token_.kind == Token::Kind::Scalar && token_.type == Token::Type::Null;
  }
  bool scalar(Token::Type type, std::string_view what);
  std::string found() const;

  TokenSource& source_;
  Token token_;
  std::string path_;
  std::vector<std::size_t> path_marks_;
  std::optional<Problem> problem_;
};

}  // namespace tulle::k8s
