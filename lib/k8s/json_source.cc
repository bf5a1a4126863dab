// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/json_source.h"

#include "lib/base/text.h"

namespace tulle::k8s {
namespace {

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace

JsonSource::JsonSource(std::string_view text, Skipping skipping)
    : text_(text), skipping_(skipping) {
  if (text.size() > kMaxDocumentBytes) bad("larger than 16 MiB");
}

Token JsonSource::bad(std::string reason) {
  if (!failed_) reason_ = std::move(reason);
  failed_ = true;
  return {Token::Kind::Bad, Token::Type::Null, line_, reason_};
}

void JsonSource::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '\n') ++line_;
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return;
    ++at_;
  }
}

bool JsonSource::next_document() {
  if (ended_) return false;
  if (failed_) {
    ended_ = true;
    return !in_document_;
  }
  while (in_document_) {
    if (next().kind == Token::Kind::Bad) {
      ended_ = true;
      return false;
    }
  }
  skip_space();
  if (at_ == text_.size()) {
    ended_ = true;
    return false;
  }
  depth_ = 0;
  expect_ = Expect::Value;
  in_document_ = true;
  return true;
}

Token JsonSource::next() {
  if (failed_) return bad({});
  if (!in_document_) return {};
  if (expect_ == Expect::Done) {
    in_document_ = false;
    return {Token::Kind::End, Token::Type::Null, line_, {}};
  }
  skip_space();
  if (at_ == text_.size()) return bad("not valid JSON: ends too early");
  if (expect_ == Expect::CommaOrEnd) {
    const char c = look();
    if (c == '}' || c == ']') return end(c);
    if (c != ',') return bad("not valid JSON: a comma or the end is due");
    ++at_;
    skip_space();
    expect_ = in_map() ? Expect::Key : Expect::Item;
  }
  if (expect_ == Expect::FirstItem && look() == ']') return end(']');
  if (expect_ == Expect::FirstKey && look() == '}') return end('}');
  if (expect_ == Expect::FirstKey || expect_ == Expect::Key) return key();
  return value();
}

Token JsonSource::structure(Token::Kind kind) {
  ++at_;
  if (++depth_ > kMaxDepth) return bad("nested deeper than 64 levels");
  const bool map = kind == Token::Kind::MapBegin;
  maps_[static_cast<std::size_t>(depth_)] = map;
  expect_ = map ? Expect::FirstKey : Expect::FirstItem;
  return {kind, Token::Type::Null, line_, {}};
}

Token JsonSource::end(char closer) {
  if ((closer == '}') != in_map()) return bad("not valid JSON: the wrong bracket closes");
  const Token::Kind kind = in_map() ? Token::Kind::MapEnd : Token::Kind::ListEnd;
  ++at_;
  --depth_;
  after_value();
  return {kind, Token::Type::Null, line_, {}};
}

// Moves behind the bracket that closes `depth` open ones. Brackets of both kinds count alike.
bool JsonSource::scan_to_close(int depth) {
  while (at_ < text_.size()) {
    switch (text_[at_++]) {
      case '{':
      case '[': ++depth; break;
      case '}':
      case ']':
        if (--depth == 0) return true;
        break;
      case '\n': ++line_; break;
      case '"':
        for (;;) {
          at_ = text_.find_first_of("\"\\", at_);
          if (at_ == std::string_view::npos) {
            at_ = text_.size();
            break;
          }
          if (text_[at_++] == '"') break;
          ++at_;
        }
        break;
      default: break;
    }
  }
  bad("not valid JSON: ends too early");
  return false;
}

bool JsonSource::skip_open() {
  if (skipping_ == Skipping::Checked || failed_ || depth_ == 0) return false;
  if (!scan_to_close(1)) return true;  // next() tells
  --depth_;
  after_value();
  return true;
}

std::string_view JsonSource::take_raw() {
  if (failed_ || !in_document_ || expect_ != Expect::Value) {
    bad("not valid JSON: a value is due");
    return {};
  }
  skip_space();
  const std::size_t start = at_;
  if (look() == '{' || look() == '[') {
    ++at_;
    if (!scan_to_close(1)) return {};
    after_value();
  } else if (value().kind != Token::Kind::Scalar) {
    return {};
  }
  return text_.substr(start, at_ - start);
}

void JsonSource::after_value() { expect_ = depth_ == 0 ? Expect::Done : Expect::CommaOrEnd; }

Token JsonSource::key() {
  if (look() != '"') return bad("not valid JSON: a key in quotes is due");
  const Token token = string();
  if (failed_) return token;
  skip_space();
  if (look() != ':') return bad("not valid JSON: a colon is due");
  ++at_;
  expect_ = Expect::Value;
  return token;
}

Token JsonSource::value() {
  const char c = look();
  if (c == '{') return structure(Token::Kind::MapBegin);
  if (c == '[') return structure(Token::Kind::ListBegin);
  Token token;
  if (c == '"') {
    token = string();
  } else if (c == 't') {
    token = literal("true", Token::Type::Bool);
  } else if (c == 'f') {
    token = literal("false", Token::Type::Bool);
  } else if (c == 'n') {
    token = literal("null", Token::Type::Null);
  } else if (c == '-' || ascii_digit(c)) {
    token = number();
  } else {
    return bad("not valid JSON: a value is due");
  }
  if (!failed_) after_value();
  return token;
}

Token JsonSource::literal(std::string_view word, Token::Type type) {
  if (!text_.substr(at_).starts_with(word)) return bad("not valid JSON: a value is due");
  at_ += word.size();
  return {Token::Kind::Scalar, type, line_, word};
}

Token JsonSource::number() {
  const std::size_t start = at_;
  Token::Type type = Token::Type::Int;
  const auto digits = [&] {
    const std::size_t first = at_;
    while (ascii_digit(look())) ++at_;
    return at_ > first;
  };
  if (look() == '-') ++at_;
  if (look() == '0') {
    ++at_;
  } else if (!digits()) {
    return bad("not valid JSON: a digit is due");
  }
  if (look() == '.') {
    type = Token::Type::Float;
    ++at_;
    if (!digits()) return bad("not valid JSON: a digit is due");
  }
  if (look() == 'e' || look() == 'E') {
    type = Token::Type::Float;
    ++at_;
    if (look() == '+' || look() == '-') ++at_;
    if (!digits()) return bad("not valid JSON: a digit is due");
  }
  return {Token::Kind::Scalar, type, line_, text_.substr(start, at_ - start)};
}

Token JsonSource::string() {
  const std::size_t start = ++at_;
  buffer_.clear();
  bool escaped = false;
  std::size_t copied = start;
  while (at_ < text_.size()) {
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') {
      std::string_view out = text_.substr(copied, at_ - copied);
      if (escaped) {
        buffer_ += out;
        out = buffer_;
      }
      ++at_;
      return {Token::Kind::Scalar, Token::Type::String, line_, out};
    }
    if (c == '\\') {
      escaped = true;
      buffer_ += text_.substr(copied, at_ - copied);
      if (!escape()) return bad("not valid JSON: unknown escape");
      copied = at_;
    } else if (c < 0x20) {
      return bad("not valid JSON: control character in text");
    } else if (c < 0x80) {
      ++at_;
    } else if (!utf8()) {
      return bad("not valid JSON: not UTF-8");
    }
  }
  return bad("not valid JSON: text without end");
}

// At a backslash: appends what it stands for and moves behind it.
bool JsonSource::escape() {
  ++at_;
  constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
  const char c = look();
  ++at_;
  if (const std::size_t known = kFrom.find(c); known != std::string_view::npos && c != '\0') {
    buffer_ += kTo[known];
    return true;
  }
  if (c != 'u') return false;
  const auto hex4 = [&]() -> std::optional<std::uint32_t> {
    if (at_ + 4 > text_.size()) return std::nullopt;
    const std::string_view digits = text_.substr(at_, 4);
    at_ += 4;
    if (digits[0] == '-') return std::nullopt;
    return parse_number<std::uint32_t>(digits, 16);
  };
  const auto first = hex4();
  if (!first || (*first >= 0xDC00 && *first <= 0xDFFF)) return false;
  if (*first < 0xD800 || *first > 0xDBFF) {
    append_utf8(buffer_, *first);
    return true;
  }
  if (!text_.substr(at_).starts_with("\\u")) return false;
  at_ += 2;
  const auto second = hex4();
  if (!second || *second < 0xDC00 || *second > 0xDFFF) return false;
  append_utf8(buffer_, 0x10000 + ((*first - 0xD800) << 10) + (*second - 0xDC00));
  return true;
}

// Moves over one character of several bytes; RFC 3629 §4 says which are well-formed.
bool JsonSource::utf8() {
  const auto byte = [&](std::size_t i) {
    return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0U;
  };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  std::size_t size = 0;
  if (lead >= 0xC2 && lead <= 0xDF && tail(1)) size = 2;
  if (lead >= 0xE0 && lead <= 0xEF &&
      tail(1, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF) && tail(2)) {
    size = 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4 &&
      tail(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF) && tail(2) && tail(3)) {
    size = 4;
  }
  at_ += size;
  return size != 0;
}

}  // namespace tulle::k8s
