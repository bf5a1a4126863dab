// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/manifest.h"

#include <algorithm>
#include <memory>

#include "lib/base/text.h"
#include "lib/k8s/check.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::k8s {
namespace {

constexpr std::size_t kMaxHeldTokens = 200'000;

// Tokens kept until it is known what they mean: `kind` may come after the fields it explains.
class HeldTokens final : public TokenSource {
 public:
  void add(const Token& token) {
    tokens_.push_back({token.kind, token.type, token.line, std::string(token.text)});
  }
  bool empty() const noexcept { return tokens_.empty(); }
  std::size_t size() const noexcept { return tokens_.size(); }
  bool next_document() override { return true; }
  Token next() override {
    if (at_ == tokens_.size()) return {};
    const Kept& kept = tokens_[at_++];
    return {kept.kind, kept.type, kept.line, kept.text};
  }

 private:
  struct Kept {
    Token::Kind kind;
    Token::Type type;
    std::uint32_t line;
    std::string text;
  };
  std::vector<Kept> tokens_;
  std::size_t at_ = 0;
};

// Makes the variant of the given kind; false if there is none.
template <std::size_t I = 0>
bool make_object(std::string_view group, std::string_view kind, Object& object) {
  if constexpr (I == std::variant_size_v<Object>) {
    return false;
  } else {
    using T = std::variant_alternative_t<I, Object>;
    if (T::kKind.group != group || T::kKind.kind != kind)
      return make_object<I + 1>(group, kind, object);
    object.emplace<I>();
    return true;
  }
}

std::string_view group_of(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

class ManifestReader {
 public:
  ManifestReader(TokenSource& source, std::string_view file, Manifest& out)
      : source_(source), file_(file), out_(out) {}

  void read_all() {
    while (source_.next_document()) {
      ++document_;
      Decoder decoder(source_);
      const std::size_t before = out_.objects.size();
      const bool empty = decoder.at(Token::Kind::End) || (decoder.at(Token::Kind::Scalar) &&
                                                          decoder.peek().type == Token::Type::Null);
      if (!empty && !decoder.failed()) read_object(decoder, {}, {}, 0);
      if (decoder.failed()) {
        Problem problem = *decoder.problem();
        problem.file = file_;
        problem.document = document_;
        out_.problems.push_back(std::move(problem));
        out_.objects.resize(before);
      }
    }
  }

 private:
  // What is known of the object being read; `kind` and `api_version` come from a list, if at all.
  struct Draft {
    std::string kind;
    std::string api_version;
    bool started = false;  // kind and apiVersion are known
    bool is_list = false;
    bool readable = false;  // it is one of Object
    bool has_metadata = false;
    bool has_items = false;
    Object object;
    std::uint64_t seen = 0;
  };

  void read_object(Decoder& in, std::string_view kind, std::string_view api_version, int depth) {
    if (depth > 2) return in.fail("lists in lists in lists");
    const std::uint32_t line = in.peek().line;
    if (!in.at(Token::Kind::MapBegin)) return in.fail("must be an object");
    in.advance();
    Draft draft;
    draft.kind = kind;
    draft.api_version = api_version;
    if (!kind.empty()) start(draft, line);
    HeldTokens held;
    std::string key;
    while (in.next_key(key)) {
      if (key == "kind" || key == "apiVersion") {
        std::string& into = key == "kind" ? draft.kind : draft.api_version;
        std::string value;
        in.push(key);
        in.read(value);
        if (!in.failed() && !into.empty() && into != value)
          in.fail("contradicts what was said before");
        in.pop();
        into = std::move(value);
        if (!draft.started && !draft.kind.empty() && !draft.api_version.empty()) {
          start(draft, line);
          replay(in, draft, held, depth);
        }
      } else if (draft.started) {
        read_field(in, draft, key, depth);
      } else {
        hold(in, key, held);
      }
      if (in.failed()) return;
    }
    if (in.failed()) return;
    if (!draft.started) {
      return in.fail(draft.kind.empty() ? "has no kind" : "has no apiVersion");
    }
    // A file that was cut off must not pass for one that says less.
    if (draft.is_list && !draft.has_items) return in.fail_at("items", line, "is required");
    if (!draft.is_list && !draft.has_metadata) return in.fail_at("metadata", line, "is required");
    if (draft.is_list || !draft.readable) return;
    if (const auto violation = complete_and_check(draft.object)) {
      out_.refused.push_back(std::move(draft.object));
      return in.fail_at(violation->path, line, violation->reason);
    }
    out_.objects.push_back(std::move(draft.object));
  }

  void start(Draft& draft, std::uint32_t line) {
    draft.started = true;
    const std::string_view group = group_of(draft.api_version);
    draft.is_list = draft.kind.ends_with("List");
    if (draft.is_list) return;
    draft.readable = make_object(group, draft.kind, draft.object);
    if (draft.readable) return;
    const std::string name = concat(draft.api_version, " ", draft.kind);
    const auto same = [&](const Problem& problem) { return problem.path == name; };
    if (std::any_of(out_.ignored.begin(), out_.ignored.end(), same)) return;
    out_.ignored.push_back({std::string(file_), document_, line, name, "this kind is not read"});
  }

  void read_field(Decoder& in, Draft& draft, const std::string& key, int depth) {
    draft.has_metadata |= key == "metadata";
    draft.has_items |= key == "items";
    if (draft.is_list && key == "items") return read_items(in, draft, depth);
    if (draft.is_list || !draft.readable) return in.skip();
    std::visit([&](auto& object) { in.read_field(object, key, draft.seen); }, draft.object);
  }

  void read_items(Decoder& in, const Draft& draft, int depth) {
    // The items of a PodList are Pods; those of a List say what they are.
    const std::string kind = draft.kind.substr(0, draft.kind.size() - 4);
    if (!in.open(Token::Kind::ListBegin, "a list")) return;
    in.push("items");
    std::size_t index = 0;
    while (in.next_item()) {
      in.push_index(index++);
      read_object(in, kind, kind.empty() ? std::string_view() : draft.api_version, depth + 1);
      in.pop();
    }
    in.pop();
  }

  void hold(Decoder& in, const std::string& key, HeldTokens& held) {
    held.add({Token::Kind::Scalar, Token::Type::String, in.peek().line, key});
    int depth = 0;
    do {
      const Token& token = in.peek();
      if (in.failed()) return;
      if (token.kind == Token::Kind::MapBegin || token.kind == Token::Kind::ListBegin) ++depth;
      if (token.kind == Token::Kind::MapEnd || token.kind == Token::Kind::ListEnd) --depth;
      if (token.kind == Token::Kind::End) return in.fail("ends too early");
      if (held.size() >= kMaxHeldTokens) return in.fail("kind and apiVersion must come first");
      held.add(token);
      in.advance();
    } while (depth > 0);
  }

  void replay(Decoder& in, Draft& draft, HeldTokens& held, int depth) {
    if (held.empty()) return;
    held.add({Token::Kind::MapEnd, Token::Type::Null, in.peek().line, {}});
    Decoder again(held);
    std::string key;
    while (again.next_key(key)) read_field(again, draft, key, depth);
    if (again.failed()) in.fail_as(*again.problem());
  }

  TokenSource& source_;
  std::string_view file_;
  Manifest& out_;
  std::uint32_t document_ = 0;
};

}  // namespace

const ObjectMeta& meta_of(const Object& object) noexcept {
  return *std::visit([](const auto& value) { return &value.meta; }, object);
}

const KindName& kind_of(const Object& object) noexcept {
  return *std::visit([](const auto& value) { return &value.kKind; }, object);
}

Manifest parse_manifest(std::string_view text, Format format, std::string_view file) {
  Manifest manifest;
  std::unique_ptr<TokenSource> source;
  if (format == Format::Json) {
    source = std::make_unique<JsonSource>(text);
  } else {
    source = std::make_unique<YamlSource>(text);
  }
  ManifestReader(*source, file, manifest).read_all();
  return manifest;
}

Format format_of(std::string_view file_name) noexcept {
  return file_name.ends_with(".json") ? Format::Json : Format::Yaml;
}

std::vector<net::IpAddr> Service::addresses() const {
  std::vector<net::IpAddr> out;
  const auto add = [&](const std::string& text) {
    const auto ip = net::IpAddr::parse(text);
    if (ip && std::find(out.begin(), out.end(), *ip) == out.end()) out.push_back(*ip);
  };
  add(spec.cluster_ip);
  for (const std::string& text : spec.cluster_ips) add(text);
  return out;
}

}  // namespace tulle::k8s
