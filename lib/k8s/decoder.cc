// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/decoder.h"

#include <algorithm>

namespace tulle::k8s {

std::string Problem::to_string() const {
  std::string out = file;
  if (line != 0) {
    out += ':';
    append_number(out, line);
  }
  if (!out.empty()) out += ": ";
  if (document != 0) {
    out += "document ";
    append_number(out, document);
    out += ": ";
  }
  if (!path.empty()) out += path + ": ";
  return out + reason;
}

void Decoder::fail(std::string reason) {
  if (problem_) return;
  problem_ = Problem{{}, 0, token_.line, path_, std::move(reason)};
}

void Decoder::fail_at(std::string_view path, std::uint32_t line, std::string reason) {
  fail_as({{}, 0, line, std::string(path), std::move(reason)});
}

void Decoder::fail_as(Problem problem) {
  if (problem_) return;
  if (!path_.empty() && !problem.path.empty()) problem.path.insert(0, ".");
  problem.path.insert(0, path_);
  problem_ = std::move(problem);
}

void Decoder::advance() {
  if (failed()) return;
  token_ = source_.next();
  if (token_.kind == Token::Kind::Bad) {
    problem_ = Problem{{}, 0, token_.line, path_, std::string(token_.text)};
  }
}

void Decoder::skip() {
  const bool opens = token_.kind == Token::Kind::MapBegin || token_.kind == Token::Kind::ListBegin;
  if (!failed() && opens && source_.skip_open()) return advance();
  int depth = 0;
  do {
    if (failed()) return;
    switch (token_.kind) {
      case Token::Kind::MapBegin:
      case Token::Kind::ListBegin: ++depth; break;
      case Token::Kind::MapEnd:
      case Token::Kind::ListEnd: --depth; break;
      case Token::Kind::End: return fail("ends too early");
      default: break;
    }
    advance();
  } while (depth > 0);
}

bool Decoder::open(Token::Kind begin, std::string_view what) {
  if (failed()) return false;
  if (token_.kind == begin) {
    advance();
    return !failed();
  }
  if (null()) {
    advance();
    return false;
  }
  fail(concat("must be ", what, ", not ", found()));
  return false;
}

bool Decoder::next_key(std::string& key) {
  if (failed()) return false;
  if (token_.kind == Token::Kind::MapEnd) {
    advance();
    return false;
  }
  if (token_.kind != Token::Kind::Scalar) {
    fail("a key must be text");
    return false;
  }
  key.assign(token_.text);
  advance();
  return !failed();
}

bool Decoder::next_item() {
  if (failed()) return false;
  if (token_.kind != Token::Kind::ListEnd) return true;
  advance();
  return false;
}

std::string Decoder::found() const {
  switch (token_.kind) {
    case Token::Kind::MapBegin: return "an object";
    case Token::Kind::ListBegin: return "a list";
    case Token::Kind::Scalar: return std::string(describe_type(token_.type));
    default: return "the end";
  }
}

bool Decoder::scalar(Token::Type type, std::string_view what) {
  if (failed()) return false;
  if (token_.kind == Token::Kind::Scalar && token_.type == type) return true;
  const bool quote = type == Token::Type::String && token_.kind == Token::Kind::Scalar;
  fail(
      concat("must be ", what, ", not ", found(), quote && !null() ? " (write it in quotes)" : ""));
  return false;
}

void Decoder::read(std::string& into) {
  if (!scalar(Token::Type::String, "text")) return;
  into.assign(token_.text);
  advance();
}

void Decoder::read(bool& into) {
  if (!scalar(Token::Type::Bool, "a boolean")) return;
  const char first = ascii_lower(token_.text[0]);
  into = first == 't' || first == 'y' || iequals(token_.text, "on");
  advance();
}

void Decoder::read(IntOrString& into) {
  if (at(Token::Kind::Scalar) && token_.type == Token::Type::String) {
    into.number = 0;
    // A port's name has a letter in it, so quoted digits can only mean the number.
    if (const auto number = parse_number<std::int32_t>(token_.text)) {
      into.number = *number;
      advance();
      return;
    }
    if (token_.text.empty()) return fail("must not be empty");
    return read(into.name);
  }
  if (!scalar(Token::Type::Int, "a number or a name")) return;
  read(into.number);
}

void Decoder::read(StringMap& into) {
  if (!open(Token::Kind::MapBegin, "an object")) return;
  std::string key;
  while (next_key(key)) {
    push(key);
    std::string value;
    if (null()) {
      advance();
    } else {
      read(value);
    }
    if (!failed() && !into.insert(key, std::move(value))) fail("occurs twice");
    pop();
  }
}

void Decoder::read(Time& into) {
  if (!scalar(Token::Type::String, "a time such as 2026-11-24T12:00:00Z")) return;
  const std::optional<Time> time = parse_time(token_.text);
  if (!time) return fail("must be a time such as 2026-11-24T12:00:00Z");
  into = *time;
  advance();
}

void Decoder::read(net::IpAddr& into) {
  if (!scalar(Token::Type::String, "an IP address")) return;
  const std::optional<net::IpAddr> ip = net::IpAddr::parse(token_.text);
  if (!ip) return fail("must be an IP address");
  into = *ip;
  advance();
}

void Decoder::read(net::Cidr& into) {
  if (!scalar(Token::Type::String, "a network such as 10.0.0.0/8")) return;
  const std::optional<net::Cidr> cidr = net::Cidr::parse(token_.text);
  if (!cidr) return fail("must be a network such as 10.0.0.0/8");
  into = *cidr;
  advance();
}

void Decoder::push(std::string_view name) {
  path_marks_.push_back(path_.size());
  if (failed()) return;
  // Keys such as "config.linkerd.io/opaque-ports" are put in brackets.
  const bool simple = name.find_first_of("./[]") == std::string_view::npos;
  if (simple && !path_.empty()) path_ += '.';
  if (!simple) path_ += '[';
  path_ += name.substr(0, 256);
  if (!simple) path_ += ']';
}

void Decoder::push_index(std::size_t index) {
  path_marks_.push_back(path_.size());
  if (failed()) return;
  path_ += '[';
  append_number(path_, index);
  path_ += ']';
}

void Decoder::pop() {
  path_.resize(std::min(path_.size(), path_marks_.back()));
  path_marks_.pop_back();
}

}  // namespace tulle::k8s
