// SPDX-License-Identifier: Apache-2.0
#include "control/source/sketch.h"

#include <memory>

#include "lib/base/text.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::control {
namespace {

using k8s::Decoder;
using k8s::Token;

std::unique_ptr<k8s::TokenSource> source_of(std::string_view text, k8s::Format format) {
  if (format == k8s::Format::Json) return std::make_unique<k8s::JsonSource>(text);
  return std::make_unique<k8s::YamlSource>(text);
}

// Follows a map with `each(key)` for every key; true if its end is there.
template <typename Each>
bool follow_map(Decoder& in, Each&& each) {
  in.advance();
  std::string key;
  for (;;) {
    if (in.at(Token::Kind::MapEnd)) {
      in.advance();
      return true;
    }
    if (!in.next_key(key)) return false;
    each(key);
    if (in.failed()) return false;
  }
}

class Sketcher {
 public:
  explicit Sketcher(bool may_go_on) : may_go_on_(may_go_on) {}

  void read_all(k8s::TokenSource& source) {
    while (source.next_document()) {
      Decoder in(source);
      if (in.at(Token::Kind::End)) continue;
      if (in.at(Token::Kind::Scalar) && in.peek().type == Token::Type::Null) continue;
      bool read = true;
      if (in.at(Token::Kind::MapBegin)) {
        read_object(in, {}, 0);
      } else if (in.at(Token::Kind::ListBegin)) {
        read_items(in, {}, 0);
        read = !in.failed();
      } else {
        read = false;
      }
      if (!read) out_.emplace_back();
    }
  }
  std::vector<Sketch> take() { return std::move(out_); }

 private:
  static void take_text(Decoder& in, std::optional<std::string>& into, bool& seen) {
    const bool text = in.at(Token::Kind::Scalar) && in.peek().type == Token::Type::String;
    // Twice, or no text: nobody knows.
    if (text && (!seen || into == in.peek().text)) {
      into = std::string(in.peek().text);
    } else {
      into.reset();
    }
    seen = true;
    in.skip();
  }

  // The namespace, as far as the metadata say; `certain` if they can say no more.
  void read_metadata(Decoder& in, Sketch& sketch, bool& closed, bool& has_namespace) {
    if (!in.at(Token::Kind::MapBegin)) return in.skip();
    bool has_name = false;
    closed = follow_map(in, [&](const std::string& key) {
      if (key == "name") return take_text(in, sketch.name, has_name);
      if (key == "namespace") return take_text(in, sketch.ns, has_namespace);
      in.skip();
    });
  }

  void read_object(Decoder& in, const Sketch& from, int depth) {
    Sketch sketch = from;
    bool has_kind = sketch.kind.has_value();
    bool has_version = sketch.api_version.has_value();
    bool has_namespace = false;
    bool closed = false;  // the metadata
    bool metadata_last = false;
    std::size_t lists = 0;
    sketch.whole = follow_map(in, [&](const std::string& key) {
      metadata_last = key == "metadata";
      sketch.manifest |= key == "kind" || key == "apiVersion" || key == "metadata" ||
                         key == "spec" || key == "items";
      if (key == "kind") return take_text(in, sketch.kind, has_kind);
      if (key == "apiVersion") return take_text(in, sketch.api_version, has_version);
      if (key == "metadata") return read_metadata(in, sketch, closed, has_namespace);
      // One that has slipped out of the metadata.
      if (key == "namespace") has_namespace = true;
      if (key == "items" && in.at(Token::Kind::ListBegin) && depth < 3) {
        ++lists;
        return read_items(in, item_of(sketch), depth);
      }
      in.skip();
    });
    if (sketch.ns && sketch.ns->empty()) sketch.ns.reset(), has_namespace = false;
    // More of the metadata may have been to follow.
    if (metadata_last && may_go_on_) closed = false;
    if (!has_namespace && closed) sketch.ns = "default";
    if (lists > 0 && !sketch.whole) return rest_of_list(sketch);
    if (lists == 0 || (sketch.kind && !sketch.kind->ends_with("List"))) out_.push_back(sketch);
  }

  // What a list's items are if they do not say.
  static Sketch item_of(const Sketch& list) {
    Sketch out;
    if (!list.kind || !list.kind->ends_with("List") || *list.kind == "List") return out;
    out.kind = list.kind->substr(0, list.kind->size() - 4);
    out.api_version = list.api_version;
    return out;
  }

  // Items that follow the break: of the kind of the list, wherever.
  void rest_of_list(const Sketch& list) {
    out_.push_back(item_of(list));
    out_.back().rest = true;
  }

  void read_items(Decoder& in, const Sketch& from, int depth) {
    in.advance();
    while (in.next_item()) {
      if (in.at(Token::Kind::MapBegin)) {
        read_object(in, from, depth + 1);
      } else {
        if (in.peek().type == Token::Type::Null) out_.push_back(from);  // cut off
        in.skip();
      }
      if (in.failed()) return;
    }
  }

  bool may_go_on_;
  std::vector<Sketch> out_;
};

void put_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

std::string from_utf16(std::string_view text, bool big) {
  std::string out;
  const auto unit = [&](std::size_t at) {
    const auto first = static_cast<unsigned char>(text[at]);
    const auto second = static_cast<unsigned char>(text[at + 1]);
    return std::uint32_t{big ? first : second} << 8 | (big ? second : first);
  };
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    std::uint32_t code = unit(at);
    if (code >= 0xD800 && code < 0xDC00 && at + 3 < text.size()) {
      const std::uint32_t low = unit(at + 2);
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        at += 2;
      }
    }
    // Half a pair is no character; a reader refuses what stands for it here.
    put_utf8(out, code >= 0xD800 && code < 0xE000 ? 0 : code);
  }
  if (text.size() % 2 != 0) out += '\0';
  return out;
}

// Carriage returns, and in YAML the other ends of lines that its older version knows.
std::string with_line_feeds(std::string_view text, k8s::Format format) {
  std::string out;
  out.reserve(text.size());
  const bool yaml = format == k8s::Format::Yaml;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::string_view rest = text.substr(at);
    if (rest[0] == '\r') {
      if (!rest.starts_with("\r\n")) out += '\n';
    } else if (yaml && rest.starts_with("\xC2\x85")) {
      out += '\n';
      at += 1;
    } else if (yaml && (rest.starts_with("\xE2\x80\xA8") || rest.starts_with("\xE2\x80\xA9"))) {
      out += '\n';
      at += 2;
    } else {
      out += rest[0];
    }
  }
  return out;
}

std::optional<k8s::Problem> break_of(std::string_view text, k8s::Format format) {
  const auto source = source_of(text, format);
  while (source->next_document()) {
    Decoder in(*source);
    if (!in.at(Token::Kind::End)) in.skip();
    if (in.failed()) return in.problem();
  }
  return std::nullopt;
}

}  // namespace

std::string readable(std::string_view text, k8s::Format format) {
  std::string wide;
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    wide = from_utf16(text.substr(2), text[0] == '\xFE');
    text = wide;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return with_line_feeds(text, format);
}

std::vector<Sketch> sketches_of(std::string_view document, k8s::Format format, bool last) {
  const std::string_view text = last ? without_half_words(document) : document;
  const std::string_view seen = trim(text);
  const bool closed = !seen.empty() && (seen.back() == '}' || seen.back() == ']');
  Sketcher sketcher(last && !closed);
  const auto source = source_of(text, format);
  sketcher.read_all(*source);
  std::vector<Sketch> out = sketcher.take();
  // Not even its first word is whole.
  if (out.empty() && text.size() != document.size()) out.emplace_back();
  return out;
}

std::string_view without_half_words(std::string_view document) {
  const std::size_t end = document.find_last_of("\n,{}[]\"'");
  return document.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

bool ends_too_early(std::string_view document, k8s::Format format) {
  const auto now = break_of(document, format);
  if (!now) return false;
  // What breaks elsewhere when the text goes on has broken at its end.
  const auto later = break_of(concat(document, "\n\n\n\n]"), format);
  return !later || later->line != now->line || later->reason != now->reason;
}

}  // namespace tulle::control
