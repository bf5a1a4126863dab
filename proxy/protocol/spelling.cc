// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/spelling.h"

#include <algorithm>
#include <charconv>

#include "lib/base/text.h"

namespace tulle::proxy {
namespace {

constexpr std::size_t kMaxExceptions = 100;

bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
char ascii_upper(char c) noexcept {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
}

struct Spelled {
  bool lower = true;
  bool title = true;
};
Spelled spelled(std::string_view name) noexcept {
  Spelled so;
  char previous = '-';
  for (const char c : name) {
    if (is_upper(c)) so.lower = false;
    if (previous == '-' ? ascii_lower(c) == c && ascii_upper(c) != c : is_upper(c))
      so.title = false;
    previous = c;
  }
  return so;
}

// In more than one spelling?
bool comes_mixed(const http::HeaderMap& headers, std::string_view name) noexcept {
  for (const auto field : headers) {
    if (field.name.size() == name.size() && field.name != name && iequals(field.name, name))
      return true;
  }
  return false;
}
bool came_before(const http::HeaderMap& headers, std::size_t index) noexcept {
  const std::string_view name = headers[index].name;
  for (std::size_t i = 0; i < index; ++i) {
    if (headers[i].name == name) return true;
  }
  return false;
}

void append_place(std::string_view parameter, std::size_t index, SmallText& out) noexcept {
  char digits[8];
  const auto end = std::to_chars(digits, digits + sizeof digits, index).ptr;
  out.append(parameter, {digits, static_cast<std::size_t>(end - digits)});
}

// The spellings listed in a "names" parameter.
class Exceptions {
 public:
  explicit Exceptions(std::string_view list) {
    while (!list.empty() && count_ < kMaxExceptions) {
      list.remove_prefix(1);  // the comma
      const auto comma = std::min(list.find(','), list.size());
      names_[count_++] = {list.data(), comma};
      list.remove_prefix(comma);
    }
  }
  // The next spelling of that name; the last one stays for all that follow. Empty: none is listed.
  std::string_view take(std::string_view name) noexcept {
    std::size_t found = kMaxExceptions;
    for (std::size_t i = 0; i < count_; ++i) {
      if (!iequals(names_[i].view(), name)) continue;
      if (found != kMaxExceptions) {  // there is another one after it
        const std::string_view spelling = names_[found].view();
        names_[found].size = 0;
        return spelling;
      }
      found = i;
    }
    return found == kMaxExceptions ? std::string_view{} : names_[found].view();
  }

 private:
  struct Name {  // unlike a string_view it needs no zeros: most messages list none of the hundred
    const char* data;
    std::size_t size;
    std::string_view view() const noexcept { return {data, size}; }
  };
  std::array<Name, kMaxExceptions> names_;
  std::size_t count_ = 0;
};

void spell_title(http::HeaderMap& headers, std::size_t index) noexcept {
  char title[256] __attribute__((uninitialized));
  const std::string_view name = headers[index].name;
  if (name.size() > sizeof title) return;
  char previous = '-';
  for (std::size_t i = 0; i < name.size(); ++i) {
    title[i] = previous == '-' ? ascii_upper(name[i]) : name[i];
    previous = name[i];
  }
  headers.respell(index, {title, name.size()});
}

std::optional<std::size_t> place(std::string_view value, std::string_view parameter) noexcept {
  const auto text = orig_proto_parameter(value, parameter);
  return text ? parse_number<std::size_t>(*text) : std::nullopt;
}

}  // namespace

void describe_spelling(const http::HeaderMap& headers, SmallText& out) {
  std::size_t lower = 0;
  std::size_t title = 0;
  std::size_t host = 0;
  std::optional<std::size_t> transfer;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const std::string_view name = headers[i].name;
    const Spelled so = spelled(name);
    lower += so.lower ? 1 : 0;
    title += so.title ? 1 : 0;
    if (name.size() == 4 && iequals(name, "host")) host = i;
    if (name.size() == 17 && iequals(name, "transfer-encoding")) transfer = i;
  }
  const bool use_title = title > lower;
  out.append(use_title ? "; names=t" : "; names=l");
  if ((use_title ? title : lower) != headers.size()) {
    for (std::size_t i = 0; i < headers.size(); ++i) {
      const std::string_view name = headers[i].name;
      const Spelled so = spelled(name);
      const bool mixed = comes_mixed(headers, name);
      if (!mixed && ((use_title ? so.title : so.lower) || came_before(headers, i))) continue;
      if (!out.append(",", name)) return;  // more than fits: the rest is spelled by the rule
    }
  }
  if (host != 0) append_place("; host=", host, out);
  if (transfer) append_place("; te=", *transfer, out);
}

std::optional<std::string_view> orig_proto_parameter(std::string_view value,
                                                     std::string_view name) noexcept {
  for (;;) {
    const auto semicolon = value.find(';');
    if (semicolon == std::string_view::npos) return std::nullopt;
    value.remove_prefix(semicolon + 1);
    const std::string_view parameter = trim(value.substr(0, value.find(';')));
    if (parameter.size() > name.size() && parameter[name.size()] == '=' &&
        parameter.starts_with(name)) {
      return parameter.substr(name.size() + 1);
    }
  }
}

void restore_spelling(std::string_view value, std::string_view host, bool chunked,
                      http::HeaderMap& headers) {
  const auto names = orig_proto_parameter(value, "names");
  if (!names || names->empty()) return;
  const auto put = [&headers](std::string_view name, std::string_view text, std::size_t at) {
    headers.add(name, text);
    headers.move(headers.size() - 1, std::min(at, headers.size() - 1));
  };
  const bool add_host = !host.empty() && !headers.contains("host");
  const std::size_t host_at = place(value, "host").value_or(0);
  const auto transfer_at = chunked ? place(value, "te") : std::nullopt;
  // The one that stood first goes in first, so that the place of the other is right.
  if (transfer_at && *transfer_at < host_at) put("transfer-encoding", "chunked", *transfer_at);
  if (add_host) put("host", host, host_at);
  if (transfer_at && *transfer_at >= host_at) put("transfer-encoding", "chunked", *transfer_at);
  const bool title = names->front() == 't';
  Exceptions exceptions __attribute__((uninitialized)) (names->substr(1));
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const std::string_view listed = exceptions.take(headers[i].name);
    if (!listed.empty()) {
      headers.respell(i, listed);
    } else if (title) {
      spell_title(headers, i);
    }
  }
}

}  // namespace tulle::proxy
