// SPDX-License-Identifier: Apache-2.0
// The part of an HTTP/1 head that HTTP/2 cannot carry: how header names were spelled, and where
// Host and Transfer-Encoding stood among them. Between two tulle proxies it travels as parameters
// of l5d-orig-proto, which every proxy of this mesh takes out before the application sees it and
// whose parameters others ignore (they read the first eight bytes and, after "; ",
// "absolute-form").
//
//   names=t,ETag,X-FOO   t: Title-Case unless listed, l: lower case unless listed
//   host=2               Host was the third field (left out: it was the first)
//   te=4                 "transfer-encoding: chunked" was the fifth field
//
// A name that is listed once is spelled so wherever it occurs; one that came in several spellings
// is listed once for each field, in their order.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "lib/http/header_map.h"

namespace tulle::proxy {

// Text of bounded size on the stack; what does not fit is refused as a whole piece.
class SmallText {
 public:
  bool append(std::string_view piece) noexcept {
    if (size_ + piece.size() > text_.size()) return false;
    std::copy(piece.begin(), piece.end(), text_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += piece.size();
    return true;
  }
  bool append(std::string_view a, std::string_view b) noexcept {
    if (size_ + a.size() + b.size() > text_.size()) return false;
    return append(a) && append(b);
  }
  std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 1024> text_;
  std::size_t size_ = 0;
};

// Appends "; names=…" and what else is needed for these headers (hop headers already gone).
void describe_spelling(const http::HeaderMap& headers, SmallText& out);

// The value of one parameter of an l5d-orig-proto value ("names" → "t,ETag").
std::optional<std::string_view> orig_proto_parameter(std::string_view value,
                                                     std::string_view name) noexcept;

// Restores the spelling and places from the parameters in `value`. `host` is added if it is not
// empty and no Host came along (HTTP/2 carries it as :authority), `chunked` says that the body's
// length is unknown. Nothing happens without a parameter "names".
void restore_spelling(std::string_view value, std::string_view host, bool chunked,
                      http::HeaderMap& headers);

}  // namespace tulle::proxy
